"""Links from one view of a model's attention, in one direction or in both, symmetrised."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from align_eval.errors import InputError
from align_eval.extraction import make_extractor
from align_eval.link_table import LinkTable
from align_eval.runs.sweep import for_testset
from align_eval.signals.attention import TOKEN_BUDGET, attention_softmap
from align_eval.signals.attention_batch import View
from align_eval.signals.registry import make_signal
from align_eval.symmetrization import check_names, symmetrize_table

if TYPE_CHECKING:
    from align_eval.corpora import SentencePair, TestSet


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
    progress: Callable[[int], None] | None = None,
) -> LinkTable:
    """The links that one layer, head and reading gives.

    Args:
        pairs: the sentence pairs.
        model: of :func:`align_eval.models.load_model`, with its languages; of any family.
        view: layer and head (from 1, or ``"mean"``; head also ``"max"``) and reading (``awi``, ``awo``, ``own``,
            ``block``, ...).
        signal: what is read, see :mod:`align_eval.signals.registry`.
        method: how maps become links, see :mod:`align_eval.extraction`.
        keys, queries: how sub-words become words, see :mod:`align_eval.signals.subwords`.
        token_budget: sub-words in a batch, padding counted; it changes speed and memory only.
        progress: told the number of pairs done since it was last told.

    Returns:
        links of all pairs, 0-based, source first; none for a pair with a side without any sub-word.

    Raises:
        UnknownNameError: an unknown signal, method, rule or reading.
        InputError: no such layer or head.
        SentenceTooLongError: a pair does not fit the model.
    """
    layer, head, reading = view
    extractor = make_extractor(method)
    reader = make_signal(signal, model)
    sentences, sources, targets = [], [], []
    batches = attention_softmap(
        reader, pairs, [layer], [head], reading, keys=keys, queries=queries, token_budget=token_budget
    )
    for batch in batches:
        maps = batch.soft_map(0)
        links = extractor(maps.values, maps.source_lengths, maps.target_lengths).links
        b, m, n = (part.cpu().numpy() for part in links.nonzero(as_tuple=True))
        sentences.append(np.asarray(batch.indices, dtype=np.int64)[b])
        sources.append(batch.source_words.cpu().numpy()[b, m])
        targets.append(batch.target_words.cpu().numpy()[b, n])
        if progress is not None:
            progress(len(batch))
    empty = [np.zeros(0, dtype=np.int64)]
    columns = [np.concatenate(part or empty) for part in (sentences, sources, targets)]
    return LinkTable(columns[0], columns[1], columns[2], len(pairs))


def both_directions(
    testset: TestSet,
    model: Any,
    view: View | tuple[Any, ...],
    symmetrization: str,
    *,
    rule: str = "both",
    **options: Any,
) -> LinkTable:
    """The links of a view in both directions, combined: source to target, and target to source.

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
    check_names(symmetrization, rule)
    if getattr(model, "target_language", None) is not None:
        raise InputError(
            f"{model.name} was loaded for one direction, into {model.target_language}",
            remedy="Load it without languages: each direction then takes those of the test set",
        )
    turned = testset.reverse()
    readers = [for_testset(model, one) for one in (testset, turned)]
    there, back = (
        attention_links(one.pairs, reader, view, **options)
        for one, reader in zip((testset, turned), readers, strict=True)
    )
    return symmetrize_table(there, back.reverse(), symmetrization, rule)
