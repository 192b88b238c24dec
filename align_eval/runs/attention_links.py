"""Links from one head of a model's attention, in one direction or in both, as tables."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from align_eval.aligners import AlignerSettings
from align_eval.aligners.attention import AttentionAligner
from align_eval.aligners.heads import AttentionSettings, Head, mode_name
from align_eval.link_table import LinkTable
from align_eval.links import Links
from align_eval.signals.collect import TOKEN_BUDGET

if TYPE_CHECKING:
    from align_eval.corpora import SentencePair, TestSet
    from align_eval.signals.matrix import View

# Pairs handed to the aligner at a time; it sorts them by length.
BLOCK = 2048


def attention_links(
    pairs: Sequence[SentencePair],
    model: Any,
    view: View | tuple[Any, ...],
    *,
    signal: str = "attention",
    method: str = "reverse",
    keys: str = "sum",
    queries: str = "mean",
    token_budget: int = TOKEN_BUDGET,
    on_long: str = "raise",
    symmetrize: tuple[str, str] | None = None,
    languages: tuple[str | None, str | None] = (None, None),
    progress: Callable[[int], None] | None = None,
) -> LinkTable:
    """The links that one head gives in one alignment mode; see :class:`align_eval.aligners.attention.AttentionAligner`.

    Args:
        pairs: the sentence pairs.
        model: of :func:`align_eval.models.load_model`, of any family.
        view: layer and head (from 1, or ``"mean"``; head also ``"max"``) and alignment mode.
        signal: the attribution method, see :mod:`align_eval.signals.base`.
        method: how score matrices become links, see :mod:`align_eval.extraction`.
        keys, queries: how sub-words become words, see :mod:`align_eval.signals.pooling`.
        token_budget: sub-words in a batch, padding counted; it changes speed and memory only.
        on_long: ``window``, ``raise`` or ``leave``, see :class:`align_eval.aligners.AlignerSettings`.
        symmetrize: method and rule that combine both directions; ``None``: source to target alone.
        languages: of source and target, for a model that needs them.
        progress: called with the number of pairs done since the last call.

    Returns:
        links of all pairs, 0-based, source first, with scores; none for a pair with a side without any sub-word.

    Raises:
        UnknownNameError: an unknown attribution method, extraction method, rule or mode.
        InputError: no such layer or head.
        SentenceTooLongError: a pair does not fit the model, with ``on_long="raise"``.
    """
    layer, head, mode = view
    asked = AttentionSettings(Head(layer, head), mode_name(mode), signal, symmetrize)
    settings = AlignerSettings(
        model, (method,), on_long=on_long, token_budget=token_budget, attention=asked,
        source_language=languages[0], target_language=languages[1],
    )  # fmt: skip
    aligner = AttentionAligner(settings, keys=keys, queries=queries)
    found: list[Links] = []
    for start in range(0, len(pairs), BLOCK):
        part = pairs[start : start + BLOCK]
        found += aligner.align_all(part)[aligner.systems[0]]
        if progress is not None:
            progress(len(part))
    table = LinkTable.from_links(found)
    table.provenance = aligner.signature(aligner.systems[0])
    return table


def both_directions(
    testset: TestSet,
    model: Any,
    view: View | tuple[Any, ...],
    symmetrization: str,
    *,
    rule: str = "both",
    **options: Any,
) -> LinkTable:
    """The links of a head in both directions, combined: source to target, and target to source.

    Args:
        testset: the test set; a model of several languages takes those of each direction from it.
        model: see :func:`attention_links`. A model that translates one way only has no other direction.
        view: the same in both directions.
        symmetrization, rule: see :func:`align_eval.symmetrization.symmetrize_table`.
        options: of :func:`attention_links`.

    Raises:
        InputError: the model does not have both directions.
        UnknownNameError: no such symmetrisation method or rule, and as :func:`attention_links`.
    """
    return attention_links(
        testset.pairs, model, view, symmetrize=(symmetrization, rule),
        languages=(testset.source_language, testset.target_language), **options,
    )  # fmt: skip
