"""Is one system better than another on the same sentence pairs? Paired bootstrap, paired approximate randomisation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from align_eval.errors import InputError, LengthMismatchError, UnknownNameError
from align_eval.scoring.measures import MEASURES, known, live, measures
from align_eval.scoring.resample import bootstrap_sums, percentile_interval, swap_sums
from align_eval.scoring.score import DECIMALS, check_resampling, rounded

#: Names of the tests.
TESTS = ("bootstrap", "randomisation")
# Differences that are equal but for rounding count as equal: percent points.
_ROUNDING = 1e-9

Counts = NDArray[np.integer[Any]]


@dataclass(frozen=True)
class PairedTest:
    """What one test says of a system and the first system.

    Attributes:
        test: ``bootstrap`` or ``randomisation``.
        difference: this system minus the first, percent points, for each measure; ``None`` where a system's measure is
            undefined.
        p_value: two-sided, for each measure; ``None`` likewise.
        ci: (low, high) of the difference in percent points; bootstrap only.
        trials: number of resamples or trials.
        left_out: in how many of them a measure is undefined, where there are any; they do not count for it.
    """

    test: str
    difference: dict[str, float | None]
    p_value: dict[str, float | None]
    ci: dict[str, tuple[float, float]] = field(default_factory=dict)
    trials: int = 0
    left_out: dict[str, int] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """The test as plain data for ``json.dumps``."""
        out: dict[str, Any] = {
            "difference": {name: rounded(value) for name, value in self.difference.items()},
            "p_value": self.p_value,
            "trials": self.trials,
        }
        if self.left_out:
            out["left_out"] = self.left_out
        if self.ci:
            out["ci"] = {name: [round(low, DECIMALS), round(high, DECIMALS)] for name, (low, high) in self.ci.items()}
        return out


def paired_tests(
    first: Counts,
    other: Counts,
    *,
    tests: Sequence[str] = TESTS,
    resamples: int = 1000,
    seed: int = 12345,
    alpha: float = 0.5,
    confidence: float = 0.95,
) -> dict[str, PairedTest]:
    """Test whether two systems differ, over the same sentence pairs and gold.

    * ``bootstrap`` (Koehn 2004): both systems are scored on the same resamples. The differences are shifted to a mean
      of 0, and the p-value is how often one is as far from 0 as the observed difference.
    * ``randomisation`` (Riezler & Maxwell 2005): in each trial every sentence pair's links change hands between the
      systems with probability 1/2. The p-value is how often the difference then is as far from 0 as the observed one.

    Both p-values are (c + 1) / (resamples + 1) for c such cases, so they are never 0. Two equal systems get p = 1.
    Resamples and trials in which a measure is undefined are left out of its test and counted.

    Args:
        first, other: counts ``(sentence pairs, 4)`` of :func:`align_eval.scoring.counts.counts`, same gold.
        tests: which of :data:`TESTS`.
        resamples: resamples or trials, at least 1.
        seed: of the resamples; equal seeds draw the same resamples.
        alpha: weight of precision in ``f_alpha``.
        confidence: level of the interval of the difference.

    Raises:
        LengthMismatchError: different numbers of sentence pairs.
        InputError: the counts are not of the same gold, or a parameter is outside of its range.
        UnknownNameError: no such test.
    """
    if len(first) != len(other):
        raise LengthMismatchError(f"the first system has {len(first)} sentence pairs, the other {len(other)}")
    if not len(first) or not np.array_equal(first[:, 1], other[:, 1]):
        raise InputError("the counts of the two systems are not from the same gold")
    check_resampling(resamples, seed, confidence, alpha)
    if not resamples:
        raise InputError("a paired test needs at least one resample", remedy="Give more with --resamples")
    observed = _difference(first.sum(axis=0, dtype=np.int64), other.sum(axis=0, dtype=np.int64), alpha)
    out = {}
    for test in tests:
        if test == "bootstrap":
            drawn = _bootstrap(first, other, resamples, seed, alpha)
        elif test == "randomisation":
            drawn = _randomise(first, other, resamples, seed, alpha)
        else:
            raise UnknownNameError("paired test", test, TESTS)
        differences = {name: known(float(observed[name])) for name in MEASURES}
        p_values: dict[str, float | None] = dict.fromkeys(MEASURES)
        ci, left_out = {}, {}
        for name, difference in differences.items():
            sample = live(drawn[name])
            if difference is None or not len(sample):
                continue
            if len(sample) < resamples:
                left_out[name] = resamples - len(sample)
            if test == "bootstrap":
                ci[name] = percentile_interval(sample, confidence)
            p_values[name] = two_sided(sample - (sample.mean() if test == "bootstrap" else 0.0), difference)
        out[test] = PairedTest(test, differences, p_values, ci, resamples, left_out)
    return out


def _difference(
    first: NDArray[Any], other: NDArray[Any], alpha: float, nothing: float = 0.0
) -> dict[str, NDArray[np.float64]]:
    """Measures of ``other`` minus those of ``first``, from sums ``(..., 4)``; ``nothing`` as in :func:`measures`."""
    a, b = measures(first, alpha, nothing), measures(other, alpha, nothing)
    return {name: b[name] - a[name] for name in MEASURES}


def _bootstrap(first: Counts, other: Counts, resamples: int, seed: int, alpha: float) -> dict[str, NDArray[np.float64]]:
    sums = bootstrap_sums(np.concatenate([first, other[:, [0, 2, 3]]], axis=1), resamples, seed)
    return _difference(sums[:, :4], sums[:, [4, 1, 5, 6]], alpha, np.nan)


def _randomise(first: Counts, other: Counts, trials: int, seed: int, alpha: float) -> dict[str, NDArray[np.float64]]:
    swapped = swap_sums(other.astype(np.int64) - first, trials, seed)
    totals = (first.sum(axis=0, dtype=np.int64), other.sum(axis=0, dtype=np.int64))
    return _difference(totals[0] + swapped, totals[1] - swapped, alpha, np.nan)


def two_sided(null: NDArray[np.float64], observed: float) -> float:
    """Two-sided p-value of a difference against a sample of its distribution where the systems are the same."""
    extreme = int((np.abs(null) >= abs(observed) - _ROUNDING).sum())
    return (extreme + 1) / (len(null) + 1)
