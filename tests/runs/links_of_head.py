"""The links of one head, in one direction or both."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from align_eval.aligners import AlignerSettings
from align_eval.aligners.attention import AttentionAligner
from align_eval.aligners.heads import AttentionSettings, Head, mode_name
from align_eval.attribution.matrix import View
from align_eval.corpora import SentencePair
from align_eval.links.table import LinkTable
from align_eval.runs.evaluate import align_pairs


def attention_links(
    pairs: Sequence[SentencePair], model: Any, view: View | tuple[Any, ...], *, attribution: str = "attention",
    method: str = "reverse", keys: str = "sum", queries: str = "mean", token_budget: int | None = None,
    on_long: str = "raise", symmetrize: tuple[str, str] | None = None,
    languages: tuple[str | None, str | None] = (None, None), progress: Callable[[int], None] | None = None,
) -> LinkTable:  # fmt: skip
    """The links that one head gives in one alignment mode, as ``sweep --links`` writes them."""

    layer, head, mode = view
    asked = AttentionSettings(Head(layer, head), mode_name(mode), attribution, symmetrize)
    settings = AlignerSettings(
        model, (method,), on_long=on_long, token_budget=token_budget, attention=asked,
        source_language=languages[0], target_language=languages[1],
    )  # fmt: skip
    aligner = AttentionAligner(settings, keys=keys, queries=queries)
    (table,) = align_pairs(pairs, aligner, progress).values()
    table.provenance = aligner.signature(aligner.systems[0])
    return table
