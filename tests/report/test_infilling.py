"""The reading of a pair with masked words: counts, weights and fillings by hand."""

from __future__ import annotations

import json
import math
from typing import Any, NamedTuple

import numpy as np
import pytest

from align_eval.corpora import SentencePair
from align_eval.errors import LinkRangeError
from align_eval.infilling.measures import Filled, InfillResult, Variant, WordRows
from align_eval.links import GoldLinks, Links
from align_eval.report.infilling import PairedRows, summarise_infilling
from align_eval.report.summary import of, p_value, quoted, series, share


class View(NamedTuple):
    """Like :class:`align_eval.attribution.matrix.View`, without torch."""

    layer: int
    head: int
    reading: str


SOURCE, TARGET = ("die", "Gesetze", "?"), ("the", "laws", "*", "?")
GOLD = GoldLinks(Links([(0, 0), (1, 1)]), Links([(0, 0), (1, 1), (2, 3)]))  # the third target word has no link


def _rows(values: list[list[float]], end: list[float]) -> WordRows:
    full = np.array([values], dtype=np.float64)
    tail = np.array([end], dtype=np.float64)
    return WordRows(full, tail, 1 - full.sum(-1) - tail, np.zeros_like(tail))


BEFORE = _rows([[0.8, 0.1, 0.0], [0.1, 0.7, 0.1], [0.3, 0.2, 0.1], [0.1, 0.1, 0.6]], [0.1, 0.1, 0.2, 0.1])
AFTER = _rows([[0.2, 0.5, 0.1], [0.1, 0.4, 0.1], [0.3, 0.2, 0.1], [0.3, 0.2, 0.1]], [0.1, 0.4, 0.2, 0.35])
FILLED = (
    Filled(1, "laws", math.log(0.5), 1, (("laws", 0.5), ("rules", 0.2))),
    Filled(3, "?", math.log(0.01), 7, ((".", 0.9),)),
)


def _result(gold: GoldLinks | None = GOLD, variant: Variant | None = None) -> InfillResult:
    chosen = Variant((1, 3), AFTER, FILLED) if variant is None else variant
    views: Any = (View(2, 1, "own"),)
    return InfillResult(0, SentencePair("p1", SOURCE, TARGET, gold), views, BEFORE, (chosen,))


def test_the_sentences_a_reader_wants() -> None:
    reading = summarise_infilling(_result(), model="tiny", rule="lowest AER")
    assert reading.findings == (
        "Unmasked: 3 of 3 rows peak on a gold-aligned word.",
        "‘laws ?’ masked: 1 of 2 [MASK] rows peak on a gold-aligned word (2 of 2 unmasked); 0 of 1 visible rows do.",
        "Where each [MASK] attends: ‘laws’ → ‘Gesetze’ 0.40, gold; ‘?’ → ‘die’ 0.30, not gold.",
        "The model predicts 1 of 2 masked words: ‘laws’ 0.50; ‘.’ 0.90 for ‘?’ (0.01, rank 7).",
        reading.findings[4],
        reading.findings[5],
        "1 of 2 visible rows keep the source word that they peak on.",
        "[MASK] rows put 37.5 % of their mass on the end of the sentence and 10.0 % on the final ‘?’; visible rows "
        "put 15.0 % of their mass on the end of the sentence and 10.0 % on the final ‘?’.",
    )
    assert reading.findings[4].startswith("[MASK] rows spread (")
    assert "from the diagonal" in reading.findings[5]
    assert reading.anomalies == (
        "The [MASK] of ‘?’ attends to ‘die’ (0.30), not to ‘?’ (0.10).",
        "The [MASK] of ‘?’ puts more on the end of the sentence (0.35) than on any word (at most 0.30).",
        "The peak of the visible ‘the’ moves from ‘die’ to ‘Gesetze’.",
    )
    assert reading.subject["hidden"] == ["laws", "?"]
    assert reading.subject["chosen"] == "lowest AER"


