"""Rollout equals its equation, and its rows are distributions."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from align_eval.attribution import ATTRIBUTIONS
from align_eval.attribution.collect import attention_maps, word_matrices
from align_eval.attribution.context_mixing import Rollout, roll
from tests.attribution.recorded import KINDS, double, layers_of
from tests.models import families


def rolled(layers: list[Any]) -> list[torch.Tensor]:
    """R_1, R_2, ... by the equation, row by row."""
    found = []
    before = torch.eye(layers[0].weights.shape[-1], dtype=torch.float64)
    for layer in layers:
        mean = sum(layer.weights) / len(layer.weights)
        rows = []
        for i, row in enumerate(mean):
            row = row.clone()
            row[i] += 1
            rows.append((row / row.sum()) @ before)
        before = torch.stack(rows)
        found.append(before)
    return found


@pytest.mark.parametrize("kind", KINDS)
def test_maps_are_those_of_the_equation(kind: str) -> None:
    model = double(kind)
    pair = families.pairs()[1]
    reading = "block-ts" if kind in families.ENCODERS else "awi"
    reader = Rollout(model)
    (maps,) = attention_maps(reader, [pair], layers=[3, 1], reading=reading)
    assert (maps.layers, maps.heads, maps.quantity) == ((3, 1), ("layer",), "attention rollout")
    (block,) = reader.lay_out([pair])[0].blocks[reading]
    if kind in families.SEQ2SEQ:
        encoder = rolled(layers_of(model, pair, "encoder-self"))[-1]
        expected = [layer.weights.mean(0) @ encoder for layer in layers_of(model, pair, "cross")]
    else:
        expected = rolled(layers_of(model, pair, "self"))
    for place, number in enumerate((3, 1)):
        assert float((maps.by_head()[place, 0] - expected[number - 1][torch.from_numpy(block.rows)]).abs().max()) < 1e-9
    assert torch.allclose(maps.by_head().sum(-1), torch.ones(maps.by_head().shape[:3], dtype=torch.float64), atol=1e-12)
    assert float(maps.by_head().min()) >= 0


@pytest.mark.parametrize("kind", KINDS)
def test_batched_equals_single(kind: str) -> None:
    reader = Rollout(double(kind))
    for pair, maps in zip(families.pairs(), attention_maps(reader, families.pairs()), strict=True):
        (alone,) = attention_maps(reader, [pair])
        assert float((maps.by_head() - alone.by_head()).abs().max()) < 1e-9


def test_by_hand() -> None:
    """Two heads of two rows; uniform attention over n columns, twice: 1/2 I + 1/2 U, then 1/4 I + 3/4 U."""
    weights = torch.tensor([[[[1.0, 0.0], [0.5, 0.5]], [[0.0, 1.0], [0.5, 0.5]]]])
    assert roll(weights).tolist() == [[[0.75, 0.25], [0.25, 0.75]]]
    uniform = torch.full((1, 3, 4, 4), 0.25)
    once = roll(uniform)
    assert torch.allclose(once[0], torch.eye(4) / 2 + 1 / 8)
    assert torch.allclose(roll(uniform, once)[0], torch.eye(4) / 4 + 3 / 16)
    alone = torch.eye(4).expand(1, 2, 4, 4)
    assert torch.equal(roll(alone, once), once)


@pytest.mark.parametrize("kind", families.DECODERS)
def test_nothing_from_the_future(kind: str) -> None:
    reader = Rollout(families.build(kind))
    for maps, layout in zip(
        attention_maps(reader, families.pairs(), reading="awi"), reader.lay_out(families.pairs()), strict=True
    ):
        (block,) = layout.blocks["awi"]
        for r, row in enumerate(block.rows):
            assert not maps.by_head()[:, :, r, row + 1 :].any()


def test_word_maps() -> None:
    reader = ATTRIBUTIONS.get("rollout")(families.build("marian"))
    for batch in word_matrices(reader, families.pairs(), layers=["all", "mean"], readings="awi"):
        assert [view.layer for view in batch.views] == [1, 2, 3, "mean"]
        assert torch.allclose(batch.values[3], batch.values[:3].mean(0), atol=1e-6)
        inside = batch.values.sum(2) + batch.target.left_out
        for b, size in enumerate(batch.target.lengths):
            assert torch.allclose(inside[:, b, :size], torch.ones(4, size), atol=1e-5)


def test_half_precision_is_rolled_in_float32() -> None:
    assert roll(torch.full((1, 1, 3, 3), 1 / 3, dtype=torch.bfloat16)).dtype == torch.float32
