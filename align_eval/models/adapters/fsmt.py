"""FSMT (``facebook/wmt19-*``): a tokenizer of Python's with a vocabulary for each side."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from align_eval.models.adapters import ADAPTERS, Adapter, Segment


@ADAPTERS.register("fsmt")
class Fsmt(Adapter):
    """``get_vocab`` is that of the source, whose tokenizer was trained one way."""

    one_way = True

    def segmentation(self, tokenizer: Any, *, target: bool) -> tuple[Segment, Mapping[str, int]]:
        segment, ids = super().segmentation(tokenizer, target=target)
        if target and hasattr(tokenizer, "get_tgt_vocab"):  # its pieces by number
            ids = {piece: number for number, piece in tokenizer.decoder.items()}
        return segment, ids
