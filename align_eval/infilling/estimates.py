"""Means, differences and rank correlations of rows, over sentences, and the baselines that masked rows stand against.

A mean over rows is a ratio of sums over sentences; its interval is studentised, that of a rank correlation BCa
(:mod:`align_eval.statistics`), by a bootstrap that draws sentences. Two measures of the same rows are tested by
approximate randomisation (Riezler & Maxwell 2005): in each trial the two change places in every sentence with
probability 1/2. The p-value is two-sided, (c + 1) / (trials + 1) for c trials whose difference is as far from 0 as the
one observed.

A baseline gives for every masked row one or several rows over the source words of that pair; expected under it is the
mean over them. ``uniform``: every source word the same weight. ``position``: the mean of the masked rows of all *other*
sentences at the same relative position of the target. ``permuted``: masked rows of other sentences at the same relative
position and of equal or else the nearest target length. Rows are stretched to the source's length: word k of K covers
[k / K, (k + 1) / K] of the sentence, and its weight is spread evenly over that stretch.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from align_eval.errors import LengthMismatchError
from align_eval.infilling.measures import Bools, Floats, MaskedRows, argmax_hit, mass_on
from align_eval.statistics import Resampling, bca_interval, studentise, swap_sums, times_drawn

DONORS = 10
"""Rows of other sentences that the baseline ``permuted`` takes for each row."""
_ROUNDING = 1e-9
# Of the jackknife of a correlation: more sentences than this are left out a group at a time.
_GROUPS = 500
Sentences = NDArray[np.integer[Any]]


@dataclass(frozen=True)
class Estimate:
    """A mean over rows, or a correlation."""

    value: float | None  # None if no row applies
    ci: list[float] | None  # the interval; None with fewer than two sentences, or without resamples
    rows: int  # how many applied
    sentences: int


@dataclass(frozen=True)
class Comparison:
    """Two measures of the same rows."""

    first: float | None = None  # their means
    second: float | None = None
    difference: float | None = None  # first minus second
    ci: list[float] | None = None  # the interval of the difference
    p_value: float | None = None  # two-sided; None if no row applies, or without resamples
    rows: int = 0  # how many applied
    sentences: int = 0

    def to_json(self) -> dict[str, Any]:
        """Plain data without the two means, which callers name."""
        return {"difference": self.difference, "ci": self.ci, "p_value": self.p_value}


def mean(values: Floats, sentence: Sentences, how: Resampling, *, share: bool = False) -> Estimate:
    """The mean of ``values`` ``(R,)`` with an interval over the sentences ``(R,)`` of the rows; NaN does not count.

    ``share``: the values are fractions of 0 to 1; so are the ends of the interval.
    """
    sums, counts = _sums(sentence, values)
    if not len(sums):
        return Estimate(None, None, 0, 0)
    rows = int(counts.sum())
    return Estimate(float(sums.sum() / rows), _interval(sums, counts, how, share), rows, len(sums))


def compare(first: Floats, second: Floats, sentence: Sentences, how: Resampling) -> Comparison:
    """Test whether two measures of the same rows differ, over sentences; rows where either is NaN do not count."""
    if len(first) != len(second):
        raise LengthMismatchError(f"{len(first)} rows against {len(second)}")
    both = np.isfinite(first) & np.isfinite(second)
    sums, counts = _sums(sentence, np.where(both, first - second, np.nan))
    if not len(sums):
        return Comparison()
    rows = int(counts.sum())
    p_value = None
    if how.resamples:
        observed = float(sums.sum())
        slack = _ROUNDING * max(float(np.abs(sums).sum()), 1.0)
        trials = np.abs(observed - 2 * swap_sums(sums, how.resamples, how.seed)[:, 0])
        p_value = (int((trials >= abs(observed) - slack).sum()) + 1) / (how.resamples + 1)
    means = float(first[both].mean()), float(second[both].mean())
    ci = _interval(sums, counts, how, False)
    return Comparison(*means, float(sums.sum() / rows), ci, p_value, rows, len(sums))


def compare_groups(values: Floats, group: Bools, sentence: Sentences, how: Resampling) -> Comparison:
    """Test whether rows inside a group differ from the others, by the two means within each sentence.

    Sentences with rows of one kind alone do not count; each other sentence counts once, however many rows it has.
    """
    inside, inside_counts = _by_sentence(sentence, np.where(group, values, np.nan))
    outside, outside_counts = _by_sentence(sentence, np.where(group, np.nan, values))
    both = (inside_counts > 0) & (outside_counts > 0)
    first, second = inside[both] / inside_counts[both], outside[both] / outside_counts[both]
    return compare(first, second, np.arange(len(first)), how)


def spearman(x: Floats, y: Floats, sentence: Sentences, how: Resampling) -> Estimate:
    """Spearman's rank correlation over rows, ties by their middle rank, with an interval over sentences.

    Rows where either is not finite do not count. Without value if fewer than three rows count, or one side is constant.
    """
    use = np.isfinite(x) & np.isfinite(y)
    x_group, y_group = (np.unique(side[use], return_inverse=True)[1].reshape(-1) for side in (x, y))
    names, owner = np.unique(sentence[use], return_inverse=True)
    owner = owner.reshape(-1)
    rows = int(use.sum())
    value = _weighted_spearman(x_group, y_group, np.ones(rows)) if rows > 2 else None
    ci = None
    if value is not None and len(names) > 1 and how.resamples:
        rng, n = np.random.default_rng(how.seed), len(names)
        drawn = (w for block in times_drawn(rng, n, np.full(how.resamples, n)) for w in block)
        left_out = (np.arange(n) % min(n, _GROUPS) != group for group in range(min(n, _GROUPS)))
        sample, without = (
            np.array([r for w in times if (r := _weighted_spearman(x_group, y_group, w[owner] * 1.0)) is not None])
            for times in (drawn, left_out)
        )
        if len(sample):
            ci = list(bca_interval(value, sample, without, how.confidence))
    return Estimate(value, ci, rows, len(names))


def _weighted_spearman(x_group: NDArray[Any], y_group: NDArray[Any], weight: Floats) -> float | None:
    total = float(weight.sum())
    if not total:
        return None
    ranks = []
    for group in (x_group, y_group):
        size = np.bincount(group, weights=weight)
        ranks.append((np.cumsum(size) - size + (size + 1) / 2)[group] - (total + 1) / 2)
    x, y = ranks
    scale = float((weight * x * x).sum() * (weight * y * y).sum())
    return float((weight * x * y).sum() / np.sqrt(scale)) if scale > 0 else None


def _by_sentence(sentence: Sentences, values: Floats) -> tuple[Floats, Floats]:
    """Sum and number of the values of each sentence that has a row."""
    if len(sentence) != len(values):
        raise LengthMismatchError(f"{len(values)} values for {len(sentence)} rows")
    names, owner = np.unique(sentence, return_inverse=True)
    owner, use = owner.reshape(-1), np.isfinite(values)
    sums = np.bincount(owner[use], weights=values[use], minlength=len(names)).astype(np.float64)
    return sums, np.bincount(owner[use], minlength=len(names)).astype(np.float64)


def _sums(sentence: Sentences, values: Floats) -> tuple[Floats, Floats]:
    """The same as columns ``(N, 1)``, of the sentences that have a row that counts."""
    sums, counts = _by_sentence(sentence, values)
    return sums[counts > 0, None], counts[counts > 0, None]


def _interval(sums: Floats, counts: Floats, how: Resampling, share: bool) -> list[float] | None:
    if len(sums) < 2 or not how.resamples:
        return None

    def ratio(sums: Floats) -> dict[str, Floats]:
        return {"mean": sums[..., 0] / sums[..., 1]}

    found = studentise(np.concatenate([sums, counts], axis=1), ratio, how.resamples, how.seed, ratios=share)
    return list(found["mean"].interval(how.confidence))


@lru_cache(maxsize=4096)
def stretch(length: int, to: int) -> Floats:
    """The matrix ``(length, to)`` that carries weights of ``length`` words to ``to`` words; rows sum to 1.

    >>> stretch(2, 4).tolist()
    [[0.5, 0.5, 0.0, 0.0], [0.0, 0.0, 0.5, 0.5]]
    """
    begin, new = np.arange(length)[:, None] / length, np.arange(to)[None, :] / to
    overlap = np.minimum(begin + 1 / length, new + 1 / to) - np.maximum(begin, new)
    found = np.where(overlap > 1e-12, overlap, 0.0) * length
    found = np.asarray(found / found.sum(axis=1, keepdims=True))
    found.flags.writeable = False
    return found


def uniform(masked: Sequence[MaskedRows], seed: int = 0) -> list[Floats]:
    """For each sentence rows ``(n, 1, K)``, all 1 / K; none on the end of the sentence."""
    return [np.full((len(m.word), 1, m.values.shape[1]), 1 / max(m.values.shape[1], 1)) for m in masked]


def position(masked: Sequence[MaskedRows], seed: int = 0) -> list[Floats]:
    """For each sentence rows ``(n, 1, K)``: the mean over the masked rows of the others at that relative position.

    Row q of Q covers [q / Q, (q + 1) / Q] of its target. A row of another sentence counts by the part of that stretch
    that it covers, and is itself stretched to K words. Where no other sentence has a masked row, the nearest row that
    has one stands in; if there is no other sentence, the row is uniform. Sentences with the same source count as one.
    """
    sums: dict[tuple[int, int], Floats] = {}
    own: dict[str, list[Floats]] = {}
    for m in masked:
        part = _row_sums(m)
        own.setdefault(m.pair.source_text, []).append(part)
        sums[m.shape] = sums[m.shape] + part if m.shape in sums else part
    collapsed: dict[int, dict[int, Floats]] = {}  # by rows, then by columns: the sums of all sentences on so many rows
    for rows in {m.shape[0] for m in masked}:
        by_columns = collapsed.setdefault(rows, {})
        for (length, columns), part in sums.items():
            found = stretch(rows, length) @ part
            by_columns[columns] = by_columns[columns] + found if columns in by_columns else found
    whole = {shape: _widen(collapsed[shape[0]], shape[1]) for shape in sums}
    out = []
    for m in masked:
        rows, columns = m.shape
        others = whole[m.shape].copy()
        for part in own[m.pair.source_text]:
            others -= _widen({part.shape[1] - 1: stretch(rows, len(part)) @ part}, columns)
        known = np.flatnonzero(others[:, -1] > 1e-9)
        if not len(known):
            out.append(uniform([m])[0])
            continue
        nearest = known[np.abs(m.word[:, None] - known[None, :]).argmin(axis=1)]
        out.append(np.maximum(others[nearest, :-1] / others[nearest, -1:], 0.0)[:, None, :])
    return out


def _row_sums(m: MaskedRows) -> Floats:
    """Masked rows of a sentence added up at their word, and in the last column how many there are, ``(Q, K + 1)``."""
    out = np.zeros((m.shape[0], m.shape[1] + 1))
    use = np.isfinite(m.values).all(axis=1)
    np.add.at(out, m.word[use], np.concatenate([m.values[use], np.ones((int(use.sum()), 1))], axis=1))
    return out


def _widen(by_columns: dict[int, Floats], columns: int) -> Floats:
    """Sums by number of columns, on ``columns`` columns, ``(Q, columns + 1)``."""
    return np.asarray(
        sum(
            np.concatenate([part[:, :-1] @ stretch(length, columns), part[:, -1:]], axis=1)
            for length, part in by_columns.items()
        )
    )


def permuted(masked: Sequence[MaskedRows], seed: int = 0) -> list[Floats]:
    """For each sentence rows ``(n, D, K)``: masked rows of other sentences, up to :data:`DONORS` for each row.

    Those taken cover a part of the same stretch of the target, and of these are from sentences of the nearest target
    length; among equals they are drawn. Fewer than :data:`DONORS` are repeated; where none covers it, the nearest row
    is taken. Rows of sentences with the same source are passed over; if there are no others the rows are uniform.
    """
    rng = np.random.default_rng(seed)
    widest = max((m.shape[1] for m in masked), default=0)
    rows = [np.pad(m.values, ((0, 0), (0, widest - m.shape[1]))) for m in masked]
    flat = np.concatenate([np.zeros((0, widest)), *rows])
    owner = np.repeat(np.arange(len(masked)), [len(m.word) for m in masked])
    names = {text: k for k, text in enumerate(dict.fromkeys(m.pair.source_text for m in masked))}
    source = np.array([names[m.pair.source_text] for m in masked], dtype=np.int64)[owner]
    length, columns = (np.array([m.shape[k] for m in masked], dtype=np.int64)[owner] for k in (0, 1))
    place = np.concatenate([np.zeros(0), *[(m.word + 0.5) / m.shape[0] for m in masked]])
    finite = np.isfinite(flat).all(axis=1)
    out = []
    for m in masked:
        others = np.flatnonzero(finite & (source != names[m.pair.source_text]))
        if not len(others):
            out.append(uniform([m])[0])
            continue
        size, to = m.shape
        apart = np.abs(((m.word + 0.5) / size)[:, None] - place[others])
        apart = np.maximum(apart - 0.5 / size - 0.5 / length[others] + 1e-9, 0.0)  # 0: the two stretches overlap
        cost = np.ceil(apart * 1e6) * 1e6 + np.abs(length[others] - size) + 0.5 * rng.random(apart.shape)
        number = min(DONORS, len(others))
        nearest = np.argpartition(cost, number - 1, axis=1)[:, :number]
        costs = np.take_along_axis(cost, nearest, axis=1)
        order = np.argsort(costs, axis=1)
        fit = np.maximum((costs < 1e6).sum(axis=1, keepdims=True), 1)
        ranks = np.take_along_axis(order, np.arange(DONORS)[None, :] % fit, axis=1)
        chosen = others[np.take_along_axis(nearest, ranks, axis=1)]
        found = np.empty((*chosen.shape, to))
        for width in np.unique(columns[chosen]).tolist():
            these = columns[chosen] == width
            found[these] = flat[chosen[these], :width] @ stretch(width, to)
        out.append(found)
    return out


BASELINES: dict[str, Callable[[Sequence[MaskedRows], int], list[Floats]]] = {
    "uniform": uniform, "position": position, "permuted": permuted,
}  # fmt: skip


def expected(rows: Sequence[Floats], masked: Sequence[MaskedRows]) -> tuple[Floats, Floats]:
    """Expected accuracy and mass on gold of all masked rows in order, ``(R,)`` each; NaN for rows without gold.

    ``rows`` are those of a baseline, ``(n, D, K)`` a sentence.
    """
    accuracy, mass = [np.zeros(0)], [np.zeros(0)]
    for some, m in zip(rows, masked, strict=True):
        gold = np.zeros((len(m.word), some.shape[2]), dtype=bool) if m.gold is None else m.gold
        linked = gold.any(axis=1)
        accuracy.append(np.where(linked, argmax_hit(some, gold[:, None, :]).mean(axis=1), np.nan))
        mass.append(np.where(linked, mass_on(some, gold[:, None, :]).mean(axis=1), np.nan))
    return np.concatenate(accuracy), np.concatenate(mass)
