"""Converted models appear whole or not at all, once, and damaged ones are built anew."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from align_eval import files
from align_eval.errors import FormatError, OutputError
from align_eval.models import store


def fill(folder: Path) -> None:
    (folder / "config.json").write_text("{}", "utf-8")
    (folder / "weights").write_bytes(bytes(files.SMALL + 1))


def rest(folder: Path) -> list[str]:
    """What lies in the folder beside the model and the lock."""
    return sorted(p.name for p in folder.iterdir() if not p.name.endswith(".lock"))


def test_build(tmp_path: Path) -> None:
    folder = tmp_path / "models" / "m"
    assert not store.is_whole(folder)
    assert store.build(folder, fill) == folder
    assert store.is_whole(folder, thorough=True)
    assert rest(folder.parent) == ["m"]
    store.build(folder, lambda _: pytest.fail("built twice"))


@pytest.mark.parametrize(
    "damage",
    [
        lambda f: (f / "weights").write_bytes(b"short"),
        lambda f: (f / "weights").unlink(),
        lambda f: (f / "weights").write_bytes(bytes(files.SMALL) + b"x"),
        lambda f: (f / "adapter_config.json").write_text("{}", "utf-8"),
        lambda f: (f / "modeling.py").write_text("", "utf-8"),
        lambda f: (f / "pytorch_model.bin").write_bytes(b""),
        lambda f: (f / "config.json").write_text("[]", "utf-8"),
        lambda f: (f / store.MANIFEST).unlink(),
        lambda f: (f / store.MANIFEST).write_text('{"files": {"weights"', "utf-8"),
        lambda f: (f / store.MANIFEST).write_text('{"files": {}}', "utf-8"),
        lambda f: (f / store.MANIFEST).write_text("[1]", "utf-8"),
    ],
)
def test_damage_is_seen_and_mended(tmp_path: Path, damage: object) -> None:
    folder = store.build(tmp_path / "m", fill)
    damage(folder)  # type: ignore[operator]
    assert not store.is_whole(folder)
    store.build(folder, fill)
    assert store.is_whole(folder, thorough=True)
    assert rest(tmp_path) == ["m"]


def test_a_changed_byte_of_large_weights_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Though the size is the same, the digest was remembered, and the time of change is set back."""
    monkeypatch.setattr(files, "SETTLED", -1)
    folder = store.build(tmp_path / "m", fill)
    assert store.is_whole(folder)
    before = (folder / "weights").stat()
    with open(folder / "weights", "r+b") as stream:
        stream.seek(77)
        stream.write(b"x")
    os.utime(folder / "weights", ns=(before.st_atime_ns, before.st_mtime_ns))
    assert store.is_whole(folder, sizes=True)
    assert not store.is_whole(folder)
    store.build(folder, fill)
    assert store.is_whole(folder)


def test_an_error_leaves_nothing(tmp_path: Path) -> None:
    def broken(folder: Path) -> None:
        fill(folder)
        raise FormatError("bad weights")

    with pytest.raises(FormatError):
        store.build(tmp_path / "m", broken)
    assert rest(tmp_path) == []


def test_the_rest_of_a_killed_process_is_removed(tmp_path: Path) -> None:
    (tmp_path / ".m.abc.part").mkdir()
    (tmp_path / ".m.abc.part" / "weights").write_bytes(b"half")
    store.build(tmp_path / "m", fill)
    assert rest(tmp_path) == ["m"]


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, "No space left on device"),
        Exception("No space left on device (os error 28)"),
        RuntimeError('Error while serializing: I/O error: Os { code: 28, kind: StorageFull, message: "No space" }'),
    ],
)
def test_full_disk(tmp_path: Path, error: Exception) -> None:
    def full(folder: Path) -> None:
        raise error

    with pytest.raises(OutputError, match=r"No space left on device.*ALIGN_EVAL_CACHE"):
        store.build(tmp_path / "m", full)
    assert rest(tmp_path) == []


def test_other_errors_pass(tmp_path: Path) -> None:
    def wrong(folder: Path) -> None:
        raise RuntimeError("a fault")

    with pytest.raises(RuntimeError, match="a fault"):
        store.build(tmp_path / "m", wrong)


def test_cache_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("", "utf-8")
    with pytest.raises(OutputError, match="ALIGN_EVAL_CACHE"):
        store.build(tmp_path / "file" / "models" / "m", fill)


RACE = """
import sys, time
from pathlib import Path
from align_eval.models import store

def fill(folder):
    with open(sys.argv[2], "a") as log:
        log.write("built\\n")
    (folder / "a").write_text("x" * 1000)
    time.sleep(0.5)
    (folder / "b").write_text("y")

folder = store.build(Path(sys.argv[1]), fill)
assert store.is_whole(folder, thorough=True)
"""


def test_processes_that_ask_at_once_build_once(tmp_path: Path) -> None:
    command = [sys.executable, "-c", RACE, str(tmp_path / "m"), str(tmp_path / "log")]
    running = [subprocess.Popen(command) for _ in range(4)]
    assert [process.wait(60) for process in running] == [0] * 4
    assert store.is_whole(tmp_path / "m", thorough=True)
    if sys.platform != "win32":
        assert (tmp_path / "log").read_text() == "built\n"
