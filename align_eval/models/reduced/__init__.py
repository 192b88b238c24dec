"""Reduced forms of an encoder: its products in 16 or 8 bits, faster on a CPU, with vectors that keep their links.

One file a form; ``PRECISIONS`` lists them, :func:`load_model(NAME, precision=FORM) <align_eval.models.load_model>`
takes one. Norms, softmax, residual sums and the similarity stay in 32 bits in all of them.
"""

from __future__ import annotations

from align_eval.models.reduced.base import PRECISIONS, ReducedStates

__all__ = ["PRECISIONS", "ReducedStates"]
