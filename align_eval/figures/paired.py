"""Two maps with the same columns, one above the other on one colour scale: the whole sentence against a masked one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from align_eval.errors import InputError, UnknownNameError
from align_eval.figures.map_layout import LINE, MARGIN, STRIP, Layout, lay_out
from align_eval.figures.panel import Panel, Scale, draw_map, panel_of, round_top, scale_bar
from align_eval.figures.style import (
    DIFFERENCE_MAP,
    HEAT_MAP,
    MIN_TEXT_SIZE,
    QUIET_COLOUR,
    TEXT_SIZE,
    Width,
    axes_at,
    families,
    new_figure,
    style,
    text_at,
    width_in_inches,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from align_eval.signals.matrix import ScoreMatrix

Arrangement = Literal["stacked", "side by side"]


def paired_heatmaps(
    full: Panel | ScoreMatrix,
    masked: Panel | ScoreMatrix,
    *,
    quantity: str = "attention weight",
    model: str = "",
    head: str = "",
    rule: str = "",
    title: str = "",
    rows: str = "",
    columns: str = "",
    arrangement: Arrangement = "stacked",
    gold: bool = False,
    gold_name: str = "gold",
    difference: bool = False,
    top: float | None = None,
    width: Width | None = None,
    axes: Sequence[Axes] | None = None,
) -> Figure:
    """Draw two maps with the same columns and one colour bar at the right, over the height of both.

    Values run from 0 (black) to the largest of both maps (near white; rounded up to a round number). Rows that were
    masked have labels and a strip in vermilion. Any two maps with the same columns can be paired: two
    masks, layers or models.

    Args:
        full, masked: the first and the second map; :class:`~align_eval.signals.matrix.ScoreMatrix` with one
            layer and head become panels with :func:`~align_eval.figures.panel.panel_of`.
        quantity: what the values are; it stands at the colour bar.
        model, head, rule: name of the model, layer and head, and how the head was chosen; they stand above the maps.
        title: the first line of the figure.
        rows, columns: what the two axes are, such as their languages.
        arrangement: ``"stacked"`` or ``"side by side"``.
        gold: frame the cells of gold links, sure ones with full lines, possible ones dashed.
        gold_name: what these links are called, such as ``"silver"``.
        difference: a third panel, second map less first, with a colour scale of its own around 0.
        top: upper end of the colour scale; ``None``: the largest value of both maps.
        width: ``"one"`` or ``"two"`` columns of a paper; ``None``: as large as the labels ask for.
        axes: draw into these two axes (three with the difference) instead of into a new figure.

    Returns:
        the figure; write it with :func:`align_eval.figures.style.save`.

    Raises:
        InputError: the maps have other columns; ``difference`` of maps with other numbers of rows; ``gold`` without
            gold links; another number of axes.
        UnknownNameError: another arrangement or width.

    Warns:
        AlignEvalWarning: text would be smaller than 5 points at that width; the figure is wider.
    """
    first, second = (p if isinstance(p, Panel) else panel_of(p) for p in (full, masked))
    if first.column_labels != second.column_labels:
        raise InputError(
            _unequal(first.column_labels, second.column_labels), remedy="Pair maps of the same sentence on that side"
        )
    panels = [first, second]
    if difference:
        if first.values.shape != second.values.shape:
            raise InputError(
                f"no difference between maps of {first.values.shape[0]} and {second.values.shape[0]} rows",
                remedy="Leave the difference out",
            )
        panels.append(_difference(first, second))
    if gold and all(panel.gold is None for panel in panels):
        raise InputError("no gold links to frame", remedy="Give the panels gold, or leave the frames out")
    low = min(0.0, *(float(p.values.min()) for p in (first, second)))
    high = round_top(max(float(p.values.max()) for p in (first, second))) if top is None else top
    scales = [Scale(low, max(high, low + 1e-9), HEAT_MAP, quantity)] * 2
    if difference:
        limit = max(float(np.abs(panels[2].values).max()), 1e-9)
        scales.append(Scale(-limit, limit, DIFFERENCE_MAP, "difference"))
    notes = [quantity, model, head, rule and f"chosen: {rule}"]
    if gold:
        dashed = any(p.possible is not None and p.possible.any() for p in panels)
        notes.append(f"framed: {gold_name} links{' (dashed: possible)' if dashed else ''}")
    if first.marked_rows or second.marked_rows:
        notes.append("orange labels: masked words")
    return draw_panels(
        panels,
        scales,
        title=title,
        caption=" · ".join(note for note in notes if note),
        names=(rows, columns),
        arrangement=arrangement,
        gold=gold,
        width=width,
        axes=axes,
    )


def heatmap(
    panel: Panel | ScoreMatrix,
    *,
    quantity: str = "attention weight",
    caption: str = "",
    gold: bool = False,
    top: float | None = None,
    width: Width | None = None,
    axes: Axes | None = None,
) -> Figure:
    """Draw one map in the same look; arguments as of :func:`paired_heatmaps`."""
    one = panel if isinstance(panel, Panel) else panel_of(panel)
    low = min(0.0, float(one.values.min()))
    high = round_top(float(one.values.max())) if top is None else top
    scale = Scale(low, max(high, low + 1e-9), HEAT_MAP, quantity)
    places = None if axes is None else [axes]
    return draw_panels([one], [scale], caption=caption, gold=gold, width=width, axes=places)


def draw_panels(
    panels: Sequence[Panel],
    scales: Sequence[Scale],
    *,
    title: str = "",
    caption: str = "",
    names: tuple[str, str] = ("", ""),
    arrangement: Arrangement = "stacked",
    gold: bool = False,
    width: Width | None = None,
    axes: Sequence[Axes] | None = None,
) -> Figure:
    """Draw panels with the same columns; those with equal scales share a colour bar, the last may have its own.

    Raises:
        InputError: another number of axes than of panels.
        UnknownNameError: another arrangement or width.
    """
    if arrangement not in ("stacked", "side by side"):
        raise UnknownNameError("arrangement", arrangement, ("stacked", "side by side"))
    own_bar = len(scales) > 1 and scales[-1] != scales[0]
    if axes is not None:
        return _into(axes, panels, scales, gold, "\n".join(text for text in (title, caption) if text))
    layout = lay_out(
        panels,
        stacked=arrangement == "stacked",
        difference=own_bar,
        title=title,
        caption=caption,
        width=width_in_inches(width),
        names=names,
    )
    with style(layout.size):
        figure = new_figure(layout.width, layout.height, placed=True)
        _heading(figure, layout)
        bars = iter(layout.bars)
        for number, (panel, scale) in enumerate(zip(panels, scales, strict=True)):
            place = layout.maps[number]
            axis = axes_at(figure, *place)
            image = draw_map(axis, panel, scale, size=layout.size, gold=gold, strip=STRIP / layout.cell)
            _lines(figure, layout.panel_titles[number], place[0], place[1] - 0.03, layout.size, above=True)
            _names(figure, names, number, layout, last=arrangement != "stacked" or number == len(panels) - 1)
            if number == 0 or scale != scales[number - 1]:
                scale_bar(figure, image, scale, layout.small, cax=axes_at(figure, *next(bars)))
    return figure


def _difference(first: Panel, second: Panel) -> Panel:
    return Panel(
        np.asarray(second.values, dtype=np.float64) - np.asarray(first.values, dtype=np.float64),
        second.row_labels,
        second.column_labels,
        "Second map less first",
        second.marked_rows,
        second.gold if second.gold is not None else first.gold,
        second.possible if second.gold is not None else first.possible,
    )


def _unequal(first: Sequence[str], second: Sequence[str]) -> str:
    if len(first) != len(second):
        return f"the maps have {len(first)} and {len(second)} columns"
    place = next(k for k, (a, b) in enumerate(zip(first, second, strict=True)) if a != b)
    return f"column {place + 1} of the maps is {first[place]!r} in one and {second[place]!r} in the other"


def _into(axes: Sequence[Axes], panels: Sequence[Panel], scales: Sequence[Scale], gold: bool, head: str) -> Figure:
    """Draw into axes that someone else placed; the text takes what room their cells have."""
    if len(axes) != len(panels):
        raise InputError(f"{len(axes)} axes for {len(panels)} panels")
    figure: Any = axes[0].figure
    images = []
    for number, (axis, panel, scale) in enumerate(zip(axes, panels, scales, strict=True)):
        width, height = axis.get_position().size * figure.get_size_inches()
        cell = min(width / len(panel.column_labels), height / len(panel.row_labels))
        size = min(TEXT_SIZE, max(MIN_TEXT_SIZE, 72 * 0.8 * cell))
        with style(size):
            images.append(draw_map(axis, panel, scale, size=size, gold=gold))
            heading = "\n".join(text for text in (head if number == 0 else "", panel.title) if text)
            axis.set_title(heading, loc="left", fontsize=size, family=families(heading))
    with style():
        own = len(scales) > 1 and scales[-1] != scales[0]
        shared = list(axes[:-1]) if own else list(axes)
        scale_bar(figure, images[0], scales[0], TEXT_SIZE, ax=shared, fraction=0.05, pad=0.02)
        if own:
            scale_bar(figure, images[-1], scales[-1], TEXT_SIZE, ax=[axes[-1]], fraction=0.05, pad=0.02)
    return figure


def _heading(figure: Figure, layout: Layout) -> None:
    weight = "bold" if all(line.isascii() for line in layout.title) else "normal"  # not every font has bold letters
    y = _lines(figure, layout.title, MARGIN, MARGIN, layout.size, weight=weight)
    _lines(figure, layout.caption, MARGIN, y, layout.small, color=QUIET_COLOUR)


def _lines(
    figure: Figure,
    lines: Sequence[str],
    x: float,
    y: float,
    size: float,
    above: bool = False,
    **more: Any,
) -> float:
    """Write lines downwards from ``y`` inches (upwards to it, if ``above``); returns where they end."""
    step = LINE * size / 72
    y -= step * len(lines) if above else 0.0
    for line in lines:
        text_at(figure, x, y + 0.5 * step, line, fontsize=size, va="center_baseline", **more)
        y += step
    return y


def _names(figure: Figure, names: tuple[str, str], number: int, layout: Layout, *, last: bool) -> None:
    """What the axes are: at the left of every map, and below the labels of the lowest ones."""
    left, top, width, height = layout.maps[number]
    text: dict[str, Any] = {"fontsize": layout.size, "color": QUIET_COLOUR, "ha": "center"}
    if names[0]:
        x = left - layout.lefts[number] - 0.5 * LINE * layout.size / 72
        text_at(figure, x, top + height / 2, names[0], rotation=90, va="center", **text)
    if names[1] and last:
        text_at(figure, left + width / 2, top + height + layout.below, names[1], va="top", **text)
