"""Context patterns: mask kinds by construction, real attention binarised, and the detector that names a pattern."""

from align_eval.patterns import kinds, tree  # noqa: F401 - they register the kinds
from align_eval.patterns.base import MASK_KINDS, MaskKind, make_mask_kind
from align_eval.patterns.detector import Detection, Features, KindFit, binarise, detect, flipped

__all__ = [
    "MASK_KINDS", "Detection", "Features", "KindFit", "MaskKind", "binarise", "detect", "flipped", "make_mask_kind",
]  # fmt: skip
