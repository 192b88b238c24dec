"""Evaluation of test sets with the real encoder: scores, names, signatures, results folders, the Python verbs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import align_eval as ae
from align_eval.aligners import AlignerSettings, make_aligner
from align_eval.corpora import read_links
from align_eval.runs.evaluate import evaluate_testset
from align_eval.runs.results import file_name, write_evaluations
from align_eval.scoring import Signature

pytestmark = [pytest.mark.model, pytest.mark.xdist_group("e5")]


@pytest.fixture(scope="module")
def found(e5: Any) -> Any:
    aligner = make_aligner(AlignerSettings(e5, ("argmax", "softmax:threshold=0.01"), (6, 7)))
    return evaluate_testset(ae.load_testset("mini-ende"), aligner, resamples=200)


def test_every_layer_and_method_has_a_score(found: Any) -> None:
    assert [(e.system.layer, e.system.method) for e in found] == [
        (6, "argmax"), (6, "softmax:threshold=0.01"), (7, "argmax"), (7, "softmax:threshold=0.01"),
    ]  # fmt: skip
    best = found[2].score
    assert best.aer == pytest.approx(6.35, abs=0.3), "argmax, layer 7, on mini-ende"
    assert best.ci["aer"][0] < best.aer < best.ci["aer"][1]
    assert (best.sure, best.possible, best.sentences) == (479, 600, 40)


def test_later_systems_are_tested_against_the_first(found: Any) -> None:
    rows = [e.to_json() for e in found]
    assert "p_value" not in rows[0]
    for row in rows[1:]:
        assert 0 < row["p_value"] <= 1
        assert row["difference"] == pytest.approx(row["aer"] - rows[0]["aer"], abs=1e-5)
        assert row["against"] == rows[0]["system"]


def test_the_signature_says_how_the_links_came_about(found: Any) -> None:
    signature = Signature.parse(str(found[3].score.signature))
    expected = {
        "set": "mini-ende", "sentences": "40", "base": "0", "model": "offline:e5-small", "layer": "7",
        "method": "softmax", "params": "threshold=0.01", "subword": "any", "dtype": "float32",
        "revision": "1571fc982750", "version": ae.__version__,
    }  # fmt: skip
    assert {key: signature[key] for key in expected} == expected


def test_the_verbs_of_the_package_give_the_same(found: Any, e5: Any) -> None:
    testset = ae.load_testset("mini-ende")
    links = ae.align(testset, e5, "argmax", 7)
    assert links == found[2].links
    scored = ae.score(testset, links, resamples=200)
    assert scored.aer == found[2].score.aer
    assert dict(scored.signature).items() >= {"set": "mini-ende", "layer": "7", "method": "argmax"}.items()
    again = ae.evaluate("mini-ende", e5, ["argmax"], [7], resamples=200)
    assert again[0].score.aer == found[2].score.aer
    texts = [(p.source_text, p.target) for p in testset.pairs[:3]]
    assert [ae.align(texts, e5, "argmax")[k] for k in range(3)] == [links[k] for k in range(3)]


def test_results_are_written_and_read_back(found: Any, tmp_path: Path) -> None:
    paths = write_evaluations(found, tmp_path / "new" / "folder")
    data = json.loads((tmp_path / "new" / "folder" / "scores.json").read_text("utf-8"))
    assert [row["aer"] for row in data["systems"]] == [round(e.score.aer, 6) for e in found]
    assert data["environment"]["align-eval"] == ae.__version__
    for path, evaluation in zip(paths, found, strict=True):
        assert read_links(path, base=0) == evaluation.links
    assert file_name("a b", "x:y=1", None) is not None


def test_file_names_hold_no_odd_characters() -> None:
    assert file_name("set", "softmax:threshold=0.01", "layer7") == "set.softmax-threshold-0.01.layer7"
