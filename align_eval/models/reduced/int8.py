"""``int8``: all products of the blocks in 8-bit integers by torch, on any x86 processor with AVX2; no further package.

Weights have a scale for each output, inputs a scale for each sub-word, its own greatest absolute value: a sub-word's
vector does not depend on its batch. Before that the inputs of a product are evened out by what
:func:`align_eval.models.reduced.openvino_int8.smoothing` gives for them (Xiao et al. 2023, *SmoothQuant*, equation 4),
so that few large ones do not take the range of all.

Processors without VNNI sum two products of an unsigned and a signed byte in 16 bits, where 2 x 255 x 127 overflows.
Weights are therefore rounded to 7 bits: 2 x 255 x 63 does not. Residual sums, norms, the attention's own products and
the similarity stay in float32.
"""

from __future__ import annotations

import threading
import warnings
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor

from align_eval.errors import ModelError
from align_eval.models.reduced.base import PRECISIONS, ReducedStates
from align_eval.models.reduced.blocks import Linear, run_blocks
from align_eval.models.reduced.calibration import input_ranges
from align_eval.models.reduced.openvino_int8 import smoothing

if TYPE_CHECKING:
    from collections.abc import Sequence

    from align_eval.models.encoder import Encoder

ENGINE = "fbgemm"
#: Greatest rounded weight and input.
WEIGHT_TOP, INPUT_TOP, ZERO = 63, 127, 128
PRODUCTS = ("qkv", "out", "up", "down")
_LEAST = 1e-6
_engine_lock = threading.Lock()


class Int8Linear:
    """``x W^T + b`` with both in 8 bits.

    Args:
        linear: the product in float32.
        sizes: ``(in,)``, greatest absolute value of each input, measured beforehand.
    """

    dtype = torch.float32

    def __init__(self, linear: Linear, sizes: Tensor) -> None:
        smooth = torch.from_numpy(smoothing(linear.weight.numpy(), sizes.numpy()))
        evened = linear.weight * smooth
        scales = evened.abs().amax(dim=1).clamp_min(_LEAST) / WEIGHT_TOP
        self.divide, self.bias = 1 / smooth, linear.bias
        with warnings.catch_warnings(), _engine_lock:
            warnings.simplefilter("ignore")  # torch will move these functions elsewhere; its version is pinned
            zeros = torch.zeros(len(scales), dtype=torch.long, device="cpu")
            rounded = torch.quantize_per_channel(evened, scales.double(), zeros, 0, torch.qint8)
            before, torch.backends.quantized.engine = torch.backends.quantized.engine, ENGINE
            try:
                self.packed: Any = torch.ops.quantized.linear_prepack(rounded, None)
            finally:
                torch.backends.quantized.engine = before

    def __call__(self, x: Tensor) -> Tensor:
        """``(..., in)`` to ``(..., out)``, float32 both."""
        evened = x * self.divide
        largest = evened.abs().amax(dim=-1, keepdim=True).clamp_min_(_LEAST)
        product = torch.ops.quantized.linear_with_input_q_dq_qweight_dq_output_fp32
        made = product(evened.div_(largest), 1 / INPUT_TOP, ZERO, self.packed)
        return torch.addcmul(self.bias, made, largest)


@PRECISIONS.register("int8")
class Int8States(ReducedStates):
    """Products in 8-bit integers by torch."""

    name: ClassVar[str] = "int8"
    unpadded: ClassVar[bool] = True

    @classmethod
    def require(cls) -> None:
        product = getattr(torch.ops.quantized, "linear_with_input_q_dq_qweight_dq_output_fp32", None)
        if ENGINE not in torch.backends.quantized.supported_engines or product is None:
            raise ModelError(
                f"precision {cls.name}: torch has no 8-bit products ({ENGINE}) for this processor",
                remedy="Leave out the precision",
            )

    def __init__(self, encoder: Encoder) -> None:
        super().__init__(encoder)
        ranges = input_ranges(encoder, self.blocks)
        for number, block in enumerate(self.blocks):
            products: dict[str, Any] = {
                name: Int8Linear(getattr(block, name), ranges[f"{number}.{name}"]) for name in PRODUCTS
            }
            self.blocks[number] = replace(block, **products)

    def run(self, embedded: Tensor, mask: Tensor | None, layers: Sequence[int]) -> list[Tensor]:
        return run_blocks(self.blocks, self.heads, embedded, mask, layers)
