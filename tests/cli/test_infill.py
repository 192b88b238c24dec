"""The command infill, as a user calls it, with a tiny model that knows nothing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from align_eval.cli import main
from tests.infilling.models import load, marian_folder
from tests.runs.infill_set import PAIRS, register


@pytest.fixture(scope="module")
def tiny() -> Any:
    return load("masked")


@pytest.fixture(autouse=True)
def loaded(tiny: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """One model for all commands; a small test set."""
    from align_eval.models import load_model

    folder = str(marian_folder(decoder_mode="masked"))
    monkeypatch.setattr(
        "align_eval.models.load_model",
        lambda name, **options: tiny if name == "offline:tiny-deen-mask" else load_model(folder, **options),
    )
    monkeypatch.setenv("ALIGN_EVAL_TESTSETS", str(register(tmp_path)))


def run(*arguments: object) -> int:
    try:
        main([str(a) for a in arguments])
    except SystemExit as stop:
        return int(stop.code or 0)
    return 0


def test_one_pair_is_drawn_and_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source, target, links = PAIRS[0]
    out = tmp_path / "out"
    words = ("infill", "--source", source, "--target", target, "--mask", "small,house", "--gold", links)
    assert run(*words, "--layer", 1, "--head", 2, "--words", "--difference", "--json", "-o", out) == 0
    captured = capsys.readouterr()
    reading = json.loads(captured.out)
    assert reading["subject"]["hidden"] == ["small", "house"]
    assert (reading["subject"]["layer"], reading["subject"]["head"]) == (1, 2)
    assert reading["subject"]["chosen"] == "given by name"
    assert [word["linked_to"] for word in reading["numbers"]["hidden"]] == [["kleine"], ["Haus"]]
    names = {path.name for path in out.iterdir()}
    assert names == {"infill.png", "infill.svg", "infill.pdf", "infill.json", "infill.md"}
    assert json.loads((out / "infill.json").read_text("utf-8")) == reading
    assert run(*words) == 0
    assert "‘small house’ masked" in capsys.readouterr().out


def test_a_pair_of_a_test_set_takes_the_head_of_its_development_part(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("infill", "small-deen", "--pair", 2, "--mask", "suffix:2", "--json") == 0
    subject = json.loads(capsys.readouterr().out)["subject"]
    assert subject["hidden"] == ["house", "stands"]
    assert "the highest gold accuracy of masked rows on the dev split (1 of 6 pairs" in subject["chosen"]
    assert "this pair is" in subject["chosen"]


def test_a_test_set_by_strategies(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shares = [word for share in (0.3, 0.6, 1) for word in ("--strategy", f"random:ratio={share}")]
    words = ("infill", "small-deen", *shares, "--strategy", "function", "--resamples", 100)
    assert run(*words, "--json", "-o", tmp_path / "out") == 0
    captured = capsys.readouterr()
    rows = json.loads(captured.out)
    assert [row["strategy"] for row in rows][-2:] == ["random:ratio=1", "function:language=en"]
    assert rows[0]["direction"] == "de-en"
    assert rows[2]["rows_visible"] == 0
    assert "written to" in captured.err
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert {"infill.json", "README.md", "summary.json", "summary.md", "curves.png", "curves.svg"} <= names
    page = (tmp_path / "out" / "README.md").read_text("utf-8")
    assert "| function:language=en |" in page
    assert run("infill", "small-deen", "--layer", 2, "--resamples", 20, "--limit", 4) == 0
    told = capsys.readouterr().out
    assert "small-deen, de-en: 4 sentence pairs" in told
    assert "layer 2, head mean (given by name)" in told
    assert "span:ratio=0.5" in told


def test_a_bitext_with_gold_links(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ("infill", "--bitext", tmp_path / "small.txt", "--gold", tmp_path / "small.talp", "--strategy", "each")
    assert run(*words, "--layer", 1, "--silver", "--resamples", 10, "--json", "--gold-base", 0) == 0
    (row,) = json.loads(capsys.readouterr().out)
    assert (row["links"], row["testset"], row["rows_masked"]) == ("silver", "small.txt", 25)
    assert run("infill", "--bitext", tmp_path / "small.txt", "--layer", 1, "--strategy", "aligned") == 1
    assert "give gold links with --gold" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ((), "give one of TESTSET"),
        (("mini-ende", "--bitext", "x"), "give one of TESTSET"),
        (("--source", "a"), "--source and --target go together"),
        (("--source", "a", "--target", "b"), "say which words are masked with --mask"),
        (("--source", "a", "--target", "b", "--strategy", "each", "--mask", "1"), "--strategy is for a corpus"),
        (("mini-ende", "--mask", "1"), "--mask is for one pair"),
        (("mini-ende", "--head", "1"), "--head needs --layer"),
        (("mini-ende", "--gold", "x"), "it has its own"),
        (("mini-ende", "--layer", "0"), "neither a number from 1 nor mean"),
    ],
)
def test_wrong_usage(words: tuple[str, ...], told: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("infill", *words) == 2
    assert told in " ".join(capsys.readouterr().err.split())


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("small-deen", "--strategy", "spann"), "Did you mean 'span'"),
        (("small-deen", "--pair", "9", "--mask", "1"), "not a pair 9"),
        (("small-deen", "--pair", "1", "--mask", "hous"), "Did you mean 'house'"),
        (("small-deen", "--pair", "1", "--mask", "7"), "no word 7"),
        (("--source", "a", "--target", "b", "--mask", "1", "--gold", "x"), "neither links nor a file"),
        (("--source", "a", "--target", "b", "--mask", "1", "--gold", "3-3"), "outside a pair"),
        (("--source", " ", "--target", "b", "--mask", "1"), "has no word"),
    ],
)
def test_bad_input(words: tuple[str, ...], told: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("infill", *words) == 1
    assert told in " ".join(capsys.readouterr().err.split())
