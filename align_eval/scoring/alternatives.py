"""Would another index base or side order give a much lower AER? Then the stated one is probably wrong, and it is told.

A wrong base gives believable wrong numbers (63.2 AER where 28.7 is right), so four more readings of the same links are
counted: the system under the other base, the other order, and both; and the gold under its other base.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from align_eval.corpora.link_reader import LinkReader
from align_eval.link_parts import part_of
from align_eval.link_table import LinkTable
from align_eval.scoring.counts import counts
from align_eval.scoring.measures import measures

#: Points of AER by which another reading must be lower to be told.
POINTS = 15.0
# A reading that is not lower by so many points in the first sentence pairs is not counted in later ones.
_HOPE = 5.0
# Sentence pairs of the first block that decide whether the other readings are counted at all.
_SAMPLE = 1000
# Readings whose AERs differ by less are told together: the base of the gold may be wrong in place of the system's.
_SAME = 0.5
_ORDERS = {"st": "source-target", "ts": "target-source"}

# Where a base or order is not proven by the links themselves.
_STATED = ("given", "format", "no links")

Sums = NDArray[np.int64]


class Alternatives:
    """Counts of one system under the other bases and orders, block by block.

    Args:
        gold: the reader of the gold; ``None`` for a test set, whose base is known.
        reader: the reader of the system.
    """

    def __init__(self, gold: LinkReader | None, reader: LinkReader) -> None:
        self._gold, self._reader = gold, reader
        self._sums: dict[str, Sums] | None = None

    def add(self, gold: LinkTable, table: LinkTable, found: Sums) -> None:
        """Count one block.

        Args:
            gold, table: the block as read.
            found: its sums of the four counts as read, ``(4,)``.
        """
        first = self._sums is None
        if first and table.sentences > _SAMPLE:
            part = part_of(gold, 0, _SAMPLE), part_of(table, 0, _SAMPLE)
            self.add(*part, counts(*part).sum(axis=0, dtype=np.int64))
            if not self._sums:
                return
            self._sums = None
        sums = self._sums or {}
        if not first and not sums:
            return
        for remedy, one, other in self._readings(gold, table):
            if first or remedy in sums:
                sums[remedy] = sums.get(remedy, 0) + counts(one, other).sum(axis=0, dtype=np.int64)
        if first:
            aer = float(measures(found)["aer"])
            sums = {remedy: these for remedy, these in sums.items() if aer - float(measures(these)["aer"]) > _HOPE}
        self._sums = sums

    def warning(self, found: Sums) -> str | None:
        """One line about the reading with the lowest AER, if it is lower by more than :data:`POINTS`.

        Args:
            found: the sums of the four counts of all sentence pairs as read, ``(4,)``.
        """
        aer = float(measures(found)["aer"])
        others = {said: float(measures(sums)["aer"]) for said, sums in (self._sums or {}).items()}
        lowest = min(others.values(), default=aer)
        if aer - lowest <= POINTS:
            return None
        told = [said.replace("#", f"{other:.2f}") for said, other in others.items() if other - lowest < _SAME]
        return f"AER is {aer:.2f}; {', or '.join(told)}"

    def _readings(self, gold: LinkTable, table: LinkTable) -> Iterator[tuple[str, LinkTable, LinkTable]]:
        """What would be said (with ``#`` for the AER), the gold and the system, for each other reading."""
        report = self._reader.report
        base_open = report.base_from in _STATED and self._reader.format.base_may_differ
        order_open = report.order_from in _STATED
        for base, order, other in self._reader.alternatives(table):
            if (base != report.base and not base_open) or (order != report.order and not order_open):
                continue
            said, options, python = [], [], []
            if base != report.base:
                said, options, python = [f"base {base}"], [f"--hyp-base {base}"], [f"base={base}"]
            if order != report.order:
                said += [f"order {_ORDERS[order]}"]
                options, python = [*options, f"--hyp-order {order}"], [*python, f"order={order!r}"]
            told = f"with {' and '.join(said)} it would be #: pass {' '.join(options)} ({', '.join(python)} in Python)"
            yield told, gold, other
        if self._gold is not None and self._gold.report.base_from in _STATED and self._gold.format.base_may_differ:
            base, _, other = next(self._gold.alternatives(gold))
            told = f"with base {base} of the gold it would be #: pass --gold-base {base} (base={base} in Python)"
            yield told, other, table


def table_warning(gold: LinkTable, table: LinkTable) -> str | None:
    """One line about another base or order of tables in memory, as :meth:`Alternatives.warning`.

    Indices of tables count from 0, so the other base is that of indices that count from 1. A link 0-0 speaks against
    that: it would join nothing with nothing.
    """
    found = counts(gold, table).sum(axis=0, dtype=np.int64)
    aer = float(measures(found)["aer"])
    if aer <= POINTS:
        return None
    readings = [("with source and target of the hypothesis swapped", gold, table.reread(0, True))]
    if not _links_first_words(table):
        readings += [
            ("if the indices of the hypothesis count from 1", gold, table.reread(-1)),
            ("if the hypothesis is target-source and counts from 1", gold, table.reread(-1, True)),
        ]
    if not _links_first_words(gold):
        readings.append(("if the indices of the gold count from 1", gold.reread(-1), table))
    lowest, said = min(
        (float(measures(counts(one, other).sum(axis=0, dtype=np.int64))["aer"]), said) for said, one, other in readings
    )
    if aer - lowest <= POINTS:
        return None
    return f"AER is {aer:.2f}; {said} it would be {lowest:.2f}: links are (source, target), indices from 0"


def _links_first_words(table: LinkTable) -> bool:
    return bool(((table.source == 0) & (table.target == 0)).any())
