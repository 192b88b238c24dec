"""The number type of a training's matrix products; weights, moments and sums stay in float32."""

from __future__ import annotations

import torch

PRECISIONS = ("auto", "bfloat16", "float32")


def product_type(name: str) -> torch.dtype:
    """One of PRECISIONS as a torch type; "auto": bfloat16 on a processor that has units for it, else float32."""
    if name != "auto":
        return torch.bfloat16 if name == "bfloat16" else torch.float32
    return torch.bfloat16 if _multiplies_bfloat16() else torch.float32


def _multiplies_bfloat16() -> bool:
    """Whether this processor multiplies bfloat16 numbers itself (AMX, AVX512_BF16, ARM); else they are slower."""
    told = [getattr(torch.cpu, f"_is_{kind}_supported", None) for kind in ("amx_tile", "avx512_bf16", "arm_bf16")]
    device_tells = getattr(torch.ops.mkldnn, "_is_mkldnn_bf16_device_supported", None)
    return any(bool(ask()) for ask in told if ask is not None) or (device_tells is not None and device_tells("cpu"))
