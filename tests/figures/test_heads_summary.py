"""The reading of a grid of heads, on a flow whose numbers can be worked out by hand."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from align_eval.attribution.text import text_matrix
from align_eval.attribution.text_flow import Group, TextFlow
from align_eval.errors import InputError, UnknownNameError
from align_eval.figures.heads import sparsity, strongest_head, summarise_heads

SIGNED = np.zeros((3, 2, 3, 3))
SIGNED[1, 0, 2, 1] = -0.3  # layer 2, head 1: "the" reads "horse"
SIGNED[1, 0, 2, 0] = 0.1
SIGNED[1, 0, 1, 1] = 0.1
SIGNED[2, 1, 2, 2] = -0.5  # of a sub-word to itself
TOKENS = ("She", "horse", "the")


def matrix(signed: Any = SIGNED, keys: tuple[str, ...] = TOKENS) -> Any:
    return text_matrix(signed, TOKENS, keys, quantity="flow", model="tiny")


FLOW = TextFlow(
    matrix(), "self", True,
    "She horse the", np.array([[0, 3], [3, 9], [9, 13]]), 2, "horse", 0.25, 1, (("horse", 0.25), ("cat", 0.1)),
)  # fmt: skip


def test_what_is_said() -> None:
    reading = summarise_heads(FLOW, groups=[Group("<ENV>", 0, 2)])
    top = reading.to_json()["strongest"]
    assert top[0] == {
        "layer": 2, "head": 1, "query": "the", "key": "horse", "query_index": 2, "key_index": 1, "value": 0.3,
        "note": "supports the prediction",
    }  # fmt: skip
    assert top[1]["note"] == "opposes the prediction"
    assert len(top) == 2, "cells without flow, and those of sub-words to themselves, are none"
    assert reading.numbers["sparsity"]["above_half"] == 1
    assert reading.numbers["share_of_flow_by_layers"] == pytest.approx({"layer 1": 0, "layer 2": 0.5, "layer 3": 0.5})
    zoom = reading.numbers["zoomed_head"]
    assert zoom["gate"] == pytest.approx(-0.1)
    assert zoom["share_to_prediction"] == pytest.approx(0.8)
    assert zoom["share_to_itself"] == pytest.approx(0.2)
    assert zoom["share_in_strongest_cell"] == pytest.approx(0.6)
    (group,) = reading.groups
    assert group["tokens"] == "She horse"
    assert group["share_to_prediction"] == pytest.approx(1.0)
    assert group["share_to_prediction_all_heads"] == pytest.approx(0.4 / 0.9)
    text = reading.to_markdown()
    assert "probability 0.250 (rank 1)" in text
    assert "1 of 6 heads (16.7%) exceed half" in text
    assert "stronger than the strongest cell between two: layer 3, head 2, 'the', 0.5" in text
    assert json.loads(json.dumps(reading.to_json())) == reading.to_json()


def test_the_head_is_chosen_by_what_is_drawn() -> None:
    assert [strongest_head(FLOW, s) for s in ("max", "max-all", "sum", "flow", "share", "gate")] == [
        (2, 1), (3, 2), (2, 1), (3, 2), (2, 1), (3, 2),
    ]  # fmt: skip
    assert summarise_heads(FLOW, (1, 2)).subject["layer"] == 1


def test_a_prediction_that_is_not_the_first() -> None:
    reading = summarise_heads(replace(FLOW, rank=4))
    assert "'horse' is not what the model predicts: that is 'horse' (0.250)." in reading.anomalies


def test_cross_attention_has_no_diagonal() -> None:
    reading = summarise_heads(replace(FLOW, kind="cross", matrix=matrix(keys=("das", "Pferd", "."))))
    assert reading.strongest[0].value == 0.5
    assert "share_to_itself" not in reading.numbers["zoomed_head"]


def test_no_flow_at_all() -> None:
    reading = summarise_heads(replace(FLOW, matrix=matrix(np.zeros_like(SIGNED))))
    assert "No head has any flow." in reading.findings
    assert reading.strongest == ()
    json.dumps(reading.to_json())


def test_errors() -> None:
    with pytest.raises(InputError, match=r"no layer 4, head 1\. Choose from 3 layers of 2 heads"):
        summarise_heads(FLOW, (4, 1))
    with pytest.raises(UnknownNameError, match="'mean'"):
        summarise_heads(FLOW, scalar="mean")


def test_sparsity_by_hand() -> None:
    assert sparsity(np.array([1.0, 1.0, 1.0, 1.0]))["gini"] == pytest.approx(0)
    found = sparsity(np.array([[1.0, 2.0], [3.0, 6.0]]))
    # sum over ordered pairs of |difference|: 2 (1 + 2 + 5 + 1 + 4 + 3) = 32; 2 n^2 mean = 2 * 16 * 3
    assert found["gini"] == pytest.approx(32 / 96)
    assert (found["above_half"], found["share_of_top_ten"]) == (1, 1.0)
    assert sparsity(np.zeros(3))["gini"] == 0


@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=20), st.floats(0.1, 10))
def test_gini_has_no_unit_and_is_between_0_and_1(values: list[float], factor: float) -> None:
    array = np.array(values)
    gini = sparsity(array)["gini"]
    assert -1e-9 <= gini <= 1
    if array.sum() > 1e-3:
        assert sparsity(array * factor)["gini"] == pytest.approx(gini, abs=1e-6)
