"""Measures by hand, at the edges, and against the definitions."""

from math import nan

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from align_eval.errors import InputError
from align_eval.scoring import MEASURES, counts, measures
from tests.scoring.reference import Corpus, corpora, gold_table, proposed_table, reference_scores


def at(*sums: int, alpha: float = 0.5) -> dict[str, float]:
    return {name: float(value) for name, value in measures(np.array(sums), alpha).items()}


def test_by_hand() -> None:
    # 4 proposed, 3 sure, 2 of them found, 3 of the proposed possible: 1 - 5/7, 3/4, 2/3.
    values = at(4, 3, 2, 3, alpha=0.25)
    assert values["aer"] == pytest.approx(200 / 7)
    assert values["precision"] == pytest.approx(75)
    assert values["recall"] == pytest.approx(200 / 3)
    assert values["f1"] == pytest.approx(100 * 12 / 17)
    assert values["f_alpha"] == pytest.approx(100 / (0.25 / 0.75 + 0.75 * 3 / 2))


@pytest.mark.parametrize(
    ("sums", "expected"),
    [
        ((0, 0, 0, 0), (0, nan, nan, nan)),  # nothing against nothing
        ((0, 5, 0, 0), (100, nan, 0, nan)),  # nothing proposed
        ((4, 0, 0, 4), (0, 100, nan, nan)),  # possible links only, all right
        ((4, 0, 0, 1), (75, 25, nan, nan)),  # possible links only, one right
        ((4, 5, 0, 0), (100, 0, 0, 0)),  # all wrong
    ],
)
def test_edges(sums: tuple[int, ...], expected: tuple[float, ...]) -> None:
    values = at(*sums)
    assert tuple(values[name] for name in ("aer", "precision", "recall", "f1")) == pytest.approx(expected, nan_ok=True)


def test_alpha_moves_from_recall_to_precision() -> None:
    assert at(10, 20, 5, 8, alpha=0)["f_alpha"] == pytest.approx(25)
    assert at(10, 20, 5, 8, alpha=1)["f_alpha"] == pytest.approx(80)
    for alpha, expected in ((1, 25), (0, nan), (0.5, nan)):  # what has no weight need not be defined
        assert at(4, 0, 0, 1, alpha=alpha)["f_alpha"] == pytest.approx(expected, nan_ok=True)
    with pytest.raises(InputError, match=r"between 0 and 1, got 1\.5"):
        at(1, 1, 1, 1, alpha=1.5)


@settings(max_examples=40)
@given(corpora)
def test_definitions(corpus: Corpus) -> None:
    values = measures(counts(gold_table(corpus), proposed_table(corpus)).sum(axis=0))
    for name, value in reference_scores(corpus).items():
        assert float(values[name]) == pytest.approx(value, abs=1e-9, nan_ok=True)


@settings(max_examples=40)
@given(corpora, st.floats(0, 1))
def test_percent(corpus: Corpus, alpha: float) -> None:
    for value in measures(counts(gold_table(corpus), proposed_table(corpus)), alpha).values():
        assert (((value >= 0) & (value <= 100 + 1e-9)) | np.isnan(value)).all()


def test_many_at_once() -> None:
    rows = np.array([[4, 3, 2, 3], [0, 0, 0, 0], [7, 9, 5, 6]])
    together = measures(rows)
    for name in MEASURES:
        np.testing.assert_array_equal(together[name], [at(*row)[name] for row in rows])
