"""Layer x token: one number for each layer, 1 to L down, at each token of an answer, across."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from align_eval.errors import InputError
from align_eval.figures.labels import label_columns, measure
from align_eval.figures.style import (
    GOLD_ON_DARK,
    HEAT_MAP,
    MIN_TEXT_SIZE,
    QUIET_COLOUR,
    TWO_COLUMNS,
    axes_at,
    colour_bar,
    new_figure,
    style,
    text_at,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

LEFT, RIGHT, TOP, GAP = 0.46, 0.62, 0.26, 0.14
SMALL = 6.5


def layer_token_map(
    values: NDArray[np.floating],
    tokens: Sequence[str],
    *,
    quantity: str,
    high: float | None = None,
    title: str = "",
    marks: Sequence[int] | None = None,
    marks_label: str = "",
    query: int | None = None,
    axes: Axes | None = None,
) -> Figure:
    """Draw layers by tokens, dark at 0 and light at ``high``.

    A new figure is as wide as two columns of a paper. More tokens than can be read in one line are continued in
    further lines below, on the same colour scale.

    Args:
        values: ``(L, T)``, not below 0.
        tokens: T labels.
        quantity: what the values are; it stands at the colour bar.
        high: the light end of the scale; ``None``: the greatest value.
        title: above the map.
        marks: T layers from 1: a blue line at the upper edge of that layer's cell, such as where a token has settled;
            a number above L draws none. ``marks_label`` says what they are.
        query: the column of the position that reads; a small triangle stands above it.
        axes: draw here in one line, without a colour bar, instead of into a new figure.

    Returns:
        the figure; write it with :func:`align_eval.figures.style.save`.

    Raises:
        InputError: a wrong shape or a value that is no number.
    """
    if values.ndim != 2 or values.shape[1] != len(tokens) or 0 in values.shape:
        raise InputError(f"a map of shape {values.shape} for {len(tokens)} tokens")
    if not np.isfinite(values).all():
        raise InputError("a value to draw is NaN or infinite")
    if marks is not None and len(marks) != len(tokens):
        raise InputError(f"{len(marks)} marks for {len(tokens)} tokens")
    layers, count = values.shape
    top = high if high is not None else float(values.max()) or 1.0
    with style():
        if axes is not None:
            _line(axes, values, tokens, 0, top, 6.5, marks, query)
            axes.set_title(title, loc="left", fontsize=7.5)
            return axes.get_figure(root=True)  # type: ignore[return-value]
        free = TWO_COLUMNS - LEFT - RIGHT
        lines = math.ceil(count / int(free / (1.15 * MIN_TEXT_SIZE / 72)))
        width = math.ceil(count / lines)
        pitch = min(free / width, 0.3)
        size = min(7.0, max(MIN_TEXT_SIZE, 72 * pitch / 1.15))
        under = float(measure(tokens, columns=True)[:, 1].max()) * size / 72 + 0.08
        tall = min(max(0.075 * layers, 0.9), 2.6)
        above = TOP + (0.09 if query is not None else 0)
        height = above + lines * (tall + under) + (lines - 1) * GAP + (0.22 if marks is not None else 0.02)
        figure = new_figure(LEFT + pitch * width + RIGHT, height, placed=True)
        for number in range(lines):
            first, last = number * width, min((number + 1) * width, count)
            y = above + number * (tall + under + GAP)
            part = axes_at(figure, LEFT, y, pitch * (last - first), tall)
            _line(part, values[:, first:last], tokens[first:last], first, top, size, marks, query)
            if not number:
                part.set_title(title, loc="left", fontsize=7.5, pad=4 + (7 if query is not None else 0))
                beside = axes_at(figure, LEFT + pitch * width + 0.1, y, 0.1, tall)
                colour_bar(figure, part.images[0], quantity, SMALL, cax=beside)
        if marks is not None:
            _legend(figure, marks_label, height)
    return figure


def _line(
    axes: Axes, values: NDArray[np.floating], tokens: Sequence[str], first: int, top: float, size: float,
    marks: Sequence[int] | None, query: int | None,
) -> None:  # fmt: skip
    """One line of tokens, of which ``first`` is the number of the first."""
    from matplotlib.patheffects import withStroke

    layers, count = values.shape
    axes.imshow(
        values, cmap=HEAT_MAP, vmin=0, vmax=top, extent=(-0.5, count - 0.5, layers + 0.5, 0.5), aspect="auto",
        interpolation="nearest",
    )  # fmt: skip
    axes.tick_params(pad=2)
    label_columns(axes, tokens, size)
    step = next(k for k in (1, 2, 5, 10, 20, 50, 1000) if layers / k <= 8)
    numbers = sorted({1, layers, *(k for k in range(step, layers + 1, step) if layers - k >= step / 2)})
    axes.set_yticks(numbers, [str(k) for k in numbers], fontsize=SMALL)
    axes.set_ylabel("i-th layer", labelpad=2)
    if marks is not None:
        own = np.asarray(marks[first : first + count])
        (shown,) = np.nonzero(own <= layers)
        edge = [withStroke(linewidth=2.4, foreground="black")]
        axes.hlines(
            own[shown] - 0.5, shown - 0.42, shown + 0.42, color=GOLD_ON_DARK, lw=1.4, path_effects=edge, zorder=4
        )
    if query is not None and first <= query < first + count:
        axes.annotate(
            "▼", (query - first, 1), (0, 1), xycoords=("data", "axes fraction"), textcoords="offset points",
            ha="center", va="bottom", fontsize=5.5, color=QUIET_COLOUR,
        )  # fmt: skip


def _legend(figure: Figure, text: str, height: float) -> None:
    from matplotlib.lines import Line2D

    width, y = figure.get_figwidth(), 0.1 / height
    figure.add_artist(Line2D([LEFT / width, (LEFT + 0.2) / width], [y, y], color=GOLD_ON_DARK, lw=1.6))
    text_at(figure, LEFT + 0.27, height - 0.1, text, va="center", fontsize=SMALL)
