"""Attention heads: the links of one, and the one that aligns a test set best, to align other text with."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from align_eval.aligners import AlignerSettings
from align_eval.aligners.attention import AttentionAligner
from align_eval.aligners.heads import (
    AttentionSettings,
    Head,
    chosen_mode,
    mode_name,
    require_both_directions,
)
from align_eval.errors import InputError
from align_eval.links import Links
from align_eval.links.table import LinkTable
from align_eval.runs.sweep import sweep_testset
from align_eval.signals.base import make_attribution

if TYPE_CHECKING:
    from align_eval.corpora import SentencePair, TestSet
    from align_eval.signals.matrix import View


# Pairs handed to the aligner at a time; it sorts them by length.
BLOCK = 2048


@dataclass(frozen=True)
class ChosenHead:
    """A head and why it is this one.

    Attributes:
        settings: those given, with head and alignment mode.
        aer: AER on the test set in percent; with both directions their mean, before they are combined.
        heads: how many heads and modes it was chosen from.
        testset: the test set.
    """

    settings: AlignerSettings
    aer: float
    heads: int
    testset: TestSet

    def describe(self) -> str:
        """One sentence for a log."""
        asked = self.settings.attention
        assert asked is not None
        return (
            f"head {asked.head}, mode {asked.mode}: the best of {self.heads} heads and modes on {self.testset.name} "
            f"({len(self.testset.pairs)} sentence pairs), AER {self.aer:.2f}"
        )


def choose_head(
    settings: AlignerSettings, testset: TestSet, *, progress: Callable[[int], None] | None = None
) -> ChosenHead:
    """Choose layer, head and alignment mode of ``settings.attention`` by AER on a test set.

    Candidates are all heads and the mean over the heads of each layer, in the mode asked for or in all modes. With both
    directions it is the head with the lowest mean AER of the two.

    Args:
        settings: what the aligner is to be made from; the model may be a name and is loaded then.
        testset: with the languages of the text in the same order, see :func:`testset_to_choose_on`.
        progress: called with the number of pairs done since the last call.

    Returns:
        settings with the loaded model, the head, the mode and the name of the test set.

    Raises:
        as :class:`align_eval.aligners.attention.AttentionAligner` and :func:`align_eval.runs.sweep.sweep_testset`.
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
    name = testset.name.partition(":")[0]
    chosen = replace(asked, head=Head(layer, head), mode=mode_name(reading), chosen_on=name)
    return ChosenHead(
        replace(settings, model=model, attention=chosen), float(totals[best]) / len(turns), len(found.views), testset
    )


def testset_to_choose_on(name: str | None, source: str | None, target: str | None) -> TestSet:
    """The test set that a head is chosen on, with the languages of the text in their order.

    Args:
        name: of the test set; ``None``: the project's own set of the two languages.
        source, target: languages of the text, in any form; ``None``: not known.

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
    if languages == (testset.target_language, testset.source_language):
        return testset.reverse()
    return testset


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
