"""The information flow of one prediction: all heads as a grid, one of them in full beside it, and what they say.

Layers go down from 1 to L, heads across from 1 to H.
"""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from align_eval.errors import InputError
from align_eval.figures import style
from align_eval.report.summary import Cell, Summary, bands_of, fraction, greatest

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    from align_eval.attribution.text_flow import Group, TextFlow

OUTLINE = "#FFD400"
EDGE = "#6B5900"  # a thin dark edge, without which yellow is lost on white paper
BETWEEN = "#8C8C8C"  # lines between thumbnails
INK = "#333333"
THUMBNAIL = 48  # pixels of a side at most
ARM, NAME_GAP = 0.05, 0.03  # inches: a bracket's two ends, and between a bracket and its name
TOP = 10
SUPPORTS, OPPOSES = "supports the prediction", "opposes the prediction"
"""More weight in the cell would lower the loss (A * dL/dA < 0), or raise it."""


def head_zoom(
    values: NDArray[np.floating], cell: tuple[int, int], zoomed: NDArray[np.floating], queries: Sequence[str],
    keys: Sequence[str], *, quantity: str = "saliency", grid_quantity: str = "greatest saliency of the head",
    title: str = "", key_groups: Sequence[Group] = (), query_groups: Sequence[Group] = (),
    thumbnails: NDArray[np.floating] | None = None,
) -> Figure:  # fmt: skip
    """Draw the grid of heads and, led to by two yellow lines, the map of the head outlined in it.

    The figure is as wide as two columns of a paper, and wider where the subwords would be too small to read.

    Args:
        values: of the grid, ``(L, H)``, not below 0; ``grid_quantity`` stands at its colour bar.
        cell: layer and head, from 1, to outline.
        zoomed: the map of that head, ``(Q, K)``, not below 0: rows are queries, labelled on the right.
        queries, keys: the subwords of its rows and columns.
        quantity, title: at its colour bar and above it.
        key_groups, query_groups: spans to bracket on each axis, outside the labels.
        thumbnails: ``(L, H, Q, K)``: draw these maps small in place of ``values``, all on one scale, the colour by the
            square root. A map of more than 48 rows or columns is reduced by the maximum of each block.

    Raises:
        InputError: a wrong shape, no such head, or a span outside of its axis.
        NonFiniteError: a value is NaN or infinite.
    """
    from matplotlib.patches import ConnectionPatch, Rectangle

    rows, columns = len(queries), len(keys)
    if values.ndim != 2:
        raise InputError(f"a grid of shape {values.shape}")
    layers, heads = values.shape
    style.check_map(values, layers, heads, "the heads")
    style.check_map(zoomed, rows, columns, f"{rows} queries and {columns} keys")
    if not (1 <= cell[0] <= layers and 1 <= cell[1] <= heads):
        raise InputError(f"no layer {cell[0]}, head {cell[1]}: there are {layers} layers of {heads} heads")
    if thumbnails is not None and thumbnails.shape[:2] != values.shape:
        raise InputError(f"maps of {thumbnails.shape[:2]} heads for a grid of {values.shape}")
    for group, size in (*((g, columns) for g in key_groups), *((g, rows) for g in query_groups)):
        if not 0 <= group.start < group.end <= size:
            raise InputError(f"group {group.name!r} is not inside of the axis")
    with style.settings():
        below = float(style.measure(keys, columns=True)[:, 1].max()) * 7 / 72
        beside = float(style.measure(queries)[:, 0].max()) * 7 / 72
        right = 0.1 + beside + (0.32 if query_groups else 0.06)
        bottom = 0.12 + below + (0.3 if key_groups else 0.02) + 0.16
        grid_width = min(2.3, max(1.25, 0.17 * heads))
        left, gap, bar_room = 0.44, 0.52, 0.62
        free = style.TWO_COLUMNS - left - grid_width - gap - right - bar_room
        pitch = max(min(free / columns, 0.34, 4.6 / rows), 1.12 * style.MIN_TEXT_SIZE / 72)
        label_size = min(7.0, max(style.MIN_TEXT_SIZE, 72 * pitch / 1.12))
        wide, high = pitch * columns, pitch * rows
        top = 0.42
        grid_height = max(min(grid_width * layers / heads, high + bottom - 0.3), min(high, 4.0), 1.2)
        height = top + max(grid_height + 0.75, high + bottom)
        start = left + grid_width + gap
        figure = style.new_figure(start + wide + right + bar_room, height, placed=True)
        grid = style.axes_at(figure, left, top, grid_width, grid_height)
        _draw_grid(grid, values if thumbnails is None else _mosaic(thumbnails), layers, heads, thumbnails is not None)
        frame = Rectangle((cell[1] - 0.5, cell[0] - 0.5), 1, 1, fill=False, ec=OUTLINE, lw=1.3, clip_on=False, zorder=5)
        frame.set_path_effects(_edge(2.0))
        grid.add_patch(frame)
        below_grid = style.axes_at(figure, left, top + grid_height + 0.1, grid_width, 0.08)
        bar = style.colour_bar(
            figure, grid.images[0], textwrap.fill(grid_quantity, 24), style.SMALL_SIZE, cax=below_grid,
            orientation="horizontal",
        )  # fmt: skip
        bar.ax.locator_params(nbins=3)
        detail = style.axes_at(figure, start, top, wide, high)
        _draw_map(detail, zoomed, queries, keys, label_size, (key_groups, query_groups))
        if title:
            detail.set_title(title, loc="left", pad=4, fontsize=7.5)
        place = style.axes_at(figure, start + wide + right, top, 0.1, high)
        bar = style.colour_bar(figure, detail.images[0], quantity, style.SMALL_SIZE, cax=place, orientation="vertical")
        bar.ax.locator_params(nbins=6)
        for corner, y in ((1.0, cell[0] - 0.5), (0.0, cell[0] + 0.5)):
            line = ConnectionPatch(
                (cell[1] + 0.5, y), (0, corner), coordsA=grid.transData, coordsB=detail.transAxes, color=OUTLINE, lw=1.1
            )
            line.set_path_effects(_edge(1.8))
            figure.add_artist(line)
    return figure


