"""The reading of a corpus with hidden words: what holds over its plans, what does not, and where."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from align_eval.errors import InputError
from align_eval.report.summary import Summary, p_value, share

Row = Mapping[str, Any]
Verdict = tuple[bool, str]
"""Whether a statement holds for one plan, and the numbers that say so."""
LEVEL = 0.01
"""p-values below it count as a difference."""
SHOWN = (
    "mask_share", "rows_masked", "rows_visible", "peak_gold_masked", "peak_gold_visible", "peak_gold_full",
    "gold_mass_masked", "entropy_masked", "entropy_full", "divergence", "recovered",
)  # fmt: skip


@dataclass(frozen=True)
class Statement:
    """Something that may hold for a plan.

    Attributes:
        name: its key among the numbers.
        text: the sentence, without a final full stop.
        check: whether it holds for a row; ``None`` where it does not apply.
    """

    name: str
    text: str
    check: Callable[[Row], Verdict | None]


def _beats_nulls(row: Row) -> Verdict | None:
    tests = {name: null for name, null in (row.get("null") or {}).items() if null.get("difference") is not None}
    if not tests:
        return None
    failed = [name for name, null in tests.items() if not _above(null)]
    named = failed or [max(tests, key=lambda name: tests[name]["peak_gold_masked"])]
    told = ", ".join(f"{n} {share(tests[n]['peak_gold_masked'])}, {p_value(tests[n].get('p_value'))}" for n in named)
    return not failed, f"{share(row['peak_gold_masked'])} against {told}"


def _heavier_than_nulls(row: Row) -> Verdict | None:
    tests = {
        name: null for name, null in (row.get("null") or {}).items() if (null.get("gold_mass") or {}).get("difference")
    }
    if not tests:
        return None
    failed = [name for name, null in tests.items() if not _above(null["gold_mass"])]
    named = failed or [max(tests, key=lambda name: tests[name]["gold_mass_masked"])]
    told = ", ".join(
        f"{n} {share(tests[n]['gold_mass_masked'])}, {p_value(tests[n]['gold_mass'].get('p_value'))}" for n in named
    )
    return not failed, f"{share(row['gold_mass_masked'])} against {told}"


def _visible_keep(row: Row) -> Verdict | None:
    test = _change(row, "visible", "peak_gold")
    return None if test is None else (not _below(test), _moved(test, share))


def _hidden_spread(row: Row) -> Verdict | None:
    test = _change(row, "masked", "entropy")
    return None if test is None else (_above(test), _moved(test, _bits))


def _hidden_lose(row: Row) -> Verdict | None:
    test = _change(row, "masked", "gold_mass")
    return None if test is None else (_below(test), _moved(test, share))


def _hidden_move_more(row: Row) -> Verdict | None:
    test = (row.get("change") or {}).get("divergence") or {}
    if test.get("difference") is None:
        return None
    told = f"{_bits(test['masked'])} against {_bits(test['visible'])}, {p_value(test.get('p_value'))}"
    return _above(test), told


def _tells_the_answer(row: Row) -> Verdict | None:
    found = row.get("correlation") or {}
    if not found.get("ci"):
        return None
    low, high = found["ci"]
    return low > 0, f"rank correlation {found['spearman']:.2f}, {low:.2f} to {high:.2f}"


STATEMENTS = (
    Statement(
        "beats_nulls", "Hidden rows peak on a {links}-aligned word more often than every null model", _beats_nulls
    ),
    Statement(
        "heavier_than_nulls", "Hidden rows put more weight on {links}-aligned words than every null model",
        _heavier_than_nulls,
    ),
    Statement("visible_keep", "Visible rows do not lose {links} peaks when other words are hidden", _visible_keep),
    Statement("hidden_lose", "Hidden rows lose weight on {links}-aligned words", _hidden_lose),
    Statement("hidden_spread", "Hidden rows spread: their entropy rises", _hidden_spread),
    Statement("hidden_move_more", "Hidden rows move more than visible ones", _hidden_move_more),
    Statement(
        "tells_the_answer", "The more weight on {links}-aligned words, the more probable the hidden word",
        _tells_the_answer,
    ),
)  # fmt: skip


def summarise_corpus(rows: Sequence[Row], *, model: str = "", view: str = "", rule: str = "") -> Summary:
    """Read the plans of one or several corpora together.

    A statement holds for a plan where the test over sentences finds the difference with p < 0.01 (of a correlation:
    where its interval is above 0; that visible rows keep their peaks holds where no loss is found).

    Args:
        rows: of :meth:`align_eval.infilling.analysis.PlanAnalysis.to_json`, with what a run adds: ``testset``,
            ``direction``, ``model``, ``layer``, ``head``, ``view_rule``, ``links`` as far as there.
        model, view, rule: instead of what the rows say.

    Raises:
        InputError: no rows.
    """
    if not rows:
        raise InputError("there is nothing to read: no rows")
    first = rows[0]
    links = "silver" if first.get("links") == "silver" else "gold"
    places = {(row.get("testset"), row.get("direction")) for row in rows}
    names = [_name(row, len(places) > 1) for row in rows]
    findings = _range(rows, names, links)
    anomalies: list[str] = []
    numbers: dict[str, Any] = {}
    for statement in STATEMENTS:
        verdicts = [(name, statement.check(row)) for row, name in zip(rows, names, strict=True) if row["rows_masked"]]
        known = [(name, verdict) for name, verdict in verdicts if verdict is not None]
        if not known:
            continue
        text = statement.text.format(links=links)
        holds = [name for name, (true, _) in known if true]
        fails = [f"{name} ({told})" for name, (true, told) in known if not true]
        numbers[statement.name] = {name: {"holds": true, "numbers": told} for name, (true, told) in known}
        if not fails:
            findings.append(f"{text}: holds for {_all(len(known))}, such as {known[0][0]} ({known[0][1][1]}).")
        else:
            findings.append(f"{text}: holds for {len(holds)} of {len(known)} plans.")
            anomalies.append(f"{text}: not for {'; '.join(fails)}.")
    findings += _trends(rows, links)
    idle = [name for row, name in zip(rows, names, strict=True) if not row["rows_masked"]]
    if idle:
        anomalies.append(f"Applies to no sentence: {', '.join(idle)}.")
    return Summary(
        figure="redistribution of attention over the share of hidden words",
        quantity="attention weight of rows of hidden words",
        findings=tuple(findings),
        subject={
            "model": model or first.get("model", ""),
            "view": view or _view(first),
            "chosen": rule or first.get("view_rule", ""),
            "corpora": sorted({" ".join(str(part) for part in place if part) for place in places}),
            "links": links,
            "level": LEVEL,
        },
        groups=tuple(
            {"name": name, **{key: row[key] for key in SHOWN if row.get(key) is not None}}
            for row, name in zip(rows, names, strict=True)
        ),
        anomalies=tuple(anomalies),
        numbers=numbers,
    )


def _range(rows: Sequence[Row], names: Sequence[str], links: str) -> list[str]:
    """Between which plans the peaks of hidden and of visible rows lie, and what is recovered."""
    found = []
    for key, text in (
        ("peak_gold_masked", f"Hidden rows that peak on a {links}-aligned word"),
        ("peak_gold_visible", f"Visible rows that peak on a {links}-aligned word"),
        ("recovered", "Hidden words that the model fills in as they were"),
    ):
        known = [(float(row[key]), name) for row, name in zip(rows, names, strict=True) if row.get(key) is not None]
        if not known:
            continue
        low, high = min(known), max(known)
        if share(low[0]) == share(high[0]):
            spread = share(high[0])
        else:
            spread = f"from {share(low[0])} ({low[1]}) to {share(high[0])} ({high[1]})"
        found.append(f"{text}: {spread}.")
    return found


def _trends(rows: Sequence[Row], links: str) -> list[str]:
    """What happens along the mask share, for each kind of plan with at least three shares."""
    kinds: dict[tuple[Any, ...], list[Row]] = {}
    for row in rows:
        if row.get("peak_gold_masked") is not None:
            kind = (str(row["plan"]).partition(":")[0], row.get("testset"), row.get("direction"))
            kinds.setdefault(kind, []).append(row)
    found = []
    for (kind, *_), members in kinds.items():
        ordered = sorted(members, key=lambda row: float(row["mask_share"]))
        if len({float(row["mask_share"]) for row in ordered}) < 3:
            continue
        peaks = [float(row["peak_gold_masked"]) for row in ordered]
        steps = [b - a for a, b in itertools.pairwise(peaks)]
        verb = (
            "falls at every step" if all(s < 0 for s in steps) else "rises at every step" if all(s > 0 for s in steps)
            else "does not move one way"
        )  # fmt: skip
        ends = f"{share(float(ordered[0]['mask_share']))} to {share(float(ordered[-1]['mask_share']))}"
        found.append(
            f"Plan {kind}: from {ends} of the words hidden, the share of hidden rows that peak on a {links}-aligned "
            f"word {verb} ({', '.join(share(peak) for peak in peaks)})."
        )
    return found


def _above(test: Row) -> bool:
    return float(test["difference"]) > 0 and test.get("p_value") is not None and float(test["p_value"]) < LEVEL


def _below(test: Row) -> bool:
    return float(test["difference"]) < 0 and test.get("p_value") is not None and float(test["p_value"]) < LEVEL


def _change(row: Row, rows: str, measure: str) -> Row | None:
    test = ((row.get("change") or {}).get(rows) or {}).get(measure)
    return None if test is None or test.get("difference") is None else test


def _moved(test: Row, show: Callable[[float], str]) -> str:
    return f"{show(test['full'])} to {show(test['masked'])}, {p_value(test.get('p_value'))}"


def _bits(value: float) -> str:
    return f"{value:.2f} bits"


def _all(count: int) -> str:
    return "the one plan" if count == 1 else f"all {count} plans"


def _name(row: Row, with_place: bool) -> str:
    place = " ".join(str(part) for part in (row.get("testset"), row.get("direction")) if part)
    return f"{row['plan']}, {place}" if with_place and place else str(row["plan"])


def _view(row: Row) -> str:
    return f"layer {row['layer']}, head {row['head']}" if "layer" in row and "head" in row else ""
