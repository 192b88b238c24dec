"""M2M100: ``__de__`` in front of both sides, and a SentencePiece model beside the vocabulary. (NLLB has neither.)"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from align_eval.models.adapters import ADAPTERS, Adapter, Segment


@ADAPTERS.register("m2m_100")
class M2M100(Adapter):
    """Its tokenizer traces no tokens to words."""

    def language_codes(self, tokenizer: Any) -> dict[str, str]:
        by_code = getattr(tokenizer, "lang_code_to_token", None)
        if not by_code:
            return super().language_codes(tokenizer)
        return {str(code): str(token) for code, token in by_code.items()}

    def segmentation(self, tokenizer: Any, *, target: bool) -> tuple[Segment, Mapping[str, int]]:
        if not hasattr(tokenizer, "sp_model") or not hasattr(tokenizer, "encoder"):
            return super().segmentation(tokenizer, target=target)
        return (lambda words: tokenizer.sp_model.encode(words, out_type=str)), tokenizer.encoder
