"""Do words without a link tell what a translation omits and makes up? Against labels of words and sentences."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from align_eval.corpora.words import is_punctuation
from align_eval.errors import LengthMismatchError
from align_eval.links import Links
from align_eval.scoring.ranking import area_under_roc
from align_eval.translation.labelled import LabelledPair

SIDES = ("omission", "hallucination")


@dataclass(frozen=True)
class Detection:
    """One kind of fault, in all pairs or in those of one direction.

    Attributes:
        kind: of :data:`SIDES`: source words left out, or words of the translation made up.
        pairs, faulty: sentence pairs, and those whose degree is above 1.
        words, marked, unlinked, found: words counted; those labelled; those without a link; those with both.
        precision, recall: of words without a link, percent; ``None`` where nothing is below the line.
        auc: how often a labelled word is less surely linked than another one: by 1 minus the best score of its links,
            by nothing but having one where links carry no scores.
        sentence_auc: how often a faulty sentence has a greater share of words without a link than another one.
        ci: BCa intervals of both over sentence pairs.
    """

    kind: str
    direction: str
    pairs: int
    faulty: int
    words: int
    marked: int
    unlinked: int
    found: int
    precision: float | None
    recall: float | None
    auc: float | None
    sentence_auc: float | None
    ci: dict[str, tuple[float, float]] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Plain data for ``json.dumps``."""
        return asdict(self)


def detect(
    pairs: Sequence[LabelledPair], links: Sequence[Links], *, direction: str = "all", punctuation: bool = False,
    resamples: int = 1000, seed: int = 12345,
) -> list[Detection]:  # fmt: skip
    """Score words without a link against labels, omissions first.

    Args:
        pairs, links: labelled translations, and the 0-based links of each.
        direction: a name for what the pairs are.
        punctuation: marks count as words; else they are left out, and a link to one covers nothing, as in
            :func:`align_eval.translation.coverage.sentence_coverage`.

    Raises:
        LengthMismatchError: other numbers of pairs and links.
        LinkRangeError: a link outside its pair.
    """
    if len(pairs) != len(links):
        raise LengthMismatchError(f"{len(pairs)} labelled pairs but links of {len(links)}")
    sides = [_suspicion(one, found, punctuation) for one, found in zip(pairs, links, strict=True)]
    out = []
    for k, kind in enumerate(SIDES):
        counts = np.array([len(side[k][0]) for side in sides], dtype=np.int64)
        suspicion = np.concatenate([side[k][0] for side in sides])
        unlinked = np.concatenate([side[k][1] for side in sides])
        marked = np.concatenate([side[k][2] for side in sides])
        unit = np.repeat(np.arange(len(pairs)), counts)
        faulty = np.array([(one.omission, one.hallucination)[k] > 1 for one in pairs], dtype=bool)
        share = np.bincount(unit, weights=unlinked, minlength=len(pairs)) / np.maximum(counts, 1)
        areas = {
            "auc": area_under_roc(suspicion, marked, unit, len(pairs), resamples=resamples, seed=seed),
            "sentence_auc": area_under_roc(
                share, faulty, np.arange(len(pairs)), len(pairs), resamples=resamples, seed=seed
            ),
        }
        both = int((marked & unlinked).sum())
        numbers = len(suspicion), int(marked.sum()), int(unlinked.sum()), both
        out.append(Detection(
            kind, direction, len(pairs), int(faulty.sum()), *numbers,
            100 * both / numbers[2] if numbers[2] else None, 100 * both / numbers[1] if numbers[1] else None,
            areas["auc"][0], areas["sentence_auc"][0],
            {name: ends for name, (_, ends) in areas.items() if ends is not None},
        ))  # fmt: skip
    return out


_Side = tuple[NDArray[np.float64], NDArray[np.bool_], NDArray[np.bool_]]


def _suspicion(one: LabelledPair, links: Links, punctuation: bool) -> list[_Side]:
    """Of the words counted of both sides: how suspect each is, whether it has no link, whether it is labelled."""
    links.check_range(len(one.pair.source), len(one.pair.target))
    counted = [
        np.array([punctuation or not is_punctuation(word) for word in words], dtype=bool)
        for words in (one.pair.source, one.pair.target)
    ]
    rows = links.pairs.reshape(-1, 2)
    scores = np.zeros(len(rows)) if links.scores is None else links.scores.astype(np.float64)
    keep = counted[0][rows[:, 0]] & counted[1][rows[:, 1]]
    lowest = float(scores.min(initial=0.0)) - 1.0
    out = []
    for k, labels in enumerate((one.omitted, one.made_up)):
        best = np.full(len(labels), -np.inf)
        np.maximum.at(best, rows[keep, k], scores[keep])
        unlinked = np.isneginf(best)
        out.append((
            -np.where(unlinked, min(lowest, -1.0), best)[counted[k]], unlinked[counted[k]],
            np.array(labels, dtype=bool)[counted[k]],
        ))  # fmt: skip
    return out
