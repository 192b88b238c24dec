"""The four counts against sets and loops."""

import importlib

import numpy as np
import pytest
from hypothesis import given, settings

from align_eval.errors import InputError, LengthMismatchError
from align_eval.links import Links
from align_eval.links.table import LinkTable
from align_eval.scoring import counts
from tests.scoring.reference import Corpus, corpora, gold_table, proposed_table, reference_counts

module = importlib.import_module("align_eval.scoring.measures")


@pytest.fixture
def numpy_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """As where nothing was compiled."""
    monkeypatch.setattr(module, "library", lambda: None)


@settings(max_examples=40)
@given(corpora)
def test_counts_are_those_of_sets(corpus: Corpus) -> None:
    assert counts(gold_table(corpus), proposed_table(corpus)).tolist() == reference_counts(corpus)


@settings(max_examples=40)
@given(corpora)
def test_counts_with_numpy_alone_are_those_of_sets(corpus: Corpus) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "library", lambda: None)
        assert counts(gold_table(corpus), proposed_table(corpus)).tolist() == reference_counts(corpus)


@settings(max_examples=40)
@given(corpora)
def test_counts_by_search_are_those_of_the_table(corpus: Corpus) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "library", lambda: None)
        patch.setattr(module, "_TABLE", -1)
        assert counts(gold_table(corpus), proposed_table(corpus)).tolist() == reference_counts(corpus)


@pytest.mark.usefixtures("numpy_alone")
@pytest.mark.parametrize("table", [-1, 300, 1 << 22])
def test_blocks_of_sentence_pairs_do_not_change_the_counts(table: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """600 sentence pairs, some without links, in blocks of 7 and whole, by table, by search, and by both."""
    chance = np.random.default_rng(5)
    corpus: Corpus = []
    for k in range(600):
        drawn = [{(int(i), int(j)) for i, j in chance.integers(0, 3 + k % 9, (n, 2))} for n in (k % 5, k % 7, k % 4)]
        corpus.append((drawn[0], drawn[0] | drawn[1], drawn[2]))
    monkeypatch.setattr(module, "_TABLE", table)
    for chunk in (7, 599, 600, 512):
        monkeypatch.setattr(module, "_CHUNK", chunk)
        assert counts(gold_table(corpus), proposed_table(corpus)).tolist() == reference_counts(corpus)


@pytest.mark.parametrize("numpy", [False, True])
def test_long_sparse_sentences_are_searched(numpy: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if numpy:
        monkeypatch.setattr(module, "library", lambda: None)
    gold = LinkTable.from_links([Links([(5000, 7000), (0, 0)]), Links([(1, 1)])])
    proposed = LinkTable.from_links([Links([(5000, 7000)]), Links([(1, 1), (9999, 9998)])])
    assert counts(gold, proposed).tolist() == [[1, 2, 1, 1], [2, 1, 1, 1]]


def test_nothing_proposed_and_nothing_at_all() -> None:
    gold = LinkTable.from_links([Links([(0, 0)]), Links()])
    nothing = LinkTable.from_links([Links(), Links()])
    assert counts(gold, nothing).tolist() == [[0, 1, 0, 0], [0, 0, 0, 0]]
    assert counts(nothing, gold).tolist() == [[1, 0, 0, 0], [0, 0, 0, 0]]
    assert counts(LinkTable.from_links([]), LinkTable.from_links([])).shape == (0, 4)


def test_other_number_of_sentences() -> None:
    gold, proposed = LinkTable.from_links([Links()] * 3), LinkTable.from_links([Links()] * 2)
    with pytest.raises(LengthMismatchError, match=r"gold has 3 sentence pairs, the hypothesis 2.*Give"):
        counts(gold, proposed)


@pytest.mark.parametrize("numpy", [False, True])
def test_index_that_no_sentence_has(numpy: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if numpy:
        monkeypatch.setattr(module, "library", lambda: None)
    high = np.array([2**31 - 1])
    gold = LinkTable(np.array([0]), high, high, 9)
    with pytest.raises(InputError, match="too high"):
        counts(gold, gold)
