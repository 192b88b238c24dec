"""Information flow: the equation, what is zero, and the gate of a head."""

from __future__ import annotations

import sys
from typing import Any

import pytest
import torch
from torch import Tensor

from align_eval.attribution.collect import attention_maps
from align_eval.attribution.information_flow import HeadFlow, LayerFlow, attention_times_gradient
from align_eval.corpora import SentencePair
from align_eval.errors import InputError, ModelError
from align_eval.models.attention import attention_sites, eager
from align_eval.models.double import keep_double
from tests.attribution.forced import (
    KINDS,
    PAIR,
    double,
    log_probabilities,
    require_batched_is_single,
    require_nothing_after,
)
from tests.models import families


class Gates:
    """Eager attention of a modelling file, written again, with every weight multiplied by a gate."""

    def __init__(self, reader: HeadFlow, monkeypatch: pytest.MonkeyPatch) -> None:
        self.values: dict[int, Tensor] = {}
        self.layer_of = {id(site): layer for layer, site in enumerate(reader.sites, 1)}
        modelling = sys.modules[type(reader.sites[0]).__module__]
        monkeypatch.setattr(modelling, "eager_attention_forward", self.attend)

    def attend(
        self, module: Any, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None,
        scaling: float | None = None, **rest: Any,
    ) -> tuple[Tensor, Tensor]:  # fmt: skip
        groups = query.shape[1] // key.shape[1]
        key, value = key.repeat_interleave(groups, dim=1), value.repeat_interleave(groups, dim=1)
        scores = query @ key.transpose(2, 3) * (query.shape[-1] ** -0.5 if scaling is None else scaling)
        weights = (scores if mask is None else scores + mask).softmax(dim=-1)
        gate = self.values.get(self.layer_of.get(id(module), 0))
        if gate is not None:
            weights = weights * gate
        return (weights @ value).transpose(1, 2).contiguous(), weights


