"""Mask plans: which target words are hidden. One file a plan; each registers itself.

``span:share=0.5``, ``random:share=0.3,draws=4``, ``positions:5-8`` and so on; :func:`make_plan` reads such a spec.
"""

from __future__ import annotations

from align_eval.infilling.plans.base import PLANS, MaskPlan, Variants, make_plan, masks_of

__all__ = ["PLANS", "MaskPlan", "Variants", "make_plan", "masks_of"]
