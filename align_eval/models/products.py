"""Which library multiplies matrices for batches on one thread each: the compiled functions, or torch.

On processors whose widest instructions are AVX2 blocks by compiled functions alone are quicker than with torch
(``results/bench/efficiency.md``, *Forms*); wider ones the compiled functions do not use. The rule goes by the
processor, not by a measurement at run time: the same machine computes the same numbers in every run.
"""

from __future__ import annotations

import os

from align_eval.errors import UnknownNameError

#: In the environment: ``torch`` or ``compiled``, whatever the processor.
VARIABLE = "ALIGN_EVAL_PRODUCTS"
CHOICES = ("auto", "torch", "compiled")


def by_compiled() -> bool:
    """Whether blocks in float32 are computed by the compiled functions alone, where there are any.

    Raises:
        UnknownNameError: the environment names another choice.
    """
    asked = os.environ.get(VARIABLE) or "auto"
    if asked not in CHOICES:
        raise UnknownNameError(f"choice in {VARIABLE}", asked, CHOICES)
    if asked != "auto":
        return asked == "compiled"
    import torch

    return torch.backends.cpu.get_cpu_capability() == "AVX2"
