"""All heads of a model as a grid, layer 1 to L down and head 1 to H across, and one of them in full beside it."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from align_eval.errors import InputError
from align_eval.figures.labels import bracket_below, bracket_right, label_columns, label_rows, measure
from align_eval.figures.style import (
    HEAT_MAP,
    MIN_TEXT_SIZE,
    QUIET_COLOUR,
    TWO_COLUMNS,
    axes_at,
    colour_bar,
    new_figure,
    style,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

OUTLINE = "#FFD400"
EDGE = "#6B5900"  # a thin dark edge, without which yellow is lost on white paper
BETWEEN = "#8C8C8C"  # lines between thumbnails
THUMBNAIL = 48  # pixels of a side at most
SMALL = 6.5
Span = tuple[str, int, int]
"""A name, the first subword and the last + 1, 0-based."""


def head_grid(
    values: NDArray[np.floating],
    *,
    quantity: str = "saliency",
    cell: tuple[int, int] | None = None,
    thumbnails: NDArray[np.floating] | None = None,
    axes: Axes | None = None,
) -> Figure:
    """Draw one cell a head, dark at 0.

    Args:
        values: ``(L, H)``, not below 0.
        quantity: what they are; it stands at the colour bar.
        cell: layer and head, from 1, to outline in yellow.
        thumbnails: ``(L, H, Q, K)``: draw these maps small in place of the numbers, all on one scale, the colour by
            the square root. A map of more than 48 rows or columns is reduced by the maximum of each block.
        axes: draw here instead of into a new figure; no colour bar is drawn then.

    Returns:
        the figure; write it with :func:`align_eval.figures.style.save`.

    Raises:
        InputError: a wrong shape, a value that is no number, or no such head.
    """
    from matplotlib.colors import PowerNorm

    layers, heads = _checked(values, 2)
    if cell is not None and not (1 <= cell[0] <= layers and 1 <= cell[1] <= heads):
        raise InputError(f"no layer {cell[0]}, head {cell[1]}: there are {layers} layers of {heads} heads")
    if thumbnails is not None and thumbnails.shape[:2] != values.shape:
        raise InputError(f"maps of {thumbnails.shape[:2]} heads for a grid of {values.shape}")
    shown = values if thumbnails is None else _mosaic(thumbnails)
    with style():
        own = axes is None
        if axes is None:
            figure = new_figure(1.1 + 0.2 * heads, 1.0 + 0.2 * layers)
            axes = figure.add_subplot()
        else:
            figure = axes.get_figure(root=True)  # type: ignore[assignment]
        image = axes.imshow(
            shown, cmap=HEAT_MAP, norm=PowerNorm(1.0 if thumbnails is None else 0.5, 0, _top(shown)),
            extent=(0.5, heads + 0.5, layers + 0.5, 0.5), interpolation="nearest", aspect="auto",
        )  # fmt: skip
        if thumbnails is not None:
            axes.hlines(np.arange(1, layers) + 0.5, 0.5, heads + 0.5, color=BETWEEN, lw=0.3)
            axes.vlines(np.arange(1, heads) + 0.5, 0.5, layers + 0.5, color=BETWEEN, lw=0.3)
        _number(axes, layers, heads)
        if cell is not None:
            _outline(axes, cell)
        if own:
            axes.set_aspect("equal")
            colour_bar(figure, image, quantity, ax=axes, fraction=0.06, pad=0.03)
    return figure


def token_map(
    values: NDArray[np.floating],
    queries: Sequence[str],
    keys: Sequence[str],
    *,
    quantity: str = "saliency",
    title: str = "",
    key_groups: Sequence[Span] = (),
    query_groups: Sequence[Span] = (),
    size: float = 7.0,
    axes: Axes | None = None,
) -> Figure:
    """Draw the map of one head: rows are queries, columns keys, dark at 0; brackets outside the labels name spans.

    Args:
        values: ``(Q, K)``, not below 0.
        queries, keys: the subwords of rows and columns; rows are labelled on the right.
        quantity: what the values are; it stands at the colour bar.
        title: above the map.
        key_groups, query_groups: spans to bracket on each axis.
        size: of the labels, in points.
        axes: draw here instead of into a new figure; it should leave room on its right and below, and gets no colour
            bar.

    Returns:
        the figure.

    Raises:
        InputError: a wrong shape, a value that is no number, or a span outside of the axis.
    """
    rows, columns = _checked(values, 2)
    if (rows, columns) != (len(queries), len(keys)):
        raise InputError(f"a map of {values.shape} for {len(queries)} queries and {len(keys)} keys")
    for name, start, end in (*((*g[:2], g[2] if g[2] <= columns else -1) for g in key_groups), *query_groups):
        if not 0 <= start < end <= max(rows, columns):
            raise InputError(f"group {name!r} is not inside of the axis")
    with style():
        if axes is None:
            figure = new_figure(1.9 + 0.2 * columns, 1.2 + 0.2 * rows)
            axes = figure.add_subplot()
            own = True
        else:
            figure, own = axes.get_figure(root=True), False  # type: ignore[assignment]
        image = axes.imshow(values, cmap=HEAT_MAP, vmin=0, vmax=_top(values), interpolation="nearest", aspect="equal")
        axes.yaxis.tick_right()
        axes.tick_params(pad=2)
        label_rows(axes, queries, size)
        label_columns(axes, keys, size)
        axes.set_ylabel("query", color=QUIET_COLOUR, fontsize=SMALL, labelpad=2)
        if title:
            axes.set_title(title, loc="left", pad=4, fontsize=7.5)
        _, below, beside = _room(queries, keys, size)
        depth = 0.0
        if key_groups:
            depth = bracket_below(axes, key_groups, 0.06 + below, size)
        axes.annotate(
            "key", (0.5, 0), (0, -72 * (0.09 + below + depth)), xycoords="axes fraction", textcoords="offset points",
            ha="center", va="top", color=QUIET_COLOUR, fontsize=SMALL,
        )  # fmt: skip
        if query_groups:
            bracket_right(axes, query_groups, 0.06 + beside, size)
        if own:
            colour_bar(figure, image, quantity, ax=axes, fraction=0.05, pad=0.02)
    return figure


def head_zoom(
    values: NDArray[np.floating],
    cell: tuple[int, int],
    zoomed: NDArray[np.floating],
    queries: Sequence[str],
    keys: Sequence[str],
    *,
    quantity: str = "saliency",
    grid_quantity: str = "greatest saliency of the head",
    title: str = "",
    key_groups: Sequence[Span] = (),
    query_groups: Sequence[Span] = (),
    thumbnails: NDArray[np.floating] | None = None,
) -> Figure:
    """Draw the grid of heads and, led to by two yellow lines, the map of the head outlined in it.

    The figure is as wide as two columns of a paper, and wider where the subwords would be too small to read.

    Args:
        values, cell, thumbnails: see :func:`head_grid`; ``grid_quantity`` stands at its colour bar.
        zoomed, queries, keys, quantity, title, key_groups, query_groups: see :func:`token_map`.

    Returns:
        the figure; write it with :func:`align_eval.figures.style.save`.

    Raises:
        InputError: see both.
    """
    from matplotlib.patches import ConnectionPatch

    layers, heads = _checked(values, 2)
    rows, columns = _checked(zoomed, 2)
    with style():
        size, below, beside = _room(queries, keys, 7.0)
        right = 0.1 + beside + (0.32 if query_groups else 0.06)
        bottom = 0.12 + below + (0.3 if key_groups else 0.02) + 0.16
        grid_width = min(2.3, max(1.25, 0.17 * heads))
        left, gap, bar_room = 0.44, 0.52, 0.62
        free = TWO_COLUMNS - left - grid_width - gap - right - bar_room
        pitch = max(min(free / columns, 0.34, 4.6 / rows), 1.12 * MIN_TEXT_SIZE / 72)
        size = min(size, max(MIN_TEXT_SIZE, 72 * pitch / 1.12))
        panel = (pitch * columns, pitch * rows)
        top = 0.42
        grid_height = max(min(grid_width * layers / heads, panel[1] + bottom - 0.3), min(panel[1], 4.0), 1.2)
        height = top + max(grid_height + 0.75, panel[1] + bottom)
        width = left + grid_width + gap + panel[0] + right + bar_room
        figure = new_figure(width, height, placed=True)
        grid = axes_at(figure, left, top, grid_width, grid_height)
        head_grid(values, cell=cell, thumbnails=thumbnails, axes=grid)
        below_grid = axes_at(figure, left, top + grid_height + 0.1, grid_width, 0.08)
        _bar(figure, grid, below_grid, grid_quantity, "horizontal")
        start = left + grid_width + gap
        detail = axes_at(figure, start, top, *panel)
        token_map(
            zoomed, queries, keys, title=title, key_groups=key_groups, query_groups=query_groups, size=size,
            axes=detail,
        )  # fmt: skip
        _bar(figure, detail, axes_at(figure, start + panel[0] + right, top, 0.1, panel[1]), quantity, "vertical")
        for corner, y in ((1.0, cell[0] - 0.5), (0.0, cell[0] + 0.5)):
            line = ConnectionPatch(
                (cell[1] + 0.5, y), (0, corner), coordsA=grid.transData, coordsB=detail.transAxes, color=OUTLINE, lw=1.1
            )
            line.set_path_effects(_edge(1.8))
            figure.add_artist(line)
    return figure


def _room(queries: Sequence[str], keys: Sequence[str], size: float) -> tuple[float, float, float]:
    """The size of the labels, and the inches that they take below and beside a map."""
    below = float(measure(keys, columns=True)[:, 1].max(initial=0)) * size / 72
    beside = float(measure(queries)[:, 0].max(initial=0)) * size / 72
    return size, below, beside


def _bar(figure: Figure, axes: Axes, place: Any, quantity: str, orientation: str) -> None:
    flat = orientation == "horizontal"
    name = textwrap.fill(quantity, 24) if flat else quantity
    bar = colour_bar(figure, axes.images[0], name, SMALL, cax=place, orientation=orientation)
    bar.ax.locator_params(nbins=3 if flat else 6)


def _number(axes: Axes, layers: int, heads: int) -> None:
    axes.set_xticks(_some(heads, 16), [str(k) for k in _some(heads, 16)], fontsize=SMALL)
    axes.set_yticks(_some(layers, 16), [str(k) for k in _some(layers, 16)], fontsize=SMALL)
    axes.xaxis.tick_top()
    axes.xaxis.set_label_position("top")
    axes.tick_params(pad=2)
    axes.set_xlabel("head", labelpad=2)
    axes.set_ylabel("layer", labelpad=2)


def _some(count: int, most: int) -> list[int]:
    """1 to ``count``, or every second, fifth, tenth ... of them and the first."""
    for step in (1, 2, 5, 10, 20, 50, 100):
        if count / step <= most:
            return sorted({1, *range(step, count + 1, step)})
    return [1, count]


def _outline(axes: Axes, cell: tuple[int, int]) -> None:
    from matplotlib.patches import Rectangle

    frame = Rectangle(
        (cell[1] - 0.5, cell[0] - 0.5), 1, 1, fill=False, ec=OUTLINE, lw=1.3, clip_on=False, zorder=5
    )  # fmt: skip
    frame.set_path_effects(_edge(2.0))
    axes.add_patch(frame)


def _edge(width: float) -> list[Any]:
    from matplotlib.patheffects import withStroke

    return [withStroke(linewidth=width, foreground=EDGE)]


def _mosaic(maps: NDArray[np.floating]) -> NDArray[np.floating]:
    """Maps ``(L, H, Q, K)`` as one picture, each reduced to 48 pixels a side."""
    layers, heads, rows, columns = maps.shape
    r, c = min(rows, THUMBNAIL), min(columns, THUMBNAIL)
    small = np.maximum.reduceat(maps, np.arange(r) * rows // r, axis=2)
    small = np.maximum.reduceat(small, np.arange(c) * columns // c, axis=3)
    return small.transpose(0, 2, 1, 3).reshape(layers * r, heads * c)


def _top(values: NDArray[np.floating]) -> float:
    """The upper end of the colour scale; 1 if nothing is above 0."""
    return float(np.nanmax(values, initial=0)) or 1.0


def _checked(values: NDArray[np.floating], axes: int) -> tuple[int, int]:
    if values.ndim != axes or 0 in values.shape:
        raise InputError(f"a map of shape {values.shape}: two axes that are not empty are drawn")
    if not np.isfinite(values).all():
        raise InputError("a value to draw is NaN or infinite", remedy="Leave that cell out, or mend what made it")
    return values.shape[0], values.shape[1]
