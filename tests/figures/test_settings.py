"""Settings of matplotlib that a user has made: figures are the same bytes, and the settings stay."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
import matplotlib.style
import pytest

from align_eval.figures import style
from align_eval.figures.curves import redistribution_curves
from align_eval.figures.heads import head_zoom
from align_eval.figures.heatmap import heatmap, maps_figure
from align_eval.figures.layers import layer_token_map
from align_eval.figures.pair import aligned_pair
from align_eval.figures.pattern import context_pattern
from align_eval.figures.style import to_bytes
from align_eval.figures.sweep import aer_grid
from align_eval.patterns import make_mask_kind
from tests.figures import test_curves, test_heads, test_layers, test_pair, test_sweep
from tests.figures.panels import ENGLISH, maps
from tests.figures.test_notebook import _maps

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FIGURES: dict[str, Callable[[], Figure]] = {
    "heatmap": lambda: heatmap(maps(ENGLISH, ["Wie", "sind", "die", "Gesetze", "?"])["full"]),
    "pair": lambda: aligned_pair(test_pair.PAIR, test_pair.VALUES, test_pair.LINKS),
    "curves": lambda: redistribution_curves(test_curves.SPANS),
    "zoom": lambda: head_zoom(test_heads.GRID, (2, 3), test_heads.MAP, test_heads.TOKENS, test_heads.TOKENS),
    "layers": lambda: layer_token_map(test_layers.VALUES, test_layers.TOKENS, quantity="bits", high=1),
    "pattern": lambda: context_pattern(make_mask_kind("causal")(16), title="causal"),
    "sweep": lambda: aer_grid(test_sweep.rows(3, 4)),
    "notebook": lambda: maps_figure(_maps(1, 1)),
}
SETTINGS: dict[str, Any] = {
    "text.usetex": True, "font.size": 20, "axes.titlesize": 30, "figure.autolayout": True, "axes.grid": True,
    "savefig.bbox": "tight", "savefig.facecolor": "black", "figure.facecolor": "red", "image.cmap": "jet",
    "image.origin": "lower", "image.interpolation": "bilinear", "image.aspect": "auto", "lines.linewidth": 9,
    "xtick.top": True, "axes.facecolor": "yellow", "text.color": "green", "axes.labelpad": 40,
    "path.sketch": (1, 100, 2),
}  # fmt: skip


@pytest.mark.parametrize("name", FIGURES)
def test_figures_are_the_same_and_settings_stay(name: str) -> None:
    figure = FIGURES[name]()
    plain = to_bytes(figure, "svg"), to_bytes(figure)
    for user in (SETTINGS, {"figure.constrained_layout.use": True}):
        style._measured.cache_clear()
        with mpl.rc_context():
            matplotlib.style.use(["dark_background", user])
            before = dict(mpl.rcParams)
            figure = FIGURES[name]()
            assert dict(mpl.rcParams) == before
            found = to_bytes(figure, "svg"), to_bytes(figure)
            assert dict(mpl.rcParams) == before
        assert [one == other for one, other in zip(found, plain, strict=True)] == [True, True]
    style._measured.cache_clear()
