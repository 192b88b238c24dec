"""Links that people judged, right or wrong, as test sets: does a system rank the wrong ones last?

The form is that of TransRead (Xu & Yvon 2016): a line a sentence pair, ``3 4:4:sure 17:19:partial``: its number, then
links from 0 with a label. Judged links are a sample of what an aligner proposed, not gold: a link that nobody judged is
neither right nor wrong.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from align_eval.errors import FormatError, InputError, LinkRangeError
from align_eval.files import read_lines
from align_eval.links.table import LinkTable
from align_eval.scoring.measures import check_lengths
from align_eval.scoring.ranking import area_under_roc

if TYPE_CHECKING:
    from align_eval.corpora.pair import SentencePair

#: Labels; all but ``wrong`` are right. ``possible`` stands where contextual and partial are not told apart.
JUDGEMENTS = ("sure", "contextual", "partial", "possible", "wrong")
MAJORITY = "majority"
_JUDGED = re.compile(r"([0-9]{1,9}(?:,[0-9]{1,9})*):([0-9]{1,9}(?:,[0-9]{1,9})*):([a-z]+)")
_UNALIGNED = re.compile(r"[0-9,]*:[0-9,]*:unaligned")
_FORM = "A line is like '3 4:4:sure 17:19:partial': the number of the pair, then links from 0 with a label"

Link = tuple[int, int, int]  # sentence pair, source word, target word, all from 0


@dataclass(frozen=True)
class JudgedLinks:
    """What one annotator, ``name``, says of links: labels of :data:`JUDGEMENTS` by link.

    ``unaligned``: how many words are said to have no link (``44::unaligned``), which is no judgement of a link.
    """

    name: str
    labels: dict[Link, str]
    unaligned: int = 0


@dataclass(frozen=True)
class JudgedScore:
    """One system against the judgements of one annotator.

    Attributes:
        judged, wrong, proposed: links judged; of these, those judged wrong, and those that the system proposes.
        auc: how often a right link is ranked above a wrong one; links that are not proposed are ranked below all that
            are, and ties count half. ``ci``: its interval over sentence pairs.
        auc_proposed: of the proposed links alone.
        labels: of each label how many links were judged so, how many are proposed, and the mean score of those.
    """

    system: str
    annotator: str
    judged: int
    wrong: int
    proposed: int
    auc: float | None
    ci: tuple[float, float] | None
    auc_proposed: float | None
    labels: dict[str, tuple[int, int, float | None]]

    def to_json(self) -> dict[str, Any]:
        """Plain data for ``json.dumps``."""
        return asdict(self)


def read_judged(path: str, pairs: Sequence[SentencePair]) -> JudgedLinks:
    """Read the judgements of one annotator. ``2:2,1:wrong`` judges each link of the words on both sides.

    Args:
        path: the file.
        pairs: the sentence pairs; their names are the numbers in the file.

    Raises:
        FormatError: a line of another form, an unknown label, or a pair or link that is there twice.
        InputError: a pair that the text does not have.
        LinkRangeError: a link outside of its sentence pair.
    """
    places = {pair.id: k for k, pair in enumerate(pairs)}
    labels: dict[Link, str] = {}
    seen: set[str] = set()
    unaligned = 0
    for line, text in read_lines(path):
        words = text.split()
        if not words:
            continue
        number, *links = words
        if number in seen or not number.isdigit():
            what = f"pair {number} is there twice" if number in seen else f"{number[:40]!r} is no number of a pair"
            raise FormatError(what, file=path, line=line, remedy=_FORM)
        seen.add(number)
        if number not in places:
            raise InputError(
                f"sentence pair {number} is not in the text", file=path, line=line,
                remedy="Give the text that was judged; the numbers are the names of its pairs",
            )  # fmt: skip
        pair = pairs[places[number]]
        for word in links:
            if _UNALIGNED.fullmatch(word):
                unaligned += 1
                continue
            match = _JUDGED.fullmatch(word)
            if match is None or match[3] not in JUDGEMENTS:
                known = f"; labels are {', '.join(JUDGEMENTS)}"
                raise FormatError(f"{word[:40]!r} is no judged link{known}", file=path, line=line, remedy=_FORM)
            groups = ([int(index) for index in group.split(",")] for group in (match[1], match[2]))
            for i, j in product(*groups):
                if i >= len(pair.source) or j >= len(pair.target):
                    raise LinkRangeError(
                        f"link {i}-{j} (0-based) is outside its pair of {len(pair.source)} and {len(pair.target)} "
                        "words",
                        file=path, line=line, remedy="Give the text that was judged",
                    )  # fmt: skip
                if (places[number], i, j) in labels:
                    raise FormatError(f"link {i}:{j} is judged twice", file=path, line=line, remedy="Leave one out")
                labels[places[number], i, j] = match[3]
    if not labels:
        raise InputError("no link is judged", file=path, remedy=_FORM)
    return JudgedLinks(path, labels, unaligned)


def majority(annotators: Sequence[JudgedLinks]) -> tuple[JudgedLinks, int]:
    """Right (``sure``) or wrong by most annotators, of links that all judged; and how many links that leaves out."""
    every = set().union(*(one.labels for one in annotators))
    labels: dict[Link, str] = {}
    for link in sorted(every):
        votes = [one.labels[link] == "wrong" for one in annotators if link in one.labels]
        if len(votes) == len(annotators) and 2 * sum(votes) != len(votes):
            labels[link] = "wrong" if 2 * sum(votes) > len(votes) else "sure"
    return JudgedLinks(MAJORITY, labels), len(every) - len(labels)


def score_judged(
    judged: JudgedLinks, links: LinkTable, sentences: int, name: str = "the links", *, resamples: int = 1000,
    seed: int = 12345, confidence: float = 0.95,
) -> JudgedScore:  # fmt: skip
    """Score the links of a system, 0-based, against judgements; links without scores are all ranked alike.

    Raises:
        LengthMismatchError: the links are of other sentence pairs.
    """
    check_lengths(sentences, links.sentences, name)
    scores = np.ones(links.links) if links.scores is None else links.scores.astype(np.float64)
    rows = zip(links.sentence.tolist(), links.source.tolist(), links.target.tolist(), strict=True)
    found = dict(zip(rows, scores.tolist(), strict=True))
    lowest = float(scores.min(initial=0.0)) - 1.0  # of what is not proposed
    order = sorted(judged.labels)
    values = np.array([found.get(link, lowest) for link in order])
    proposed = np.array([link in found for link in order], dtype=bool)
    labels = np.array([judged.labels[link] for link in order])
    units = np.array([link[0] for link in order], dtype=np.int64)
    good = labels != "wrong"
    auc, ci = area_under_roc(
        values, good, units, sentences, resamples=resamples, seed=seed, confidence=confidence
    )  # fmt: skip
    within, _ = area_under_roc(values[proposed], good[proposed], units[proposed], sentences, resamples=0)
    kinds = {label: _kind(labels == label, proposed, values) for label in JUDGEMENTS if (labels == label).any()}
    return JudgedScore(
        name, judged.name, len(order), int((~good).sum()), int(proposed.sum()), auc, ci, within, kinds
    )  # fmt: skip


def _kind(
    these: NDArray[np.bool_], proposed: NDArray[np.bool_], values: NDArray[np.float64]
) -> tuple[int, int, float | None]:
    both = these & proposed
    return int(these.sum()), int(both.sum()), float(values[both].mean()) if both.any() else None
