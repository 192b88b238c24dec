"""The detector: what it names, by which score, and the features it counts."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from align_eval.errors import InputError
from align_eval.patterns import MASK_KINDS, detect, flipped, make_mask_kind
from align_eval.patterns.base import Evidence
from align_eval.patterns.detector import features, measure, period_of
from tests.patterns.draws import draw

NAMES = MASK_KINDS.names()


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("rate", [0.0, 0.1])
def test_each_kind_is_named_with_and_without_noise(name: str, rate: float) -> None:
    kind = MASK_KINDS.get(name)
    rng = np.random.default_rng(7)
    for causal in kind.directions:
        truth = draw(kind, rng, 64, causal)(64)
        found = detect(flipped(truth, rate, rng, causal=causal))
        assert found.best.name == name
        assert found.structured
        assert abs(1 - found.best.agreement - rate) < 0.05, "what is not explained is the noise"
        if rate == 0:
            assert found.best.agreement == found.best.jaccard == found.best.balanced == 1
            assert np.array_equal(found.best.kind(64), truth)


def test_the_most_flexible_kind_is_not_named_for_its_freedom() -> None:
    """The kinds that hold windows as special cases explain as many cells or more, and still lose."""
    rng = np.random.default_rng(3)
    found = detect(flipped(make_mask_kind("sliding-window:width=6")(64), 0.15, rng, causal=True))
    assert found.best.kind == make_mask_kind("sliding-window:width=6")
    by_name = {fit.name: fit for fit in found.fits}
    assert by_name["vertical-slash"].agreement >= found.best.agreement
    assert by_name["vertical-slash"].parameter_bits > found.best.parameter_bits


def test_measures_by_hand() -> None:
    pattern = np.array([[1, 0, 0], [1, 1, 0], [1, 0, 1]], dtype=bool)  # causal but for one cell
    fit = measure(make_mask_kind("causal"), Evidence(pattern))
    assert (fit.errors, fit.agreement, fit.jaccard) == (1, 5 / 6, 5 / 6)
    assert fit.balanced == (5 / 5 + 0 / 1) / 2
    assert fit.bits == pytest.approx(6 * (-(1 / 6) * np.log2(1 / 6) - 5 / 6 * np.log2(5 / 6)))
    square = measure(make_mask_kind("causal"), Evidence(pattern, causal=False))
    assert (square.errors, square.agreement, square.jaccard) == (1, 8 / 9, 5 / 6)
    assert square.balanced == (5 / 5 + 3 / 4) / 2


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(NAMES), st.integers(16, 30), st.integers(0, 9999), st.sampled_from([0.0, 0.1, 0.4]))
def test_sums_agree_with_counting(name: str, n: int, seed: int, rate: float) -> None:
    rng = np.random.default_rng(seed)
    kind = MASK_KINDS.get(name)
    mask = draw(kind, rng, n, kind.directions[0])(n)
    pattern = flipped(mask, rate, rng, causal=bool(rng.integers(2)) and not np.triu(mask, 1).any())
    evidence = Evidence(pattern)
    judged = np.tril(np.ones((n, n), dtype=bool)) if evidence.causal else np.ones((n, n), dtype=bool)
    assert evidence.cells == judged.sum()
    assert evidence.on == pattern.sum()
    assert evidence.on - evidence.gains[mask].sum() == (mask ^ pattern)[judged].sum()


@settings(max_examples=25, deadline=None)
@given(st.integers(2, 24), st.integers(0, 9999), st.floats(0, 1))
def test_any_pattern_has_a_reading_of_finite_numbers(n: int, seed: int, density: float) -> None:
    found = detect(np.random.default_rng(seed).random((n, n)) < density)
    assert [fit.bits for fit in found.fits] == sorted(fit.bits for fit in found.fits)
    assert all(0 <= v <= 1 for fit in found.fits for v in (fit.agreement, fit.jaccard, fit.balanced))
    assert np.isfinite(found.unstructured_bits)
    assert 0 <= found.features.saved_compute <= 1
    assert len(found.fits) >= 2, "there is always a runner-up"


def test_chance_is_unstructured() -> None:
    rng = np.random.default_rng(1)
    for density in (0.2, 0.35, 0.5, 0.6):
        assert not detect(rng.random((48, 48)) < density).structured


def test_extremes() -> None:
    assert detect(np.ones((8, 8), dtype=bool)).best.name == "full"
    assert detect(np.zeros((8, 8), dtype=bool)).best.agreement < 1, "no kind attends to nothing"
    assert detect(np.tril(np.ones((8, 8), dtype=bool))).best.name == "causal"
    assert detect(np.eye(32, dtype=bool)).best.agreement == 1


def test_refusals() -> None:
    with pytest.raises(InputError, match="3 x 4 cells"):
        detect(np.ones((3, 4), dtype=bool))
    with pytest.raises(InputError, match="0 x 0"):
        detect(np.ones((0, 0), dtype=bool))
    with pytest.raises(InputError, match="above the diagonal"):
        detect(np.ones((4, 4), dtype=bool), causal=True)
    with pytest.raises(InputError, match="flip rate of 2"):
        flipped(np.ones((4, 4), dtype=bool), 2, np.random.default_rng(0))


def test_features_of_sinks_and_a_window() -> None:
    found = detect(make_mask_kind("sink-window:sinks=2,window=5")(32)).features
    assert (found.window, found.window_after, found.sinks, found.blocked_rows) == (5, 0, (0, 1), ())
    causal = 32 * 33 // 2
    attended = sum(min(i + 1, 5) + min(2, max(0, i - 4)) for i in range(32))
    assert found.saved_compute == pytest.approx(1 - attended / causal)
    assert found.sparsity == pytest.approx(1 - attended / 32**2)
    assert found.keys_per_row == pytest.approx(attended / 32)


def test_features_of_masked_rows() -> None:
    found = detect(make_mask_kind("masked-rows:period=8")(64)).features
    assert found.blocked_rows == (7, 15, 23, 31, 39, 47, 55, 63)
    assert (found.period, found.offset) == (8, 7)
    assert found.sinks == (), "where most columns are seen by all, none is a sink"


def test_saved_tiles() -> None:
    found = detect(make_mask_kind("block:size=16")(64)).features
    assert found.saved_tiles == pytest.approx(1 - 4 / 10), "4 of the 10 tiles on and under the diagonal are used"


def test_blocked_rows_of_another_kind() -> None:
    """A window with two rows cut: the kind stays a window, and the rows are reported."""
    pattern = make_mask_kind("sliding-window:width=8")(48)
    pattern[20, :20] = pattern[33, :33] = False
    found = detect(pattern)
    assert found.best.name == "sliding-window"
    assert found.features.blocked_rows == (20, 33)
    assert found.features.period is None


def test_periods() -> None:
    assert period_of(()) == period_of((4, 8)) == (None, None)
    assert period_of((2, 5, 8, 14)) == (3, 2)
    assert period_of((1, 2, 3)) == (None, None), "next to each other is no period"


def test_the_window_of_both_directions() -> None:
    pattern = make_mask_kind("sliding-window:width=4,causal=no")(20)
    found = features(pattern, pattern, causal=False)
    assert (found.window, found.window_after) == (4, 3)
