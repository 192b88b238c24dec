"""Marian: a SentencePiece model for each side; ``>>de<<`` in front of the source where there are several targets."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from align_eval.models.adapters import ADAPTERS, Adapter, Segment


@ADAPTERS.register("marian")
class Marian(Adapter):
    """Its tokenizer traces no tokens to words, and may have a vocabulary for each side."""

    one_way = True
    tagged_source = True
    translates_without_mask = True

    def language_codes(self, tokenizer: Any) -> dict[str, str]:
        codes = getattr(tokenizer, "supported_language_codes", None)
        if not codes:
            return super().language_codes(tokenizer)
        return {code.removeprefix(">>").removesuffix("<<"): code for code in codes}

    def segmentation(self, tokenizer: Any, *, target: bool) -> tuple[Segment, Mapping[str, int]]:
        if not hasattr(tokenizer, "spm_source"):
            return super().segmentation(tokenizer, target=target)
        pieces = tokenizer.spm_target if target else tokenizer.spm_source
        separate = target and getattr(tokenizer, "separate_vocabs", False)
        ids = tokenizer.target_encoder if separate else tokenizer.encoder
        return (lambda words: pieces.encode(words, out_type=str)), ids
