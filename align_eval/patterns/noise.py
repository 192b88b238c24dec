"""Noise on a pattern, as a detector must bear it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from align_eval.errors import InputError

if TYPE_CHECKING:
    from align_eval.patterns.base import BoolArray


def flipped(pattern: BoolArray, rate: float, rng: np.random.Generator, *, causal: bool = False) -> BoolArray:
    """The pattern with each cell flipped with the probability ``rate``.

    Args:
        pattern: ``(queries, keys)`` bool.
        rate: 0 to 1.
        rng: where the chance comes from.
        causal: leave the cells above the diagonal as they are.

    Raises:
        InputError: a rate that is no share.
    """
    if not 0 <= rate <= 1:
        raise InputError(f"a flip rate of {rate}", remedy="Take a share from 0 to 1, such as 0.05")
    flips = rng.random(pattern.shape) < rate
    if causal:
        flips = np.tril(flips)
    changed: BoolArray = pattern ^ flips
    return changed
