"""Random masks of every kind: those that the detector is measured on."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import numpy as np

from align_eval.patterns import Mask, MaskKind


def _program() -> Any:
    path = Path(__file__).parents[2] / "experiments" / "pattern_detector.py"
    spec = importlib.util.spec_from_file_location("pattern_detector", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


_DRAW = _program().draw


def draw(kind: MaskKind, rng: np.random.Generator, n: int, causal: bool) -> Mask:
    """A random mask of a kind, of parameters under which it is no other kind; n is 16 or more."""
    drawn: Mask = _DRAW(kind, rng, n, causal)
    return drawn
