"""What maps show in a notebook."""

from __future__ import annotations

import torch

from align_eval.attribution.matrix import ScoreMatrix, Side, View
from align_eval.figures.heatmap import maps_figure


def _maps(layers: int, heads: int) -> ScoreMatrix:
    source = Side(torch.tensor([[0, 0, -1]]), (3,), (1,), (("xy",),), (("▁x", "y", "</s>"),))
    target = Side(torch.tensor([[0, 1]]), (2,), (2,), (("a", "b"),), (("▁a", "▁b"),))
    views = tuple(View(layer, head, "awi") for layer in range(1, layers + 1) for head in range(1, heads + 1))
    values = torch.full((len(views), 1, 3, 2), 1 / 3)
    return ScoreMatrix(values, source, target, views, "attention weight", model="tiny")


def test_one_map_shows_itself_with_its_labels() -> None:
    bundle = _maps(1, 1)._repr_mimebundle_()
    assert set(bundle) == {"text/plain", "image/png", "image/svg+xml"}
    assert bytes(bundle["image/png"]).startswith(b"\x89PNG")  # type: ignore[call-overload]
    assert "·y" in str(bundle["image/svg+xml"])
    assert bundle["text/plain"] == repr(_maps(1, 1))


def test_many_maps_show_a_thumbnail_each() -> None:
    assert len(maps_figure(_maps(2, 3)).axes) == 6
    assert "image/svg+xml" not in _maps(2, 3)._repr_mimebundle_()
    cut = maps_figure(_maps(1, 30))
    assert len(cut.axes) == 24
    assert "the first 1 x 24" in cut.texts[0].get_text()
