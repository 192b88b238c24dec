"""What maps show in a notebook."""

from __future__ import annotations

import torch

from align_eval.figures.notebook import maps_figure
from align_eval.signals.attention_maps import AttentionMaps


def _maps(layers: int, heads: int) -> AttentionMaps:
    return AttentionMaps(
        torch.full((layers, heads, 2, 3), 1 / 3), tuple(range(1, layers + 1)), tuple(range(1, heads + 1)),
        ("▁a", "▁b"), ("▁x", "y", "</s>"), torch.tensor([0, 1]), torch.tensor([0, 0, -1]), ("a", "b"), ("xy",),
        "target", "awi", "attention weight", torch.full((layers, heads, 2), 1 / 3), "tiny",
    )  # fmt: skip


def test_one_map_shows_itself_with_its_labels() -> None:
    bundle = _maps(1, 1)._repr_mimebundle_()
    assert set(bundle) == {"text/plain", "image/png", "image/svg+xml"}
    assert bytes(bundle["image/png"]).startswith(b"\x89PNG")  # type: ignore[call-overload]
    assert "·y" in str(bundle["image/svg+xml"])
    assert (
        bundle["text/plain"] == "AttentionMaps('attention weight', 'awi', 1 x 1 x 2 x 3: layers, heads, rows, columns)"
    )


def test_many_maps_show_a_thumbnail_each() -> None:
    assert len(maps_figure(_maps(2, 3)).axes) == 6
    assert "image/svg+xml" not in _maps(2, 3)._repr_mimebundle_()
    cut = maps_figure(_maps(1, 30))
    assert len(cut.axes) == 24
    assert "the first 1 x 24" in cut.texts[0].get_text()
