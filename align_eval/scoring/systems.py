"""Score files: read gold and systems in parallel in blocks, count, test and sign."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from align_eval.corpora.link_reader import measure
from align_eval.corpora.sidecar import read_provenance
from align_eval.errors import AlignEvalWarning, InputError
from align_eval.links import BoolArray, IntArray
from align_eval.links.table import LinkTable, kept
from align_eval.scoring.breakdown import Breakdown, breakdown
from align_eval.scoring.checks import Alternatives, check_policies, reading_notes, score_notes, unannotated_notes
from align_eval.scoring.measures import check_alpha, counts
from align_eval.scoring.paired import PairedTest, paired_tests
from align_eval.scoring.score import Score, check_gold, score_counts
from align_eval.scoring.sources import GoldSource, ReadOptions, find_gold, side_by_side
from align_eval.statistics import check_resampling

if TYPE_CHECKING:
    from align_eval.corpora.link_reader import LinkReader
    from align_eval.corpora.pair import SentencePair

__all__ = ["ReadOptions", "SystemScore", "score_files"]

# Sentence pairs read at a time.
_BLOCK = 1 << 13


@dataclass(frozen=True)
class SystemScore:
    """One system's score, its counts a sentence pair, and what else was asked for.

    Attributes:
        name: the system's file.
        score: corpus scores.
        counts: |A|, |S|, |A∩S|, |A∩P| of every sentence pair, ``(sentence pairs, 4)``.
        against: name of the first system, for those after it.
        paired: the paired tests against the first system, by name of the test.
        breakdown: parts, if asked for.
        sentences: the name of each sentence pair that was scored, or its number from 1, where a file names them or
            some were left out; ``None``: numbers from 1.
    """

    name: str
    score: Score
    counts: IntArray
    against: str | None = None
    paired: dict[str, PairedTest] = field(default_factory=dict)
    breakdown: Breakdown | None = None
    sentences: list[str] | None = None

    @property
    def headline(self) -> PairedTest | None:
        """The test that the one p-value shown is of: randomisation if it was made, else bootstrap."""
        return self.paired.get("randomisation") or self.paired.get("bootstrap")

    def to_json(self) -> dict[str, Any]:
        """Plain data for ``json.dumps``; ``p_value`` and ``difference`` (this minus the first) are of the AER."""
        out: dict[str, Any] = {"system": self.name, **self.score.to_json()}
        if self.headline is not None:
            details = {name: test.to_json() for name, test in self.paired.items()}
            out["p_value"] = self.headline.p_value["aer"]
            out["difference"] = details[self.headline.test]["difference"]["aer"]
            out["test"] = self.headline.test
            out["against"] = self.against
            out["paired"] = details
        if self.breakdown is not None:
            out["breakdown"] = self.breakdown.to_json()
        return out


def score_files(
    gold: str,
    hypotheses: Sequence[str],
    *,
    pairs: Iterable[SentencePair] | None = None,
    gold_options: ReadOptions = ReadOptions(),
    hypothesis_options: ReadOptions = ReadOptions(),
    missing_sentences: str = "raise",
    unannotated: str = "count",
    first: int | None = None,
    resamples: int = 1000,
    seed: int = 12345,
    alpha: float = 0.5,
    confidence: float = 0.95,
    tests: Sequence[str] = ("randomisation",),
    with_breakdown: bool = False,
) -> list[SystemScore]:
    """Score files of links against gold, reading all of them in parallel in bounded memory.

    Files that name their sentence pairs are matched by name (:mod:`align_eval.corpora.matching`), others line by line.
    What a person should know (null links left out, sentence pairs without gold, measures that are undefined, another
    base or order that would give a much lower AER) is told by an :class:`~align_eval.errors.AlignEvalWarning`.

    Args:
        gold: a file of links or the name of a test set. What has a folder in its name or exists as a file is a file.
        hypotheses: files of links, one a system; ``-`` is standard input (once). What ``align-eval align`` wrote beside
            a file goes into its signature, see :mod:`align_eval.corpora.sidecar`.
        pairs: the sentence pairs. They prove index bases and check ranges; a test set brings its own.
        gold_options, hypothesis_options: how the files are read. A test set knows its base and format.
        missing_sentences: a sentence pair that one file names and another does not: ``raise``, or ``empty``: it is one
            without links there.
        unannotated: sentence pairs without any gold link: ``count`` them (links there are wrong) or ``skip`` them.
        first: score the first sentence pairs of the gold alone, as many.
        resamples, seed, alpha, confidence: see :func:`align_eval.scoring.score.score`.
        tests: paired tests of every later system against the first, see :mod:`align_eval.scoring.paired`. None are
            made without resamples.
        with_breakdown: also make a breakdown; then gold, systems and sentences are held in memory.

    Raises:
        UnknownNameError: ``gold`` is neither a file nor a test set.
        EmptyGoldError: the gold has no sentence pair or no link.
        LengthMismatchError: a file has other sentence pairs than the gold.
        InputError: a parameter outside of its range, or standard input named twice.
        AlignEvalError: what reading the files raises.
    """
    check_alpha(alpha)
    check_resampling(resamples, seed, confidence)
    count_nulls = _check([gold, *hypotheses], gold_options, hypothesis_options, unannotated, first, with_breakdown)
    source = find_gold(gold, gold_options, pairs)
    readers = [hypothesis_options.reader(path) for path in hypotheses]
    _measure(source, readers, first)
    names = _names(hypotheses)
    found = _Counts(
        [
            _System(name, reader, Alternatives(source.reader, reader))
            for name, reader in zip(names, readers, strict=True)
        ],
        unannotated,
        count_nulls,
        with_breakdown,
        list(source.pairs)[:first] if with_breakdown and source.pairs is not None else None,
    )
    size = 2**31 - 1 if with_breakdown else _BLOCK
    notes: list[str] = []
    for gold_table, *tables in side_by_side(source, readers, size, missing_sentences, first, notes):
        found.add(gold_table, tables)
    check_gold(found.sentences, found.possible, source.file)
    notes += [] if source.reader is None else reading_notes(source.reader.report, gold_options.nulls)
    notes += unannotated_notes(found.bare, found.sentences, {s.name: s.bare_links for s in found.systems}, unannotated)
    first_rows, out = found.systems[0].counts(), []
    for k, system in enumerate(found.systems):
        these, report = system.counts(), system.reader.report
        notes += [*reading_notes(report, hypothesis_options.nulls), *system.warnings()]
        tested = {}
        if k and resamples:
            tested = paired_tests(
                first_rows, these, tests=tests, resamples=resamples, seed=seed, alpha=alpha, confidence=confidence
            )
        signature = source.signature().extend(
            hyp_base=report.base,
            hyp_order=report.order if report.order != "st" else None,
            nulls=hypothesis_options.nulls,
            range=hypothesis_options.out_of_range if hypothesis_options.out_of_range != "raise" else None,
            missing=missing_sentences if missing_sentences != "raise" else None,
            unannotated=unannotated if unannotated != "count" else None,
            first=first,
            ar=resamples if "randomisation" in tested else None,
            **{"sym": "unknown", **read_provenance(hypotheses[k])},
        )
        result = score_counts(
            these, found.possible, resamples=resamples, seed=seed, alpha=alpha, confidence=confidence,
            signature=signature,
        )  # fmt: skip
        notes += score_notes(system.name, result)
        against = names[0] if k else None
        out.append(SystemScore(system.name, result, these, against, tested, system.breakdown, found.labels))
    for note in notes:
        warnings.warn(AlignEvalWarning(note), stacklevel=2)
    return out


@dataclass
class _System:
    """One system while it is counted."""

    name: str
    reader: LinkReader
    alternatives: Alternatives
    rows: list[IntArray] = field(default_factory=list)
    bare_links: int = 0
    breakdown: Breakdown | None = None

    def counts(self) -> IntArray:
        """The counts of all sentence pairs, ``(sentence pairs, 4)``."""
        if len(self.rows) > 1:
            self.rows = [np.concatenate(self.rows)]
        return self.rows[0]

    def warnings(self) -> list[str]:
        """What speaks against the stated base or order."""
        doubt = self.alternatives.warning(self.counts().sum(axis=0, dtype=np.int64))
        return [] if doubt is None else [f"{self.name}: {doubt}"]


@dataclass
class _Counts:
    """What is counted, block by block; ``bare`` sentence pairs have no gold link."""

    systems: list[_System]
    unannotated: str
    count_nulls: bool
    with_breakdown: bool
    pairs: list[SentencePair] | None
    sentences: int = 0
    possible: int = 0
    bare: int = 0
    labels: list[str] | None = None

    def add(self, gold: LinkTable, tables: Sequence[LinkTable]) -> None:
        """Count a block of sentence pairs."""
        read = [gold, *tables]
        both = [table.with_nulls() for table in read] if self.count_nulls else read
        empty = np.diff(both[0].offsets) == 0
        for system, table in zip(self.systems, both[1:], strict=True):
            system.bare_links += int(np.diff(table.offsets)[empty].sum())
        skip = self.unannotated == "skip" and bool(empty.any())
        self._label(gold, empty, skip)
        self.sentences += gold.sentences
        self.bare += int(empty.sum())
        if skip:
            read, both = ([kept(table, ~empty) for table in them] for them in (read, both))
            if self.pairs is not None:
                self.pairs = [pair for pair, left in zip(self.pairs, empty, strict=True) if not left]
        self.possible += both[0].links
        for k, system in enumerate(self.systems, 1):
            rows = counts(both[0], both[k])
            system.rows.append(rows)
            system.alternatives.add(read[0], read[k], rows.sum(axis=0, dtype=np.int64))
            if self.with_breakdown:
                system.breakdown = breakdown(read[0], read[k], self.pairs)

    def _label(self, gold: LinkTable, empty: BoolArray, skip: bool) -> None:
        """Keep the names of the sentence pairs that are scored, where they are not numbers from 1."""
        if self.labels is None:
            if gold.ids is None and not skip:
                return
            self.labels = [str(k + 1) for k in range(self.sentences)]
        names = gold.ids or [str(self.sentences + k + 1) for k in range(gold.sentences)]
        self.labels += [name for name, left in zip(names, empty, strict=True) if not (skip and left)]


def _check(
    files: Sequence[str],
    gold_options: ReadOptions,
    options: ReadOptions,
    unannotated: str,
    first: int | None,
    with_breakdown: bool,
) -> bool:
    """Check the parameters; whether null links are counted."""
    if files.count("-") > 1:
        raise InputError("standard input can be read once only", remedy="Name files for the others")
    check_policies(unannotated, first)
    if ("count" in (gold_options.nulls, options.nulls)) and gold_options.nulls != options.nulls:
        raise InputError("null links are counted on one side alone", remedy="Count them on both sides, or on none")
    if options.nulls == "count" and with_breakdown:
        raise InputError("a breakdown has no place for null links", remedy="Leave --breakdown or --nulls count out")
    return options.nulls == "count"


def _measure(source: GoldSource, readers: Sequence[LinkReader], first: int | None) -> None:
    """Measure the sentences once, for all files."""
    if source.pairs is None:
        return
    lengths, ids = measure(source.pairs, True)
    for reader in readers if source.reader is None else [source.reader, *readers]:
        reader.lengths, reader.ids, reader.first = lengths, ids if reader.format.names_sentences else None, first
        if reader.format.needs_sentences_to_read and source.pairs is not None:
            reader.pairs = list(source.pairs)


def _names(paths: Sequence[str]) -> list[str]:
    """File names; with their folders where two files have the same name."""
    short = ["stdin" if path == "-" else Path(path).name for path in paths]
    return [path if short.count(name) > 1 else name for path, name in zip(paths, short, strict=True)]
