"""Attention weights as patterns."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from align_eval.errors import InputError, NonFiniteError
from align_eval.patterns import binarise


def test_mass_takes_the_fewest_keys() -> None:
    weights = [[0.5, 0.3, 0.2], [0.25, 0.25, 0.5], [0.0, 0.0, 0.0]]
    assert binarise(weights, mass=0.5).astype(int).tolist() == [[1, 0, 0], [0, 0, 1], [0, 0, 0]]
    assert binarise(weights, mass=0.6).astype(int).tolist() == [[1, 1, 0], [1, 0, 1], [0, 0, 0]], "ties: the first key"
    assert binarise(weights, mass=0.9).astype(int).tolist() == [[1, 1, 1], [1, 1, 1], [0, 0, 0]]
    assert binarise([[1.0, 0.0]], mass=1).tolist() == [[True, False]], "keys without weight are never taken"


def test_rounding_takes_no_key_too_many() -> None:
    weights = np.full((1, 10), 0.1, dtype=np.float32)
    assert binarise(weights, mass=0.9).sum() == 9


def test_weight_takes_keys_of_that_weight_or_more() -> None:
    assert binarise([[0.02, 0.019, 0.5]], weight=0.02).tolist() == [[True, False, True]]


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 9999), st.integers(1, 12), st.floats(0.05, 1))
def test_the_set_carries_the_mass_and_no_smaller_one_does(seed: int, keys: int, mass: float) -> None:
    weights = np.random.default_rng(seed).dirichlet(np.ones(keys), size=(2, 3))
    kept = binarise(weights, mass=mass)
    assert kept.shape == weights.shape
    for row, chosen in zip(weights.reshape(-1, keys), kept.reshape(-1, keys), strict=True):
        assert row[chosen].sum() >= mass - 2e-6
        count = int(chosen.sum())
        assert np.sort(row)[::-1][: count - 1].sum() < mass + 1e-9


@pytest.mark.parametrize(
    "rule", [{}, {"mass": 0.9, "weight": 0.1}, {"mass": 0}, {"mass": 1.5}, {"mass": float("nan")}, {"weight": 0}]
)
def test_bad_rules(rule: dict[str, float]) -> None:
    with pytest.raises(InputError):
        binarise([[1.0]], **rule)


def test_bad_weights() -> None:
    with pytest.raises(NonFiniteError):
        binarise([[np.nan]], mass=0.9)
    with pytest.raises(InputError, match="negative"):
        binarise([[-1.0]], mass=0.9)
