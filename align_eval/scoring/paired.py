"""Is one system better than another on the same sentence pairs? Paired bootstrap, paired approximate randomisation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from align_eval.errors import InputError, LengthMismatchError, UnknownNameError
from align_eval.scoring.measures import MEASURES, known, live, measures
from align_eval.scoring.score import rounded, rounded_ends
from align_eval.statistics import Resampling, Statistic, Sums, studentise, swap_sums

#: Names of the tests.
TESTS = ("bootstrap", "randomisation")
# Differences that are equal but for rounding count as equal: percent points.
_ROUNDING = 1e-9
# Trials at a time.
_PART = 1 << 16

Counts = NDArray[np.integer[Any]]


@dataclass(frozen=True)
class PairedTest:
    """What one test says of a system and the first system, by measure; ``None`` where one is undefined."""

    test: str  #: ``bootstrap`` or ``randomisation``
    difference: dict[str, float | None]  #: this system minus the first, percent points
    p_value: dict[str, float | None]  #: two-sided
    ci: dict[str, tuple[float, float]] = field(default_factory=dict)  #: (low, high) of the difference; bootstrap only
    trials: int = 0  #: number of resamples or trials
    left_out: dict[str, int] = field(default_factory=dict)  #: in how many of them a measure is undefined

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
            out["ci"] = rounded_ends(self.ci)
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

    * ``bootstrap`` (Koehn 2004): both systems are scored on the same resamples. Each difference is measured from the
      observed one in the standard errors of its resample (:mod:`align_eval.statistics`), and the p-value is
      how often it is as many of them off as the observed difference is from 0. Without standard errors the test rejects
      a true hypothesis too often in small corpora (``results/coverage``).
    * ``randomisation`` (Riezler & Maxwell 2005): in each trial every sentence pair's links change hands between the
      systems with probability 1/2. The p-value is how often the difference then is as far from 0 as the observed one.

    Both p-values are (c + 1) / (resamples + 1) for c such cases, so they are never 0. Two equal systems get p = 1.
    Resamples and trials in which a measure is undefined are left out of its test and counted.

    Args:
        first, other: counts ``(sentence pairs, 4)`` of :func:`align_eval.scoring.measures.counts`, same gold.
        resamples: resamples or trials, at least 1.
        seed: of the resamples; equal seeds draw the same resamples.
        alpha: weight of precision in ``f_alpha``.
        confidence: level of the interval of the difference.
    """
    if len(first) != len(other):
        raise LengthMismatchError(f"the first system has {len(first)} sentence pairs, the other {len(other)}")
    if not len(first) or not np.array_equal(first[:, 1], other[:, 1]):
        raise InputError("the counts of the two systems are not from the same gold")
    how = Resampling(resamples, seed, confidence)
    a, b = (measures(rows.sum(axis=0, dtype=np.int64), alpha) for rows in (first, other))
    observed = {name: float(b[name] - a[name]) for name in MEASURES}
    return compare(first, other, lambda sums: measures(sums, alpha, np.nan), observed, tests, how)


def compare(
    first: Counts, other: Counts, measured: Statistic, observed: dict[str, float], tests: Sequence[str], how: Resampling
) -> dict[str, PairedTest]:
    """The tests of :func:`paired_tests`, of any measures (in percent) of sums of rows ``(N, columns)``.

    ``observed`` are the differences of the measures over all rows; NaN where one is undefined.
    """
    if not how.resamples:
        raise InputError("a paired test needs at least one resample", remedy="Give more with --resamples")
    made = {"bootstrap": _bootstrap, "randomisation": _randomise}
    out = {}
    for test in tests:
        if test not in made:
            raise UnknownNameError("paired test", test, TESTS)
        differences = {name: known(value) for name, value in observed.items()}
        p_values: dict[str, float | None] = dict.fromkeys(observed)
        ci, left_out = {}, {}
        found = made[test](first, other, measured, observed, how)
        for name, (p_value, undefined, ends) in found.items():
            if differences[name] is None or undefined == how.resamples:
                continue
            p_values[name] = p_value
            if undefined:
                left_out[name] = undefined
            if ends is not None:
                ci[name] = ends
        out[test] = PairedTest(test, differences, p_values, ci, how.resamples, left_out)
    return out


# p-value, in how many resamples or trials the difference is undefined, and the interval of it.
_Found = tuple[float, int, "tuple[float, float] | None"]


def _bootstrap(
    first: Counts, other: Counts, measured: Statistic, observed: dict[str, float], how: Resampling
) -> dict[str, _Found]:
    columns = first.shape[1]

    def difference(sums: Sums) -> dict[str, Sums]:
        a, b = measured(sums[..., :columns]), measured(sums[..., columns:])
        return {name: b[name] - a[name] for name in observed}

    found = studentise(np.concatenate([first, other], axis=1), difference, how.resamples, how.seed, ratios=False)
    out: dict[str, _Found] = {}
    for name, one in found.items():
        low, high = one.interval(how.confidence) if len(one.sample) else (0.0, 0.0)
        ends = (max(low, -100.0), min(high, 100.0)) if len(one.sample) else None  # no difference is beyond 100 points
        out[name] = one.p_value(), one.undefined, ends
    return out


def _randomise(
    first: Counts, other: Counts, measured: Statistic, observed: dict[str, float], how: Resampling
) -> dict[str, _Found]:
    trials = how.resamples
    swapped = swap_sums(other.astype(np.int64) - first, trials, how.seed)
    totals = (first.sum(axis=0, dtype=np.int64), other.sum(axis=0, dtype=np.int64))
    nulls = {name: np.empty(trials) for name in observed}
    for start in range(0, trials, _PART):
        part = slice(start, start + _PART)
        a, b = measured(totals[0] + swapped[part]), measured(totals[1] - swapped[part])
        for name, differences in nulls.items():
            differences[part] = b[name] - a[name]
    out: dict[str, _Found] = {}
    for name, value in observed.items():
        null = live(nulls[name])
        extreme = int((np.abs(null) >= abs(value) - _ROUNDING).sum())
        out[name] = (extreme + 1) / (len(null) + 1), trials - len(null), None
    return out
