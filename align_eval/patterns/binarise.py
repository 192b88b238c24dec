"""Attention weights as a pattern: which keys a query attends to, by mass or by weight."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from align_eval.errors import InputError, NonFiniteError

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from align_eval.patterns.base import BoolArray

ROUNDING = 1e-6
"""By how much the mass may fall short of what is asked for: the rounding of sums of float32 weights."""


def binarise(weights: ArrayLike, *, mass: float | None = None, weight: float | None = None) -> BoolArray:
    """Binarise weights by one of two rules.

    - ``mass``: of each row the smallest set of keys that carries the share p of the row's sum. Among equal weights the
      key that stands first is taken first, so that the set has no key more than it needs. A row without any weight
      attends to nothing.
    - ``weight``: the keys with a weight of c or more.

    Args:
        weights: ``(..., queries, keys)``, 0 or more.
        mass: p, over 0 and up to 1; 1 takes every key with a weight over 0.
        weight: c, over 0.

    Returns:
        bool of the same shape.

    Raises:
        InputError: both rules or none, a value out of range, a negative weight.
        NonFiniteError: NaN or infinity.
    """
    values = np.asarray(weights, dtype=np.float64)
    if (mass is None) == (weight is None):
        raise InputError("attention is binarised by mass or by weight", remedy="Give one of the two")
    if not np.isfinite(values).all():
        raise NonFiniteError("attention weights with NaN or infinity", remedy="Load the model with --dtype float32")
    if (values < 0).any():
        raise InputError("negative weights have no mass", remedy="Take attention weights, or absolute values")
    if weight is not None:
        if not weight > 0:
            raise InputError(f"a weight of {weight}", remedy="Take the keys over a weight such as 0.02")
        over: BoolArray = values >= weight
        return over
    if mass is None or not 0 < mass <= 1:
        raise InputError(f"a mass of {mass}", remedy="Take a share over 0 and up to 1, such as 0.9")
    if mass == 1:
        some: BoolArray = values > 0
        return some
    order = np.argsort(-values, axis=-1, kind="stable")
    ordered = np.take_along_axis(values, order, axis=-1)
    before = ordered.cumsum(axis=-1) - ordered
    wanted = (mass - ROUNDING) * values.sum(axis=-1, keepdims=True)
    kept: BoolArray = np.zeros(values.shape, dtype=bool)
    np.put_along_axis(kept, order, (before < wanted) & (ordered > 0), axis=-1)
    return kept


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
