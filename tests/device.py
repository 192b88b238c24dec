"""A GPU that is not there: tensors that count as on a device, real numbers, the errors that the device would raise.

Within ``with Device("cuda"):`` what is made on or moved to ``cuda`` (or ``mps``) is computed by the CPU but marked. A
call that mixes marked and unmarked tensors, ``.numpy()`` of a marked one, and float64 on ``mps`` raise as torch does.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

WAITS = {
    "item",
    "tolist",
    "__bool__",
    "__int__",
    "__float__",
    "__index__",
    "nonzero",
    "cpu",
    "unique",
    "masked_select",
    "numpy",
}
"""Calls after which the host has waited for the device."""
COPIES = {"_has_compatible_shallow_copy_type", "to", "cpu", "cuda", "copy_", "__set__", "set_data"}


class OnDevice(torch.Tensor):
    """A tensor that counts as on the device."""

    __torch_function__ = torch._C._disabled_torch_function_impl


def tensors(value: Any) -> Iterator[torch.Tensor]:
    """The tensors within arguments or a result."""
    if isinstance(value, torch.Tensor):
        yield value
    elif isinstance(value, dict):
        for entry in value.values():
            yield from tensors(entry)
    elif isinstance(value, (list, tuple)):
        for entry in value:
            yield from tensors(entry)


class Device(TorchFunctionMode):
    """The device ``kind`` (``cuda`` or ``mps``); ``waits`` counts how often the host waited for it."""

    def __init__(self, kind: str = "cuda") -> None:
        super().__init__()
        self.kind, self.waits = kind, 0

    def _named(self, value: Any) -> bool | None:
        """Whether a value names this device; ``None`` if it names none."""
        if isinstance(value, torch.Tensor):
            return isinstance(value, OnDevice)
        if isinstance(value, (str, torch.device)):
            try:
                return torch.device(value).type == self.kind
            except RuntimeError:
                return None
        return None

    def _marked(self, value: Any) -> Any:
        if isinstance(value, torch.Tensor):
            if self.kind == "mps" and value.dtype == torch.float64:
                raise TypeError(
                    "Cannot convert a MPS Tensor to float64 dtype as the MPS framework doesn't support float64"
                )
            return value if isinstance(value, OnDevice) else value.as_subclass(OnDevice)
        if isinstance(value, (list, tuple)):
            made = [self._marked(entry) for entry in value]
            return type(value)(*made) if hasattr(value, "_fields") else type(value)(made)
        return value

    def _check(self, name: str, args: Any, kwargs: Any) -> None:
        found = [t for t in tensors((args, kwargs)) if not (isinstance(t, OnDevice) or t.dim() == 0)]
        marked = [t for t in tensors((args, kwargs)) if isinstance(t, OnDevice)]
        if name in ("__getitem__", "__setitem__") and isinstance(args[0], OnDevice):
            found = [
                t for t in tensors(args[2:]) if not isinstance(t, OnDevice) and t.dim()
            ]  # an index may lie on the CPU
        if marked and found and name not in COPIES:
            raise RuntimeError(f"Expected all tensors to be on the same device, but {name} got {self.kind}:0 and cpu")

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = dict(kwargs or {})
        name, owner = getattr(func, "__name__", ""), getattr(getattr(func, "__self__", None), "__name__", "")
        marked = any(isinstance(t, OnDevice) for t in tensors((args, kwargs)))
        if name == "__get__" and args and isinstance(args[0], OnDevice):
            if owner == "device":
                return torch.device(self.kind, 0)
            if owner in ("is_cuda", "is_mps", "is_cpu"):
                return owner == f"is_{self.kind}"
        if marked and name in ("numpy", "__array__") and not kwargs.get("force"):
            raise TypeError(f"can't convert {self.kind}:0 device type tensor to numpy. Use Tensor.cpu() first")
        if name == "pin_memory":
            return args[0]
        if name in ("to", "cpu", "cuda") and isinstance(args[0], torch.Tensor):
            return self._moved(name, args, kwargs)
        self._check(name, args, kwargs)
        self.waits += marked and name in WAITS
        on_device = marked
        if kwargs.get("device") is not None:
            on_device = bool(self._named(kwargs["device"]))
            kwargs["device"] = "cpu" if on_device else kwargs["device"]
        result = func(*args, **kwargs)
        return self._marked(result) if on_device else result

    def _moved(self, name: str, args: Any, kwargs: Any) -> Any:
        """``to``, ``cpu`` and ``cuda`` of a tensor: the type changes on the CPU, the mark as the target says."""
        said = [self._named(value) for value in (*args[1:], kwargs.pop("device", None), kwargs.get("other"))]
        wanted = [place for place in said if place is not None]
        to_device = {"cpu": False, "cuda": True}.get(name, wanted[0] if wanted else isinstance(args[0], OnDevice))
        self.waits += isinstance(args[0], OnDevice) and not to_device
        if name == "to":
            rest = [torch.device("cpu") if self._named(v) and not isinstance(v, torch.Tensor) else v for v in args[1:]]
            args = (args[0].to(*rest, **kwargs),)
        plain = args[0]
        return self._marked(plain) if to_device else plain.as_subclass(torch.Tensor)

    def __enter__(self) -> Device:
        self._was = torch.__future__.get_overwrite_module_params_on_conversion()
        torch.__future__.set_overwrite_module_params_on_conversion(True)  # Module.to gives new, marked parameters
        super().__enter__()
        return self

    def __exit__(self, *raised: Any) -> None:
        super().__exit__(*raised)
        torch.__future__.set_overwrite_module_params_on_conversion(self._was)