def _draw_grid(axes: Axes, values: NDArray[np.floating], layers: int, heads: int, thumbnails: bool) -> None:
    """One cell a head, or one thumbnail, dark at 0."""
    from matplotlib.colors import PowerNorm

    axes.imshow(
        values, cmap=style.HEAT_MAP, norm=PowerNorm(0.5 if thumbnails else 1.0, 0, float(values.max(initial=0)) or 1.0),
        extent=(0.5, heads + 0.5, layers + 0.5, 0.5), interpolation="nearest", aspect="auto",
    )  # fmt: skip
    if thumbnails:
        axes.hlines(np.arange(1, layers) + 0.5, 0.5, heads + 0.5, color=BETWEEN, lw=0.3)
        axes.vlines(np.arange(1, heads) + 0.5, 0.5, layers + 0.5, color=BETWEEN, lw=0.3)
    for set_ticks, count in ((axes.set_xticks, heads), (axes.set_yticks, layers)):
        step = next((k for k in (1, 2, 5, 10, 20, 50, 100) if count / k <= 16), count)
        numbers = sorted({1, *range(step, count + 1, step)})
        set_ticks(numbers, [str(k) for k in numbers], fontsize=style.SMALL_SIZE)
    axes.xaxis.tick_top()
    axes.xaxis.set_label_position("top")
    axes.tick_params(pad=2)
    axes.set_xlabel("head", labelpad=2)
    axes.set_ylabel("layer", labelpad=2)


