"""Experiments of the kind infill: what they write, what they keep, what they leave out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from align_eval.errors import FormatError, MissingFileError, UnknownNameError
from align_eval.runs.experiments import read_experiment, run_experiment
from tests.infilling.models import bert_folder, load
from tests.runs.infill_set import register

FILE = """
name = "hidden"
kind = "infill"
testsets = ["small-deen", "small-deen:reverse"]
optional = ["not-here"]
strategies = ["span:ratio=0.3", "span:ratio=0.6", "span:ratio=1", "function"]
pairs = ["small-deen:reverse 1 2-3", "not-here 1 1"]
resamples = 50
"""


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ALIGN_EVAL_TESTSETS", str(register(tmp_path)))
    path = tmp_path / "hidden.toml"
    path.write_text(FILE, "utf-8")
    return path


def test_it_writes_everything_and_keeps_what_is_there(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = load("masked").with_languages(None, None)
    monkeypatch.setattr("align_eval.runs.experiments.infill.load_model", lambda name, **options: model)
    notes: list[str] = []
    base = run_experiment(read_experiment(file), tmp_path / "results", notes.append)
    assert any("not-here: left out" in note for note in notes)
    cells = json.loads((base / "infill.json").read_text("utf-8"))["cells"]
    assert list(cells) == ["small-deen", "small-deen:reverse", "small-deen:reverse 1 2-3"]
    forth, back, _ = (cells[name] for name in cells)
    assert (forth["subject"]["direction"], back["subject"]["direction"]) == ("de-en", "en-de")
    assert [plan["strategy"] for plan in back["strategies"]][-1] == "function:language=de"
    names = {str(path.relative_to(base)) for path in base.rglob("*") if path.is_file()}
    stem = "pair.small-deen-reverse.1.2-3"
    assert {f"{stem}.png", f"{stem}.svg", f"{stem}.pdf", f"{stem}.json", f"{stem}.md", "README.md"} <= names
    assert {"small-deen/curves.png", "small-deen-reverse/summary.md"} <= names
    page = (base / "README.md").read_text("utf-8")
    assert "## small-deen:reverse, pair 1, masked: 2-3" in page
    assert "![curves](small-deen/curves.png)" in page

    def never(*args: Any, **options: Any) -> Any:
        raise AssertionError("it was run again")

    monkeypatch.setattr("align_eval.runs.experiments.infill.infill_testset", never)
    run_experiment(read_experiment(file), tmp_path / "results")
    assert (base / "README.md").read_text("utf-8") == page


def test_what_is_wrong_is_told_before_anything_runs(file: Path, tmp_path: Path) -> None:
    for old, new, error, words in (
        ('"function"]', '"funktion"]', UnknownNameError, "function"),
        ('testsets = ["small-deen",', 'testsets = ["small-den",', UnknownNameError, "small-deen"),
        ("1 2-3", "one 2-3", FormatError, "SET NUMBER MASK"),
        ('pairs = ["small', 'pairs = ["mini-ende 1 1", "small', FormatError, "not of one of the test sets"),
    ):
        file.write_text(FILE.replace(old, new), "utf-8")
        with pytest.raises(error, match=words):
            run_experiment(read_experiment(file), tmp_path / "results")
    assert not (tmp_path / "results").exists()


def test_a_model_in_a_folder_of_its_own(file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small = FILE.replace(
        'strategies = ["span:ratio=0.3", "span:ratio=0.6", "span:ratio=1", "function"]', 'strategies = ["each"]'
    )
    file.write_text(f'{small}model = "tiny-tlm"\nfolder = "$ALIGN_EVAL_TINY"\n', "utf-8")
    monkeypatch.delenv("ALIGN_EVAL_TINY", raising=False)
    for value, words in (
        (None, r"variable is not set.*Set it to the folder of the model tiny-tlm"),
        ("no", "no folder"),
    ):
        if value:
            monkeypatch.setenv("ALIGN_EVAL_TINY", value)
        with pytest.raises(MissingFileError, match=words):
            run_experiment(read_experiment(file), tmp_path / "results")
    monkeypatch.setenv("ALIGN_EVAL_TINY", str(bert_folder()))
    base = run_experiment(read_experiment(file), tmp_path / "results")
    cell = json.loads((base / "infill.json").read_text("utf-8"))["cells"]["small-deen"]
    assert (cell["subject"]["model"], cell["subject"]["mode"]) == ("tiny-tlm", "tgt2src")
    texts = [path.read_text("utf-8") for path in base.rglob("*") if path.suffix in (".md", ".json")]
    assert not any(str(bert_folder()) in text for text in texts)

    def never(*args: Any, **options: Any) -> Any:
        raise AssertionError("it was run again")

    monkeypatch.setattr("align_eval.runs.experiments.infill.infill_testset", never)
    (tmp_path / "link").symlink_to(bert_folder())
    monkeypatch.setenv("ALIGN_EVAL_TINY", "link")  # from the experiment's file on
    run_experiment(read_experiment(file), tmp_path / "results")
