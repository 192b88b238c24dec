"""Links from matrices of every form that a user may have, and errors that name what is wrong in them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

import align_eval as ae
from align_eval.attribution.matrix import ScoreMatrix, Side, View
from align_eval.errors import InputError, NonFiniteError, UnknownNameError

MATRIX = [[0.9, 0.1, 0.2], [0.8, 0.3, 0.1], [0.1, 0.2, 0.7]]
OTHER = [[0.1, 0.6]]


@pytest.mark.parametrize(
    "form",
    [
        list,
        np.array,
        torch.tensor,
        lambda m: np.array(m, dtype=np.float32),
        lambda m: torch.tensor(m, dtype=torch.bfloat16),
        lambda m: np.array(m) * 10 // 1,
    ],
)
def test_one_matrix_of_any_form(form: Any) -> None:  # fmt: skip
    found = ae.links_from_matrix(form(MATRIX))
    assert list(found) == [(0, 0), (2, 2)]
    assert list(ae.links_from_matrix(form(MATRIX), "itermax")) == [(0, 0), (1, 0), (2, 2)]


def test_scores_are_those_of_the_method() -> None:
    found = ae.links_from_matrix(MATRIX)
    assert found.scores.tolist() == pytest.approx([0.9, 0.7])


@pytest.mark.parametrize("form", [list, lambda ms: [np.array(m) for m in ms], lambda ms: [torch.tensor(m) for m in ms]])
def test_many_matrices_of_any_size(form: Any) -> None:
    found = ae.links_from_matrix(form([MATRIX, OTHER]), method="forward")
    assert isinstance(found, ae.LinkTable)
    assert [list(one) for one in found] == [[(0, 0), (1, 0), (2, 2)], [(0, 1)]]
    cube = np.stack([MATRIX, MATRIX])
    assert [list(one) for one in ae.links_from_matrix(cube)] == [[(0, 0), (2, 2)]] * 2


def test_empty_sides_have_no_links() -> None:
    assert [len(one) for one in ae.links_from_matrix([np.zeros((0, 3)), np.zeros((3, 0)), np.array(OTHER)])] == [
        0,
        0,
        1,
    ]
    assert len(ae.links_from_matrix(np.zeros((0, 0)))) == 0


def test_a_score_matrix_of_the_package() -> None:
    sides = [Side(torch.tensor([[0, 1, 2]]), (3,), (3,))] * 2
    matrix = ScoreMatrix(torch.tensor(MATRIX)[None, None], *sides, (View(1, 1, "awi"),), "made up", ids=("7",))
    found = ae.links_from_matrix(matrix)
    assert list(found.ids) == ["7"]
    assert list(found[0]) == [(0, 0), (2, 2)]


@pytest.mark.parametrize(("bad", "error", "message"), [
    ([[0.1, float("nan")]], NonFiniteError, "the matrix has nan for source word 0 and target word 1, counted from 0"),
    ([MATRIX, [[0.1], [float("inf")]]], NonFiniteError, "the matrix 2 has inf for source word 1 and target word 0"),
    ([[0.1, 0.2], [0.3]], InputError, "the matrix is not made of numbers in rows of one length"),
    ([["a", "b"]], InputError, "the matrix is not made of numbers"),
    (np.zeros(3), InputError, "axes"),
    (np.zeros((1, 2, 3, 4)), InputError, r"the matrix 1 has 3 axes, \(2, 3, 4\)"),
    ("0-0 1-1", InputError, "not a score matrix"),
    (None, InputError, "not a score matrix"),
    (np.zeros((2, 2), dtype=complex), InputError, "not made of numbers"),
])  # fmt: skip
def test_what_is_wrong_is_named(bad: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        ae.links_from_matrix(bad)


def test_methods_are_checked() -> None:
    with pytest.raises(UnknownNameError, match="argmx"):
        ae.links_from_matrix(MATRIX, "argmx")
