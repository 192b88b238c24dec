"""``int16``: all products of the blocks in 16-bit integers by the compiled functions, on x86 processors with AVX2.

There one instruction multiplies sixteen pairs of 16-bit integers, where eight of float32 fit: twice the products in the
same time, and vectors differ by about a thousandth, so that hardly a link changes. No calibration: a sub-word's inputs
have a scale of their own, its greatest absolute value, and weights one for each output. Sums are exact, in 32 bits;
weights are rounded so that none of them can overflow (:func:`pack`).

Norms, GELU, softmax, the attention's own products, residual sums and the similarity stay in float32. What is computed
beside the products is that of :mod:`align_eval.models.fused`.
"""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import torch
from torch import Tensor

from align_eval.errors import ModelError
from align_eval.models.fused import HEAD, attend, functions, room_for
from align_eval.models.reduced.base import PRECISIONS, ReducedStates
from align_eval.models.reduced.blocks import Block, Linear

if TYPE_CHECKING:
    from align_eval.models.encoder import Encoder

#: Greatest rounded input, as in ``integers.c``.
TOP = 8191
#: Outputs that lie together in the packed weights.
OUTPUTS = 16
_POINTER, _SIZE, _FLOAT = ctypes.c_void_p, ctypes.c_int64, ctypes.c_float
_SUM = 2**31 - 1


def needs_compiled(name: str) -> ModelError:
    """What to raise where the compiled functions are missing; ``name``: of the form."""
    return ModelError(
        f"precision {name} needs the compiled functions and a processor with AVX2",
        remedy="python -m align_eval.native compiles them and says what is missing; or leave out the precision",
    )


class _Product(ctypes.Structure):
    _fields_ = (("inputs", _SIZE), ("outputs", _SIZE), ("weights", _POINTER), ("scales", _POINTER))


class _Block(ctypes.Structure):
    _fields_ = (
        *((name, _Product) for name in ("out", "up", "down", "after")),
        *((name, _POINTER) for name in ("out_bias", "out_weight", "out_shift", "up_bias")),
        *((name, _POINTER) for name in ("down_bias", "down_weight", "down_shift")),
        *((name, _FLOAT) for name in ("out_epsilon", "down_epsilon")),
    )


@dataclass(frozen=True)
class Packed:
    """The rounded weights of a product.

    ``weights`` int16 ``(out / 16, in / 2, 16, 2)``; ``scales`` float32 ``(out,)``, what their integers are to be
    multiplied by.
    """

    weights: Tensor
    scales: Tensor

    def rows(self) -> Tensor:
        """The integers as they lie in a matrix, ``(out, in)``."""
        return self.weights.transpose(1, 2).reshape(len(self.scales), -1)

    def structure(self) -> _Product:
        inputs = 2 * self.weights.shape[1]
        return _Product(inputs, len(self.scales), self.weights.data_ptr(), self.scales.data_ptr())


