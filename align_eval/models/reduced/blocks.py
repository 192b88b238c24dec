"""The blocks of an encoder of the BERT kind, read from its modules: what a reduced form computes them from."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from align_eval.errors import ModelError

# Architectures whose blocks normalise after each sum and whose modules bear BERT's names.
KINDS = ("bert", "camembert", "roberta", "xlm-roberta")


@dataclass(frozen=True)
class Linear:
    """``x W^T + b``: ``weight`` ``(out, in)``, ``bias`` ``(out,)``."""

    weight: Tensor
    bias: Tensor

    @property
    def dtype(self) -> torch.dtype:
        """Number type of the product."""
        return self.weight.dtype

    def __call__(self, x: Tensor) -> Tensor:
        return functional.linear(x, self.weight, self.bias)

    def to(self, dtype: torch.dtype) -> Linear:
        return Linear(self.weight.to(dtype), self.bias.to(dtype))


@dataclass(frozen=True)
class Norm:
    """Layer norm over the last axis: ``weight``, ``bias`` ``(width,)``."""

    weight: Tensor
    bias: Tensor
    eps: float

    def __call__(self, x: Tensor) -> Tensor:
        return functional.layer_norm(x, self.weight.shape, self.weight, self.bias, self.eps)


@dataclass(frozen=True)
class Block:
    """One block. With D the width:

    - ``qkv`` ``(3 D, D)``: queries, keys and values, the queries divided by the root of a head's width.
    - ``out`` ``(D, D)``: after the attention; ``attention_norm`` follows its sum with the input.
    - ``up``, ``down``: around the GELU; ``norm`` follows its sum with their input.
    """

    qkv: Linear
    out: Linear
    attention_norm: Norm
    up: Linear
    down: Linear
    norm: Norm

    def to(self, dtype: torch.dtype) -> Block:
        """The products in ``dtype``; the norms stay as they are."""
        products = (self.qkv.to(dtype), self.out.to(dtype), self.up.to(dtype), self.down.to(dtype))
        return Block(products[0], products[1], self.attention_norm, products[2], products[3], self.norm)

    def __call__(
        self, x: Tensor, keep: Tensor | None, heads: int, see: Callable[[str, Tensor], None] | None = None
    ) -> Tensor:
        """The next state ``(B, T, D)`` in float32. The products run in the weights' number type.

        Args:
            x: ``(B, T, D)`` float32.
            keep: ``(B, 1, 1, T)`` bool, false in the padding; ``None``: no padding.
            see: called with the name of each product and its input.
        """
        batch, length, width = x.shape
        dtype = self.qkv.dtype

        def product(name: str, given: Tensor) -> Tensor:
            given = given.to(dtype)
            if see is not None:
                see(name, given)
            made: Tensor = getattr(self, name)(given)
            return made

        split = product("qkv", x).view(batch, length, 3, heads, width // heads).permute(2, 0, 3, 1, 4)
        query, key, value = split.unbind(0)
        mixed = functional.scaled_dot_product_attention(query, key, value, attn_mask=keep, scale=1.0)
        x = self.attention_norm(x + product("out", mixed.transpose(1, 2).reshape(batch, length, width)))
        return self.norm(x + product("down", functional.gelu(product("up", x))))

    def unpadded(self, x: Tensor, shapes: Sequence[tuple[int, int]], heads: int) -> Tensor:
        """As a call, for sentences that lie one after the other: all but the attention works on single sub-words.

        Args:
            x: ``(N, D)`` float32.
            shapes: number of sentences and their length, by run; their products sum up to N.
        """
        width, dtype = x.shape[1], self.qkv.dtype
        projected = self.qkv(x.to(dtype))
        mixed = torch.empty(x.shape, dtype=dtype, device="cpu")
        start = 0
        for sentences, length in shapes:
            end = start + sentences * length
            split = projected[start:end].view(sentences, length, 3, heads, width // heads).permute(2, 0, 3, 1, 4)
            query, key, value = split.unbind(0)
            found = functional.scaled_dot_product_attention(query, key, value, scale=1.0)
            mixed[start:end].view(sentences, length, heads, -1).copy_(found.transpose(1, 2))
            start = end
        x = self.attention_norm(x + self.out(mixed))
        return self.norm(x + self.down(torch.ops.aten.gelu_(self.up(x.to(dtype)))))


def run_blocks(
    blocks: Sequence[Block], heads: int, embedded: Tensor, mask: Tensor | None, layers: Sequence[int]
) -> list[Tensor]:
    """The states of ``layers`` (ascending, from 1) from the embeddings ``(B, T, D)``; ``mask`` ``(B, T)``."""
    keep = None if mask is None else mask[:, None, None, :].bool()
    x, states = embedded, {}
    for number, block in enumerate(blocks[: layers[-1]], 1):
        x = block(x, keep, heads)
        states[number] = x
    return [states[layer] for layer in layers]


def run_unpadded(
    blocks: Sequence[Block], heads: int, embedded: Tensor, shapes: Sequence[tuple[int, int]], layers: Sequence[int]
) -> list[Tensor]:
    """As :func:`run_blocks`, for sentences one after the other: ``embedded`` ``(N, D)``, ``shapes`` as for a block."""
    x, states = embedded, {}
    for number, block in enumerate(blocks[: layers[-1]], 1):
        x = block.unpadded(x, shapes, heads)
        states[number] = x
    return [states[layer] for layer in layers]


def read_blocks(encoder: Any) -> list[Block]:
    """The blocks of an encoder, in float32.

    What is read is computed once on a few sub-words and compared with the model itself.

    Raises:
        ModelError: the model is not of the BERT kind, or computes something else than its modules' names say.
    """
    model, config = encoder.model, encoder.model.config
    remedy = "Leave out the precision; dtype bfloat16 works with every model"
    odd = [
        what
        for what, wrong in (
            (f"is a {config.model_type} model", config.model_type not in KINDS),
            (f"has the activation {getattr(config, 'hidden_act', None)}", getattr(config, "hidden_act", "") != "gelu"),
            ("is a decoder", bool(getattr(config, "is_decoder", False))),
        )
        if wrong
    ]
    if odd:
        raise ModelError(
            f"{encoder.name} {odd[0]}: there are reduced forms of {', '.join(KINDS)} with GELU", remedy=remedy
        )
    try:
        blocks = [_block(layer, encoder.heads) for layer in model.encoder.layer]
        same = len(blocks) == encoder.layers and _agree(model, blocks, encoder.heads)
    except (AttributeError, TypeError, RuntimeError) as error:
        raise ModelError(f"the blocks of {encoder.name} are not those of BERT: {error}", remedy=remedy) from error
    if not same:
        raise ModelError(f"the blocks of {encoder.name} compute something else than those of BERT", remedy=remedy)
    return blocks


def _block(layer: Any, heads: int) -> Block:
    own = layer.attention.self
    scale = (own.query.weight.shape[0] // heads) ** -0.5
    weights = (own.query.weight * scale, own.key.weight, own.value.weight)
    biases = (own.query.bias * scale, own.key.bias, own.value.bias)

    def linear(module: Any) -> Linear:
        return Linear(module.weight.detach(), module.bias.detach())

    def norm(module: Any) -> Norm:
        return Norm(module.weight.detach(), module.bias.detach(), float(module.eps))

    return Block(
        Linear(torch.cat(weights).detach(), torch.cat(biases).detach()),
        linear(layer.attention.output.dense),
        norm(layer.attention.output.LayerNorm),
        linear(layer.intermediate.dense),
        linear(layer.output.dense),
        norm(layer.output.LayerNorm),
    )


def _agree(model: Any, blocks: Sequence[Block], heads: int) -> bool:
    """Whether the blocks give the model's own states on a few sub-words."""
    weight = next(model.parameters())
    ids = torch.arange(5, 13, device=weight.device).remainder(int(model.config.vocab_size))[None, :]
    with torch.inference_mode():
        own = model(input_ids=ids, output_hidden_states=True).hidden_states
        found = run_blocks(blocks, heads, model.embeddings(input_ids=ids), None, range(1, len(blocks) + 1))
    return len(own) == len(found) + 1 and all(
        torch.allclose(a, b, rtol=1e-3, atol=1e-4) for a, b in zip(own[1:], found, strict=True)
    )
