"""Float32 products of linear layers by numpy's OpenBLAS, on processors where it is quicker than torch's MKL.

That is so on processors by AMD whose widest instructions are AVX2 (measured in ``results/bench/efficiency.md``; there
``torch`` and ``numpy`` stand side by side). The rule goes by the processor, not by a measurement at run time: the same
machine computes the same numbers in every run. Only products on one thread are taken, of batches that are computed side
by side; OpenBLAS keeps to one thread meanwhile.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from align_eval.errors import UnknownNameError

if TYPE_CHECKING:
    from torch import Tensor

#: In the environment: ``torch`` or ``numpy``, whatever the processor.
VARIABLE = "ALIGN_EVAL_PRODUCTS"
CHOICES = ("auto", "torch", "numpy")
_CPU = Path("/proc/cpuinfo")


def by_numpy() -> bool:
    """Whether linear layers in float32 are computed by numpy's OpenBLAS, where they are computed on one thread.

    Raises:
        UnknownNameError: the environment names another choice.
    """
    asked = os.environ.get(VARIABLE) or "auto"
    if asked not in CHOICES:
        raise UnknownNameError(f"choice in {VARIABLE}", asked, CHOICES)
    import torch

    if asked == "torch" or _libraries() is None:
        return False
    return asked == "numpy" or (torch.backends.mkl.is_available() and _amd_with_avx2())


def _amd_with_avx2() -> bool:
    import torch

    if torch.backends.cpu.get_cpu_capability() != "AVX2":
        return False
    try:
        return "AuthenticAMD" in _CPU.read_text(encoding="ascii", errors="replace")[:4096]
    except OSError:
        return False


@lru_cache(maxsize=1)
def _libraries() -> Any:
    """The OpenBLAS libraries of this process as threadpoolctl sees them; nothing if numpy has no such library."""
    from threadpoolctl import ThreadpoolController

    found = ThreadpoolController().select(internal_api="openblas")
    return found if any("numpy" in Path(entry["filepath"]).parent.name for entry in found.info()) else None


class _Users:
    """Those who need OpenBLAS on one thread: the first sets it, the last sets it back."""

    def __init__(self) -> None:
        self.lock, self.count, self.limit = threading.Lock(), 0, None

    def enter(self) -> None:
        with self.lock:
            self.count += 1
            if self.count == 1:
                self.limit = _libraries().limit(limits=1)

    def leave(self) -> None:
        with self.lock:
            self.count -= 1
            if self.count == 0 and self.limit is not None:
                self.limit.restore_original_limits()


_users = _Users()


@contextmanager
def one_thread() -> Iterator[None]:
    """Inside, OpenBLAS computes each product on the thread that asks for it."""
    _users.enter()
    try:
        yield
    finally:
        _users.leave()


def by_numpys(x: Tensor, weight: Tensor, out: Tensor) -> None:
    """Write ``x W^T`` into ``out``, by numpy: ``(N, in)``, ``(out, in)``, ``(N, out)``, float32 on the CPU."""
    np.matmul(x.numpy(), weight.detach().numpy().T, out=out.numpy())


def by_torch(x: Tensor, weight: Tensor, out: Tensor) -> None:
    """As :func:`by_numpys`, by torch."""
    import torch

    torch.mm(x, weight.t(), out=out)
