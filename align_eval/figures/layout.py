"""One map and how it is drawn, and where maps, labels, titles and colour bars stand: by the measured size of labels."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from align_eval.errors import AlignEvalWarning
from align_eval.figures import style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

Box = tuple[float, float, float, float]
"""Left, top, width and height in inches; top is counted from the upper edge."""

MARGIN = 0.05
GAP = 0.16  # between maps
LABEL_GAP = 0.035  # between a label and the map
STRIP = 0.09  # beside the map: the mark of masked rows
BAR_GAP, BAR, BAR_TEXT = 0.09, 0.11, 0.46  # a colour bar: distance, width, ticks and name
LARGEST_CELL, USUAL_CELL, SMALLEST_CELL = 0.3, 0.2, 0.125
USUAL_LENGTH = 8.0  # inches: beyond it cells shrink, down to the smallest
NARROWEST = 2.4  # inches, so that the caption has room
FILL = 0.97  # part of a cell that a label may take
SMALL = 0.875  # size of captions, of the text's
LINE = 1.22  # lines of captions and titles, in sizes
MANY_CELLS = 40_000  # beyond it a map is stored as a picture inside the vector file


class Drawn(NamedTuple):
    """One map as it is drawn: values ``(Q, K)``, labels, masked rows (0-based), cells of sure and of possible gold."""

    values: NDArray[np.floating]
    rows: Sequence[str]
    columns: Sequence[str]
    title: str = ""
    masked: Sequence[int] = ()
    sure: NDArray[np.bool_] | None = None
    possible: NDArray[np.bool_] | None = None


class Scale(NamedTuple):
    """Colours of values from ``low`` to ``high``, and the name at the colour bar."""

    low: float
    high: float
    colours: str
    name: str


@dataclass(frozen=True)
class Layout:
    """Places of everything, in inches, and the sizes of text in points."""

    width: float
    height: float
    cell: float  # its side
    size: float  # text of labels and titles
    small: float  # text of the caption
    maps: Sequence[Box]
    lefts: Sequence[float]  # room of the row labels at the left of each map
    below: float  # room of the column labels below the maps
    bars: Sequence[Box]  # the shared colour bar, and the difference's if there is one
    title: Sequence[str]  # its lines
    caption: Sequence[str]
    map_titles: Sequence[Sequence[str]]


def lay_out(
    maps: Sequence[Drawn], *, stacked: bool, difference: bool, title: str, caption: str, width: float | None,
    names: tuple[str, str] = ("", ""),
) -> Layout:  # fmt: skip
    """Find the sizes at which every label has its place and none touches another.

    Without a width (inches) the cells have a size by rule (0.2 inch; less, down to 0.125, where the maps would become
    longer than 8 inches) and the figure grows with the sentence. With one the cells take what the labels leave of it.
    All maps have the same columns; ``difference``: the last one has its own colour bar; ``names``: of rows and columns.

    Warns:
        AlignEvalWarning: labels would be smaller than 5 points at that width; the figure is wider than asked for.
    """
    labels = [style.measure(one.rows, bold=one.masked) for one in maps]
    below = style.measure(maps[0].columns, columns=True)
    columns, across = len(maps[0].columns), 1 if stacked else len(maps)
    label_widths = [float(found[:, 0].max()) for found in labels]
    if stacked:
        label_widths = [max(label_widths)]
    bar_width = BAR_GAP + BAR + BAR_TEXT
    name_left = LINE * style.TEXT_SIZE / 72 if names[0] else 0.0
    bars = 2 if difference and not stacked else 1
    fixed = 2 * MARGIN + name_left + across * (STRIP + LABEL_GAP) + (across - 1) * GAP + bars * bar_width
    # Inches of cell that a point of text needs.
    per_point = max(float(below[:, 0].max()), *(float(found[:, 1].max()) for found in labels)) / FILL / 72
    if width is None:
        longest = max(columns, sum(len(one.rows) for one in maps) if stacked else columns * across)
        cell = min(USUAL_CELL, max(SMALLEST_CELL, USUAL_LENGTH / longest))
        size = min(style.TEXT_SIZE, max(style.MIN_TEXT_SIZE, cell / per_point))
        cell = max(cell, size * per_point)
    else:
        size = (width - fixed) / (per_point * columns * across + sum(label_widths) / 72)
        if size < style.MIN_TEXT_SIZE:
            cell, size = style.MIN_TEXT_SIZE * per_point, style.MIN_TEXT_SIZE
        else:
            size = min(style.TEXT_SIZE, size)
            cell = min(LARGEST_CELL, (width - fixed - size * sum(label_widths) / 72) / (columns * across))
    lefts = [size * label / 72 + STRIP + LABEL_GAP for label in label_widths]
    used = fixed - across * (STRIP + LABEL_GAP) + sum(lefts) + across * columns * cell
    if width is not None and used > width + 1e-6:
        warnings.warn(
            f"{columns} columns do not fit {width} inches with text of {style.MIN_TEXT_SIZE:g} points: the figure is "
            f"{used:.1f} inches wide. Draw words instead of subwords, choose the wider column, or stack the maps",
            AlignEvalWarning,
            stacklevel=4,
        )
    full_width = max(used, NARROWEST if width is None else width)
    small = max(style.MIN_TEXT_SIZE, SMALL * size)
    title_lines, caption_lines = (
        style.wrap(text, points, full_width - 2 * MARGIN) if text else []
        for text, points in ((title, size), (caption, small))
    )
    top = MARGIN + LINE / 72 * (size * len(title_lines) + small * len(caption_lines))
    top += 0.06 if title_lines or caption_lines else 0.0
    label_room = size * float(below[:, 1].max()) / 72 + LABEL_GAP + 0.02
    map_width = columns * cell
    titles = [
        style.wrap(one.title, size, map_width + (bar_width if stacked else lefts[k])) if one.title else []
        for k, one in enumerate(maps)
    ]
    x = name_left + MARGIN + (full_width - used) / 2
    boxes: list[Box] = []
    if not stacked:
        top += max(map(len, titles)) * LINE * size / 72 + 0.03
    for k, one in enumerate(maps):
        if stacked:
            top += len(titles[k]) * LINE * size / 72 + 0.03
        else:
            x += lefts[k]
        boxes.append((x + (lefts[0] if stacked else 0.0), top, map_width, len(one.rows) * cell))
        if stacked:
            top += boxes[-1][3] + label_room + GAP
        else:
            x += map_width + GAP + (bar_width if difference and k == len(maps) - 2 else 0.0)
    bottom = top - GAP if stacked else top + max(box[3] for box in boxes) + label_room
    bottom += LINE * size / 72 if names[1] else 0.0
    groups = [boxes[:-1], boxes[-1:]] if difference else [boxes]
    return Layout(
        full_width, bottom + MARGIN, cell, size, small, boxes, lefts * (len(maps) if stacked else 1), label_room,
        [_beside(group) for group in groups], title_lines, caption_lines, titles,
    )  # fmt: skip


def _beside(maps: Sequence[Box]) -> Box:
    """The colour bar at the right of maps, over the height of all."""
    top = maps[0][1]
    bottom = max(box[1] + box[3] for box in maps)
    return (maps[-1][0] + maps[-1][2] + BAR_GAP, top, BAR, bottom - top)


def draw_map(axes: Axes, one: Drawn, scale: Scale, *, size: float, strip: float = 0.45) -> Any:
    """Draw one map without title and colour bar; returns what a colour bar is made from.

    ``size``: of the labels, in points; ``strip``: width of the strip beside masked rows, in cells.
    """
    from matplotlib.patches import Rectangle

    rows, columns = one.values.shape
    limits: dict[str, Any] = {"cmap": scale.colours, "vmin": scale.low, "vmax": scale.high}
    if rows * columns > MANY_CELLS:
        image: Any = axes.imshow(one.values, aspect="auto", interpolation="nearest", **limits)
    else:
        edges = (np.arange(columns + 1) - 0.5, np.arange(rows + 1) - 0.5)
        image = axes.pcolormesh(*edges, one.values, edgecolors="face", linewidth=0.4, **limits)
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
    style.label_columns(axes, one.columns, size)
    texts = style.label_rows(axes, one.rows, size)
    for row in one.masked:
        texts[row].set_color(style.MASK_COLOUR)
        if one.rows[row].isascii():  # not every font has bold letters
            texts[row].set_fontweight("bold")
        place = (-0.5 - 0.75 * strip, row - 0.5)
        axes.add_patch(Rectangle(place, 0.5 * strip, 1, color=style.MASK_COLOUR, lw=0, clip_on=False))
    for cells, dashes in ((one.possible, (0, (2.0, 1.4))), (one.sure, "-")):
        if cells is not None:
            colour = style.GOLD_ON_DARK if scale.colours == style.HEAT_MAP else "#000000"
            _frame(axes, cells, dashes, min(1.3, 6.5 * cell), colour)
    return image


def _frame(axes: Axes, cells: NDArray[np.bool_], dashes: Any, line: float, colour: str) -> None:
    """Outline each group of cells that touch by a side."""
    from matplotlib.collections import LineCollection

    padded = np.pad(cells, 1)
    segments = []
    for i, j in zip(*np.nonzero(cells), strict=True):
        x, y = j - 0.5, i - 0.5
        sides = (
            ((0, 1), (x, y), (x + 1, y)), ((2, 1), (x, y + 1), (x + 1, y + 1)),
            ((1, 0), (x, y), (x, y + 1)), ((1, 2), (x + 1, y), (x + 1, y + 1)),
        )  # fmt: skip
        segments += [[start, end] for (row, column), start, end in sides if not padded[i + row, j + column]]
    axes.add_collection(
        LineCollection(segments, colors=colour, linewidths=line, linestyles=[dashes], clip_on=False, zorder=3),
        autolim=False,
    )


def round_top(largest: float) -> float:
    """The upper end of a colour scale for fractions: the next tenth (of small values: the next twentieth).

    Values above 1 are no fractions and stay.

    >>> round_top(0.79), round_top(0.21), round_top(3.2)
    (0.8, 0.25, 3.2)
    """
    if not 0.05 <= largest <= 1:
        return largest
    steps = 10 if largest > 0.3 else 20
    return math.ceil(largest * steps - 1e-9) / steps


def scale_bar(figure: Figure, image: Any, scale: Scale, size: float, **where: Any) -> None:
    """The colour bar of a scale, with round ticks: 0.0, 0.2 ... where the values allow it."""
    from matplotlib.ticker import MaxNLocator, MultipleLocator

    span = scale.high - scale.low
    step = next((s for s in (0.2, 0.1, 0.05) if scale.low >= 0 and 2.4 * s <= span <= 6 * s), None)
    bar = style.colour_bar(figure, image, scale.name, size, **where)
    bar.locator = MaxNLocator(5, steps=[1, 2, 5, 10]) if step is None else MultipleLocator(step)
    bar.update_ticks()
