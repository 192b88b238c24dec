"""Curves over the mask share: points, bands, baselines, labels that do not touch."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from align_eval.errors import InputError, UnknownNameError
from align_eval.figures.curves import MULTIPLES, redistribution_curves, spread
from align_eval.figures.style import texts_of


def _row(plan: str, share: float, peak: float | None = 0.6, **more: Any) -> dict[str, Any]:
    measured = {
        "accuracy_masked": peak, "accuracy_visible": 0.8, "mass_masked": 0.4, "mass_visible": 0.5,
        "entropy_masked": 2.0 + share, "entropy_full": 1.0, "divergence": 0.2, "divergence_visible": 0.1,
        "recovered": 0.6 - share / 2,
    }  # fmt: skip
    nulls = {
        name: {"accuracy_masked": value, "mass_masked": value} for name, value in (("uniform", 0.1), ("position", 0.4))
    }
    return {
        "strategy": plan,
        "mask_share": share,
        "ci": {"accuracy_masked": [0.5, 0.7]},
        "baselines": nulls,
        **measured,
        **more,
    }


SPANS = [_row(f"span:ratio={share}", share) for share in (0.5, 0.25, 0.75)]


def test_one_strategy_has_its_baselines_and_its_visible_rows() -> None:
    figure = redistribution_curves(SPANS, multiples=["gold peak"], model="tiny", rule="lowest AER")
    (axes,) = figure.axes
    curves = [
        (line.get_xdata().tolist(), line.get_ydata().tolist())
        for line in axes.lines
        if len(line.get_xdata()) == 3 and line.get_clip_on()
    ]
    assert curves == [
        ([25.0, 50.0, 75.0], pytest.approx([60.0] * 3)),
        ([25.0, 50.0, 75.0], pytest.approx([80.0] * 3)),
        ([25.0, 50.0, 75.0], pytest.approx([10.0] * 3)),
        ([25.0, 50.0, 75.0], pytest.approx([40.0] * 3)),
    ]
    (band,) = axes.collections
    assert band.get_paths()[0].vertices[:, 1].min() == pytest.approx(50.0)
    assert [text.get_text() for text in axes.texts] == ["uniform", "position", "masked", "visible"]
    words = " ".join(texts_of(figure))
    assert "tiny · chosen: lowest AER · strategy: span" in words
    assert "dashed: baselines" in words


def test_links_are_called_what_they_are() -> None:
    figure = redistribution_curves(SPANS, multiples=["gold peak", "gold mass"], gold_name="silver")
    told = " ".join(texts_of(figure))
    assert "silver-aligned word" in told
    assert "gold-aligned" not in told


def test_several_strategies_are_coloured_apart_and_show_the_highest_baseline() -> None:
    rows = [*SPANS, _row("random:ratio=0.5", 0.5, 0.7), _row("content", 0.45, 0.65)]
    (axes,) = redistribution_curves(rows, multiples=["gold peak"]).axes
    assert {text.get_text() for text in axes.texts} == {"span", "random", "content"}
    dashed = [line for line in axes.lines if line.get_linestyle() == "--"]
    assert [line.get_ydata()[0] for line in dashed] == pytest.approx([40.0])


@pytest.mark.parametrize("width", [None, "one", "two"])
def test_every_label_has_its_place(width: Any) -> None:
    rows = [
        _row(f"{kind}:share=0.5", 0.5)
        for kind in ("span", "random", "suffix", "nth", "aligned", "unaligned", "content")
    ]
    figure = redistribution_curves(rows, multiples=list(MULTIPLES), width=width, title="T" * 40, model="tiny")
    figure.canvas.draw()
    renderer = figure.canvas.get_renderer()
    for axes in figure.axes:
        boxes = sorted((text.get_window_extent(renderer) for text in axes.texts), key=lambda box: box.y0)
        assert len(boxes) == 7
        for a, b in itertools.pairwise(boxes):
            assert b.y0 >= a.y0 + 0.9 * a.height
        assert max(box.x1 for box in boxes) <= figure.bbox.x1


def test_what_is_missing_is_left_out() -> None:
    rows = [_row("span:ratio=0.5", 0.5, None, null={}, ci=None)]
    figure = redistribution_curves(rows, multiples=["gold peak", "recovery"])
    assert len(figure.axes) == 2
    bare = [{"strategy": "each", "mask_share": 0.1, "entropy_masked": 1.0, "rows_masked": 3}]
    assert "no gold links" in " ".join(texts_of(redistribution_curves(bare)))


def test_refusals() -> None:
    with pytest.raises(InputError, match="nothing to draw"):
        redistribution_curves([])
    with pytest.raises(UnknownNameError, match="entropy"):
        redistribution_curves(SPANS, multiples=["entropie"])


@given(st.lists(st.floats(0, 1), min_size=1, max_size=10), st.floats(0.01, 0.1))
def test_spread_keeps_order_distance_and_range(heights: list[float], gap: float) -> None:
    placed = spread(sorted(heights), gap)
    assert all(b - a >= gap - 1e-9 for a, b in itertools.pairwise(placed))
    assert min(placed) >= -1e-9
    assert max(placed) <= 1 + 1e-9
    apart = all(b - a >= gap for a, b in zip(sorted(heights), sorted(heights)[1:], strict=False))
    if apart:
        assert placed == pytest.approx(sorted(heights)), "what is apart stays"
