"""Hidden words of a corpus as a table, one row a plan; the sentences are in ``report/infilling_corpus``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from align_eval.tables import TextTable

NULL_NAMES = ("uniform", "position", "permuted")
LEVEL = 0.01
"""p-values below this are told as a difference."""

Row = Mapping[str, Any]


def infill_table(rows: Sequence[Row], *, title: str = "") -> TextTable:
    """One row a plan: gold peaks of visible and hidden rows against the null models, and what else moved.

    Args:
        rows: of :meth:`align_eval.runs.infill.Infilling.to_json`; shares are shown in per cent, entropies and
            divergences in bits. A star: the hidden rows have more gold peaks than that null model, p < 0.01.
        title: above the table; made from the first row unless given.
    """
    columns = [
        "plan", "hidden %", "rows", "gold peak: visible", "hidden", "before", *NULL_NAMES, "gold weight", "before",
        "entropy", "before", "JSD", "recovered", "rho",
    ]  # fmt: skip
    table = TextTable(title or (subject_line(rows[0]) if rows else ""), columns)
    for row in rows:
        correlation = row["correlation"] or {}
        table.rows.append(
            [
                row["plan"],
                _percent(row["mask_share"]),
                str(row["rows_masked"]),
                _percent(row["peak_gold_visible"]),
                _percent(row["peak_gold_masked"]),
                _percent(row["peak_gold_full"]),
                *(_null(row["null"].get(name)) for name in NULL_NAMES),
                _percent(row["gold_mass_masked"]),
                _percent(row["gold_mass_full"]),
                _number(row["entropy_masked"]),
                _number(row["entropy_full"]),
                _number(row["divergence"]),
                _percent(row["recovered"]),
                _number(correlation.get("spearman")),
            ]
        )
    return table


LEGEND = (
    "hidden: rows of hidden words; before: the same rows with nothing hidden; uniform, position, permuted: gold peaks\n"
    "of null models (* the hidden rows have more, p < 0.01 over sentences). Gold peak, gold weight, recovered:\n"
    "per cent; entropy and JSD: bits; rho: Spearman's correlation of gold weight and log-probability of hidden words."
)


def subject_line(row: Row) -> str:
    """``mini-ende, en-de, silver links: 32 sentence pairs, MODEL, layer 2, head 1 (given by name)``."""
    kind = {"silver": ", silver links", "none": ", no gold links"}.get(row["links"], "")
    where = ", ".join(part for part in (row["testset"], row["direction"]) if part) + kind
    return (
        f"{where}: {row['evaluated_sentences']} sentence pairs, {row['model']}, layer {row['layer']}, "
        f"head {row['head']} ({row['view_rule']})"
    )


def _null(null: Row | None) -> str:
    if null is None or null["peak_gold_masked"] is None:
        return "-"
    better = (null["difference"] or 0) > 0 and null["p_value"] is not None and null["p_value"] < LEVEL
    return _percent(null["peak_gold_masked"]) + ("*" if better else " ")


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.1f}"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"
