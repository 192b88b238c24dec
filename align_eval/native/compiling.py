"""Compile the C files into a library beside them. Of the standard library alone: it also runs while installing."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path

_FOLDER = Path(__file__).resolve().parent
SOURCES = (_FOLDER / "links.c", _FOLDER / "encoder.c", _FOLDER / "floats.c", _FOLDER / "integers.c")
HEADERS = (_FOLDER / "blocks.h", _FOLDER / "lanes.h")

_FLAGS = ("-O3", "-std=c99", "-shared", "-fPIC", "-fvisibility=hidden")
_SECONDS = 120


class CompilingError(Exception):
    """There is no C compiler, or it failed; says which, and what it printed."""


def library_path() -> Path:
    """Where the compiled library is, or would be."""
    return _FOLDER / f"compiled{'.dll' if sys.platform == 'win32' else '.so'}"


def compiler() -> list[str] | None:
    """The command of the C compiler: ``CC`` of the environment, else the one Python was built with, else ``cc``."""
    for command in (os.environ.get("CC"), sysconfig.get_config_var("CC"), "cc", "gcc", "clang"):
        words = shlex.split(command or "")
        if words and shutil.which(words[0]):
            return words
    return None


def compile_library() -> Path:
    """Compile the library, replacing one that is there only when the new one is complete; gives its path."""
    command = compiler()
    if command is None:
        raise CompilingError("no C compiler is found (cc, gcc, clang, or the one that CC names)")
    target = library_path()
    try:
        with tempfile.TemporaryDirectory(dir=_FOLDER, prefix=".compiling-") as folder:
            fresh = Path(folder) / target.name
            done = subprocess.run(
                [*command, *_FLAGS, "-o", str(fresh), *map(str, SOURCES), "-lm"],
                capture_output=True, text=True, timeout=_SECONDS,
            )  # fmt: skip
            if done.returncode or not fresh.exists():
                raise CompilingError(f"{shlex.join(command)} failed:\n{done.stderr.strip() or done.stdout.strip()}")
            os.replace(fresh, target)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise CompilingError(f"{shlex.join(command)} failed: {error}") from error
    return target
