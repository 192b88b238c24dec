"""AER of every layer and head as heatmaps, one a reading, on one colour scale."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from align_eval.errors import InputError
from align_eval.figures.style import new_figure, style

if TYPE_CHECKING:
    from matplotlib.figure import Figure

READING_NAMES = {
    "awo": "AWO: the step that outputs the word",
    "awi": "AWI: the step whose input is the word",
    "block": "mean of both blocks",
    "block-st": "source to target",
    "block-ts": "target to source",
}


def aer_grid(rows: Sequence[dict[str, Any]], *, title: str = "") -> Figure:
    """Draw the rows of a sweep: layers down, heads across, low AER dark; the best view of each reading is framed.

    Args:
        rows: of :meth:`align_eval.runs.sweep.Sweep.to_json`: ``layer``, ``head`` (numbers from 1 or names such as
            ``mean``), ``reading``, ``aer``.
        title: above the maps.

    Returns:
        the figure; write it with :func:`align_eval.figures.style.save`.

    Raises:
        InputError: no rows.
    """
    from matplotlib.patches import Rectangle

    if not rows:
        raise InputError("there is nothing to draw: the sweep has no rows")
    readings = list(dict.fromkeys(row["reading"] for row in rows))
    layers = list(dict.fromkeys(row["layer"] for row in rows))
    heads = list(dict.fromkeys(row["head"] for row in rows))
    low, high = min(row["aer"] for row in rows), max(row["aer"] for row in rows)
    cell = 0.3 if len(layers) <= 16 else 0.2
    with style():
        figure = new_figure(1.2 + len(readings) * (cell * len(heads) + 0.6), 1.3 + cell * len(layers))
        all_axes = np.atleast_1d(figure.subplots(1, len(readings), sharey=True))
        for axes, reading in zip(all_axes, readings, strict=True):
            values = np.full((len(layers), len(heads)), np.nan)
            for row in rows:
                if row["reading"] == reading:
                    values[layers.index(row["layer"]), heads.index(row["head"])] = row["aer"]
            image = axes.imshow(values, cmap="magma", vmin=low, vmax=high, aspect="equal")
            best = np.unravel_index(np.nanargmin(values), values.shape)
            axes.add_patch(
                Rectangle((best[1] - 0.5, best[0] - 0.5), 1, 1, fill=False, ec="#56B4E9", lw=1.6, clip_on=False)
            )
            axes.set_xticks(range(len(heads)), [str(h) for h in heads], rotation=90)
            axes.set_yticks(range(len(layers)), [str(x) for x in layers])
            axes.set_xlabel("head")
            name = READING_NAMES.get(reading, reading)
            axes.set_title(f"{name}: best {values[best]:.1f}", fontsize=7)
        all_axes[0].set_ylabel("layer")
        figure.colorbar(image, ax=list(all_axes), fraction=0.05, pad=0.02).set_label("AER, percent")
        if title:
            figure.suptitle(title, fontsize=8, x=0.01, ha="left")
    return figure
