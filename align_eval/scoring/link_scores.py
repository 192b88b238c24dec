"""Scores of links against gold: what they rank first, how far they are probabilities, and where to cut.

A link is correct if it is among the possible gold links, as for precision. Thresholds keep the links scored as high or
higher. Links are compared across sentence pairs, so their scores must mean the same everywhere.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from align_eval.errors import InputError
from align_eval.links.table import LinkTable, kept
from align_eval.scoring.calibration import Calibration, calibration
from align_eval.scoring.measures import check_lengths, counts, known, matches, measures
from align_eval.scoring.paired import paired_tests
from align_eval.scoring.ranking import Ranked, rank_measures
from align_eval.scoring.score import Score, check_gold, score_counts
from align_eval.scoring.signature import Signature
from align_eval.statistics import check_resampling, split
from align_eval.version import __version__

Floats = NDArray[np.float64]
# Points of the curve at most.
_POINTS = 100


@dataclass(frozen=True)
class Cut:
    """The links scored ``threshold`` or higher.

    Attributes:
        links: how many; ``kept``: the share of all links, 0..1.
        covered: the share of words with a gold link, of both sides, that have one of these links, 0..1.
        precision, recall, f1, aer: percent, ``None`` where undefined.
    """

    threshold: float
    links: int
    kept: float
    covered: float
    precision: float | None
    recall: float | None
    f1: float | None
    aer: float


@dataclass(frozen=True)
class Chosen:
    """The threshold with the lowest AER on a dev split, and what it does on the rest.

    Attributes:
        development, development_aer: sentence pairs of the dev split, and the AER there, in percent: too good by what
            choosing gains.
        test: the rest with the threshold; ``test_all``: the rest with all links.
        p_value: of the difference of their AERs (approximate randomisation); ``None`` without resamples.
    """

    threshold: float
    development: int
    development_aer: float
    test: Score
    test_all: Score
    p_value: float | None


@dataclass(frozen=True)
class LinkScores:
    """How good the scores of one system's links are.

    Attributes:
        name: of the system.
        sentences, links, correct: counts.
        average_precision: sum over thresholds of precision times what recall gains (0..1); links that are not proposed
            are never found. ``None``: no sure gold link.
        auc: how often a correct link is scored above a wrong one, ties by half; ``None`` without one of them.
        ci: BCa intervals of these two over sentence pairs.
        calibration: whether the scores are probabilities of being correct.
        by_threshold: cuts at the lower ends of the bins; ``curve``: at 100 scores at most, from the highest.
        chosen: the threshold chosen on a dev split; ``None``: not asked for.
        signature: what makes the numbers citable; ``selection`` is the dev split.
    """

    name: str
    sentences: int
    links: int
    correct: int
    average_precision: float | None
    auc: float | None
    ci: dict[str, tuple[float, float]]
    calibration: Calibration
    by_threshold: list[Cut]
    curve: list[Cut]
    chosen: Chosen | None
    signature: str = ""

    def to_json(self) -> dict[str, Any]:
        """Plain data for ``json.dumps``."""
        out = {"system": self.name, **asdict(self)}
        del out["name"]
        if self.chosen is not None:
            out["chosen"] |= {"test": self.chosen.test.to_json(), "test_all": self.chosen.test_all.to_json()}
        return out


def link_scores(
    gold: LinkTable, links: LinkTable, name: str = "the hypothesis", *, bins: int = 10, development: float | None = 0.2,
    resamples: int = 1000, seed: int = 12345, confidence: float = 0.95, signature: Signature | None = None,
) -> LinkScores:  # fmt: skip
    """Judge the scores of links.

    Args:
        gold: sure and possible links, 0-based.
        links: proposed links with scores of 0 to 1, of the same sentence pairs.
        name: of the system.
        bins: of calibration, and cuts of the table.
        development: share of sentence pairs, drawn by the seed, that a threshold is chosen on; ``None``: none is.
        resamples, seed, confidence: of intervals over sentence pairs, and of the test; 0: none.
        signature: what is known of where the links come from.

    Raises:
        EmptyGoldError: the gold has no sentence pair or no link.
        LengthMismatchError: other numbers of sentence pairs.
        InputError: links without scores, a score outside of 0 to 1, or too few sentence pairs for a dev split.
    """
    check_gold(gold.sentences, gold.links)
    check_lengths(gold.sentences, links.sentences, name)
    check_resampling(resamples, seed, confidence)
    scores = _checked(links, name)
    possible, sure = matches(gold, links)
    order = np.argsort(-scores, kind="stable")
    ranked = Ranked(scores[order], possible[order], sure[order], links.sentence[order], gold.sure_links)
    cuts = _Cuts(gold, links, scores, ranked)
    ends = np.flatnonzero(np.diff(ranked.scores, append=-1.0))
    curve = ends[np.unique(np.linspace(0, len(ends) - 1, _POINTS).astype(int))] if len(ends) else ends
    said = (signature or Signature()).extend(
        sentences=gold.sentences, selection=None if development is None else f"threshold/{development:.3g}",
        conf=None if confidence == 0.95 or not resamples else confidence, bs=resamples, ci="bca" if resamples else None,
        ar=resamples if resamples and development is not None else None, seed=seed, version=__version__,
    )  # fmt: skip
    per_pair = np.bincount(gold.sentence[gold.sure], minlength=gold.sentences).astype(np.float64)
    values, ci = rank_measures(ranked, per_pair, resamples, seed, confidence)
    return LinkScores(
        name, gold.sentences, links.links, int(possible.sum()), values[0], values[1], ci,
        calibration(scores, possible, bins), [cuts.at(k / bins) for k in range(bins)],
        [cuts.at(float(ranked.scores[k])) for k in curve],
        None if development is None else _choose(gold, links, scores, development, resamples, seed, confidence),
        str(said),
    )  # fmt: skip


def _checked(links: LinkTable, name: str) -> Floats:
    """The scores, if there are some, all of 0 to 1."""
    if links.scores is None:
        if links.links:
            raise InputError(
                "its links have no scores", file=name,
                remedy="Give links with scores, as align-eval align --format jsonl writes them",
            )  # fmt: skip
        return np.zeros(0)
    scores = links.scores.astype(np.float64)
    bad = ~((scores >= 0) & (scores <= 1))
    if bad.any():
        k = int(bad.argmax())
        pair = links.ids[links.sentence[k]] if links.ids is not None else str(links.sentence[k] + 1)
        raise InputError(
            f"{int(bad.sum())} of {len(scores)} scores are not between 0 and 1; the first is {scores[k]:g}, of link "
            f"{links.source[k]}-{links.target[k]} (0-based) of sentence pair {pair}",
            file=name, remedy="Give probabilities, or map the scores to 0 to 1 first",
        )  # fmt: skip
    return scores


class _Cuts:
    """Measures of the links above any threshold."""

    def __init__(self, gold: LinkTable, links: LinkTable, scores: Floats, ranked: Ranked) -> None:
        self._ranked, self._found = ranked, [np.cumsum(ranked.sure), np.cumsum(ranked.possible)]
        sides = ((gold.source, links.source), (gold.target, links.target))
        self._best = np.sort(np.concatenate([_best(gold.sentence, a, links.sentence, b, scores) for a, b in sides]))

    def at(self, threshold: float) -> Cut:
        """The links scored as high or higher."""
        scores = self._ranked.scores
        n = len(scores) - int(np.searchsorted(scores[::-1], threshold, side="left"))
        found = [int(column[n - 1]) if n else 0 for column in self._found]
        values = measures(np.array([n, self._ranked.sure_gold, *found]))
        covered = len(self._best) - int(np.searchsorted(self._best, threshold, side="left"))
        precision, recall, f1 = (known(float(values[key])) for key in ("precision", "recall", "f1"))
        share = n / len(scores) if len(scores) else 0.0
        aer = float(values["aer"])
        return Cut(threshold, n, share, covered / len(self._best), precision, recall, f1, aer)


def _best(
    sentence: NDArray[Any], word: NDArray[Any], other: NDArray[Any], linked: NDArray[Any], scores: Floats
) -> Floats:
    """The best score of a link of each word that the gold links, -1 without one."""
    width = 1 + max(int(word.max(initial=0)), int(linked.max(initial=0)))
    words = np.unique(sentence.astype(np.int64) * width + word)
    keys = other.astype(np.int64) * width + linked
    at = np.minimum(np.searchsorted(words, keys), len(words) - 1)
    hit = words[at] == keys
    best = np.full(len(words), -1.0)
    np.maximum.at(best, at[hit], scores[hit])
    return best


def _choose(
    gold: LinkTable, links: LinkTable, scores: Floats, development: float, resamples: int, seed: int, confidence: float
) -> Chosen:
    """The threshold of the lowest AER on a dev split; of equal ones the lowest, which keeps most links."""
    if not 0 < development < 1:
        raise InputError(f"a dev split of {development:g} of the sentence pairs", remedy="Give a share between 0 and 1")
    mine, _ = split(gold.sentences, development, seed)
    inside = np.zeros(gold.sentences, dtype=bool)
    inside[mine] = True
    here = inside[links.sentence]
    possible, sure = matches(gold, links)
    order = np.argsort(-scores[here], kind="stable")
    levels = scores[here][order]
    columns = [np.cumsum(column[here][order]) for column in (np.ones(len(scores), dtype=np.int64), sure, possible)]
    sure_gold = int(gold.sure[inside[gold.sentence]].sum())
    rows = np.stack([columns[0], np.full(len(levels), sure_gold), *columns[1:]], axis=1)
    ends = np.flatnonzero(np.diff(levels, append=-1.0))
    if len(ends):
        aer = measures(rows[ends])["aer"]
        best = len(aer) - 1 - int(np.argmin(aer[::-1]))
        threshold, lowest = float(levels[ends[best]]), float(aer[best])
    else:
        threshold, lowest = 0.0, float(measures(np.array([0, sure_gold, 0, 0]))["aer"])
    rest = kept(gold, ~inside)
    every = counts(rest, kept(links, ~inside))
    above = counts(rest, kept(_above(links, scores, threshold), ~inside))
    how: dict[str, Any] = {"resamples": resamples, "seed": seed, "confidence": confidence}
    test, test_all = (score_counts(one, rest.links, **how) for one in (above, every))
    tested = paired_tests(every, above, tests=("randomisation",), **how) if resamples else {}
    p_value = tested["randomisation"].p_value["aer"] if tested else None
    return Chosen(threshold, len(mine), lowest, test, test_all, p_value)


def _above(links: LinkTable, scores: Floats, threshold: float) -> LinkTable:
    """The links scored as high or higher."""
    keep = scores >= threshold
    columns = links.sentence[keep], links.source[keep], links.target[keep]
    return LinkTable.presorted(*columns, links.sentences, links.sure[keep], None, links.ids)
