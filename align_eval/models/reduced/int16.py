"""``int16``: all products of the blocks in 16-bit integers by the compiled functions, on x86 processors with AVX2.

There one instruction multiplies sixteen pairs of 16-bit integers, where eight of float32 fit: twice the products in the
same time, and vectors differ by about a thousandth, so that hardly a link changes. No calibration: a sub-word's inputs
have a scale of their own, its greatest absolute value, and weights one for each output. Sums are exact, in 32 bits;
weights are rounded so that none of them can overflow (:func:`pack`).

Norms, GELU, softmax, the attention's own products, residual sums and the similarity stay in float32, computed as in
:mod:`align_eval.models.compiled_blocks`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

import torch
from torch import Tensor

from align_eval.errors import ModelError
from align_eval.models.compiled_blocks import OUTPUTS, CompiledBlocks, Packed, multiply
from align_eval.models.fused import HEAD, functions
from align_eval.models.reduced.base import PRECISIONS, ReducedStates
from align_eval.models.reduced.blocks import Linear
from align_eval.models.unchanged import Weights

if TYPE_CHECKING:
    from align_eval.models.encoder import Encoder

#: Greatest rounded input, as in ``integers.c``.
TOP = 8191
_SUM = 2**31 - 1


def needs_compiled(name: str) -> ModelError:
    """What to raise where the compiled functions are missing; ``name``: of the form."""
    return ModelError(
        f"precision {name} needs the compiled functions and a processor with AVX2",
        remedy="python -m align_eval.native compiles them and says what is missing; or leave out the precision",
    )


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
    return Packed(inputs, outputs, turned.contiguous(), scales)


def rows_of(packed: Packed) -> Tensor:
    """The integers as they lie in a matrix, ``(out, in)``."""
    return packed.weights.transpose(1, 2).reshape(packed.outputs, packed.inputs)


class Integers:
    """Products in 16-bit integers (``integers.c``)."""

    name = kind = "int16"

    def pack(self, weight: Tensor) -> Packed:
        return pack(weight)


class Int16Product:
    """``x W^T + b`` from float32 to float32 by the compiled function, one product by itself.

    Raises:
        ModelError: :meth:`works` is false.
    """

    def __init__(self, linear: Linear) -> None:
        compiled = functions()
        if compiled is None:
            raise needs_compiled("int16")
        self.compiled, self.bias, self.packed = compiled, linear.bias, pack(linear.weight)

    @staticmethod
    def works() -> bool:
        """Whether there are compiled functions for this processor."""
        return functions() is not None

    def __call__(self, x: Tensor) -> Tensor:
        """``(N, in)`` to ``(N, out)``, float32 both."""
        return multiply(Integers(), self.packed, x, self.compiled).add_(self.bias)


@PRECISIONS.register("int16")
class Int16States(ReducedStates):
    """Products in 16-bit integers by the compiled functions."""

    name: ClassVar[str] = "int16"
    unpadded: ClassVar[bool] = True

    @classmethod
    def require(cls) -> None:
        if functions() is None:
            raise needs_compiled(cls.name)

    def __init__(self, encoder: Encoder) -> None:
        super().__init__(encoder)
        blocks = CompiledBlocks.of(list(encoder.model.encoder.layer), self.heads, Integers())
        if blocks is None:
            inner, width = self.blocks[0].up.weight.shape
            raise ModelError(
                f"precision {self.name}: {encoder.name} has heads of {width // self.heads} and an inner width of "
                f"{inner}; they have to be multiples of {HEAD} and {OUTPUTS}",
                remedy="Leave out the precision",
            )
        self.compiled = blocks
        self.blocks = []  # what they were copied from is not needed
        self.weights = Weights(())  # blocks that were changed are copied again

    def current(self) -> bool:
        self.compiled.refresh()
        return super().current()

    def run(self, embedded: Tensor, mask: Tensor | None, layers: Sequence[int]) -> list[Tensor]:
        keep = torch.ones(embedded.shape[:2], dtype=torch.bool, device="cpu") if mask is None else mask.bool()
        shapes = [(1, count) for count in keep.sum(dim=1).tolist() if count]
        states = []
        for found in self.run_unpadded(embedded[keep], shapes, layers):
            padded = torch.zeros_like(embedded)
            padded[keep] = found
            states.append(padded)
        return states

    def run_unpadded(self, embedded: Tensor, shapes: Sequence[tuple[int, int]], layers: Sequence[int]) -> list[Tensor]:
        return self.compiled(embedded, shapes, layers)
