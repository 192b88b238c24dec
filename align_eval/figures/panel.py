"""A panel: one map with everything that a figure says of it, and how it is drawn into axes, with its colour bar."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from align_eval.errors import InputError, NonFiniteError
from align_eval.figures.labels import label_columns, label_rows, readable_labels
from align_eval.figures.style import GOLD_ON_DARK, HEAT_MAP, MASK_COLOUR, colour_bar

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    from align_eval.links import GoldLinks
    from align_eval.signals.matrix import ScoreMatrix

Number = int | str
MANY_CELLS = 40_000  # beyond it a map is stored as a picture inside the vector file


@dataclass(frozen=True)
class Panel:
    """A map and its labels.

    Attributes:
        values: ``(Q, K)`` finite numbers.
        row_labels, column_labels: Q and K texts, as they are to be read (:func:`readable_labels`).
        title: above the map.
        marked_rows: rows of masked words, 0-based; they stand out.
        gold: ``(Q, K)`` bool, cells of sure gold links, or ``None``.
        possible: ``(Q, K)`` bool, cells of links that are possible but not sure, or ``None``.

    Raises:
        InputError: a part has another shape, or a row of ``marked_rows`` does not exist.
        NonFiniteError: a value is NaN or infinite.
    """

    values: NDArray[np.floating]
    row_labels: tuple[str, ...]
    column_labels: tuple[str, ...]
    title: str = ""
    marked_rows: tuple[int, ...] = ()
    gold: NDArray[np.bool_] | None = None
    possible: NDArray[np.bool_] | None = None

    def __post_init__(self) -> None:
        shape = (len(self.row_labels), len(self.column_labels))
        for name in ("values", "gold", "possible"):
            part = getattr(self, name)
            if part is not None and np.shape(part) != shape:
                raise InputError(f"{name} of shape {np.shape(part)} for {shape[0]} row and {shape[1]} column labels")
        if not all(shape):
            raise InputError(f"a map of {shape[0]} rows and {shape[1]} columns cannot be drawn")
        if any(not 0 <= row < shape[0] for row in self.marked_rows):
            raise InputError(f"marked rows {list(self.marked_rows)} of a map of {shape[0]} rows")
        if not np.isfinite(self.values).all():
            raise NonFiniteError(f"the map {self.title!r} has NaN or infinite values")


def panel_of(
    maps: ScoreMatrix,
    layer: Number | None = None,
    head: Number | None = None,
    *,
    title: str = "",
    masked: Sequence[int] = (),
    gold: GoldLinks | None = None,
) -> Panel:
    """One layer and head of the score matrix of a pair as a panel.

    Args:
        maps: between subwords, or between words (``maps.words()``).
        layer, head: numbers from 1 or ``"mean"``; ``None`` if the maps have only one.
        title: above the map.
        masked: the query words that were masked, 0-based; all their rows are marked.
        gold: links of the pair, source to target, 0-based; all cells of two linked words are framed.

    Raises:
        InputError: several layers or heads and none chosen, or one that the maps do not have.
    """
    layer = _only("layer", maps.layers) if layer is None else layer
    head = _only("head", maps.heads) if head is None else head
    values = np.asarray(maps.select(layer, head).by_head()[0, 0].detach().cpu().numpy(), dtype=np.float64)
    rows, columns = (side.words[0, : side.lengths[0]].cpu().numpy() for side in (maps.queries, maps.keys))
    frames: list[NDArray[np.bool_] | None] = [None, None]
    if gold is not None:
        turned = gold.reverse() if maps.attends == "target" else gold
        sure, possible = (_cells(set(links), rows, columns) for links in (turned.sure, turned.possible))
        frames = [sure, possible & ~sure]
    return Panel(
        values,
        tuple(readable_labels(maps.queries.units(0))),
        tuple(readable_labels(maps.keys.units(0))),
        title,
        tuple(int(row) for row in np.flatnonzero(np.isin(rows, list(masked)))),
        frames[0],
        frames[1],
    )


def _only(axis: str, numbers: tuple[Number, ...]) -> Number:
    if len(numbers) != 1:
        raise InputError(
            f"the maps have {len(numbers)} {axis}s", remedy=f"Choose one: {', '.join(str(n) for n in numbers)}"
        )
    return numbers[0]


def _cells(links: set[tuple[int, int]], rows: NDArray[np.int64], columns: NDArray[np.int64]) -> NDArray[np.bool_]:
    found = np.zeros((len(rows), len(columns)), dtype=bool)
    for row_word, column_word in links:
        found |= (rows == row_word)[:, None] & (columns == column_word)[None, :]
    return found


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
        strip: width of the strip beside masked rows, in cells.
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
    """A strip beside the masked rows of the panel."""
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


def scale_bar(figure: Figure, image: Any, scale: Scale, size: float, **where: Any) -> None:
    """The colour bar of a scale, with round ticks: 0.0, 0.2 ... where the values allow it."""
    from matplotlib.ticker import MaxNLocator, MultipleLocator

    span = scale.high - scale.low
    step = next((s for s in (0.2, 0.1, 0.05) if scale.low >= 0 and 2.4 * s <= span <= 6 * s), None)
    bar = colour_bar(figure, image, scale.name, size, **where)
    bar.locator = MaxNLocator(5, steps=[1, 2, 5, 10]) if step is None else MultipleLocator(step)
    bar.update_ticks()
