"""The reading of a context pattern."""

from __future__ import annotations

import json

import numpy as np

from align_eval.patterns import detect, make_mask_kind
from align_eval.report.pattern import strongest_cells, summarise_pattern
from align_eval.report.summary import Summary


def reading(spec: str, n: int = 64, **options: object) -> Summary:
    cells = make_mask_kind(spec)(n)
    return summarise_pattern(cells, detect(cells), quantity="mask", subject={"mask": spec}, **options)  # type: ignore[arg-type]


def test_sinks_and_a_window() -> None:
    found = reading("sink-window:sinks=2,window=8", keys=[f"w{k}" for k in range(64)])
    text = "\n".join(found.findings)
    assert "Best explained by sink window (sinks 2, window 8): 100.0% of the 2,080 causal cells" in text
    assert "Runner-up: vertical slash" in text
    assert "Window: 8 keys up to the query" in text
    assert "Sink columns (80 % of the queries beyond the window or more): 0 'w0', 1 'w1'." in text
    assert "No blocked rows." in text
    assert found.anomalies == ()
    assert found.numbers["kind"] == "sink-window"
    assert found.numbers["parameters"] == {"sinks": 2, "window": 8, "causal": True}
    assert found.groups[0]["name"] == "sink-window"
    assert found.groups[0]["explained"] == 1
    json.dumps(found.to_json())
    assert "sink window" in found.to_markdown()


def test_blocked_rows_and_their_period() -> None:
    text = "\n".join(reading("masked-rows:period=16").findings)
    assert "4 rows attend to a third or less of what the mask gives (15, 31, 47, 63)" in text
    assert "; every 16 rows from row 15." in text


def test_segments_are_named_by_their_first_tokens() -> None:
    found = reading("segments:starts=9+30", keys=[f"w{k}" for k in range(64)])
    assert found.findings[1] == "After the first, segments begin at 9 'w9', 30 'w30'."


def test_what_stands_out() -> None:
    short = reading("causal", 8)
    assert any("8 tokens are too few" in line for line in short.anomalies)
    assert any("hardly to be told apart" in line for line in short.anomalies)
    empty = reading("masked-rows:period=16,keep=0")
    assert "4 queries attend to nothing at all, the first is row 15." in empty.anomalies


def test_chance_is_called_unstructured() -> None:
    cells = np.random.default_rng(0).random((40, 40)) < 0.3
    found = summarise_pattern(cells, detect(cells), quantity="chance", subject={})
    assert found.findings[0].startswith("Unstructured: no kind says much more of it than its density")
    assert found.numbers["structured"] is False


def test_a_pattern_that_is_not_square_has_no_kind() -> None:
    cells = np.array([[1, 1, 0], [1, 0, 0]], dtype=bool)
    found = summarise_pattern(cells, None, quantity="cross-attention", subject={})
    assert found.findings == (
        "2 queries and 3 keys: 50.0% of the cells attend, 1.5 keys a query on average. Kinds of masks are of square "
        "patterns and are not named.",
        "Key 0 is attended to by most queries, 100.0% of them; 1 key by none.",
    )
    assert found.numbers["sparsity"] == 0.5


def test_strongest_cells() -> None:
    cells = strongest_cells(np.array([[0.1, 0.9], [0.7, 0.3]]), "ab", "xy", layer=3, head=1)[:2]
    assert [str(cell) for cell in cells] == [
        "layer 3, head 1, query 'a', key 'y': 0.9", "layer 3, head 1, query 'b', key 'x': 0.7",
    ]  # fmt: skip
