"""Blocks of a BERT-like encoder on one thread: products by torch, all else by compiled functions, no memory anew.

The vectors agree within rounding with those of :class:`align_eval.models.cpu.unpadded.PackedStates`, whose modules
these are. Each thread keeps a workspace for a batch, which later batches use again: fresh memory takes time.
"""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from align_eval.errors import InputError
from align_eval.native import address, floats, library

_POINTER, _SIZE, _FLOAT = ctypes.c_void_p, ctypes.c_int64, ctypes.c_float
# Widths that the compiled functions compute at one time; those of heads are multiples of HEAD.
_LANES, HEAD, _QUERIES = 8, 32, 4
# Room is made for a multiple of so many sub-words.
_STEP = 256


def functions() -> ctypes.CDLL | None:
    """The compiled functions, if they were compiled for this kind of processor and it has the instructions."""
    compiled = library()
    if compiled is None or not hasattr(compiled, "align_eval_fused") or not compiled.align_eval_fused():
        return None
    compiled.align_eval_gelu.argtypes = [_POINTER, _POINTER, _SIZE, _SIZE]
    compiled.align_eval_norm.argtypes = [*[_POINTER] * 5, _FLOAT, _SIZE, _SIZE, _POINTER]
    compiled.align_eval_attention.argtypes = [*[_POINTER] * 5, *[_SIZE] * 5, _POINTER, _POINTER]
    compiled.align_eval_blocks_scratch.argtypes, compiled.align_eval_blocks_scratch.restype = [*[_SIZE] * 4], _SIZE
    for numbers in ("float32", "int16"):
        getattr(compiled, f"align_eval_{numbers}_block").argtypes = [*[_POINTER] * 3, _SIZE, _SIZE, _POINTER, _POINTER]
        getattr(compiled, f"align_eval_{numbers}_product").argtypes = [_POINTER, _POINTER, _SIZE, _POINTER, _POINTER]
        for what in ("block", "product"):
            getattr(compiled, f"align_eval_{numbers}_{what}").restype = None
    for name in ("gelu", "norm", "attention"):
        getattr(compiled, f"align_eval_{name}").restype = None
    return compiled


def attend(
    compiled: ctypes.CDLL, projected: Sequence[torch.Tensor], biases: Sequence[torch.Tensor],
    shapes: Sequence[tuple[int, ...]], heads: int, mixed: torch.Tensor,
) -> None:  # fmt: skip
    """Attention within sentences that lie one after the other, into ``mixed`` ``(N, width)``, heads side by side.

    Args:
        projected: queries, keys and values ``(N, width)`` without their biases.
        biases: of queries and values, ``(width,)``. One of the keys would change nothing.
        shapes: sentences and their length, by run.
        heads: their width is a multiple of ``HEAD``.
    """
    across, longest = mixed.shape[1], max((length for _, length in shapes), default=0)
    width, rows = across // heads, sum(sentences * length for sentences, length in shapes)
    needed = (width + _QUERIES) * (longest + _LANES) + _QUERIES * width
    scratch = np.empty(needed, dtype=np.float32)
    parts = [address(part, "float32", rows * across) for part in projected]
    query_bias, value_bias = (address(bias, "float32", across) for bias in biases)
    room, out = address(scratch, "float32", needed), address(mixed, "float32", rows * across)
    start = 0
    for sentences, length in shapes:
        skipped = 4 * across * start
        compiled.align_eval_attention(
            *(part + skipped for part in parts), query_bias, value_bias, sentences, length, heads, width, across, room,
            out + skipped,
        )  # fmt: skip
        start += sentences * length


