"""Studentised intervals: where they lie, how often they hold the truth; how often the test rejects what is true."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from align_eval import statistics
from align_eval.scoring.measures import MEASURES, fractions
from align_eval.scoring.paired import paired_tests
from align_eval.scoring.score import score_counts
from align_eval.statistics import bca_interval, studentise, with_products

cells = st.tuples(*[st.integers(0, 12)] * 4).map(
    lambda c: (c[0] + c[2], c[1] + min(c[2], c[3]), min(c[2], c[3]), c[2])
)  # |A|, |S|, |A and S|, |A and P| of one sentence pair


def _population(size: int, seed: int) -> NDArray[np.int64]:
    """Sentences of very different length and difficulty."""
    draw = np.random.default_rng(seed)
    sure = draw.geometric(0.07, size)
    found = draw.binomial(sure, draw.beta(6, 1.2, size))
    proposed = found + draw.poisson(0.15 * sure)
    return np.stack([proposed, sure, found, np.minimum(found + draw.binomial(proposed, 0.05), proposed)], axis=1)


@given(rows=st.lists(cells, min_size=1, max_size=30), level=st.sampled_from([0.5, 0.9, 0.95, 0.99]))
@settings(max_examples=60, deadline=None)
def test_intervals_hold_the_value_and_lie_between_0_and_100(rows: list[Any], level: float) -> None:
    counts = np.array(rows)
    if not counts[:, 1].any():
        return
    result = score_counts(counts, int(counts[:, 1].sum()), resamples=50, confidence=level)
    for name, (low, high) in result.ci.items():
        value = getattr(result, name)
        assert 0 <= low <= high <= 100
        if value is not None and 0 < value < 100:
            assert low - 1e-9 <= value <= high + 1e-9


def test_a_higher_level_gives_a_wider_interval_and_more_sentences_a_narrower_one() -> None:
    rows = _population(800, 1)
    widths = []
    for size, level in ((800, 0.5), (800, 0.95), (800, 0.99), (100, 0.99)):
        low, high = score_counts(rows[:size], 1, confidence=level).ci["aer"]
        widths.append(high - low)
    assert widths == sorted(widths)


@pytest.mark.parametrize(
    ("rows", "name", "interval"),
    [
        ([(4, 4, 4, 4)] * 5, "aer", (0, 0)),
        ([(3, 3, 0, 0)] * 5, "aer", (100, 100)),
        ([(4, 4, 2, 2)] * 5, "precision", (50, 50)),
        ([(4, 4, 2, 2)], "recall", (50, 50)),
    ],
)
def test_rows_without_a_spread(rows: list[Any], name: str, interval: tuple[float, float]) -> None:
    assert score_counts(np.array(rows), 1, resamples=50).ci[name] == pytest.approx(interval)


def test_of_so_few_sentences_no_interval_is_a_point_and_no_difference_is_certain() -> None:
    """Of two sentence pairs every second resample has no spread; of three, every ninth."""
    rows = np.array([(10, 10, 5, 5), (4, 4, 4, 4), (7, 7, 6, 6)])
    other = rows.copy()
    other[:, 2:] -= [[1], [2], [1]]
    for size, span in ((2, 40), (3, 40)):
        low, high = score_counts(rows[:size], 1).ci["aer"]
        assert low == pytest.approx(0, abs=15)
        assert high - low > span
        found = paired_tests(rows[:size], other[:size], tests=["bootstrap"])["bootstrap"]
        for name in MEASURES:
            assert (found.p_value[name] or 0) > 0.1, name
            assert -100 <= found.ci[name][0] < found.ci[name][1] <= 100


def test_bca_is_scipys() -> None:
    stats = pytest.importorskip("scipy.stats")
    draw = np.random.default_rng(4)
    values = draw.exponential(size=40)
    sample = np.array([draw.choice(values, 40).mean() for _ in range(4000)])
    without = (values.sum() - values) / 39
    theirs = stats.bootstrap(
        (values,), np.mean, n_resamples=4000, method="BCa", confidence_level=0.9, rng=np.random.default_rng(5)
    ).confidence_interval
    assert bca_interval(float(values.mean()), sample, without, 0.9) == pytest.approx(tuple(theirs), rel=0.03)
    assert bca_interval(2.0, np.array([2.0]), np.array([2.0, 2.0]), 0.95) == (2.0, 2.0)


@pytest.mark.parametrize("small", [20_000, 10])
def test_products_are_summed_over_the_sentences_drawn(small: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where kinds of rows are drawn: all sentences alike, the sums of products follow from the sums."""
    monkeypatch.setattr(statistics, "_SMALL_CORPUS", small)
    rows = np.repeat([[3, 2, 1, 2], [5, 4, 4, 4]], 50, axis=0)
    drawn = np.concatenate(list(statistics._resamples(rows, 20, 5, True)))
    kinds = with_products(np.array([[3, 2, 1, 2], [5, 4, 4, 4]]))
    second = (drawn[:, 0] - 300) / 2  # how often the second kind was drawn
    assert drawn == pytest.approx((100 - second)[:, None] * kinds[0] + second[:, None] * kinds[1])


def test_of_small_corpora_the_interval_holds_the_true_value_and_the_test_a_true_hypothesis() -> None:
    """A small part of experiments/coverage.py, on corpora of 25: percentile intervals hold it in 91 %."""
    population, draw = _population(3000, 2), np.random.default_rng(3)
    true = {name: float(value) for name, value in fractions(population.sum(axis=0)).items()}
    held = dict.fromkeys(MEASURES, 0)
    rejected = 0
    for k in range(300):
        rows = population[draw.integers(len(population), size=25)]
        for name, found in studentise(rows, fractions, 200, k).items():
            low, high = found.interval(0.95)
            held[name] += low <= true[name] <= high
        other = population[draw.integers(len(population), size=25)]
        other[:, 1] = rows[:, 1]  # one gold
        other[:, 2] = np.minimum(other[:, 2], rows[:, 1])
        swap = draw.random(25) < 0.5
        one, two = np.where(swap[:, None], other, rows), np.where(swap[:, None], rows, other)
        test = paired_tests(one, two, tests=["bootstrap"], resamples=200, seed=k)["bootstrap"]
        rejected += (test.p_value["aer"] or 0) <= 0.05
    assert min(held.values()) >= 0.915 * 300
    assert rejected <= 0.075 * 300
