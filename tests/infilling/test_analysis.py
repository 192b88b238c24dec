"""What is said of a strategy, on made-up models whose answer is known."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from align_eval.corpora.pair import SentencePair
from align_eval.infilling.analysis import analyse, correlate
from align_eval.infilling.measures import Filled, RowCollector, joined
from align_eval.infilling.strategies import make_strategy, masks_of
from align_eval.statistics import Resampling
from tests.infilling.synthetic import RowsOf, corpus, fill, gold_map, result

HOW = Resampling(1000, 1)


def run(pairs: Sequence[SentencePair], spec: str, rows_of: RowsOf, filled: Any = fill) -> tuple[dict[str, Any], Any]:
    strategy = make_strategy(spec)
    collector = RowCollector()
    without = 0
    for k, (pair, masks) in enumerate(zip(pairs, masks_of(strategy, pairs, 1), strict=True)):
        without += not masks
        collector.add(result(k, pair, masks, rows_of, filled))
    table = collector.table()
    return analyse(strategy.spec, table, collector.masked, HOW, without=without), table


def uniform_when_masked(pair: SentencePair, masked: tuple[int, ...]) -> np.ndarray:
    rows = gold_map(pair, 1.0)
    rows[list(masked)] = 1 / len(pair.source)
    return rows


def keeps_gold(pair: SentencePair, masked: tuple[int, ...]) -> np.ndarray:
    rows = gold_map(pair, 0.9)
    rows[list(masked)] = gold_map(pair, 0.6)[list(masked)]
    return rows


def test_a_model_whose_masked_rows_are_uniform() -> None:
    """Full rows lie on one gold word of eight; masked rows are flat; visible rows do not move."""
    row, _ = run(corpus(40, 1, low=8, high=8), "span:ratio=0.5", uniform_when_masked)
    assert (row["rows_masked"], row["rows_visible"], row["mask_share"]) == (160, 160, 0.5)
    assert (row["accuracy_visible"], row["accuracy_full"]) == (1.0, 1.0)
    assert row["accuracy_masked"] == pytest.approx(1 / 8)
    assert row["mass_masked"] == pytest.approx(1 / 8)
    assert (row["entropy_masked"], row["entropy_full"]) == (3.0, 0.0)
    # m = 9/16 on the gold word, 1/16 on each of the seven others; JSD = H(m) - (H(p) + H(q)) / 2
    middle = np.array([9 / 16] + [1 / 16] * 7)
    assert row["divergence"] == pytest.approx(-(middle * np.log2(middle)).sum() - 1.5, abs=1e-6)
    assert row["divergence_visible"] == 0.0
    # no better than knowing nothing ...
    for name in ("uniform", "position", "permuted"):
        assert row["baselines"][name]["p_value"] == 1.0, name
        assert row["baselines"][name]["accuracy_masked"] == pytest.approx(1 / 8), name
    # ... and clearly worse than the full run
    assert row["change"]["masked"]["accuracy"]["difference"] == pytest.approx(-7 / 8)
    assert row["change"]["masked"]["entropy"]["difference"] == pytest.approx(3.0)
    assert row["change"]["masked"]["entropy"]["p_value"] < 0.002
    assert row["change"]["divergence"]["p_value"] < 0.002
    assert row["change"]["visible"]["entropy"]["p_value"] == 1.0


def test_a_model_that_keeps_gold_beats_every_baseline() -> None:
    row, _ = run(corpus(40, 2, low=6, high=10), "random:ratio=0.5", keeps_gold)
    assert row["accuracy_masked"] == row["accuracy_visible"] == 1.0
    for name in ("uniform", "position", "permuted"):
        assert row["baselines"][name]["p_value"] < 0.002, name
        assert row["baselines"][name]["accuracy_masked"] < 0.4, name
        assert row["baselines"][name]["mass"]["p_value"] < 0.002, name
        assert row["baselines"][name]["ci"][0] > 0.5, name
    assert row["change"]["masked"]["mass"]["difference"] == pytest.approx(-0.3 * (1 - 1 / 8), abs=0.03)
    assert row["recovered"] == 1.0


def test_a_model_that_only_follows_the_diagonal_does_not_beat_position() -> None:
    def diagonal(pair: SentencePair, masked: tuple[int, ...]) -> np.ndarray:
        return np.eye(len(pair.source)) * 0.9 + 0.1 / len(pair.source)

    row, _ = run(corpus(40, 3, low=8, high=8, shuffled=False), "span:ratio=0.5", diagonal)
    assert row["accuracy_masked"] == 1.0
    assert row["baselines"]["uniform"]["p_value"] < 0.002
    assert row["baselines"]["position"]["p_value"] == 1.0
    assert row["baselines"]["permuted"]["p_value"] == 1.0
    assert row["baselines"]["position"]["accuracy_masked"] == 1.0


def test_the_correlation_is_seen_and_its_lack_too() -> None:
    rng = np.random.default_rng(0)
    pairs = corpus(40, 4, low=8, high=8)
    sharp = {pair.id: rng.random(8) * 0.8 for pair in pairs}

    def rows_of(pair: SentencePair, masked: tuple[int, ...]) -> np.ndarray:
        return np.stack([gold_map(pair, float(s))[k] for k, s in enumerate(sharp[pair.id])])

    for related in (True, False):
        collector = RowCollector()
        for k, (pair, masks) in enumerate(zip(pairs, masks_of(make_strategy("span"), pairs, 1), strict=True)):

            def filled(word: int, related: bool = related, pair: SentencePair = pair) -> Filled:
                value = sharp[pair.id][word] if related else float(rng.random())
                return Filled(word, "w", float(np.log(value)), 2, ())

            collector.add(result(k, pair, masks, rows_of, filled))
        found = correlate(collector.table(), HOW)
        if related:
            assert found["spearman"] == pytest.approx(1.0)
        else:
            assert found["ci"][0] < 0 < found["ci"][1]
        (band,) = found["by_mask_share"]
        assert (band["above"], band["to"], band["rows"]) == (0.25, 0.5, 160)
        assert found["without_punctuation"] == {key: found[key] for key in found["without_punctuation"]}


def test_strategies_without_gold_rows_or_visible_rows() -> None:
    pairs = [SentencePair(p.id, p.source, p.target, None) for p in corpus(5, 5)]

    def flat(pair: SentencePair, masked: tuple[int, ...]) -> np.ndarray:
        return np.full((len(pair.target), len(pair.source)), 1 / len(pair.source))

    row = run(pairs, "suffix:ratio=1", flat)[0]
    assert row["rows_visible"] == 0
    assert row["accuracy_masked"] is None
    assert row["accuracy_visible"] is None
    assert row["baselines"] == {}
    assert row["correlation"] is None
    assert row["divergence"] == 0.0
    empty = run(pairs, "suffix:count=99", flat)[0]
    assert (empty["sentences"], empty["sentences_without"], empty["rows_masked"]) == (0, 5, 0)
    json.dumps([row, empty], allow_nan=False)


def test_what_is_printed_is_complete_plain_and_the_same_each_time() -> None:
    pairs = corpus(12, 6)
    first, second = (run(pairs, "nth:n=3", keeps_gold)[0] for _ in range(2))
    assert json.dumps(first, allow_nan=False) == json.dumps(second)
    wanted = {
        "strategy", "mask_share", "rows_visible", "rows_masked", "accuracy_visible", "accuracy_masked",
        "mass_masked", "entropy_masked", "entropy_full", "divergence", "recovered", "baselines",
    }  # fmt: skip
    assert wanted <= set(first)
    assert set(first["baselines"]) == {"uniform", "position", "permuted"}
    assert all({"accuracy_masked", "p_value"} <= set(baseline) for baseline in first["baselines"].values())


def test_tables_of_several_strategies_are_joined() -> None:
    pairs = corpus(6, 7)
    tables = [run(pairs, spec, keeps_gold)[1] for spec in ("each", "span")]
    both = joined(tables)
    assert len(both) == sum(map(len, tables))
    assert sum(band["rows"] for band in correlate(both, HOW)["by_mask_share"]) == int(both.masked.sum())
