"""Intervals, paired tests and correlations over sentences: rows of one sentence hang together, so sentences are drawn.

A mean over rows is a ratio of sums over sentences. Its interval is a bootstrap over sentences (Efron & Tibshirani
1993). Two things measured on the same rows are tested by approximate randomisation (Riezler & Maxwell 2005), as
systems are in :mod:`align_eval.scoring.paired`: in each trial the two change places in every sentence with
probability 1/2. The p-value is two-sided, (c + 1) / (trials + 1) for c trials whose difference is as far from 0 as the
one observed.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from align_eval.errors import InputError, LengthMismatchError
from align_eval.infilling.measures import Floats
from align_eval.scoring.resample import percentile_interval

# Cells of a block of draws.
_CELLS = 1 << 21
_ROUNDING = 1e-9


@dataclass(frozen=True)
class Resampling:
    """How often is drawn, from which seed, and the level of the intervals.

    Raises:
        InputError: a number outside of its range.
    """

    resamples: int = 2000
    seed: int = 12345
    confidence: float = 0.95

    def __post_init__(self) -> None:
        if self.resamples < 0 or self.seed < 0:
            raise InputError(f"resamples and seed must be 0 or more, got {self.resamples} and {self.seed}")
        if not 0 < self.confidence < 1:
            raise InputError(
                f"the confidence level must be between 0 and 1, got {self.confidence}", remedy="Give 0.95 for 95 %"
            )


@dataclass(frozen=True)
class Estimate:
    """A mean over rows.

    Attributes:
        value: the mean; ``None`` if no row applies.
        low, high: ends of the interval; ``None`` with fewer than two sentences, or without resamples.
        rows, sentences: how many applied.
    """

    value: float | None
    low: float | None
    high: float | None
    rows: int
    sentences: int

    def to_json(self) -> dict[str, Any]:
        """Plain data; ``ci`` is ``None`` where there is no interval."""
        return {"value": self.value, "ci": interval(self.low, self.high), "rows": self.rows}


@dataclass(frozen=True)
class Comparison:
    """Two things measured on the same rows.

    Attributes:
        first, second: their means; ``difference``: first minus second.
        low, high: interval of the difference.
        p_value: two-sided; ``None`` if no row applies, or without resamples.
        rows, sentences: how many applied.
    """

    first: float | None
    second: float | None
    difference: float | None
    low: float | None
    high: float | None
    p_value: float | None
    rows: int
    sentences: int

    def to_json(self) -> dict[str, Any]:
        """Plain data without the two means, which callers name."""
        return {"difference": self.difference, "ci": interval(self.low, self.high), "p_value": self.p_value}


def interval(low: float | None, high: float | None) -> list[float] | None:
    """``[low, high]``, or ``None`` where there is no interval."""
    return None if low is None or high is None else [low, high]


def mean(values: Floats, sentence: NDArray[np.integer[Any]], how: Resampling) -> Estimate:
    """The mean of ``values`` ``(R,)`` with an interval over sentences; NaN does not count.

    Args:
        values: one a row.
        sentence: ``(R,)`` which sentence each row is of.
        how: resamples, seed, level.

    Raises:
        LengthMismatchError: not as many values as rows.
    """
    sums, counts = _sums(sentence, values)
    if not len(sums):
        return Estimate(None, None, None, 0, 0)
    low, high = _ends(sums, counts, how)
    rows = int(counts[:, 0].sum())
    return Estimate(float(sums.sum() / rows), low, high, rows, len(sums))


def compare(first: Floats, second: Floats, sentence: NDArray[np.integer[Any]], how: Resampling) -> Comparison:
    """Test whether two measures of the same rows differ, over sentences; rows where either is NaN do not count.

    Args:
        first, second: ``(R,)``, one a row.
        sentence, how: as for :func:`mean`.

    Raises:
        LengthMismatchError: not as many values as rows.
    """
    if len(first) != len(second):
        raise LengthMismatchError(f"{len(first)} rows against {len(second)}")
    both = np.isfinite(first) & np.isfinite(second)
    sums, counts = _sums(sentence, np.where(both, first - second, np.nan))
    if not len(sums):
        return Comparison(None, None, None, None, None, None, 0, 0)
    rows = int(counts.sum())
    low, high = _ends(sums, counts, how)
    p_value = _randomise(sums[:, 0], how) if how.resamples else None
    means = float(first[both].mean()), float(second[both].mean())
    return Comparison(*means, float(sums.sum() / rows), low, high, p_value, rows, len(sums))


def compare_groups(
    values: Floats, group: NDArray[np.bool_], sentence: NDArray[np.integer[Any]], how: Resampling
) -> Comparison:
    """Test whether rows inside a group differ from the others, by the two means within each sentence.

    Sentences with rows of one kind alone do not count; each other sentence counts once, however many rows it has.

    Args:
        values: ``(R,)``; group: ``(R,)`` bool; sentence, how: as for :func:`mean`.
    """
    inside, inside_counts = _by_sentence(sentence, np.where(group, values, np.nan))
    outside, outside_counts = _by_sentence(sentence, np.where(group, np.nan, values))
    both = (inside_counts > 0) & (outside_counts > 0)
    first, second = inside[both] / inside_counts[both], outside[both] / outside_counts[both]
    return compare(first, second, np.arange(len(first)), how)


def spearman(x: Floats, y: Floats, sentence: NDArray[np.integer[Any]], how: Resampling) -> Estimate:
    """Spearman's rank correlation over rows, ties by their middle rank, with an interval over sentences.

    Args:
        x, y: ``(R,)``, one a row; rows where either is not finite do not count.
        sentence, how: as for :func:`mean`.

    Returns:
        an estimate without value if there are fewer than three rows, or one side is constant.
    """
    use = np.isfinite(x) & np.isfinite(y)
    x_group, y_group = (np.unique(side[use], return_inverse=True)[1].reshape(-1) for side in (x, y))
    names, owner = np.unique(sentence[use], return_inverse=True)
    owner = owner.reshape(-1)
    rows = int(use.sum())
    none = Estimate(None, None, None, rows, len(names))
    value = _weighted_spearman(x_group, y_group, np.ones(rows)) if rows > 2 else None
    if value is None:
        return none
    drawn = []
    for weights in _draws(len(names), how) if len(names) > 1 else ():
        drawn += [_weighted_spearman(x_group, y_group, w[owner]) for w in weights.astype(np.float64)]
    sample = np.array([r for r in drawn if r is not None])
    if not len(sample):
        return Estimate(value, None, None, rows, len(names))
    return Estimate(value, *percentile_interval(sample, how.confidence), rows, len(names))


def _weighted_spearman(x_group: NDArray[Any], y_group: NDArray[Any], weight: Floats) -> float | None:
    total = float(weight.sum())
    if not total:
        return None
    ranks = []
    for group in (x_group, y_group):
        size = np.bincount(group, weights=weight)
        ranks.append((np.cumsum(size) - size + (size + 1) / 2)[group] - (total + 1) / 2)
    x, y = ranks
    scale = float((weight * x * x).sum() * (weight * y * y).sum())
    return float((weight * x * y).sum() / np.sqrt(scale)) if scale > 0 else None


def _by_sentence(sentence: NDArray[np.integer[Any]], values: Floats) -> tuple[Floats, Floats]:
    """Sum and number of the values of each sentence that has a row."""
    if len(sentence) != len(values):
        raise LengthMismatchError(f"{len(values)} values for {len(sentence)} rows")
    names, owner = np.unique(sentence, return_inverse=True)
    owner, use = owner.reshape(-1), np.isfinite(values)
    sums = np.bincount(owner[use], weights=values[use], minlength=len(names)).astype(np.float64)
    return sums, np.bincount(owner[use], minlength=len(names)).astype(np.float64)


def _sums(sentence: NDArray[np.integer[Any]], values: Floats) -> tuple[Floats, Floats]:
    """The same as columns ``(N, 1)``, of the sentences that have a row that counts."""
    sums, counts = _by_sentence(sentence, values)
    return sums[counts > 0, None], counts[counts > 0, None]


def _draws(sentences: int, how: Resampling) -> Iterator[NDArray[np.int64]]:
    """How often each sentence is drawn, ``(block, N)``, in all ``how.resamples`` times."""
    rng = np.random.default_rng(how.seed)
    step = max(1, _CELLS // max(sentences, 1))
    for start in range(0, how.resamples, step):
        size = min(step, how.resamples - start)
        yield rng.multinomial(sentences, np.full(sentences, 1 / sentences), size=size)


def _ends(sums: Floats, counts: Floats, how: Resampling) -> tuple[float | None, float | None]:
    if len(sums) < 2 or not how.resamples:
        return None, None
    both = np.concatenate([sums, counts], axis=1)
    drawn = np.concatenate([draws @ both for draws in _draws(len(sums), how)])
    return percentile_interval(drawn[:, 0] / drawn[:, 1], how.confidence)


def _randomise(sums: Floats, how: Resampling) -> float:
    rng = np.random.default_rng(how.seed)
    observed = abs(float(sums.sum()))
    slack = _ROUNDING * max(float(np.abs(sums).sum()), 1.0)
    step = max(1, _CELLS // len(sums))
    extreme = 0
    for start in range(0, how.resamples, step):
        size = min(step, how.resamples - start)
        signs = rng.integers(0, 2, size=(size, len(sums)), dtype=np.int8) * 2.0 - 1.0
        extreme += int((np.abs(signs @ sums) >= observed - slack).sum())
    return (extreme + 1) / (how.resamples + 1)
