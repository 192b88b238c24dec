"""Null models of hidden rows: what would be seen if a row knew nothing of its sentence.

Each gives, for every hidden row, one or several rows over the source words of that pair. What is expected under it is
the mean over them: the share of peaks that are gold-aligned, and the weight on gold-aligned words.

* ``uniform``: every source word the same weight, 1 / K. None on the end of the sentence.
* ``position``: the mean of the hidden rows of all *other* sentences at the same relative position of the target,
  stretched to the source's length. It knows how far along the sentence a word stands and nothing else.
* ``permuted``: the hidden row of another sentence, at the same relative position and of equal or else the nearest
  target length, stretched to the source's length; over several such rows.

Stretching keeps weight: word k of K covers [k / K, (k + 1) / K] of the sentence, and its weight is spread evenly over
that stretch. A row of weight 1 stretched to any length has weight 1.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache

import numpy as np

from align_eval.infilling.measures import Bools, Floats, mass, peak_hit
from align_eval.infilling.table import HiddenRows

DONORS = 10
"""Rows of other sentences that the model ``permuted`` takes for each row."""

Expected = tuple[Floats, Floats]
"""For every hidden row the expected gold peak and the expected gold mass, ``(R,)``; NaN for rows without gold."""


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


def uniform(hidden: Sequence[HiddenRows], seed: int = 0) -> list[Floats]:
    """For each sentence rows ``(n, 1, K)``, all 1 / K."""
    return [np.full((len(h.word), 1, h.values.shape[1]), 1 / max(h.values.shape[1], 1)) for h in hidden]


def position(hidden: Sequence[HiddenRows], seed: int = 0) -> list[Floats]:
    """For each sentence rows ``(n, 1, K)``: the mean over the hidden rows of the others at that relative position.

    Row q of Q covers [q / Q, (q + 1) / Q] of its target. A row of another sentence counts by the share of that stretch
    that it covers, and is itself stretched to K words. Where no other sentence has a hidden row, the nearest row that
    has one stands in; if there is no other sentence, the row is uniform. Sentences with the same source count as one.
    """
    sums: dict[tuple[int, int], Floats] = {}
    own: dict[str, list[Floats]] = {}
    for h in hidden:
        part = _sums(h)
        own.setdefault(h.pair.source_text, []).append(part)
        sums[h.shape] = sums[h.shape] + part if h.shape in sums else part
    collapsed = {rows: _collapse(sums, rows) for rows in {h.shape[0] for h in hidden}}
    whole = {shape: _widen(collapsed[shape[0]], shape[1]) for shape in sums}
    out = []
    for h in hidden:
        rows, columns = h.shape
        rest = whole[h.shape].copy()
        for part in own[h.pair.source_text]:
            rest -= _widen({part.shape[1] - 1: stretch(rows, len(part)) @ part}, columns)
        known = np.flatnonzero(rest[:, -1] > 1e-9)
        if not len(known):
            out.append(uniform([h])[0])
            continue
        nearest = known[np.abs(h.word[:, None] - known[None, :]).argmin(axis=1)]
        out.append(np.maximum(rest[nearest, :-1] / rest[nearest, -1:], 0.0)[:, None, :])
    return out


def _sums(h: HiddenRows) -> Floats:
    """Hidden rows of a sentence added up at their word, and in the last column how many there are, ``(Q, K + 1)``."""
    out = np.zeros((h.shape[0], h.shape[1] + 1))
    use = np.isfinite(h.values).all(axis=1)
    np.add.at(out, h.word[use], np.concatenate([h.values[use], np.ones((int(use.sum()), 1))], axis=1))
    return out


def _collapse(sums: dict[tuple[int, int], Floats], rows: int) -> dict[int, Floats]:
    """Sums of all sentences on ``rows`` rows, by their number of columns."""
    out: dict[int, Floats] = {}
    for (length, columns), part in sums.items():
        found = stretch(rows, length) @ part
        out[columns] = out[columns] + found if columns in out else found
    return out


def _widen(by_columns: dict[int, Floats], columns: int) -> Floats:
    """Sums by number of columns, on ``columns`` columns, ``(Q, columns + 1)``."""
    return np.asarray(
        sum(
            np.concatenate([part[:, :-1] @ stretch(length, columns), part[:, -1:]], axis=1)
            for length, part in by_columns.items()
        )
    )


def permuted(hidden: Sequence[HiddenRows], seed: int = 0) -> list[Floats]:
    """For each sentence rows ``(n, D, K)``: hidden rows of other sentences, up to :data:`DONORS` for each row.

    Those taken cover a part of the same stretch of the target, and of these are from sentences of the nearest target
    length; among equals they are drawn. Fewer than :data:`DONORS` are repeated; where none covers it, the nearest row
    is taken. Rows of sentences with the same source are passed over; if there are no others the rows are uniform.
    """
    rng = np.random.default_rng(seed)
    widest = max((h.shape[1] for h in hidden), default=0)
    rows = [np.pad(h.values, ((0, 0), (0, widest - h.shape[1]))) for h in hidden]
    flat = np.concatenate([np.zeros((0, widest)), *rows])
    owner = np.repeat(np.arange(len(hidden)), [len(h.word) for h in hidden])
    names = {text: k for k, text in enumerate(dict.fromkeys(h.pair.source_text for h in hidden))}
    source = np.array([names[h.pair.source_text] for h in hidden], dtype=np.int64)[owner]
    length, columns = (np.array([h.shape[k] for h in hidden], dtype=np.int64)[owner] for k in (0, 1))
    place = np.concatenate([np.zeros(0), *[(h.word + 0.5) / h.shape[0] for h in hidden]])
    finite = np.isfinite(flat).all(axis=1)
    out = []
    for h in hidden:
        others = np.flatnonzero(finite & (source != names[h.pair.source_text]))
        if not len(others):
            out.append(uniform([h])[0])
            continue
        size, to = h.shape
        apart = np.abs(((h.word + 0.5) / size)[:, None] - place[others])
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


NULLS: dict[str, Callable[[Sequence[HiddenRows], int], list[Floats]]] = {
    "uniform": uniform,
    "position": position,
    "permuted": permuted,
}


def expected(rows: Sequence[Floats], hidden: Sequence[HiddenRows]) -> Expected:
    """What null rows say of gold, for all hidden rows in order.

    Args:
        rows: of a null model, ``(n, D, K)`` a sentence.
        hidden: the sentences.
    """
    peaks, masses = [np.zeros(0)], [np.zeros(0)]
    for null, h in zip(rows, hidden, strict=True):
        gold: Bools | None = h.gold
        if gold is None:
            peaks.append(np.full(len(h.word), np.nan))
            masses.append(np.full(len(h.word), np.nan))
            continue
        linked = gold.any(axis=1)
        peaks.append(np.where(linked, peak_hit(null, gold[:, None, :]).mean(axis=1), np.nan))
        masses.append(np.where(linked, mass(null, gold[:, None, :]).mean(axis=1), np.nan))
    return np.concatenate(peaks), np.concatenate(masses)
