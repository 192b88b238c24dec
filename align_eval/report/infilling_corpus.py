"""Masked words of a corpus, strategy by strategy: as a table, and what holds over the strategies in sentences."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from align_eval.errors import InputError
from align_eval.infilling.estimates import BASELINES
from align_eval.report.summary import Summary, p_value, share
from align_eval.tables import TextTable

Row = Mapping[str, Any]
Verdict = tuple[bool, str]
"""Whether a statement holds for one strategy, and the numbers behind it."""
LEVEL = 0.01
"""p-values below it count as a difference."""
SHOWN = (
    "mask_share", "rows_masked", "rows_visible", "accuracy_masked", "accuracy_visible", "accuracy_full",
    "mass_masked", "entropy_masked", "entropy_full", "divergence", "recovered",
)  # fmt: skip
LEGEND = (
    "masked: rows of masked words; unmasked: the same rows of the unmasked run; accuracy: argmax on a gold-aligned "
    "word;\nuniform, position, permuted: accuracy of baselines (* masked rows have more, p < 0.01 over sentences). "
    "Accuracy, mass on\ngold, top-1 accuracy: per cent; entropy and JSD: bits; rho: Spearman's correlation of mass on "
    "gold and log-probability\nof masked words."
)


def infill_table(rows: Sequence[Row]) -> TextTable:
    """One row a strategy: accuracy of visible and masked rows against the baselines, and what else moved.

    ``rows`` are of :meth:`align_eval.runs.infill.Infilling.to_json`.
    """
    columns = [
        "strategy", "masked %", "rows", "accuracy: visible", "masked", "unmasked", *BASELINES, "mass", "unmasked",
        "entropy", "unmasked", "JSD", "top-1", "rho",
    ]  # fmt: skip
    table = TextTable(subject_line(rows[0]) if rows else "", columns)
    for row in rows:
        table.rows.append(
            [
                row["strategy"],
                _percent(row["mask_share"]),
                str(row["rows_masked"]),
                *(_percent(row[f"accuracy_{which}"]) for which in ("visible", "masked", "full")),
                *(_starred(row["baselines"].get(name)) for name in BASELINES),
                _percent(row["mass_masked"]),
                _percent(row["mass_full"]),
                *(_number(row[key]) for key in ("entropy_masked", "entropy_full", "divergence")),
                _percent(row["recovered"]),
                _number((row["correlation"] or {}).get("spearman")),
            ]
        )
    return table


def subject_line(row: Row) -> str:
    """``mini-ende, en-de, silver links: 32 sentence pairs, MODEL, layer 2, head 1 (given by name)``."""
    kind = {"silver": ", silver links", "none": ", no gold links"}.get(row["links"], "")
    where = ", ".join(part for part in (row["testset"], row["direction"]) if part) + kind
    return (
        f"{where}: {row['evaluated_sentences']} sentence pairs, {row['model']}, layer {row['layer']}, "
        f"head {row['head']} ({row['view_rule']})"
    )


def _starred(baseline: Row | None) -> str:
    if baseline is None or baseline["accuracy_masked"] is None:
        return "-"
    return _percent(baseline["accuracy_masked"]) + ("*" if _above(baseline) else " ")


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.1f}"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def _beats(row: Row, key: str, test_of: Callable[[Row], Row]) -> Verdict | None:
    """Whether ``key`` of masked rows is above every baseline's, by the test that ``test_of`` takes from it."""
    baselines: Row = row["baselines"]
    tests = {name: test for name, found in baselines.items() if (test := test_of(found))["difference"] is not None}
    if not tests:
        return None
    failed = [name for name, test in tests.items() if not _above(test)]
    named = failed or [max(tests, key=lambda name: baselines[name][key])]
    told = ", ".join(f"{n} {share(baselines[n][key])}, {p_value(tests[n]['p_value'])}" for n in named)
    return not failed, f"{share(row[key])} against {told}"


def _changed(rows: str, measure: str, holds: Callable[[Row], bool], show: Callable[[float], str] = share) -> Any:
    """A check of the change of a measure of ``masked`` or ``visible`` rows."""

    def check(row: Row) -> Verdict | None:
        test = row["change"][rows][measure]
        if test["difference"] is None:
            return None
        return holds(test), f"{show(test['full'])} to {show(test['masked'])}, {p_value(test['p_value'])}"

    return check


def _moves_more(row: Row) -> Verdict | None:
    test = row["change"]["divergence"]
    if test["difference"] is None:
        return None
    return _above(test), f"{_bits(test['masked'])} against {_bits(test['visible'])}, {p_value(test['p_value'])}"


def _correlates(row: Row) -> Verdict | None:
    found = row["correlation"]
    if not found or not found["ci"]:
        return None
    low, high = found["ci"]
    return low > 0, f"rank correlation {found['spearman']:.2f}, {low:.2f} to {high:.2f}"


def _above(test: Row, sign: int = 1) -> bool:
    """Whether a difference is above 0 (or below, with ``sign`` -1) by its test."""
    return sign * (test["difference"] or 0) > 0 and test["p_value"] is not None and test["p_value"] < LEVEL


def _below(test: Row) -> bool:
    return _above(test, -1)


def _bits(value: float) -> str:
    return f"{value:.2f} bits"


