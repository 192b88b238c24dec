"""What a model says: every signal yields the same thing, a batch of soft maps."""

from align_eval.signals.softmap import SoftMapBatch

__all__ = ["SoftMapBatch"]
