"""Measures of rows, by hand and by what must hold of them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from align_eval.corpora.pair import SentencePair
from align_eval.errors import InputError
from align_eval.infilling.measures import (
    RowCollector,
    WordRows,
    argmax_hit,
    diagonal_distance,
    entropy,
    gold_cells,
    mass_on,
    punctuation_columns,
    row_measures,
)
from align_eval.links import GoldLinks, Links
from align_eval.statistics import jensen_shannon
from tests.infilling.synthetic import fill, result, word_rows

PAIR = SentencePair("1", ("a", "b", "c", "."), ("x", "y", "z"), GoldLinks(Links([(0, 0)]), Links([(1, 0), (2, 2)])))
ROWS = np.array([[0.5, 0.25, 0.0, 0.25], [0.25, 0.25, 0.25, 0.25], [0.0, 0.0, 0.5, 0.0]])


def test_entropy_by_hand() -> None:
    assert entropy(np.array([[0.25] * 4, [0.5, 0.5, 0, 0], [0, 0, 1, 0]])).tolist() == [2.0, 1.0, 0.0]
    assert entropy(np.array([0.5, 0.25, 0.25])) == pytest.approx(1.5)
    assert np.isnan(entropy(np.array([np.nan, 1.0])))


def test_divergence_by_hand() -> None:
    p, q = np.array([1.0, 0, 0]), np.array([0, 0.5, 0.5])
    assert jensen_shannon(p, q) == pytest.approx(1.0)
    # m = (3/4, 1/4): (log2(4/3) + (1/2) log2(2/3) + (1/2) log2 2) / 2
    assert jensen_shannon(np.array([1.0, 0]), np.array([0.5, 0.5])) == pytest.approx(0.311278124459)
    with pytest.raises(InputError, match="3 and 2 columns"):
        jensen_shannon(p, np.array([0.5, 0.5]))


@st.composite
def two_rows(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    size = draw(st.integers(1, 8))
    cell = st.floats(0, 1).map(lambda x: 0.0 if x < 0.01 else x)
    rows = [draw(arrays(np.float64, size, elements=cell)) for _ in range(2)]
    first, second = ((r / r.sum()) if r.sum() > 0 else np.eye(size)[0] for r in rows)
    return first, second


@settings(deadline=None)
@given(two_rows())
def test_divergence_and_entropy_hold(rows: tuple[np.ndarray, np.ndarray]) -> None:
    p, q = rows
    assert jensen_shannon(p, q) == pytest.approx(float(jensen_shannon(q, p)), abs=1e-12)
    assert 0 <= jensen_shannon(p, q) <= 1
    assert jensen_shannon(p, p) == 0
    assert (jensen_shannon(p, q) > 0) == (np.abs(p - q).max() > 1e-7) or np.abs(p - q).max() < 1e-5
    assert -1e-12 <= entropy(p) <= np.log2(len(p)) + 1e-12
    assert entropy(np.full(len(p), 1 / len(p))) == pytest.approx(np.log2(len(p)))
    # Concavity: mixing never loses entropy, and the divergence is what it gains.
    gain = entropy((p + q) / 2) - (entropy(p) + entropy(q)) / 2
    assert jensen_shannon(p, q) == pytest.approx(float(gain), abs=1e-9)


def test_gold_and_punctuation() -> None:
    assert gold_cells(PAIR).tolist() == [[True, True, False, False], [False] * 4, [False, False, True, False]]  # type: ignore[union-attr]
    assert gold_cells(SentencePair("1", ("a",), ("b",))) is None
    assert punctuation_columns(PAIR).tolist() == [False, False, False, True]


def test_mass_and_peak_by_hand() -> None:
    cells = np.array([[True, False, False, True], [True, False, False, False], [False, False, False, True]])
    assert mass_on(ROWS, cells).tolist() == [0.75, 0.25, 0.0]
    assert mass_on(ROWS, cells[0]).tolist() == [0.75, 0.5, 0.0]
    # a single peak; four that tie, one of them gold; a peak elsewhere
    assert argmax_hit(ROWS, cells).tolist() == [1.0, 0.25, 0.0]
    almost = np.array([0.5, 0.5 + 1e-8, 0.0, 0.0])  # float32 cannot tell these apart
    assert argmax_hit(almost, cells[1]) == 0.5
    assert argmax_hit(np.array([0.5, 0.51, 0.0, 0.0]), cells[1]) == 0.0
    assert np.isnan(argmax_hit(np.full(4, np.nan), cells[1]))


@settings(deadline=None)
@given(st.integers(1, 9), st.data())
def test_a_uniform_row_hits_gold_by_its_share(size: int, data: st.DataObject) -> None:
    cells = np.array(data.draw(st.lists(st.booleans(), min_size=size, max_size=size)))
    row = np.full(size, np.float32(1) / np.float32(size)).astype(np.float64)
    assert argmax_hit(row, cells) == pytest.approx(cells.mean())


def test_distance_to_the_diagonal_by_hand() -> None:
    assert diagonal_distance(np.eye(5)).tolist() == [0.0] * 5
    # two rows at 1/4 and 3/4, four columns at 1/8, 3/8, 5/8, 7/8
    found = diagonal_distance(np.array([[0, 1.0, 0, 0], [0.25, 0.25, 0.25, 0.25]]))
    assert found == pytest.approx([0.125, (5 / 8 + 3 / 8 + 1 / 8 + 1 / 8) / 4])
    # weight on no word is left out
    assert diagonal_distance(np.array([[0.1, 0, 0, 0]])) == pytest.approx([0.375])
    assert np.isnan(diagonal_distance(np.zeros((1, 3)))).all()


def test_measures_of_rows_by_hand() -> None:
    rows = WordRows(ROWS[None], np.array([[0.0, 0.0, 0.25]]), np.array([[0.0, 0.0, 0.25]]), np.zeros((1, 3)))
    assert rows.distributions().sum(axis=-1).tolist() == [[1.0, 1.0, 1.0]]
    found = row_measures(rows, gold_cells(PAIR), punctuation_columns(PAIR))
    assert found["entropy"][0] == pytest.approx([1.5, 2.0, 1.5])
    assert found["mass"][0] == pytest.approx([0.75, np.nan, 0.5], nan_ok=True)
    assert found["accuracy"][0] == pytest.approx([1.0, np.nan, 1.0], nan_ok=True)
    assert found["end"][0].tolist() == [0.0, 0.0, 0.25]
    assert found["punctuation"][0].tolist() == [0.25, 0.25, 0.0]
    without = row_measures(rows, None, punctuation_columns(PAIR))
    assert np.isnan(without["mass"]).all()


def test_the_table_keeps_masked_and_visible_rows_apart() -> None:
    def rows_of(pair: SentencePair, masked: tuple[int, ...]) -> np.ndarray:
        rows = ROWS / ROWS.sum(axis=1, keepdims=True)
        rows[list(masked)] = 0.25
        return rows

    collector = RowCollector()
    collector.add(result(4, PAIR, [(0,), (0, 2)], rows_of, fill))
    collector.add(result(5, PAIR, [], rows_of, fill))
    table = collector.table()
    assert len(table) == 6
    assert table.sentence.tolist() == [4] * 6
    assert table.variant.tolist() == [0, 0, 0, 1, 1, 1]
    assert table.masked.tolist() == [True, False, False, True, False, True]
    assert table.ratio == pytest.approx([1 / 3] * 3 + [2 / 3] * 3)
    assert table.divergence[[1, 2, 4]].tolist() == [0.0, 0.0, 0.0]
    assert table.divergence[5] == pytest.approx(float(jensen_shannon(np.array([0, 0, 1.0, 0]), np.full(4, 0.25))))
    assert table.full["accuracy"][[0, 2]].tolist() == [1.0, 1.0]
    assert table.after["accuracy"][5] == pytest.approx(0.25)
    assert table.after["mass"][0] == pytest.approx(0.5)
    assert table.recovered == pytest.approx([1, np.nan, np.nan, 1, np.nan, 1], nan_ok=True)
    (masked,) = collector.masked
    assert masked.word.tolist() == [0, 0, 2]
    assert masked.values.tolist() == [[0.25] * 4] * 3
    assert len(RowCollector().table()) == 0


def test_a_word_without_sub_words_does_not_count() -> None:
    rows = word_rows(np.array([[0.5, 0.5, 0, 0], [np.nan] * 4, [0, 0, 1, 0]]), np.array([0, np.nan, 0]))
    found = row_measures(rows, gold_cells(PAIR), punctuation_columns(PAIR))
    assert np.isnan(
        [found["entropy"][0, 1], found["punctuation"][0, 1], found["distance"][0, 1], found["end"][0, 1]]
    ).all()
    assert np.isfinite(found["entropy"][0, [0, 2]]).all()
