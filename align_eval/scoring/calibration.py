"""Calibration: whether scores of 0 to 1 say how often what they are given to is correct (Guo et al. 2017)."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from align_eval.errors import InputError, LengthMismatchError


@dataclass(frozen=True)
class CalibrationBin:
    """What is scored above ``low`` and up to ``high`` (0 is in the first bin).

    ``score`` is its mean score and ``accuracy`` the share of it that is correct, both ``None`` where ``count`` is 0.
    """

    low: float
    high: float
    count: int
    score: float | None
    accuracy: float | None


@dataclass(frozen=True)
class Calibration:
    """How well scores tell correctness.

    Attributes, all 0..1, and ``None`` where nothing is scored:
        ece: expected calibration error, the mean distance of score and accuracy of bins, weighted by count.
        largest: the largest such distance, of any bin that is not empty.
        brier: mean squared distance of score and correctness (Brier 1950).
        count: how much is scored.
        bins: of equal width, from 0 to 1.
    """

    ece: float | None
    largest: float | None
    brier: float | None
    count: int
    bins: list[CalibrationBin]

    def to_json(self) -> dict[str, Any]:
        """Plain data for ``json.dumps``."""
        return asdict(self)


def check_scores(scores: ArrayLike) -> NDArray[np.float64]:
    """The scores as an array, if all are 0 to 1.

    Args:
        scores: array ``(n,)``.

    Raises:
        InputError: a score outside of 0 to 1, NaN included.
    """
    values = np.asarray(scores, dtype=np.float64).ravel()
    bad = ~((values >= 0) & (values <= 1))
    if bad.any():
        k = int(bad.argmax())
        raise InputError(
            f"{int(bad.sum())} of {len(values)} scores are not between 0 and 1; the first, number {k + 1}, is "
            f"{values[k]:g}",
            remedy="Give probabilities, or map scores to 0 to 1 first",
        )
    return values


def calibration(scores: ArrayLike, correct: ArrayLike, bins: int = 10) -> Calibration:
    """Compare scores with how often what they are given to is correct, in bins of equal width.

    Args:
        scores: of 0 to 1, ``(n,)``.
        correct: true where correct, ``(n,)``.
        bins: how many.

    Raises:
        InputError: a score outside of 0 to 1, or no bin.
        LengthMismatchError: scores and correctness differ in number.

    >>> found = calibration([0.2, 0.9, 0.9, 1.0], [False, True, False, True], bins=2)
    >>> f"{found.ece:.4f}", [(b.count, b.accuracy) for b in found.bins]  # (1 * 0.2 + 3 * (2.8 / 3 - 2 / 3)) / 4
    ('0.2500', [(1, 0.0), (3, 0.6666666666666666)])
    """
    if bins < 1:
        raise InputError(f"{bins} bins", remedy="Give one or more; 10 are usual")
    values = check_scores(scores)
    right = np.asarray(correct, dtype=bool).ravel().astype(np.float64)
    if len(right) != len(values):
        raise LengthMismatchError(f"{len(values)} scores but {len(right)} answers whether they are correct")
    edges = np.arange(bins + 1) / bins
    which = np.maximum(np.searchsorted(edges, values, side="left") - 1, 0)
    count = np.bincount(which, minlength=bins)
    sums = [np.bincount(which, weights=column, minlength=bins) for column in (values, right)]
    found = [
        CalibrationBin(float(low), float(high), int(n), float(s / n) if n else None, float(c / n) if n else None)
        for low, high, n, s, c in zip(edges[:-1], edges[1:], count, *sums, strict=True)
    ]
    total = len(values)
    if not total:
        return Calibration(None, None, None, 0, found)
    off = np.abs(sums[0] - sums[1])
    return Calibration(
        float(off.sum() / total), float((off / np.maximum(count, 1)).max()), float(((values - right) ** 2).mean()),
        total, found,
    )  # fmt: skip
