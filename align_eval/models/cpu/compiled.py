"""Blocks of a BERT-like encoder by one compiled function each, on one thread, in float32 or in integers.

``align_eval/native/blocks.h`` says in which order; ``floats.c`` and ``integers.c`` say how rows are multiplied. The
weights of the blocks that are used are copied once, in the order in which the functions read them.

A row's sums are taken in the same order whatever rows are beside it: the vectors of a sentence do not depend on the
batch that it is in.
"""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from align_eval.errors import InputError
from align_eval.models.cpu.fused import functions_for, room_for
from align_eval.native import address, floats

#: Outputs that lie together in packed weights.
OUTPUTS = 16
#: Inputs that are summed by themselves in float32, as in ``floats.c``.
DEPTH = 512
_POINTER, _SIZE, _FLOAT = ctypes.c_void_p, ctypes.c_int64, ctypes.c_float
# The stride at which numbers are summed by their place; a prime, so that it meets every row and every column.
_STRIDE = 61
# Packages whose hooks read what a module gives and change nothing.
_LOOKING = ("align_eval", "transformers")
Mark = tuple[int, int]
Digest = tuple[bytes, ...]


class _Product(ctypes.Structure):
    _fields_ = (("inputs", _SIZE), ("outputs", _SIZE), ("weights", _POINTER), ("scales", _POINTER))


class _Block(ctypes.Structure):
    _fields_ = (
        *((name, _Product) for name in ("qkv", "out", "up", "down")),
        *((name, _POINTER) for name in ("query_bias", "value_bias", "out_bias", "out_weight", "out_shift", "up_bias")),
        *((name, _POINTER) for name in ("down_bias", "down_weight", "down_shift")),
        *((name, _FLOAT) for name in ("out_epsilon", "down_epsilon")),
        ("heads", _SIZE),
    )


class Packed(NamedTuple):
    """The weights of a product in the order in which a compiled function reads them.

    In float32: for each part of up to ``DEPTH`` inputs ``(out / 16, depth, 16)``, one after the other. Integers:
    ``(out / 16, in / 2, 16, 2)``, int16, and ``scales`` float32 ``(out,)``, what they are to be multiplied by.
    """

    inputs: int
    outputs: int
    weights: Tensor
    scales: Tensor | None = None


class Numbers(Protocol):
    """What products are computed in."""

    name: str  # as in the names of the compiled functions
    kind: str  # number type of packed weights, as numpy names it

    def pack(self, weight: Tensor) -> Packed:
        """Weights ``(out, in)`` float32, both multiples of ``OUTPUTS`` (in float32 ``in`` is any)."""


