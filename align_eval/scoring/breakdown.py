"""Where a system is right and wrong: by sentence length, distance, kind of link, null words and word pairs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from align_eval.errors import LengthMismatchError
from align_eval.links import BoolArray
from align_eval.links.table import LinkTable
from align_eval.scoring.measures import check_lengths, matches, measures

if TYPE_CHECKING:
    from align_eval.corpora.pair import SentencePair

Rows = NDArray[np.integer[Any]]

#: Upper ends (inclusive) of the buckets of sentence length, in source words; the last bucket is open.
LENGTHS = (10, 20, 30, 40, 60)
#: Upper ends (exclusive) of the buckets of distance from the diagonal; the last one holds the rest, up to 1.
DISTANCES = (0.05, 0.1, 0.2, 0.4)
#: Kinds of links, by whether their source word and their target word have other links too.
KINDS = ("one-to-one", "one-to-many", "many-to-one", "many-to-many")


@dataclass(frozen=True)
class Part:
    """Scores of a part of the links. Percent; ``None`` where there is nothing to divide by.

    Attributes:
        name: the bucket or kind.
        sentences: sentence pairs in it, where the part is one of sentence pairs.
        links, sure: |A| and |S| of the part.
        links_sure, links_possible: |A∩S| and |A∩P| of the part. For kinds, |A∩S| goes by the kind of the gold link and
            |A∩P| by the kind of the proposed link.
    """

    name: str
    links: int
    sure: int
    links_sure: int
    links_possible: int
    aer: float | None
    precision: float | None
    recall: float | None
    sentences: int | None = None


@dataclass(frozen=True)
class NullWords:
    """Words of one side: those that the gold leaves without any link, and those with a sure link."""

    words: int
    null: int  #: without a gold link, sure or possible
    null_linked: int  #: of these, linked by the system
    linked: int  #: with a sure gold link
    linked_null: int  #: of these, left without a link by the system


@dataclass(frozen=True)
class WordPair:
    """A source word, a target word, and how often their link was wrong or missed."""

    source: str
    target: str
    count: int


@dataclass(frozen=True)
class Breakdown:
    """The parts of :func:`breakdown`. All but ``by_kind`` are empty where the sentences are not known."""

    by_kind: list[Part]
    by_length: list[Part] = field(default_factory=list)
    by_distance: list[Part] = field(default_factory=list)
    null_words: dict[str, NullWords] = field(default_factory=dict)
    wrong_pairs: list[WordPair] = field(default_factory=list)
    missed_pairs: list[WordPair] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        """The breakdown as plain data for ``json.dumps``."""
        return {name: value for name, value in asdict(self).items() if value}


def breakdown(
    gold: LinkTable, hypothesis: LinkTable, pairs: Sequence[SentencePair] | None = None, *, top: int = 10
) -> Breakdown:
    """Score parts of the links.

    * By length: sentence pairs by their number of source words, see :data:`LENGTHS`.
    * By distance from the diagonal: links (0-based i, j; m, n words) by abs(i / m - j / n), see :data:`DISTANCES`.
    * By kind: recall of sure links by their kind among the sure links; precision of proposed links by their kind among
      the proposed links. ``one-to-many``: the source word has several links, the target word only this one.
    * Null words: how many words without a gold link are linked, how many with a sure one are not.
    * Word pairs: the most frequent links that are not in P (wrong), and links of S that were not proposed (missed).

    Without the sentence pairs there is only the part by kind. ``top``: how many word pairs.
    """
    check_lengths(gold.sentences, hypothesis.sentences)
    possible, sure = matches(gold, hypothesis)
    found, _ = matches(hypothesis, gold)

    def parts(names: Sequence[str], of_gold: Rows, of_hypothesis: Rows, sentences: Rows | None = None) -> list[Part]:
        """One part a name; ``of_gold`` and ``of_hypothesis`` say in which part (the index of its name) each row is."""
        rows = (of_hypothesis, of_gold[gold.sure], of_hypothesis[sure], of_hypothesis[possible])
        return _parts(names, rows, sentences)

    gold_kinds, kinds = _kinds(gold, gold.sure), _kinds(hypothesis)
    # A link can be of one kind as gold and of another as proposed link: AER, which mixes both, is left out.
    rows = (kinds, gold_kinds[gold.sure], gold_kinds[gold.sure & found], kinds[possible])
    by_kind = _parts(KINDS, rows, with_aer=False)
    if pairs is None:
        return Breakdown(by_kind)
    if len(pairs) != gold.sentences:
        raise LengthMismatchError(f"links of {gold.sentences} sentence pairs but {len(pairs)} sentence pairs of text")
    source = np.array([len(pair.source) for pair in pairs], dtype=np.int64)
    target = np.array([len(pair.target) for pair in pairs], dtype=np.int64)
    for table in (gold, hypothesis):
        table.check_range(source.tolist(), target.tolist())
    length = np.searchsorted(LENGTHS, source)
    starts = (1, *(end + 1 for end in LENGTHS))
    names = [f"{a}-{b}" for a, b in zip(starts, LENGTHS, strict=False)] + [f"{starts[-1]}+"]
    by_length = parts(names, length[gold.sentence], length[hypothesis.sentence], length)
    names = [f"{a}-{b}" for a, b in zip((0, *DISTANCES), (*DISTANCES, 1), strict=True)]
    near = [
        np.searchsorted(DISTANCES, np.abs(t.source / source[t.sentence] - t.target / target[t.sentence]), side="right")
        for t in (gold, hypothesis)
    ]
    return Breakdown(
        by_kind,
        by_length,
        parts(names, *near),
        {side: _null_words(gold, hypothesis, side, n) for side, n in (("source", source), ("target", target))},
        _word_pairs(hypothesis, ~possible, pairs, top),
        _word_pairs(gold, gold.sure & ~found, pairs, top),
    )


def _parts(
    names: Sequence[str], rows: Sequence[Rows], sentences: Rows | None = None, with_aer: bool = True
) -> list[Part]:
    """One part a name, from the part of each of the links |A|, |S|, |A∩S| and |A∩P|, and of each sentence pair."""
    table = np.stack([np.bincount(part, minlength=len(names)) for part in rows], axis=1)
    values = measures(table)
    counted = None if sentences is None else np.bincount(sentences, minlength=len(names)).tolist()
    out = []
    for k, (name, (a, s, a_s, a_p)) in enumerate(zip(names, table.tolist(), strict=True)):
        aer, precision, recall = (round(float(values[m][k]), 6) for m in ("aer", "precision", "recall"))
        shown = (aer if with_aer and a + s else None, precision if a else None, recall if s else None)
        out.append(Part(name, a, s, a_s, a_p, *shown, None if counted is None else counted[k]))
    return out


def _kinds(table: LinkTable, rows: BoolArray | None = None) -> NDArray[np.int64]:
    """The kind of every row (an index into :data:`KINDS`), by how many of ``rows`` its words are in."""
    several = []
    for words in (table.source, table.target):
        word = table.sentence.astype(np.int64) * (int(words.max(initial=0)) + 1) + words
        distinct, number = np.unique(word, return_inverse=True)
        degree = np.bincount(number if rows is None else number[rows], minlength=len(distinct))
        several.append(degree[number] > 1)
    return 1 * several[0] + 2 * several[1]


def _null_words(gold: LinkTable, hypothesis: LinkTable, side: str, lengths: NDArray[np.int64]) -> NullWords:
    """Counts of words of one side (``source`` or ``target``) with sentences of ``lengths`` words."""
    first = np.concatenate([[0], np.cumsum(lengths)])
    words = int(first[-1])
    linked = []
    for table, rows in ((gold, slice(None)), (gold, gold.sure), (hypothesis, slice(None))):
        flag = np.zeros(words, dtype=bool)
        flag[first[table.sentence[rows]] + getattr(table, side)[rows]] = True
        linked.append(flag)
    in_p, in_s, in_a = linked
    return NullWords(words, *(int(flag.sum()) for flag in (~in_p, ~in_p & in_a, in_s, in_s & ~in_a)))


def _word_pairs(table: LinkTable, rows: BoolArray, pairs: Sequence[SentencePair], top: int) -> list[WordPair]:
    """The most frequent word pairs of some rows; equally frequent ones in alphabetical order."""
    counter: Counter[tuple[str, str]] = Counter()
    columns = (column[rows].tolist() for column in (table.sentence, table.source, table.target))
    for sentence, i, j in zip(*columns, strict=True):
        pair = pairs[sentence]
        counter[pair.source[i], pair.target[j]] += 1
    ranked = sorted(counter.items(), key=lambda item: (-item[1], item[0]))
    return [WordPair(source, target, count) for (source, target), count in ranked[:top]]
