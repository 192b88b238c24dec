"""The commands align, evaluate, run and demo, as a user calls them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from align_eval import models
from align_eval.cli import main
from align_eval.cli._options import parse_layers
from align_eval.corpora import load_testset

pytestmark = [pytest.mark.model, pytest.mark.xdist_group("e5")]


@pytest.fixture(autouse=True)
def loaded(e5: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Load the real encoder once for all commands of this file; the shipped models as they are."""
    real = models.load_model
    monkeypatch.setattr(
        models, "load_model", lambda name, **options: real(name, **options) if "tiny-deen" in name else e5
    )


def run(*arguments: object) -> int:
    try:
        main([str(a) for a in arguments])
    except SystemExit as stop:
        return int(stop.code or 0)
    return 0


def test_align_writes_a_line_a_pair(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source, target = tmp_path / "s", tmp_path / "t"
    source.write_text("the house\n\na cat sleeps\n", "utf-8")
    target.write_text("das Haus\nleer\neine Katze schläft\n", "utf-8")
    assert run("align", "--source", source, "--target", target, "--layer", 7) == 0
    assert capsys.readouterr().out == "0-0 1-1\n\n0-0 1-1 2-2\n"
    assert run("align", "--source", source, "--target", target, "--format", "jsonl", "-o", tmp_path / "out") == 0
    captured = capsys.readouterr()
    assert captured.out == ""
    rows = [json.loads(line) for line in (tmp_path / "out").read_text("utf-8").splitlines()]
    assert [row["id"] for row in rows] == ["1", "2", "3"]
    assert rows[1] == {"id": "2", "source": "", "target": "leer", "links": [], "scores": []}
    assert all(0.5 < s <= 1 for s in rows[2]["scores"])
    meta = json.loads((tmp_path / "out.meta.json").read_text("utf-8"))
    assert meta["signature"]["model"] == "offline:e5-small"
    assert meta["lines"] == 3


def test_the_words_of_a_tokeniser_are_kept(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source, target = tmp_path / "s", tmp_path / "t"
    source.write_text("The house, here.\n\n", "utf-8")
    target.write_text("房子在这里。\n好\n", "utf-8")
    named = ("align", "--source", source, "--target", target, "--layer", 7)
    assert run(*named, "--tokenize", "auto", "-o", tmp_path / "out") == 0
    said = capsys.readouterr().err
    assert "tokeniser auto: source: 13a (text with spaces), target: zh (Chinese text)" in said
    assert f"the words that the links count are in {tmp_path / 'out'}.text" in said
    assert (tmp_path / "out.text").read_text("utf-8") == "The house , here . ||| 房 子 在 这 里 。\n ||| 好\n"
    assert run("align", "--bitext", tmp_path / "out.text", "--layer", 7) == 0
    assert capsys.readouterr().out == (tmp_path / "out").read_text("utf-8")
    assert run(*named) == 0
    assert "1 of the first 2 target sentences are Chinese without spaces" in (said := capsys.readouterr().err)
    assert "--tokenize zh" in said
    assert run(*named, "--tokenize", "13a,zh") == 0
    assert "pass --keep-text FILE" in capsys.readouterr().err
    assert run(*named, "--tokenize", "13a,zh", "--format", "jsonl", "--keep-text", tmp_path / "kept") == 0
    assert json.loads(capsys.readouterr().out.splitlines()[0])["source"] == "The house , here ."
    assert (tmp_path / "kept").read_bytes() == (tmp_path / "out.text").read_bytes()


def test_align_then_score_equals_evaluate(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "links.talp"
    assert run("align", "--testset", "mini-enzh", "-x", "itermax", "-o", out) == 0
    capsys.readouterr()
    assert run("score", "mini-enzh", out, "--json") == 0
    scored = json.loads(capsys.readouterr().out)[0]
    assert run("evaluate", "mini-enzh", "--method", "argmax", "itermax", "--json") == 0
    rows = json.loads(capsys.readouterr().out)
    assert [row["method"] for row in rows] == ["argmax", "itermax"]
    assert rows[1]["aer"] == scored["aer"]
    assert rows[1]["ci"] == scored["ci"]
    for key in ("system", "aer", "precision", "recall", "f1", "links", "sure", "possible", "sentences", "signature"):
        assert key in rows[0], key


def test_evaluate_draws_tables_and_writes_a_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("evaluate", "mini-ende", "--layers", "6-7", "--resamples", 100, "-o", tmp_path / "r") == 0
    text = capsys.readouterr().out
    assert "layer 6" in text
    assert "layer 7" in text
    assert "set:mini-ende|" in text
    assert sorted(p.name for p in (tmp_path / "r" / "links").iterdir()) == [
        "mini-ende.argmax.layer6.talp", "mini-ende.argmax.layer7.talp",
    ]  # fmt: skip
    assert run("evaluate", "mini-ende", "--latex", "--resamples", 100) == 0
    assert r"\begin{tabular}" in capsys.readouterr().out


def test_demo_writes_scores_links_and_a_picture(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("demo", "--small", "-o", tmp_path / "demo") == 0
    text = capsys.readouterr().out
    assert all(name in text for name in ("mini-ende", "mini-enfr", "mini-enes", "mini-enzh"))
    assert (tmp_path / "demo" / "aligned-pair.png").read_bytes().startswith(b"\x89PNG")
    assert (tmp_path / "demo" / "hidden-words.png").read_bytes().startswith(b"\x89PNG")
    reading = json.loads((tmp_path / "demo" / "hidden-words.json").read_text("utf-8"))
    assert reading["findings"][1].startswith("‘laws of the universe’ masked:")
    systems = json.loads((tmp_path / "demo" / "scores.json").read_text("utf-8"))["systems"]
    assert len(systems) == 8
    assert systems[0]["aer"] < 10
    assert len(list((tmp_path / "demo" / "links").iterdir())) == 8


def test_usage_errors(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("align") == 2
    assert run("align", "--source", "x") == 2
    assert run("align", "--testset", "mini-ende", "--bitext", "x") == 2
    assert run("align", "--testset", "mini-ende", "--tokenize", "13a") == 2
    assert run("evaluate", "mini-ende", "--layers", "7-5") == 2
    assert run("evaluate", "mini-ende", "--json", "--latex") == 2
    assert capsys.readouterr().out == ""


def test_wrong_names_say_the_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    for arguments, near in (
        (["align", "--testset", "mini-end"], "mini-ende"),
        (["align", "--testset", "mini-ende", "-x", "itermx"], "itermax"),
        (["align", "--testset", "mini-ende", "-x", "simalign:itermx"], "itermax"),
        (["evaluate", "mini-ende", "--layers", "13"], "from 0 (embeddings) to 12"),
    ):
        assert run(*arguments) == 1
        captured = capsys.readouterr()
        assert captured.out == ""
        assert captured.err.count("\n") == 1
        assert near in captured.err


def test_layers() -> None:
    assert parse_layers("all", 3) == [1, 2, 3]
    assert parse_layers("7,5-6, 5", 12) == [7, 5, 6]


def test_own_test_sets_need_nothing_fetched(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("ALIGN_EVAL_DATA", str(tmp_path))
    assert len(load_testset("mini-ende").pairs) == 40
