"""The reading of a figure as JSON and Markdown."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from align_eval.errors import NonFiniteError
from align_eval.report.summary import Cell, Summary


def _reading(**more: object) -> Summary:
    cell = Cell(np.float32(0.52), layer=2, head="mean", query="laws", key="Gesetze", note="gold-aligned")  # type: ignore[arg-type]
    return Summary("paired heatmaps", "attention weight", ("It holds.",), (cell,), **more)  # type: ignore[arg-type]


def test_json_has_only_what_applies(tmp_path: Path) -> None:
    json_path, text_path = _reading(numbers={"a": np.array([0.1, 1.0])}).write(tmp_path, "x")
    data = json.loads(json_path.read_text("utf-8"))
    assert list(data["strongest"][0]) == ["layer", "head", "query", "key", "value", "note"]
    assert data["strongest"][0]["value"] == 0.52
    assert data["numbers"] == {"a": [0.1, 1.0]}
    text = text_path.read_text("utf-8")
    assert "- It holds." in text
    assert "layer 2, head mean, query 'laws', key 'Gesetze': 0.52 (gold-aligned)" in text


def test_a_number_that_json_lacks_is_refused_by_name() -> None:
    with pytest.raises(NonFiniteError, match=r"numbers\.rows\[1\] is nan"):
        _reading(numbers={"rows": [1.0, float("nan")]}).to_json()


def test_backticks_in_a_token_stay_text() -> None:
    reading = Summary("map", "weight", ("x",), (Cell(1.0, query="`"),))
    assert "`` query '`': 1 ``" in reading.to_markdown()
