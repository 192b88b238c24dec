"""The public API: names, what documents and experiments import, frames and pickles of results."""

from __future__ import annotations

import ast
import pickle
import re
import sys
from pathlib import Path
from typing import Any

import pytest

import align_eval as ae
from align_eval.runs.evaluate import Evaluations, evaluate_testset
from tests.runs.stub import Stub

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")), *sorted((ROOT / "results").rglob("*.md"))]
PROGRAMS = sorted((ROOT / "experiments").rglob("*.py"))


def test_every_name_is_there_and_documented() -> None:
    assert len(ae.__all__) <= 45
    assert sorted(set(ae.__all__)) == sorted(ae.__all__)
    for name in ae.__all__:
        if not name.startswith("__"):
            assert (getattr(ae, name).__doc__ or "").strip(), name
    with pytest.raises(AttributeError, match="no attribute 'aling'"):
        ae.aling  # noqa: B018


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_pages_use_the_public_names_only(page: Path) -> None:
    text = page.read_text("utf-8")
    assert not re.findall(r"^\s*(?:>>> )?(?:from align_eval\.\S+ import.*|import align_eval\..*)$", text, re.MULTILINE)
    assert {name for name in re.findall(r"\bae\.([A-Za-z_]+)", text) if name not in ae.__all__} == set()
    for names in re.findall(r"^\s*from align_eval import (.*)$", text, re.MULTILINE):
        assert {name.strip() for name in names.split(",")} <= set(ae.__all__)


INSIDE = {
    "aligner/ablations.py", "aligner/train.py", "alignment_heads.py",
    "aligner/table.py", "bench/efficiency.py", "bench/equal.py",
    "bench/forms.py", "bench/growth.py", "bench/int16.py",
    "bench/aligners.py", "bench/ray_engine.py", "bench/scoring.py", "bench/statistical.py", "bench/streaming.py",
    "bench/systems.py", "compatibility.py", "coverage.py", "page_size.py", "pattern_heads.py", "train_mlm/export.py",
    "train_mlm/prepare.py", "train_tiny_deen/export.py", "train_tiny_deen/silver_encoder.py",
    "update_testset_registry.py",
}  # fmt: skip
"""Experiments that measure or make a part of the package by itself, such as a kernel or a registry file."""


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda program: str(program.relative_to(ROOT)))
def test_other_experiments_import_from_the_package_alone(program: Path) -> None:
    deeper = set()
    for node in ast.walk(ast.parse(program.read_text("utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("align_eval."):
            deeper.add(str(node.module).removeprefix("align_eval."))
        if isinstance(node, ast.Import):
            deeper |= {alias.name for alias in node.names if alias.name.startswith("align_eval.")}
    name = str(program.relative_to(ROOT / "experiments"))
    assert bool(deeper - set(ae.__all__)) == (name in INSIDE), deeper


def test_plain_lists_are_links() -> None:
    """One list of (source, target) a sentence pair, counted from 0."""
    gold = [[(0, 0), (1, 1)], [(0, 1)], [(2, 1)]]
    score = ae.score(gold, gold)
    assert (score.aer, score.links, score.sentences) == (0, 4, 3)
    assert ae.score(gold, [[(0, 0)], [], [[2, 2]]]).precision == pytest.approx(50)


@pytest.mark.filterwarnings("ignore")
def test_results_become_frames_and_pickle() -> None:
    pandas = pytest.importorskip("pandas")
    testset = ae.load_testset("mini-ende")
    found: Any = Evaluations(evaluate_testset(testset, Stub(systems=2), resamples=20))
    frame = found.to_frame()
    assert isinstance(frame, pandas.DataFrame)
    assert frame["testset"].tolist() == ["mini-ende", "mini-ende"]
    assert frame["layer"].tolist() == [7, 8]
    assert (frame["aer_low"] <= frame["aer"]).all()
    score = found[0].score
    assert score.to_frame().loc[0, "aer"] == pytest.approx(score.aer)
    assert found[0].to_frame().shape[0] == 1
    table = found[0].links
    rows = table.to_frame()
    assert list(rows.columns) == ["sentence", "source", "target", "sure", "score"]
    assert [(i, j) for i, j in rows[rows.sentence == 3][["source", "target"]].itertuples(index=False)] == list(table[3])
    assert list(ae.load_testset("mini-ende").gold.to_frame().columns)[1:] == ["source", "target", "sure"]
    for thing in (score, table, table[3], testset.gold.gold(3), testset.pairs[3], found):
        again = pickle.loads(pickle.dumps(thing))
        assert type(again) is type(thing)
        assert str(again) == str(thing)


def test_a_frame_without_pandas_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(ae.AlignEvalError, match="pip install pandas"):
        ae.score([[(0, 0)]], [[(0, 0)]]).to_frame()
