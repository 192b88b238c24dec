"""Intervals, tests and correlations over sentences, by hand and against scipy."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from align_eval.errors import InputError, LengthMismatchError
from align_eval.infilling.estimates import compare, compare_groups, mean, spearman
from align_eval.statistics import Resampling

HOW = Resampling(1000, 1)
NAN = np.nan


def test_the_mean_is_over_rows_and_the_interval_over_sentences() -> None:
    found = mean(np.array([1.0, 0, 0, 1, NAN]), np.array([3, 3, 3, 9, 9]), HOW)
    assert (found.value, found.rows, found.sentences) == (0.5, 4, 2)
    assert found.ci == pytest.approx([1 / 3, 1.0])
    assert found.ci == [pytest.approx(1 / 3), 1.0]


def test_no_interval_of_one_sentence_and_no_mean_of_none() -> None:
    alone = mean(np.array([1.0, 0]), np.array([3, 3]), HOW)
    assert (alone.value, alone.ci) == (0.5, None)
    assert alone.ci is None
    assert mean(np.array([NAN]), np.array([0]), HOW).value is None
    assert compare(np.array([NAN]), np.array([1.0]), np.array([0]), HOW).p_value is None
    assert mean(np.array([1.0, 0]), np.array([3, 4]), Resampling(0)).ci is None


def test_an_interval_covers_a_mean_as_often_as_it_says() -> None:
    rng = np.random.default_rng(0)
    inside = 0
    for _ in range(100):
        values, sentence = rng.normal(size=120), np.repeat(np.arange(40), 3)
        found = mean(values + np.repeat(rng.normal(size=40), 3), sentence, Resampling(300, 5))
        inside += found.ci[0] < 0 < found.ci[1]  # type: ignore[index,operator]
    assert 85 <= inside <= 100


def test_ends_of_a_share_are_shares() -> None:
    values = np.array([1.0] * 26 + [0.0] * 4)
    found = mean(values, np.arange(30), HOW, share=True)
    assert 0 < found.ci[0] < found.value < found.ci[1] < 1  # type: ignore[index,operator]
    assert mean(np.ones(5), np.arange(5), HOW, share=True).ci[1] == 1  # type: ignore[index]


def test_equal_measures_have_p_one() -> None:
    values = np.random.default_rng(0).random(20)
    found = compare(values, values, np.arange(20), HOW)
    assert (found.difference, found.p_value) == (0.0, 1.0)


def test_the_p_value_is_that_of_all_sign_flips() -> None:
    rng = np.random.default_rng(3)
    first, second, sentence = rng.random(16) + 0.3, rng.random(16), np.repeat(np.arange(8), 2)
    sums = np.array([(first - second)[sentence == s].sum() for s in range(8)])
    flips = np.array([abs(np.dot(signs, sums)) for signs in itertools.product((-1, 1), repeat=8)])
    exact = (flips >= abs(sums.sum()) - 1e-12).mean()
    found = compare(first, second, sentence, Resampling(20000, 2))
    assert found.p_value == pytest.approx(exact, abs=0.01)
    assert found.difference == pytest.approx((first - second).mean())
    turned = compare(second, first, sentence, Resampling(20000, 2))
    assert turned.difference == pytest.approx(-found.difference)  # type: ignore[index,operator]
    assert turned.p_value == found.p_value


def test_a_clear_difference_has_the_least_p_value() -> None:
    found = compare(np.ones(40), np.zeros(40), np.arange(40), HOW)
    assert found.p_value == pytest.approx(1 / 1001)
    assert found.ci == [1.0, 1.0]


def test_baseline_differences_are_seldom_significant() -> None:
    rng = np.random.default_rng(7)
    small = sum(
        compare(rng.normal(size=60), rng.normal(size=60), np.repeat(np.arange(20), 3), Resampling(200, 1)).p_value  # type: ignore[operator,misc]
        < 0.05
        for _ in range(200)
    )
    assert small <= 22


def test_groups_are_compared_within_sentences() -> None:
    values = np.array([1.0, 1, 0, 5, 5, 2, 1])
    group = np.array([True, True, False, True, True, True, False])
    found = compare_groups(values, group, np.array([0, 0, 0, 1, 1, 2, 2]), HOW)
    assert (found.first, found.second, found.difference, found.sentences) == (1.5, 0.5, 1.0, 2)


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), min_size=3, max_size=30))
def test_spearman_is_scipys(points: list[tuple[int, int]]) -> None:
    stats = pytest.importorskip("scipy.stats")
    x, y = (np.array(side, dtype=float) for side in zip(*points, strict=True))
    found = spearman(x, y, np.arange(len(x)), Resampling(0))
    if len(set(x)) == 1 or len(set(y)) == 1:
        assert found.value is None
    else:
        assert found.value == pytest.approx(stats.spearmanr(x, y).statistic)


def test_a_sentence_drawn_twice_counts_as_two() -> None:
    stats = pytest.importorskip("scipy.stats")
    from align_eval.infilling.estimates import _weighted_spearman

    rng = np.random.default_rng(1)
    x, y, times = rng.integers(0, 6, 25), rng.integers(0, 6, 25), rng.integers(0, 4, 25)
    expected = stats.spearmanr(np.repeat(x, times), np.repeat(y, times)).statistic
    assert _weighted_spearman(x, y, times.astype(float)) == pytest.approx(expected)


def test_spearman_has_an_interval_over_sentences() -> None:
    rng = np.random.default_rng(2)
    x = rng.normal(size=200)
    found = spearman(x, x + rng.normal(size=200), np.repeat(np.arange(50), 4), Resampling(300, 1))
    assert found.ci[0] < found.value < found.ci[1]  # type: ignore[index,operator]
    assert found.ci[0] > 0.4  # type: ignore[index,operator]
    assert spearman(x, np.full(200, NAN), np.zeros(200, dtype=int), HOW).value is None


def test_what_cannot_be_is_told() -> None:
    with pytest.raises(InputError, match="Give 0"):
        Resampling(confidence=1.0)
    with pytest.raises(InputError, match="0 or more"):
        Resampling(-1)
    with pytest.raises(LengthMismatchError):
        compare(np.zeros(2), np.zeros(3), np.zeros(2, dtype=int), HOW)
    with pytest.raises(LengthMismatchError):
        mean(np.zeros(2), np.zeros(3, dtype=int), HOW)
