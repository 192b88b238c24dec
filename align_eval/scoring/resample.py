"""Sums of resampled rows: bootstrap and random swaps, exact and fast for a hundred sentence pairs or for millions.

A corpus score is a function of sums of rows (one row of counts a sentence pair), so a resample is its sums. Two
things keep this cheap without changing what is drawn:

* Sentence pairs with equal rows are exchangeable. How often a *kind* of row is drawn follows a multinomial (bootstrap)
  or a binomial (swaps) distribution, and one such number stands for hundreds of draws.
* What is drawn singly is counted, and sums are one matrix product: ``(resamples, N) @ (N, columns)``, in blocks.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Sums = NDArray[np.float64]

# Kinds of rows with at least so many sentence pairs are drawn as a kind. Small corpora are drawn sentence by sentence,
# so that the same seed draws the same sentences whatever the systems.
_KIND = 32
_SMALL_CORPUS = 20_000
# Cells of a block of the matrix of draws: 16 MiB.
_CELLS = 1 << 21


def bootstrap_sums(rows: NDArray[np.integer[Any]], resamples: int, seed: int, *, products: bool = False) -> Sums:
    """Sums of ``resamples`` samples of N rows out of N, drawn with replacement (Efron & Tibshirani 1993).

    Args:
        rows: ``(N, columns)`` integers, N at least 1.
        resamples: how many samples.
        seed: of numpy's PCG64 generator. For N up to 20 000, equal N and seed draw the same sentence pairs.
        products: also sum the products of every two columns, :func:`with_products`.

    Returns:
        float64 ``(resamples, columns)``; exact integers.
    """
    rng = np.random.default_rng(seed)
    n = len(rows)
    widen = with_products if products else np.asarray
    if n <= _SMALL_CORPUS:
        return _draw(rng, widen(rows), np.full(resamples, n))
    kind, kinds, size = _kinds(rows)
    common = size >= _KIND
    rare = widen(rows[~common[kind]])
    # One category a common kind, one for all rare rows together; rare rows then are drawn singly.
    chance = np.append(size[common], len(rare)) / n
    values = widen(kinds[common]).astype(np.float64)
    sums = np.empty((resamples, values.shape[1]))
    singly = np.empty(resamples, dtype=np.int64)
    for start, stop in _blocks(resamples, len(chance)):
        drawn = rng.multinomial(n, chance, size=stop - start)
        sums[start:stop] = drawn[:, :-1] @ values
        singly[start:stop] = drawn[:, -1]
    return sums + _draw(rng, rare, singly)


def with_products(rows: NDArray[np.number[Any]]) -> NDArray[np.float64]:
    """``(N, C)`` to ``(N, C + C (C + 1) / 2)``: behind the columns the products of each with itself and those after."""
    rows = rows.astype(np.float64)
    first, second = np.triu_indices(rows.shape[1])
    return np.concatenate([rows, rows[:, first] * rows[:, second]], axis=1)


def _draw(rng: np.random.Generator, rows: NDArray[np.number[Any]], draws: NDArray[np.int64]) -> Sums:
    """Sums of ``draws[r]`` rows drawn with replacement, for each resample ``r``."""
    n = len(rows)
    sums = np.zeros((len(draws), rows.shape[1]))
    values = rows.astype(np.float64)
    for start, stop in _blocks(len(draws), n) if n else ():
        block = draws[start:stop]
        drawn = rng.integers(n, size=int(block.sum()))
        drawn += np.repeat(np.arange(stop - start) * n, block)
        sums[start:stop] = np.bincount(drawn, minlength=(stop - start) * n).reshape(-1, n) @ values
    return sums


def swap_sums(rows: NDArray[np.integer[Any]], trials: int, seed: int) -> Sums:
    """Sums of the rows that are swapped, each row with probability 1/2, in ``trials`` trials.

    Args:
        rows: ``(N, columns)`` integers: what the totals of one system gain (and the other's lose) by swapping a pair.
        trials: how many trials.
        seed: of numpy's PCG64 generator.

    Returns:
        float64 ``(trials, columns)``; exact integers.
    """
    rng = np.random.default_rng(seed)
    _, kinds, size = _kinds(rows)
    changing = kinds.any(axis=1)  # swapping equal counts changes nothing
    values, size = kinds[changing].astype(np.float64), size[changing]
    sums = np.zeros((trials, rows.shape[1]))
    for start, stop in _blocks(trials, len(size)) if len(size) else ():
        sums[start:stop] = rng.binomial(size, 0.5, size=(stop - start, len(size))) @ values
    return sums


def _kinds(rows: NDArray[np.integer[Any]]) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Distinct rows: the kind of each row ``(N,)``, one row a kind ``(kinds, columns)``, and each kind's size."""
    code = np.zeros(len(rows), dtype=np.int64)
    highest = 0
    for column in rows.T.astype(np.int64):
        column = column - column.min()
        width = int(column.max()) + 1
        if (highest + 1) * width > 2**62:
            code, first, _ = _number(code)
            highest = len(first) - 1
        code = code * width + column
        highest = (highest + 1) * width - 1
    kind, first, size = _number(code)
    return kind, rows[first].astype(np.int64), size


def _number(code: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Number distinct codes by size: the number of each code, where each is found first, and how often.

    As ``np.unique``, which imports ``numpy.ma`` and so doubles the time that numpy takes to start.
    """
    order = np.argsort(code, kind="stable")
    ranked = code[order]
    fresh = np.ones(len(code), dtype=bool)
    np.not_equal(ranked[1:], ranked[:-1], out=fresh[1:])
    number = np.empty(len(code), dtype=np.int64)
    number[order] = np.cumsum(fresh) - 1
    starts = np.flatnonzero(fresh)
    return number, order[starts], np.diff(starts, append=len(code))


def percentile_interval(sample: Sums, confidence: float) -> tuple[float, float]:
    """The (low, high) ends between which the middle ``confidence`` of a sample ``(n,)`` lies, linearly interpolated."""
    ranked = np.sort(sample)
    tail = (1 - confidence) / 2
    low, high = np.interp(np.array([tail, 1 - tail]) * (len(ranked) - 1), np.arange(len(ranked)), ranked)
    return float(low), float(high)


def _blocks(items: int, width: int) -> list[tuple[int, int]]:
    """Spans of ``items`` such that a block of ``width`` columns has no more cells than :data:`_CELLS`."""
    step = max(1, _CELLS // max(width, 1))
    return [(start, min(start + step, items)) for start in range(0, items, step)]
