"""AER of every layer and head as heatmaps, one a reading, on one colour scale, and what they say."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from align_eval.errors import InputError
from align_eval.figures.style import TWO_COLUMNS, new_figure, style
from align_eval.report.reading import Cell, Reading

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

READING_NAMES = {
    "awo": "AWO: outputs the word",
    "awi": "AWI: reads the word",
    "block": "mean of both blocks",
    "block-st": "source to target",
    "block-ts": "target to source",
    "own": "row of the word itself",
}
FRAME = "#56B4E9"
HEIGHT = 7.5  # inches: what a page has room for
TICK = 6.5  # points that a tick label needs


def aer_grid(rows: Sequence[dict[str, Any]], *, title: str = "", axes: Sequence[Axes] | None = None) -> Figure:
    """Draw the rows of a sweep: layers down, heads across, low AER dark; the best view of each reading is framed.

    Args:
        rows: of :meth:`align_eval.runs.sweep.Sweep.to_json`: ``layer``, ``head`` (numbers from 1 or names such as
            ``mean``), ``reading``, ``aer``. A view that is missing stays white.
        title: above the maps.
        axes: where to draw, one a reading; ``None``: on a new figure, no wider than two columns of a paper.

    Returns:
        the figure; write it with :func:`align_eval.figures.style.save`.

    Raises:
        InputError: no rows, or another number of axes than of readings.
    """
    from matplotlib.patches import Rectangle

    readings, layers, heads = _axes_of(rows)
    if axes is not None and len(axes) != len(readings):
        raise InputError(f"{len(axes)} axes for {len(readings)} readings: {', '.join(readings)}")
    low, high = min(row["aer"] for row in rows), max(row["aer"] for row in rows)
    across = len(readings) * len(heads)
    cell = min(0.3, (TWO_COLUMNS - 1.5 - 0.2 * (len(readings) - 1)) / across, (HEIGHT - 1.2) / len(layers))
    with style():
        if axes is None:
            width = max(2.6, 1.5 + 0.2 * (len(readings) - 1) + cell * across)
            figure = new_figure(min(width, TWO_COLUMNS), 1.2 + cell * len(layers))
            axes = list(np.atleast_1d(figure.subplots(1, len(readings), sharey=True)))
        else:
            figure = axes[0].figure  # type: ignore[assignment]
        size = 7.0 if cell >= 0.16 else 5.5
        step = max(1, int(np.ceil((TICK if size > 6 else TICK - 1) / (72 * cell))))
        for axis, reading in zip(axes, readings, strict=True):
            values = _grid(rows, reading, layers, heads)
            image = axis.imshow(values, cmap="magma", vmin=low, vmax=high, aspect="equal")
            row, column = np.unravel_index(np.nanargmin(values), values.shape)
            axis.add_patch(Rectangle((column - 0.5, row - 0.5), 1, 1, fill=False, ec=FRAME, lw=1.4, clip_on=False))
            _ticks(axis, "x", heads, step, size)
            _ticks(axis, "y", layers, step, size)
            axis.set_xlabel("head")
            axis.set_title(f"{READING_NAMES.get(reading, reading)}\nbest: {values[row, column]:.1f}", fontsize=7)
        axes[0].set_ylabel("layer")
        figure.colorbar(image, ax=list(axes), fraction=0.05, pad=0.02).set_label("AER, percent")
        if title:
            figure.suptitle(title, fontsize=8, x=0.01, ha="left")
    return figure


def aer_reading(rows: Sequence[dict[str, Any]]) -> Reading:
    """What the heatmaps of :func:`aer_grid` say: the best views, where alignment lives, and how much of it there is.

    All numbers are over the whole set: the best of many views is lower than it would be on other sentences.

    Raises:
        InputError: no rows.
    """
    readings, layers, heads = _axes_of(rows)
    order = sorted(rows, key=lambda row: float(row["aer"]))
    aer = np.array([row["aer"] for row in order], dtype=np.float64)
    best = order[0]
    near = int((aer <= aer[0] + 5).sum())
    by_layer = {layer: min(float(row["aer"]) for row in rows if row["layer"] == layer) for layer in layers}
    findings = [
        f"The lowest AER is {aer[0]:.1f}: layer {best['layer']}, head {best['head']}, {best['reading']}.",
        f"{near} of {len(rows)} views {'is' if near == 1 else 'are'} within 5 points of it; the median is "
        f"{np.median(aer):.1f}.",
    ]
    groups = []
    for reading in readings:
        top = min((row for row in rows if row["reading"] == reading), key=lambda row: float(row["aer"]))
        groups.append({"name": reading, "aer": top["aer"], "layer": top["layer"], "head": top["head"]})
    if len(readings) > 1:
        parts = [f"{g['name']} {g['aer']:.1f} (layer {g['layer']}, head {g['head']})" for g in groups]
        findings.append(f"The best of each reading: {', '.join(parts)}.")
    if len(layers) > 2:
        ranked = sorted(by_layer, key=lambda layer: by_layer[layer])[:3]
        parts = [f"{layer} ({by_layer[layer]:.1f})" for layer in ranked]
        findings.append(f"The layers with the best heads: {', '.join(parts)}.")
    named = [row for row in rows if isinstance(row["head"], str)]
    if named and len(heads) > 1:
        mean = min(named, key=lambda row: float(row["aer"]))
        findings.append(
            f"Heads put together ({mean['head']}): {mean['aer']:.1f} at best, layer {mean['layer']}, {mean['reading']}."
        )
    return Reading(
        "AER by layer and head",
        "AER in percent over the whole set",
        tuple(findings),
        tuple(Cell(float(row["aer"]), row["layer"], row["head"], note=row["reading"]) for row in order[:5]),
        {key: best[key] for key in ("model", "testset", "signal", "method") if key in best},
        tuple(groups),
        numbers={"views": len(rows), "within_5": near, "median": float(np.median(aer)), "best_by_layer": by_layer},
    )


def _axes_of(rows: Sequence[dict[str, Any]]) -> tuple[list[str], list[Any], list[Any]]:
    """Readings, layers and heads, in the order of the rows."""
    if not rows:
        raise InputError("there is nothing to draw: the sweep has no rows")
    readings, layers, heads = (list(dict.fromkeys(row[key] for row in rows)) for key in ("reading", "layer", "head"))
    return readings, layers, heads


def _grid(rows: Sequence[dict[str, Any]], reading: str, layers: list[Any], heads: list[Any]) -> NDArray[np.float64]:
    values = np.full((len(layers), len(heads)), np.nan)
    for row in rows:
        if row["reading"] == reading:
            values[layers.index(row["layer"]), heads.index(row["head"])] = row["aer"]
    return values


def _ticks(axis: Axes, which: str, names: list[Any], step: int, size: float) -> None:
    """Every ``step``-th name, and all that are no numbers."""
    shown = [k for k, name in enumerate(names) if isinstance(name, str) or k % step == 0]
    # A number right before a name would touch it.
    shown = [k for k in shown if step == 1 or k + 1 not in shown or isinstance(names[k], str)]
    labels = [str(names[k]) for k in shown]
    if which == "x":
        axis.set_xticks(shown, labels, rotation=90, fontsize=size)
    else:
        axis.set_yticks(shown, labels, fontsize=size)
