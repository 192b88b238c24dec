"""Do the scores of links tell right ones from wrong ones? Thresholds, precision and recall, calibration."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from align_eval.errors import InputError
from align_eval.links.table import LinkTable
from align_eval.scoring.measures import counts, matches, measures
from align_eval.scoring.score import Score, rounded, score_counts

POINTS = 100
"""Thresholds of a curve at most."""


@dataclass(frozen=True)
class LinkScores:
    """What the scores of the links of one system are worth.

    Attributes:
        average_precision: ``sum of (R_k - R_(k-1)) P_k`` over the links in falling order of their scores, equal ones
            together: precision by P, recall by S, 0..1.
        curve: a row a threshold, the highest first: ``threshold``, ``kept`` (share of links with at least that score),
            ``precision``, ``recall`` and ``aer`` in percent, of all sentence pairs.
        threshold: the one with the lowest AER on the dev split; ``dev``, ``rest``: numbers of sentence pairs.
        before, after: scores of the rest without a threshold and with this one.
        reliability: rows of :func:`reliability`; empty if scores are not within 0..1. ``ece``: their error, or None.
    """

    average_precision: float
    curve: list[dict[str, float]]
    threshold: float
    dev: int
    rest: int
    before: Score
    after: Score
    reliability: list[dict[str, float]]
    ece: float | None

    def to_json(self) -> dict[str, Any]:
        """Plain data for ``json.dumps``."""
        found = {key: value for key, value in vars(self).items() if key not in ("before", "after")}
        both = {key: getattr(self, key).to_json() for key in ("before", "after")}
        return {**found, **{key: {k: v for k, v in one.items() if k != "signature"} for key, one in both.items()}}


def link_scores(
    gold: LinkTable, links: LinkTable, *, development: float = 0.2, seed: int = 12345, resamples: int = 1000,
    confidence: float = 0.95, name: str = "the links",
) -> LinkScores:  # fmt: skip
    """Judge the scores of links against gold.

    Args:
        gold, links: of the same sentence pairs in the same order; ``links`` with scores.
        development: share of the sentence pairs that the threshold is chosen on; seeded.

    Raises:
        InputError: the links have no scores, or one part would be empty.
    """
    if links.scores is None:
        raise InputError(
            "the links have no scores", file=name, remedy="Write them with scores: align-eval align --format jsonl"
        )
    size = round(gold.sentences * development)
    if not 0 < size < gold.sentences or not links.links:
        raise InputError(
            f"{links.links} links of {gold.sentences} sentence pairs are too few to choose a threshold on a share of "
            f"{development:g}", file=name, remedy="Give more",
        )  # fmt: skip
    order = np.random.default_rng(seed).permutation(gold.sentences)
    parts = np.sort(order[:size]), np.sort(order[size:])
    possible, sure = matches(gold, links)
    scores = links.scores.astype(np.float64)
    distinct = np.unique(scores)
    if len(distinct) > POINTS:
        distinct = np.unique(np.quantile(scores, np.linspace(0, 1, POINTS), method="lower"))
    base = counts(gold, links)
    tables = [_counts_above(base, links, scores, possible, sure, t) for t in distinct]
    dev = np.array([measures(rows[parts[0]].sum(axis=0, dtype=np.int64)[None])["aer"][0] for rows in tables])
    best = int(dev.argmin())
    options: dict[str, Any] = {"resamples": resamples, "seed": seed, "confidence": confidence}
    inside = int(np.diff(gold.offsets)[parts[1]].sum())
    curve = []
    for threshold, rows in zip(distinct[::-1], tables[::-1], strict=True):
        sums = rows.sum(axis=0, dtype=np.int64)
        values = {key: float(value[0]) for key, value in measures(sums[None]).items()}
        curve.append({
            "threshold": float(threshold), "kept": round(int(sums[0]) / links.links, 6),
            **{key: rounded(values[key]) or 0.0 for key in ("precision", "recall", "aer")},
        })  # fmt: skip
    steps = reliability(scores, possible) if scores.min() >= 0 and scores.max() <= 1 else []
    return LinkScores(
        round(average_precision(scores, possible, sure, int(gold.sure.sum())), 6), curve, float(distinct[best]),
        len(parts[0]), len(parts[1]), score_counts(base[parts[1]], inside, **options),
        score_counts(tables[best][parts[1]], inside, **options), steps, expected_calibration_error(steps),
    )  # fmt: skip


def _counts_above(
    base: NDArray[Any], links: LinkTable, scores: NDArray[np.float64], possible: NDArray[np.bool_],
    sure: NDArray[np.bool_], threshold: float,
) -> NDArray[np.int64]:  # fmt: skip
    """|A|, |S|, |A∩S|, |A∩P| of each sentence pair, of the links with at least a score."""
    rows = np.array(base, dtype=np.int64)
    keep = scores >= threshold
    for column, mask in ((0, keep), (2, keep & sure), (3, keep & possible)):
        rows[:, column] = np.bincount(links.sentence[mask], minlength=len(rows))
    return rows


def average_precision(
    scores: NDArray[np.float64], possible: NDArray[np.bool_], sure: NDArray[np.bool_], gold: int
) -> float:
    """The area under precision (links in P) over recall (links in S of ``gold``), step by step from the surest link."""
    order = np.argsort(-scores, kind="stable")
    ends = np.flatnonzero(np.append(np.diff(scores[order]) != 0, True))
    precision = np.cumsum(possible[order])[ends] / (ends + 1)
    recall = np.cumsum(sure[order])[ends] / max(gold, 1)
    return float((np.diff(recall, prepend=0.0) * precision).sum())


def reliability(scores: NDArray[Any], right: NDArray[np.bool_], bins: int = 10) -> list[dict[str, float]]:
    """How often what has a score of 0..1 is right, by bins of equal width; empty bins are left out.

    Keys of a row: ``from``, ``to``, ``count``, ``score`` (their mean) and ``right`` (the share that is).

    >>> rows = reliability(np.array([0.95, 0.92, 0.1]), np.array([True, False, False]))
    >>> [(row["count"], row["right"]) for row in rows]
    [(1, 0.0), (2, 0.5)]
    """
    which = np.minimum((np.asarray(scores) * bins).astype(int), bins - 1)
    rows = []
    for k in np.unique(which).tolist():
        inside = which == k
        rows.append({
            "from": k / bins, "to": (k + 1) / bins, "count": int(inside.sum()),
            "score": round(float(np.mean(scores[inside])), 4), "right": round(float(right[inside].mean()), 4),
        })  # fmt: skip
    return rows


def expected_calibration_error(rows: Sequence[dict[str, float]]) -> float | None:
    """The mean distance of score and share, weighted by counts (Guo et al. 2017); ``None`` without rows."""
    total = sum(row["count"] for row in rows)
    return sum(row["count"] * abs(row["score"] - row["right"]) for row in rows) / total if total else None