class Floats:
    """Products in float32 (``floats.c``)."""

    name = kind = "float32"

    def pack(self, weight: Tensor) -> Packed:
        outputs, inputs = weight.shape
        parts = [
            part.reshape(outputs // OUTPUTS, OUTPUTS, -1).transpose(1, 2).flatten()
            for part in weight.detach().split(DEPTH, dim=1)
        ]
        return Packed(inputs, outputs, torch.cat(parts))


def structure(numbers: Numbers, packed: Packed) -> _Product:
    """As the compiled functions take it; it is valid as long as ``packed`` is there."""
    weights = address(packed.weights, numbers.kind, packed.inputs * packed.outputs)
    scales = None if packed.scales is None else address(packed.scales, "float32", packed.outputs)
    return _Product(packed.inputs, packed.outputs, weights, scales)


def multiply(numbers: Numbers, packed: Packed, x: Tensor, compiled: ctypes.CDLL) -> Tensor:
    """``x W^T`` by the compiled function, one product by itself: ``(N, in)`` to ``(N, out)``, float32 both."""
    rows, needed = len(x), int(compiled.align_eval_blocks_scratch(packed.inputs, packed.inputs, 1, 1))
    x, out, room = x.contiguous(), floats(rows, packed.outputs), floats(needed)
    by = structure(numbers, packed)
    call = getattr(compiled, f"align_eval_{numbers.name}_product")
    given, made = address(x, "float32", rows * packed.inputs), address(out, "float32", rows * packed.outputs)
    call(ctypes.byref(by), given, rows, address(room, "float32", needed), made)
    return out


def mark(weight: torch.Tensor) -> Mark:
    """Where a weight lies, and how often torch knows that it was written to; free of cost."""
    return weight.data_ptr(), 0 if weight.is_inference() else weight._version


def digest(weight: torch.Tensor) -> Digest:
    """What changes when a weight's numbers do, whoever wrote them: sums of their bits by row, and of some by place.

    ``weight.data.zero_()`` raises no version that torch counts, and memory that was given back may be given out again
    at the same address. About as quick as memory is read: 0.4 ms for the 7 MB of a block of 384.
    """
    bits = weight.detach().contiguous().flatten().view(torch.uint8)
    rows = bits.view(len(weight), -1) if weight.ndim > 1 and len(weight) else bits[None]
    kind = torch.int64 if rows.shape[1] % 8 == 0 and rows.data_ptr() % 8 == 0 else torch.uint8
    some = bits[: len(bits) // 8 * 8].view(torch.int64) if bits.data_ptr() % 8 == 0 else bits
    sums = rows.view(kind).sum(dim=1, dtype=torch.int64), some[::_STRIDE].sum(dtype=torch.int64)
    return tuple(part.numpy(force=True).tobytes() for part in sums)


class Modules:
    """The modules of a model as they are now: which, whether they were patched, and their hooks.

    Replaced modules (adapters, pruning), hooks and a ``forward`` of one's own change what a model computes, and
    nothing that was read from its modules before knows of it.
    """

    def __init__(self, model: nn.Module) -> None:
        self.model = model
        self.were = _state(model)

    def changed(self) -> bool:
        """Whether any of them is another now."""
        return _state(self.model) != self.were


def _state(model: nn.Module) -> list[tuple[Any, ...]]:
    return [
        (m, vars(m).get("forward"), *_foreign(m._forward_pre_hooks), "pre", *_foreign(m._forward_hooks))
        for m in model.modules()
    ]


def _foreign(hooks: dict[int, Any]) -> list[Any]:
    """Hooks but those that only look: this package's, perhaps of another thread, and those ``transformers`` leaves."""
    return [hook for hook in [*hooks.values()] if str(getattr(hook, "__module__", "")).split(".")[0] not in _LOOKING]


class _Ready(NamedTuple):
    """A block as the compiled functions take it; ``kept`` is what it points to, ``of`` and ``digest`` what it is of."""

    of: tuple[Mark, ...]
    digest: tuple[Digest, ...]
    structure: _Block
    kept: tuple[Any, ...]


class CompiledBlocks:
    """The blocks of a model as ``transformers`` names them in BERT, float32, with GELU; made by :meth:`of`.

    Called as :class:`align_eval.models.cpu.fused.FusedBlocks` is. Weights that are changed in place are copied
    again: at the next call where torch counts the change, else (``weight.data``) after :meth:`refresh`.
    """

    def __init__(self, blocks: Sequence[Any], heads: int, numbers: Numbers, compiled: ctypes.CDLL) -> None:
        self.blocks, self.heads, self.numbers, self.compiled = blocks, heads, numbers, compiled
        self.inner, self.width = (int(size) for size in blocks[0].intermediate.dense.weight.shape)
        self.call = getattr(compiled, f"align_eval_{numbers.name}_block")
        self.ready: dict[int, _Ready] = {}
        self.lock = threading.Lock()
        self.mine = threading.local()

    @classmethod
    def of(cls, blocks: Sequence[Any], heads: int, numbers: Numbers) -> CompiledBlocks | None:
        """The blocks, or ``None``: nothing is compiled, or a width is one that the compiled functions do not take."""
        compiled = functions_for(blocks, heads, OUTPUTS)
        return None if compiled is None else cls(blocks, heads, numbers, compiled)

    def forget(self) -> None:
        """Give the memory of copied weights back."""
        with self.lock:
            self.ready.clear()

    def refresh(self) -> bool:
        """Forget the copies of weights whose numbers are others now; whether there were any."""
        old = [
            number
            for number, ready in list(self.ready.items())
            if tuple(map(digest, self.blocks[number].parameters())) != ready.digest
        ]
        with self.lock:
            for number in old:
                self.ready.pop(number, None)
        return bool(old)

    def __call__(self, x: Tensor, shapes: Sequence[tuple[int, ...]], layers: Sequence[int]) -> list[Tensor]:
        """As :class:`align_eval.models.cpu.fused.FusedBlocks`: the states of ``layers``, ``(N, width)`` each."""
        lengths = np.repeat([length for _, length in shapes], [count for count, _ in shapes]).astype(np.int64)
        lengths = lengths[lengths > 0]
        rows, longest = int(lengths.sum()), int(lengths.max(initial=0))
        if x.shape != (rows, self.width):
            raise InputError(
                f"states {tuple(x.shape)} for {rows} rows of {self.width}", remedy="Give the rows of all sentences"
            )
        states, scratch, needed = self._room(rows, longest)
        x = x.contiguous()
        taken = {0: x}
        for number in range(1, max(layers) + 1):
            out = torch.empty_like(x) if number in layers else states[: len(x)]
            ready = self._ready(number - 1)
            size = rows * self.width
            self.call(
                ctypes.byref(ready.structure), address(x, "float32", size), address(lengths, "int64", len(lengths)),
                len(lengths), longest, address(scratch, "float32", needed), address(out, "float32", size),
            )  # fmt: skip
            x = out
            if number in layers:
                taken[number] = x
        return [taken[layer] for layer in layers]

    def _ready(self, number: int) -> _Ready:
        block = self.blocks[number]
        made_of = tuple(map(mark, block.parameters()))
        found = self.ready.get(number)
        if found is None or found.of != made_of:
            with self.lock:
                found = self.ready.get(number)
                if found is None or found.of != made_of:
                    found = self.ready[number] = self._prepare(block, made_of)
        return found

    def _prepare(self, block: Any, made_of: tuple[Mark, ...]) -> _Ready:
        numbers_of = tuple(map(digest, block.parameters()))
        own, first, second = block.attention.self, block.attention.output, block.output
        projections = torch.cat([layer.weight.detach() for layer in (own.query, own.key, own.value)])
        weights = (projections, first.dense.weight, block.intermediate.dense.weight, second.dense.weight)
        packed = [self.numbers.pack(weight.detach()) for weight in weights]
        vectors = [
            own.query.bias, own.value.bias, first.dense.bias, first.LayerNorm.weight, first.LayerNorm.bias,
            block.intermediate.dense.bias, second.dense.bias, second.LayerNorm.weight, second.LayerNorm.bias,
        ]  # fmt: skip
        vectors = [vector.detach().contiguous() for vector in vectors]
        sizes = [self.width] * 9
        sizes[5] = self.inner
        made = _Block(
            *(structure(self.numbers, weight) for weight in packed),
            *(address(vector, "float32", size) for vector, size in zip(vectors, sizes, strict=True)),
            float(first.LayerNorm.eps), float(second.LayerNorm.eps), self.heads,
        )  # fmt: skip
        return _Ready(made_of, numbers_of, made, (packed, vectors))

    def _room(self, rows: int, longest: int) -> tuple[Tensor, Tensor, int]:
        """Memory of this thread: states ``(at least rows, width)``, scratch of ``blocks.h``, the numbers it needs."""
        room: tuple[Tensor, Tensor] | None = getattr(self.mine, "room", None)
        needed = int(self.compiled.align_eval_blocks_scratch(self.width, self.inner, self.heads, longest))
        if room is None or len(room[0]) < rows or len(room[1]) < needed:
            rows = max(room_for(rows), 0 if room is None else len(room[0]))
            least = max(needed, 0 if room is None else len(room[1]))
            room = self.mine.room = floats(rows, self.width), floats(least)
        return *room, needed