STATEMENTS: tuple[tuple[str, str, Callable[[Row], Verdict | None]], ...] = (
    (
        "beats_baselines", "Masked rows peak on a {links}-aligned word more often than every baseline",
        lambda row: _beats(row, "accuracy_masked", lambda found: found),
    ),
    (
        "heavier_than_baselines", "Masked rows put more mass on {links}-aligned words than every baseline",
        lambda row: _beats(row, "mass_masked", lambda found: found["mass"]),
    ),
    (
        "visible_keep", "Visible rows do not lose {links} peaks when other words are masked",
        _changed("visible", "accuracy", lambda test: not _below(test)),
    ),
    ("hidden_lose", "Masked rows lose mass on {links}-aligned words", _changed("masked", "mass", _below)),
    ("hidden_spread", "Masked rows spread: their entropy rises", _changed("masked", "entropy", _above, _bits)),
    ("hidden_move_more", "Masked rows move more than visible ones", _moves_more),
    ("tells_the_answer", "The more mass on {links}-aligned words, the more probable the masked word", _correlates),
)  # fmt: skip
"""Something that may hold for a strategy: its key among the numbers, the sentence, and the check of a row."""


def summarise_corpus(rows: Sequence[Row]) -> Summary:
    """Summarise the strategies of a corpus together.

    A statement holds for a strategy where the test over sentences finds the difference with p < 0.01 (of a correlation:
    where its interval is above 0; that visible rows keep their peaks holds where no loss is found).

    Args:
        rows: of :meth:`align_eval.runs.infill.Infilling.to_json`.
    """
    if not rows:
        raise InputError("there is nothing to summarise: no rows")
    first = rows[0]
    links = "silver" if first["links"] == "silver" else "gold"
    names = [row["strategy"] for row in rows]
    findings = _range(rows, names, links)
    anomalies: list[str] = []
    numbers: dict[str, Any] = {}
    for key, sentence, check in STATEMENTS:
        verdicts = [(name, check(row)) for row, name in zip(rows, names, strict=True) if row["rows_masked"]]
        known = [(name, *verdict) for name, verdict in verdicts if verdict is not None]
        if not known:
            continue
        text = sentence.format(links=links)
        fails = [f"{name} ({told})" for name, true, told in known if not true]
        numbers[key] = {name: {"holds": true, "numbers": told} for name, true, told in known}
        if not fails:
            every = "the one strategy" if len(known) == 1 else f"all {len(known)} strategies"
            findings.append(f"{text}: holds for {every}, such as {known[0][0]} ({known[0][2]}).")
        else:
            findings.append(f"{text}: holds for {len(known) - len(fails)} of {len(known)} strategies.")
            anomalies.append(f"{text}: not for {'; '.join(fails)}.")
    findings += _trends(rows, links)
    idle = [name for row, name in zip(rows, names, strict=True) if not row["rows_masked"]]
    if idle:
        anomalies.append(f"Applies to no sentence: {', '.join(idle)}.")
    return Summary(
        figure="redistribution of attention over the ratio of masked words",
        quantity="attention weight of rows of masked words",
        findings=tuple(findings),
        subject={
            "model": first["model"],
            "view": f"layer {first['layer']}, head {first['head']}",
            "chosen": first["view_rule"],
            "corpora": [" ".join(part for part in (first["testset"], first["direction"]) if part)],
            "links": links,
            "level": LEVEL,
        },
        groups=tuple(
            {"name": name, **{key: row[key] for key in SHOWN if row[key] is not None}}
            for row, name in zip(rows, names, strict=True)
        ),
        anomalies=tuple(anomalies),
        numbers=numbers,
    )


def _range(rows: Sequence[Row], names: Sequence[str], links: str) -> list[str]:
    """Between which strategies the accuracies lie."""
    found = []
    for key, text in (
        ("accuracy_masked", f"Masked rows that peak on a {links}-aligned word"),
        ("accuracy_visible", f"Visible rows that peak on a {links}-aligned word"),
        ("recovered", "Top-1 accuracy on masked words"),
    ):
        known = [(float(row[key]), name) for row, name in zip(rows, names, strict=True) if row[key] is not None]
        if known:
            (low, lowest), (high, highest) = min(known), max(known)
            one = share(low) == share(high)
            spread = share(high) if one else f"from {share(low)} ({lowest}) to {share(high)} ({highest})"
            found.append(f"{text}: {spread}.")
    return found


def _trends(rows: Sequence[Row], links: str) -> list[str]:
    """What happens along the ratio of masked words, for each kind of strategy with at least three ratios."""
    kinds: dict[str, list[Row]] = {}
    for row in rows:
        if row["accuracy_masked"] is not None:
            kinds.setdefault(row["strategy"].partition(":")[0], []).append(row)
    found = []
    for kind, members in kinds.items():
        ordered = sorted(members, key=lambda row: float(row["mask_share"]))
        if len({float(row["mask_share"]) for row in ordered}) < 3:
            continue
        peaks = [float(row["accuracy_masked"]) for row in ordered]
        steps = [b - a for a, b in itertools.pairwise(peaks)]
        verb = (
            "falls at every step" if all(s < 0 for s in steps) else "rises at every step" if all(s > 0 for s in steps)
            else "does not move one way"
        )  # fmt: skip
        ends = f"{share(float(ordered[0]['mask_share']))} to {share(float(ordered[-1]['mask_share']))}"
        found.append(
            f"Strategy {kind}: from {ends} of the words masked, the share of masked rows that peak on a "
            f"{links}-aligned word {verb} ({', '.join(share(peak) for peak in peaks)})."
        )
    return found
