"""Norm-based attention equals its equation on every architecture."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch

from align_eval.attribution import ATTRIBUTIONS
from align_eval.attribution.collect import attention_maps, word_matrices
from align_eval.attribution.context_mixing import LayerNorms, Norms, cells
from align_eval.errors import InputError, ModelError, NonFiniteError
from align_eval.extraction import make_extractor
from align_eval.models.linear import Form, parts_of
from tests.attribution.recorded import KINDS, double, layers_of, moved_by
from tests.models import families

PAIRS = families.pairs()[1:3]


def kind_of(model: Any) -> str:
    return "cross" if model.family == "seq2seq" else "self"


@pytest.mark.parametrize("kind", KINDS)
def test_maps_are_the_norms_of_the_equation(kind: str) -> None:
    reader = Norms(double(kind))
    reading = "block-ts" if kind in families.ENCODERS else "awi"
    by_head = attention_maps(reader, PAIRS[:1], reading=reading)[0]
    by_layer = attention_maps(LayerNorms(double(kind)), PAIRS[:1], reading=reading)[0]
    assert by_head.by_head().shape[:2] == (3, 4)
    assert (by_layer.heads, by_layer.quantity) == (("layer",), "norm of the sum of the weighted values")
    (block,) = reader.lay_out(PAIRS[:1])[0].blocks[reading]
    for number, layer in enumerate(layers_of(double(kind), PAIRS[0], kind_of(reader))):
        vectors = moved_by(reader.model, layer)[:, torch.from_numpy(block.rows)]
        assert float((by_head.by_head()[number] - vectors.norm(dim=-1)).abs().max()) < 1e-9
        assert float((by_layer.by_head()[number, 0] - vectors.sum(0).norm(dim=-1)).abs().max()) < 1e-9
        assert float(by_head.by_head()[number].max()) > 0.01


@pytest.mark.parametrize("kind", ["marian", "t5", "gpt2", "qwen2", "xlm-roberta"])
def test_batched_equals_single(kind: str) -> None:
    for reader in (Norms(double(kind)), LayerNorms(double(kind))):
        together = attention_maps(reader, families.pairs())
        for pair, maps in zip(families.pairs(), together, strict=True):
            (alone,) = attention_maps(reader, [pair])
            assert float((maps.by_head() - alone.by_head()).abs().max()) < 1e-9


def test_by_hand() -> None:
    """One head, W_V and W_O the identity: A_ij ||x_j||. Two heads: of opposite vectors nothing is left in the layer."""
    weights = torch.tensor([[[[0.25, 0.75], [1.0, 0.0]]]])
    moved = torch.tensor([[[[3.0, 4.0], [0.0, 2.0]]]])
    reader = Norms(double("bart"))
    assert reader.norms(weights, moved).tolist() == [[[[1.25, 1.5], [5.0, 0.0]]]]
    whole = LayerNorms(double("bart"))
    assert whole.norms(weights, moved).tolist() == [[[[1.25, 1.5], [5.0, 0.0]]]]
    opposite = torch.cat([moved, -moved], dim=1)
    assert not whole.norms(weights.repeat(1, 2, 1, 1), opposite).any()
    assert reader.norms(weights.repeat(1, 2, 1, 1), opposite).shape == (1, 2, 2, 2)


def test_a_model_of_one_head_that_passes_its_input_on() -> None:
    """f(x) = x: the map is attention times the length of the encoder's states."""
    model = families.build("bart", dtype="float64")
    for site in model.sites:
        with torch.no_grad():
            for module in (site.v_proj, site.out_proj):
                module.weight.copy_(torch.eye(32))
                module.bias.zero_()
    (layer, *_) = layers_of(model, PAIRS[0], "cross")
    (norms,) = attention_maps(LayerNorms(model), PAIRS[:1], layers=1)
    # Four heads of orthogonal output: squares add up.
    parts = torch.stack(
        [layer.weights[h] * layer.keys[:, 8 * h : 8 * h + 8].norm(dim=-1) for h in range(len(layer.weights))]
    )
    assert torch.allclose(norms.by_head()[0, 0], parts.pow(2).sum(0).sqrt(), atol=1e-12)
    site = model.sites[0]
    (part,) = parts_of(model, [site])
    form = replace(part.projections, form=Form(1, 1, 32, "alone"))
    states = torch.randn(1, 5, 32, dtype=torch.float64)
    one = form.transformed(states)
    assert torch.allclose(one[:, 0], states)
    weights = torch.rand(1, 1, 3, 5, dtype=torch.float64)
    expected = weights[:, 0] * states.norm(dim=-1)[:, None]
    assert torch.allclose(LayerNorms(model).norms(weights, one)[:, 0], expected)


