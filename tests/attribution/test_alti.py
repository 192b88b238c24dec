"""ALTI: the parts of a layer's output sum to it exactly, on every architecture; contributions equal their equation."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from align_eval.attribution import ATTRIBUTIONS, pair_model
from align_eval.attribution.alti import Alti, AltiLayer, AttentionLayer, Decomposition, decompose
from align_eval.attribution.collect import attention_maps, word_matrices
from align_eval.errors import ModelError
from align_eval.models import linear
from align_eval.models.attention import AttentionPass, attention_sites
from align_eval.models.double import keep_double
from align_eval.models.linear import linear_norm
from tests.attribution.recorded import KINDS, POST, double, heads_of, layers_of, moved_by, out_bias
from tests.models import architectures, families

PAIR = families.pairs()[1]
EVERY = [
    (kind, part)
    for kind in KINDS
    for part in (("encoder-self", "decoder-self", "cross") if kind in families.SEQ2SEQ else ("self",))
]


def normed(reader: Any, site: Any, u: torch.Tensor, vectors: torch.Tensor, which: str) -> torch.Tensor:
    """The linear part of a norm with the statistics of row i of ``u``, applied to ``(Q, ..., d)``."""
    norm = getattr(next(part.residual for part in linear.parts_of(pair_model(reader), [site])), which)
    if type(norm) is torch.nn.LayerNorm:
        deviation = u.var(dim=-1, unbiased=False).add(norm.eps).sqrt()
        vectors = (vectors - vectors.mean(-1, keepdim=True)) * norm.weight
    else:
        assert reader.name == "gemma2"
        deviation = u.square().mean(-1).add(norm.eps).sqrt()
        vectors = vectors * (1 + norm.weight)
    return (vectors / deviation.reshape(-1, *[1] * (vectors.ndim - 1))).detach()


def parts_of(reader: Any, layer: Any, cross: bool) -> torch.Tensor:
    """T_i(x_j) by the equation, ``(Q, K, d)``; with the residual in front if ``cross``; from recorded inputs."""
    vectors = moved_by(reader.model, layer).sum(0)
    attended = vectors.sum(1) + out_bias(reader.model, layer.site)
    if reader.name == "gemma2":
        vectors = normed(reader, layer.site, attended, vectors, "after")
    if cross:
        vectors = torch.cat([layer.stream[:, None], vectors], dim=1)
    else:
        for i, x in enumerate(layer.stream):
            vectors[i, i] += x
    if reader.name in POST:
        vectors = normed(reader, layer.site, layer.stream + attended, vectors, "norm")
    return vectors


def contributions_of(reader: Any, layer: Any, cross: bool) -> torch.Tensor:
    """c_ij by the equation, from the model's own y."""
    parts = parts_of(reader, layer, cross)
    length = layer.output.abs().sum(-1)
    raw = torch.stack([length - (layer.output - parts[:, j]).abs().sum(-1) for j in range(parts.shape[1])], dim=1)
    raw = raw.clamp(min=0)
    return raw / raw.sum(1, keepdim=True)