def _draw_map(
    axes: Axes, values: NDArray[np.floating], queries: Sequence[str], keys: Sequence[str], size: float,
    groups: tuple[Sequence[Group], Sequence[Group]],
) -> None:  # fmt: skip
    """The map of one head, dark at 0, with brackets of the spans of keys and of queries."""
    top = float(values.max(initial=0)) or 1.0
    axes.imshow(values, cmap=style.HEAT_MAP, vmin=0, vmax=top, interpolation="nearest", aspect="equal")
    axes.yaxis.tick_right()
    axes.tick_params(pad=2)
    style.label_rows(axes, queries, size)
    style.label_columns(axes, keys, size)
    axes.set_ylabel("query", color=style.QUIET_COLOUR, fontsize=style.SMALL_SIZE, labelpad=2)
    below = float(style.measure(keys, columns=True)[:, 1].max()) * size / 72
    beside = float(style.measure(queries)[:, 0].max()) * size / 72
    _bracket(axes, groups[0], 0.06 + below, size, below=True)
    _bracket(axes, groups[1], 0.06 + beside, size, below=False)
    depth = ARM + NAME_GAP + 1.25 * size / 72 if groups[0] else 0.0
    axes.annotate(
        "key", (0.5, 0), (0, -72 * (0.09 + below + depth)), xycoords="axes fraction", textcoords="offset points",
        ha="center", va="top", color=style.QUIET_COLOUR, fontsize=style.SMALL_SIZE,
    )  # fmt: skip


def _bracket(axes: Axes, groups: Sequence[Group], offset: float, size: float, *, below: bool) -> None:
    """Bracket columns below a map, or rows at its right, ``offset`` inches from its edge; row k is at k."""
    from matplotlib.lines import Line2D
    from matplotlib.transforms import ScaledTranslation, blended_transform_factory

    corner = (0, 0) if below else (1, 0)
    inches = axes.figure.dpi_scale_trans + ScaledTranslation(*corner, axes.transAxes)  # type: ignore[arg-type]
    scales = (axes.transData, inches) if below else (inches, axes.transData)
    place = blended_transform_factory(*scales)
    how: dict[str, Any] = {"ha": "center", "va": "top"} if below else {"ha": "left", "va": "center", "rotation": -90}
    for group in groups:
        along = np.array([group.start - 0.38] * 2 + [group.end - 0.62] * 2)
        out = np.array([offset, offset + ARM, offset + ARM, offset])
        x, y = (along, -out) if below else (out, along)
        axes.add_line(Line2D(x, y, transform=place, color=INK, lw=0.8, clip_on=False))
        middle, end = (along[0] + along[2]) / 2, offset + ARM + NAME_GAP
        left, up = (middle, -end) if below else (end, middle)
        axes.text(left, up, group.name, transform=place, size=size, **how, **style.text_style(group.name))


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


