"""Score matrix -> links. ``EXTRACTORS`` lists the methods, :func:`make_extractor` builds one from its spec."""

from align_eval.extraction.base import EXTRACTORS, Extraction, Extractor, any_subword, make_extractor

__all__ = ["EXTRACTORS", "Extraction", "Extractor", "any_subword", "make_extractor"]
