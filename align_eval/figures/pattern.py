"""A context pattern: which query attends to which key, as a binary map with sharp cells."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING

import numpy as np

from align_eval.errors import InputError
from align_eval.figures import style

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from matplotlib.path import Path
    from numpy.typing import NDArray

    BoolArray = NDArray[np.bool_]

# Yellow and dark purple, the ends of viridis: apart in lightness, for grey print and colour-blind readers.
ATTENDS, ATTENDS_NOT = "#fde725", "#440154"
MOST_TICKS = 5
# Up to this length a cell has several pixels of a PNG, and its edges are hard. Cells of longer patterns may be smaller
# than a pixel, which then takes their mean: with hard edges it would be yellow if any of them is.
MOST_SHARP = 128
LETTERS = 44  # in a line of the title


def context_pattern(
    pattern: BoolArray, *, title: str = "", x_label: str = "Context Length", y_label: str = "Context Length",
) -> Figure:  # fmt: skip
    """Draw a pattern ``(queries, keys)``: queries down, keys across, yellow where a query attends to a key.

    The cells that attend are one filled outline, not an image: they stay sharp at any size, in vector files too.

    Raises:
        InputError: the pattern is no matrix, or is empty.
    """
    from matplotlib.patches import Patch, PathPatch

    pattern = np.asarray(pattern, dtype=bool)
    if pattern.ndim != 2 or not pattern.size:
        raise InputError(f"a pattern of shape {pattern.shape}", remedy="Give a matrix, queries x keys")
    rows, columns = pattern.shape
    wide = style.ONE_COLUMN
    with style.settings():
        figure = style.new_figure(wide, min(2 * wide, (wide - 0.6) * rows / columns + 0.75))
        axes = figure.add_subplot()
        axes.set_facecolor(ATTENDS_NOT)
        smooth = max(rows, columns) > MOST_SHARP
        axes.add_patch(PathPatch(outline(pattern), facecolor=ATTENDS, linewidth=0, antialiased=smooth))
        axes.set(xlim=(0, columns), ylim=(rows, 0), aspect="equal", xticks=ticks(columns), yticks=ticks(rows))
        axes.set(xlabel=x_label, ylabel=y_label)
        axes.tick_params(length=2.5, width=0.6)
        if title:
            axes.set_title(textwrap.fill(title, LETTERS), loc="left")
        figure.legend(
            handles=[
                Patch(facecolor=ATTENDS, edgecolor=ATTENDS_NOT, linewidth=0.5, label="attends (row to column)"),
                Patch(facecolor=ATTENDS_NOT, label="does not"),
            ],
            loc="outside lower center", ncols=2, frameon=False, handlelength=1.0, columnspacing=1.2,
        )  # fmt: skip
    return figure


def ticks(length: int) -> list[int]:
    """Places of ticks from 0, a power of two apart, at most :data:`MOST_TICKS` of them; the first power that does.

    >>> ticks(64), ticks(20)
    ([0, 16, 32, 48, 64], [0, 8, 16])
    """
    step = 1
    while length // step + 1 > MOST_TICKS:
        step *= 2
    return list(range(0, length + 1, step))


def outline(pattern: BoolArray) -> Path:
    """The cells that are true as one path: a rectangle, clockwise on the page, for each run of them in a row.

    Cell (row, column) is the square from (column, row) to (column + 1, row + 1). In one path the borders that
    rectangles share cancel out, so that no seam shows between them.
    """
    from matplotlib.path import Path

    edges = np.diff(np.pad(np.asarray(pattern, dtype=np.int8), ((0, 0), (1, 1))), axis=1)
    rows, left = np.nonzero(edges == 1)
    right = np.nonzero(edges == -1)[1]
    x = np.stack([left, right, right, left, left], axis=1)
    y = np.stack([rows, rows, rows + 1, rows + 1, rows], axis=1)
    codes = [Path.MOVETO, Path.LINETO, Path.LINETO, Path.LINETO, Path.CLOSEPOLY] * len(rows)
    return Path(np.stack([x.ravel(), y.ravel()], axis=1).astype(float), codes)
