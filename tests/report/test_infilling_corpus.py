"""The reading of a corpus with masked words: statements hold where their tests say so."""

from __future__ import annotations

import json
from typing import Any

import pytest

from align_eval.errors import InputError
from align_eval.report.infilling_corpus import summarise_corpus


def _test(full: float, masked: float, p: float) -> dict[str, Any]:
    return {"full": full, "masked": masked, "difference": masked - full, "p_value": p}


def _row(
    plan: str, share: float, peak: float = 0.6, p: float = 0.0005, silver: bool = False, **more: Any
) -> dict[str, Any]:
    nulls = {
        name: {
            "accuracy_masked": value, "difference": peak - value, "p_value": p, "mass_masked": value / 2,
            "mass": {"difference": 0.1, "p_value": 0.0005},
        }
        for name, value in (("uniform", 0.1), ("position", 0.4))
    }  # fmt: skip
    return {
        "strategy": plan, "mask_share": share, "rows_masked": 10, "rows_visible": 10, "accuracy_masked": peak,
        "accuracy_visible": 0.8, "mass_masked": 0.3, "recovered": 0.5, "baselines": nulls,
        "change": {
            "masked": {"entropy": _test(1.0, 2.0, p), "mass": _test(0.5, 0.3, p)},
            "visible": {"accuracy": _test(0.81, 0.8, 0.3)},
            "divergence": {"masked": 0.3, "visible": 0.1, "difference": 0.2, "p_value": p},
        },
        "correlation": {"spearman": 0.4, "ci": [0.3, 0.5]}, "layer": 2, "head": 1, "model": "tiny",
        "testset": "a", "direction": "en-de", "links": "silver" if silver else "gold", "view_rule": "by hand",
        "accuracy_full": 0.8, "entropy_masked": 1.0, "entropy_full": 2.0, "divergence": 0.3,
    } | more  # fmt: skip


def test_what_holds_for_all_strategies_and_what_does_not() -> None:
    rows = [_row("span:ratio=0.25", 0.25, 0.7), _row("span:ratio=0.5", 0.5), _row("span:ratio=0.75", 0.75, 0.5, 0.2)]
    reading = summarise_corpus(rows)
    assert (
        "Masked rows that peak on a gold-aligned word: from 50.0 % (span:ratio=0.75) to 70.0 % (span:ratio=0.25)."
        in (reading.findings)
    )
    assert "Visible rows that peak on a gold-aligned word: 80.0 %." in reading.findings
    assert "Masked rows peak on a gold-aligned word more often than every baseline: holds for 2 of 3 strategies." in (
        reading.findings
    )
    assert reading.anomalies[0] == (
        "Masked rows peak on a gold-aligned word more often than every baseline: not for span:ratio=0.75 (50.0 % "
        "against uniform 10.0 %, p = 0.2, position 40.0 %, p = 0.2)."
    )
    assert (
        "Visible rows do not lose gold peaks when other words are masked: holds for all 3 strategies, such as "
        "span:ratio=0.25 (81.0 % to 80.0 %, p = 0.3)." in reading.findings
    )
    assert any("falls at every step (70.0 %, 60.0 %, 50.0 %)" in sentence for sentence in reading.findings)
    assert reading.numbers["beats_baselines"]["span:ratio=0.75"]["holds"] is False
    assert reading.subject["view"] == "layer 2, head 1"
    json.dumps(reading.to_json(), allow_nan=False)
    assert "silver-aligned" in summarise_corpus([_row("each", 0.1, silver=True)]).findings[0]


def test_a_strategy_that_applies_nowhere_and_rows_without_links() -> None:
    empty = _row("content", 0.0, rows_masked=0, peak_gold_masked=None, recovered=None, baselines={}, correlation=None)
    bare = _row("each", 0.1, baselines={}, correlation=None, peak_gold_masked=None, peak_gold_visible=None)
    reading = summarise_corpus([empty, bare])
    assert "Applies to no sentence: content." in reading.anomalies
    assert "beats_baselines" not in reading.numbers
    with pytest.raises(InputError, match="no rows"):
        summarise_corpus([])


def test_a_negative_correlation_does_not_hold() -> None:
    reading = summarise_corpus([_row("each", 0.1, correlation={"spearman": -0.4, "ci": [-0.5, -0.3]})])
    assert any(
        "the more probable the masked word: not for each (rank correlation -0.40" in a for a in reading.anomalies
    )
