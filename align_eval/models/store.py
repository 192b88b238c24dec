"""Folders of models whose every file is known by its sha256: converted ones in the cache, and shipped ones.

A converted one appears whole or not at all, and a damaged one is built anew. It holds ``manifest.json`` with the size
and sha256 of each of its files. Before a load all are compared, and no other file that a load might read may be there.
The weights are read for that once, and again when they have changed (:mod:`align_eval.files`): a few milliseconds.
``align-eval models add`` reads all. A shipped folder holds ``SHA256SUMS`` instead, as ``sha256sum`` writes it.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import shutil
import stat
from collections.abc import Callable, Collection
from pathlib import Path

from align_eval.errors import AlignEvalError, FormatError, OutputError
from align_eval.files import digest_of, parse_json, sha256_of
from align_eval.io.locks import alone

MANIFEST = "manifest.json"
SUMS = "SHA256SUMS"
LOADED = (".json", ".safetensors", ".spm", ".model", ".txt", ".py", ".bin", ".jinja")
"""Endings of files that a load might read: none of them may be there without being listed."""
_PART = ".part"
_LINE = re.compile(r"([0-9a-f]{64}) [ *]([^/\\]+)")


def is_whole(folder: Path, *, thorough: bool = False, sizes: bool = False) -> bool:
    """Whether ``folder`` holds exactly what its manifest says.

    Args:
        thorough: read all files, however lately that was done.
        sizes: compare sizes alone: quick, for a list.
    """
    hashed = sha256_of if thorough else digest_of
    try:
        files = parse_json((folder / MANIFEST).read_text("utf-8"))["files"]
        for name, entry in files.items():
            path = folder / name
            if path.stat().st_size != entry["size"]:
                return False
            if not sizes and hashed(path) != entry["sha256"]:
                return False
        if unlisted(folder, {*files, MANIFEST}):
            return False
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return False
    return bool(files)


def unlisted(folder: Path, listed: Collection[str]) -> list[Path]:
    """The files of a folder that a load might read and that are not ``listed``, by name."""
    found = (path for path in folder.iterdir() if path.suffix in LOADED and path.name not in listed)
    return sorted(found, key=lambda path: path.name)


def build(folder: Path, fill: Callable[[Path], None], *, thorough: bool = False) -> Path:
    """Let ``fill`` write the files of ``folder``; returns ``folder``.

    ``fill`` gets an empty folder beside it, which is renamed when all is written. Processes that ask at the same time
    wait for the first one (a lock file), and find the folder made; ``thorough``: one found is hashed wholly.

    Raises:
        OutputError: the cache cannot be written; what ``fill`` raises passes through.
    """
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with alone(folder) as locked:
            if is_whole(folder, thorough=thorough):
                return folder
            if locked:  # what killed processes have left
                for rest in folder.parent.glob(f".{folder.name}.*{_PART}"):
                    shutil.rmtree(rest, ignore_errors=True)
            _build(folder, fill)
    except OSError as error:
        if isinstance(error, AlignEvalError):
            raise
        raise OutputError(
            f"the model cache cannot be written: {error.strerror or error}",
            file=folder.parent,
            remedy="Free space there, check its rights, or set ALIGN_EVAL_CACHE to another folder",
        ) from error
    return folder


def _build(folder: Path, fill: Callable[[Path], None]) -> None:
    temporary = _new_folder(folder)
    rights = stat.S_IMODE(temporary.stat().st_mode)
    try:
        _fill(temporary, fill)
        files = {}
        for path in sorted(temporary.iterdir()):
            path.chmod(0o666 & rights)
            files[path.name] = {"size": path.stat().st_size, "sha256": sha256_of(path)}
        (temporary / MANIFEST).write_text(json.dumps({"files": files}, indent=1) + "\n", "utf-8")
        if folder.exists():
            # Damaged, or made by a process that does not see the lock. Moved first: a rename needs an empty place.
            broken = _new_folder(folder)
            os.rename(folder, broken / folder.name)
            shutil.rmtree(broken, ignore_errors=True)
        try:
            os.rename(temporary, folder)
        except OSError:
            if not is_whole(folder):
                raise
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _new_folder(folder: Path) -> Path:
    """A new, empty folder beside ``folder``, with the rights that the process gives to new folders."""
    path = folder.parent / f".{folder.name}.{secrets.token_hex(8)}{_PART}"
    path.mkdir(0o777)
    return path


def _fill(folder: Path, fill: Callable[[Path], None]) -> None:
    """Call ``fill``; libraries written in Rust wrap an error of the disk in one of their own: unwrap it."""
    try:
        fill(folder)
    except (AlignEvalError, OSError):
        raise
    except Exception as error:
        code = disk_error(error)
        if code is None:
            raise
        raise OSError(code, os.strerror(code)) from error


def disk_error(error: BaseException) -> int | None:
    """The number of the operating system's error that an error of a library written in Rust stands for."""
    number = re.search(r"\(os error (\d+)\)|\bcode: (\d+)", str(error))
    return int(number[1] or number[2]) if number else None


def read_sums(path: Path) -> dict[str, str]:
    """File name to sha256, from a list as ``sha256sum`` writes it.

    Raises:
        OSError: it cannot be read.
        FormatError: a line has another form, or there is none.
    """
    out: dict[str, str] = {}
    try:
        text = path.read_text("utf-8")
    except UnicodeDecodeError:
        raise FormatError("the list of checksums is not UTF-8", file=path, remedy="Fetch the model again") from None
    for number, line in enumerate(text.splitlines(), 1):
        match = _LINE.fullmatch(line)
        if match is None:
            raise FormatError("the line is no sha256 with a file name", file=path, line=number)
        out[match[2]] = match[1]
    if not out:
        raise FormatError("the list of checksums is empty", file=path, remedy="Make it anew")
    return out


def write_sums(folder: Path) -> None:
    """Write ``SHA256SUMS`` of all files that a load might read, sorted by name."""
    names = sorted(path.name for path in folder.iterdir() if path.suffix in LOADED)
    lines = [f"{sha256_of(folder / name)}  {name}\n" for name in names]
    (folder / SUMS).write_text("".join(lines), "utf-8")
