"""The number type of a training's matrix products; weights, moments and sums stay in float32."""

from __future__ import annotations

import torch

from align_eval.errors import ModelError
from align_eval.models.reduced.base import require_bfloat16

PRECISIONS = ("auto", "bfloat16", "float32")


def product_type(name: str) -> torch.dtype:
    """One of PRECISIONS as a torch type; "auto": bfloat16 on a processor that has units for it, else float32."""
    if name != "auto":
        return torch.bfloat16 if name == "bfloat16" else torch.float32
    try:
        require_bfloat16("auto")
    except ModelError:
        return torch.float32
    return torch.bfloat16
