"""How one map is drawn into axes: cells, labels, the marks of hidden rows, frames of gold links, the colour bar."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from align_eval.figures.labels import label_columns, label_rows
from align_eval.figures.panel import Panel
from align_eval.figures.style import GOLD_ON_DARK, HEAT_MAP, MASK_COLOUR

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from numpy.typing import NDArray

MANY_CELLS = 40_000  # beyond it a map is stored as a picture inside the vector file


@dataclass(frozen=True)
class Scale:
    """Colours of values from ``low`` to ``high``."""

    low: float
    high: float
    colours: str
    name: str


def draw_map(axes: Axes, panel: Panel, scale: Scale, *, size: float, gold: bool = False, strip: float = 0.45) -> Any:
    """Draw one panel without title and colour bar; returns what a colour bar is made from.

    Args:
        axes: to draw into.
        panel: what to draw.
        scale: colours.
        size: of the labels, in points.
        gold: frame the cells of gold links.
        strip: width of the strip beside hidden rows, in cells.
    """
    rows, columns = panel.values.shape
    limits: dict[str, Any] = {"cmap": scale.colours, "vmin": scale.low, "vmax": scale.high}
    if rows * columns > MANY_CELLS:
        image: Any = axes.imshow(panel.values, aspect="auto", interpolation="nearest", **limits)
    else:
        edges = (np.arange(columns + 1) - 0.5, np.arange(rows + 1) - 0.5)
        image = axes.pcolormesh(*edges, panel.values, edgecolors="face", linewidth=0.4, **limits)
    axes.set_facecolor(image.get_cmap()(image.norm(0.0)))  # no light seams between cells in viewers that smooth edges
    axes.set_xlim(-0.5, columns - 0.5)
    axes.set_ylim(rows - 0.5, -0.5)
    for spine in axes.spines.values():
        spine.set_visible(False)
    axes.tick_params(axis="both", which="both", length=0)
    inches = axes.get_position().width * axes.figure.get_size_inches()[0]  # type: ignore[union-attr]
    cell = max(inches / columns, 1e-6)
    axes.tick_params(axis="y", pad=72 * strip * cell + 1.0)
    axes.tick_params(axis="x", pad=2.5)
    label_columns(axes, panel.column_labels, size)
    for row, text in enumerate(label_rows(axes, panel.row_labels, size)):
        if row in panel.marked_rows:
            text.set_color(MASK_COLOUR)
            if panel.row_labels[row].isascii():  # not every font has bold letters
                text.set_fontweight("bold")
    _strips(axes, panel, strip)
    if gold:
        dark = scale.colours == HEAT_MAP
        for cells, dashes in ((panel.possible, (0, (2.0, 1.4))), (panel.gold, "-")):
            if cells is not None:
                _frame(axes, cells, dashes, min(1.3, 6.5 * cell), GOLD_ON_DARK if dark else "#000000")
    return image


def _strips(axes: Axes, panel: Panel, strip: float) -> None:
    """A strip beside the hidden rows of the panel whose labels say that they are hidden."""
    from matplotlib.patches import Rectangle

    for row in panel.marked_rows:
        axes.add_patch(
            Rectangle((-0.5 - 0.75 * strip, row - 0.5), 0.5 * strip, 1, color=MASK_COLOUR, lw=0, clip_on=False)
        )


def _frame(axes: Axes, cells: NDArray[np.bool_], dashes: Any, line: float, colour: str) -> None:
    """Outline each group of cells that touch by a side."""
    from matplotlib.collections import LineCollection

    padded = np.pad(cells, 1)
    segments = []
    for i, j in zip(*np.nonzero(cells), strict=True):
        x, y = j - 0.5, i - 0.5
        if not padded[i, j + 1]:
            segments.append([(x, y), (x + 1, y)])
        if not padded[i + 2, j + 1]:
            segments.append([(x, y + 1), (x + 1, y + 1)])
        if not padded[i + 1, j]:
            segments.append([(x, y), (x, y + 1)])
        if not padded[i + 1, j + 2]:
            segments.append([(x + 1, y), (x + 1, y + 1)])
    axes.add_collection(
        LineCollection(segments, colors=colour, linewidths=line, linestyles=[dashes], clip_on=False, zorder=3),
        autolim=False,
    )


def round_top(largest: float) -> float:
    """The upper end of a colour scale for shares: the next tenth (of small values: the next twentieth).

    Values above 1 are no shares and stay.

    >>> round_top(0.79), round_top(0.21), round_top(3.2)
    (0.8, 0.25, 3.2)
    """
    if not 0.05 <= largest <= 1:
        return largest
    steps = 10 if largest > 0.3 else 20
    return math.ceil(largest * steps - 1e-9) / steps


def finish_bar(bar: Any, scale: Scale, size: float) -> None:
    """Round ticks (0.0, 0.2 ... where the values allow it), the name of the quantity, no frame."""
    from matplotlib.ticker import MaxNLocator, MultipleLocator

    span = scale.high - scale.low
    step = next((s for s in (0.2, 0.1, 0.05) if scale.low >= 0 and 2.4 * s <= span <= 6 * s), None)
    bar.locator = MaxNLocator(5, steps=[1, 2, 5, 10]) if step is None else MultipleLocator(step)
    bar.update_ticks()
    bar.outline.set_visible(False)
    bar.ax.tick_params(labelsize=size, length=0, pad=2)
    bar.set_label(scale.name, fontsize=size, labelpad=3)
