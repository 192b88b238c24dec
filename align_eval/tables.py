"""Tables: text for a terminal, Markdown, LaTeX for a paper, and pandas frames."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from align_eval.errors import InputError
from align_eval.shown import latex, markdown, shown

if TYPE_CHECKING:
    import pandas


@dataclass
class TextTable:
    """Cells of text under a title; the first ``left`` columns are set left, the others right."""

    title: str
    columns: Sequence[str]
    rows: list[Sequence[str]] = field(default_factory=list)
    left: int = 1


def percent(value: float | None, decimals: int = 2) -> str:
    """A percentage as text; ``-`` where it is undefined."""
    return "-" if value is None else f"{value:.{decimals}f}"


def signed(value: float | None) -> str:
    """A difference in percent points as text; ``-`` where it is undefined."""
    return "-" if value is None else f"{value:+.2f}"


def p_value(value: float | None) -> str:
    """A p-value as text; ``-`` where there is none."""
    return "-" if value is None else f"{value:.3f}" if value >= 0.001 else "<0.001"


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


def render_markdown(table: TextTable) -> list[str]:
    """The columns and rows of a table as lines of Markdown; its title is left to the caller."""
    right = len(table.columns) - table.left
    lines = ["| " + " | ".join(table.columns) + " |", "|" + "---|" * table.left + "---:|" * right]
    cells = [[markdown(cell.strip()) for cell in row] for row in table.rows]
    return [*lines, *("| " + " | ".join(row) + " |" for row in cells)]


def frame(rows: Iterable[Mapping[str, Any]] | Mapping[str, Any]) -> pandas.DataFrame:
    """A frame of rows, or of columns; intervals (``ci``) become the columns ``NAME_low`` and ``NAME_high``.

    pandas is imported when a frame is asked for, and is no dependency of the package.
    """
    try:
        import pandas
    except ImportError:
        raise InputError("a frame needs the package pandas", remedy="Install it: pip install pandas") from None

    def flat(row: Mapping[str, Any]) -> dict[str, Any]:
        out = {key: value for key, value in row.items() if key != "ci"}
        for name, ends in row.get("ci", {}).items():
            out[f"{name}_low"], out[f"{name}_high"] = ends
        return out

    return pandas.DataFrame(rows if isinstance(rows, Mapping) else [flat(row) for row in rows])
