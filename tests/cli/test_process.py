"""Streams that are closed, full, not UTF-8 or left by their reader: one line or none, and no traceback."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(os.name == "nt", reason="needs a POSIX shell")

MAIN = "from align_eval.cli import main; main()"
SCORE = "score a.talp b.talp b.talp --gold-base 0 --hyp-base 0 --resamples 5"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "a.talp").write_text("0-0\n1-0\n", encoding="utf-8")
    (tmp_path / "b.talp").write_text("0-0\n1-1\n", encoding="utf-8")
    (tmp_path / "日.talp").write_text("0-0\n1-1\n", encoding="utf-8")
    (tmp_path / "big.talp").write_text("0-0 1-1 2-2 3-3 4-4\n" * 60_000, encoding="utf-8")
    (tmp_path / "align-eval").write_text(f"#!/bin/sh\nexec {sys.executable} -c '{MAIN}' \"$@\"\n", encoding="utf-8")
    (tmp_path / "align-eval").chmod(0o755)
    return tmp_path


def _shell(folder: Path, script: str, **environment: str) -> subprocess.CompletedProcess[bytes]:
    path = {"PATH": f"{folder}:{os.environ['PATH']}"}
    return subprocess.run(
        ["bash", "-c", script], cwd=folder, env={**os.environ, **path, **environment}, capture_output=True, timeout=120
    )


@pytest.mark.parametrize(
    ("script", "code", "said"),
    [
        ("align-eval score a.talp - --gold-base 0 --hyp-base 0 <&-", 1, "standard input: is closed"),
        ("align-eval convert - out.jsonl --base-in 0 <&-", 1, "standard input: is closed"),
        (f"align-eval {SCORE} >&-", 1, "standard output: cannot be written: it is closed"),
        ("align-eval convert a.talp - --base-in 0 --to jsonl >&-", 1, "standard output: cannot be written"),
        ("align-eval convert a.talp out.jsonl --base-in 0 <&- >&-", 0, "2 sentence pairs"),
        ("align-eval convert a.talp out.jsonl --base-in 0 <&- >&- 2>&-", 0, ""),
        ("align-eval convert none.talp out.jsonl --base-in 0 2>&-", 1, ""),
        (f"align-eval {SCORE} > /dev/full", 1, "No space left"),
        ("align-eval convert big.talp - --base-in 0 --to pharaoh | head -1; exit ${PIPESTATUS[0]}", 0, ""),
        ("align-eval convert big.talp - --base-in 0 --to jsonl | true; exit ${PIPESTATUS[0]}", 0, ""),
        (f"mkdir gone && cd gone && rmdir ../gone && {sys.executable} -c '{MAIN}' score a.talp b.talp", 1, "a.talp"),
    ],
)
def test_streams(folder: Path, script: str, code: int, said: str) -> None:
    done = _shell(folder, script)
    lines = done.stderr.decode().splitlines()
    assert done.returncode == code
    assert len(lines) == (1 if said else 0), lines
    assert said in "".join(lines)
    if "out.jsonl" in script and not code:
        assert (folder / "out.jsonl").read_text(encoding="utf-8").startswith('{"id": "1", "links": [[0, 0]]')


@pytest.mark.parametrize(
    ("environment", "shown"),
    [
        ({"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}, "Δ".encode()),
        ({"PYTHONIOENCODING": "latin-1"}, rb"\u0394"),
        ({"PYTHONIOENCODING": "ascii"}, rb"\u0394"),
        ({"PYTHONIOENCODING": "utf-8"}, "Δ".encode()),
    ],
)
def test_encodings(folder: Path, environment: dict[str, str], shown: bytes) -> None:
    script = f"align-eval {SCORE}; align-eval score a.talp 日.talp --gold-base 0 --hyp-base 0"
    done = _shell(folder, script, **environment)
    assert (done.returncode, done.stderr) == (0, b"")
    assert shown in done.stdout


def test_a_user_without_a_home(folder: Path) -> None:
    script = (
        "import os, pwd, sys\nos.environ.pop('HOME')\n"
        "def unknown(number): raise KeyError(number)\n"
        "pwd.getpwuid = unknown\nfrom align_eval.cli import main\nmain(['models', 'list'])\n"
    )
    environment = {k: v for k, v in os.environ.items() if k not in ("ALIGN_EVAL_CACHE", "XDG_CACHE_HOME")}
    done = subprocess.run([sys.executable, "-c", script], env=environment, cwd=folder, capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr.startswith("align-eval: this user has no home folder. Set ALIGN_EVAL_CACHE")
    assert len(done.stderr.splitlines()) == 1
