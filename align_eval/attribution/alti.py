"""ALTI and ALTI+: how much each input sub-word contributes to a layer's output, and through layers.

Ferrando, Gállego & Costa-jussà 2022, "Measuring the Mixing of Contextual Information in the Transformer" (EMNLP,
arXiv:2203.04212), for encoders; Ferrando, Gállego, Alastruey, Escolano & Costa-jussà 2022, "Towards Opening the Black
Box of Neural Machine Translation: Source and Target Interpretations of the Transformer" (EMNLP, arXiv:2205.11631), for
encoder-decoder models (ALTI+). The output of an attention layer, its residual connection and layer norm included, is a
sum over its inputs, exactly, once the statistics of the norm are fixed at y_i:

    y_i = sum_j T_i(x_j) + bias terms
    post-norm:  T_i(x_j) = L_i( sum_h A^h_ij f^h(x_j) + [i = j] x_i ),   f(x) = (x W_V + b_V) W_O
    pre-norm:   T_i(x_j) = sum_h A^h_ij f^h(LN(x_j)) + [i = j] x_i

L_i: the layer norm's linear map (centring, weight, 1 / standard deviation of row i; no centring for RMSNorm). Gemma 2
normalises the attention's output before the residual is added: there L_i applies to the sum over heads alone. Where
attention and feed-forward part are added at once (GPT-J, Phi), y_i is x_i with the attention's output alone. Bias
terms, b_O and the norm's own, belong to no input. The contribution is the part of y_i that would be missing:

    c_ij = max(0, ||y_i||_1 - ||y_i - T_i(x_j)||_1) / sum_k of the same.

The statistics of the norm are the model's own (the authors' code takes the standard deviation with n - 1), so that the
sum is exact. In cross-attention the residual is the decoder's own stream and no source sub-word: one extra key column,
the first.

``alti-layer`` gives c of each layer alone. ``alti`` follows the layers: R_l = C_l R_{l-1}, R_0 = I, without an extra
identity, since the residual is in C. In an encoder-decoder model (ALTI+) each row of the decoder holds the source
columns, and in the extra column all that comes from the decoder's own inputs (the target prefix): a layer takes rows
through C of its self-attention, then adds C of its cross-attention times R of the encoder to its residual column times
those rows. The feed-forward layers are taken to keep the mix, as in both papers. Rows sum to 1; a row to which nothing
contributes stays with its own stream.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from align_eval.attribution import Attribution
from align_eval.attribution.context_mixing import cells
from align_eval.attribution.matrix import at_least_float32
from align_eval.corpora import SentencePair
from align_eval.models.attention import AttentionPass, attention_sites
from align_eval.models.double import keep_double
from align_eval.models.linear import Projections, Residual, linear_norm, parts_of, require_residual, watched
from align_eval.models.pairs import Block, Layout, specials


class AttentionLayer(NamedTuple):
    """One attention layer of the model, and whether it attends to another stack."""

    site: nn.Module
    projections: Projections
    residual: Residual
    cross: bool


@dataclass(frozen=True)
class Decomposition:
    """A layer's output as a sum over its inputs.

    Attributes:
        output: y_i, ``(B, Q, d)``.
        biases: the bias terms, which belong to no input, ``(B, Q, d)``.
        stream: what the residual x_i gives, ``(B, Q, d)``.
        weights: A, ``(B, heads, Q, K)``.
        moved: L(f(x_j)) but for the scale, ``(B, heads, K, d)``.
        scale: 1 / standard deviation of the norm, ``(B, Q, 1)``; 1 where there is none.
        cross: whether the residual is a column of its own; else it is part of column i of row i.
    """

    output: Tensor
    biases: Tensor
    stream: Tensor
    weights: Tensor
    moved: Tensor
    scale: Tensor
    cross: bool

    def parts(self, limit: int | None = None) -> Iterator[tuple[slice, Tensor]]:
        """T_i(x_j), some rows at a time, ``limit`` numbers at once: the rows, and ``(B, rows, K, d)``.

        If ``cross``, K + 1 with the residual first.
        """
        for rows, vectors in cells(self.weights, self.moved, limit):
            vectors = vectors * self.scale[:, rows, None]
            own = self.stream[:, rows]
            if self.cross:
                vectors = torch.cat([own[:, :, None], vectors], dim=2)
            else:
                places = torch.arange(rows.start, rows.stop, device=own.device)
                vectors[:, places - rows.start, places] += own
            yield rows, vectors

    def contributions(self, limit: int | None = None) -> Tensor:
        """c, ``(B, Q, K)`` or ``(B, Q, K + 1)``; rows sum to 1. ``limit``: numbers held at once."""
        found = []
        for rows, vectors in self.parts(limit):
            y = self.output[:, rows]
            far = (y[:, :, None] - vectors).abs().sum(dim=-1)
            found.append((y.abs().sum(dim=-1, keepdim=True) - far).clamp(min=0))
        raw = torch.cat(found, dim=1)
        total = raw.sum(dim=-1, keepdim=True)
        alone = torch.zeros_like(raw)
        if self.cross:
            alone[..., 0] = 1
        else:
            alone.diagonal(dim1=-2, dim2=-1).fill_(1)
        return torch.where(total > 0, raw / torch.where(total > 0, total, 1), alone)


def decompose(part: AttentionLayer, weights: Tensor, values: Tensor, stream: Tensor, name: str) -> Decomposition:
    """Take a layer's output apart.

    ``weights``: A, ``(B, heads, Q, K)``; ``values``: what the value projection gave out, ``(B, K, ...)``; ``stream``:
    x_i, that the residual connection adds, ``(B, Q, d)``; ``name``: the model's, for messages.

    Raises:
        ModelError: a layer norm that is no linear map.
    """
    values, stream = at_least_float32(values), at_least_float32(stream)
    weights = weights.to(values.dtype)
    moved = part.projections.transformed(values)
    bias = part.projections.bias
    constant = torch.zeros_like(stream) if bias is None else bias.to(stream.dtype).expand_as(stream)
    attended = (weights @ moved).sum(dim=1) + constant
    norm = part.residual.norm if part.residual.post else part.residual.after
    if norm is None:
        one = torch.ones_like(stream[..., :1])
        return Decomposition(stream + attended, constant, stream, weights, moved, one, part.cross)
    linear = linear_norm(norm, stream + attended if part.residual.post else attended, name)
    biases = linear.scale * linear.turn(constant)
    if linear.bias is not None:
        biases = biases + linear.bias.to(biases.dtype)
    own = linear.scale * linear.turn(stream) if part.residual.post else stream
    output = own + linear.scale * linear.turn(attended - constant) + biases
    return Decomposition(output, biases, own, weights, linear.turn(moved), linear.scale, part.cross)


@dataclass(eq=False, repr=False)
class AltiLayer(Attribution, method="alti-layer"):
    """ALTI of each layer alone: how much each of its inputs contributes to its output; rows sum to 1.

    Of the cross-attention of an encoder-decoder model, of the self-attention of an encoder or a decoder-only model.
    """

    quantity = "ALTI contribution to the layer"
    headless = True
    own_column = "<residual>"

    def __post_init__(self) -> None:
        super().__post_init__()
        self.parts = self._parts(self.sites, cross=self.family == "seq2seq")

    def _parts(self, sites: Sequence[nn.Module], cross: bool) -> list[AttentionLayer]:
        return [
            AttentionLayer(part.site, part.projections, require_residual(part, self.reader), cross)
            for part in parts_of(self.reader, sites)
        ]

    def lay_out(self, pairs: Sequence[SentencePair]) -> list[Layout]:
        """Of an encoder-decoder model the first column is the residual, or the target prefix; it is no word."""
        layouts = super().lay_out(pairs)
        if self.family != "seq2seq":
            return layouts

        def widened(block: Block) -> Block:
            words = np.concatenate([specials(1), block.column_words])
            return replace(block, column_words=words, column_labels=(self.own_column, *block.column_labels))

        return [
            replace(layout, blocks={key: tuple(map(widened, blocks)) for key, blocks in layout.blocks.items()})
            for layout in layouts
        ]

    @torch.no_grad()
    def attention(self, layouts: Sequence[Layout], layers: Sequence[int] | None = None) -> Iterator[tuple[int, Tensor]]:
        parts = {layer: self.parts[layer - 1] for layer in self.wanted(layers)}
        for layer, found in self.contributions(layouts, parts):
            yield layer, found[:, None]

    def contributions(
        self, layouts: Sequence[Layout], parts: dict[int, AttentionLayer]
    ) -> Iterator[tuple[int, Tensor]]:
        """One pass that gives the number and the contributions ``(B, Q, K)`` of each of ``parts`` as it is computed."""
        modules: dict[tuple[int, str], nn.Module] = {}
        for number, part in parts.items():
            modules |= part.projections.watch(number)
            front = None if part.residual.post else part.residual.norm
            modules[number, "stream-in"] = part.site if front is None else front
        sites = {number: part.site for number, part in parts.items()}
        with watched(modules) as kept:
            for number, weights in AttentionPass(self.model, sites, lambda: self.forward(layouts), self.name):
                part = parts[number]
                with keep_double(self.dtype):
                    values = part.projections.taken(kept, number, weights, self.name)
                    found = decompose(part, weights, values, kept.pop((number, "stream-in")), self.name).contributions()
                yield number, found


@dataclass(eq=False, repr=False)
class Alti(AltiLayer, method="alti"):
    """ALTI, and ALTI+ of encoder-decoder models: contributions of the model's inputs through all layers; rows sum to 1.

    ALTI for encoders and decoder-only models, ALTI+ for encoder-decoder models. See ``alti-layer``.
    """

    quantity = "ALTI contribution"
    own_column = "<target prefix>"

    def __post_init__(self) -> None:
        super().__post_init__()
        kinds = ("encoder-self", "decoder-self") if self.family == "seq2seq" else ()
        self.stacks = {kind: self._parts(attention_sites(self.model, kind, self.name), cross=False) for kind in kinds}

    @torch.no_grad()
    def attention(self, layouts: Sequence[Layout], layers: Sequence[int] | None = None) -> Iterator[tuple[int, Tensor]]:
        wanted = self.wanted(layers)
        if self.stacks:
            yield from self._through_both(layouts, wanted)
            return
        rolled: Tensor | None = None
        for layer, found in self.contributions(layouts, dict(enumerate(self.parts[: wanted[-1]], start=1))):
            rolled = found if rolled is None else found @ rolled
            if layer in wanted:
                yield layer, rolled[:, None]

    def _through_both(self, layouts: Sequence[Layout], wanted: Sequence[int]) -> Iterator[tuple[int, Tensor]]:
        """Numbers: the encoder's layers 1 to E, then by turns self-attention and cross-attention of the decoder."""
        encoder_parts, decoder_parts = self.stacks["encoder-self"], self.stacks["decoder-self"]
        depth, last = len(encoder_parts), wanted[-1]
        turns = [part for pair in zip(decoder_parts[:last], self.parts[:last], strict=True) for part in pair]
        encoder: Tensor | None = None
        rows: Tensor | None = None  # (B, T, 1 + S): from the target prefix, from each source token
        for number, found in self.contributions(layouts, dict(enumerate([*encoder_parts, *turns], start=1))):
            layer, cross = (number - depth + 1) // 2, (number - depth) % 2 == 0
            if number <= depth:
                encoder = found if encoder is None else found @ encoder
            elif encoder is not None and not cross:
                if rows is None:
                    rows = found.new_zeros((*found.shape[:2], 1 + encoder.shape[-1]))
                    rows[..., 0] = 1
                rows = found @ rows
            elif encoder is not None and rows is not None:
                source = torch.nn.functional.pad(found[..., 1:] @ encoder, (1, 0))
                rows = source + found[..., :1] * rows
                if layer in wanted:
                    yield layer, rows[:, None]
