"""Modules of a folder of experiments, whose names are common ones."""

from __future__ import annotations

import contextlib
import importlib
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace

EXPERIMENTS = Path(__file__).resolve().parents[2] / "experiments"


@contextlib.contextmanager
def modules_of(folder: str, names: Sequence[str]) -> Iterator[SimpleNamespace]:
    """The modules ``names`` of ``experiments/FOLDER``, taken away again at the end."""
    saved = {name: sys.modules.pop(name) for name in names if name in sys.modules}
    path = list(sys.path)
    sys.path.insert(0, str(EXPERIMENTS / folder))
    try:
        yield SimpleNamespace(**{name: importlib.import_module(name) for name in names})
    finally:
        sys.path[:] = path
        for name in names:
            sys.modules.pop(name, None)
        sys.modules.update(saved)
