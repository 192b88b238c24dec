"""Keep a float64 model in float64: many architectures compute softmax and norms in float32 whatever their type.

With it a difference between two ways to compute one thing shows as rounding (1e-12) or as a bug, nothing between.
"""

from __future__ import annotations

import contextlib
from typing import Any


def widest(tensor: Any) -> Any:
    """The tensor in float64; on the CPU if its device, MPS, has none."""
    return tensor.cpu().double() if tensor.device.type == "mps" else tensor.double()


def keep_double(dtype: Any) -> contextlib.AbstractContextManager[Any]:
    """A context in which tensors of float64 are not converted to float32; does nothing for models of other types.

    Args:
        dtype: the model's.
    """
    import torch
    from torch.overrides import TorchFunctionMode

    if dtype != torch.float64:
        return contextlib.nullcontext()
    narrow, wide = torch.float32, torch.float64
    products = {torch.matmul, torch.Tensor.matmul, torch.Tensor.__matmul__, torch.bmm, torch.Tensor.bmm}

    class KeepDouble(TorchFunctionMode):
        def __torch_function__(
            self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
        ) -> Any:
            kwargs = kwargs or {}
            first = args[0] if args else None
            if isinstance(first, torch.Tensor) and first.dtype == wide:
                if func is torch.Tensor.float:
                    return first
                args = (first, *(wide if a is narrow else a for a in args[1:]))
                kwargs = {key: wide if value is narrow else value for key, value in kwargs.items()}
            if func in products and len(args) == 2 and {args[0].dtype, args[1].dtype} == {narrow, wide}:
                args = (args[0].to(wide), args[1].to(wide))
            return func(*args, **kwargs)

    return KeepDouble()
