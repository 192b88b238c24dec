"""The summary of paired heatmaps: what the maps of one pair, unmasked and with words masked, show, computed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from align_eval.aligners.heads import mode_name
from align_eval.infilling.measures import (
    MEASURES,
    Bools,
    Filled,
    Floats,
    InfillResult,
    WordRows,
    diagonal_distance,
    gold_cells,
    punctuation_columns,
    row_measures,
)  # fmt: skip
from align_eval.report.summary import Cell, Summary, greatest, of, quoted, series, share
from align_eval.statistics import jensen_shannon

NAMED = 8  # masked words that the findings name one by one; the others are in the numbers
MOVED = 0.25  # bits: a mean entropy that changes by less stays as it was


class PairedRows:
    """The first head of the first variant of a result, against the unmasked run."""

    def __init__(self, result: InfillResult, gold_name: str) -> None:
        chosen, pair = result.variants[0], result.pair
        self.pair, self.filled, self.gold_name = pair, chosen.filled, gold_name
        self.masked: Bools = np.isin(np.arange(len(pair.target)), chosen.masked)  # (Q,)
        self.before_rows, self.after_rows = result.full.head(0), chosen.rows.head(0)
        self.gold = gold_cells(pair)  # (Q, K); None without links
        marks = punctuation_columns(pair)
        self.before, self.after = (row_measures(rows, self.gold, marks) for rows in (self.before_rows, self.after_rows))

    def peak(self, rows: WordRows, row: int) -> int:
        """The source word with the most mass of a row; -1 for a target word without any token."""
        values = rows.values[0, row]
        return -1 if not values.size or np.isnan(values).any() else int(values.argmax())

    def linked_to(self, row: int) -> list[int]:
        """The source words that a target word is linked to."""
        return [] if self.gold is None else np.flatnonzero(self.gold[row]).tolist()

    def moves(self) -> list[tuple[int, int, int]]:
        """Each visible target word with a row, and its peak in the unmasked run and with words masked."""
        visible = np.flatnonzero(~self.masked).tolist()
        peaks = [(row, self.peak(self.before_rows, row), self.peak(self.after_rows, row)) for row in visible]
        return [(row, then, now) for row, then, now in peaks if then >= 0 and now >= 0]

    def uniform_distance(self) -> float:
        """How far a uniform map of this size lies from the diagonal, in lengths of the source."""
        rows, columns = self.before_rows.values.shape[1:]
        return float(diagonal_distance(np.full((rows, columns), 1 / max(columns, 1))).mean())


def summarise_infilling(
    result: InfillResult, gold_name: str = "gold", model: str = "", rule: str = "", strongest: int = 5
) -> Summary:
    """Compare the unmasked run of one pair with its first variant, by its first head.

    Peaks are taken over source words alone (mass on the end of the sentence or elsewhere does not count), and rows
    of words without a link do not count in counts of peaks.

    Args:
        result: of the probe.
        gold_name: what the links are called, such as ``"silver"``.
        model, rule: the model's name, and how the head was chosen.
        strongest: how many of the strongest cells of each of the two maps are listed.
    """
    it = PairedRows(result, gold_name)
    view, pair = result.heads[0], it.pair
    moved = jensen_shannon(it.before_rows.distributions(), it.after_rows.distributions())[0]
    each = [_masked_word(it, filled) for filled in it.filled]
    groups = _groups(it)
    words = [pair.target[row] for row in np.flatnonzero(it.masked)]
    kept = [then == now for _, then, now in it.moves()]
    findings = [*_peaks(it, words, groups), *_attends(each, gold_name), *_fillings(each)]
    findings += [*_spread(groups), *_places(it, groups)]
    return Summary(
        figure="paired heatmaps: unmasked, and words masked",
        quantity="attention weight, summed over the tokens of a source word, mean over those of a target word",
        findings=tuple(findings),
        strongest=tuple(_strongest(it, view.layer, view.head, strongest)),
        subject={
            "model": model, "layer": view.layer, "head": view.head, "mode": mode_name(view.reading), "chosen": rule,
            "pair": pair.id, "source": pair.source_text, "target": pair.target_text,
            "hidden": words, "links": gold_name if it.gold is not None else "none",
        },
        groups=tuple(groups),
        anomalies=tuple(_anomalies(it)),
        numbers={
            "hidden": each,
            "peaks_kept": (sum(kept), len(kept)),
            "divergence": {"hidden": _mean(moved[it.masked]), "visible": _mean(moved[~it.masked])},
            "uniform_distance": it.uniform_distance(),
        },
    )  # fmt: skip


def _mean(values: Floats) -> float | None:
    """The mean of the finite values; ``None`` if there is none."""
    found = values[np.isfinite(values)]
    return float(found.mean()) if len(found) else None


def _masked_word(it: PairedRows, filled: Filled) -> dict[str, Any]:
    row = filled.word
    now, then, gold = it.peak(it.after_rows, row), it.peak(it.before_rows, row), it.linked_to(row)
    found: dict[str, Any] = {"word": row, "text": filled.text, "linked_to": [it.pair.source[j] for j in gold]}
    if now >= 0:
        found |= {
            "looks_at": it.pair.source[now],
            "looks_at_index": now,
            "weight": float(it.after_rows.values[0, row, now]),
            "looked_at": it.pair.source[then],
            "weight_before": float(it.before_rows.values[0, row, then]),
            "end": float(it.after_rows.end[0, row]),
            "entropy": float(it.after["entropy"][0, row]),
            "entropy_before": float(it.before["entropy"][0, row]),
        }
        if gold:
            found |= {"aligned": now in gold, "mass_on_links": float(it.after["mass"][0, row])}
    return found | {
        "probability": math.exp(filled.log_probability),
        "log_probability": filled.log_probability if math.isfinite(filled.log_probability) else None,
        "rank": filled.rank,
        "top": [{"text": text, "probability": probability} for text, probability in filled.top],
    }


def _groups(it: PairedRows) -> list[dict[str, Any]]:
    """All rows, rows of masked and of visible words, each in the unmasked run and with words masked."""
    found = []
    for name, which, measured in (
        ("all rows, unmasked", it.masked | True, it.before),
        ("all rows, words masked", it.masked | True, it.after),
        ("masked words, unmasked", it.masked, it.before),
        ("[MASK] rows", it.masked, it.after),
        ("visible words, unmasked", ~it.masked, it.before),
        ("visible rows", ~it.masked, it.after),
    ):
        hits = measured["accuracy"][0][which]
        means = {measure: _mean(measured[measure][0][which]) for measure in MEASURES}
        counts = {"rows": int(which.sum()), "linked": int(np.isfinite(hits).sum())}
        found.append({"name": name, **counts, "peaks": round(float(np.nansum(hits)), 3), **means})
    return found


def _peaks(it: PairedRows, words: Sequence[str], groups: Sequence[dict[str, Any]]) -> list[str]:
    every, _, before, masked, _, visible = groups
    named = quoted(" ".join(words))
    if it.gold is None:
        return [f"{named} masked; without gold links nothing can be said of where a row should attend."]
    aligned = f"a {it.gold_name}-aligned word"
    if masked["linked"]:
        text = f"{named} masked: {of(masked['peaks'], masked['linked'])} [MASK] rows peak on {aligned}"
        text += f" ({of(before['peaks'], before['linked'])} unmasked)"
    else:
        text = f"{named} masked: none of the masked words has a {it.gold_name} link"
    if visible["linked"]:
        text += f"; {of(visible['peaks'], visible['linked'])} visible rows do"
    return [f"Unmasked: {of(every['peaks'], every['linked'])} rows peak on {aligned}.", f"{text}."]


def _listed(parts: Sequence[str]) -> str:
    more = f"; {len(parts) - NAMED} more in the numbers" if len(parts) > NAMED else ""
    return f"{'; '.join(parts[:NAMED])}{more}."


def _attends(each: Sequence[dict[str, Any]], gold_name: str) -> list[str]:
    marks = {True: f", {gold_name}", False: f", not {gold_name}", None: ""}
    parts = [
        f"{quoted(word['text'])} → {quoted(word['looks_at'])} {word['weight']:.2f}{marks[word.get('aligned')]}"
        for word in each
        if "looks_at" in word
    ]
    return [f"Where each [MASK] attends: {_listed(parts)}"] if parts else []


def _fillings(each: Sequence[dict[str, Any]]) -> list[str]:
    if not each:
        return []
    parts = []
    for word in each:
        text, place = quoted(word["text"]), f"{word['probability']:.2g}, rank {word['rank']}"
        if word["rank"] == 1:
            parts.append(f"{text} {word['probability']:.2f}")
        elif word["top"]:
            first = word["top"][0]
            parts.append(f"{quoted(first['text'])} {first['probability']:.2f} for {text} ({place})")
        else:
            parts.append(f"{text} {place}")
    right = sum(word["rank"] == 1 for word in each)
    return [f"The model predicts {right} of {len(each)} masked words: {_listed(parts)}"]


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
            f"The maps lie {every['distance']:.2f} (unmasked) and {after['distance']:.2f} (words masked) of the "
            f"sentence's length from the diagonal; a uniform map would lie {it.uniform_distance():.2f} from it."
        )
    kept = [then == now for _, then, now in it.moves()]
    if kept:
        found.append(f"{of(sum(kept), len(kept))} visible rows keep the source word that they peak on.")
    last = len(it.pair.source) - 1
    final = last >= 0 and bool(punctuation_columns(it.pair)[last])
    parts = []
    for name, which, group in (("[MASK] rows", it.masked, masked), ("visible rows", ~it.masked, visible)):
        if group["end"] is None:
            continue
        text = f"{name} put {share(group['end'])} of their mass on the end of the sentence"
        if final:
            weight = _mean(it.after_rows.values[0, which, last])
            text += f" and {share(weight or 0.0)} on the final {quoted(it.pair.source[last])}"
        parts.append(text)
    if parts:
        found.append(f"{'; '.join(parts)}.")
    return found


def _strongest(it: PairedRows, layer: int | str, head: int | str, count: int) -> list[Cell]:
    cells = []
    for name, rows in (("unmasked", it.before_rows), ("words masked", it.after_rows)):
        values = np.nan_to_num(rows.values[0])
        for i, j in greatest(values, count):
            word = it.pair.target[i]
            query = f"[MASK] ({word})" if it.masked[i] and rows is it.after_rows else word
            note = name + (f", {it.gold_name}-aligned" if j in it.linked_to(i) else "")
            cells.append(Cell(float(values[i, j]), layer, head, query, it.pair.source[j], i, j, note))
    return sorted(cells, key=lambda cell: -cell.value)


def _anomalies(it: PairedRows) -> list[str]:
    """Sentences about rows that do not do what most are expected to do."""
    found, peaks = [], []
    source, target = it.pair.source, it.pair.target
    for row in np.flatnonzero(it.masked).tolist():
        now, linked, word = it.peak(it.after_rows, row), it.linked_to(row), quoted(target[row])
        if now < 0:
            found.append(f"{word} has no token, so that there is no row of it.")
            continue
        peaks.append(now)
        weight, end = float(it.after_rows.values[0, row, now]), float(it.after_rows.end[0, row])
        if linked and now not in linked:
            wanted, mass = series([quoted(source[j]) for j in linked]), float(it.after["mass"][0, row])
            found.append(
                f"The [MASK] of {word} attends to {quoted(source[now])} ({weight:.2f}), not to {wanted} ({mass:.2f})."
            )
        if end > weight:
            found.append(
                f"The [MASK] of {word} puts more on the end of the sentence ({end:.2f}) than on any word (at most "
                f"{weight:.2f})."
            )
    found += [
        f"The peak of the visible {quoted(target[row])} moves from {quoted(source[then])} to {quoted(source[now])}."
        for row, then, now in it.moves()
        if then != now
    ]
    for column in sorted({c for c in peaks if peaks.count(c) > 2}):
        found.append(f"{peaks.count(column)} [MASK] rows peak on the same word, {quoted(source[column])}.")
    return found
