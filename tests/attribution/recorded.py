"""What a model computes, recorded by hooks of the tests' own and evaluated by plain formulas in float64."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from align_eval.attribution import pair_model
from align_eval.corpora import SentencePair
from align_eval.models.attention import attention_sites
from align_eval.models.double import keep_double
from tests.models import families

KINDS = (*families.SEQ2SEQ, *families.DECODERS, *families.ENCODERS)
POST = ("bart", "marian", "bert", "xlm-roberta")


@functools.cache
def double(kind: str) -> Any:
    """A model in float64 whose biases and norms are not the neutral ones."""
    model = families.build(kind, dtype="float64")
    generator = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for weight in model.model.parameters():
            if weight.ndim == 1:
                weight.add_(torch.randn(weight.shape, generator=generator, dtype=weight.dtype) * 0.2)
    return model


@dataclass
class Layer:
    """One attention layer of one pair: weights ``(H, Q, K)``; inputs of queries and keys; y, ``(Q, d)``."""

    site: Any
    weights: Tensor
    queries: Tensor
    keys: Tensor
    stream: Tensor
    output: Tensor


def layers_of(model: Any, pair: SentencePair, kind: str) -> list[Layer]:
    """Record the layers of one kind of attention for one pair."""
    reader = pair_model(model)
    sites = attention_sites(reader.model, kind)
    seen: dict[Any, Any] = {}
    handles = []

    def keep(key: Any, what: Any) -> Any:
        def hook(module: Any, arguments: Any, keywords: Any, output: Any) -> None:
            seen[key] = what(arguments, keywords, output)

        return hook

    def first(arguments: Any, keywords: Any, output: Any) -> Any:
        return arguments[0] if arguments else keywords["hidden_states"]

    def other(arguments: Any, keywords: Any, output: Any) -> Any:
        found = keywords.get("key_value_states", keywords.get("encoder_hidden_states"))
        if found is None and len(arguments) > 1 and isinstance(arguments[1], Tensor) and arguments[1].ndim == 3:
            found = arguments[1]
        return first(arguments, keywords, output) if found is None else found

    def add(module: Any, key: Any, what: Any) -> None:
        handles.append(module.register_forward_hook(keep(key, what), with_kwargs=True))

    for number, site in enumerate(sites):
        add(site, (number, "weights"), lambda a, k, o: o[-1][0])
        add(site, (number, "queries"), first)
        add(site, (number, "keys"), other)
        stream, output = stream_and_output(reader.model, model.name, site, kind, number)
        add(stream[0], (number, "stream"), (lambda a, k, o: o) if stream[1] == "out" else first)
        add(output[0], (number, "output"), (lambda a, k, o: o) if output[1] == "out" else first)
    reader.model.set_attn_implementation("eager")
    with torch.no_grad(), keep_double(torch.float64):
        reader.forward(reader.lay_out([pair]))
    for handle in handles:
        handle.remove()
    return [
        Layer(
            site,
            seen[n, "weights"],
            *(seen[n, key].squeeze(0) for key in ("queries", "keys", "stream", "output")),
        )
        for n, site in enumerate(sites)
    ]


def stream_and_output(model: Any, name: str, site: Any, kind: str, number: int) -> Any:
    """The modules at which x and y stand in the model itself, and whether they are taken in or given out."""
    path = next(p for p, m in model.named_modules() if m is site)
    block = model.get_submodule(path.rpartition(".")[0])
    if name in ("bert", "xlm-roberta"):
        return (site, "in"), (block.output.LayerNorm, "out")
    if name in ("bart", "marian"):
        return (site, "in"), (getattr(block, path.rpartition(".")[2] + "_layer_norm"), "out")
    if name in ("t5", "mt5"):
        outer = model.get_submodule(path.rpartition(".layer.")[0])
        following = outer.layer[int(path.split(".layer.")[1].split(".")[0]) + 1]
        return (block.layer_norm, "in"), (following.layer_norm, "in")
    if name == "gpt2":
        return (block.ln_1, "in"), (block.ln_2, "in")
    if name in families.DECODERS:
        after = block.pre_feedforward_layernorm if name == "gemma2" else block.post_attention_layernorm
        return (block.input_layernorm, "in"), (after, "in")
    before = block.encoder_attn_layer_norm if kind == "cross" else block.self_attn_layer_norm
    after = block.encoder_attn_layer_norm if kind == "decoder-self" else block.final_layer_norm
    return (before, "in"), (after, "in")


def heads_of(model: Any, site: Any, heads: int) -> list[tuple[Tensor, Tensor, Tensor]]:
    """W_V ``(d, v)``, b_V ``(v,)`` and W_O ``(v, d)`` of each query head, read from the weights one by one."""
    out = []
    if hasattr(site, "c_attn"):
        size = site.c_proj.weight.shape[1]
        width = size // heads
        for h in range(heads):
            columns = slice(2 * size + h * width, 2 * size + (h + 1) * width)
            rows = slice(h * width, (h + 1) * width)
            out.append((site.c_attn.weight[:, columns], site.c_attn.bias[columns], site.c_proj.weight[rows]))
        return out
    value = next(getattr(site, n) for n in ("v_proj", "v", "value") if hasattr(site, n))
    output = next((getattr(site, n) for n in ("out_proj", "o_proj", "o") if hasattr(site, n)), None)
    if output is None:
        path = next(p for p, m in model.named_modules() if m is site)
        output = model.get_submodule(path.rpartition(".")[0]).output.dense
    width = output.weight.shape[1] // heads
    share = heads // (value.weight.shape[0] // width)
    for h in range(heads):
        of_value = slice((h // share) * width, (h // share + 1) * width)
        bias = value.weight.new_zeros(width) if value.bias is None else value.bias[of_value]
        out.append((value.weight[of_value].T, bias, output.weight[:, h * width : (h + 1) * width].T))
    return out


def out_bias(model: Any, site: Any) -> Tensor:
    """b_O, or zeros."""
    output = next((getattr(site, n) for n in ("out_proj", "o_proj", "o", "c_proj") if hasattr(site, n)), None)
    if output is None:
        path = next(p for p, m in model.named_modules() if m is site)
        output = model.get_submodule(path.rpartition(".")[0]).output.dense
    bias = getattr(output, "bias", None)
    return torch.zeros(32, dtype=torch.float64) if bias is None else bias


def moved_by(model: Any, layer: Layer) -> Tensor:
    """A_ij f(x_j) of each head, ``(H, Q, K, d)``, head by head."""
    found = []
    for h, (w_v, b_v, w_o) in enumerate(heads_of(model, layer.site, len(layer.weights))):
        f = ((layer.keys @ w_v + b_v) @ w_o).detach()
        found.append(layer.weights[h][:, :, None] * f[None])
    return torch.stack(found)
