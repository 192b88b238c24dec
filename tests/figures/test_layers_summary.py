"""The reading of a layer x token map: bands, peaks, settling, by hand."""

from __future__ import annotations

import json

import numpy as np
import pytest

from align_eval.attribution.text_layers import LensDepth
from align_eval.errors import InputError
from align_eval.figures.layers import summarise_depth, summarise_layers
from align_eval.report.summary import bands_of

TOKENS = ("So", "13", ".")
VALUES = np.array([[0.0, 0.2, 0.0], [0.0, 0.6, 0.1], [0.1, 0.0, 0.0]])


def test_bands_and_peaks() -> None:
    reading = summarise_layers(VALUES, TOKENS, quantity="attention weight", first=5, query=7, elsewhere=np.full(3, 0.5))
    top = reading.to_json()["strongest"][0]
    assert top == {"layer": 2, "query": ".", "key": "13", "query_index": 7, "key_index": 6, "value": 0.6}
    assert [band["name"] for band in reading.groups] == ["layer 1", "layer 2", "layer 3"]
    assert [band["tokens"] for band in reading.groups] == [["13"], ["13", "."], ["So"]]
    assert [band["share"] for band in reading.groups] == pytest.approx([0.2, 0.7, 0.1])
    assert reading.numbers["peak_layer"] == [
        {"token": "So", "layer": 3}, {"token": "13", "layer": 2}, {"token": ".", "layer": 2},
    ]  # fmt: skip
    assert any("60% of the whole lies on tokens in front" in sentence for sentence in reading.anomalies)
    assert "'13' 80%" in reading.to_markdown()


def depth(divergence: np.ndarray, agrees: np.ndarray | None = None, norm: bool = True) -> LensDepth:
    agrees = divergence <= 0.5 if agrees is None else agrees
    return LensDepth(TOKENS, 4, divergence, 1 - divergence, agrees, norm)


def test_settling() -> None:
    values = np.array([[0.2, 0.9, 1.0], [0.1, 0.8, 0.2], [0.1, 0.7, 0.6], [0.0, 0.0, 0.0]])
    reading = summarise_depth(depth(values), threshold=0.5)
    assert [row["layer"] for row in reading.numbers["settling_layer"]] == [1, 4, 4]
    assert reading.numbers["mean_settling_layer"] == 3
    assert [band["settle_here"] for band in reading.groups] == [1, 0, 2]
    assert reading.numbers["settling_by_kind"]["numbers"] == {"tokens": 1, "mean_layer": 4.0}
    assert "Half of the 3 tokens have settled by layer 4 of 4" in reading.findings[0]
    assert any("1 tokens had been below 0.5 bits and came back" in sentence for sentence in reading.anomalies)
    assert any("2 of 3 tokens settle in the last layer only" in sentence for sentence in reading.anomalies)
    json.dumps(reading.to_json())


def test_the_norm_is_named() -> None:
    values = np.array([[1.0, 1.0, 1.0], [0.0, 0.0, 0.0]])
    assert "final norm left out" in summarise_depth(depth(values, norm=False), threshold=0.5).quantity
    assert "final norm taken" in summarise_depth(depth(values), threshold=0.5).quantity


def test_bands() -> None:
    assert bands_of(12) == [(1, 4, "layers 1-4"), (5, 8, "layers 5-8"), (9, 12, "layers 9-12")]
    assert bands_of(1) == [(1, 1, "layer 1")]


def test_empty_and_wrong() -> None:
    zeros = summarise_layers(np.zeros((2, 3)), TOKENS, quantity="x")
    assert zeros.strongest == ()
    json.dumps(zeros.to_json())
    with pytest.raises(InputError, match="for 2 tokens"):
        summarise_layers(VALUES, TOKENS[:2], quantity="x")