def pack(weight: Tensor) -> Packed:
    """Round weights to integers, output by output, as finely as the sum of products allows.

    With ``|x_j| <= 8191`` a sum of ``x_j w_j`` is at most 8191 times the sum of ``|w_j|``: the scale of an output makes
    this less than 2^31, the rounding of each weight (by up to a half) taken into account.

    Args:
        weight: ``(out, in)`` float32; ``out`` is a multiple of 16, ``in`` of 2.
    """
    outputs, inputs = weight.shape
    sizes = weight.double().abs()
    scales = torch.maximum(sizes.sum(dim=1) / (_SUM // TOP - inputs / 2), sizes.amax(dim=1) / 32767)
    scales = scales.clamp_min(1e-30).float()
    integers = (weight.double() / scales.double()[:, None]).round().to(torch.int16)
    turned = integers.view(outputs // OUTPUTS, OUTPUTS, inputs // 2, 2).transpose(1, 2)
    return Packed(turned.contiguous(), scales)


class Int16Product:
    """``x W^T + b`` from float32 to float32 by the compiled function, one product by itself.

    Raises:
        ModelError: :meth:`works` is false.
    """

    def __init__(self, linear: Linear) -> None:
        compiled = _functions()
        if compiled is None:
            raise needs_compiled("int16")
        self.compiled, self.bias = compiled, linear.bias
        outputs, inputs = linear.weight.shape
        self.packed = pack(linear.weight)
        self.scratch = torch.empty(int(compiled.align_eval_int16_scratch(outputs, inputs)))

    @staticmethod
    def works() -> bool:
        """Whether there are compiled functions for this processor."""
        return _functions() is not None

    def __call__(self, x: Tensor) -> Tensor:
        """``(N, in)`` to ``(N, out)``, float32 both. Not to be called on several threads at one time."""
        out = torch.empty(len(x), len(self.packed.scales))
        structure = ctypes.byref(self.packed.structure())
        self.compiled.align_eval_int16_product(structure, x.data_ptr(), len(x), self.scratch.data_ptr(), out.data_ptr())
        return out.add_(self.bias)


@dataclass
class _Room:
    """Memory of one thread for batches of up to ``rows`` sub-words, float32.

    ``projected`` ``(rows, 3 width)``; ``mixed`` and ``states`` ``(rows, width)``; ``scratch`` as ``integers.c`` says.
    """

    rows: int
    projected: Tensor
    mixed: Tensor
    states: Tensor
    scratch: Tensor


@PRECISIONS.register("int16")
class Int16States(ReducedStates):
    """Products in 16-bit integers by the compiled functions."""

    name: ClassVar[str] = "int16"
    unpadded: ClassVar[bool] = True

    @classmethod
    def require(cls) -> None:
        if _functions() is None:
            raise needs_compiled(cls.name)

    def __init__(self, encoder: Encoder) -> None:
        super().__init__(encoder)
        compiled = _functions()
        assert compiled is not None  # require() has seen it
        self.compiled = compiled
        self.inner, self.width = self.blocks[0].up.weight.shape
        if self.width % (self.heads * HEAD) or self.inner % OUTPUTS:
            raise ModelError(
                f"precision {self.name}: {encoder.name} has heads of {self.width // self.heads} and an inner width of "
                f"{self.inner}; they have to be multiples of {HEAD} and {OUTPUTS}",
                remedy="Leave out the precision",
            )
        self.packed = [_PackedBlock(block, self.heads) for block in self.blocks]
        self.mine = threading.local()

    def run(self, embedded: Tensor, mask: Tensor | None, layers: Sequence[int]) -> list[Tensor]:
        keep = torch.ones(embedded.shape[:2], dtype=torch.bool) if mask is None else mask.bool()
        shapes = [(1, count) for count in keep.sum(dim=1).tolist() if count]
        states = []
        for found in self.run_unpadded(embedded[keep], shapes, layers):
            padded = torch.zeros_like(embedded)
            padded[keep] = found
            states.append(padded)
        return states

    def run_unpadded(self, embedded: Tensor, shapes: Sequence[tuple[int, int]], layers: Sequence[int]) -> list[Tensor]:
        x, room, compiled = embedded.contiguous(), self._room(len(embedded)), self.compiled
        projected, scratch, mixed = room.projected.data_ptr(), room.scratch.data_ptr(), room.mixed[: len(x)]
        parts = [projected + 4 * self.width * part for part in range(3)]
        first = ctypes.byref(self.packed[0].qkv.structure())
        compiled.align_eval_int16_product(first, x.data_ptr(), len(x), scratch, projected)
        states = []
        for number, block in enumerate(self.packed[: layers[-1]], start=1):
            attend(compiled, parts, 3 * self.width, block.biases, shapes, self.heads, mixed)
            out = torch.empty_like(x) if number in layers else room.states[: len(x)]
            after = self.packed[number].qkv if number < layers[-1] else None
            structure = ctypes.byref(block.structure(after))
            compiled.align_eval_int16_block(
                structure, mixed.data_ptr(), x.data_ptr(), len(x), scratch, out.data_ptr(), projected
            )
            x = out
            if number in layers:
                states.append(x)
        return states

    def _room(self, rows: int) -> _Room:
        room: _Room | None = getattr(self.mine, "room", None)
        if room is None or room.rows < rows:
            rows = room_for(rows)
            scratch = int(self.compiled.align_eval_int16_scratch(self.width, self.inner))
            sizes = ((rows, 3 * self.width), (rows, self.width), (rows, self.width), (scratch,))
            room = _Room(rows, *(torch.empty(size) for size in sizes))
            self.mine.room = room
        return room


class _PackedBlock:
    """The rounded weights of a block, and the rest of it."""

    def __init__(self, block: Block, heads: int) -> None:
        self.block = block
        width = block.out.weight.shape[0]
        # The compiled attention divides the queries itself.
        times = torch.ones(3 * width, 1)
        times[:width] = (width // heads) ** 0.5
        self.qkv = pack(block.qkv.weight * times)
        bias = block.qkv.bias * times[:, 0]
        self.biases = (bias[:width].clone(), bias[2 * width :].clone())
        self.out, self.up, self.down = (pack(product.weight) for product in (block.out, block.up, block.down))

    def structure(self, after: Packed | None) -> _Block:
        """As ``integers.c`` takes it; ``after``: the projection that follows, of the next block."""
        own = self.block
        return _Block(
            *(product.structure() for product in (self.out, self.up, self.down)),
            _Product() if after is None else after.structure(),
            *(x.data_ptr() for x in (own.out.bias, own.attention_norm.weight, own.attention_norm.bias, own.up.bias)),
            *(x.data_ptr() for x in (own.down.bias, own.norm.weight, own.norm.bias)),
            own.attention_norm.eps,
            own.norm.eps,
        )


def _functions() -> ctypes.CDLL | None:
    compiled = functions()
    if compiled is None or not hasattr(compiled, "align_eval_int16_block"):
        return None
    compiled.align_eval_int16_scratch.argtypes, compiled.align_eval_int16_scratch.restype = [_SIZE, _SIZE], _SIZE
    compiled.align_eval_int16_product.argtypes = [_POINTER, _POINTER, _SIZE, _POINTER, _POINTER]
    compiled.align_eval_int16_block.argtypes = [_POINTER, _POINTER, _POINTER, _SIZE, _POINTER, _POINTER, _POINTER]
    compiled.align_eval_int16_product.restype = compiled.align_eval_int16_block.restype = None
    return compiled
