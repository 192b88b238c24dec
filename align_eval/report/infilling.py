"""The reading of a pair of maps, whole and with words hidden: what a person would say of it, computed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from align_eval.infilling.measures import distributions, punctuation_columns
from align_eval.infilling.results import Filled, InfillResult
from align_eval.report.paired_rows import (
    PairedRows,
    anomalies_of,
    groups_of,
    mean,
    paired_rows,
    peaks_kept,
    uniform_distance,
)
from align_eval.report.summary import Cell, Summary, of, quoted, share
from align_eval.statistics import jensen_shannon

if TYPE_CHECKING:
    from align_eval.links import GoldLinks

SAID = 8  # hidden words that are named one by one in the findings; the others are in the numbers
MOVED = 0.25  # bits: a mean entropy that changes by less stays as it was


def summarise_infilling(
    result: InfillResult,
    variant: int = 0,
    *,
    view: int = 0,
    gold: GoldLinks | None = None,
    gold_name: str = "gold",
    model: str = "",
    rule: str = "",
    quantity: str = "attention weight",
    strongest: int = 5,
) -> Summary:
    """Read one pair with nothing hidden against one variant of it.

    Peaks are taken over source words alone (weight on the end of the sentence or elsewhere does not count), and rows
    of words without a link do not count in shares; see :mod:`align_eval.infilling.measures`.

    Args:
        result: of the probe.
        variant, view: which of its variants and views, 0-based.
        gold: links of the pair, instead of those that it has.
        gold_name: what the links are called, such as ``"silver"``.
        model, rule: the model's name, and how the view was chosen.
        quantity: what the values are.
        strongest: how many of the strongest cells of each of the two maps are listed.

    Raises:
        InputError: no such variant or view.
        LinkRangeError: a link points outside of the pair.
    """
    it = paired_rows(result, variant, view, gold, gold_name)
    seen, pair = result.views[view], it.pair
    moved = jensen_shannon(distributions(it.before_rows), distributions(it.after_rows))[0]
    each = [_hidden_word(it, filled) for filled in it.filled]
    groups = groups_of(it)
    findings = [*_peaks(it, groups), *_looks(it, each), *_fillings(each), *_spread(groups), *_places(it, groups)]
    return Summary(
        figure="paired heatmaps: nothing hidden, and words hidden",
        quantity=f"{quantity}, summed over the sub-words of a source word, mean over those of a target word",
        findings=tuple(findings),
        strongest=tuple(_strongest(it, seen.layer, seen.head, strongest)),
        subject={
            "model": model, "layer": seen.layer, "head": seen.head, "reading": seen.reading, "chosen": rule,
            "pair": pair.id, "source": pair.source_text, "target": pair.target_text,
            "hidden": [pair.target[word] for word in it.masked], "links": gold_name if it.gold is not None else "none",
        },
        groups=tuple(groups),
        anomalies=tuple(anomalies_of(it)),
        numbers={
            "hidden": each,
            "peaks_kept": peaks_kept(it),
            "divergence": {"hidden": mean(moved[it.hidden]), "visible": mean(moved[~it.hidden])},
            "uniform_distance": uniform_distance(it),
        },
    )  # fmt: skip


def _hidden_word(it: PairedRows, filled: Filled) -> dict[str, Any]:
    row = filled.word
    now, then = it.peak(it.after_rows, row), it.peak(it.before_rows, row)
    gold = [] if it.gold is None else np.flatnonzero(it.gold[row]).tolist()
    looks: dict[str, Any] = {"word": row, "text": filled.text, "linked_to": [it.pair.source[j] for j in gold]}
    if now >= 0:
        looks |= {
            "looks_at": it.pair.source[now],
            "looks_at_index": now,
            "weight": float(it.after_rows.values[0, row, now]),
            "looked_at": it.pair.source[then],
            "weight_before": float(it.before_rows.values[0, row, then]),
            "end": float(it.after_rows.end[0, row]),
            "entropy": float(it.after.entropy[0, row]),
            "entropy_before": float(it.before.entropy[0, row]),
        }
        if gold:
            looks |= {"aligned": now in gold, "mass_on_links": float(it.after.gold_mass[0, row])}
    return looks | {
        "probability": math.exp(filled.log_probability),
        "log_probability": filled.log_probability if math.isfinite(filled.log_probability) else None,
        "rank": filled.rank,
        "top": [{"text": text, "probability": probability} for text, probability in filled.top],
    }


def _peaks(it: PairedRows, groups: Sequence[dict[str, Any]]) -> list[str]:
    every, _, before, masked, _, visible = groups
    words = quoted(" ".join(it.pair.target[word] for word in it.masked))
    if it.gold is None:
        return [f"{words} masked; without gold links nothing can be said of where a row should attend."]
    aligned = f"a {it.gold_name}-aligned word"
    found = [f"Nothing hidden: {of(every['peaks'], every['linked'])} rows peak on {aligned}."]
    if masked["linked"]:
        text = f"{words} hidden: {of(masked['peaks'], masked['linked'])} [MASK] rows peak on {aligned}"
        text += f" ({of(before['peaks'], before['linked'])} before they were hidden)"
    else:
        text = f"{words} hidden: none of the hidden words has a {it.gold_name} link"
    if visible["linked"]:
        text += f"; {of(visible['peaks'], visible['linked'])} visible rows do"
    found.append(text + ".")
    return found


def _looks(it: PairedRows, each: Sequence[dict[str, Any]]) -> list[str]:
    said = [looks for looks in each if "looks_at" in looks]
    if not said:
        return []
    parts = []
    for looks in said[:SAID]:
        mark = {True: f", {it.gold_name}", False: f", not {it.gold_name}", None: ""}[looks.get("aligned")]
        parts.append(f"{quoted(looks['text'])} → {quoted(looks['looks_at'])} {looks['weight']:.2f}{mark}")
    more = f"; {len(said) - SAID} more in the numbers" if len(said) > SAID else ""
    return [f"Where each [MASK] looks: {'; '.join(parts)}{more}."]


def _fillings(each: Sequence[dict[str, Any]]) -> list[str]:
    if not each:
        return []
    right = sum(word["rank"] == 1 for word in each)
    parts = []
    for word in each[:SAID]:
        first = word["top"][0] if word["top"] else None
        if word["rank"] == 1:
            parts.append(f"{quoted(word['text'])} {word['probability']:.2f}")
        elif first is None:
            parts.append(f"{quoted(word['text'])} {word['probability']:.2g}, rank {word['rank']}")
        else:
            parts.append(
                f"{quoted(first['text'])} {first['probability']:.2f} for {quoted(word['text'])} "
                f"({word['probability']:.2g}, rank {word['rank']})"
            )
    more = f"; {len(each) - SAID} more in the numbers" if len(each) > SAID else ""
    return [f"The model fills in {right} of {len(each)} hidden words as they were: {'; '.join(parts)}{more}."]


def _spread(groups: Sequence[dict[str, Any]]) -> list[str]:
    parts = []
    for name, before, after in (("[MASK] rows", groups[2], groups[3]), ("visible rows", groups[4], groups[5])):
        if before["entropy"] is None or after["entropy"] is None:
            continue
        change = after["entropy"] - before["entropy"]
        verb = "keep their focus" if abs(change) < MOVED else "spread" if change > 0 else "become sharper"
        parts.append(f"{name} {verb} ({before['entropy']:.2f} to {after['entropy']:.2f} bits of entropy)")
    text = "; ".join(parts)
    return [f"{text[:1].upper()}{text[1:]}."] if text else []


def _places(it: PairedRows, groups: Sequence[dict[str, Any]]) -> list[str]:
    every, after, _, masked, _, visible = groups
    found = []
    if every["distance"] is not None and after["distance"] is not None:
        found.append(
            f"The maps lie {every['distance']:.2f} (nothing hidden) and {after['distance']:.2f} (words hidden) of the "
            f"sentence's length from the diagonal; a uniform map would lie {uniform_distance(it):.2f} from it."
        )
    kept, comparable = peaks_kept(it)
    if comparable:
        found.append(f"{of(kept, comparable)} visible rows keep the source word that they peak on.")
    last = len(it.pair.source) - 1
    final = last >= 0 and bool(punctuation_columns(it.pair)[last])
    parts = []
    for name, which, group in (("[MASK] rows", it.hidden, masked), ("visible rows", ~it.hidden, visible)):
        if group["end"] is None:
            continue
        text = f"{name} put {share(group['end'])} of their weight on the end of the sentence"
        if final:
            weight = mean(it.after_rows.values[0, which, last])
            text += f" and {share(weight or 0.0)} on the final {quoted(it.pair.source[last])}"
        parts.append(text)
    if parts:
        found.append(f"{'; '.join(parts)}.")
    return found


def _strongest(it: PairedRows, layer: int | str, head: int | str, count: int) -> list[Cell]:
    cells = []
    hidden = it.hidden
    for name, rows in (("nothing hidden", it.before_rows), ("words hidden", it.after_rows)):
        values = np.nan_to_num(rows.values[0], nan=-1.0)
        for flat in np.argsort(-values, axis=None, kind="stable")[:count]:
            i, j = divmod(int(flat), values.shape[1])
            if values[i, j] < 0:
                continue
            query = it.pair.target[i] if not hidden[i] or rows is it.before_rows else f"[MASK] ({it.pair.target[i]})"
            note = name + (f", {it.gold_name}-aligned" if it.aligned(i, j) else "")
            cells.append(Cell(float(values[i, j]), layer, head, query, it.pair.source[j], i, j, note))
    return sorted(cells, key=lambda cell: -cell.value)