def test_chunks_do_not_change_the_vectors() -> None:
    weights, moved = torch.rand(2, 3, 7, 5), torch.randn(2, 3, 5, 4)
    whole = torch.einsum("bhqk,bhkd->bqkd", weights, moved)
    for limit in (1, 85, 1 << 20):
        pieces = list(cells(weights, moved, limit))
        assert torch.allclose(torch.cat([v for _, v in pieces], dim=1), whole, atol=1e-6)
        assert [k for rows, _ in pieces for k in range(rows.start, rows.stop)] == list(range(7))


def test_word_maps_reach_extraction() -> None:
    for name in ("norms", "norms-layer"):
        reader = ATTRIBUTIONS.get(name)(families.build("t5"))
        batch = next(word_matrices(reader, families.pairs(), layers=[1, 2]))
        heads = {view.head for view in batch.views}
        assert heads == ({1, 2, 3, 4, "mean"} if name == "norms" else {"layer"})
        assert batch.quantity == reader.quantity
        assert make_extractor("argmax").of(batch).links.any()
        rows = attention_maps(reader, families.pairs(), layers=1)[0]
        assert torch.allclose(
            rows.words().by_head().sum(-1) + rows.words().mass_left_out(), pooled_rows(rows), atol=1e-5
        )


def pooled_rows(maps: Any) -> torch.Tensor:
    return torch.stack(
        [maps.by_head().sum(-1)[..., maps.queries.words[0] == k].mean(-1) for k in range(len(maps.queries.text[0]))],
        dim=-1,
    )


def test_half_precision() -> None:
    model = families.build("bart")
    full = attention_maps(Norms(model), PAIRS)
    model.model.to(torch.bfloat16)
    model.dtype = torch.bfloat16
    for half, whole in zip(attention_maps(Norms(model), PAIRS), full, strict=True):
        assert half.by_head().dtype == torch.float32
        assert float((half.by_head() - whole.by_head()).abs().max()) < 0.1 * float(whole.by_head().max())


def test_errors() -> None:
    model = families.build("bart")
    with pytest.raises(ModelError, match="projections are not found"):
        parts_of(model, [model.model.model.encoder.layers[0].fc1])
    gated = families.build("llama")
    before = Norms(gated)
    gated.sites[1].o_proj.register_forward_pre_hook(lambda module, given: (given[0] * 0.5,))
    attention_maps(before, PAIRS, layers=[1, 3])
    with pytest.raises(ModelError, match="llama is more than a weighted sum of values"):
        attention_maps(before, PAIRS, layers=2)
    with pytest.raises(ModelError, match=r"llama \(llama\) is more than a weighted sum of values"):
        Norms(gated)
    with pytest.raises(InputError, match="str is no model"):
        Norms("bart")
    with pytest.raises(InputError, match="no layer 4"):
        attention_maps(Norms(model), PAIRS, layers=4)
    with torch.no_grad():
        model.sites[1].out_proj.weight.fill_(torch.nan)
    # The norms of layer 2 are NaN while its weights are a distribution.
    for door in (attention_maps, word_matrices):
        with pytest.raises(NonFiniteError, match="norm of the weighted value"):
            list(door(Norms(model), PAIRS, layers=2))
