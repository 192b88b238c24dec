"""The grid of heads and the head beside it: what is drawn where, and what is refused."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.patches import ConnectionPatch, Rectangle

from align_eval.attribution.text_flow import Group
from align_eval.errors import InputError, NonFiniteError
from align_eval.figures.heads import OUTLINE, head_zoom
from align_eval.figures.style import TWO_COLUMNS, texts_of

GRID = np.arange(6, dtype=float).reshape(2, 3) / 10
TOKENS = ("She", "painted", "$x$", "馬", ".")
MAP = np.tril(np.arange(25, dtype=float).reshape(5, 5)) / 100
GROUPS = [Group("<ENV>", 0, 3), Group("<LAN>", 3, 5)]


def zoom(grid: np.ndarray = GRID, cell: tuple[int, int] = (2, 3), **more: Any) -> Figure:
    return head_zoom(grid, cell, MAP, TOKENS, TOKENS, **more)


def test_layers_go_down_and_heads_across() -> None:
    axes = zoom().axes[0]
    assert np.array_equal(axes.images[0].get_array(), GRID)
    assert axes.images[0].get_extent() == [0.5, 3.5, 2.5, 0.5], "layer 1 on top, counted from 1"
    assert axes.images[0].get_clim() == (0, 0.5)
    (frame,) = (p for p in axes.patches if isinstance(p, Rectangle))
    assert (frame.get_x(), frame.get_y(), frame.get_width()) == (2.5, 1.5, 1)
    assert [t.get_text() for t in axes.get_yticklabels()] == ["1", "2"]


def test_many_layers_are_numbered_in_steps() -> None:
    axes = zoom(np.zeros((48, 32)), (1, 1)).axes[0]
    assert [t.get_text() for t in axes.get_yticklabels()][:3] == ["1", "5", "10"]
    assert axes.images[0].get_clim() == (0, 1), "nothing but zeros is dark"


def test_thumbnails_are_the_maps_and_large_ones_are_reduced() -> None:
    maps = np.zeros((2, 3, 4, 5))
    maps[1, 2, 3, 4] = 7
    image = zoom(thumbnails=maps).axes[0].images[0].get_array()
    assert image.shape == (8, 15)
    assert image[7, 14] == 7
    large = np.zeros((1, 1, 100, 60))
    large[0, 0, 99, 59], large[0, 0, 0, 0] = 3, 2
    image = zoom(np.ones((1, 1)), (1, 1), thumbnails=large).axes[0].images[0].get_array()
    assert image.shape == (48, 48)
    assert (image[47, 47], image[0, 0], image.sum()) == (3, 2, 5)


def test_rows_are_queries_columns_keys_and_brackets_name_spans() -> None:
    figure = zoom(key_groups=GROUPS, query_groups=GROUPS)
    axes = figure.axes[2]
    assert [t.get_text() for t in axes.get_yticklabels()] == list(TOKENS)
    assert [t.get_text() for t in axes.get_xticklabels()] == list(TOKENS)
    assert texts_of(figure).count("<ENV>") == 2
    assert len(axes.lines) == 4
    below = axes.lines[0].get_xdata()
    assert (min(below), max(below)) == pytest.approx((-0.38, 2.38))
    assert not any(text.get_parse_math() for text in axes.get_xticklabels())


def test_two_yellow_lines_lead_from_the_cell_to_the_map() -> None:
    figure = zoom(key_groups=GROUPS, query_groups=GROUPS, title="layer 2")
    lines = [a for a in figure.artists if isinstance(a, ConnectionPatch)]
    assert [line.xy1 for line in lines] == [(3.5, 1.5), (3.5, 2.5)]
    assert [line.xy2 for line in lines] == [(0, 1.0), (0, 0.0)]
    assert all(line.get_edgecolor() == pytest.approx((1.0, 0xD4 / 255, 0, 1)) for line in lines), OUTLINE
    assert figure.get_figwidth() <= TWO_COLUMNS + 1e-6
    assert "saliency" in texts_of(figure)


@pytest.mark.parametrize(("layers", "heads", "size"), [(30, 9, 13), (12, 12, 40), (3, 8, 4), (48, 32, 70)])
def test_nothing_overlaps(layers: int, heads: int, size: int) -> None:
    """Labels of rows and columns keep apart, and no panel reaches out of the figure."""
    names = tuple(f"tok{k}" for k in range(size))
    figure = head_zoom(
        np.ones((layers, heads)), (layers, heads), np.eye(size), names, names, key_groups=[Group("<A>", 0, size // 2)],
        query_groups=[Group("<A>", 0, size // 2)],
    )  # fmt: skip
    figure.canvas.draw()
    renderer = figure.canvas.get_renderer()  # type: ignore[attr-defined]
    for axes in figure.axes:
        for labels, low, high in ((axes.get_yticklabels(), "y0", "y1"), (axes.get_xticklabels(), "x0", "x1")):
            boxes = sorted(
                (getattr(b, low), getattr(b, high)) for b in (t.get_window_extent(renderer) for t in labels) if b.width
            )
            assert all(b[0] >= a[1] - 1.5 for a, b in itertools.pairwise(boxes)), axes
        box = axes.get_tightbbox(renderer)
        assert box.x0 > -1
        assert box.y0 > -1
        assert box.x1 < figure.bbox.width + 1
        assert box.y1 < figure.bbox.height + 1


def test_wrong_input_is_refused() -> None:
    with pytest.raises(InputError, match="no layer 3, head 1: there are 2 layers of 3 heads"):
        zoom(cell=(3, 1))
    with pytest.raises(InputError, match=r"maps of \(1, 3\) heads for a grid of \(2, 3\)"):
        zoom(thumbnails=np.zeros((1, 3, 2, 2)))
    with pytest.raises(NonFiniteError, match="NaN"):
        zoom(np.full((2, 3), np.nan))
    with pytest.raises(InputError, match="for 4 queries and 5 keys"):
        head_zoom(GRID, (2, 3), MAP, TOKENS[:4], TOKENS)
    with pytest.raises(InputError, match="group '<X>' is not inside"):
        zoom(key_groups=[Group("<X>", 3, 6)])
