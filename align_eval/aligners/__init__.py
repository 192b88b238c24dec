"""Sentence pairs in, links out: models with their signals and extraction methods, and other aligners beside them."""

from align_eval.aligners.base import ALIGNERS, Aligner, AlignerSettings, System, make_aligner, needs_model

__all__ = ["ALIGNERS", "Aligner", "AlignerSettings", "System", "make_aligner", "needs_model"]
