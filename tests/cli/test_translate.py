"""The command translate, as a user calls it, with a tiny model in a folder."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from align_eval.cli import main
from align_eval.corpora import load_testset
from tests.models import families
from tests.runs.stub import Stub

QUICK = ("--beam", 2, "--max-length", 10, "--resamples", 20)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A translation model as ``transformers`` writes it."""
    path = tmp_path_factory.mktemp("models") / "tiny"
    model, tokenizer = families.parts("marian", length=200)
    model.save_pretrained(path)
    tokenizer.save_pretrained(path)
    return path


@pytest.fixture(autouse=True)
def aligner(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("align_eval.translation.translate.diagnostic_aligner", lambda *given, **options: Stub())


def run(*arguments: object) -> int:
    try:
        main(["translate", *(str(a) for a in arguments)])
    except SystemExit as stop:
        return int(stop.code or 0)
    return 0


def test_json_alone_goes_to_standard_output(folder: Path, tmp_path: Path, capsys: Any) -> None:
    out = tmp_path / "out"
    given = ("mini-ende", "--reverse", "--limit", 6, "-m", folder, "-m", folder, "--json", "-o", out, *QUICK)
    assert run(*given) == 0
    rows = json.loads(capsys.readouterr().out)
    assert len(rows) == 2
    for row in rows:
        assert row["model"] == str(folder)
        for name in ("bleu", "chrf", "ter", "aer"):
            assert isinstance(row[name], float)
            assert row["ci"][name][0] <= row["ci"][name][1]
            assert "seed:12345" in row["signatures"][name]
        assert 0 <= row["uncovered_source"] <= 100
        assert 0 <= row["unsupported_target"] <= 100
        assert (row["source_language"], row["target_language"]) == ("de", "en")
        assert row["attention"]["development_sentences"] == 1
        assert row["attention"]["sentences"] == 5
    assert rows[1]["paired"]["bleu"]["randomisation"]["p_value"] == 1
    assert rows[0]["signatures"]["aer"].startswith("set:mini-ende|")
    lines = (out / "1.tiny.txt").read_text("utf-8")
    assert lines.count("\n") == 6
    assert json.loads((out / "scores.json").read_text("utf-8"))["models"] == rows
    assert run(*given) == 0, "what lies there is taken over"
    assert json.loads(capsys.readouterr().out) == rows


def test_the_table_says_what_it_rests_on(folder: Path, capsys: Any) -> None:
    assert run("mini-ende", "--limit", 6, "-m", folder, "--layer", 1, "--head", "mean", "--mode", "awi", *QUICK) == 0
    text = capsys.readouterr().out
    assert "mini-ende: 6 sentence pairs, en to de, words joined by spaces" in text
    assert "layer 1, head mean, awi; named, scored on 6 sentence pairs" in text
    assert "tok:13a" in text
    assert "punctuation" in text
    assert "(reference)" in text
    assert "greatest length" in text


def test_a_bitext_without_gold(folder: Path, tmp_path: Path, capsys: Any) -> None:
    source, target = tmp_path / "s", tmp_path / "t"
    source.write_text("das Haus.\nder Garten\n", "utf-8")
    target.write_text("the house.\nthe garden\n", "utf-8")
    assert run(source, "--target", target, "-m", folder, *QUICK) == 1
    error = capsys.readouterr().err
    assert "the target language is not named" in error
    assert "de, en" in error
    given = (source, "--target", target, "-m", folder, "--source-language", "de", "--target-language", "en")
    assert run(*given, "--json", "--aligner", "none", *QUICK) == 0
    (row,) = json.loads(capsys.readouterr().out)
    assert row["aer"] is None
    assert row["uncovered_source"] is None
    assert "worst" not in row
    assert run(*given, "--target-language", "de", *QUICK) == 1
    assert "both de" in capsys.readouterr().err
    assert run(*given, "--target-language", "fr", *QUICK) == 1
    assert "no language code 'fr'" in capsys.readouterr().err


def test_what_is_no_translation_model(tmp_path: Path, capsys: Any) -> None:
    for kind in ("bert", "llama"):
        model, tokenizer = families.parts(kind)
        model.save_pretrained(tmp_path / kind)
        tokenizer.save_pretrained(tmp_path / kind)
        capsys.readouterr()
        assert run("mini-ende", "-m", tmp_path / kind, *QUICK) == 1
        captured = capsys.readouterr()
        assert captured.out == ""
        assert captured.err.count("\n") == 1
        assert "needs an encoder-decoder model" in captured.err


def test_usage_errors(folder: Path, capsys: Any) -> None:
    assert run("mini-ende") == 2
    for wrong in (
        ("--layer", "x"), ("--head", "0"), ("--development", "1"), ("--resamples", "1"), ("--tokenize", "a,b,c"),
        ("--seed", "0"), ("--beam", "0"), ("--on-long", "cut"), ("--detokenize", "no"), ("-m", "x", "--revision", "y"),
    ):  # fmt: skip
        assert run("mini-ende", "-m", folder, *wrong) == 2, wrong
    assert capsys.readouterr().out == ""
    assert run("mini-ende", "-m", folder, "--limit", 6, "--layer", "9", *QUICK) == 1
    assert "from 1 to 3" in capsys.readouterr().err
    assert run("mini-ende", "-m", folder, "--limit", 6, "--mode", "block", *QUICK) == 1
    assert "awi, awo" in capsys.readouterr().err
    assert len(load_testset("mini-ende").pairs) == 40


def test_translations_of_files(tmp_path: Path, capsys: Any) -> None:
    for name, lines in (("s", "das Haus\nein Baum\n"), ("t", "the house\na tree\n"), ("h1", "the house\ntree\n"),
                        ("h2", "a\nb\n"), ("g", "1-1 2-2\n1-1 2-2\n")):  # fmt: skip
        (tmp_path / name).write_text(lines, "utf-8")
    at = {name: tmp_path / name for name in ("s", "t", "h1", "h2", "g")}
    both = ("--hypothesis", at["h1"], "--hypothesis", at["h2"], "--resamples", 20)
    given = ("--source", at["s"], "--target", at["t"], "--gold", at["g"], "--gold-base", 1)
    assert run(*given, *both, "--json") == 0
    rows = json.loads(capsys.readouterr().out)
    assert [(row["model"], row["aer"]) for row in rows] == [("h1", None), ("h2", None)]
    assert set(rows[1]["paired"]) == {"bleu", "chrf", "ter", "uncovered_source", "unsupported_target"}
    assert run(at["s"], "--target", at["t"], *both) == 0
    assert "Δunsupported" in capsys.readouterr().out
    assert run(at["s"], "--target", at["t"], "--hypothesis", at["g"], "--limit", 1) == 0
    (tmp_path / "h1").write_text("one\n", "utf-8")
    assert run(*given, *both) == 1
    assert "h1: 1 translations but 2 sentence pairs" in capsys.readouterr().err
    assert run(*given) == 2
    assert "give --model, or --hypothesis FILE" in capsys.readouterr().err
