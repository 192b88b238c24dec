"""Breakdown by hand and against the whole."""

import json

import numpy as np
import pytest
from hypothesis import given, settings

from align_eval.corpora.pair import SentencePair
from align_eval.errors import LengthMismatchError, LinkRangeError
from align_eval.links import GoldLinks, Links
from align_eval.links.table import LinkTable
from align_eval.scoring import breakdown, counts
from align_eval.scoring.breakdown import NullWords, WordPair
from tests.scoring.reference import Corpus, corpora, gold_table, proposed_table


def pair(source: str, target: str) -> SentencePair:
    return SentencePair("1", tuple(source.split(" ")), tuple(target.split(" ")))


PAIRS = [pair("the house is big", "das Haus ist groß"), pair("yes , the end", "ja , das Ende da")]
GOLD = LinkTable.from_links(
    [
        GoldLinks(Links([(1, 1), (2, 2), (3, 3)]), Links([(0, 0)])),
        GoldLinks(Links([(0, 0), (2, 2), (3, 3), (3, 2)])),
    ]
)
PROPOSED = LinkTable.from_links([Links([(0, 0), (1, 1), (1, 2), (3, 3)]), Links([(0, 0), (1, 1), (3, 3), (0, 4)])])


def test_by_hand() -> None:
    parts = breakdown(GOLD, PROPOSED, PAIRS)
    short = parts.by_length[0]
    assert (short.name, short.sentences, short.links, short.sure, short.links_sure, short.links_possible) == (
        "1-10", 2, 8, 7, 4, 5,
    )  # fmt: skip
    assert short.aer == pytest.approx(100 * (1 - 9 / 15), abs=1e-6)
    assert parts.by_length[-1].name == "61+"
    assert parts.by_length[-1].aer is None
    near, far = parts.by_distance[0], parts.by_distance[-1]
    assert (near.name, far.name) == ("0-0.05", "0.4-1")
    assert (far.links, far.sure) == (1, 0)  # 0-4 of 4 x 5 words: 0 against 0.8
    assert parts.null_words == {
        "source": NullWords(words=8, null=1, null_linked=1, linked=6, linked_null=2),
        "target": NullWords(words=9, null=2, null_linked=2, linked=6, linked_null=1),
    }
    assert parts.wrong_pairs == [WordPair(",", ",", 1), WordPair("house", "ist", 1), WordPair("yes", "da", 1)]
    assert parts.missed_pairs == [
        WordPair("end", "das", 1), WordPair("is", "ist", 1), WordPair("the", "das", 1),
    ]  # fmt: skip
    kinds = {part.name: (part.links, part.sure, part.links_sure, part.links_possible) for part in parts.by_kind}
    assert kinds == {
        "one-to-one": (4, 4, 3, 3),
        "one-to-many": (4, 1, 1, 2),
        "many-to-one": (0, 1, 0, 0),
        "many-to-many": (0, 1, 0, 0),
    }


def test_without_sentences_only_kinds() -> None:
    parts = breakdown(GOLD, PROPOSED)
    assert set(parts.to_json()) == {"by_kind"}
    assert set(json.loads(json.dumps(breakdown(GOLD, PROPOSED, PAIRS).to_json()))) == {
        "by_kind", "by_length", "by_distance", "null_words", "wrong_pairs", "missed_pairs",
    }  # fmt: skip


@settings(max_examples=50)
@given(corpora)
def test_parts_add_up(corpus: Corpus) -> None:
    gold, proposed = gold_table(corpus), proposed_table(corpus)
    pairs = [pair("a b c d e f", "a b c d e f g")] * len(corpus)
    parts = breakdown(gold, proposed, pairs, top=10**6)
    total = counts(gold, proposed).sum(axis=0).tolist()
    for rows in (parts.by_length, parts.by_distance, parts.by_kind):
        table = [(p.links, p.sure, p.links_sure, p.links_possible) for p in rows]
        assert np.sum(table, axis=0).tolist() == total
    assert sum(p.count for p in parts.wrong_pairs) == total[0] - total[3]
    assert sum(p.count for p in parts.missed_pairs) == total[1] - total[2]
    linked = [{i for i, _ in p} for _, p, _ in corpus]
    assert parts.null_words["source"].null == sum(6 - len(words) for words in linked)


def test_errors() -> None:
    with pytest.raises(LengthMismatchError, match="2 sentence pairs but 1"):
        breakdown(GOLD, PROPOSED, PAIRS[:1])
    with pytest.raises(LinkRangeError, match="line 1"):
        breakdown(GOLD, PROPOSED, [pair("a b", "a b")] * 2)