def test_the_numbers_behind_them() -> None:
    data = summarise_infilling(_result(), strongest=2).to_json()
    json.dumps(data, allow_nan=False)
    laws, mark = data["numbers"]["hidden"]
    assert {k: laws[k] for k in ("looks_at", "weight", "aligned", "mass_on_links", "probability", "rank")} == {
        "looks_at": "Gesetze", "weight": 0.4, "aligned": True, "mass_on_links": 0.4, "probability": 0.5, "rank": 1,
    }  # fmt: skip
    assert mark["top"] == [{"text": ".", "probability": 0.9}]
    groups = {group["name"]: group for group in data["groups"]}
    assert groups["[MASK] rows"]["rows"] == 2
    assert groups["visible rows"]["linked"] == 1
    assert groups["[MASK] rows"]["mass"] == pytest.approx(0.25)
    bits = -sum(p * math.log2(p) for p in (0.8, 0.1, 0.1))
    bits += -sum(p * math.log2(p) for p in (0.3, 0.2, 0.1, 0.2, 0.2))
    assert groups["visible words, unmasked"]["entropy"] == pytest.approx(bits / 2, abs=1e-5)
    cells = [(c["query"], c["key"], c["value"], c["note"]) for c in data["strongest"]]
    assert cells == [
        ("the", "die", 0.8, "unmasked, gold-aligned"),
        ("laws", "Gesetze", 0.7, "unmasked, gold-aligned"),
        ("the", "Gesetze", 0.5, "words masked"),
        ("[MASK] (laws)", "Gesetze", 0.4, "words masked, gold-aligned"),
    ]


def test_without_links_nothing_is_said_of_them() -> None:
    reading = summarise_infilling(_result(None))
    assert "without gold links nothing can be said" in reading.findings[0]
    assert "Where each [MASK] attends: ‘laws’ → ‘Gesetze’ 0.40; ‘?’ → ‘die’ 0.30." in reading.findings
    assert reading.to_json()["groups"][0]["mass"] is None
    silver = summarise_infilling(_result(), gold_name="silver")
    assert "1 of 2 [MASK] rows peak on a silver-aligned word" in silver.findings[1]


def test_a_word_without_sub_words_is_named() -> None:
    values = AFTER.values.copy()
    values[0, 3] = np.nan
    rows = WordRows(values, AFTER.end, AFTER.rest, AFTER.outside)
    reading = summarise_infilling(_result(variant=Variant((1, 3), rows, FILLED)))
    assert "‘?’ has no token, so that there is no row of it." in reading.anomalies
    json.dumps(reading.to_json(), allow_nan=False)


def test_many_masked_words_are_counted_and_not_listed() -> None:
    words = tuple(f"w{k}" for k in range(12))
    even = _rows([[1 / 12] * 12] * 12, [0.0] * 12)
    filled = tuple(Filled(k, word, -1.0, 1, ()) for k, word in enumerate(words))
    views: Any = (View(1, 1, "own"),)
    result = InfillResult(
        0, SentencePair("1", words, words, None), views, even, (Variant(tuple(range(12)), even, filled),)
    )
    reading = summarise_infilling(result)
    assert all("; 4 more in the numbers." in sentence for sentence in reading.findings[1:3])
    assert len(reading.numbers["hidden"]) == 12
    assert "12 [MASK] rows peak on the same word, ‘w0’." in reading.anomalies
    it = PairedRows(result, "gold")
    assert it.uniform_distance() == pytest.approx(np.abs(np.subtract.outer(np.arange(12), np.arange(12))).mean() / 12)


def test_refusals() -> None:
    with pytest.raises(LinkRangeError):
        summarise_infilling(_result(GoldLinks(Links([]), Links([(9, 0)]))))


def test_words_of_a_corpus_mark_nothing_up() -> None:
    reading = summarise_infilling(_result(variant=Variant((2,), AFTER, (Filled(2, "*", -1.0, 2, (("<b>", 0.5),)),))))
    text = reading._repr_markdown_()
    assert "‘\\*’" in text
    assert "‘\\<b>’" in text
    assert "none of the masked words has a gold link" in text


def test_parts_of_sentences() -> None:
    assert (of(4.0, 4), of(0.333333, 2)) == ("4 of 4", "0.33 of 2")
    assert (share(0.5), share(0.0003), share(0)) == ("50.0 %", "0.03 %", "0 %")
    assert series(["a", "b", "c"]) == "a, b and c"
    assert (p_value(0.0004), p_value(0.05), p_value(None)) == ("p < 0.001", "p = 0.05", "not tested")
    assert quoted("a") == "‘a’"
