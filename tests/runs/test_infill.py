"""A corpus with words masked, end to end: views, splits, plans, output; the model is tiny and knows nothing."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from align_eval.attribution.matrix import View
from align_eval.corpora import Corpus, load_testset, make_testset
from align_eval.corpora.pair import SentencePair
from align_eval.errors import InputError, UnknownNameError
from align_eval.infilling.measures import InfillResult, gold_cells
from align_eval.infilling.probe import default_head, infill
from align_eval.infilling.strategies import make_strategy, masks_of
from align_eval.report.infilling_corpus import LEGEND, infill_table
from align_eval.runs.infill import CHOICE_STRATEGIES, findings, infill_testset
from align_eval.runs.infill_work import InfillWork, ModelFacts
from align_eval.runs.sweep import for_testset, split
from align_eval.tables import render_text
from tests.infilling.models import load
from tests.infilling.synthetic import corpus as made_up
from tests.infilling.synthetic import fill, gold_map, word_rows

STRATEGIES = ("span:ratio=0.5", "each", "aligned", "unaligned", "content")


@pytest.fixture(scope="module")
def mini() -> Corpus:
    found = load_testset("mini-ende")
    short = [k for k, p in enumerate(found) if len(p.source_text) < 60 and len(p.target_text) < 60]
    return found.part(short[:10])


@pytest.fixture(scope="module")
def model() -> Any:
    return load("masked")


def test_one_pass_over_a_test_set(mini: Corpus, model: Any) -> None:
    told: list[int] = []
    found = infill_testset(mini, model, STRATEGIES, resamples=50, progress=told.append)
    assert sum(told) == 10
    assert set(found.chosen.development) == set(split(10, 0.2, 12345)[0].tolist())
    assert found.sentences == 8
    assert found.chosen.candidates == 2 * (model.heads + 1)
    rest = sorted(set(range(10)) - set(found.chosen.development))
    words = sum(len(mini.pairs[k].target) for k in rest)
    rows = {row["strategy"]: row for row in found.to_json()}
    assert list(rows) == ["span:ratio=0.5", "each", "aligned", "unaligned", "content:language=de"]
    assert rows["each"]["rows_masked"] == words
    assert rows["each"]["variants"] == words
    aligned, unaligned = rows["aligned"], rows["unaligned"]
    assert aligned["rows_masked"] == aligned["gold_rows_masked"]
    assert unaligned["gold_rows_masked"] == 0
    assert unaligned["accuracy_masked"] is None
    assert aligned["rows_masked"] + unaligned["rows_masked"] == words
    assert unaligned["sentences"] + unaligned["sentences_without"] == 8
    assert rows["span:ratio=0.5"]["direction"] == "en-de"
    json.dumps(found.summary(), allow_nan=False)
    text = render_text([infill_table(found.to_json())])
    assert "unaligned" in text
    assert "rho" in LEGEND


def test_the_best_head_of_the_full_rows_is_chosen(mini: Corpus, model: Any) -> None:
    work = InfillWork(mini, model)
    heads = work.facts.heads
    found = infill_testset(mini, model, ["each"], resamples=0, development=0.5, seed=3, choose_by="full")
    shares = work.accuracies(found.chosen.development)
    assert found.chosen.head == heads[int(shares.argmax())]
    assert found.chosen.accuracy == shares.max()
    assert "the highest gold accuracy of full rows on the dev split (5 of 10 pairs, seed 3)" in found.chosen.rule


def test_the_rule_calls_silver_links_silver(mini: Corpus, model: Any) -> None:
    silver = replace(mini, silver=True)
    found = infill_testset(silver, model, ["each"], resamples=0, development=0.5, seed=3)
    assert "the one with the highest silver accuracy of masked rows" in found.chosen.rule


def test_the_best_head_of_the_masked_rows_is_chosen(mini: Corpus, model: Any) -> None:
    """By hand: the peaks of masked rows of the same masks, head by head."""
    found = infill_testset(mini, model, ["each"], resamples=0, development=0.5, seed=3)
    assert "the highest gold accuracy of masked rows on the dev split (5 of 10 pairs, seed 3; half" in found.chosen.rule
    pairs = [mini.pairs[k] for k in found.chosen.development]
    drawn = [masks_of(make_strategy(spec), pairs, 3) for spec in CHOICE_STRATEGIES]
    masks = [list(dict.fromkeys(mask for plan in drawn for mask in plan[k])) for k in range(len(pairs))]
    heads = InfillWork(mini, model).facts.heads
    hits = np.zeros(len(heads))
    for result in infill(for_testset(model, mini), pairs, masks, heads=heads):
        gold = gold_cells(result.pair)
        for variant in result.variants:
            for word in variant.masked:
                if gold[word].any():
                    peaks = variant.rows.values[:, word].argmax(axis=1)
                    hits += gold[word][peaks]
    assert found.chosen.head == heads[int(hits.argmax())]
    assert len(set(hits)) > 1


def test_the_head_that_the_model_names(mini: Corpus, model: Any) -> None:
    found = infill_testset(mini, model, ["each"], resamples=0, choose_by="model")
    assert found.chosen.head == default_head(model)[0]
    assert found.chosen.rule == "by rule: the mean over the heads of the last layer but one"
    assert (found.sentences, found.chosen.development) == (10, ())


def test_rows_to_choose_by_are_named(mini: Corpus, model: Any) -> None:
    with pytest.raises(UnknownNameError, match="full"):
        infill_testset(mini, model, ["each"], choose_by="ful")


def test_a_named_head_takes_all_pairs_and_none_of_the_order_matters(mini: Corpus, model: Any) -> None:
    found = infill_testset(mini, model, ["span", "each"], head=(1, "mean"), resamples=20)
    assert found.sentences == 10
    assert found.chosen.rule == "given by name"
    other = infill_testset(mini, model, ["each", "span"], head=(1, "mean"), resamples=20, token_budget=64)
    first, second = found.to_json()[0], other.to_json()[1]
    assert first["strategy"] == second["strategy"]
    assert first["entropy_masked"] == pytest.approx(second["entropy_masked"], abs=1e-4)
    assert first["rows_masked"] == second["rows_masked"]


def test_the_other_direction(mini: Corpus, model: Any) -> None:
    turned = mini.reverse()
    assert (turned.direction, turned.pairs[0].target) == ("de-en", mini.pairs[0].source)
    found = infill_testset(turned, model, ["function"], head=(1, 1), resamples=0)
    (row,) = found.to_json()
    assert row["strategy"] == "function:language=en"
    assert row["ci"]["recovered"] is None
    assert row["baselines"]["uniform"]["p_value"] is None


def test_without_gold_links(mini: Corpus, model: Any) -> None:
    bare = Corpus.from_pairs((replace(p, gold=None) for p in mini), "text", "en", "de")
    (row,) = infill_testset(bare, model, ["span"], resamples=10).to_json()
    assert row["sentences"] == 10
    assert row["baselines"] == {}
    assert row["correlation"] is None
    assert row["divergence"] > 0
    assert "default" in row["view_rule"]
    with pytest.raises(InputError, match="needs gold links"):
        infill_testset(bare, model, ["aligned"], resamples=10)


def test_empty_and_long_sides_are_left_out_and_told(mini: Corpus, model: Any) -> None:
    some = (*mini.pairs[:3], SentencePair("empty", (), ("x",), mini.pairs[0].gold))
    long = SentencePair("long", ("x",), ("y" * 200,), mini.pairs[0].gold)
    corpus = Corpus.from_pairs((*some, long), "some", "en", "de")
    found = infill_testset(corpus, model, ["each"], head=(1, 1), resamples=0)
    assert (found.sentences, found.left_out) == (3, 2)


def test_wrong_requests_are_told_before_the_model_runs(mini: Corpus, model: Any) -> None:
    with pytest.raises(UnknownNameError, match="span"):
        infill_testset(mini, model, ["spann"])
    with pytest.raises(InputError, match="no masking strategy"):
        infill_testset(mini, model, [])
    with pytest.raises(InputError, match="leaves one part empty"):
        infill_testset(mini.part(range(2)), model, ["each"])
    with pytest.raises(InputError, match="no head 9"):
        infill_testset(mini, model, ["each"], head=(1, 9))
    with pytest.raises(InputError, match="no sentence pairs"):
        infill_testset(mini.part([]), model, ["each"])


def test_a_model_whose_masked_rows_are_uniform(model: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The whole run on a probe that is made up: full rows on gold, masked rows flat."""

    def probe(reader: Any, given: Any, masks: Any, heads: Any, **options: Any) -> Any:
        from align_eval.infilling.measures import Variant

        for k, (pair, some) in enumerate(zip(given, masks, strict=True)):
            variants = []
            for mask in some:
                rows = gold_map(pair, 1.0)
                rows[list(mask)] = 1 / len(pair.source)
                variants.append(Variant(mask, word_rows(rows), tuple(fill(w) for w in mask)))
            yield InfillResult(k, pair, tuple(heads), word_rows(gold_map(pair, 1.0)), tuple(variants))

    def facts(pairs: Any, head: Any, filler: Any) -> ModelFacts:
        return ModelFacts("", "", (), (head, ""), "own", [frozenset(range(len(pair.target))) for pair in pairs])

    monkeypatch.setattr("align_eval.runs.infill_work.infill", probe)
    monkeypatch.setattr("align_eval.runs.infill_work._facts", facts)
    pairs = Corpus.from_pairs(made_up(40, 1, low=8, high=8), "made up", "de", "en")
    (row,) = infill_testset(pairs, model, ["span"], head=View(1, 1, "own"), resamples=500).to_json()
    assert (row["accuracy_visible"], row["accuracy_masked"]) == (1.0, 0.125)
    assert [row["baselines"][n]["p_value"] for n in ("uniform", "position", "permuted")] == [1.0] * 3
    assert row["change"]["masked"]["entropy"]["p_value"] < 0.01
    assert row["divergence"] > 0.7
    assert row["divergence_visible"] == 0
    text = " ".join(findings([row]))
    assert "more often than every baseline: holds for 0 of 1 strategies" in text
    assert "position 12.5 %, p = 1" in text


def test_a_bitext_with_links(tmp_path: Any) -> None:
    text, gold = tmp_path / "a.txt", tmp_path / "a.talp"
    text.write_text("the house ||| das Haus\na ||| b\n", "utf-8")
    gold.write_text("0-0 1-1\n0-0\n", "utf-8")
    found = replace(make_testset(text, gold, source_language="en", target_language="de"), silver=True)
    assert (found.direction, found.gold_kind, found.name) == ("en-de", "silver", "a.txt")
    assert str(found.pairs[0].gold) == "0-0 1-1"
    assert make_testset(text).gold_kind == "none"
    assert np.array_equal(found.reverse().pairs[0].gold.sure.pairs, found.pairs[0].gold.sure.pairs)  # type: ignore[union-attr]


def test_a_masked_encoder(mini: Corpus) -> None:
    encoder = load("bert")
    (row,) = infill_testset(mini.part(range(5)), encoder, ["span"], resamples=10, development=0.4).to_json()
    assert (row["mode"], row["sentences"]) == ("tgt2src", 3)
    assert row["change"]["masked"]["end"]["masked"] == 0
    assert row["divergence"] > 0
