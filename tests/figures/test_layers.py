"""Layer x token: scale, lines of tokens, marks, and what is refused."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from align_eval.errors import InputError, NonFiniteError
from align_eval.figures.layers import layer_token_map
from align_eval.figures.style import TWO_COLUMNS, texts_of

TOKENS = ("So", ",", "$", "\\boxed", "13", "$")
VALUES = np.linspace(0, 0.6, 24).reshape(4, 6)


def test_layers_go_down_tokens_across_dark_is_0() -> None:
    figure = layer_token_map(VALUES, TOKENS, quantity="bits", high=1)
    axes, bar = figure.axes
    assert np.array_equal(axes.images[0].get_array(), VALUES)
    assert axes.images[0].get_extent() == [-0.5, 5.5, 4.5, 0.5]
    assert axes.images[0].get_clim() == (0, 1)
    assert axes.images[0].get_cmap()(0.0)[:3] < axes.images[0].get_cmap()(1.0)[:3]
    assert [t.get_text() for t in axes.get_xticklabels()] == list(TOKENS)
    assert not any(t.get_parse_math() for t in axes.get_xticklabels())
    assert axes.get_ylabel() == "i-th layer"
    assert bar.get_ylabel() == "bits"
    assert layer_token_map(VALUES, TOKENS, quantity="x").axes[0].images[0].get_clim() == (0, 0.6)


def test_marks_stand_at_the_upper_edge_of_their_layer() -> None:
    figure = layer_token_map(VALUES, TOKENS, quantity="x", marks=[1, 2, 3, 4, 5, 1], marks_label="settled")
    (marks,) = figure.axes[0].collections
    assert [segment[0][1] for segment in marks.get_segments()] == [0.5, 1.5, 2.5, 3.5, 0.5], "5 of 4 layers: no mark"
    assert "settled" in texts_of(figure)


def test_a_long_answer_goes_on_in_further_lines() -> None:
    tokens = [f"t{k}" for k in range(150)]
    values = np.random.default_rng(1).random((12, 150))
    figure = layer_token_map(values, tokens, quantity="x", query=149, title="title")
    lines = [axes for axes in figure.axes if axes.images and axes.get_ylabel() == "i-th layer"]
    assert len(lines) > 1
    drawn = np.concatenate([axes.images[0].get_array() for axes in lines], axis=1)
    assert np.array_equal(drawn, values)
    assert [t.get_text() for axes in lines for t in axes.get_xticklabels()] == tokens
    assert len({axes.images[0].get_clim() for axes in lines}) == 1
    assert figure.get_figwidth() <= TWO_COLUMNS + 1e-6
    assert [any(t.get_text() == "▼" for t in axes.texts) for axes in lines] == [False] * (len(lines) - 1) + [True]
    figure.canvas.draw()
    renderer = figure.canvas.get_renderer()  # type: ignore[attr-defined]
    for axes in lines:
        boxes = [t.get_window_extent(renderer) for t in axes.get_xticklabels()]
        assert all(b.x0 >= a.x1 - 1 for a, b in itertools.pairwise(boxes))
        assert axes.get_tightbbox(renderer).y0 > -1
    for above, below in itertools.pairwise(lines):
        assert above.get_tightbbox(renderer).y0 >= below.get_tightbbox(renderer).y1 - 1


def test_wrong_input_is_refused() -> None:
    with pytest.raises(InputError, match=r"a map of shape \(4, 6\) for 2 tokens"):
        layer_token_map(VALUES, TOKENS[:2], quantity="x")
    with pytest.raises(NonFiniteError, match="NaN"):
        layer_token_map(VALUES * np.nan, TOKENS, quantity="x")
    with pytest.raises(InputError, match="1 marks for 6 tokens"):
        layer_token_map(VALUES, TOKENS, quantity="x", marks=[1])
