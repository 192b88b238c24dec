"""What a corpus with masked words leaves in a folder: numbers, page, curves."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from align_eval.files import StrPath, atomic_writer
from align_eval.report.infilling_corpus import LEGEND, infill_table, subject_line, summarise_corpus
from align_eval.runs.infill import Infilling
from align_eval.runs.results import environment, make_folder, write_json
from align_eval.shown import markdown
from align_eval.tables import render_markdown

FIGURE_FORMATS = ("png", "svg", "pdf")


def write_infilling(found: Infilling, folder: StrPath, *, stem: str = "infill") -> list[str]:
    """Write numbers, a page, the summary and, where a strategy has three ratios or more, curves into a folder.

    Returns:
        the names of the files: ``infill.json``, ``README.md``, ``summary.json``, ``summary.md``, and ``curves.png``,
        ``curves.svg`` and ``curves.pdf``.

    Raises:
        OutputError: a file cannot be written.
    """
    base = make_folder(folder)
    rows = found.to_json()
    write_json(base / f"{stem}.json", {"environment": environment(), **found.summary()})
    with atomic_writer(base / "README.md") as stream:
        stream.write("\n".join([f"# Masked words: {markdown(subject_line(rows[0]))}", "", *page_lines(rows)]) + "\n")
    written = [path.name for path in summarise_corpus(rows).write(base, "summary")]
    return [f"{stem}.json", "README.md", *written, *write_curves(rows, base, "curves")]


def page_lines(rows: Sequence[dict[str, Any]]) -> list[str]:
    """Table, legend, what holds and what does not, as lines of Markdown."""
    return [*render_markdown(infill_table(rows)), "", LEGEND, "", *(f"- {markdown(text)}" for text in findings(rows))]


def findings(rows: Sequence[dict[str, Any]]) -> list[str]:
    """What holds over the strategies, then what does not, a sentence each."""
    summary = summarise_corpus(rows)
    return [*summary.findings, *summary.anomalies]


def curve_rows(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The rows of strategies that are there with at least three ratios of masked words."""
    shares: dict[str, set[float]] = {}
    for row in rows:
        if row["rows_masked"]:
            shares.setdefault(row["strategy"].partition(":")[0], set()).add(row["mask_share"])
    return [row for row in rows if row["rows_masked"] and len(shares[row["strategy"].partition(":")[0]]) > 2]


def write_curves(rows: Sequence[dict[str, Any]], folder: StrPath, stem: str) -> list[str]:
    """Draw curves over the ratio of masked words, if a strategy is there with three; returns the names of the files."""
    several = curve_rows(rows)
    if not several:
        return []
    from align_eval.figures.curves import redistribution_curves
    from align_eval.figures.style import save

    base = make_folder(folder)
    first = several[0]
    where = ", ".join(part for part in (first["testset"], first["direction"]) if part)
    figure = redistribution_curves(
        several,
        model=first["model"],
        head=f"layer {first['layer']}, head {first['head']}",
        rule=first["view_rule"],
        title=f"{where}: {first['evaluated_sentences']} sentence pairs",
        gold_name="silver" if first.get("links") == "silver" else "gold",
    )
    names = [f"{stem}.{ending}" for ending in FIGURE_FORMATS]
    for name in names:
        save(figure, base / name)
    return names
