"""Context patterns: mask kinds by construction, real attention binarised, and the detector that names a pattern."""

from align_eval.patterns import kinds  # noqa: F401 - it registers them
from align_eval.patterns.base import MASK_KINDS, Mask, MaskKind, make_mask_kind
from align_eval.patterns.detector import Detection, Features, KindFit, binarise, detect, flipped

__all__ = [
    "MASK_KINDS", "Detection", "Features", "KindFit", "Mask", "MaskKind", "binarise", "detect", "flipped",
    "make_mask_kind",
]  # fmt: skip
