"""A sentence pair read whole and with words hidden: its measured rows, in groups, as a reading speaks of them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from align_eval.errors import InputError
from align_eval.infilling.measures import MEASURES, RowMeasures, gold_cells, punctuation_columns, row_measures
from align_eval.infilling.results import Filled, InfillResult, WordRows
from align_eval.infilling.table import one_view
from align_eval.report.summary import quoted, series

if TYPE_CHECKING:
    from align_eval.corpora import SentencePair
    from align_eval.links import GoldLinks

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]


@dataclass(frozen=True)
class PairedRows:
    """One view of one variant, against the run with nothing hidden.

    Attributes:
        pair: the pair, with the links that count.
        masked, filled: the hidden words (0-based), and what the model says of them.
        before_rows, after_rows: rows of one view with nothing hidden, and with the words hidden.
        before, after: what is measured of them.
        gold: ``(Q, K)`` cells of the links; ``None`` without links.
        gold_name: what the links are called.
    """

    pair: SentencePair
    masked: tuple[int, ...]
    filled: tuple[Filled, ...]
    before_rows: WordRows
    after_rows: WordRows
    before: RowMeasures
    after: RowMeasures
    gold: Bools | None
    gold_name: str

    @property
    def hidden(self) -> Bools:
        """``(Q,)``: which target words are hidden."""
        found = np.zeros(len(self.pair.target), dtype=bool)
        found[list(self.masked)] = True
        return found

    @property
    def linked(self) -> Bools:
        """``(Q,)``: which target words have a link."""
        return np.zeros(len(self.pair.target), dtype=bool) if self.gold is None else np.asarray(self.gold.any(axis=1))

    def peak(self, rows: WordRows, row: int) -> int:
        """The source word that a row weighs highest; -1 for a target word without any sub-word."""
        values = rows.values[0, row]
        return -1 if not values.size or np.isnan(values).any() else int(values.argmax())

    def aligned(self, row: int, column: int) -> bool:
        """Whether a target and a source word are linked."""
        return self.gold is not None and bool(self.gold[row, column])


def paired_rows(
    result: InfillResult, variant: int, view: int, gold: GoldLinks | None = None, gold_name: str = "gold"
) -> PairedRows:
    """Measure one view of one variant of a result.

    Raises:
        InputError: no such variant or view.
        LinkRangeError: a link points outside of the pair.
    """
    if not 0 <= variant < len(result.variants) or not 0 <= view < len(result.views):
        raise InputError(
            f"variant {variant} and view {view} of {len(result.variants)} variants and {len(result.views)} views",
            remedy="Both are counted from 0",
        )
    pair = result.pair if gold is None else replace(result.pair, gold=gold)
    chosen = result.variants[variant]
    cells, marks = gold_cells(pair), punctuation_columns(pair)
    before, after = one_view(result.full, view), one_view(chosen.rows, view)
    return PairedRows(
        pair, chosen.masked, chosen.filled, before, after, row_measures(before, cells, marks),
        row_measures(after, cells, marks), cells, gold_name,
    )  # fmt: skip


def mean(values: Floats) -> float | None:
    """The mean of the finite values; ``None`` if there is none."""
    found = values[np.isfinite(values)]
    return float(found.mean()) if len(found) else None


def groups_of(it: PairedRows) -> list[dict[str, Any]]:
    """All rows, rows of hidden and of visible words, each in the full run and with the words hidden."""
    everything = np.ones(len(it.pair.target), dtype=bool)
    found = []
    for name, which, measured in (
        ("all rows, nothing hidden", everything, it.before),
        ("all rows, words hidden", everything, it.after),
        ("hidden words, nothing hidden", it.hidden, it.before),
        ("[MASK] rows", it.hidden, it.after),
        ("visible words, nothing hidden", ~it.hidden, it.before),
        ("visible rows", ~it.hidden, it.after),
    ):
        hits = measured.peak_gold[0][which]
        means = {measure: mean(getattr(measured, measure)[0][which]) for measure in MEASURES}
        found.append(
            {
                "name": name,
                "rows": int(which.sum()),
                "linked": int(np.isfinite(hits).sum()),
                "peaks": round(float(np.nansum(hits)), 3),
                **means,
            }
        )
    return found


def peaks_kept(it: PairedRows) -> tuple[int, int]:
    """Visible rows whose peak is the same as in the full run, and how many there are."""
    peaks = [(it.peak(it.before_rows, row), it.peak(it.after_rows, row)) for row in np.flatnonzero(~it.hidden).tolist()]
    known = [(then, now) for then, now in peaks if then >= 0 and now >= 0]
    return sum(then == now for then, now in known), len(known)


def uniform_distance(it: PairedRows) -> float:
    """How far a uniform map of this size lies from the diagonal, in lengths of the source."""
    rows, columns = it.before_rows.values.shape[1:]
    even = WordRows(np.full((1, rows, columns), 1 / max(columns, 1)), *(np.zeros((1, rows)) for _ in range(3)))
    return float(row_measures(even, None, np.zeros(columns, dtype=bool)).distance.mean())


def anomalies_of(it: PairedRows) -> list[str]:
    """Sentences about rows that do not do what most are expected to do."""
    found = []
    for row in it.masked:
        now = it.peak(it.after_rows, row)
        word = quoted(it.pair.target[row])
        if now < 0:
            found.append(f"{word} has no sub-word, so that there is no row of it.")
            continue
        weight = float(it.after_rows.values[0, row, now])
        if it.linked[row] and not it.aligned(row, now) and it.gold is not None:
            columns = np.flatnonzero(it.gold[row])
            wanted = series([quoted(it.pair.source[j]) for j in columns])
            mass = float(it.after.gold_mass[0, row])
            found.append(
                f"The [MASK] of {word} looks at {quoted(it.pair.source[now])} ({weight:.2f}), not at {wanted} "
                f"({mass:.2f})."
            )
        if float(it.after_rows.end[0, row]) > weight:
            found.append(
                f"The [MASK] of {word} puts more on the end of the sentence ({float(it.after_rows.end[0, row]):.2f}) "
                f"than on any word (at most {weight:.2f})."
            )
    for row in np.flatnonzero(~it.hidden).tolist():
        then, now = it.peak(it.before_rows, row), it.peak(it.after_rows, row)
        if then >= 0 and now >= 0 and then != now:
            found.append(
                f"The peak of the visible {quoted(it.pair.target[row])} moves from {quoted(it.pair.source[then])} to "
                f"{quoted(it.pair.source[now])}."
            )
    peaks = [it.peak(it.after_rows, row) for row in it.masked]
    for column in sorted({c for c in peaks if c >= 0 and peaks.count(c) > 2}):
        found.append(f"{peaks.count(column)} [MASK] rows peak on the same word, {quoted(it.pair.source[column])}.")
    return found
