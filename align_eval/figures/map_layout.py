"""Where maps, labels, titles and colour bars stand on a page: computed from the measured size of every label."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from align_eval.errors import AlignEvalWarning
from align_eval.figures.labels import measure, wrap
from align_eval.figures.style import MIN_TEXT_SIZE, TEXT_SIZE

if TYPE_CHECKING:
    from align_eval.figures.panel import Panel

Box = tuple[float, float, float, float]
"""Left, top, width and height in inches; top is counted from the upper edge."""

MARGIN = 0.05
GAP = 0.16  # between panels
LABEL_GAP = 0.035  # between a label and the map
STRIP = 0.09  # beside the map: the mark of masked rows
BAR_GAP, BAR, BAR_TEXT = 0.09, 0.11, 0.46  # a colour bar: distance, width, ticks and name
LARGEST_CELL, USUAL_CELL, SMALLEST_CELL = 0.3, 0.2, 0.125
USUAL_LENGTH = 8.0  # inches: beyond it cells shrink, down to the smallest
NARROWEST = 2.4  # inches, so that the caption has room
FILL = 0.97  # share of a cell that a label may take
SMALL = 0.875  # size of captions, of the text's
LINE = 1.22  # lines of captions and titles, in sizes


@dataclass(frozen=True)
class Layout:
    """Places of everything, in inches, and the sizes of text in points.

    Attributes:
        width, height: of the figure.
        cell: side of a cell.
        size, small: text of labels and titles, text of the caption.
        maps: one box a panel.
        lefts: room of the row labels at the left of each map.
        below: room of the column labels below the maps.
        bars: the shared colour bar, and the difference panel's if there is one.
        title, caption: their lines.
        panel_titles: the lines of each panel's title.
    """

    width: float
    height: float
    cell: float
    size: float
    small: float
    maps: tuple[Box, ...]
    lefts: tuple[float, ...]
    below: float
    bars: tuple[Box, ...]
    title: tuple[str, ...]
    caption: tuple[str, ...]
    panel_titles: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class _Sizes:
    """Measured labels, in units of the size of the text."""

    rows: tuple[float, ...]  # widest row label of each panel
    columns: float  # tallest column label
    across: float  # the most that a label takes along its axis


def _measure(panels: Sequence[Panel]) -> _Sizes:
    rows = [measure(panel.row_labels, bold=panel.marked_rows) for panel in panels]
    columns = measure(panels[0].column_labels, columns=True)
    across = max(float(columns[:, 0].max()), *(float(found[:, 1].max()) for found in rows))
    return _Sizes(tuple(float(found[:, 0].max()) for found in rows), float(columns[:, 1].max()), across)


def lay_out(
    panels: Sequence[Panel],
    *,
    stacked: bool,
    difference: bool,
    title: str,
    caption: str,
    width: float | None,
    names: tuple[str, str] = ("", ""),
) -> Layout:
    """Find the sizes at which every label has its place and none touches another.

    Without a width the cells have a size by rule (0.2 inch; less, down to 0.125, where the maps would become longer
    than 8 inches) and the figure grows with the sentence. With one the cells take what the labels leave of it.

    Args:
        panels: all have the same columns; the last one is the difference if ``difference``.
        stacked: one above the other, or side by side.
        difference: whether the last panel has a colour bar of its own.
        title, caption: above the maps.
        width: inches.
        names: what rows and columns are, written beside and below the maps; empty: nothing is written.

    Warns:
        AlignEvalWarning: labels would be smaller than 5 points at that width; the figure is wider than asked for.
    """
    found = _measure(panels)
    columns, across = len(panels[0].column_labels), 1 if stacked else len(panels)
    label_widths = [max(found.rows)] if stacked else list(found.rows)
    bars = 2 if difference and not stacked else 1
    bar_width = BAR_GAP + BAR + BAR_TEXT
    name_left = LINE * TEXT_SIZE / 72 if names[0] else 0.0
    fixed = 2 * MARGIN + name_left + across * (STRIP + LABEL_GAP) + (across - 1) * GAP + bars * bar_width
    per_point = found.across / FILL / 72  # inches of cell that a point of text needs
    if width is None:
        longest = max(columns, sum(len(p.row_labels) for p in panels) if stacked else columns * across)
        cell = min(USUAL_CELL, max(SMALLEST_CELL, USUAL_LENGTH / longest))
        size = min(TEXT_SIZE, max(MIN_TEXT_SIZE, cell / per_point))
        cell = max(cell, size * per_point)
    else:
        size = (width - fixed) / (per_point * columns * across + sum(label_widths) / 72)
        if size < MIN_TEXT_SIZE:
            cell, size = MIN_TEXT_SIZE * per_point, MIN_TEXT_SIZE
        else:
            size = min(TEXT_SIZE, size)
            cell = min(LARGEST_CELL, (width - fixed - size * sum(label_widths) / 72) / (columns * across))
    lefts = [size * label / 72 + STRIP + LABEL_GAP for label in label_widths]
    used = fixed - across * (STRIP + LABEL_GAP) + sum(lefts) + across * columns * cell
    if width is not None and used > width + 1e-6:
        warnings.warn(
            f"{columns} columns do not fit {width} inches with text of {MIN_TEXT_SIZE:g} points: the figure is "
            f"{used:.1f} inches wide. Draw words instead of subwords, choose the wider column, or stack the maps",
            AlignEvalWarning,
            stacklevel=4,
        )
    full_width = max(used, NARROWEST if width is None else width)
    small = max(MIN_TEXT_SIZE, SMALL * size)
    room = full_width - 2 * MARGIN
    title_lines = tuple(wrap(title, size, room)) if title else ()
    caption_lines = tuple(wrap(caption, small, room)) if caption else ()
    top = MARGIN + LINE / 72 * (size * len(title_lines) + small * len(caption_lines))
    top += 0.06 if title_lines or caption_lines else 0.0
    below = size * found.columns / 72 + LABEL_GAP + 0.02
    map_width = columns * cell
    titles = tuple(
        tuple(wrap(p.title, size, map_width + (bar_width if stacked else lefts[k]))) if p.title else ()
        for k, p in enumerate(panels)
    )
    start = MARGIN + name_left + (full_width - used) / 2
    maps: list[Box] = []
    if stacked:
        for panel, lines in zip(panels, titles, strict=True):
            top += len(lines) * LINE * size / 72 + 0.03
            maps.append((start + lefts[0], top, map_width, len(panel.row_labels) * cell))
            top += maps[-1][3] + below + GAP
        bottom = top - GAP
    else:
        top += max(len(lines) for lines in titles) * LINE * size / 72 + 0.03
        x = start
        for k, panel in enumerate(panels):
            x += lefts[k]
            maps.append((x, top, map_width, len(panel.row_labels) * cell))
            x += map_width + GAP + (bar_width if difference and k == len(panels) - 2 else 0.0)
        bottom = top + max(box[3] for box in maps) + below
    bottom += LINE * size / 72 if names[1] else 0.0
    shared = maps[:-1] if difference else maps
    places = [_beside(shared), *([_beside(maps[-1:])] if difference else [])]
    all_lefts = tuple(lefts * (len(maps) if stacked else 1))
    return Layout(
        full_width, bottom + MARGIN, cell, size, small, tuple(maps), all_lefts, below, tuple(places), title_lines,
        caption_lines, titles,
    )  # fmt: skip


def _beside(maps: Sequence[Box]) -> Box:
    """The colour bar at the right of maps, over the height of all."""
    top = maps[0][1]
    bottom = max(box[1] + box[3] for box in maps)
    return (maps[-1][0] + maps[-1][2] + BAR_GAP, top, BAR, bottom - top)