def summarise_heads(
    flow: TextFlow, cell: tuple[int, int] | None = None, *, scalar: str = "max", groups: Sequence[Group] = (),
    chosen: str = "",
) -> Summary:  # fmt: skip
    """Say what the grid and the zoomed head show.

    The strongest cells are those from one subword to another, in all heads; in a map between the same subwords the
    diagonal is told of apart.

    Args:
        flow: of :func:`align_eval.text_flow`.
        cell: layer and head that are zoomed, from 1; ``None``: :func:`strongest_head`.
        scalar: what a cell of the grid is, of :data:`align_eval.attribution.text_flow.SCALARS`.
        groups: spans of columns.
        chosen: how the head was chosen, for the record.

    Raises:
        InputError: no such head.
        UnknownNameError: no such scalar.
    """
    from align_eval.attribution.text_flow import SCALARS

    layers, heads = flow.signed.shape[:2]
    layer, head = strongest_head(flow, scalar) if cell is None else cell
    if not (1 <= layer <= layers and 1 <= head <= heads):
        raise InputError(f"no layer {layer}, head {head}", remedy=f"Choose from {layers} layers of {heads} heads")
    values, between = flow.scalar(scalar), flow.between
    strongest = _cells(flow, between, TOP)
    zoom = _zoom(flow, layer - 1, head - 1)
    parts = _groups(flow, layer - 1, head - 1, groups)
    spread = sparsity(values)
    by_layer = flow.scalar("sum").sum(axis=1)
    bands = {n: fraction(by_layer[a - 1 : b].sum(), by_layer.sum()) for a, b, n in bands_of(len(by_layer))}
    findings = [
        f"The model gives {flow.target!r} probability {flow.probability:.3f} (rank {flow.rank}).",
        f"The strongest cell is {strongest[0]}." if strongest else "No head has any flow.",
        f"{spread['above_half']} of {layers * heads} heads ({spread['share_above_half']:.1%}) exceed half of the "
        f"greatest value; the Gini coefficient over heads is {spread['gini']:.2f} (0: all alike, 1: one has all).",
        "Of all flow, " + ", ".join(f"{part:.0%} is in {name}" for name, part in bands.items()) + ".",
        _zoom_sentence(flow, layer, head, zoom, between[layer - 1, head - 1]),
    ]
    if parts and flow.position is not None:
        told = ", ".join(f"{g['name']} {g['share_to_prediction']:.0%}" for g in parts)
        findings.append(f"Of what that head brings to the predicting position, this is from: {told}.")
    tops = [divmod(int(k), heads) for k in np.argsort(-values, axis=None, kind="stable")[:TOP]]
    return Summary(
        figure="layer x head grid",
        quantity=f"saliency | A * dL/dA |, L the cross-entropy of {flow.target!r}; one cell of the grid: "
        f"{SCALARS[scalar]}",
        findings=tuple(findings),
        strongest=strongest,
        subject={
            "model": flow.model, "attention": flow.kind, "text": flow.key_text, "predicted": flow.target,
            "layer": layer, "head": head, "chosen": chosen or f"greatest: {SCALARS[scalar]}",
        },
        groups=tuple(parts),
        anomalies=tuple(_anomalies(flow, strongest)),
        numbers={
            "probability": flow.probability,
            "rank": flow.rank,
            "top_predictions": [{"token": token, "probability": p} for token, p in flow.top],
            "top_heads": [{"layer": a + 1, "head": b + 1, scalar: values[a, b]} for a, b in tops],
            "sparsity": spread,
            "share_of_flow_by_layers": bands,
            "zoomed_head": zoom,
        },
    )  # fmt: skip


def strongest_head(flow: TextFlow, scalar: str = "max") -> tuple[int, int]:
    """Layer and head, from 1, of the greatest value; of equal ones the first. ``share`` is replaced by ``max``.

    (Every head of the last layer has all its flow in the row that predicts: the share has no single greatest head.)
    """
    values = flow.scalar("max" if scalar == "share" else scalar)
    layer, head = divmod(int(values.argmax()), values.shape[1])
    return layer + 1, head + 1


def sparsity(values: NDArray[np.floating]) -> dict[str, Any]:
    """How few heads have what there is: Gini coefficient, heads above half of the maximum, share of the top ten.

    Gini = sum_ij |x_i - x_j| / (2 n^2 mean(x)); 0 if all are equal, near 1 if one has all.

    >>> sparsity(np.array([[0.0, 0.0], [0.0, 1.0]]))["gini"]
    0.75
    """
    flat = np.sort(np.asarray(values, dtype=np.float64), axis=None)
    total, n = float(flat.sum()), len(flat)
    gini = float(((2 * np.arange(1, n + 1) - n - 1) * flat).sum() / (n * total)) if total > 0 else 0.0
    above = int((flat > flat[-1] / 2).sum()) if total > 0 else 0
    top = fraction(flat[-10:].sum(), total)
    return {"gini": gini, "above_half": above, "share_above_half": above / n, "share_of_top_ten": top}


def _cells(flow: TextFlow, values: NDArray[np.floating], count: int) -> tuple[Cell, ...]:
    """The greatest cells of ``(L, H, Q, K)``, descending; none that is 0."""
    out = []
    for a, b, q, key in greatest(values, count):
        note = SUPPORTS if flow.signed[a, b, q, key] < 0 else OPPOSES
        out.append(Cell(float(values[a, b, q, key]), a + 1, b + 1, flow.queries[q], flow.keys[key], q, key, note))
    return tuple(out)


