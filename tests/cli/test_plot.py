"""``align-eval plot``: what is printed, what is written, what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from align_eval.cli import build_app, main
from tests.attribution.forced import double
from tests.cli.test_startup import HEAVY, loaded

ENDINGS = ("json", "md", "pdf", "png", "svg")


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every model that is loaded is a tiny one of two layers."""
    monkeypatch.setattr("align_eval.models.load_model", lambda name, **options: double("llama"))


def run(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as left:
        main(["plot", *words])
    out, err = capsys.readouterr()
    return int(left.value.code or 0), out, err


def test_help_is_light(tmp_path: Path) -> None:
    assert loaded(["plot", "--help"], tmp_path, ("numpy", *HEAVY)) == []


def test_every_figure_registers_itself() -> None:
    (group,) = build_app(["plot"]).registered_groups
    names = {c.name or c.callback.__name__ for c in group.typer_instance.registered_commands if c.callback}  # type: ignore[union-attr]
    assert {"heads", "layers", "pairs"} <= names


@pytest.mark.usefixtures("tiny")
def test_heads(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    files = [str(tmp_path / "new" / f"a.{e}") for e in ("png", "svg", "pdf")]
    options = ["--group", "<A>=the house", "--cell", "2,3", *(w for f in files for w in ("-o", f))]
    code, out, err = run(capsys, "heads", "--text", "the house and the", "--predict", " house", "--json", *options)
    assert code == 0
    reading = json.loads(out)
    assert set(reading) >= {"quantity", "strongest", "findings"}
    assert set(reading["strongest"][0]) >= {"layer", "head", "query", "key", "value"}
    assert (reading["subject"]["layer"], reading["subject"]["head"], reading["subject"]["chosen"]) == (2, 3, "by hand")
    assert reading["groups"][0]["name"] == "<A>"
    assert sorted(p.name for p in (tmp_path / "new").iterdir()) == [f"a.{e}" for e in ENDINGS]
    assert json.loads((tmp_path / "new" / "a.json").read_text()) == reading
    assert "Written:" in err
    code, out, _ = run(capsys, "heads", "--text", "the house and the", "--scalar", "share", "--thumbnails")
    assert (code, out[:21]) == (0, "# Layer x head grid\n\n")


@pytest.mark.usefixtures("tiny")
@pytest.mark.parametrize("quantity", ["attention", "saliency", "divergence"])
def test_layers(quantity: str, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    words = ["--prompt", "the house", "--answer", " and the house", "--quantity", quantity, "--json"]
    code, out, _ = run(capsys, "layers", *words, "-o", str(tmp_path / "a.svg"))
    assert code == 0
    reading = json.loads(out)
    assert reading["figure"] == "layer x token map"
    assert reading["subject"]["text"] == " and the house"
    assert [band["name"] for band in reading["groups"]] == ["layer 1", "layer 2"]
    assert (tmp_path / "a.svg").read_text().startswith("<?xml")


@pytest.mark.usefixtures("tiny")
def test_what_is_refused(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    wrong: list[tuple[list[str], int, str]] = [
        (["heads", "--text", "a", "-o", "x.gif"], 2, "write a figure as one of"),
        (["heads", "--text", "a", "--cell", "24"], 2, "write LAYER,HEAD"),
        (["heads", "--text", "a", "--cell", "3,1"], 1, "no layer 3, head 1"),
        (["heads", "--text", "a", "--scalar", "most"], 1, "unknown number of a head 'most'"),
        (["heads", "--text", "a", "--group", "x"], 1, "is no group"),
        (["heads", "--text", "a", "--source", "b"], 1, "takes no source sentence"),
        (["layers"], 2, "give --text"),
        (["layers", "--prompt", "a"], 2, "either --answer or --generate"),
        (["layers", "--text", "a", "--chat"], 2, "go with --prompt"),
        (["layers", "--text", "the house", "--head", "x"], 2, "a number from 1"),
        (["layers", "--text", "the house", "--rows", "some"], 2, "own or all"),
        (["layers", "--text", "the house", "--quantity", "attention", "--head", "9"], 1, "has no head 9"),
        (["layers", "--text", "the house", "--quantity", "attention", "--query", "cat"], 1, "no token 'cat'"),
        (["pairs", "mini-ende"], 2, "Missing option '--output'"),
        (["pairs", "mini-ende", "-o", str(tmp_path), "--links", str(tmp_path / "x")], 1, "no such file"),
    ]
    for words, code, message in wrong:
        found, out, err = run(capsys, *words)
        assert (found, out) == (code, ""), words
        assert message in " ".join(err.replace("\u2502", "").split()), words


@pytest.mark.model
def test_pairs_with_links_of_a_file(capsys: pytest.CaptureFixture[str], tmp_path: Path, e5: Any) -> None:
    """Links that evaluate wrote."""
    from align_eval.aligners import AlignerSettings, make_aligner
    from align_eval.corpora import load_testset
    from align_eval.runs.evaluate import evaluate_testset
    from align_eval.runs.results import write_evaluations

    aligner = make_aligner(AlignerSettings(e5, ("argmax",)))
    (links,) = write_evaluations(evaluate_testset(load_testset("mini-enzh"), aligner, resamples=0), tmp_path)
    asked = ("pairs", "mini-enzh", "--links", str(links), "-o", str(tmp_path / "pairs"))
    code, out, err = run(capsys, *asked, "--only", "1-2", "--jobs", "1")
    assert (code, err) == (0, "")
    assert out.startswith("2 figures: ")
    drawn = tmp_path / "pairs" / "mini-enzh.argmax.layer7"
    assert sorted(p.name for p in drawn.iterdir()) == ["0001.png", "0002.png", "figures.json"]
    code, out, err = run(capsys, *asked, "--only", "1-x")
    assert code == 2
    assert "--only" in err
