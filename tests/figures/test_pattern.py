"""The picture of a context pattern: sharp cells in the right places."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from align_eval.errors import InputError
from align_eval.figures.pattern import ATTENDS, ATTENDS_NOT, context_pattern, outline, ticks
from align_eval.figures.style import save, texts_of
from align_eval.patterns import make_mask_kind


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 9), st.integers(1, 9), st.integers(0, 9999), st.floats(0, 1))
def test_outlines_hold_the_cells_that_attend_and_no_other(rows: int, columns: int, seed: int, density: float) -> None:
    pattern = np.random.default_rng(seed).random((rows, columns)) < density
    covered = np.zeros((rows, columns), dtype=int)
    for (x, y), _, (right, low), *_ in outline(pattern).vertices.reshape(-1, 5, 2).astype(int):
        assert low == y + 1
        covered[y:low, x:right] += 1
    assert np.array_equal(covered, pattern), "once each cell that attends"


@pytest.mark.parametrize("shape", [(64, 64), (6, 11)])
def test_each_cell_has_its_colour(shape: tuple[int, int]) -> None:
    from matplotlib.colors import to_rgba

    pattern = np.random.default_rng(5).random(shape) < 0.4
    figure = context_pattern(pattern)
    figure.set_dpi(200)
    figure.canvas.draw()  # type: ignore[no-untyped-call]
    pixels = np.asarray(figure.canvas.buffer_rgba())  # type: ignore[attr-defined]
    axes = figure.axes[0]
    yellow, purple = (np.round(255 * np.array(to_rgba(colour))) for colour in (ATTENDS, ATTENDS_NOT))
    for row, column in np.argwhere(np.ones(shape, dtype=bool)):
        x, y = axes.transData.transform((column + 0.5, row + 0.5))
        got = pixels[int(pixels.shape[0] - y), int(x)]
        assert np.array_equal(got, yellow if pattern[row, column] else purple)


def test_axes_ticks_and_legend() -> None:
    figure = context_pattern(make_mask_kind("causal")(64), title="causal")
    axes = figure.axes[0]
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("Context Length", "Context Length")
    assert axes.get_xticks().tolist() == axes.get_yticks().tolist() == [0, 16, 32, 48, 64]
    assert axes.get_xlim() == (0, 64)
    assert axes.get_ylim() == (64, 0), "the first query is at the top"
    assert not axes.images, "no image that a viewer could blur"
    assert {"causal", "attends (row to column)", "does not"} <= set(texts_of(figure))


def test_ticks() -> None:
    assert [ticks(n)[-1] for n in (1, 4, 5, 50, 512)] == [1, 4, 4, 48, 512]
    assert all(len(ticks(n)) <= 5 for n in range(1, 600))


@pytest.mark.parametrize("ending", ["png", "svg", "pdf"])
def test_files(tmp_path: Path, ending: str) -> None:
    paths = [tmp_path / f"{k}.{ending}" for k in range(2)]
    for path in paths:
        save(context_pattern(make_mask_kind("tree")(64)), path)
    assert paths[0].read_bytes() == paths[1].read_bytes()
    if ending == "svg":
        text = paths[0].read_text()
        assert "<image" not in text
        assert len(text) < 100_000


def test_refusals() -> None:
    for bad in (np.ones(3, dtype=bool), np.ones((0, 3), dtype=bool)):
        with pytest.raises(InputError, match="queries x keys"):
            context_pattern(bad)


def test_cells_smaller_than_a_pixel_keep_their_mean_colour() -> None:
    pattern = np.tile(np.arange(600) % 2 == 0, (600, 1))
    figure = context_pattern(pattern)
    figure.canvas.draw()  # type: ignore[no-untyped-call]
    axes = figure.axes[0]
    (x0, y0), (x1, y1) = axes.transAxes.transform([(0.2, 0.2), (0.8, 0.8)])
    pixels = np.asarray(figure.canvas.buffer_rgba())[int(y0) : int(y1), int(x0) : int(x1), :3]  # type: ignore[attr-defined]
    ends = np.array([[0xFD, 0xE7, 0x25], [0x44, 0x01, 0x54]])
    assert np.abs(pixels.reshape(-1, 3).mean(axis=0) - ends.mean(axis=0)).max() < 12