@pytest.mark.parametrize("kind", KINDS)
def test_the_gradient_of_a_tensor_of_ones(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    reader = HeadFlow(double(kind))
    steps = reader.predictions(reader.lay_out([PAIR]))[1:3]
    found = reader.flow(steps, [1, 2])
    gates = Gates(reader, monkeypatch)
    with torch.enable_grad(), eager(reader.model), keep_double(reader.dtype):
        gates.values = {layer: torch.ones_like(values).requires_grad_() for layer, values in found.items()}
        loss = -log_probabilities(reader, steps).sum()
        expected = torch.autograd.grad(loss, [gates.values[layer] for layer in (1, 2)])
    for layer, values in zip((1, 2), expected, strict=True):
        assert float((found[layer] - values).abs().max()) < 1e-9
        assert float(values.abs().max()) > 1e-4


@pytest.mark.parametrize("kind", ["bart", "gpt2"])
def test_finite_differences(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    reader = HeadFlow(double(kind))
    (step,) = reader.predictions(reader.lay_out([PAIR]))[1:2]
    found = reader.flow([step], [1])[1]
    gates = Gates(reader, monkeypatch)
    small = 1e-5
    greatest = found.abs().flatten().topk(4).indices.tolist()
    with torch.no_grad(), eager(reader.model), keep_double(reader.dtype):
        for cell in greatest:
            loss = []
            for sign in (1, -1):
                gate = torch.ones_like(found)
                gate.view(-1)[cell] += sign * small
                gates.values = {1: gate}
                loss.append(-float(log_probabilities(reader, [step])))
            assert abs((loss[0] - loss[1]) / (2 * small) - float(found.flatten()[cell])) < 1e-8


@pytest.mark.parametrize("kind", ["gpt2", "llama", "gemma2"])
def test_zero_above_the_diagonal(kind: str) -> None:
    reader = HeadFlow(double(kind))
    steps = reader.predictions(reader.lay_out([PAIR]))
    for values in reader.flow(steps, [1, 2]).values():
        assert float(values.triu(1).abs().max()) == 0
        for step, own in zip(steps, values, strict=True):  # nothing flows to what comes after the prediction
            assert float(own[:, step.row + 1 :].abs().max()) == 0
    require_nothing_after(LayerFlow(double(kind)))


@pytest.mark.parametrize("kind", ["gpt2", "llama", "bart", "t5"])
def test_the_last_layer_has_one_row(kind: str) -> None:
    """Only the row that predicts has a flow in the last layer; below, others have one too."""
    reader = HeadFlow(double(kind))
    steps = reader.predictions(reader.lay_out([PAIR]))
    last = steps[-1:]
    found = reader.flow(last, [1, 2])
    rows = found[2][0].abs().sum(dim=(0, 2))
    assert (rows > 0).nonzero()[:, 0].tolist() == [last[0].row]
    assert int((found[1][0].abs().sum(dim=(0, 2)) > 0).sum()) > 1


def test_a_loss_at_the_last_position() -> None:
    """The case of the paper: a label word is predicted after the whole context."""
    model = double("gpt2")
    ids = torch.arange(7, 16)[None]

    def loss() -> Tensor:
        return -model.model(input_ids=ids).logits[0, -1].log_softmax(dim=-1)[5]

    found = attention_times_gradient(model.model, {1: model.sites[0], 2: model.sites[1]}, loss)
    rows = found[2][0].abs().sum(dim=(0, 2))
    assert (rows > 0).nonzero()[:, 0].tolist() == [ids.shape[1] - 1]
    assert float(found[1][0].abs().sum(dim=(0, 2)).min()) > 0
    assert float(found[1].triu(1).abs().max()) == 0


@pytest.mark.parametrize("kind", KINDS)
def test_the_sum_is_the_gradient_of_the_gate_of_a_head(kind: str) -> None:
    """Michel et al. 2019: a gate on the output of each head, before the output projection."""
    reader = HeadFlow(double(kind))
    steps = reader.predictions(reader.lay_out([PAIR]))[:3]
    found = reader.flow(steps, [1, 2])
    gates = {layer: torch.ones(len(steps), 4, dtype=torch.float64, requires_grad=True) for layer in (1, 2)}
    handles = []
    for layer, gate in gates.items():
        site = reader.sites[layer - 1]
        (out,) = (module for name, module in site.named_children() if name in ("out_proj", "o_proj", "c_proj"))

        def hook(module: Any, given: tuple[Tensor, ...], gate: Tensor = gate) -> tuple[Tensor, ...]:
            heads = given[0].unflatten(-1, (4, -1)) * gate[:, None, :, None]
            return (heads.flatten(-2), *given[1:])

        handles.append(out.register_forward_pre_hook(hook))
    with torch.enable_grad(), keep_double(reader.dtype):
        expected = torch.autograd.grad(-log_probabilities(reader, steps).sum(), list(gates.values()))
    for handle in handles:
        handle.remove()
    for layer, gradient in zip(gates, expected, strict=True):
        assert float((found[layer].sum(dim=(2, 3)) - gradient).abs().max()) < 1e-9


@pytest.mark.parametrize("kind", KINDS)
def test_maps_are_the_rows_of_the_flow(kind: str) -> None:
    model = double(kind)
    pair = families.pairs()[3]
    heads, layer, everything = HeadFlow(model), LayerFlow(model), LayerFlow(model, rows="all")
    steps = heads.predictions(heads.lay_out([pair]))
    signed = torch.stack([heads.flow(steps, [1, 2])[k] for k in (1, 2)])  # (L, R, H, Q, K)
    own = torch.stack([signed[:, r, :, step.row] for r, step in enumerate(steps)], dim=2)  # (L, H, R, K)
    (by_head,), (by_layer,), (by_all,) = (attention_maps(reader, [pair]) for reader in (heads, layer, everything))
    assert float((by_head.by_head() - own.abs()).abs().max()) < 1e-9
    assert float((by_layer.by_head()[:, 0] - own.sum(dim=1).abs()).abs().max()) < 1e-9
    assert float((by_all.by_head()[:, 0] - signed.sum(dim=2).abs().sum(dim=2)).abs().max()) < 1e-9
    assert by_layer.heads == ("layer",)
    assert torch.allclose(by_all.by_head()[1], by_layer.by_head()[1], atol=1e-12)  # the last layer has no other row


@pytest.mark.parametrize("kind", ["marian", "llama"])
def test_batched_is_single(kind: str) -> None:
    for reader in (LayerFlow(double(kind)), HeadFlow(double(kind), rows="all")):
        require_batched_is_single(reader)


def test_a_frozen_model() -> None:
    model = families.build("gpt2", dtype="float64", layers=2)
    (before,) = attention_maps(LayerFlow(model), [PAIR])
    model.model.requires_grad_(False)
    (after,) = attention_maps(LayerFlow(model), [PAIR])
    assert torch.equal(before.by_head(), after.by_head())
    assert not any(weight.requires_grad for weight in model.model.parameters())


def masked_model() -> Any:
    """A BERT with its head for masked words, of two layers, in float64."""
    import transformers

    from align_eval.models.encoder import Encoder

    tokenizer = families.tokenizer_of("bert")
    tokenizer.add_special_tokens({"mask_token": "[UNK]"})
    torch.manual_seed(3)
    config = families.config_of("bert", tokenizer, 2, 96)
    config.initializer_range = 0.3
    return Encoder("masked", transformers.BertForMaskedLM(config).to(torch.float64), tokenizer)


def test_a_masked_language_model() -> None:
    """Each sub-word is predicted from its own mask; both blocks; the last layer has one row."""
    reader = HeadFlow(masked_model())
    assert reader.readings == ("block", "block-st", "block-ts")
    (layout,) = reader.lay_out([PAIR])
    steps = reader.predictions([layout])
    rows = [step.row for step in steps]
    assert sorted(rows) == sorted(int(r) for block in layout.blocks["block"] for r in block.rows)
    mask = reader.tokenizer.mask_token_id
    for step in steps:
        ids = step.layout.inputs[0].tolist()
        assert ids[step.row] == mask
        assert [*ids[: step.row], step.token, *ids[step.row + 1 :]] == layout.inputs[0].tolist()
    found = reader.flow(steps, [1, 2])
    for number, step in enumerate(steps):
        sums = found[2][number].abs().sum(dim=(0, 2))
        assert (sums > 0).nonzero()[:, 0].tolist() == [step.row]
    (maps,) = attention_maps(reader, [PAIR], reading="block-ts")
    (block,) = layout.blocks["block-ts"]
    for place, row in enumerate(block.rows.tolist()):
        expected = torch.stack([found[layer][rows.index(row), :, row] for layer in (1, 2)]).abs()
        assert float((maps.by_head()[:, :, place] - expected).abs().max()) < 1e-9
    require_batched_is_single(reader)


def test_any_transformer() -> None:
    """The function without pairs: the self-attention of a translation model's encoder and of its decoder."""
    reader = HeadFlow(double("bart"))
    steps = reader.predictions(reader.lay_out([PAIR]))[:1]
    for kind, causal in (("decoder-self", True), ("encoder-self", False)):
        sites = dict(enumerate(attention_sites(reader.model, kind), 1))
        found = attention_times_gradient(reader.model, sites, lambda: -log_probabilities(reader, steps).sum())
        assert sorted(found) == [1, 2]
        for values in found.values():
            assert float(values.abs().max()) > 0
            assert bool((values.triu(1) == 0).all()) is causal


def test_errors() -> None:
    with pytest.raises(InputError, match=r"option rows=most .*Known: own, all"):
        LayerFlow(double("bart"), rows="most")
    plain = families.build("xlm-roberta", layers=1)
    plain.tokenizer.mask_token = "<unk>"
    with pytest.raises(ModelError, match=r"predicts no words: it gives out no logits. Choose a translation model"):
        attention_maps(LayerFlow(plain), [PAIR])
    with pytest.raises(InputError, match="has no layer 3"):
        attention_maps(LayerFlow(double("bart")), [PAIR], layers=3)
    empty = SentencePair("1", ("das",), ("",))
    assert attention_maps(LayerFlow(double("gpt2")), [empty])[0].by_head().shape[2] == 0
