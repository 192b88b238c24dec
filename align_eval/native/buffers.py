"""Memory that the compiled functions read and write: made here, and checked here before its address goes to C.

C knows neither number types nor sizes. So every buffer is made with number type and device stated (a user's
``torch.set_default_dtype`` and ``set_default_device`` change nothing), and every address passes :func:`address`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import torch


def floats(*shape: int) -> torch.Tensor:
    """Uninitialised float32 on the CPU, whatever torch's defaults are."""
    import torch

    return torch.empty(shape, dtype=torch.float32, device="cpu")


def address(buffer: np.ndarray[Any, Any] | torch.Tensor, kind: str, count: int) -> int:
    """Where a buffer begins, for a compiled function that reads or writes ``count`` numbers of ``kind`` from there."""
    if isinstance(buffer, np.ndarray):
        found, dense, size, device = str(buffer.dtype), buffer.flags.c_contiguous, buffer.size, "cpu"
        at = int(buffer.ctypes.data)
    else:
        found, dense, size = str(buffer.dtype).removeprefix("torch."), buffer.is_contiguous(), buffer.numel()
        device = buffer.device.type
        at = 0 if device == "meta" else int(buffer.data_ptr())
    wrong = (
        f"numbers of {found}" if found != kind
        else f"memory of the device {device}" if device != "cpu"
        else "numbers with gaps between them" if not dense
        else f"{size:,} numbers of {count:,}" if size < count
        else ""
    )  # fmt: skip
    if wrong:
        from align_eval.errors import ModelError

        raise ModelError(
            f"a compiled function takes {kind} on the CPU, and was given {wrong}",
            remedy="Load the model again, or set ALIGN_EVAL_NATIVE=0 to compute without compiled functions",
        )
    return at
