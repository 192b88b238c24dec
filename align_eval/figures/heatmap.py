"""Score matrices as heatmaps: one, two with the same columns on one colour scale, or a thumbnail of each head."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np

from align_eval.errors import InputError, UnknownNameError
from align_eval.figures import style
from align_eval.figures.layout import LINE, MARGIN, STRIP, Drawn, Scale, draw_map, lay_out, round_top, scale_bar
from align_eval.links import GoldLinks, Links

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray
    from torch import Tensor

    from align_eval.attribution.matrix import ScoreMatrix

    Values: TypeAlias = NDArray[np.floating] | Tensor | Links | Sequence[Sequence[float]]
    Matrix: TypeAlias = ScoreMatrix | Values | tuple[Values, Sequence[str], Sequence[str]]

Arrangement = Literal["stacked", "side by side"]
THUMBNAIL = 0.62  # inches
MOST = 24  # layers or heads that are shown; more make too small a picture of a screen's width


def heatmap(
    matrix: Matrix,
    *,
    quantity: str = "",
    title: str = "",
    caption: str = "",
    masked: Sequence[int] = (),
    gold: GoldLinks | None = None,
    top: float | None = None,
    width: style.Width | None = None,
    ax: Axes | None = None,
) -> Figure:
    """Draw one map: dark at 0, rows attend to columns.

    Args:
        matrix: a :class:`~align_eval.attribution.matrix.ScoreMatrix` of one pair and head (``matrix[2].select(3, 1)``);
            or ``(values, row labels, column labels)``, where values are numbers ``(Q, K)`` (array, tensor, rows), or
            links of row to column; or values alone, whose rows and columns are numbered from 0.
        quantity: what the values are; it stands at the colour bar. By default that of the matrix.
        title, caption: above the map.
        masked: the words of the rows that were masked, 0-based; of an array its rows. They stand out.
        gold: links whose cells are framed, possible ones dashed: of the pair, source to target; of an array of row to
            column. All cells of two linked words are framed.
        top: upper end of the colour scale; ``None``: the largest value, rounded up.
        width: ``"one"`` or ``"two"`` columns of a paper; ``None``: as large as the labels ask for.
        ax: draw into these axes instead of into a new figure.

    Returns:
        the figure; :func:`align_eval.save_figure` writes it.

    Raises:
        InputError: several pairs or heads, labels, words or gold that do not fit the values, nothing to draw.
        NonFiniteError: a value is NaN or infinite.

    Warns:
        AlignEvalWarning: text would be smaller than 5 points at that width; the figure is wider.
    """
    one = _drawn(matrix, title, masked, gold)
    scale = _scale([one], top, quantity or _quantity(matrix))
    return _draw([one], [scale], caption=caption, width=width, axes=None if ax is None else [ax])


def paired_heatmaps(
    full: Matrix,
    masked: Matrix,
    *,
    titles: tuple[str, str] = ("", ""),
    masked_words: tuple[Sequence[int], Sequence[int]] = ((), ()),
    gold: GoldLinks | None = None,
    gold_name: str = "gold",
    quantity: str = "",
    model: str = "",
    head: str = "",
    rule: str = "",
    title: str = "",
    rows: str = "",
    columns: str = "",
    arrangement: Arrangement = "stacked",
    difference: bool = False,
    top: float | None = None,
    width: style.Width | None = None,
    axes: Sequence[Axes] | None = None,
) -> Figure:
    """Draw two maps with the same columns and one colour bar at the right, over the height of both.

    Values run from 0 (black) to the largest of both maps (near white; rounded up to a round number). Rows that were
    masked have labels and a strip in vermilion. Any two maps with the same columns can be paired: two masks, layers or
    models.

    Args:
        full, masked: the first and the second map; what :func:`heatmap` takes.
        titles, masked_words: above each map, and the words masked in each; as ``title`` and ``masked`` of
            :func:`heatmap`.
        gold: links whose cells are framed, as in :func:`heatmap`; ``gold_name``: what they are, such as ``"silver"``.
        quantity: what the values are; it stands at the colour bar. By default that of the first map.
        model, head, rule: name of the model, layer and head, and how the head was chosen; they stand above the maps.
        title: the first line of the figure.
        rows, columns: what the two axes are, such as their languages.
        arrangement: ``"stacked"`` or ``"side by side"``.
        difference: a third map, second less first, with its own colour scale around 0.
        top, width: as in :func:`heatmap`.
        axes: draw into these two axes (three with the difference) instead of into a new figure.

    Returns:
        the figure; :func:`align_eval.save_figure` writes it.

    Raises:
        InputError: the maps have other columns; ``difference`` of maps with other numbers of rows; another number of
            axes; as :func:`heatmap`.
        UnknownNameError: another arrangement or width.

    Warns:
        AlignEvalWarning: text would be smaller than 5 points at that width; the figure is wider.
    """
    maps = [_drawn(full, titles[0], masked_words[0], gold), _drawn(masked, titles[1], masked_words[1], gold)]
    first, second = maps
    if tuple(first.columns) != tuple(second.columns):
        raise InputError(_unequal(first.columns, second.columns), remedy="Pair maps of the same sentence on that side")
    quantity = quantity or _quantity(full)
    scales = [_scale(maps, top, quantity)] * 2
    if difference:
        if first.values.shape != second.values.shape:
            raise InputError(
                f"no difference between maps of {first.values.shape[0]} and {second.values.shape[0]} rows",
                remedy="Leave the difference out",
            )
        maps.append(second._replace(values=second.values - first.values, title="Second map less first"))
        limit = max(float(np.abs(maps[2].values).max()), 1e-9)
        scales.append(Scale(-limit, limit, style.DIFFERENCE_MAP, "difference"))
    notes = [quantity, model, head, rule and f"chosen: {rule}"]
    if gold is not None:
        dashed = any(one.possible is not None and one.possible.any() for one in maps)
        notes.append(f"framed: {gold_name} links{' (dashed: possible)' if dashed else ''}")
    if len(first.masked) + len(second.masked):
        notes.append("orange labels: masked words")
    return _draw(
        maps, scales, title=title, caption=" · ".join(note for note in notes if note), names=(rows, columns),
        arrangement=arrangement, width=width, axes=axes,
    )  # fmt: skip


def _drawn(matrix: Any, title: str, masked: Sequence[int], gold: GoldLinks | None) -> Drawn:
    """A map as it is drawn; ``masked`` and ``gold`` name words, of which each row and column is a part."""
    if hasattr(matrix, "by_head"):  # a ScoreMatrix, whose module loads torch
        if len(matrix) != 1:
            raise InputError(f"a matrix of {len(matrix)} sentence pairs", remedy="Draw one of them: matrix[0]")
        values = np.asarray(matrix.select().by_head()[0, 0].detach().cpu().numpy(), dtype=np.float64)
        sides = (matrix.queries, matrix.keys)
        rows, columns = (style.readable_labels(side.units(0)) for side in sides)
        row_words, column_words = (side.words[0, : side.lengths[0]].cpu().numpy() for side in sides)
        words = [side.counts[0] for side in sides]
        if gold is not None and matrix.attends == "target":
            gold = gold.reverse()
    else:
        parts = matrix if isinstance(matrix, tuple) and len(matrix) == 3 else (matrix,)
        values, rows, columns = _labelled(*parts)
        row_words, column_words = np.arange(len(rows)), np.arange(len(columns))
        words = [len(rows), len(columns)]
    style.check_map(values, len(rows), len(columns), f"{len(rows)} row and {len(columns)} column labels")
    if any(not 0 <= word < words[0] for word in masked):
        raise InputError(f"masked words {list(masked)} of {words[0]}, counted from 0")
    if gold is not None:
        gold.possible.check_range(*words)
    cells: list[NDArray[np.bool_]] = []
    for links in () if gold is None else (gold.sure, gold.possible):
        found = np.zeros(values.shape, dtype=bool)
        for i, j in links:
            found |= (row_words == i)[:, None] & (column_words == j)[None, :]
        cells.append(found & ~cells[0] if cells else found)
    where = np.flatnonzero(np.isin(row_words, list(masked))).tolist()
    return Drawn(values, rows, columns, title, where, *cells)


def _labelled(
    given: Any, rows: Sequence[str] | None = None, columns: Sequence[str] | None = None
) -> tuple[NDArray[np.float64], list[str], list[str]]:
    """An array of numbers or links as values with labels; numbers from 0 where there are none."""
    if isinstance(given, Links):
        sizes = (given.pairs.max(axis=0, initial=-1) + 1).tolist()
        sizes = [n if names is None else len(names) for n, names in zip(sizes, (rows, columns), strict=True)]
        given.check_range(*sizes)
        values = np.zeros(sizes)
        values[tuple(given.pairs.T)] = 1.0 if given.scores is None else given.scores
    else:
        given = given.detach().cpu().double() if hasattr(given, "detach") else given
        try:
            values = np.asarray(given, dtype=np.float64)
        except (TypeError, ValueError):
            values = np.zeros(0)
        if values.ndim != 2:
            raise InputError(
                f"{type(given).__name__} is not a score matrix",
                remedy="Give rows x columns of numbers, links, or (values, row labels, column labels)",
            )
    labels = [range(n) if names is None else names for n, names in zip(values.shape, (rows, columns), strict=True)]
    return values, [str(label) for label in labels[0]], [str(label) for label in labels[1]]


def _quantity(matrix: Matrix) -> str:
    return str(getattr(matrix, "quantity", "score"))


def _scale(maps: Sequence[Drawn], top: float | None, name: str) -> Scale:
    """From 0, or the least value if it is lower, to the largest value of all maps."""
    low = min(0.0, *(float(one.values.min()) for one in maps))
    high = round_top(max(float(one.values.max()) for one in maps)) if top is None else top
    return Scale(low, max(high, low + 1e-9), style.HEAT_MAP, name)


def _unequal(first: Sequence[str], second: Sequence[str]) -> str:
    if len(first) != len(second):
        return f"the maps have {len(first)} and {len(second)} columns"
    place = next(k for k, (a, b) in enumerate(zip(first, second, strict=True)) if a != b)
    return f"column {place + 1} of the maps is {first[place]!r} in one and {second[place]!r} in the other"


def _draw(
    maps: Sequence[Drawn], scales: Sequence[Scale], *, title: str = "", caption: str = "",
    names: tuple[str, str] = ("", ""), arrangement: Arrangement = "stacked", width: style.Width | None = None,
    axes: Sequence[Axes] | None = None,
) -> Figure:  # fmt: skip
    """Draw maps with the same columns; those with equal scales share a colour bar, the last may have its own."""
    if arrangement not in ("stacked", "side by side"):
        raise UnknownNameError("arrangement", arrangement, ("stacked", "side by side"))
    if axes is not None:
        return _into(axes, maps, scales, "\n".join(text for text in (title, caption) if text))
    stacked, own_bar = arrangement == "stacked", scales[-1] != scales[0]
    layout = lay_out(
        maps, stacked=stacked, difference=own_bar, title=title, caption=caption, width=style.width_in_inches(width),
        names=names,
    )  # fmt: skip
    size = layout.size
    quiet: dict[str, Any] = {"fontsize": size, "color": style.QUIET_COLOUR, "ha": "center"}
    with style.settings(size):
        figure = style.new_figure(layout.width, layout.height, placed=True)
        weight = "bold" if all(line.isascii() for line in layout.title) else "normal"  # not every font has bold letters
        y = _lines(figure, layout.title, MARGIN, MARGIN, size, weight=weight)
        _lines(figure, layout.caption, MARGIN, y, layout.small, color=style.QUIET_COLOUR)
        bars = iter(layout.bars)
        for k, (one, scale, place) in enumerate(zip(maps, scales, layout.maps, strict=True)):
            left, upper, wide, high = place
            image = draw_map(style.axes_at(figure, *place), one, scale, size=size, strip=STRIP / layout.cell)
            lines = layout.map_titles[k]
            _lines(figure, lines, left, upper - 0.03 - LINE * size / 72 * len(lines), size)
            if names[0]:
                x = left - layout.lefts[k] - 0.5 * LINE * size / 72
                style.text_at(figure, x, upper + high / 2, names[0], rotation=90, va="center", **quiet)
            if names[1] and (not stacked or k == len(maps) - 1):
                style.text_at(figure, left + wide / 2, upper + high + layout.below, names[1], va="top", **quiet)
            if k == 0 or scale != scales[k - 1]:
                scale_bar(figure, image, scale, layout.small, cax=style.axes_at(figure, *next(bars)))
    return figure


def _into(axes: Sequence[Axes], maps: Sequence[Drawn], scales: Sequence[Scale], head: str) -> Figure:
    """Draw into axes that someone else placed; the text takes what room their cells have."""
    if len(axes) != len(maps):
        raise InputError(f"{len(axes)} axes for {len(maps)} maps")
    figure: Any = axes[0].figure
    images = []
    for k, (axis, one, scale) in enumerate(zip(axes, maps, scales, strict=True)):
        width, height = axis.get_position().size * figure.get_size_inches()
        cell = min(width / len(one.columns), height / len(one.rows))
        size = min(style.TEXT_SIZE, max(style.MIN_TEXT_SIZE, 72 * 0.8 * cell))
        with style.settings(size):
            images.append(draw_map(axis, one, scale, size=size))
            heading = "\n".join(text for text in (head if k == 0 else "", one.title) if text)
            axis.set_title(heading, loc="left", fontsize=size, family=style.families(heading))
    own = scales[-1] != scales[0]
    with style.settings():
        groups = [(0, list(axes[:-1])), (-1, [axes[-1]])] if own else [(0, list(axes))]
        for k, group in groups:
            scale_bar(figure, images[k], scales[k], style.TEXT_SIZE, ax=group, fraction=0.05, pad=0.02)
    return figure


def _lines(figure: Figure, lines: Sequence[str], x: float, y: float, size: float, **more: Any) -> float:
    """Write lines downwards from ``y`` inches; returns where they end."""
    step = LINE * size / 72
    for line in lines:
        style.text_at(figure, x, y + 0.5 * step, line, fontsize=size, va="center_baseline", **more)
        y += step
    return y


def maps_figure(maps: ScoreMatrix) -> Figure:
    """The scores of one pair: one map with its labels, or a thumbnail of each layer (down) and head (across).

    Of more than 24 layers or heads the first 24 are shown, and the caption says so.
    """
    name = " · ".join(text for text in (maps.model, maps.reading) if text)
    if len(maps.views) == 1:
        caption = f"{maps.quantity} · {name} · layer {maps.layers[0]}, head {maps.heads[0]}"
        return heatmap(maps[0], caption=caption)
    values = np.asarray(maps.by_head().detach().cpu().numpy(), dtype=np.float64)[:MOST, :MOST]
    layers, heads, rows, columns = values.shape
    cut = "" if (layers, heads) == (len(maps.layers), len(maps.heads)) else f", the first {layers} x {heads}"
    side = THUMBNAIL * np.array([columns, rows]) / max(columns, rows)
    width, height = max(0.5 + heads * (side[0] + 0.06), 3.0), 0.55 + layers * (side[1] + 0.06)
    limits: dict[str, Any] = {"cmap": style.HEAT_MAP, "vmin": min(0.0, values.min()), "vmax": values.max()}
    with style.settings(7):
        figure = style.new_figure(width, height, placed=True)
        caption = f"{maps.quantity} · {name}{cut}: layer down, head across"
        style.text_at(figure, 0.08, 0.15, caption, color=style.QUIET_COLOUR, va="center")
        for i in range(layers):
            for j in range(heads):
                left, top = 0.45 + j * (side[0] + 0.06), 0.45 + i * (side[1] + 0.06)
                axes = style.axes_at(figure, left, top, *side)
                axes.imshow(values[i, j], aspect="auto", **limits)
                axes.set_axis_off()
                if i == 0:
                    axes.set_title(str(maps.heads[j]), pad=2)
                if j == 0:
                    axes.text(-0.12, 0.5, str(maps.layers[i]), transform=axes.transAxes, ha="right", va="center")
    return figure


def maps_bundle(maps: ScoreMatrix) -> dict[str, object]:
    """:func:`maps_figure` as notebooks take it: a PNG, of a single map also an SVG, and a line of text."""
    figure = maps_figure(maps)
    found: dict[str, object] = {"text/plain": repr(maps), "image/png": style.to_bytes(figure, "png")}
    if len(maps.views) == 1:
        found["image/svg+xml"] = style.to_bytes(figure, "svg").decode("utf-8")
    return found
