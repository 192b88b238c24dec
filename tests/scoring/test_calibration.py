"""Calibration: by hand, at the edges of bins, invariants, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from align_eval.errors import InputError, LengthMismatchError
from align_eval.scoring.calibration import calibration


def test_by_hand() -> None:
    """Two bins: one of 0.1 and 0.3 with one correct, one of 0.6, 0.8 and 1 with all correct; 0 is in the first."""
    found = calibration([0.1, 0.3, 0.6, 0.8, 1.0], [0, 1, 1, 1, 1], bins=2)
    assert [(b.count, b.accuracy) for b in found.bins] == [(2, 0.5), (3, 1.0)]
    assert found.ece == pytest.approx((2 * 0.3 + 3 * 0.2) / 5)
    assert found.largest == pytest.approx(0.3)
    assert found.brier == pytest.approx((0.01 + 0.49 + 0.16 + 0.04) / 5)
    assert calibration([0.0, 0.5, 1.0], [1, 1, 1], bins=2).bins[0].count == 2


@pytest.mark.parametrize("k", range(1, 11))
def test_edges_belong_to_the_bin_below(k: int) -> None:
    assert calibration([k / 10], [1]).bins[k - 1].count == 1


def test_nothing_scored() -> None:
    found = calibration([], [])
    assert (found.ece, found.count, found.bins[0].score) == (None, 0, None)


@pytest.mark.parametrize("score", [-0.01, 1.01, float("nan")])
def test_scores_outside(score: float) -> None:
    with pytest.raises(InputError, match=r"1 of 2 scores are not between 0 and 1; the first, number 2"):
        calibration([0.5, score], [1, 1])


def test_refused() -> None:
    with pytest.raises(LengthMismatchError):
        calibration([0.5], [1, 0])
    with pytest.raises(InputError, match="0 bins"):
        calibration([0.5], [1], bins=0)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=1, max_size=60), st.integers(1, 20))
def test_invariants(items: list[tuple[float, bool]], bins: int) -> None:
    """Bins hold all; the error is at most the largest; one bin gives the distance of means; order does not count."""
    scores, correct = map(np.array, zip(*items, strict=True))
    found = calibration(scores, correct, bins)
    assert found.ece is not None
    assert found.largest is not None
    assert sum(b.count for b in found.bins) == len(items)
    assert found.ece <= found.largest + 1e-12
    assert calibration(scores, correct, 1).ece == pytest.approx(abs(scores.mean() - correct.mean()))
    assert calibration(scores[::-1], correct[::-1], bins).ece == pytest.approx(found.ece)
