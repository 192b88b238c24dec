"""AER of every layer and head as heatmaps, one a mode, on one colour scale."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from align_eval.errors import InputError
from align_eval.figures.style import TWO_COLUMNS, colour_bar, new_figure, style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

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


def aer_grid(rows: Sequence[dict[str, Any]], *, title: str = "", axes: Sequence[Axes] | None = None) -> Figure:
    """Draw the rows of a sweep: layers down, heads across, low AER dark; the best view of each mode is framed.

    Args:
        rows: of :meth:`align_eval.runs.sweep.Sweep.to_json`: ``layer``, ``head`` (numbers from 1 or names such as
            ``mean``), ``mode``, ``aer``. A view that is missing stays white.
        title: above the maps.
        axes: where to draw, one a mode; ``None``: on a new figure, no wider than two columns of a paper.

    Returns:
        the figure; write it with :func:`align_eval.figures.style.save`.

    Raises:
        InputError: no rows, or another number of axes than of modes.
    """
    from matplotlib.patches import Rectangle

    modes, layers, heads = axes_of(rows)
    if axes is not None and len(axes) != len(modes):
        raise InputError(f"{len(axes)} axes for {len(modes)} modes: {', '.join(modes)}")
    low, high = min(row["aer"] for row in rows), max(row["aer"] for row in rows)
    across = len(modes) * len(heads)
    cell = min(0.3, (TWO_COLUMNS - 1.5 - 0.2 * (len(modes) - 1)) / across, (HEIGHT - 1.2) / len(layers))
    with style():
        if axes is None:
            width = max(2.6, 1.5 + 0.2 * (len(modes) - 1) + cell * across)
            figure = new_figure(min(width, TWO_COLUMNS), 1.2 + cell * len(layers))
            axes = list(np.atleast_1d(figure.subplots(1, len(modes), sharey=True)))
        else:
            figure = axes[0].figure  # type: ignore[assignment]
        size = 7.0 if cell >= 0.16 else 5.5
        step = max(1, int(np.ceil((TICK if size > 6 else TICK - 1) / (72 * cell))))
        for axis, mode in zip(axes, modes, strict=True):
            values = _grid(rows, mode, layers, heads)
            image = axis.imshow(values, cmap="magma", vmin=low, vmax=high, aspect="equal")
            row, column = np.unravel_index(np.nanargmin(values), values.shape)
            axis.add_patch(Rectangle((column - 0.5, row - 0.5), 1, 1, fill=False, ec=FRAME, lw=1.4, clip_on=False))
            _ticks(axis, "x", heads, step, size)
            _ticks(axis, "y", layers, step, size)
            axis.set_xlabel("head")
            axis.set_title(f"{MODE_NAMES.get(mode, mode)}\nbest: {values[row, column]:.1f}", fontsize=7)
        axes[0].set_ylabel("layer")
        colour_bar(figure, image, "AER, percent", ax=list(axes), fraction=0.05, pad=0.02)
        if title:
            figure.suptitle(title, fontsize=8, x=0.01, ha="left")
    return figure


def axes_of(rows: Sequence[dict[str, Any]]) -> tuple[list[str], list[Any], list[Any]]:
    """Readings, layers and heads, in the order of the rows."""
    if not rows:
        raise InputError("there is nothing to draw: the sweep has no rows")
    modes, layers, heads = (list(dict.fromkeys(row[key] for row in rows)) for key in ("mode", "layer", "head"))
    return modes, layers, heads


def _grid(rows: Sequence[dict[str, Any]], mode: str, layers: list[Any], heads: list[Any]) -> NDArray[np.float64]:
    values = np.full((len(layers), len(heads)), np.nan)
    for row in rows:
        if row["mode"] == mode:
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
