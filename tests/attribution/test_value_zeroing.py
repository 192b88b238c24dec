"""Value zeroing against whole forward passes with one value vector set to 0."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from align_eval.attribution import pair_model
from align_eval.attribution.collect import attention_maps, word_matrices
from align_eval.attribution.context_mixing import ValueZeroing, cosine_distance
from align_eval.models.double import keep_double
from tests.attribution.forced import PAIR, double, require_batched_is_single
from tests.models import families

VALUES = {"bart": "v_proj", "marian": "v_proj", "t5": "v", "llama": "v_proj", "gpt2": "c_attn", "bert": "value"}


def layer_output(model: Any, layout: Any, layer: int, column: int | None) -> torch.Tensor:
    """The output ``(Q, d)`` of a layer in a whole pass, the value of ``column`` set to 0 there."""
    reader = pair_model(model)
    handles = []
    kept: list[torch.Tensor] = []
    if reader.name == "t5":
        block = reader.model.decoder.block[layer - 1]
        handles.append(block.register_forward_hook(lambda module, given, output: kept.append(output[0])))

    def zero(module: Any, given: Any, output: torch.Tensor) -> torch.Tensor:
        out = output.clone()
        out[0, column, -32:] = 0
        return out

    if column is not None:
        handles.append(getattr(reader.sites[layer - 1], VALUES[reader.name]).register_forward_hook(zero))
    try:
        reader.model.config.output_hidden_states = True
        with torch.no_grad(), keep_double(reader.dtype):
            found = reader.forward([layout])
        if kept:
            return kept[0][0]
        states = found.decoder_hidden_states if reader.family == "seq2seq" else found.hidden_states
        return states[layer][0]
    finally:
        reader.model.config.output_hidden_states = False
        for handle in handles:
            handle.remove()


@pytest.mark.parametrize("kind", list(VALUES))
def test_whole_passes_with_one_value_less(kind: str) -> None:
    model = double(kind)
    reader = ValueZeroing(model)
    reading = reader.readings[-1]
    (maps,) = attention_maps(reader, [PAIR], layers=1, reading=reading)
    (layout,) = reader.lay_out([PAIR])
    (block,) = layout.blocks[reading]
    whole = layer_output(model, layout, 1, None)
    for column in range(0, len(block.column_words), 2):
        changed = layer_output(model, layout, 1, column)
        expected = 1 - torch.nn.functional.cosine_similarity(changed, whole, dim=-1)
        assert float((maps.by_head()[0, 0, :, column] - expected[block.rows]).abs().max()) < 1e-9
    assert float(maps.by_head().max()) > 1e-4


@pytest.mark.parametrize("kind", ["gpt2", "llama"])
def test_zero_where_attention_is_zero(kind: str) -> None:
    reader = ValueZeroing(double(kind))
    for signal, weights in zip(
        attention_maps(reader, families.pairs()), attention_maps(double(kind), families.pairs()), strict=True
    ):
        none = (weights.by_head() == 0).all(dim=1, keepdim=True)
        assert bool(none.any())
        assert float(signal.by_head()[none].abs().max()) == 0
        assert float(signal.by_head()[~none].min()) > 0


@pytest.mark.parametrize("kind", ["marian", "gpt2", "bert"])
def test_batched_is_single(kind: str) -> None:
    require_batched_is_single(ValueZeroing(double(kind)))


def test_rows_of_the_paper() -> None:
    for maps in attention_maps(ValueZeroing(double("bart"), normalised=True), families.pairs()):
        assert torch.allclose(
            maps.by_head().sum(-1), torch.ones(maps.by_head().shape[:3], dtype=torch.float64), atol=1e-12
        )
    plain = attention_maps(ValueZeroing(double("bart")), [PAIR])[0].by_head()
    normalised = attention_maps(ValueZeroing(double("bart"), normalised=True), [PAIR])[0].by_head()
    assert torch.allclose(plain / plain.sum(-1, keepdim=True), normalised)
    (batch,) = word_matrices(ValueZeroing(double("bert")), [PAIR], layers=[1, "mean"])
    assert [str(view) for view in batch.views][:2] == ["layer 1, head layer, block", "layer mean, head layer, block"]


def test_distance_by_hand() -> None:
    one = torch.tensor([[1.0, 0.0], [3.0, 4.0], [1.0, 1.0], [2.0, 0.0]])
    other = torch.tensor([[0.0, 2.0], [3.0, 4.0], [-1.0, -1.0], [1.0, 1.0]])
    assert torch.allclose(cosine_distance(one, other), torch.tensor([1, 0, 2, 1 - 0.5**0.5], dtype=torch.float64))
