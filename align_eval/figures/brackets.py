"""Brackets outside the labels of a map, each with the name of the span that it embraces."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from align_eval.figures.labels import text_style

if TYPE_CHECKING:
    from matplotlib.axes import Axes

ARM = 0.05  # inches of a bracket's two ends
GAP = 0.03  # between a bracket and its name
INK = "#333333"
Span = tuple[str, int, int]
"""A name, the first row or column and the last + 1, 0-based."""


def bracket_below(axes: Axes, groups: Sequence[Span], offset: float, size: float) -> float:
    """Bracket columns under a map whose columns are at 0, 1, 2 ...

    Args:
        axes: of the map.
        groups: the spans.
        offset: inches from the map's lower edge.
        size: of the names, in points.

    Returns:
        the inches that brackets and names take, from ``offset`` on.
    """
    from matplotlib.lines import Line2D
    from matplotlib.transforms import ScaledTranslation, blended_transform_factory

    inches = axes.figure.dpi_scale_trans + ScaledTranslation(0, 0, axes.transAxes)  # type: ignore[arg-type]
    place = blended_transform_factory(axes.transData, inches)
    end = -offset - ARM
    for name, first, last in groups:
        x0, x1 = first - 0.38, last - 0.62
        axes.add_line(
            Line2D([x0, x0, x1, x1], [-offset, end, end, -offset], transform=place, color=INK, lw=0.8, clip_on=False)
        )
        axes.text((x0 + x1) / 2, end - GAP, name, transform=place, ha="center", va="top", size=size, **text_style(name))
    return ARM + GAP + 1.25 * size / 72 if groups else 0.0


def bracket_right(axes: Axes, groups: Sequence[Span], offset: float, size: float) -> float:
    """Bracket rows on the right of a map whose rows are at 0, 1, 2 ...; see :func:`bracket_below`."""
    from matplotlib.lines import Line2D
    from matplotlib.transforms import ScaledTranslation, blended_transform_factory

    inches = axes.figure.dpi_scale_trans + ScaledTranslation(1, 0, axes.transAxes)  # type: ignore[arg-type]
    place = blended_transform_factory(inches, axes.transData)
    end = offset + ARM
    for name, first, last in groups:
        y0, y1 = first - 0.38, last - 0.62
        axes.add_line(
            Line2D([offset, end, end, offset], [y0, y0, y1, y1], transform=place, color=INK, lw=0.8, clip_on=False)
        )
        axes.text(
            end + GAP, (y0 + y1) / 2, name, transform=place, ha="left", va="center", rotation=-90, size=size,
            **text_style(name),
        )  # fmt: skip
    return ARM + GAP + 1.25 * size / 72 if groups else 0.0
