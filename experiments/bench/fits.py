"""Straight lines through measurements, by least squares."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Fit:
    """``y = intercept + slope * x``, with the standard error of the slope and the share of variance explained."""

    slope: float
    intercept: float
    error: float
    r2: float


def line_fit(x: Sequence[float], y: Sequence[float]) -> Fit:
    """Fit a line; at least two different ``x`` are needed. With two points the standard error is 0."""
    a, b = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
    dx, dy = a - a.mean(), b - b.mean()
    spread = float(dx @ dx)
    if not spread:
        raise ValueError("all points have the same x")
    slope = float(dx @ dy) / spread
    left = dy - slope * dx
    rest, total = float(left @ left), float(dy @ dy)
    error = (rest / (len(a) - 2) / spread) ** 0.5 if len(a) > 2 else 0.0
    return Fit(slope, float(b.mean() - slope * a.mean()), error, 1 - rest / total if total else 1.0)


def power_fit(x: Sequence[float], y: Sequence[float]) -> Fit:
    """Fit ``y = c * x ** slope``: a line through the logarithms. ``intercept`` is the logarithm of ``c``."""
    return line_fit(np.log(np.asarray(x, dtype=np.float64)).tolist(), np.log(np.asarray(y, dtype=np.float64)).tolist())
