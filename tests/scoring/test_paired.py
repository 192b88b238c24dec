"""Paired tests: plain versions of both, equal systems, errors."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from numpy.typing import NDArray

from align_eval.errors import InputError, LengthMismatchError, UnknownNameError
from align_eval.scoring import counts, measures, paired_tests
from tests.scoring.reference import Corpus, corpora, gold_table, proposed_table
from tests.test_resampling import corpus as made


def systems(size: int, gain: int = 0) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Two systems on the same gold; the second finds up to ``gain`` more sure links a sentence."""
    first, noise = made(size), np.random.default_rng(5)
    other = first.copy()
    change = np.minimum(noise.integers(-1, 2 + gain, size), first[:, 1] - first[:, 2])
    change = np.maximum(change, -first[:, 2])
    other[:, 0] = np.maximum(first[:, 0], first[:, 3] + np.maximum(change, 0))
    other[:, 2] = first[:, 2] + change
    other[:, 3] = np.maximum(first[:, 3] + change, other[:, 2])
    other[:, 0] = np.maximum(other[:, 0], other[:, 3])
    return first, other


@settings(max_examples=40)
@given(corpora)
def test_equal_systems(corpus: Corpus) -> None:
    rows = counts(gold_table(corpus), proposed_table(corpus))
    for test in paired_tests(rows, rows, resamples=50).values():
        assert set(test.difference.values()) <= {0.0, None}
        assert set(test.p_value.values()) <= {1.0, None}
        assert test.p_value["aer"] == 1.0 or not rows[:, :2].any()


def test_randomisation_is_swapping_whole_sentences() -> None:
    first, other = systems(40, gain=1)
    rng = np.random.default_rng(0)
    observed = measures(other.sum(0))["aer"] - measures(first.sum(0))["aer"]
    extreme = 0
    for _ in range(4000):
        swap = rng.random(40) < 0.5
        one, two = np.where(swap[:, None], other, first), np.where(swap[:, None], first, other)
        extreme += abs(measures(two.sum(0))["aer"] - measures(one.sum(0))["aer"]) >= abs(observed) - 1e-9
    test = paired_tests(first, other, tests=["randomisation"], resamples=4000)["randomisation"]
    assert test.p_value["aer"] == pytest.approx((extreme + 1) / 4001, abs=0.03)
    assert test.difference["aer"] == pytest.approx(float(observed))
    assert test.ci == {}


def test_bootstrap_scores_both_systems_on_the_same_sentences() -> None:
    """Each resample in its own standard errors, which here are those of precision, a ratio of sums, by hand."""
    first, other = systems(40, gain=1)
    drawn = np.random.default_rng(11).integers(40, size=300 * 40).reshape(300, 40)
    test = paired_tests(first, other, tests=["bootstrap"], resamples=300, seed=11)["bootstrap"]

    def difference(which: Any) -> tuple[float, float]:
        parts = []
        for rows in (first[which], other[which]):
            below, above = rows[:, 0].sum(), rows[:, 3].sum()
            parts.append((100 * above / below, 100 * (rows[:, 3] - above / below * rows[:, 0]) / below))
        influence = parts[1][1] - parts[0][1]
        return parts[1][0] - parts[0][0], float(np.sqrt((influence**2).sum() * 40 / 39))

    observed, _ = difference(np.arange(40))
    without = [difference(np.delete(np.arange(40), k))[0] for k in range(40)]
    error = float(np.sqrt(((np.array(without) - np.mean(without)) ** 2).sum() * 39 / 40))
    ratios = np.array([abs(value - observed) / spread for value, spread in map(difference, drawn)])
    reach = np.quantile(ratios, 0.95) * error
    assert test.ci["precision"] == pytest.approx((observed - reach, observed + reach), rel=1e-6)
    extreme = int((ratios >= abs(observed) / error).sum())
    assert test.p_value["precision"] == pytest.approx((extreme + 1) / 301, abs=1e-9)


def test_a_real_difference_is_found_and_noise_is_not() -> None:
    first, better = systems(500, gain=2)
    for test in paired_tests(first, better).values():
        assert test.difference["aer"] < 0
        assert test.p_value["aer"] == pytest.approx(1 / 1001)
    first, same = systems(500)
    back = paired_tests(same, first)["randomisation"].p_value["aer"]
    assert paired_tests(first, same)["randomisation"].p_value["aer"] == pytest.approx(back, abs=0.05)


@pytest.mark.parametrize(
    ("sure", "drawn"),
    [([0, 0, 0], "none"), ([3, 0, 0], "some"), ([1, 0, 0, 0, 0], "some"), ([1, 1, 1], "all")],
)
def test_trials_in_which_recall_is_undefined_are_left_out_and_counted(sure: list[int], drawn: str) -> None:
    """Resamples without a sure link have no recall: they are no recall of 100."""
    first = np.array([[2, s, 0, 1] for s in sure])
    other = np.array([[2, s, s, 2] for s in sure])
    test = paired_tests(first, other, tests=["bootstrap"], resamples=200)["bootstrap"]
    assert test.difference["precision"] == pytest.approx(50)
    if drawn == "none":
        assert test.difference["recall"] is test.p_value["recall"] is test.difference["f1"] is None
        assert "recall" not in test.ci
        assert test.to_json()["p_value"]["recall"] is None
    else:
        assert test.difference["recall"] == pytest.approx(100)
        assert test.ci["recall"] == pytest.approx((100, 100))  # 0 against 0 would pull it down
        assert (test.left_out.get("recall", 0) > 0) == (drawn == "some")
        assert 200 > test.left_out.get("recall", 0) == test.left_out.get("f1", 0)
    assert "aer" not in test.left_out


def test_json() -> None:
    first, other = systems(30)
    out = {name: test.to_json() for name, test in paired_tests(first, other, resamples=20).items()}
    assert set(out["bootstrap"]) == {"difference", "p_value", "trials", "ci"}
    assert set(out["randomisation"]) == {"difference", "p_value", "trials"}


def test_errors() -> None:
    first, other = systems(10)
    with pytest.raises(LengthMismatchError, match="10 sentence pairs, the other 9"):
        paired_tests(first, other[:9])
    with pytest.raises(InputError, match="same gold"):
        paired_tests(first, made(10, 4))
    with pytest.raises(InputError, match="at least one resample"):
        paired_tests(first, other, resamples=0)
    with pytest.raises(UnknownNameError, match=r"unknown paired test 'bootstap'. Did you mean 'bootstrap'"):
        paired_tests(first, other, tests=["bootstap"])
