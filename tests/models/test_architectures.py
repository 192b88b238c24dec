"""Attention of every architecture equals what the model itself gives out when asked, or one sentence says why not."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from align_eval.attribution import ATTRIBUTIONS, pair_model
from align_eval.attribution.collect import attention_maps
from align_eval.errors import ModelError
from align_eval.models.adapters import ADAPTERS, bert
from align_eval.models.linear import parts_of, watched
from tests.models import architectures, families

PAIRS = families.pairs()[:2]
WITHOUT = {
    "longformer": "returns no attention weights of all tokens over all tokens, even when asked",
    "squeezebert": "returns no attention weights of all tokens over all tokens, even when asked",
    "fnet": "no self attention is found in the modules of fnet",
    "prophetnet": "negative weights: it returns scores from before the softmax",
    "gpt_oss": "is no distribution: a row's sum is .* away from 1",
    "mamba": "no self attention is found in the modules of mamba",
    "qwen3_next": "no self attention is found in the modules of qwen3_next",
}
# Classes that return attention only when asked, cannot be switched, or are built in a way of their own. The page
# docs/compatibility.md has all architectures.
KINDS = (
    "albert", "bert", "camembert", "roberta", "xlm-roberta", "marian", "m2m_100",
    "convbert", "deberta", "deberta-v2", "distilbert", "flaubert", "gte", "ibert", "luke", "modernbert",
    "mpnet", "nomic_bert", "xlm", "xlm-roberta-xl", "encoder-decoder", "fsmt", "led", "longt5", "mvp", "nllb-moe",
    "switch_transformers", "t5gemma", "bloom", "cohere", "falcon", "gemma3_text", "gpt_neo", "gpt_neox", "gptj", "mpt",
    "olmo2", "openai-gpt", "opt", "phi", "smollm3", "xglm",
)  # fmt: skip


def own_attention(reader: Any, layouts: Any) -> Any:
    """What ``output_attentions=True`` gives, layer by layer."""
    configs = {id(m.config): m.config for m in reader.model.modules() if hasattr(m, "config")}.values()
    before = [config._attn_implementation for config in configs]
    for config in configs:
        config._attn_implementation = "eager"
        config.output_attentions = True
    try:
        with torch.no_grad():
            found = reader.forward(layouts)
    finally:
        for config, way in zip(configs, before, strict=True):
            config.output_attentions = False
            config._attn_implementation = way
    return found.cross_attentions if reader.family == "seq2seq" else found.attentions


@pytest.mark.parametrize("kind", KINDS)
def test_attention_is_the_models_own(kind: str) -> None:
    reader = pair_model(architectures.build(kind))
    layouts = reader.lay_out(PAIRS)
    before = reader.model.config._attn_implementation
    found = {layer: weights.clone() for layer, weights in reader.attention(layouts)}
    assert (reader.model.config._attn_implementation, reader.model.config.output_attentions) == (before, False)
    own = own_attention(reader, layouts)
    assert reader.layers == len(own) == 2
    assert reader.heads == own[0].shape[1] == (2 if kind == "convbert" else 4)
    for layer, weights in found.items():
        assert float((weights - own[layer - 1]).abs().max()) < 1e-5
    assert float((found[1] - found[2]).abs().max()) > 1e-3


@pytest.mark.parametrize("kind", WITHOUT)
def test_what_gives_none_is_said_in_one_sentence(kind: str) -> None:
    with pytest.raises(ModelError, match=WITHOUT[kind]) as told:
        attention_maps(architectures.build(kind), PAIRS)
    assert "update" not in str(told.value).lower()
    assert "Choose" in str(told.value)


def test_rollout_does_not_hide_what_attention_sinks_take() -> None:
    reader = ATTRIBUTIONS.get("rollout")(architectures.build("gpt_oss"))
    with pytest.raises(ModelError, match=WITHOUT["gpt_oss"]):
        list(reader.attention(reader.lay_out(PAIRS), [2]))


@pytest.mark.parametrize("kind", sorted({*ADAPTERS.names(), *bert.KINDS}))
def test_what_heads_move_sums_to_the_output_of_the_attention(kind: str) -> None:
    assert kind in KINDS  # so that its attention is compared, too
    if kind == "fsmt":  # its tokens lie before its sentences: see docs/compatibility.md
        with pytest.raises(ModelError, match="its projections are not found"):
            parts_of(pair_model(architectures.build(kind)), [pair_model(architectures.build(kind)).sites[0]])
        return
    reader = pair_model(architectures.build(kind))
    layouts = reader.lay_out(PAIRS)
    parts = dict(enumerate((part.projections for part in parts_of(reader, reader.sites)), start=1))
    modules = {(k, "made"): part.output for k, part in parts.items()}
    for k, part in parts.items():
        modules |= part.watch(k)
    totals: dict[int, torch.Tensor] = {}
    with watched(modules) as kept, torch.no_grad():
        for layer, weights in reader.attention(layouts):
            part = parts[layer]
            moved = part.transformed(part.taken(kept, layer, weights, kind))  # (B, heads, K, d)
            totals[layer] = (weights @ moved).sum(dim=1) + (0 if part.bias is None else part.bias)
    # The pass ends with the last attention module, in front of its output projection where that is no part of it.
    made = {layer: kept[layer, "made"] for layer in totals if (layer, "made") in kept}
    assert 1 in made
    for layer, given in made.items():
        torch.testing.assert_close(totals[layer], given.reshape(totals[layer].shape), rtol=1e-4, atol=1e-4)


def test_layers_of_albert_share_their_weights() -> None:
    model, _ = architectures.parts("albert")
    one, two = pair_model(architectures.build("albert")).sites
    assert one is not two
    assert (
        one.query.weight
        is two.query.weight
        is model.encoder.albert_layer_groups[0].albert_layers[0].attention.query.weight
    )
