"""The modules of ../train_tiny_deen that this training shares: reading text, fast layers, averaging of processes."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

FOLDER = Path(__file__).resolve().parent.parent / "train_tiny_deen"


def sibling(name: str) -> ModuleType:
    """The module ``name`` of ../train_tiny_deen, as ``tiny_deen_NAME``: both folders have files of the same name."""
    full = f"tiny_deen_{name}"
    if full not in sys.modules:
        if str(FOLDER) not in sys.path:
            sys.path.append(str(FOLDER))  # at the end: its own imports find `text`, ours find this folder first
        spec = importlib.util.spec_from_file_location(full, FOLDER / f"{name}.py")
        if spec is None or spec.loader is None:
            raise ImportError(f"{FOLDER / name}.py is missing")
        module = importlib.util.module_from_spec(spec)
        sys.modules[full] = module
        spec.loader.exec_module(module)
    return sys.modules[full]
