"""Attention heads: the links of one, and the one that aligns a test set best, to align other text with."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from align_eval.aligners import AlignerSettings
from align_eval.aligners.attention import AttentionAligner
from align_eval.aligners.heads import AttentionSettings, Head, chosen_mode, mode_name, require_both_directions
from align_eval.errors import InputError
from align_eval.links.table import LinkTable
from align_eval.runs.evaluate import align_pairs
from align_eval.runs.sweep import sweep_testset
from align_eval.signals.base import make_attribution

if TYPE_CHECKING:
    from align_eval.corpora import SentencePair, TestSet
    from align_eval.signals.matrix import View


def choose_head(
    settings: AlignerSettings, testset: TestSet, *, progress: Callable[[int], None] | None = None
) -> tuple[AlignerSettings, str]:
    """Choose layer, head and alignment mode of ``settings.attention`` by AER on a test set, and say which it is.

    Candidates are all heads and the mean over the heads of each layer, in the mode asked for or in all modes. With both
    directions it is the head with the lowest mean AER of the two. The test set has the languages of the text in the
    same order; the model of ``settings`` may be a name.
    """
    from align_eval.models import load_model

    asked = settings.attention
    assert asked is not None
    model: Any = settings.model
    if isinstance(model, str):
        model = load_model(model, **settings.options)
    languages = (
        settings.source_language or testset.source_language,
        settings.target_language or testset.target_language,
    )
    turns = [(testset, languages)]
    if asked.symmetrize is not None:
        require_both_directions(model, languages)
        turns.append((testset.reverse(), languages[::-1]))
    totals: Any = 0.0
    for turn, (source, target) in turns:
        directed = model.in_languages(source, target)
        modes = None
        if asked.mode is not None:
            modes = [chosen_mode(make_attribution(asked.attribution, directed), asked.mode)]
        found = sweep_testset(
            turn, directed, modes=modes, signal=asked.attribution, method=settings.methods[0],
            token_budget=settings.token_budget, progress=progress,
        )  # fmt: skip
        totals = totals + np.round(found.aer(), 9)
    best = int(totals.argmin())
    layer, head, reading = found.views[best]
    chosen = replace(asked, head=Head(layer, head), mode=mode_name(reading), chosen_on=testset.name.partition(":")[0])
    said = (
        f"head {chosen.head}, mode {chosen.mode}: the best of {len(found.views)} heads and modes on {testset.name} "
        f"({len(testset.pairs)} sentence pairs), AER {float(totals[best]) / len(turns):.2f}"
    )
    return replace(settings, model=model, attention=chosen), said


def testset_to_choose_on(name: str | None, source: str | None, target: str | None) -> TestSet:
    """The test set (by default the project's own of the two languages) that a head is chosen on, in their order.

    Raises:
        UnknownNameError: no such test set.
        InputError: none is named and there is no own set of the two languages, or they are not known.
    """
    from align_eval.corpora import load_testset
    from align_eval.corpora.testset_entries import all_entries
    from align_eval.runs.parallel_text import plain_language

    languages = plain_language(source), plain_language(target)
    if name is None:
        own = {e.name: {e.source_language, e.target_language} for e in all_entries().values() if e.packaged}
        fit = [key for key, pair in own.items() if pair == set(languages)]
        if not fit:
            text = "text of unknown languages" if None in languages else f"{languages[0]}-{languages[1]}"
            raise InputError(
                f"no test set of the package is known to choose a head for {text}",
                remedy="Name one with --choose-on TESTSET, give --source-language and --target-language, or name a "
                f"head (--attention L6H1). Own sets: {', '.join(own)}",
            )
        name = fit[0]
    testset = load_testset(name)
    return testset.reverse() if languages == (testset.target_language, testset.source_language) else testset


def attention_links(
    pairs: Sequence[SentencePair],
    model: Any,
    view: View | tuple[Any, ...],
    *,
    signal: str = "attention",
    method: str = "reverse",
    keys: str = "sum",
    queries: str = "mean",
    token_budget: int | None = None,
    on_long: str = "raise",
    symmetrize: tuple[str, str] | None = None,
    languages: tuple[str | None, str | None] = (None, None),
    progress: Callable[[int], None] | None = None,
) -> LinkTable:
    """The links that one head gives in one alignment mode; see :class:`align_eval.aligners.attention.AttentionAligner`.

    Args:
        model: of :func:`align_eval.models.load_model`, of any family.
        view: layer and head (from 1, or ``"mean"``; head also ``"max"``) and alignment mode.
        signal, method: attribution method and extraction method.
        keys, queries: how subwords become words, see :mod:`align_eval.signals.pooling`.
        token_budget: subwords in a batch, padding counted; it changes speed and memory only.
        on_long: ``window``, ``raise`` or ``leave``, see :class:`align_eval.aligners.AlignerSettings`.
        symmetrize: method and rule that combine both directions; ``None``: source to target alone.
        languages: of source and target, for a model that needs them.

    Returns:
        links of all pairs, 0-based, source first, with scores; none for a pair with a side without any token.
    """
    layer, head, mode = view
    asked = AttentionSettings(Head(layer, head), mode_name(mode), signal, symmetrize)
    settings = AlignerSettings(
        model, (method,), on_long=on_long, token_budget=token_budget, attention=asked,
        source_language=languages[0], target_language=languages[1],
    )  # fmt: skip
    aligner = AttentionAligner(settings, keys=keys, queries=queries)
    (table,) = align_pairs(pairs, aligner, progress).values()
    table.provenance = aligner.signature(aligner.systems[0])
    return table
