"""Studentised and BCa bootstrap and random swaps, for any statistic of sums of rows; Jensen-Shannon divergence.

A corpus score is a function of sums of rows (one row of numbers a sentence pair), so a resample is its sums. Two
things keep this cheap without changing what is drawn:

* Sentence pairs with equal rows are exchangeable. How often a *kind* of row is drawn follows a multinomial (bootstrap)
  or a binomial (swaps) distribution, and one such number stands for hundreds of draws.
* What is drawn singly is counted, and sums are one matrix product: ``(resamples, N) @ (N, columns)``, in blocks.

Percentile intervals of 25 to 100 sentence pairs hold the true value too seldom (``results/coverage``), for two reasons:
resamples are spread less than samples, and the spread of a small corpus is itself a guess. So each resample is measured
in its own standard errors (Efron & Tibshirani 1993, chapter 12.5; Hall 1988 for the symmetric form):

* a measure is a function of sums of rows; its standard error in a resample follows from its gradient and the sums of
  products of columns (the delta method, also called the infinitesimal jackknife);
* that of the corpus itself is by the jackknife, which leaves out one sentence pair at a time (Efron & Stein 1981): it
  allows for pairs that weigh much;
* proportions are taken on the scale of their log odds, so that no end is below 0 or above 100 %.

A statistic that is no function of sums (a rank correlation) has BCa intervals (Efron 1987).
"""

from __future__ import annotations

import copy
import importlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import NDArray

from align_eval.errors import InputError

Sums = NDArray[np.float64]

#: Maps sums of rows ``(..., columns)`` to measures ``(...)`` by name; multiplying all sums by a number changes nothing.
Statistic = Callable[[Sums], "dict[str, Sums]"]

MOST_RESAMPLES = 1_000_000

# Kinds of rows with at least so many sentence pairs are drawn as a kind. Small corpora are drawn sentence by sentence,
# so that the same seed draws the same sentences whatever the systems.
_KIND = 32
_SMALL_CORPUS = 20_000
# Cells of a block of the matrix of draws: 16 MiB.
_CELLS = 1 << 21
# Blocks of fewer columns are as long as those of so many: what is computed of a row has about as many numbers.
_NARROW = 64
# Relative step of the numerical gradient: its error is about the square.
_STEP = 1e-5
# Differences that are equal but for rounding count as equal, relative.
_ROUNDING = 1e-9
# A resample has no spread if its standard error is so small beside that of the corpus: the rest is rounding.
_NO_SPREAD = 1e-5
# Rows at a time of the jackknife.
_PART = 1 << 16


@dataclass(frozen=True)
class Resampling:
    """How often is drawn, from which seed, and the level of the intervals."""

    resamples: int = 2000
    seed: int = 12345
    confidence: float = 0.95

    def __post_init__(self) -> None:
        check_resampling(self.resamples, self.seed, self.confidence)


def check_resampling(resamples: int, seed: int, confidence: float = 0.95) -> None:
    """Raise :class:`InputError` for a number of resamples, a seed or a level outside of its range."""
    if resamples < 0:
        raise InputError(f"resamples must be 0 or more, got {resamples}")
    if resamples > MOST_RESAMPLES:
        raise InputError(
            f"{resamples:,} resamples are more than {MOST_RESAMPLES:,}", remedy="Give fewer; 1,000 are usual"
        )
    if seed < 0:
        raise InputError(f"the seed must be 0 or more, got {seed}")
    if not 0 < confidence < 1:
        raise InputError(f"the confidence level must be between 0 and 1, got {confidence}", remedy="Give 0.95 for 95 %")


