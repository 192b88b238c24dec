"""The heatmaps of a sweep: size, what is framed, ticks, and what the reading says."""

from __future__ import annotations

import itertools
import json
from typing import Any

import numpy as np
import pytest
from matplotlib.patches import Rectangle

from align_eval.errors import InputError
from align_eval.figures.style import TWO_COLUMNS
from align_eval.figures.sweep import aer_grid, summarise_sweep


def rows(layers: int, heads: int, readings: tuple[str, ...] = ("awo", "awi")) -> list[dict[str, Any]]:
    """Every view, and the mean over heads; AER is lowest at layer 2, head 1, awi."""
    rng = np.random.default_rng(1)
    out = []
    for reading in readings:
        for layer in range(1, layers + 1):
            for head in [*range(1, heads + 1), "mean"]:
                aer = 60 + 30 * float(rng.random())
                if (layer, head, reading) == (2, 1, "awi"):
                    aer = 23.0
                out.append({"layer": layer, "head": head, "mode": reading, "aer": aer})
    return out


@pytest.mark.parametrize(("layers", "heads"), [(3, 8), (12, 12), (30, 9), (32, 32), (1, 1)])
def test_no_wider_than_a_page(layers: int, heads: int) -> None:
    figure = aer_grid(rows(layers, heads))
    width, height = figure.get_size_inches()
    assert width <= TWO_COLUMNS + 1e-6
    assert height <= 9
    figure.canvas.draw()
    for axis in figure.axes[:2]:
        labels = [label for label in axis.get_xticklabels() if label.get_text()]
        boxes = sorted((label.get_window_extent() for label in labels), key=lambda box: box.x0)
        assert all(a.x1 <= b.x0 + 0.5 for a, b in itertools.pairwise(boxes)), "no label on another"


def test_the_best_of_each_reading_is_framed() -> None:
    given = rows(3, 8)
    figure = aer_grid(given, title="a title")
    for axis, reading in zip(figure.axes, ("awo", "awi"), strict=False):
        (frame,) = [patch for patch in axis.patches if isinstance(patch, Rectangle)]
        best = min((row for row in given if row["mode"] == reading), key=lambda row: row["aer"])
        column = 8 if best["head"] == "mean" else best["head"] - 1
        assert frame.get_xy() == (column - 0.5, best["layer"] - 1.5)
        assert f"{best['aer']:.1f}" in axis.get_title()
    assert np.isnan(figure.axes[0].images[0].get_array()).sum() == 0


def test_no_rows_are_refused() -> None:
    with pytest.raises(InputError, match="nothing to draw"):
        aer_grid([])


def test_the_reading_by_hand() -> None:
    reading = summarise_sweep(rows(3, 8))
    assert reading.findings[0] == "The lowest AER is 23.0: layer 2, head 1, awi."
    assert reading.findings[1].startswith("1 of 54 views is within 5 points of it; the median is ")
    assert "awi 23.0 (layer 2, head 1)" in reading.findings[2]
    assert "The layers with the best heads: 2 (23.0)" in reading.findings[3]
    assert reading.findings[4].startswith("Heads put together (mean): ")
    assert (reading.strongest[0].layer, reading.strongest[0].head, reading.strongest[0].value) == (2, 1, 23.0)
    assert json.dumps(reading.to_json())
    only = summarise_sweep([{"layer": 1, "head": "layer", "mode": "awo", "aer": 40.0}])
    assert only.findings == (
        "The lowest AER is 40.0: layer 1, head layer, awo.",
        "1 of 1 views is within 5 points of it; the median is 40.0.",
    )
