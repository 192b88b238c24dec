"""Hidden words of a corpus for people: a table a direction, and the sentences that a reader would want, computed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from align_eval.scoring.tables import TextTable

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


def infill_findings(rows: Sequence[Row]) -> list[str]:
    """What holds and what does not, a few sentences a plan, with numbers and intervals."""
    return [sentence for row in rows for sentence in _findings(row)]


def _findings(row: Row) -> list[str]:
    plan = f"{row['plan']} ({_percent(row['mask_share'])} % of the words hidden)"
    if not row["rows_masked"]:
        return [f"{plan}: applies to none of the {row['sentences_without']} sentence pairs."]
    out = []
    if row["null"]:
        out.append(
            f"{plan}: {_with_ci(row, 'peak_gold_masked')} of {row['gold_rows_masked']} hidden rows with a "
            f"{_links(row)} link peak on it, {_percent(row['peak_gold_full'])} % of the same rows with nothing hidden, "
            f"and {_with_ci(row, 'peak_gold_visible')} of visible rows. {_against(row)}"
        )
        weight = row["change"]["masked"]["gold_mass"]
        out.append(
            f"Weight on {_links(row)}-aligned words {_moves(weight, 'hiding', per_cent=True)}; entropy "
            f"{_moves(row['change']['masked']['entropy'], 'hiding')} bits."
        )
    else:
        out.append(f"{plan}: entropy {_moves(row['change']['masked']['entropy'], 'hiding')} bits.")
    moved = row["change"]["divergence"]
    if moved["difference"] is not None:
        out.append(
            f"Hidden rows move by {_number(row['divergence'])} bits, visible ones by "
            f"{_number(row['divergence_visible'])} ({_p(moved['p_value'])})."
        )
    told = f"{_with_ci(row, 'recovered')} of hidden words are the model's first choice"
    correlation = row["correlation"] or {}
    if correlation.get("ci"):
        low, high = correlation["ci"]
        verdict = "it is told apart from 0" if low > 0 or high < 0 else "it is not told apart from 0"
        told += (
            f"; weight on {_links(row)}-aligned words and log-probability of the hidden word correlate with "
            f"{correlation['spearman']:.2f} ({low:.2f} to {high:.2f}): {verdict}"
        )
    return [*out, told + "."]


def _against(row: Row) -> str:
    beaten, others = [], []
    for name, null in row["null"].items():
        text = f"{name} ({_percent(null['peak_gold_masked'])} %, {_p(null['p_value'])})"
        better = null["difference"] is not None and null["difference"] > 0 and (null["p_value"] or 1) < LEVEL
        (beaten if better else others).append(text)
    told = []
    if beaten:
        told.append(f"That is more than the null models {', '.join(beaten)}")
    if others:
        told.append(f"{'it is' if told else 'That is'} not more than {', '.join(others)}")
    return "; ".join(told) + "."


def _moves(test: Row, what: str, *, per_cent: bool = False) -> str:
    """``falls by hiding from 51.0 % to 32.1 % (p < 0.001)``."""
    show = (lambda v: f"{_percent(v)} %") if per_cent else _number
    if test["difference"] is None:
        return "cannot be told"
    sure = test["p_value"] is not None and test["p_value"] < LEVEL
    verb = ("rises" if test["difference"] > 0 else "falls") if sure else "does not move clearly"
    return f"{verb} by {what} from {show(test['full'])} to {show(test['masked'])} ({_p(test['p_value'])})"


def _links(row: Row) -> str:
    return "silver" if row["links"] == "silver" else "gold"


def _with_ci(row: Row, name: str) -> str:
    value, ends = row[name], row["ci"].get(name)
    if value is None:
        return "none"
    return f"{_percent(value)} %" + ("" if ends is None else f" ({_percent(ends[0])} to {_percent(ends[1])})")


def _null(null: Row | None) -> str:
    if null is None or null["peak_gold_masked"] is None:
        return "-"
    better = (null["difference"] or 0) > 0 and null["p_value"] is not None and null["p_value"] < LEVEL
    return _percent(null["peak_gold_masked"]) + ("*" if better else " ")


def _p(value: float | None) -> str:
    if value is None:
        return "not tested"
    return "p < 0.001" if value < 0.001 else f"p = {value:.3f}"


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.1f}"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"
