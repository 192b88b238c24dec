"""Other Python processes that run no code of the folder that this one happens to stand in."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator


def isolated(code: str, *arguments: str) -> list[str]:
    """The command that runs ``code`` in a Python of its own, which imports from where this one does.

    Python itself would put the working folder first, and take the code that lies there for its own modules.
    """
    places = [path for path in sys.path if path]
    return [sys.executable, "-I", "-c", f"import sys; sys.path[:] = {places!r}; {code}", *arguments]


def isolated_module(module: str, *arguments: str) -> list[str]:
    """The command ``python -m module`` in a Python of its own that sees installed packages alone."""
    return [sys.executable, "-I", "-m", module, *arguments]


@contextlib.contextmanager
def isolated_workers() -> Iterator[None]:
    """Let processes that ``multiprocessing`` starts meanwhile leave the working folder alone (from Python 3.11 on)."""
    before = os.environ.get("PYTHONSAFEPATH")
    os.environ["PYTHONSAFEPATH"] = "1"
    try:
        yield
    finally:
        if before is None:
            os.environ.pop("PYTHONSAFEPATH", None)
        else:
            os.environ["PYTHONSAFEPATH"] = before
