"""The summary of a sweep: the best heads, the layers they are in, and how many are nearly as good."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from align_eval.figures.sweep import axes_of
from align_eval.report.summary import Cell, Summary


def summarise_sweep(rows: Sequence[dict[str, Any]]) -> Summary:
    """Say what the heatmaps of :func:`~align_eval.figures.sweep.aer_grid` show.

    All numbers are over the whole set: the best of many views is lower than it would be on other sentences.

    Raises:
        InputError: no rows.
    """
    modes, layers, heads = axes_of(rows)
    order = sorted(rows, key=lambda row: float(row["aer"]))
    aer = np.array([row["aer"] for row in order], dtype=np.float64)
    best = order[0]
    near = int((aer <= aer[0] + 5).sum())
    by_layer = {layer: min(float(row["aer"]) for row in rows if row["layer"] == layer) for layer in layers}
    findings = [
        f"The lowest AER is {aer[0]:.1f}: layer {best['layer']}, head {best['head']}, {best['mode']}.",
        f"{near} of {len(rows)} views {'is' if near == 1 else 'are'} within 5 points of it; the median is "
        f"{np.median(aer):.1f}.",
    ]
    groups = []
    for mode in modes:
        top = min((row for row in rows if row["mode"] == mode), key=lambda row: float(row["aer"]))
        groups.append({"name": mode, "aer": top["aer"], "layer": top["layer"], "head": top["head"]})
    if len(modes) > 1:
        parts = [f"{g['name']} {g['aer']:.1f} (layer {g['layer']}, head {g['head']})" for g in groups]
        findings.append(f"The best of each mode: {', '.join(parts)}.")
    if len(layers) > 2:
        ranked = sorted(by_layer, key=lambda layer: by_layer[layer])[:3]
        parts = [f"{layer} ({by_layer[layer]:.1f})" for layer in ranked]
        findings.append(f"The layers with the best heads: {', '.join(parts)}.")
    named = [row for row in rows if isinstance(row["head"], str)]
    if named and len(heads) > 1:
        mean = min(named, key=lambda row: float(row["aer"]))
        findings.append(
            f"Heads put together ({mean['head']}): {mean['aer']:.1f} at best, layer {mean['layer']}, {mean['mode']}."
        )
    return Summary(
        "AER by layer and head",
        "AER in percent over the whole set",
        tuple(findings),
        tuple(Cell(float(row["aer"]), row["layer"], row["head"], note=row["mode"]) for row in order[:5]),
        {key: best[key] for key in ("model", "testset", "signal", "method") if key in best},
        tuple(groups),
        numbers={"views": len(rows), "within_5": near, "median": float(np.median(aer)), "best_by_layer": by_layer},
    )