def _zoom(flow: TextFlow, layer: int, head: int) -> dict[str, Any]:
    """What is said of one head, numbers from 0."""
    values = flow.saliency[layer, head]
    total = float(values.sum())
    out = {
        "total": total,
        "gate": float(flow.signed[layer, head].sum()),
        "share_in_strongest_cell": fraction(values.max(), total),
    }
    if flow.square:
        out["share_to_itself"] = fraction(np.trace(values), total)
        out["share_from_first"] = fraction(values[1:, 0].sum(), total)
    if flow.position is not None:
        out["share_to_prediction"] = fraction(values[flow.position].sum(), total)
    return out


def _groups(flow: TextFlow, layer: int, head: int, groups: Sequence[Group]) -> list[dict[str, Any]]:
    """What part of one head's flow comes from each span of columns, numbers from 0."""
    values, out = flow.saliency[layer, head], []
    for group in groups:
        part = slice(group.start, group.end)
        entry: dict[str, Any] = {
            "name": group.name, "tokens": " ".join(flow.keys[part]), "first": group.start, "last": group.end - 1,
            "share_of_head": fraction(values[:, part].sum(), values.sum()),
        }  # fmt: skip
        if flow.position is not None:
            row, into = values[flow.position], flow.saliency[:, :, flow.position]
            entry["share_to_prediction"] = fraction(row[part].sum(), row.sum())
            entry["share_to_prediction_all_heads"] = fraction(into[..., part].sum(), into.sum())
        out.append(entry)
    return out


def _zoom_sentence(flow: TextFlow, layer: int, head: int, zoom: dict[str, Any], own: NDArray[np.floating]) -> str:
    q, key = (int(x) for x in np.unravel_index(int(own.argmax()), own.shape))
    parts = [
        f"layer {layer}, head {head}: {zoom['share_in_strongest_cell']:.0%} of its flow is in one cell"
        if flow.saliency[layer - 1, head - 1].max() == own.max()
        else f"layer {layer}, head {head}",
        f"its strongest is from query {flow.queries[q]!r} to key {flow.keys[key]!r}, {own[q, key]:.3g}",
    ]
    if "share_to_prediction" in zoom:
        parts.append(f"{zoom['share_to_prediction']:.0%} is in the row that predicts")
    if flow.square:
        parts.append(f"{zoom['share_to_itself']:.0%} is of subwords to themselves")
    return f"Of {'; '.join(parts)}."


def _anomalies(flow: TextFlow, strongest: Sequence[Cell]) -> list[str]:
    out = []
    if flow.rank > 1:
        out.append(
            f"{flow.target!r} is not what the model predicts: that is {flow.top[0][0]!r} ({flow.top[0][1]:.3f})."
        )
    if flow.square:
        saliency, between = flow.saliency, flow.between
        cells = _cells(flow, saliency - between, 1)
        if cells and strongest and cells[0].value > strongest[0].value:
            out.append(
                f"A subword's attention to itself is stronger than the strongest cell between two: layer "
                f"{cells[0].layer}, head {cells[0].head}, {cells[0].query!r}, {cells[0].value:.3g}."
            )
        itself = fraction((saliency - between).sum(), saliency.sum())
        if itself > 0.25:
            out.append(f"{itself:.0%} of all flow is of subwords to themselves.")
        first = fraction(between[..., 0].sum(), between.sum())
        if len(flow.keys) > 2 and first > 0.4:
            out.append(f"{first:.0%} of the flow between subwords comes from the first one, {flow.keys[0]!r}.")
    against = [cell for cell in strongest if cell.note == OPPOSES]
    if against:
        out.append(
            f"{len(against)} of the {len(strongest)} strongest cells oppose the prediction (more weight there would "
            f"raise the loss); the first is layer {against[0].layer}, head {against[0].head}, {against[0].query!r} to "
            f"{against[0].key!r}."
        )
    return out
