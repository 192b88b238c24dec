"""What objects of the package show in a notebook."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from align_eval.figures.paired import heatmap
from align_eval.figures.style import HEAT_MAP, QUIET_COLOUR, axes_at, new_figure, style, text_at, to_bytes

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from align_eval.signals.matrix import ScoreMatrix

THUMBNAIL = 0.62  # inches
MOST = 24  # layers or heads that are shown; more make too small a picture of a screen's width


def maps_figure(maps: ScoreMatrix) -> Figure:
    """The scores of one pair: one map with its labels, or a thumbnail of each layer (down) and head (across).

    Of more than 24 layers or heads the first 24 are shown, and the caption says so.
    """
    name = " · ".join(text for text in (maps.model, maps.reading) if text)
    if len(maps.layers) == 1 and len(maps.heads) == 1:
        return heatmap(
            maps,
            quantity=maps.quantity,
            caption=f"{maps.quantity} · {name} · layer {maps.layers[0]}, head {maps.heads[0]}",
        )
    values = np.asarray(maps.by_head().detach().cpu().numpy(), dtype=np.float64)[:MOST, :MOST]
    layers, heads, rows, columns = values.shape
    cut = "" if (layers, heads) == (len(maps.layers), len(maps.heads)) else f", the first {layers} x {heads}"
    side = THUMBNAIL * np.array([columns, rows]) / max(columns, rows)
    width, height = max(0.5 + heads * (side[0] + 0.06), 3.0), 0.55 + layers * (side[1] + 0.06)
    with style(7):
        figure = new_figure(width, height, placed=True)
        caption = f"{maps.quantity} · {name}{cut}: layer down, head across"
        text_at(figure, 0.08, 0.15, caption, color=QUIET_COLOUR, va="center")
        for i in range(layers):
            for j in range(heads):
                left, top = 0.45 + j * (side[0] + 0.06), 0.45 + i * (side[1] + 0.06)
                axes = axes_at(figure, left, top, *side)
                axes.imshow(values[i, j], cmap=HEAT_MAP, vmin=min(0.0, values.min()), vmax=values.max(), aspect="auto")
                axes.set_axis_off()
                if i == 0:
                    axes.set_title(str(maps.heads[j]), pad=2)
                if j == 0:
                    axes.text(-0.12, 0.5, str(maps.layers[i]), transform=axes.transAxes, ha="right", va="center")
    return figure


def maps_bundle(maps: ScoreMatrix) -> dict[str, object]:
    """:func:`maps_figure` as notebooks take it: a PNG, of a single map also an SVG, and a line of text."""
    figure = maps_figure(maps)
    found: dict[str, object] = {
        "text/plain": repr(maps),
        "image/png": to_bytes(figure, "png"),
    }
    if len(maps.layers) == 1 and len(maps.heads) == 1:
        found["image/svg+xml"] = to_bytes(figure, "svg").decode("utf-8")
    return found
