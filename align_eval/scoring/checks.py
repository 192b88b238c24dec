"""What a person should know beside the numbers of a score, and which sentence pairs are scored.

What was left out, counts as wrong or is undefined is told. So is another index base or side order that gives a much
lower AER: a wrong base gives believable wrong numbers (63.2 AER where 28.7 is right), so four more readings of the same
links are counted: the system under the other base, the other order, and both; and the gold under its other base.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from align_eval.corpora.link_reader import LinkReader
from align_eval.corpora.matching import Matching, check_first, match_tables
from align_eval.corpora.raw_links import LinkReport
from align_eval.errors import InputError
from align_eval.links.symmetrization import ORDER_NAMES
from align_eval.links.table import LinkTable, kept, part_of
from align_eval.scoring.measures import counts, measures
from align_eval.scoring.score import Score

#: Policies for sentence pairs without a gold link.
UNANNOTATED = ("count", "skip")
_TITLES = {"aer": "AER", "precision": "precision", "recall": "recall", "f1": "F1"}
#: Points of AER by which another reading must be lower to be told.
POINTS = 15.0
# A reading that is not lower by so many points in the first sentence pairs is not counted in later ones.
_HOPE = 5.0
# Sentence pairs of the first block that decide whether the other readings are counted at all.
_SAMPLE = 1000
# Readings whose AERs differ by less are told together: the base of the gold may be wrong in place of the system's.
_SAME = 0.5

# Where a base or order is not proven by the links themselves.
_STATED = ("given", "format", "no links")

Sums = NDArray[np.int64]


class Alternatives:
    """Counts of one system under the other bases and orders, block by block; of a test set there is no reader."""

    def __init__(self, gold: LinkReader | None, reader: LinkReader) -> None:
        self._gold, self._reader = gold, reader
        self._sums: dict[str, Sums] | None = None

    def add(self, gold: LinkTable, table: LinkTable, found: Sums) -> None:
        """Count one block; ``found`` are its sums of the four counts as read, ``(4,)``."""
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
        """A line about the reading with the lowest AER, if much lower than that of all sums as read, ``(4,)``."""
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
                said += [f"order {ORDER_NAMES[order]}"]
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
    first_words = [bool(((one.source == 0) & (one.target == 0)).any()) for one in (gold, table)]
    if not first_words[1]:
        readings += [
            ("if the indices of the hypothesis count from 1", gold, table.reread(-1)),
            ("if the hypothesis is target-source and counts from 1", gold, table.reread(-1, True)),
        ]
    if not first_words[0]:
        readings.append(("if the indices of the gold count from 1", gold.reread(-1), table))
    lowest, said = min(
        (float(measures(counts(one, other).sum(axis=0, dtype=np.int64))["aer"]), said) for said, one, other in readings
    )
    if aer - lowest <= POINTS:
        return None
    return f"AER is {aer:.2f}; {said} it would be {lowest:.2f}: links are (source, target), indices from 0"


def reading_notes(report: LinkReport, nulls: str = "drop") -> Iterator[str]:
    """What was left out of a file, or put in, when it was read."""
    if report.nulls:
        done = "counted as links" if nulls == "count" else "left out"
        yield f"{report.file}: {report.nulls} null links {done}"
    if report.out_of_range:
        yield f"{report.out_of_range} links out of range left out: {report.first_out_of_range}"
    for note in report.notes:
        yield f"{report.file}: {note}"


def unannotated_notes(pairs: int, sentences: int, links: Mapping[str, int], policy: str) -> Iterator[str]:
    """What ``pairs`` of all ``sentences`` without any gold link do; ``links``: number of links there, by system."""
    if not pairs:
        return
    start = f"{pairs} of {sentences} sentence pairs {'has' if pairs == 1 else 'have'} no gold link"
    wrong = [f"{number} of {name}" for name, number in links.items() if number]
    if policy == "skip":
        yield f"{start} and {'is' if pairs == 1 else 'are'} left out"
    elif wrong:
        yield (
            f"{start}; links there count as wrong: {', '.join(wrong)}. To leave these pairs out pass "
            "--unannotated skip (unannotated='skip' in Python)"
        )
    else:
        yield start


def score_notes(name: str, score: Score) -> Iterator[str]:
    """Measures of a system that are undefined, and resamples that are left out."""
    if not score.sure and not score.links:
        yield f"{name}: the gold has no sure link and no link is proposed: AER is 0 by convention, the rest undefined"
    elif not score.links:
        yield f"{name}: no link is proposed: precision and F1 are undefined"
    elif not score.sure:
        yield f"{name}: the gold has no sure link: recall and F1 are undefined"
    out = {title: score.left_out[key] for key, title in _TITLES.items() if key in score.left_out}
    if out:
        told = ", ".join(f"{title} {number}" for title, number in out.items())
        yield f"{name}: resamples in which a measure is undefined, left out of its interval: {told}"


@dataclass(frozen=True)
class Prepared:
    """What :func:`prepare` gives: both tables, what a person should know, and what goes into the signature."""

    gold: LinkTable
    links: LinkTable
    notes: list[str]
    signature: dict[str, str | int] = field(default_factory=dict)


def prepare(
    gold: LinkTable, links: LinkTable, missing: str = "raise", unannotated: str = "count", first: int | None = None
) -> Prepared:
    """Match the sentence pairs of two tables, and leave out those that are not to be scored; see ``score_files``."""
    check_policies(unannotated, first)
    if first is not None:
        gold = part_of(gold, 0, min(first, gold.sentences))
        links = links if links.ids is not None else part_of(links, 0, min(first, links.sentences))
        check_first(gold.sentences, first, "the gold")
    notes: list[str] = []
    how = Matching(("the gold", "the hypothesis"), missing, first_only=first is not None, may_cut=True, notes=notes)
    gold, links = match_tables([gold, links], how)
    bare = np.diff(gold.offsets) == 0
    wrong = int(np.diff(links.offsets)[bare].sum())
    if gold.links and (wrong or unannotated == "skip"):
        notes += unannotated_notes(int(bare.sum()), gold.sentences, {"the hypothesis": wrong}, unannotated)
    if unannotated == "skip":
        gold, links = kept(gold, ~bare), kept(links, ~bare)
    doubt = table_warning(gold, links)
    notes += [] if doubt is None else [doubt]
    said = {"missing": missing if missing != "raise" else None, "first": first}
    said["unannotated"] = unannotated if unannotated != "count" else None
    return Prepared(gold, links, notes, {key: value for key, value in said.items() if value is not None})


def check_policies(unannotated: str, first: int | None) -> None:
    """Raise :class:`InputError` for an unknown policy or a number of pairs that is not positive."""
    if unannotated not in UNANNOTATED:
        raise InputError(
            f"unknown policy for sentence pairs without gold {unannotated!r}", remedy=f"Known: {', '.join(UNANNOTATED)}"
        )
    if first is not None and first < 1:
        raise InputError(f"the first {first} sentence pairs cannot be scored", remedy="Give 1 or more")