@pytest.mark.parametrize(("kind", "part"), EVERY)
def test_the_parts_sum_to_the_models_own_output(kind: str, part: str) -> None:
    """sum_j T_i(x_j) + bias terms = y_i, y_i being what the model hands to its next layer."""
    reader = Alti(double(kind))
    own = reader.stacks.get(part, reader.parts)
    for piece, layer in zip(own, layers_of(double(kind), PAIR, part), strict=True):
        values = [(layer.keys @ w_v + b_v) for w_v, b_v, _ in heads_of(reader.model, layer.site, len(layer.weights))]
        shared = values[:: len(values) // piece_heads(piece, values)]
        if kind == "gpt2":
            shared = [torch.zeros(len(layer.keys), 64, dtype=torch.float64), *shared]  # query and key stand in front
        given = torch.cat(shared, dim=-1)[None].detach()
        with torch.no_grad(), keep_double(torch.float64):
            found = decompose(piece, layer.weights[None], given, layer.stream[None], kind)
            ((_, parts),) = found.parts()
            everything = parts.sum(dim=2) + found.biases
            assert float((everything[0] - layer.output).abs().max()) < 1e-9
            assert float((found.output[0] - layer.output).abs().max()) < 1e-9
            assert float((parts[0] - parts_of(reader, layer, part == "cross")).abs().max()) < 1e-9
            expected = contributions_of(reader, layer, part == "cross")
            for limit in (None, 1, 5000):
                assert float((found.contributions(limit)[0] - expected).abs().max()) < 1e-9


def piece_heads(piece: Any, values: list[torch.Tensor]) -> int:
    """Key-value heads of a layer."""
    assert piece.projections.form.width == values[0].shape[-1]
    return int(piece.projections.form.shared)


@pytest.mark.parametrize("kind", KINDS)
def test_maps_are_those_of_the_equation(kind: str) -> None:
    """Hooked in a pass of the package: contributions of each layer, and followed through the layers."""
    model = double(kind)
    reading = "block-ts" if kind in families.ENCODERS else "awi"
    single, through = AltiLayer(model), Alti(model)
    both = kind in families.SEQ2SEQ
    per_layer = [contributions_of(single, layer, both) for layer in layers_of(model, PAIR, "cross" if both else "self")]
    if both:
        encoder = torch.eye(per_layer[0].shape[1] - 1, dtype=torch.float64)
        for layer in layers_of(model, PAIR, "encoder-self"):
            encoder = contributions_of(single, layer, False) @ encoder
        size = len(per_layer[0])
        source, prefix = torch.zeros(size, len(encoder), dtype=torch.float64), torch.eye(size, dtype=torch.float64)
        followed = []
        for cross, layer in zip(per_layer, layers_of(model, PAIR, "decoder-self"), strict=True):
            own = contributions_of(single, layer, False)
            source = cross[:, 1:] @ encoder + cross[:, :1] * (own @ source)
            prefix = cross[:, :1] * (own @ prefix)
            followed.append(torch.cat([prefix.sum(1, keepdim=True), source], dim=1))
    else:
        rolled = torch.eye(len(per_layer[0]), dtype=torch.float64)
        followed = []
        for c in per_layer:
            rolled = c @ rolled
            followed.append(rolled)
    for reader, expected in ((single, per_layer), (through, followed)):
        (maps,) = attention_maps(reader, [PAIR], layers=[3, 2], reading=reading)
        assert maps.heads == ("layer",)
        (block,) = reader.lay_out([PAIR])[0].blocks[reading]
        for place, number in enumerate((3, 2)):
            rows = expected[number - 1][torch.from_numpy(block.rows)]
            assert float((maps.by_head()[place, 0] - rows).abs().max()) < 1e-9
        assert torch.allclose(
            maps.by_head().sum(-1), torch.ones(maps.by_head().shape[:3], dtype=torch.float64), atol=1e-9
        )
        assert float(maps.by_head().min()) >= 0


@pytest.mark.parametrize("kind", KINDS)
def test_batched_equals_single(kind: str) -> None:
    layer_alone = [AltiLayer(double(kind))] if kind in ("marian", "t5", "gemma2", "bert") else []
    for reader in (Alti(double(kind)), *layer_alone):
        for pair, maps in zip(families.pairs(), attention_maps(reader, families.pairs()), strict=True):
            (alone,) = attention_maps(reader, [pair])
            assert float((maps.by_head() - alone.by_head()).abs().max()) < 1e-9


def by_hand(stream: list[list[float]], weights: list[list[float]], moved: list[list[float]], cross: bool) -> Any:
    x, a, f = (torch.tensor(values) for values in (stream, weights, moved))
    y = x + a @ f
    one = torch.ones(1, len(x), 1)
    return Decomposition(y[None], torch.zeros_like(y)[None], x[None], a[None, None], f[None, None], one, cross)


def test_by_hand() -> None:
    """y_1 = (1, 0) + (0, 1): half from each. A part that points away from y contributes nothing."""
    half = by_hand([[1.0, 0.0]], [[1.0]], [[0.0, 1.0]], cross=True)
    assert half.contributions().tolist() == [[[0.5, 0.5]]]
    # y = (3, 0) + 0.5 (2, 0) - 0.5 (2, 0): the last one is opposed to y and drops out; 3 : 1.
    against = by_hand([[3.0, 0.0]], [[0.5, 0.5]], [[2.0, 0.0], [-2.0, 0.0]], cross=True)
    assert against.contributions().tolist() == [[[0.75, 0.25, 0.0]]]
    # Without a column of its own the residual is in column i of row i: T_1(x_1) = (1, 0) + (1, 0), T_1(x_2) = (0, 2).
    own = by_hand([[1.0, 0.0], [0.0, 4.0]], [[0.5, 0.5], [0.0, 0.0]], [[2.0, 0.0], [0.0, 4.0]], cross=False)
    assert own.contributions().tolist() == [[[0.5, 0.5], [0.0, 1.0]]]


def test_a_row_to_which_nothing_contributes_stays_where_it_is() -> None:
    for cross, expected in ((True, [[[1.0, 0.0, 0.0], [1.0, 0.0, 0.0]]]), (False, [[[1.0, 0.0], [0.0, 1.0]]])):
        still = by_hand([[0.0, 0.0]] * 2, [[0.5, 0.5]] * 2, [[0.0, 0.0]] * 2, cross)
        assert still.contributions().tolist() == expected


def test_the_extra_column() -> None:
    """The decoder's own stream is the first column, no word, and reported as left out."""
    for name, label in (("alti-layer", "<residual>"), ("alti", "<target prefix>")):
        reader = ATTRIBUTIONS.get(name)(families.build("marian"))
        (maps,) = attention_maps(reader, [PAIR], layers=2)
        (plain,) = attention_maps(pair_model(families.build("marian")), [PAIR], layers=2)
        assert maps.keys.units(0) == (label, *plain.keys.units(0))
        assert maps.keys.words[0][0] == -1
        assert bool((maps.mass_left_out() >= maps.by_head()[..., 0]).all())
        assert maps.words().by_head().shape[2:] == (len(PAIR.target), len(PAIR.source))
        for batch in word_matrices(reader, families.pairs(), readings="awi"):
            inside = batch.values.sum(2) + batch.target.left_out
            for b, size in enumerate(batch.target.lengths):
                assert torch.allclose(inside[:, b, :size], torch.ones(3, size), atol=1e-4)


@pytest.mark.parametrize("kind", families.DECODERS)
def test_nothing_from_the_future(kind: str) -> None:
    reader = Alti(families.build(kind))
    (maps,), (layout,) = attention_maps(reader, [PAIR], reading="awi"), reader.lay_out([PAIR])
    for r, row in enumerate(layout.blocks["awi"][0].rows):
        assert not maps.by_head()[:, :, r, row + 1 :].any()


def test_single_precision_is_near() -> None:
    for kind in ("marian", "m2m_100", "gemma2", "bert"):
        reader = Alti(families.build(kind))
        exact = attention_maps(Alti(families.build(kind, dtype="float64")), families.pairs())
        for near, far in zip(attention_maps(reader, families.pairs()), exact, strict=True):
            assert float((near.by_head() - far.by_head()).abs().max()) < 1e-4


# The form that is found of each layer: values alone, behind queries and keys, or grouped by heads; key-value heads;
# the norm after the sum or before the attention, or before neither; a norm of the attention's output.
FORMS = {
    "albert": {("alone", 4, "post", "")},
    "camembert": {("alone", 4, "post", "")},
    "deberta-v2": {("alone", 4, "post", "")},
    "distilbert": {("alone", 4, "post", "")},
    "modernbert": {("last", 4, "pre", ""), ("last", 4, "bare", "")},
    "roberta": {("alone", 4, "post", "")},
    "xlm": {("alone", 4, "post", "")},
    "xlm-roberta-xl": {("alone", 4, "pre", "")},
    "encoder-decoder": {("alone", 4, "post", "")},
    "pegasus": {("alone", 4, "pre", "")},
    "t5gemma": {("alone", 2, "pre", "after")},
    "bloom": {("grouped", 4, "pre", "")},
    "falcon": {("last", 1, "pre", "")},
    "gpt_neox": {("grouped", 4, "pre", "")},
    "gptj": {("alone", 4, "pre", "")},
    "mistral": {("alone", 2, "pre", "")},
    "mpt": {("last", 4, "pre", "")},
    "olmo": {("alone", 2, "pre", "")},
    "olmo2": {("alone", 2, "bare", "after")},
    "openai-gpt": {("last", 4, "post", "")},
    "phi": {("alone", 2, "pre", "")},
    "phi3": {("last", 2, "pre", "")},
    "qwen2": {("alone", 2, "pre", "")},
}


@pytest.mark.parametrize("kind", FORMS)
def test_any_block_of_the_known_form(kind: str) -> None:
    """The transformed vectors and biases sum to what the model itself adds up, in any architecture."""
    reader = pair_model(architectures.build(kind))
    sites = list(reader.sites)
    if reader.family == "seq2seq":
        sites += [site for own in ("encoder-self", "decoder-self") for site in attention_sites(reader.model, own)]
    parts = linear.parts_of(reader, sites)
    found = set()
    outputs: dict[int, list[torch.Tensor]] = {}
    taken: dict[int, torch.Tensor] = {}

    def keep(store: Any, key: int, what: Any) -> Any:
        return lambda module, arguments, keywords, output: store.__setitem__(key, what(arguments, keywords, output))

    def first(arguments: Any, keywords: Any, output: Any) -> Any:
        return arguments[0] if arguments else keywords["hidden_states"]

    handles = []
    for k, part in enumerate(parts):
        around = part.residual
        assert around is not None
        order = "post" if around.post else "bare" if around.norm is None else "pre"
        found.add((part.projections.form.order, part.projections.form.shared, order, "after" if around.after else ""))
        front = part.site if around.post or around.norm is None else around.norm
        last = around.norm if around.post else around.after or part.projections.output
        handles.append(front.register_forward_hook(keep(taken, k, first), with_kwargs=True))
        handles.append(last.register_forward_hook(keep(outputs, k, lambda a, n, output: output), with_kwargs=True))
    assert found == FORMS[kind]
    values: dict[int, torch.Tensor] = {}
    for k, part in enumerate(parts):
        keep_value = keep(values, k, lambda a, n, output: output)
        handles.append(part.projections.value.register_forward_hook(keep_value, with_kwargs=True))
    layouts = reader.lay_out([PAIR])
    numbered = {k: part.site for k, part in enumerate(parts)}
    seen = dict(AttentionPass(reader.model, numbered, lambda: reader.forward(layouts), kind, to_end=True))
    for handle in handles:
        handle.remove()
    for k, part in enumerate(parts):
        layer = AttentionLayer(
            part.site, part.projections, part.residual, k < reader.layers and len(sites) > reader.layers
        )
        with torch.no_grad():
            summed = decompose(layer, seen[k], values[k], taken[k], kind)
            ((_, vectors),) = summed.parts()
            own = outputs[k] if part.residual.post else taken[k] + outputs[k]
            everything = vectors.sum(dim=2) + summed.biases
        assert float((everything - own).abs().max()) < 1e-3 * (1 + float(own.abs().max()))


def test_a_block_that_is_not_of_the_known_form() -> None:
    model = families.build("llama")
    for layer in model.model.model.layers:
        layer.self_attn.o_proj.register_forward_hook(lambda module, given, output: output * 0.5)
        layer.register_forward_hook(lambda module, given, output: output * 0.5)
    model.model.model.norm.register_forward_pre_hook(lambda module, given: (given[0] * 0.5,))
    attention_maps(Alti(model), [PAIR])  # the hooked output is what is added
    for layer in model.model.model.layers:
        layer.post_attention_layernorm.register_forward_pre_hook(lambda module, given: (given[0] + 1,))
    with pytest.raises(ModelError, match=r"around the attention of llama \(llama\) are not of a known form"):
        Alti(model)


def test_a_norm_that_is_no_linear_map() -> None:
    class Odd(torch.nn.LayerNorm):
        def forward(self, input: torch.Tensor) -> torch.Tensor:
            return super().forward(input).tanh()

    with pytest.raises(ModelError, match="Odd of x is neither a LayerNorm nor an RMSNorm"):
        linear_norm(Odd(4), torch.randn(2, 4), "x")
    assert linear_norm(torch.nn.LayerNorm(4), torch.randn(2, 4), "x").centred
