"""Links, gold links and tables of links, against plain Python sets."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from align_eval.errors import InputError, LengthMismatchError, LinkRangeError
from align_eval.links import GoldLinks, Links
from align_eval.links.table import LinkTable

INDEX = st.integers(0, 12)
PAIRS = st.lists(st.tuples(INDEX, INDEX), max_size=30)
SETTINGS = settings(max_examples=150, deadline=None)


@st.composite
def golds(draw: st.DrawFn) -> GoldLinks:
    possible = draw(PAIRS)
    return GoldLinks(Links(draw(PAIRS)), Links(possible))


class TestLinks:
    @SETTINGS
    @given(pairs=PAIRS)
    def test_is_a_sorted_set(self, pairs: list[tuple[int, int]]) -> None:
        links = Links(pairs)
        assert list(links) == sorted(set(pairs))
        assert links == Links(np.array(pairs, dtype=np.int64).reshape(-1, 2)) == Links(reversed(pairs))
        assert hash(links) == hash(Links(set(pairs)))
        assert len(links) == len(set(pairs))
        assert all(p in links for p in pairs)
        assert (99, 99) not in links
        assert links.pairs.dtype == np.int32
        assert list(links.reverse()) == sorted({(j, i) for i, j in pairs})
        assert links.reverse().reverse() == links
        assert pickle.loads(pickle.dumps(links)) == links
        assert str(links) == " ".join(f"{i}-{j}" for i, j in sorted(set(pairs)))

    @SETTINGS
    @given(one=PAIRS, other=PAIRS)
    def test_set_algebra(self, one: list[tuple[int, int]], other: list[tuple[int, int]]) -> None:
        a, b, left, right = Links(one), Links(other), set(one), set(other)
        assert set(a | b) == left | right
        assert set(a & b) == left & right
        assert set(a - b) == left - right
        assert (a <= b) == (left <= right)
        assert (a == b) == (left == right)

    @SETTINGS
    @given(pairs=PAIRS, scored=st.booleans())
    def test_reads_its_own_representation(self, pairs: list[tuple[int, int]], scored: bool) -> None:
        links = Links(pairs, np.arange(len(pairs)) / 7 if scored else None)
        for back in (Links(repr(links)), Links(repr(links)[7:-2]), eval(repr(links))):
            assert back == links
            assert (back.scores is None) == (links.scores is None or not len(links))
            if back.scores is not None:
                assert back.scores.tolist() == links.scores.tolist()
        assert Links(str(links)) == links

    @pytest.mark.parametrize(
        "bad", ["0-0 x", "0p0", "0-0:0.5 1-1", "0:0", ["0-0", "1-1"], ["12"], [(0.5, 1.0)], [(0, 0, 1)], [(0, 0), 3], 7]
    )
    def test_what_is_no_link(self, bad: Any) -> None:
        with pytest.raises(InputError) as caught:
            Links(bad)
        assert caught.value.remedy

    @pytest.mark.parametrize("score", [float("nan"), float("inf"), -float("inf")])
    def test_scores_are_finite(self, score: float) -> None:
        with pytest.raises(InputError, match="finite"):
            Links([(0, 0)], [score])
        assert Links([(0, 0)], [-3.5]).scores == [-3.5]

    @SETTINGS
    @given(rows=st.lists(st.tuples(st.integers(0, 2), INDEX, INDEX, st.integers(-9, 9), st.booleans()), max_size=20))
    def test_the_highest_score_of_a_link_is_kept(self, rows: list[tuple[int, int, int, int, bool]]) -> None:
        best: dict[tuple[int, int, int], tuple[int, bool]] = {}
        for k, i, j, score, sure in rows:
            old = best.get((k, i, j), (score, False))
            best[k, i, j] = (max(score, old[0]), sure or old[1])
        columns = np.array([row[:3] for row in rows], dtype=np.int64).reshape(-1, 3).T
        sure, scores = np.array([row[4] for row in rows], dtype=bool), np.array([row[3] for row in rows], dtype=float)
        table = LinkTable(columns[0], columns[1], columns[2], 3, sure, scores)
        assert table.scores is not None
        found = zip(table.sentence.tolist(), table.source.tolist(), table.target.tolist(), strict=True)
        values = zip(table.scores.tolist(), table.sure.tolist(), strict=True)
        assert dict(zip(found, values, strict=True)) == best
        for k in range(3):
            mine = [(row[1:3], row[3]) for row in rows if row[0] == k]
            links = Links([pair for pair, _ in mine], [score for _, score in mine])
            halves = [Links([p for p, _ in half], [s for _, s in half]) for half in (mine[::2], mine[1::2])]
            assert table[k] == links == halves[0] | halves[1]
            if len(links):
                assert table[k].scores.tolist() == links.scores.tolist() == (halves[0] | halves[1]).scores.tolist()

    @SETTINGS
    @given(pairs=PAIRS)
    def test_matrix(self, pairs: list[tuple[int, int]]) -> None:
        matrix = Links(pairs).matrix(13, 13)
        assert matrix.shape == (13, 13)
        assert Links.from_matrix(matrix) == Links(pairs)
        assert int(matrix.sum()) == len(set(pairs))

    @SETTINGS
    @given(rows=st.lists(st.tuples(INDEX, INDEX, st.floats(0, 1, width=32)), max_size=30))
    def test_the_highest_score_of_a_duplicate_stays(self, rows: list[tuple[int, int, float]]) -> None:
        best: dict[tuple[int, int], float] = {}
        for i, j, score in rows:
            best[i, j] = max(score, best.get((i, j), 0.0))
        links = Links([(i, j) for i, j, _ in rows], [score for *_, score in rows])
        assert links.scores is not None
        assert dict(zip(links, links.scores.tolist(), strict=True)) == best
        assert list(links) == sorted(best)
        again = pickle.loads(pickle.dumps(links.reverse().reverse()))
        assert again == links
        np.testing.assert_array_equal(again.scores, links.scores)

    def test_scores_from_a_matrix(self) -> None:
        scores = np.arange(6, dtype=np.float64).reshape(2, 3)
        links = Links.from_matrix(scores > 3, scores)
        assert list(links) == [(1, 1), (1, 2)]
        assert links.scores is not None
        assert links.scores.tolist() == [4, 5]

    @pytest.mark.parametrize(
        "pairs", [[(-1, 0)], [(0, -1)], [(2**31, 0)], [(1, 2, 3)], np.zeros(4, dtype=int), np.zeros((1, 3), dtype=int)]
    )
    def test_refused(self, pairs: Any) -> None:
        with pytest.raises(InputError):
            Links(pairs)

    def test_scores_of_another_length(self) -> None:
        with pytest.raises(InputError, match="2 links but"):
            Links([(0, 0), (1, 1)], [0.5])

    def test_range(self) -> None:
        links = Links([(0, 0), (2, 1)])
        links.check_range(3, 2)
        for sizes in ((2, 2), (3, 1)):
            with pytest.raises(LinkRangeError, match=rf"2-1 \(0-based\) .* {sizes[0]} source and {sizes[1]} target"):
                links.check_range(*sizes)
            with pytest.raises(LinkRangeError):
                links.matrix(*sizes)


class TestGoldLinks:
    @SETTINGS
    @given(gold=golds())
    def test_sure_is_within_possible(self, gold: GoldLinks) -> None:
        assert gold.sure <= gold.possible
        assert set(gold.possible_only) == set(gold.possible) - set(gold.sure)
        assert gold.reverse().reverse() == gold
        assert gold.reverse().sure <= gold.reverse().possible
        assert pickle.loads(pickle.dumps(gold)) == gold

    def test_text(self) -> None:
        assert str(GoldLinks(Links([(1, 1)]), Links([(0, 2)]))) == "0p2 1-1"


class TestLinkTable:
    @SETTINGS
    @given(items=st.lists(golds(), max_size=8))
    def test_gives_back_the_gold(self, items: list[GoldLinks]) -> None:
        table = LinkTable.from_links(items)
        assert [table.gold(k) for k in range(len(table))] == items
        assert list(table) == [gold.possible for gold in items]
        assert table.links == sum(len(g.possible) for g in items)
        assert table.sure_links == sum(len(g.sure) for g in items)
        assert [table.reverse().gold(k) for k in range(len(table))] == [g.reverse() for g in items]
        assert table.reverse().reverse() == table

    @SETTINGS
    @given(items=st.lists(PAIRS, max_size=8), data=st.data())
    def test_the_order_of_rows_does_not_matter(self, items: list[list[tuple[int, int]]], data: st.DataObject) -> None:
        rows = [(k, i, j) for k, pairs in enumerate(items) for i, j in pairs]
        shuffled = np.array(data.draw(st.permutations(rows)), dtype=np.int64).reshape(-1, 3)
        table = LinkTable(*shuffled.T, len(items))
        assert table == LinkTable.from_links(Links(pairs) for pairs in items)
        assert table.offsets.tolist()[0] == 0
        assert table.offsets.tolist()[-1] == table.links

    @SETTINGS
    @given(rows=st.lists(st.tuples(st.integers(0, 3), INDEX, INDEX, st.booleans()), max_size=30))
    def test_sure_wins_over_possible(self, rows: list[tuple[int, int, int, bool]]) -> None:
        columns = np.array(rows, dtype=np.int64).reshape(-1, 4).T
        table = LinkTable(columns[0], columns[1], columns[2], 4, columns[3].astype(bool))
        sure = {(k, i, j) for k, i, j, s in rows if s}
        found = zip(table.sentence.tolist(), table.source.tolist(), table.target.tolist(), strict=True)
        assert dict(zip(found, table.sure.tolist(), strict=True)) == {
            (k, i, j): (k, i, j) in sure for k, i, j, _ in rows
        }

    def test_scores_and_ids(self) -> None:
        table = LinkTable.from_links(
            [Links([(1, 0), (0, 0)], [0.25, 0.5]), Links(), Links([(0, 0)], [1.0])], ["a", "b", "c"]
        )
        assert table.ids == ["a", "b", "c"]
        assert table.scores is not None
        assert table.scores.tolist() == [0.5, 0.25, 1.0]
        assert table[0].scores is not None
        assert table[1] == Links()
        assert table[-1] == Links([(0, 0)])
        assert LinkTable.from_links([Links([(0, 0)], [1.0]), Links([(0, 0)])]).scores is None
        with pytest.raises(IndexError):
            table[3]

    def test_refused(self) -> None:
        one = np.array([0])
        with pytest.raises(InputError, match="differ in length"):
            LinkTable(one, one, np.array([0, 1]), 1)
        with pytest.raises(LengthMismatchError, match="1 sentence pairs but 2 ids"):
            LinkTable(one, one, one, 1, ids=["a", "b"])
        with pytest.raises(InputError, match="negative"):
            LinkTable(one, one - 1, one, 1)
        with pytest.raises(LengthMismatchError, match="sentence 4 of only 4"):
            LinkTable(one + 4, one, one, 4)

    def test_range(self) -> None:
        table = LinkTable.from_links([Links([(0, 0)]), Links([(0, 3)])])
        table.check_range([1, 1], [1, 4])
        with pytest.raises(LinkRangeError, match="line 2: link 0-3") as caught:
            table.check_range([1, 1], [1, 3])
        assert caught.value.line == 2
        with pytest.raises(LengthMismatchError):
            table.check_range([1], [1])
        LinkTable.from_links([Links()]).check_range([0], [0])

    @pytest.mark.parametrize(
        ("sentence", "sentences"),
        [([], 0), ([], 3), ([0], 1), ([2], 4), ([0, 0, 1], 2), ([0, 2, 2, 5], 6), ([1, 1], 2), ([0, 3], 9)],
    )
    def test_offsets_are_the_first_row_of_each_pair(self, sentence: list[int], sentences: int) -> None:
        column = np.array(sentence, dtype=np.int32)
        cells = np.arange(len(sentence), dtype=np.int32)
        expected = [sum(s < k for s in sentence) for k in range(sentences + 1)]
        sure = np.ones(len(sentence), dtype=bool)
        for table in (
            LinkTable(column, cells, cells, sentences),
            LinkTable.presorted(column, cells, cells, sentences, sure),
        ):
            assert table.offsets.tolist() == expected
            assert table.offsets.dtype == np.int64

    def test_a_million_rows_are_fast_to_slice(self) -> None:
        import time

        sentence = np.repeat(np.arange(100_000), 10)
        index = np.tile(np.arange(10), 100_000)
        start = time.process_time()
        table = LinkTable(sentence, index, index, 100_000)
        assert table.links == 1_000_000
        assert list(table[99_999]) == [(k, k) for k in range(10)]
        assert time.process_time() - start < 2
