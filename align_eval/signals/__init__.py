"""What a model says: every signal yields the same thing, a batch of soft maps."""

from align_eval.signals.attention import attention_maps, attention_softmap
from align_eval.signals.attention_batch import AttentionBatch, View
from align_eval.signals.attention_maps import AttentionMaps
from align_eval.signals.softmap import SoftMapBatch

__all__ = ["AttentionBatch", "AttentionMaps", "SoftMapBatch", "View", "attention_maps", "attention_softmap"]
