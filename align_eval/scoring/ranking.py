"""What scores rank first: average precision and the area under the ROC curve, with intervals over sentence pairs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from align_eval.scoring.measures import known
from align_eval.statistics import bca_interval, check_resampling, times_drawn

Floats = NDArray[np.float64]
# Groups of sentence pairs that are left out one at a time, at most.
_GROUPS = 200


@dataclass(frozen=True)
class Ranked:
    """Links by falling score: score, whether possible, whether sure, sentence pair; and all sure gold links."""

    scores: Floats
    possible: NDArray[np.bool_]
    sure: NDArray[np.bool_]
    sentence: NDArray[np.int32]
    sure_gold: int


def rank_measures(
    ranked: Ranked, sure: Floats, resamples: int, seed: int, confidence: float
) -> tuple[tuple[float | None, float | None], dict[str, tuple[float, float]]]:
    """Average precision and AUC, and their intervals; ``sure``: sure gold links of each sentence pair."""
    n = len(sure)
    value = _rank_measures(ranked, np.ones(n), sure)
    ci: dict[str, tuple[float, float]] = {}
    if resamples:
        blocks = times_drawn(np.random.default_rng(seed), n, np.full(resamples, n))
        sample = np.array([_rank_measures(ranked, drawn, sure) for block in blocks for drawn in block])
        without = np.array([_rank_measures(ranked, weights, sure) for weights in _left_out(n)])
        for k, name in enumerate(("average_precision", "auc")):
            drawn, less = (column[~np.isnan(column)] for column in (sample[:, k], without[:, k]))
            if not np.isnan(value[k]) and len(drawn):
                ci[name] = bca_interval(value[k], drawn, less, confidence)
    return (known(value[0]), known(value[1])), ci


def area_under_roc(
    scores: Floats, good: NDArray[np.bool_], unit: NDArray[Any], units: int, *, resamples: int = 1000,
    seed: int = 12345, confidence: float = 0.95,
) -> tuple[float | None, tuple[float, float] | None]:  # fmt: skip
    """How often a good thing is scored above one that is not, ties by half, and the BCa interval of it.

    Args:
        scores, good, unit: ``(n,)``; ``unit`` is the sentence pair, below ``units``, that is drawn with all it has.

    Returns:
        ``None`` where there is no good one or no other, or no resamples.
    """
    check_resampling(resamples, seed, confidence)
    order = np.argsort(-scores, kind="stable")
    ranked = Ranked(scores[order], good[order], good[order], unit[order], 0)
    (_, value), ci = rank_measures(ranked, np.zeros(units), resamples, seed, confidence)
    return value, ci.get("auc")


def _left_out(n: int) -> Iterator[Floats]:
    """Weights of sentence pairs, one of many groups at a time left out."""
    group = np.arange(n) * min(n, _GROUPS) // n
    return ((group != k).astype(np.float64) for k in range(int(group[-1]) + 1))


def _rank_measures(ranked: Ranked, weights: NDArray[Any], sure: Floats) -> tuple[float, float]:
    """Average precision and AUC with a weight for each sentence pair; NaN where undefined."""
    weight = weights[ranked.sentence].astype(np.float64)
    ends = np.flatnonzero(np.diff(ranked.scores, append=-np.inf))
    total, good, found = (
        np.cumsum(weight * column)[ends] for column in (np.ones(len(weight)), ranked.possible, ranked.sure)
    )
    sure_gold = float(weights @ sure)
    precision = np.divide(good, total, out=np.zeros(len(total)), where=total > 0)
    precise = float((np.diff(found, prepend=0.0) * precision).sum() / sure_gold) if sure_gold else np.nan
    wrong = total - good
    if not len(ends) or not good[-1] or not wrong[-1]:
        return precise, np.nan
    # Each wrong link: the correct ones above it, and half of those of its own score.
    above = good - np.diff(good, prepend=0.0) / 2
    return precise, float((np.diff(wrong, prepend=0.0) * above).sum() / (good[-1] * wrong[-1]))
