"""Means, differences and correlations of rows, over sentences: rows of one sentence hang together.

A mean over rows is a ratio of sums over sentences; its interval is studentised, that of a rank correlation BCa
(:mod:`align_eval.statistics`), by a bootstrap that draws sentences. Two things measured on the same rows are tested by
approximate randomisation (Riezler & Maxwell 2005), as systems are in :mod:`align_eval.scoring.paired`: in each trial
the two change places in every sentence with probability 1/2. The p-value is two-sided, (c + 1) / (trials + 1) for c
trials whose difference is as far from 0 as the one observed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from align_eval.errors import LengthMismatchError
from align_eval.infilling.measures import Floats
from align_eval.statistics import Resampling, bca_interval, studentise, swap_sums, times_drawn

_ROUNDING = 1e-9
# Of the jackknife of a correlation: more sentences than this are left out a group at a time.
_GROUPS = 500


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


def mean(values: Floats, sentence: NDArray[np.integer[Any]], how: Resampling, *, share: bool = False) -> Estimate:
    """The mean of ``values`` ``(R,)`` with an interval over sentences; NaN does not count.

    Args:
        values: one a row.
        sentence: ``(R,)`` which sentence each row is of.
        how: resamples, seed, level.
        share: the values are shares of 0 to 1; so are the ends of the interval.

    Raises:
        LengthMismatchError: not as many values as rows.
    """
    sums, counts = _sums(sentence, values)
    if not len(sums):
        return Estimate(None, None, None, 0, 0)
    low, high = _ends(sums, counts, how, share)
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
    low, high = _ends(sums, counts, how, False)
    p_value = _randomise(sums, how) if how.resamples else None
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
    value = _weighted_spearman(x_group, y_group, np.ones(rows)) if rows > 2 else None
    low, high = None, None
    if value is not None and len(names) > 1 and how.resamples:
        rng, n = np.random.default_rng(how.seed), len(names)
        drawn = (w for block in times_drawn(rng, n, np.full(how.resamples, n)) for w in block)
        left_out = (np.arange(n) % min(n, _GROUPS) != group for group in range(min(n, _GROUPS)))
        sample, without = (
            np.array([r for w in times if (r := _weighted_spearman(x_group, y_group, w[owner] * 1.0)) is not None])
            for times in (drawn, left_out)
        )
        if len(sample):
            low, high = bca_interval(value, sample, without, how.confidence)
    return Estimate(value, low, high, rows, len(names))


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


def _ends(sums: Floats, counts: Floats, how: Resampling, share: bool) -> tuple[float | None, float | None]:
    if len(sums) < 2 or not how.resamples:
        return None, None
    found = studentise(np.concatenate([sums, counts], axis=1), _ratio, how.resamples, how.seed, shares=share)
    return found["mean"].interval(how.confidence)


def _ratio(sums: Floats) -> dict[str, Floats]:
    """The mean over rows, of sums ``(..., 2)`` of their values and their numbers."""
    return {"mean": sums[..., 0] / sums[..., 1]}


def _randomise(sums: Floats, how: Resampling) -> float:
    observed = float(sums.sum())
    slack = _ROUNDING * max(float(np.abs(sums).sum()), 1.0)
    null = np.abs(observed - 2 * swap_sums(sums, how.resamples, how.seed)[:, 0])
    return (int((null >= abs(observed) - slack).sum()) + 1) / (how.resamples + 1)
