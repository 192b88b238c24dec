"""Experiment files: reading, running, resuming, and what is wrong with them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from align_eval.errors import FormatError, InputError, MissingFileError, ModelError, UnknownNameError
from align_eval.registry import numbers_of
from align_eval.runs.experiments import KINDS, read_experiment, run_experiment
from align_eval.runs.experiments.signals import SignalsExperiment
from tests.models import families

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
    experiment = read_experiment(path)
    experiment.check()
    assert experiment.name == path.stem
    assert experiment.title
    assert experiment.text
    assert numbers_of(getattr(experiment, "layers", "all"), 0, 12)


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
    monkeypatch.setattr("align_eval.runs.experiments.evaluate.load_model", lambda name, **options: e5)
    experiment = read_experiment(written(tmp_path, GOOD))
    notes: list[str] = []
    folder = run_experiment(experiment, tmp_path / "results", notes.append)
    table = (folder / "evaluate.json").read_text("utf-8")
    page = (folder / "README.md").read_text("utf-8")
    assert notes[0].startswith("mini-ende: best AER 6.")
    systems = json.loads(table)["cells"]["mini-ende"]["systems"]
    assert [(row["layer"], row["method"]) for row in systems] == [(7, "argmax"), (7, "forward")]
    assert "# A tiny experiment" in page
    assert "set:mini-ende|" in page
    assert "**6." in page

    def fail(*args: object, **options: object) -> None:
        raise AssertionError("a finished table was made again")

    monkeypatch.setattr("align_eval.runs.experiments.evaluate.evaluate_testset", fail)
    run_experiment(experiment, tmp_path / "results")
    assert (folder / "README.md").read_text("utf-8") == page
    (folder / "evaluate.json").write_text(table.replace('"aer": 6.', '"aer": 5.'), "utf-8")
    with pytest.raises(AssertionError, match="made again"):  # a number was changed: made anew, not believed
        run_experiment(experiment, tmp_path / "results")
    changed = read_experiment(written(tmp_path, GOOD.replace("resamples = 50", "resamples = 60")))
    with pytest.raises(AssertionError, match="made again"):
        run_experiment(changed, tmp_path / "results")


@pytest.mark.parametrize(("name", "testset"), [("marian", "mini-ende"), ("gpt2", "mini-enfr")])
def test_evaluate_takes_models_of_every_family(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, testset: str
) -> None:
    model = families.build(name)
    monkeypatch.setattr("align_eval.runs.experiments.evaluate.load_model", lambda *_, **__: model)
    text = GOOD.replace("mini-ende", testset).replace('layers = "7"', 'layers = "all"')
    folder = run_experiment(read_experiment(written(tmp_path, text)), tmp_path / "results")
    rows = json.loads((folder / "evaluate.json").read_text("utf-8"))["cells"][testset]["systems"]
    assert len(rows) > 2
    assert {row["method"] for row in rows} == {"argmax", "forward"}


def test_the_kinds() -> None:
    assert {"evaluate", "signals", "sweep"} <= set(KINDS.names())


SWEEP = """
name = "tiny-sweep"
kind = "sweep"
title = "A tiny sweep"
model = "tiny"
testsets = ["mini-ende"]
select = ["best", "greedy"]
layers = "2"
resamples = 20
"""


@pytest.fixture
def marian(monkeypatch: pytest.MonkeyPatch) -> Any:
    """A tiny model in place of any that is loaded, and a test set of four pairs in place of mini-ende."""
    from align_eval.corpora import Corpus
    from align_eval.links import GoldLinks, Links
    from align_eval.links.table import LinkTable
    from tests.models import families

    model = families.build("marian", layers=2, target_language=None)
    model.revision = "1"
    pairs = families.pairs()
    gold = LinkTable.from_links([GoldLinks(Links([(0, 0)]), Links([])) for _ in pairs])
    found = Corpus(lambda: pairs, "mini-ende", "de", "en", links=gold, registered="0" * 64, kept=True)
    for kind in ("sweep", "signals"):
        monkeypatch.setattr(f"align_eval.runs.experiments.{kind}.load_model", lambda name, **options: model)
    monkeypatch.setattr("align_eval.runs.experiments.load_testset", lambda name: found)
    return model


def test_a_sweep_runs_and_keeps_what_is_done(tmp_path: Path, marian: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    experiment = read_experiment(written(tmp_path, SWEEP + "development = 0.5"))
    notes: list[str] = []
    folder = run_experiment(experiment, tmp_path / "results", notes.append)
    cell = json.loads((folder / "sweep.json").read_text("utf-8"))["cells"]["mini-ende"]
    assert len(cell["views"]) == 2 * 5
    assert {"layer", "head", "mode", "aer"} <= cell["views"][0].keys()
    assert [one["selection"] for one in cell["selection"]] == ["best", "greedy"]
    assert all(one["sentences"] == 2 for one in cell["selection"])
    best = min(cell["views"], key=lambda row: row["aer"])
    assert notes[0].startswith(f"mini-ende: best view {best['aer']:.2f} (layer 2, head {best['head']}")
    page = (folder / "README.md").read_text("utf-8")
    assert "# A tiny sweep" in page
    assert f"{best['aer']:.1f}: layer 2, head {best['head']}, {best['mode']}" in page
    assert {line.count("|") for line in page.splitlines() if line.startswith("|")} == {7}, "a cell a column"
    assert "![AER by layer and head on mini-ende](mini-ende.png)" in page
    assert (folder / "mini-ende.png").read_bytes().startswith(b"\x89PNG")
    assert (folder / "mini-ende.pdf").read_bytes().startswith(b"%PDF")

    def fail(*args: object, **options: object) -> None:
        raise AssertionError("a finished sweep was made again")

    monkeypatch.setattr("align_eval.runs.experiments.sweep.sweep_testset", fail)
    (folder / "mini-ende.png").unlink()
    run_experiment(experiment, tmp_path / "results")
    assert (folder / "mini-ende.png").exists(), "a figure that is missing is drawn again"
    assert (folder / "README.md").read_text("utf-8") == page
    for change in ("development = 0.25", "development = 0.5\nkeys = 'mean'"):
        changed = read_experiment(written(tmp_path, SWEEP + change))
        with pytest.raises(AssertionError, match="made again"):
            run_experiment(changed, tmp_path / "results")
    faster = read_experiment(written(tmp_path, SWEEP + "development = 0.5\nbatch_tokens = 64"))
    run_experiment(faster, tmp_path / "results")
    marian.revision = "2"
    with pytest.raises(AssertionError, match="made again"):
        run_experiment(experiment, tmp_path / "results")


@pytest.mark.parametrize("damage", ["a row without a field", "a number", "a part that is empty"])
def test_a_damaged_part_is_made_anew(tmp_path: Path, marian: Any, damage: str) -> None:
    experiment = read_experiment(written(tmp_path, SWEEP + "development = 0.5"))
    folder = run_experiment(experiment, tmp_path / "results")
    file = folder / "sweep.json"
    whole, page = file.read_text("utf-8"), (folder / "README.md").read_text("utf-8")
    data = json.loads(whole)
    cell = data["cells"]["mini-ende"]
    if damage == "a row without a field":
        del cell["views"][0]["aer"]
    elif damage == "a number":
        cell["selection"][0]["aer"] = 1.0
    else:
        data["cells"]["mini-ende"] = {key: cell[key] for key in ("fingerprint", "digest")}
    file.write_text(json.dumps(data), "utf-8")
    run_experiment(experiment, tmp_path / "results")
    assert file.read_text("utf-8") == whole
    assert (folder / "README.md").read_text("utf-8") == page


SIGNALS = """
name = "tiny-signals"
kind = "signals"
title = "Tiny signals"
model = "tiny"
testsets = ["mini-ende"]
signals = ["attention", "saliency:norm=l1", "rollout"]
aligners = ["stub"]
development = 0.5
resamples = 20
"""
PLAIN = SIGNALS.replace('"stub"', '"forward"')


def test_signals_beside_aligners(tmp_path: Path, marian: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from align_eval.aligners import ALIGNERS
    from tests.runs.stub import Stub

    class Made(Stub):
        def __init__(self, settings: Any) -> None:
            super().__init__()

    monkeypatch.setitem(ALIGNERS._things, "stub", Made)
    experiment = read_experiment(written(tmp_path, SIGNALS))
    notes: list[str] = []
    folder = run_experiment(experiment, tmp_path / "results", notes.append)
    cells = json.loads((folder / "signals.json").read_text("utf-8"))["cells"]
    assert list(cells) == [f"mini-ende/{x}" for x in ("attention", "saliency:norm=l1", "rollout", "stub")]
    assert all(cell["score"]["sentences"] == 2 for cell in cells.values())
    assert cells["mini-ende/saliency:norm=l1"]["view"] == "1.layer awo"
    page = (folder / "README.md").read_text("utf-8")
    assert "| rollout | " in page
    assert "Not read" not in page

    def fail(*args: object, **options: object) -> None:
        raise AssertionError("a finished signal was made again")

    monkeypatch.setattr("align_eval.runs.experiments.sweep.sweep_testset", fail)
    more = SIGNALS.replace('["stub"]', '["stub", "argmax"]').replace('"rollout"]', '"rollout", "norms"]')
    run_experiment(experiment, tmp_path / "results")
    with pytest.raises(AssertionError, match="made again"):
        run_experiment(read_experiment(written(tmp_path, more)), tmp_path / "results")


def test_a_signal_that_cannot_be_read_says_why(tmp_path: Path, marian: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*args: object, **options: object) -> None:
        raise ModelError("the model has no values", remedy="Choose another")

    monkeypatch.setattr("align_eval.runs.experiments.sweep.sweep_testset", fail)
    text = SIGNALS.replace('aligners = ["stub"]', "")
    folder = run_experiment(read_experiment(written(tmp_path, text)), tmp_path)
    assert "- rollout: the model has no values. Choose another" in (folder / "README.md").read_text("utf-8")


@pytest.mark.parametrize(
    ("text", "error", "said"),
    [
        (SWEEP + "methods = ['argmax']", UnknownNameError, "key of an experiment"),
        (SWEEP.replace('"greedy"', '"gready"'), UnknownNameError, "Did you mean 'greedy'"),
        (SWEEP + "signal = 'salience'", UnknownNameError, "Did you mean 'saliency'"),
        (SWEEP + "keys = 'summ'", UnknownNameError, "Did you mean 'sum'"),
        (SWEEP + "development = '0.5'", FormatError, "not of the type float"),
        (PLAIN.replace("l1", "l1,nrm=2"), UnknownNameError, "option of the attribution method saliency"),
        (SIGNALS.replace('"stub"', '"eflomal+parallel"'), InputError, "parallel_languages"),
        (SIGNALS.replace('"stub"', '"argmx"'), UnknownNameError, "Did you mean 'argmax'"),
        (PLAIN.replace('"mini-ende"', '"mini-ende", "mini-enxx"'), UnknownNameError, "test set"),
    ],
)
def test_wrong_names_are_found_before_a_model_is_loaded(
    tmp_path: Path, text: str, error: type[Exception], said: str
) -> None:
    with pytest.raises(error, match=said):
        read_experiment(written(tmp_path, text)).check()


def test_parallel_text_is_looked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = SIGNALS.replace('"stub"', '"eflomal+parallel"') + 'parallel_languages = "de-en"\nparallel = ["some.tsv"]\n'
    experiment = read_experiment(written(tmp_path, text))
    experiment.check()
    assert isinstance(experiment, SignalsExperiment)
    with pytest.raises(MissingFileError, match="Set ALIGN_EVAL_PARALLEL"):
        experiment._files()
    (tmp_path / "some.tsv").write_text("ein Haus\ta house\n", "utf-8")
    monkeypatch.setenv("ALIGN_EVAL_PARALLEL", str(tmp_path))
    assert experiment._files() == (tmp_path / "some.tsv",)