def room_for(rows: int) -> int:
    """Sub-words to make room for where ``rows`` are needed."""
    return -(-rows // _STEP) * _STEP


def functions_for(blocks: Sequence[Any], heads: int, multiple: int) -> ctypes.CDLL | None:
    """The compiled functions, if there are any and they take these blocks of BERT.

    The blocks must be in float32 with biases, heads as wide as a multiple of ``HEAD``, and the inner width one of
    ``multiple``.
    """
    compiled = functions()
    if compiled is None or any(w.dtype != torch.float32 for block in blocks for w in block.parameters()):
        return None
    inner, width = blocks[0].intermediate.dense.weight.shape
    biased = all(layer.bias is not None for block in blocks for layer in layers_of(block))
    return compiled if biased and width % (heads * HEAD) == 0 and inner % multiple == 0 else None


@dataclass
class _Room:
    """Memory of one thread for batches of up to ``rows`` sub-words: ``(rows, width)``, ``inner`` of the inner width."""

    rows: int
    query: torch.Tensor
    key: torch.Tensor
    value: torch.Tensor
    mixed: torch.Tensor
    middle: torch.Tensor
    inner: torch.Tensor
    states: tuple[torch.Tensor, torch.Tensor]


class FusedBlocks:
    """The blocks of a model as ``transformers`` names them in BERT, float32, with GELU; made by :meth:`of`."""

    def __init__(self, blocks: Sequence[Any], heads: int, compiled: ctypes.CDLL) -> None:
        self.blocks, self.heads, self.compiled = blocks, heads, compiled
        self.inner, self.width = (int(size) for size in blocks[0].intermediate.dense.weight.shape)
        self.mine = threading.local()

    @classmethod
    def of(cls, blocks: Sequence[Any], heads: int) -> FusedBlocks | None:
        """The blocks, or ``None``: nothing is compiled, or a width is one that the compiled functions do not take."""
        compiled = functions_for(blocks, heads, _LANES)
        return None if compiled is None else cls(blocks, heads, compiled)

    def __call__(self, x: torch.Tensor, shapes: Sequence[tuple[int, ...]], layers: Sequence[int]) -> list[torch.Tensor]:
        """The states of ``layers`` (0: ``x`` itself) in their order, ``(N, width)`` each.

        ``x`` ``(N, width)`` are the embeddings of sentences that lie one after the other, ``shapes`` sentences and
        their length, by run.
        """
        x = x.contiguous()
        if len(x) != sum(sentences * length for sentences, length in shapes):
            raise InputError(f"{len(x)} rows for sentences of {list(shapes)}", remedy="Give the rows of all sentences")
        room = self._room(len(x))
        taken = {0: x}
        for number, block in enumerate(self.blocks[: max(layers)], start=1):
            out = torch.empty_like(x) if number in layers else room.states[number % 2][: len(x)]
            self._block(block, x, shapes, room, out)
            x = out
            if number in layers:
                taken[number] = x
        return [taken[layer] for layer in layers]

    def _block(
        self, block: Any, x: torch.Tensor, shapes: Sequence[tuple[int, ...]], room: _Room, out: torch.Tensor
    ) -> None:
        count, own, attention = len(x), block.attention.self, block.attention.output
        query, key, value, mixed, middle, inner = (
            part[:count] for part in (room.query, room.key, room.value, room.mixed, room.middle, room.inner)
        )
        for layer, into in ((own.query, query), (own.key, key), (own.value, value)):
            torch.mm(x, layer.weight.t(), out=into)
        attend(self.compiled, (query, key, value), (own.query.bias, own.value.bias), shapes, self.heads, mixed)
        torch.mm(mixed, attention.dense.weight.t(), out=query)
        self._norm(query, attention, x, middle)
        torch.mm(middle, block.intermediate.dense.weight.t(), out=inner)
        up = address(block.intermediate.dense.bias, "float32", self.inner)
        self.compiled.align_eval_gelu(address(inner, "float32", count * self.inner), up, count, self.inner)
        torch.mm(inner, block.output.dense.weight.t(), out=value)
        self._norm(value, block.output, middle, out)

    def _norm(self, made: torch.Tensor, output: Any, before: torch.Tensor, out: torch.Tensor) -> None:
        """Layer norm of a product, its bias and ``before``, into ``out``."""
        norm, size = output.LayerNorm, len(made) * self.width
        bias, weight, shift = (address(v, "float32", self.width) for v in (output.dense.bias, norm.weight, norm.bias))
        self.compiled.align_eval_norm(
            address(made, "float32", size), bias, address(before, "float32", size), weight, shift, norm.eps, len(made),
            self.width, address(out, "float32", size),
        )  # fmt: skip

    def _room(self, rows: int) -> _Room:
        room: _Room | None = getattr(self.mine, "room", None)
        if room is None or room.rows < rows:
            rows = room_for(rows)
            a, b, c, d, e, f, g = floats(7, rows, self.width)
            room = _Room(rows, a, b, c, d, e, floats(rows, self.inner), (f, g))
            self.mine.room = room
        return room


def layers_of(block: Any) -> tuple[Any, ...]:
    """The linear layers of a block, in their order."""
    own = block.attention.self
    return own.query, own.key, own.value, block.attention.output.dense, block.intermediate.dense, block.output.dense