def split(sentences: int, development: float, seed: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Sentence numbers of the dev split and of the disjoint test split, both ascending; seeded.

    Raises:
        InputError: one of the parts would be empty.
    """
    size = round(sentences * development)
    if not 0 < size < sentences:
        raise InputError(
            f"a dev split of {development:g} of {sentences} sentence pairs leaves one part empty",
            remedy="Give more sentence pairs, or another ratio: --development 0.5 (development=0.5 in Python)",
        )
    order = np.random.default_rng(seed).permutation(sentences)
    return np.sort(order[:size]), np.sort(order[size:])


def bootstrap_sums(rows: NDArray[np.number[Any]], resamples: int, seed: int) -> Sums:
    """Sums of ``resamples`` samples of N rows out of N, drawn with replacement (Efron & Tibshirani 1993).

    Rows ``(N, columns)`` to float64 ``(resamples, columns)``, exact for integers. For N up to 20 000, equal N and seed
    draw the same sentence pairs.
    """
    return np.concatenate(list(_resamples(rows, resamples, seed, False)))


def _resamples(rows: NDArray[np.number[Any]], resamples: int, seed: int, products: bool) -> Iterator[Sums]:
    """:func:`bootstrap_sums` in blocks, so that memory does not grow with the number of resamples."""
    rng = np.random.default_rng(seed)
    n = len(rows)
    widen = with_products if products else np.asarray
    if n <= _SMALL_CORPUS or not np.issubdtype(rows.dtype, np.integer):
        values = widen(rows).astype(np.float64)
        yield from (drawn @ values for drawn in times_drawn(rng, n, np.full(resamples, n)))
        return
    kind, kinds, size = _kinds(rows)
    common = size >= _KIND
    rare = widen(rows[~common[kind]]).astype(np.float64)
    # One category a common kind, one for all rare rows together; rare rows then are drawn singly.
    chance = np.append(size[common], len(rare)) / n
    values = widen(kinds[common]).astype(np.float64)
    again = copy.deepcopy(rng)
    hold = resamples * values.shape[1] <= _CELLS  # else all kinds are drawn a second time
    blocks = _blocks(resamples, len(chance))
    held, singly = [], []
    for start, stop in blocks:
        drawn = rng.multinomial(n, chance, size=stop - start)
        singly.append(drawn[:, -1].copy())
        if hold:
            held.append(drawn[:, :-1] @ values)
    for k, (start, stop) in enumerate(blocks):
        sums = held[k] if hold else again.multinomial(n, chance, size=stop - start)[:, :-1] @ values
        if len(rare):
            sums = sums + np.concatenate([block @ rare for block in times_drawn(rng, len(rare), singly[k])])
        yield sums


def with_products(rows: NDArray[np.number[Any]]) -> NDArray[np.float64]:
    """``(N, C)`` to ``(N, C + C (C + 1) / 2)``: behind the columns the products of each with itself and those after."""
    rows = rows.astype(np.float64)
    first, second = np.triu_indices(rows.shape[1])
    return np.concatenate([rows, rows[:, first] * rows[:, second]], axis=1)


def times_drawn(rng: np.random.Generator, n: int, draws: NDArray[np.int64]) -> Iterator[NDArray[np.int64]]:
    """How often each of ``n`` things is drawn in ``draws[r]`` draws with replacement: blocks ``(at most R, n)``."""
    for start, stop in _blocks(len(draws), n):
        block = draws[start:stop]
        drawn = rng.integers(n, size=int(block.sum()))
        drawn += np.repeat(np.arange(stop - start) * n, block)
        yield np.bincount(drawn, minlength=(stop - start) * n).reshape(-1, n)


def swap_sums(rows: NDArray[np.number[Any]], trials: int, seed: int) -> Sums:
    """Sums of the rows that are swapped, each row with probability 1/2, in ``trials`` trials.

    Rows ``(N, columns)``, what the totals of one system gain (and the other's lose) by swapping a pair, to float64
    ``(trials, columns)``, exact for integers.
    """
    rng = np.random.default_rng(seed)
    sums = np.zeros((trials, rows.shape[1]))
    if not np.issubdtype(rows.dtype, np.integer):
        for start, stop in _blocks(trials, len(rows)):
            sums[start:stop] = rng.integers(0, 2, size=(stop - start, len(rows)), dtype=np.int8) @ rows
        return sums
    _, kinds, size = _kinds(rows)
    changing = kinds.any(axis=1)  # swapping equal counts changes nothing
    values, size = kinds[changing].astype(np.float64), size[changing]
    for start, stop in _blocks(trials, len(size)) if len(size) else ():
        sums[start:stop] = rng.binomial(size, 0.5, size=(stop - start, len(size))) @ values
    return sums


def _kinds(rows: NDArray[Any]) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
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
    """As ``np.unique``, which imports ``numpy.ma`` and so doubles the time that numpy takes to start."""
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


def bca_interval(value: float, sample: Sums, without: Sums, confidence: float) -> tuple[float, float]:
    """The (low, high) ends of the bias-corrected and accelerated interval (Efron 1987) of any statistic.

    ``value`` is that of the corpus, ``sample`` ``(n,)`` those of resamples, and ``without`` ``(N,)`` those with one
    sentence, or one of many groups of sentences, left out at a time.
    """
    normal = NormalDist()
    below = float((sample < value).mean() + (sample == value).mean() / 2)
    bias = normal.inv_cdf(min(max(below, 1 / (len(sample) + 1)), len(sample) / (len(sample) + 1)))
    off = without.mean() - without if len(without) else np.zeros(1)
    scale = 6 * float((off**2).sum()) ** 1.5
    skew = float((off**3).sum()) / scale if scale > 0 else 0.0
    ends = []
    for tail in ((1 - confidence) / 2, (1 + confidence) / 2):
        z = bias + normal.inv_cdf(tail)
        place = normal.cdf(bias + z / max(1 - skew * z, 1e-6)) * (len(sample) - 1)
        ends.append(float(np.interp(place, np.arange(len(sample)), np.sort(sample))))
    return ends[0], ends[1]


def _blocks(items: int, width: int) -> list[tuple[int, int]]:
    """Spans of ``items`` such that a block of ``width`` columns has no more cells than :data:`_CELLS`."""
    step = max(1, _CELLS // max(width, _NARROW))
    return [(start, min(start + step, items)) for start in range(0, items, step)]


@dataclass(frozen=True)
class Studentised:
    """What resamples say of one measure."""

    value: float  #: of the corpus; NaN if it is undefined
    error: float  #: its standard error by the jackknife
    sample: Sums  #: the measure in the resamples in which it is defined, ``(n,)``
    #: Sizes of (measure of a resample - ``value``) / (standard error in the resample), ``(at most n,)``; infinite where
    #: the resample has no spread but is off.
    ratios: Sums
    undefined: int  #: in how many resamples it is undefined
    ratio: bool  #: it is a ratio of 0 to 1

    def interval(self, confidence: float) -> tuple[float, float]:
        """The (low, high) ends of the interval.

        Where there is no standard error, or a ratio is 0 or 1, the middle of the resamples. Where too many resamples
        have no spread (of two sentence pairs, every second has none), no end is nearer than that middle.
        """
        known = self.ratios[np.isfinite(self.ratios)]
        if not self.error > 0 or not len(known):
            return percentile_interval(self.sample, confidence)
        level = confidence * len(self.ratios) / len(known)
        reach = percentile_interval(known, 2 * (level if level < 1 else confidence) - 1)[1] * self.error
        ends = self.value - reach, self.value + reach
        if self.ratio:
            odds = np.log(self.value / (1 - self.value))
            with np.errstate(over="ignore"):
                both = 1 / (1 + np.exp(-(odds + np.array([-1, 1]) * reach / (self.value * (1 - self.value)))))
            ends = float(both[0]), float(both[1])
        if level < 1:
            return ends
        middle = percentile_interval(self.sample, confidence)
        return min(ends[0], middle[0]), max(ends[1], middle[1])

    def p_value(self) -> float:
        """Two-sided, of the hypothesis that the measure is 0: how often a resample is as many standard errors off."""
        if not self.error > 0:
            return 1.0
        extreme = int((self.ratios >= abs(self.value) / self.error * (1 - _ROUNDING)).sum())
        return (extreme + 1) / (len(self.ratios) + 1)


def studentise(
    rows: NDArray[np.number[Any]], statistic: Statistic, resamples: int, seed: int, *, ratios: bool = True
) -> dict[str, Studentised]:
    """Resample rows ``(N, columns)``, and measure each resample in its own standard errors.

    ``ratios``: the measures are ratios of 0 to 1, not differences.
    """
    n, columns = rows.shape
    totals = rows.sum(axis=0, dtype=np.float64)
    values = {name: float(value) for name, value in statistic(totals).items()}
    measured = {name: np.empty(resamples) for name in values}
    errors = {name: np.empty(resamples) for name in values}
    start = 0
    for drawn in _resamples(rows, resamples, seed, True):
        sums, stop = drawn[:, :columns], start + len(drawn)
        for into, found in ((measured, statistic(sums)), (errors, _errors(sums, drawn[:, columns:], statistic, n))):
            for name in values:
                into[name][start:stop] = found[name]
        start = stop
    jackknife = _jackknife(rows, totals, statistic)
    out = {}
    for name, value in values.items():
        sample, spread = measured.pop(name), errors.pop(name)
        defined = ~np.isnan(sample)
        off = np.abs(sample - value)
        if ratios and 0 < value < 1:
            with np.errstate(divide="ignore", invalid="ignore"):
                scale = sample * (1 - sample)
                off = np.abs(np.log(sample / (1 - sample)) - np.log(value / (1 - value))) * scale
        inside = not ratios or 0 < value < 1
        error = jackknife[name] if inside and not np.isnan(value) else 0.0
        flat = spread <= _NO_SPREAD * error
        moved = np.abs(sample - value) > _ROUNDING * max(1.0, abs(value))
        usable = defined & np.where(flat, moved, np.isfinite(off) & (spread > 0))
        sizes = np.divide(off, spread, out=np.full_like(off, np.inf), where=~flat & (spread > 0))[usable]
        undefined = int((~defined).sum())
        out[name] = Studentised(value, error, sample[defined] if undefined else sample, sizes, undefined, ratios)
    return out


def _errors(sums: Sums, products: Sums, statistic: Statistic, n: int) -> dict[str, Sums]:
    """Standard errors of the measures in samples of ``n`` rows: sums ``(R, C)``, of products ``(R, C (C + 1) / 2)``.

    A measure that does not change when all sums are multiplied has a gradient that is orthogonal to the sums, so that
    no mean has to be taken off.
    """
    columns = sums.shape[1]
    gradients: dict[str, list[Sums]] = {}
    for column in range(columns):
        step = _STEP * np.maximum(np.abs(sums[:, column]), 1.0)
        ends = []
        for sign in (1, -1):
            moved = sums.copy()
            moved[:, column] += sign * step
            ends.append(statistic(moved))
        for name, ahead in ends[0].items():
            gradients.setdefault(name, []).append((ahead - ends[1][name]) / (2 * step))
    first, second = np.triu_indices(columns)
    weight = np.where(first == second, 1.0, 2.0)
    out = {}
    for name, found in gradients.items():
        gradient = np.stack(found, axis=1)
        variance = (products * gradient[:, first] * gradient[:, second] * weight).sum(axis=1) * n / max(n - 1, 1)
        out[name] = np.sqrt(np.maximum(variance, 0.0))
    return out


def _jackknife(rows: NDArray[np.number[Any]], totals: Sums, statistic: Statistic) -> dict[str, float]:
    """Standard errors of the measures by leaving out one row at a time."""
    n = len(rows)
    parts = [statistic(totals - rows[begin : begin + _PART].astype(np.float64)) for begin in range(0, n, _PART)]
    out = {}
    for name in parts[0]:
        without = np.concatenate([part[name] for part in parts])
        without = without[~np.isnan(without)]
        spread = ((without - without.mean()) ** 2).sum() if len(without) else 0.0
        out[name] = float(np.sqrt(spread * (n - 1) / n))
    return out


def jensen_shannon(first: Any, second: Any) -> Any:
    """Jensen-Shannon divergence of distributions ``(..., n)`` in bits, 0 (equal) to 1 (nothing shared), ``(...)``.

    JSD(p, q) = (KL(p || m) + KL(q || m)) / 2 with m = (p + q) / 2 (Lin 1991, equation 4.1, both weights 1/2). It is
    symmetric; its square root is a distance. Of two numpy arrays an array, of two torch tensors a tensor on their
    device; NaN gives NaN.

    >>> float(jensen_shannon(np.array([1.0, 0.0]), np.array([0.0, 1.0])))
    1.0
    """
    if first.shape[-1] != second.shape[-1]:
        raise InputError(f"rows over {first.shape[-1]} and {second.shape[-1]} columns cannot be compared")
    kind: Any = np if isinstance(first, np.ndarray) else importlib.import_module("torch")
    middle = (first + second) / 2
    # x log2(x / m), 0 where x is 0.
    parts = [x * kind.log2(kind.where(x > 0, x, 1.0) / kind.where(middle > 0, middle, 1.0)) for x in (first, second)]
    return kind.clip((parts[0] + parts[1]).sum(axis=-1) / 2, 0.0, 1.0)
