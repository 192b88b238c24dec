"""Temporary files: rights, links that others have set, and what killed processes leave."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from align_eval.errors import OutputError
from align_eval.files import atomic_writer
from align_eval.io import locks
from align_eval.io.locks import open_unlinked, sweep
from align_eval.io.resumable import Key, ResumableWriter
from align_eval.models.store import build

posix = pytest.mark.skipif(os.name == "nt", reason="needs locks and signals of POSIX")

WRITER = """
import sys, time
from align_eval.files import atomic_writer
with atomic_writer(sys.argv[1]) as stream:
    stream.write("half")
    stream.flush()
    print("writing", flush=True)
    time.sleep(60)
"""


def _writer(path: Path) -> subprocess.Popen[str]:
    process = subprocess.Popen([sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "writing\n"
    return process


def _fresh_sweep(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(locks, "_swept", set())
    sweep(folder)


@posix
def test_what_a_killed_process_leaves_is_swept_and_what_is_being_written_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = tmp_path / ".notes.part"
    other.write_text("not ours", encoding="utf-8")
    killed, running = _writer(tmp_path / "a.talp"), _writer(tmp_path / "b.jsonl")
    try:
        killed.kill()
        killed.wait()
        assert len(list(tmp_path.iterdir())) == 3
        _fresh_sweep(tmp_path, monkeypatch)
        left = sorted(path.name for path in tmp_path.iterdir())
        assert len(left) == 2
        assert left[0].startswith(f".b.jsonl.{running.pid}-")
        assert left[1] == other.name
    finally:
        running.kill()
        running.wait()
    monkeypatch.setattr(locks, "_swept", set())
    with atomic_writer(tmp_path / "c.tsv") as stream:
        stream.write("x")
    assert sorted(path.name for path in tmp_path.iterdir()) == [other.name, "c.tsv"]


def test_the_rights_are_those_of_a_new_file_and_the_umask_is_never_touched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = os.umask(0o027)
    try:
        monkeypatch.setattr(os, "umask", lambda mask: pytest.fail("the umask was set"))

        def fill(folder: Path) -> None:
            (folder / "x.json").write_text("{}", encoding="utf-8")

        def write(k: int) -> None:
            for _ in range(20):
                with atomic_writer(tmp_path / f"{k}.txt") as stream:
                    stream.write("x")

        threads = [threading.Thread(target=write, args=(k,)) for k in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        folder = build(tmp_path / "model", fill)
        assert (tmp_path / "0.txt").stat().st_mode & 0o777 == 0o640
        assert folder.stat().st_mode & 0o777 == 0o750
        assert (folder / "x.json").stat().st_mode & 0o777 == 0o640
    finally:
        monkeypatch.undo()
        os.umask(before)


@posix
@pytest.mark.parametrize("kind", ["link", "dangling", "hard", "fifo", "folder link"])
def test_names_that_can_be_foreseen_are_opened_through_no_link(tmp_path: Path, kind: str) -> None:
    victim, name = tmp_path / "victim", tmp_path / "out.talp.part"
    victim.write_text("precious", encoding="utf-8")
    if kind == "link":
        name.symlink_to(victim)
    elif kind == "dangling":
        name.symlink_to(tmp_path / "made")
    elif kind == "hard":
        os.link(victim, name)
    elif kind == "fifo":
        os.mkfifo(name)
    else:
        name.symlink_to(tmp_path, target_is_directory=True)
    with pytest.raises(OutputError, match=r"out\.talp\.part"):
        open_unlinked(name, os.O_WRONLY | os.O_CREAT)
    assert victim.read_text(encoding="utf-8") == "precious"
    assert not (tmp_path / "made").exists()


@posix
def test_resumable_output_and_the_lock_of_a_model_follow_no_link(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("precious", encoding="utf-8")
    (tmp_path / "out.talp.part").symlink_to(victim)
    with pytest.raises(OutputError, match="link"):
        ResumableWriter(tmp_path / "out.talp", Key.of(), resume=False)
    (tmp_path / ".model.lock").symlink_to(victim)
    with pytest.raises(OutputError, match="link"):
        build(tmp_path / "model", lambda folder: None)
    assert victim.read_text(encoding="utf-8") == "precious"


@posix
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_command_that_is_told_to_end_leaves_nothing(tmp_path: Path, number: signal.Signals) -> None:
    (tmp_path / "in.talp").write_text("0-0 1-1 2-2\n" * 400_000, encoding="utf-8")
    command = [sys.executable, "-c", "from align_eval.cli import main; main()", "convert", "in.talp", "out.jsonl"]
    process = subprocess.Popen([*command, "--base-in", "0"], cwd=tmp_path, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 60
    while not list(tmp_path.glob(".out.jsonl.*")) and time.monotonic() < deadline:
        time.sleep(0.01)
    process.send_signal(number)
    _, said = process.communicate(timeout=60)
    assert (process.returncode, said) == (128 + number, "")
    assert [path.name for path in tmp_path.iterdir()] == ["in.talp"]
