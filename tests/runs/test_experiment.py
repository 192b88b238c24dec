"""Experiment files: reading, running, resuming, and what is wrong with them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from align_eval.cli._options import parse_layers
from align_eval.errors import FormatError, MissingFileError, UnknownNameError
from align_eval.runs import experiment as module
from align_eval.runs.experiment import read_experiment, run_experiment

ROOT = Path(__file__).resolve().parents[2]

GOOD = """
name = "tiny"
title = "A tiny experiment"
testsets = ["mini-ende"]
methods = ["argmax", "forward"]
layers = "7"
resamples = 50
"""


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "experiment.toml"
    path.write_text(text, "utf-8")
    return path


@pytest.mark.parametrize("path", sorted((ROOT / "experiments").glob("*.toml")), ids=lambda p: p.stem)
def test_the_experiments_of_the_project_are_well_formed(path: Path) -> None:
    from align_eval.corpora.testset_entries import get_entry
    from align_eval.extraction import make_extractor

    experiment = read_experiment(path)
    assert experiment.name == path.stem
    assert all(get_entry(name) for name in experiment.testsets)
    assert all(make_extractor(method) for method in experiment.methods)
    assert parse_layers(experiment.layers, 12)


@pytest.mark.parametrize(
    ("text", "error", "said"),
    [
        ("name = ", FormatError, "not TOML"),
        ("name = 'x'", FormatError, "testsets is missing"),
        (GOOD + "layer = '7'", UnknownNameError, "Did you mean 'layers'"),
        (GOOD.replace('"7"', "7"), FormatError, "not of the type str"),
        (GOOD.replace('["mini-ende"]', '"mini-ende"'), FormatError, "testsets"),
        (GOOD + "kind = 'evalute'", UnknownNameError, "Did you mean 'evaluate'"),
    ],
)
def test_bad_files(tmp_path: Path, text: str, error: type[Exception], said: str) -> None:
    with pytest.raises(error, match=said):
        read_experiment(written(tmp_path, text))


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(MissingFileError, match="no such file"):
        read_experiment(tmp_path / "none.toml")


@pytest.mark.model
@pytest.mark.xdist_group("e5")
def test_an_experiment_runs_and_keeps_what_is_done(tmp_path: Path, e5: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("align_eval.models.load_model", lambda name, **options: e5)
    experiment = read_experiment(written(tmp_path, GOOD))
    notes: list[str] = []
    folder = run_experiment(experiment, tmp_path / "results", parse_layers=parse_layers, note=notes.append)
    table = (folder / "mini-ende.tsv").read_text("utf-8")
    page = (folder / "README.md").read_text("utf-8")
    assert notes[0].startswith("mini-ende: best AER 6.")
    assert [line.split("\t")[:2] for line in table.splitlines()[3:]] == [["7", "argmax"], ["7", "forward"]]
    assert "# A tiny experiment" in page
    assert "set:mini-ende|" in page
    assert "**6." in page

    def fail(*args: object, **options: object) -> None:
        raise AssertionError("a finished table was made again")

    monkeypatch.setattr("align_eval.runs.evaluate.evaluate_testset", fail)
    run_experiment(experiment, tmp_path / "results", parse_layers=parse_layers)
    assert (folder / "README.md").read_text("utf-8") == page
    changed = read_experiment(written(tmp_path, GOOD.replace("resamples = 50", "resamples = 60")))
    with pytest.raises(AssertionError, match="made again"):
        run_experiment(changed, tmp_path / "results", parse_layers=parse_layers)
    assert module.KINDS == ("evaluate",)
