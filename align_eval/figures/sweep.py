"""AER of every layer and head as heatmaps, one a mode, on one colour scale; and what they say."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from align_eval.errors import InputError
from align_eval.figures import style
from align_eval.report.summary import Cell, Summary

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MODE_NAMES = {
    "awo": "AWO: word as output",
    "awi": "AWI: word as input",
    "both": "mean of both blocks",
    "src2tgt": "source to target",
    "tgt2src": "target to source",
    "own": "row of the word itself",
}
FRAME = "#56B4E9"
HEIGHT = 7.5  # inches: what a page has room for
TICK = 6.5  # points that a tick label needs
Row = Mapping[str, Any]


def aer_grid(rows: Sequence[Row], *, title: str = "") -> Figure:
    """Draw the rows of a sweep: layers down, heads across, low AER dark; the best head of each mode is framed.

    The figure is no wider than two columns of a paper.

    Args:
        rows: of :meth:`align_eval.runs.sweep.Sweep.to_json`: ``layer``, ``head`` (numbers from 1 or names such as
            ``mean``), ``mode``, ``aer``. A head that is missing stays white.
        title: above the maps.

    Raises:
        InputError: no rows.
    """
    from matplotlib.patches import Rectangle

    modes, layers, heads = _axes_of(rows)
    low, high = min(row["aer"] for row in rows), max(row["aer"] for row in rows)
    across = len(modes) * len(heads)
    cell = min(0.3, (style.TWO_COLUMNS - 1.5 - 0.2 * (len(modes) - 1)) / across, (HEIGHT - 1.2) / len(layers))
    size, room = (7.0, TICK) if cell >= 0.16 else (5.5, TICK - 1)
    step = max(1, int(np.ceil(room / (72 * cell))))
    with style.settings():
        width = max(2.6, 1.5 + 0.2 * (len(modes) - 1) + cell * across)
        figure = style.new_figure(min(width, style.TWO_COLUMNS), 1.2 + cell * len(layers))
        axes = list(np.atleast_1d(figure.subplots(1, len(modes), sharey=True)))
        for axis, mode in zip(axes, modes, strict=True):
            values = np.full((len(layers), len(heads)), np.nan)
            for row in rows:
                if row["mode"] == mode:
                    values[layers.index(row["layer"]), heads.index(row["head"])] = row["aer"]
            image = axis.imshow(values, cmap=style.HEAT_MAP, vmin=low, vmax=high, aspect="equal")
            down, right = np.unravel_index(np.nanargmin(values), values.shape)
            axis.add_patch(Rectangle((right - 0.5, down - 0.5), 1, 1, fill=False, ec=FRAME, lw=1.4, clip_on=False))
            axis.set_xticks(*_ticks(heads, step), rotation=90, fontsize=size)
            axis.set_yticks(*_ticks(layers, step), fontsize=size)
            axis.set_xlabel("head")
            axis.set_title(f"{MODE_NAMES.get(mode, mode)}\nbest: {values[down, right]:.1f}", fontsize=7)
        axes[0].set_ylabel("layer")
        style.colour_bar(figure, image, "AER, percent", ax=axes, fraction=0.05, pad=0.02)
        if title:
            figure.suptitle(title, fontsize=8, x=0.01, ha="left")
    return figure


def _axes_of(rows: Sequence[Row]) -> tuple[list[str], list[Any], list[Any]]:
    """Modes, layers and heads, in the order of the rows."""
    if not rows:
        raise InputError("there is nothing to draw: the sweep has no rows")
    modes, layers, heads = (list(dict.fromkeys(row[key] for row in rows)) for key in ("mode", "layer", "head"))
    return modes, layers, heads


def _ticks(names: list[Any], step: int) -> tuple[list[int], list[str]]:
    """Places and labels of every ``step``-th name, and of all that are no numbers."""
    shown = [k for k, name in enumerate(names) if isinstance(name, str) or k % step == 0]
    # A number right before a name would touch it.
    shown = [k for k in shown if step == 1 or k + 1 not in shown or isinstance(names[k], str)]
    return shown, [str(names[k]) for k in shown]


def summarise_sweep(rows: Sequence[Row]) -> Summary:
    """Say what :func:`aer_grid` shows.

    All numbers are over the whole set: the best of many heads is lower than it would be on other sentences.

    Raises:
        InputError: no rows.
    """
    modes, layers, heads = _axes_of(rows)
    order = sorted(rows, key=lambda row: float(row["aer"]))
    aer = np.array([row["aer"] for row in order], dtype=np.float64)
    best = order[0]
    near = int((aer <= aer[0] + 5).sum())
    by_layer = {layer: next(float(row["aer"]) for row in order if row["layer"] == layer) for layer in layers}
    findings = [
        f"The lowest AER is {aer[0]:.1f}: layer {best['layer']}, head {best['head']}, {best['mode']}.",
        f"{near} of {len(rows)} views {'is' if near == 1 else 'are'} within 5 points of it; the median is "
        f"{np.median(aer):.1f}.",
    ]
    groups = []
    for mode in modes:
        top = next(row for row in order if row["mode"] == mode)
        groups.append({"name": mode, "aer": top["aer"], "layer": top["layer"], "head": top["head"]})
    if len(modes) > 1:
        parts = [f"{g['name']} {g['aer']:.1f} (layer {g['layer']}, head {g['head']})" for g in groups]
        findings.append(f"The best of each mode: {', '.join(parts)}.")
    if len(layers) > 2:
        ranked = sorted(by_layer, key=lambda layer: by_layer[layer])[:3]
        parts = [f"{layer} ({by_layer[layer]:.1f})" for layer in ranked]
        findings.append(f"The layers with the best heads: {', '.join(parts)}.")
    mean = next((row for row in order if isinstance(row["head"], str)), None)
    if mean is not None and len(heads) > 1:
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
