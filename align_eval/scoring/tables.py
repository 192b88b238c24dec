"""Scores as tables: systems, parts of the links, and a file of every sentence pair."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from align_eval.files import StrPath, atomic_writer
from align_eval.scoring.breakdown import Breakdown, Part
from align_eval.scoring.measures import COLUMNS, known, measures
from align_eval.shown import cell
from align_eval.tables import TextTable, p_value, percent, signed

if TYPE_CHECKING:
    from align_eval.scoring.systems import SystemScore

#: Sentence pairs below which a table says that its intervals and tests are rough (``results/coverage``).
FEW = 50


def score_table(systems: Sequence[SystemScore]) -> TextTable:
    """One row a system: measures in percent with the interval of AER, counts, and the test against the first."""
    scores = [system.score for system in systems]
    columns = ["system", "AER"]
    with_ci = any(score.ci for score in scores)
    if with_ci:
        columns.append(f"{100 * scores[0].confidence:g}% interval")
    columns += ["precision", "recall", "F1"]
    with_f = any(score.alpha != 0.5 for score in scores)
    if with_f:
        columns.append(f"F({scores[0].alpha:g})")
    columns += ["links"]
    with_test = any(system.paired for system in systems)
    if with_test:
        columns += ["ΔAER"]
        tests = next(list(system.paired) for system in systems if system.paired)
        columns += [f"p ({test})" if len(tests) > 1 else "p" for test in tests]
    few = (with_ci or with_test) and scores[0].sentences < FEW
    rough = f" (fewer than {FEW}: take intervals and p-values for rough ones)" if few else ""
    table = TextTable(f"{scores[0].signature['set']}: {scores[0].sentences} sentence pairs{rough}", columns)
    for system in systems:
        score = system.score
        row = [system.name, f"{score.aer:.2f}"]
        if with_ci:
            row.append("{:.2f} - {:.2f}".format(*score.ci["aer"]) if "aer" in score.ci else "-")
        row += [percent(value) for value in (score.precision, score.recall, score.f1)]
        if with_f:
            row.append(percent(score.f_alpha))
        row.append(str(score.links))
        if with_test and not system.paired:
            row += [""] * (1 + len(tests))
        elif with_test:
            row.append(signed(next(iter(system.paired.values())).difference["aer"]))
            row += [p_value(system.paired[test].p_value["aer"]) for test in tests]
        table.rows.append(row)
    return table


def breakdown_tables(name: str, parts: Breakdown) -> list[TextTable]:
    """The tables of one system's breakdown."""
    tables = []
    for title, rows in (
        ("by source words", parts.by_length),
        ("by distance from the diagonal", parts.by_distance),
        ("by kind of link", parts.by_kind),
    ):
        if rows:
            tables.append(_part_table(f"{name}: {title}", rows))
    if parts.null_words:
        table = TextTable(
            f"{name}: null words",
            ["side", "words", "without gold link", "of these linked", "with sure link", "of these left unlinked"],
        )
        for side, n in parts.null_words.items():
            numbers = (n.words, n.null, _share(n.null_linked, n.null), n.linked, _share(n.linked_null, n.linked))
            table.rows.append([side, *map(str, numbers)])
        tables.append(table)
    for title, pairs in (("wrong", parts.wrong_pairs), ("missed", parts.missed_pairs)):
        if pairs:
            table = TextTable(f"{name}: most frequent {title} pairs", ["source", "target", "count"], left=2)
            table.rows = [[pair.source, pair.target, str(pair.count)] for pair in pairs]
            tables.append(table)
    return tables


def _part_table(title: str, parts: Sequence[Part]) -> TextTable:
    with_sentences = any(part.sentences is not None for part in parts)
    with_aer = any(part.aer is not None for part in parts)
    columns = ["part", *(["pairs"] if with_sentences else []), *(["AER"] if with_aer else [])]
    table = TextTable(title, [*columns, "precision", "recall", "links", "sure"])
    for part in parts:
        row = [part.name]
        row += [str(part.sentences)] if with_sentences else []
        row += [percent(part.aer)] if with_aer else []
        table.rows.append([*row, percent(part.precision), percent(part.recall), str(part.links), str(part.sure)])
    return table


def _share(part: int, whole: int) -> str:
    return f"{part} ({100 * part / whole:.1f} %)" if whole else str(part)


def write_sentences(path: StrPath, systems: Iterable[SystemScore]) -> None:
    """Write tab-separated lines: system, sentence pair, |A|, |S|, |A∩S|, |A∩P|, AER in percent.

    A sentence pair goes by its name where a file names it, else by its number from 1. The first line names the columns.
    Scores of a corpus come from the sums of the counts; the mean of the AERs is another number. AER is ``-`` where
    there is neither a proposed nor a sure link: it says nothing of such a pair.
    """
    with atomic_writer(path) as stream:
        stream.write("\t".join(("system", "sentence", *COLUMNS, "aer")) + "\n")
        for system in systems:
            name = cell(system.name)
            aer = measures(system.counts, nothing=np.nan)["aer"].tolist()
            labels = system.sentences or range(1, 1 + len(aer))
            for label, row, value in zip(labels, system.counts.tolist(), aer, strict=True):
                sentence = " ".join(str(label).split())
                stream.write("\t".join(map(str, (name, sentence, *row, percent(known(value), 4)))) + "\n")
