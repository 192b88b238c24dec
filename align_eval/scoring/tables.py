"""Scores as tables for people: text for a terminal, LaTeX for a paper."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from align_eval.scoring.breakdown import Breakdown, Part
from align_eval.shown import latex, shown

if TYPE_CHECKING:
    from align_eval.scoring.systems import SystemScore


#: Sentence pairs below which a table says that its intervals and tests are rough (``results/coverage``).
FEW = 50


@dataclass
class TextTable:
    """Cells of text under a title; the first ``left`` columns are set left, the others right."""

    title: str
    columns: Sequence[str]
    rows: list[Sequence[str]] = field(default_factory=list)
    left: int = 1


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


def signed(value: float | None) -> str:
    """A difference in percent points as text; ``-`` where it is undefined."""
    return "-" if value is None else f"{value:+.2f}"


def p_value(value: float | None) -> str:
    """A p-value as text; ``-`` where there is none."""
    return "-" if value is None else f"{value:.3f}" if value >= 0.001 else "<0.001"


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


def percent(value: float | None, decimals: int = 2) -> str:
    """A percentage as text; ``-`` where it is undefined."""
    return "-" if value is None else f"{value:.{decimals}f}"


def _share(part: int, whole: int) -> str:
    return f"{part} ({100 * part / whole:.1f} %)" if whole else str(part)


def render_text(tables: Iterable[TextTable]) -> str:
    """The tables as plain text, as wide as they need to be; ends with a line feed.

    Columns are padded by the width of the characters on a terminal: Chinese ones take two cells, combining marks none.
    """
    lines: list[str] = []
    for table in tables:
        cells = [[shown(cell) for cell in row] for row in (table.columns, *table.rows)]
        widths = [max(map(_width, column)) for column in zip(*cells, strict=True)]
        lines += [shown(table.title), _text_row(cells[0], widths, table.left)]
        lines.append("-" * (sum(widths) + 3 * (len(widths) - 1)))
        lines += [_text_row(row, widths, table.left) for row in cells[1:]]
        lines.append("")
    return "\n".join(lines[:-1]) + "\n"


def _text_row(cells: Sequence[str], widths: Sequence[int], left: int) -> str:
    padded = []
    for k, (cell, width) in enumerate(zip(cells, widths, strict=True)):
        space = " " * (width - _width(cell))
        padded.append(cell + space if k < left else space + cell)
    return "   ".join(padded).rstrip()


def _width(text: str) -> int:
    """Cells that ``text`` takes on a terminal."""
    if text.isascii():
        return len(text)
    return sum(
        0
        if unicodedata.combining(c) or unicodedata.category(c) in ("Mn", "Me", "Cf")
        else 2
        if unicodedata.east_asian_width(c) in "WF"
        else 1
        for c in text
    )


def render_latex(tables: Iterable[TextTable], comments: Iterable[str] = ()) -> str:
    """The tables as LaTeX ``tabular`` environments (package booktabs), with comment lines in front."""
    lines = [f"% {shown(comment)}" for comment in comments]
    for table in tables:
        align = "l" * table.left + "r" * (len(table.columns) - table.left)
        lines += [f"% {shown(table.title)}", rf"\begin{{tabular}}{{{align}}}", r"\toprule"]
        lines += [_latex_row(table.columns), r"\midrule"]
        lines += [_latex_row(row) for row in table.rows]
        lines += [r"\bottomrule", r"\end{tabular}"]
    return "\n".join(lines) + "\n"


def _latex_row(cells: Iterable[str]) -> str:
    ranges = (re.sub(r"^([0-9.]+) - ([0-9.]+)$", r"\1--\2", cell) for cell in cells)
    return " & ".join(map(latex, ranges)) + r" \\"
