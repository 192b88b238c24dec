"""``openvino-bf16``: the blocks compiled by OpenVINO, matrix products and attention in bfloat16.

Needs the package openvino (extra ``openvino``). Residual sums and norms stay in float32.
"""

from __future__ import annotations

from typing import ClassVar

from align_eval.models.reduced.base import PRECISIONS
from align_eval.models.reduced.openvino_engine import OpenVinoStates


@PRECISIONS.register("openvino-bf16")
class OpenVinoBFloat16States(OpenVinoStates):
    """Products in bfloat16 by OpenVINO."""

    name: ClassVar[str] = "openvino-bf16"
