"""Lists of alignment heads: Translation Score by hand, the formats of other programs, and what does not fit them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import align_eval as ae
from align_eval.aligners.heads import mode_name
from align_eval.cli import main
from align_eval.errors import InputError
from align_eval.runs.alignment_heads import head_rows, translation_scores, write_heads
from align_eval.runs.sweep import split


@pytest.fixture(scope="module")
def model() -> Any:
    return ae.load_model("offline:tiny-deen", source_language="en", target_language="de")


@pytest.fixture(scope="module")
def found(model: Any) -> Any:
    return ae.sweep_testset(ae.load_testset("mini-ende"), model)


@pytest.fixture(scope="module")
def rows(found: Any, model: Any) -> Any:
    parts = split(40, 0.2, 12345)
    return head_rows(found, translation_scores(found.testset, model), parts, 3, resamples=100), parts


@pytest.mark.model
class TestTranslationScore:
    def test_by_a_loop_over_maps(self, model: Any) -> None:
        """Each row of a target token, its greatest column of all, and whether that is a token of a linked word."""
        testset = ae.load_testset("mini-ende")
        scores = translation_scores(testset, model)
        for mode in ("awo", "awi"):
            for k in (0, 7, 21):
                pair = testset.pairs[k]
                links = {*map(tuple, pair.gold.possible.pairs.tolist())} if pair.gold else set()
                (matrix,) = ae.attention_maps(model, [pair], reading=mode)
                for layer in range(1, model.layers + 1):
                    for head in range(1, model.heads + 1):
                        one = matrix.select(layer, head).numpy()[0, 0].T  # target rows
                        targets, sources = matrix.target.words[0].tolist(), matrix.source.words[0].tolist()
                        aligned = [r for r, j in enumerate(targets) if any(t == j for _, t in links)]
                        hits = sum((sources[int(one[r].argmax())], targets[r]) in links for r in aligned)
                        assert scores[layer, head, mode][k].tolist() == [hits, len(aligned)]

    def test_batches_change_nothing(self, model: Any) -> None:
        testset = ae.load_testset("mini-ende")
        one, other = (translation_scores(testset, model, ["awo"], token_budget=b) for b in (None, 60))
        assert all(np.array_equal(one[key], other[key]) for key in one)

    def test_a_decoder_reads_its_whole_prompt(self) -> None:
        testset = ae.load_testset("mini-ende").part(range(6))
        decoder = ae.load_model("offline:smollm2-135m").in_languages("en", "de")
        scores = translation_scores(testset, decoder, ["awi"])
        assert len(scores) == 30 * 9
        assert all(0 <= hits <= tokens for counts in scores.values() for hits, tokens in counts.tolist())
        first = next(iter(scores.values()))[:, 1]
        assert all(np.array_equal(counts[:, 1], first) for counts in scores.values())


@pytest.mark.model
class TestFormats:
    def test_rows(self, rows: Any, found: Any) -> None:
        listed, parts = rows
        best = found.best(parts[0])
        view = found.views[best]
        assert (listed[0]["layer"], listed[0]["head"], listed[0]["mode"]) == (*view[:2], mode_name(view.reading))
        assert listed[0]["aer"] == pytest.approx(float(found.aer(parts[1])[best]))
        assert listed[0]["aer_dev"] <= listed[1]["aer_dev"] <= listed[2]["aer_dev"]
        assert listed[0]["ci"][0] <= listed[0]["aer"] <= listed[0]["ci"][1]

    def test_bases(self, rows: Any, found: Any, tmp_path: Path) -> None:
        listed, parts = rows
        made = {}
        for form in ("align-eval", "alignatt", "ctranslate2", "whisper"):
            write_heads(tmp_path / form, form, found, listed, parts, 12345)
            made[form] = json.loads((tmp_path / form).read_text())
        first = listed[0]
        assert made["align-eval"]["heads"] == listed
        assert made["align-eval"]["dev"] == 8
        assert [first["layer"] - 1, first["head"] - 1] == made["ctranslate2"]["alignment_heads"][0]
        assert made["whisper"] == made["ctranslate2"]
        assert [row["ts"] for row in made["alignatt"]] == sorted((row["ts"] for row in made["alignatt"]), reverse=True)
        assert {"layer": first["layer"] - 1, "head": first["head"] - 1, "ts": first["ts"] / 100} in made["alignatt"]

    def test_marian_reads_first_heads_alone(self, rows: Any, found: Any, tmp_path: Path) -> None:
        listed, parts = rows
        guided = {**listed[0], "layer": 2, "head": 1}
        write_heads(tmp_path / "m", "marian", found, [guided], parts, 1)
        assert json.loads((tmp_path / "m").read_text()) == {"transformer-guided-alignment-layer": "2"}
        with pytest.raises(InputError, match="L2H3, and Marian reads head 1"):
            write_heads(tmp_path / "m", "marian", found, [{**guided, "head": 3}], parts, 1)

    def test_command(self, tmp_path: Path) -> None:
        words = ["sweep", "mini-ende", "-m", "offline:tiny-deen", "--max-heads", "2", "--reverse"]
        with pytest.raises(SystemExit) as left:
            main([*words, "--export", str(tmp_path / "heads.json")])
        assert not left.value.code
        found = json.loads((tmp_path / "heads.json").read_text())
        assert found["languages"] == "de-en"
        assert len(found["heads"]) == 2
        assert found["heads"][0]["ts"] > 50
