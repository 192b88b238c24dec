"""``openvino-int8``: products of the blocks in 8-bit integers by OpenVINO, the attention in bfloat16.

Needs the package openvino (extra ``openvino``). Residual sums and norms stay in float32. Where the processor has no
bfloat16, what is not in 8 bits is in float32.

Weights have a scale for each output, inputs one scale for each product, measured beforehand
(:mod:`align_eval.models.reduced.calibration`). A few inputs are much larger than the rest and would take the range of
all: each input is divided, and its column of the weights multiplied, by a number that evens them out, ``s_j =
max|x_j|^a / max|W_j|^(1 - a)`` with a = 1/2 (Xiao et al. 2023, *SmoothQuant*, equation 4). That does not suffice
for the product after the GELU, some of whose inputs are 30 to 60 times as large as most: it stays in bfloat16. (With
``offline:e5-small`` at layer 7 the mean cosine with float32 is 0.999 so, and 0.90 with that product in 8 bits too.)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from align_eval.models.reduced.base import PRECISIONS, require_int8
from align_eval.models.reduced.blocks import Linear
from align_eval.models.reduced.calibration import input_ranges
from align_eval.models.reduced.openvino_engine import OpenVinoStates, import_openvino

if TYPE_CHECKING:
    from align_eval.models.encoder import Encoder

LEVELS = 256
KEPT = ("down",)
_LEAST = 1e-6


@PRECISIONS.register("openvino-int8")
class OpenVinoInt8States(OpenVinoStates):
    """Products in 8-bit integers by OpenVINO."""

    name: ClassVar[str] = "openvino-int8"
    capability: ClassVar[str] = "INT8"

    @classmethod
    def require(cls) -> None:
        super().require()
        require_int8(cls.name)

    def __init__(self, encoder: Encoder) -> None:
        super().__init__(encoder)
        self.ranges = input_ranges(encoder, self.blocks)

    def product(self, x: Any, linear: Linear, where: tuple[int, str]) -> Any:
        number, name = where
        if name in KEPT:
            return super().product(x, linear, where)
        op = import_openvino(self.name).opset13
        smooth, limit, weights, scales = quantise(linear.weight.numpy(), self.ranges[f"{number}.{name}"].numpy())
        top = np.float32(LEVELS // 2 - 1) / np.float32(LEVELS // 2)
        low = np.full((1, 1, 1), -limit, dtype=np.float32)
        ends = [op.constant(low), op.constant(-low * top)]
        divided = op.multiply(x, op.constant((1 / smooth)[None, None]))
        given = op.fake_quantize(divided, *ends, *ends, LEVELS)
        kept = op.multiply(op.convert(op.constant(weights), np.float32), op.constant(scales[:, None]))
        return op.add(op.matmul(given, kept, False, True), op.constant(linear.bias.numpy()[None, None]))


def smoothing(weight: NDArray[np.float32], sizes: NDArray[np.float32]) -> NDArray[np.float32]:
    """What to divide each input of a product by, and multiply its column of the weights by.

    Args:
        weight: ``(out, in)``.
        sizes: ``(in,)``, greatest absolute value of each input.

    Returns:
        ``(in,)``, SmoothQuant's equation 4 with a = 1/2.
    """
    columns = np.maximum(np.abs(weight).max(axis=0), _LEAST)
    return np.sqrt(np.maximum(sizes, _LEAST) / columns).astype(np.float32)


def quantise(
    weight: NDArray[np.float32], sizes: NDArray[np.float32]
) -> tuple[NDArray[np.float32], np.float32, NDArray[np.int8], NDArray[np.float32]]:
    """Smooth one product and round its weights.

    Args:
        weight: ``(out, in)``.
        sizes: ``(in,)``, greatest absolute value of each input.

    Returns:
        ``(in,)``, what each input is divided by; the greatest absolute value of the inputs after that;
        ``(out, in)``, the rounded weights of the divided inputs; ``(out,)``, what to multiply the rounded by.
    """
    smooth = smoothing(weight, sizes)
    limit = np.float32((np.maximum(sizes, _LEAST) / smooth).max())
    evened = weight * smooth
    scales = (np.maximum(np.abs(evened).max(axis=1), _LEAST) / 127).astype(np.float32)
    rounded = np.clip(np.rint(evened / scales[:, None]), -127, 127).astype(np.int8)
    return smooth, limit, rounded, scales
