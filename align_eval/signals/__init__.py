"""What a model says of sentence pairs: every attribution method gives the same thing, a batch of score matrices."""

from align_eval.signals.base import ATTRIBUTIONS, make_attribution
from align_eval.signals.collect import attention_maps, word_matrices
from align_eval.signals.matrix import ScoreMatrix, View

__all__ = ["ATTRIBUTIONS", "ScoreMatrix", "View", "attention_maps", "make_attribution", "word_matrices"]
