"""Studentised bootstrap: intervals that hold the true value as often as they say, of corpora of any size.

Percentile intervals of 25 to 100 sentence pairs hold it too seldom (``results/coverage``), for two reasons: resamples
are spread less than samples, and the spread of a small corpus is itself a guess. So each resample is measured in its
own standard errors (Efron & Tibshirani 1993, chapter 12.5; Hall 1988 for the symmetric form):

* a measure is a function of sums of rows; its standard error in a resample follows from its gradient and the sums of
  products of columns (the delta method, also called the infinitesimal jackknife);
* that of the corpus itself is by the jackknife, which leaves out one sentence pair at a time (Efron & Stein 1981): it
  allows for pairs that weigh much;
* proportions are taken on the scale of their log odds, so that no end is below 0 or above 100 %.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from align_eval.scoring.resample import Sums, bootstrap_sums, percentile_interval

#: Maps sums of rows ``(..., columns)`` to measures ``(...)`` by name; multiplying all sums by a number changes nothing.
Statistic = Callable[[Sums], "dict[str, Sums]"]

# Relative step of the numerical gradient: its error is about the square.
_STEP = 1e-5
# Differences that are equal but for rounding count as equal, relative.
_ROUNDING = 1e-9
# Rows at a time of the jackknife.
_PART = 1 << 16


@dataclass(frozen=True)
class Studentised:
    """What resamples say of one measure.

    Attributes:
        value: the measure of the corpus; NaN if it is undefined.
        error: its standard error by the jackknife.
        sample: the measure in the resamples in which it is defined, ``(n,)``.
        ratios: sizes of (measure of a resample - ``value``) / (standard error in the resample), ``(at most n,)``.
        undefined: in how many resamples it is undefined.
        share: it is a share of 0 to 1.
    """

    value: float
    error: float
    sample: Sums
    ratios: Sums
    undefined: int
    share: bool

    def interval(self, confidence: float) -> tuple[float, float]:
        """The (low, high) ends of the interval.

        Where there is no standard error, or a share is 0 or 1, the middle of the resamples.
        """
        if not self.error > 0 or not len(self.ratios):
            return percentile_interval(self.sample, confidence)
        reach = percentile_interval(self.ratios, 2 * confidence - 1)[1] * self.error
        if not self.share:
            return self.value - reach, self.value + reach
        odds = np.log(self.value / (1 - self.value))
        with np.errstate(over="ignore"):
            low, high = 1 / (1 + np.exp(-(odds + np.array([-1, 1]) * reach / (self.value * (1 - self.value)))))
        return float(low), float(high)

    def p_value(self) -> float:
        """Two-sided, of the hypothesis that the measure is 0: how often a resample is as many standard errors off."""
        if not self.error > 0:
            return 1.0
        extreme = int((self.ratios >= abs(self.value) / self.error * (1 - _ROUNDING)).sum())
        return (extreme + 1) / (len(self.ratios) + 1)


def studentise(
    rows: NDArray[np.integer[Any]], statistic: Statistic, resamples: int, seed: int, *, shares: bool = True
) -> dict[str, Studentised]:
    """Resample a corpus, and measure each resample in its own standard errors.

    Args:
        rows: ``(N, columns)`` as for :func:`align_eval.scoring.resample.bootstrap_sums`.
        statistic: the measures; NaN where one is undefined.
        resamples: at least 1.
        seed: of the resamples.
        shares: the measures are shares of 0 to 1, not differences.
    """
    n, columns = rows.shape
    totals = rows.sum(axis=0, dtype=np.float64)
    values = {name: float(value) for name, value in statistic(totals).items()}
    drawn = bootstrap_sums(rows, resamples, seed, products=True)
    sums, products = drawn[:, :columns], drawn[:, columns:]
    measured, errors = statistic(sums), _errors(sums, products, statistic, n)
    jackknife = _jackknife(rows, totals, statistic)
    out = {}
    for name, value in values.items():
        sample, spread = measured[name], errors[name]
        defined = ~np.isnan(sample)
        off = np.abs(sample - value)
        if shares and 0 < value < 1:
            with np.errstate(divide="ignore", invalid="ignore"):
                scale = sample * (1 - sample)
                off = np.abs(np.log(sample / (1 - sample)) - np.log(value / (1 - value))) * scale
        usable = defined & (spread > 1e-12) & np.isfinite(off)
        inside = not shares or 0 < value < 1
        error = jackknife[name] if inside and not np.isnan(value) else 0.0
        ratios = off[usable] / spread[usable]
        out[name] = Studentised(value, error, sample[defined], ratios, int((~defined).sum()), shares)
    return out


def _errors(sums: Sums, products: Sums, statistic: Statistic, n: int) -> dict[str, Sums]:
    """Standard errors of the measures in samples of ``n`` rows: sums ``(R, C)``, of products ``(R, C (C + 1) / 2)``.

    A measure that does not change when all sums are multiplied has a gradient that is orthogonal to the sums, so that
    no mean has to be taken off.
    """
    columns = sums.shape[1]
    gradients: dict[str, list[Sums]] = {}
    for column in range(columns):
        step = _STEP * np.maximum(np.abs(sums[:, column]), 1.0)
        ends = []
        for sign in (1, -1):
            moved = sums.copy()
            moved[:, column] += sign * step
            ends.append(statistic(moved))
        for name, ahead in ends[0].items():
            gradients.setdefault(name, []).append((ahead - ends[1][name]) / (2 * step))
    first, second = np.triu_indices(columns)
    weight = np.where(first == second, 1.0, 2.0)
    out = {}
    for name, found in gradients.items():
        gradient = np.stack(found, axis=1)
        variance = (products * gradient[:, first] * gradient[:, second] * weight).sum(axis=1) * n / max(n - 1, 1)
        out[name] = np.sqrt(np.maximum(variance, 0.0))
    return out


def _jackknife(rows: NDArray[np.integer[Any]], totals: Sums, statistic: Statistic) -> dict[str, float]:
    """Standard errors of the measures by leaving out one row at a time."""
    n = len(rows)
    parts = [statistic(totals - rows[begin : begin + _PART].astype(np.float64)) for begin in range(0, n, _PART)]
    out = {}
    for name in parts[0]:
        without = np.concatenate([part[name] for part in parts])
        without = without[~np.isnan(without)]
        spread = ((without - without.mean()) ** 2).sum() if len(without) else 0.0
        out[name] = float(np.sqrt(spread * (n - 1) / n))
    return out
