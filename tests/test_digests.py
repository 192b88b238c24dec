"""Digests of large files are remembered, and only as long as the file is the same."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from align_eval import files
from align_eval.files import digest_of, sha256_of

LARGE = bytes(files.SMALL) + b"weights"


@pytest.fixture
def reads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The files that were read, and an empty cache; files count as settled at once."""
    monkeypatch.setenv("ALIGN_EVAL_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(files, "SETTLED", -1)
    seen: list[str] = []

    def watched(path: str) -> str:
        seen.append(os.path.basename(path))
        return sha256_of(path)

    monkeypatch.setattr(files, "sha256_of", watched)
    return seen


@pytest.fixture
def file(tmp_path: Path) -> Path:
    (tmp_path / "w").write_bytes(LARGE)
    return tmp_path / "w"


def test_read_once(reads: list[str], file: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(file)
    assert {digest_of(path) for path in (file, str(file), tmp_path / "link")} == {sha256_of(file)}
    assert reads == ["w"]


def _same_size_and_time(path: Path) -> None:
    before = path.stat()
    path.write_bytes(LARGE[::-1])
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def _replaced(path: Path) -> None:
    before = path.stat()
    other = path.with_name("other")
    other.write_bytes(LARGE[::-1])
    os.utime(other, ns=(before.st_atime_ns, before.st_mtime_ns))
    other.replace(path)


def _mapped(path: Path) -> None:
    import numpy as np

    np.memmap(path, dtype=np.uint8, mode="r+")[5] = 1


@pytest.mark.parametrize(
    "change", [_same_size_and_time, _replaced, _mapped, lambda path: path.write_bytes(LARGE + b"x")]
)
def test_a_changed_file_is_read_again(reads: list[str], file: Path, change: Callable[[Path], object]) -> None:
    before = digest_of(file)
    time.sleep(0.02)  # the resolution of times of change
    change(file)
    assert digest_of(file) == sha256_of(file) != before


def test_a_file_that_has_just_changed_is_not_remembered(
    reads: list[str], file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "SETTLED", 10**12)
    assert digest_of(file) == digest_of(file) == sha256_of(file)
    assert reads == ["w", "w"]


@pytest.mark.parametrize("kept", ["", "[]", "{", '{"sha256": "0"}', "null", "\x00", "[" * 5000])
def test_a_damaged_cache(reads: list[str], file: Path, tmp_path: Path, kept: str) -> None:
    digest_of(file)
    (entry,) = (tmp_path / "cache" / "digests").iterdir()
    entry.write_text(kept, "utf-8")
    assert digest_of(file) == sha256_of(file)
    assert json.loads(entry.read_text("utf-8"))["sha256"] == sha256_of(file)


def test_a_cache_that_cannot_be_written(reads: list[str], file: Path, tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("", "utf-8")
    assert digest_of(file) == sha256_of(file)


def test_small_files_are_read(reads: list[str], tmp_path: Path) -> None:
    (tmp_path / "s").write_bytes(b"{}")
    assert digest_of(tmp_path / "s") == digest_of(tmp_path / "s")
    assert not (tmp_path / "cache").exists()
    with pytest.raises(OSError, match="No such file"):
        digest_of(tmp_path / "none")


def test_copies_are_files_of_their_own(reads: list[str], file: Path, tmp_path: Path) -> None:
    shutil.copy2(file, tmp_path / "copy")
    assert digest_of(file) == digest_of(tmp_path / "copy")
    assert reads == ["w", "copy"]
