"""Hide words of a corpus by plans and say what that does to the attention, under one view, with null models."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from align_eval.aligners.heads import mode_name
from align_eval.errors import InputError, SentenceTooLongError, UnknownNameError
from align_eval.infilling.analysis import Correlation, StrategyAnalysis, analyse, correlate, rounded
from align_eval.infilling.measures import RowCollector, joined
from align_eval.infilling.strategies import MaskingStrategy, Variants, make_strategy, masks_of
from align_eval.runs.infill_work import InfillWork, Look, Progress, all_views
from align_eval.runs.sweep import split
from align_eval.signals.matrix import View
from align_eval.statistics import Resampling

if TYPE_CHECKING:
    from align_eval.corpora import Corpus
    from align_eval.runs.engines import Engine

CHOICES = ("masked", "full", "model")
"""What chooses a view: gold peaks of the rows of hidden words, or of all rows when nothing is hidden; or the model."""
CHOICE_PLANS = ("span:ratio=0.5,draws=4", "random:ratio=0.5,draws=4")
"""What is hidden of the development part when hidden rows choose the view."""
_HALF = "; half of the words masked, 4 spans and 4 random draws a pair"


@dataclass(frozen=True)
class ChosenView:
    """A view and why it is this one.

    Attributes:
        view: layer, head, reading.
        rule: how it was chosen, one phrase.
        development: positions of the pairs that it was chosen on; empty if it was not chosen by gold.
        peak_gold: share of gold peaks on those pairs; ``None`` if it was not chosen by gold.
        candidates: how many views it was chosen from.
    """

    view: View
    rule: str
    development: tuple[int, ...] = ()
    peak_gold: float | None = None
    candidates: int = 1


@dataclass(frozen=True)
class Infilling:
    """A corpus with words hidden by several plans.

    Attributes:
        corpus: the corpus.
        model, revision: name and revision of the model.
        chosen: the view and its rule; its development pairs take no part in what follows.
        strategies: one analysis a masking strategy.
        pooled: the correlation over all strategies together; ``None`` without gold.
        sentences: pairs that were looked at.
        left_out: pairs with an empty side or one that is too long for the model.
        unhideable: words without a sub-word, which no plan can hide.
        how: resamples, seed and level.
    """

    corpus: Corpus
    model: str
    revision: str
    chosen: ChosenView
    strategies: tuple[StrategyAnalysis, ...]
    pooled: Correlation | None
    sentences: int
    left_out: int
    unhideable: int
    how: Resampling

    def subject(self) -> dict[str, Any]:
        """What the numbers are of: corpus, direction, model, view and its rule."""
        view = self.chosen.view
        return {
            "testset": self.corpus.base_name,
            "direction": self.corpus.direction,
            "links": self.corpus.gold_kind,
            "model": self.model,
            "revision": self.revision,
            "layer": view.layer,
            "head": view.head,
            "mode": mode_name(view.reading),
            "view_rule": self.chosen.rule,
            "development_sentences": len(self.chosen.development),
            "evaluated_sentences": self.sentences,
            "left_out": self.left_out,
            "unhideable_words": self.unhideable,
            "resamples": self.how.resamples,
            "seed": self.how.seed,
            "confidence": self.how.confidence,
            "interval": "studentised" if self.how.resamples else None,
            "interval_of_correlations": "BCa" if self.how.resamples else None,
        }

    def to_json(self) -> list[dict[str, Any]]:
        """One row a plan; see :meth:`align_eval.infilling.analysis.StrategyAnalysis.to_json` for its keys."""
        return [{**self.subject(), **found.to_json()} for found in self.strategies]

    def summary(self) -> dict[str, Any]:
        """All there is, for a file: subject, rows, and the correlation over all plans together."""
        return {
            "subject": {**self.subject(), "development_accuracy": rounded(self.chosen.peak_gold)},
            "strategies": [found.to_json() for found in self.strategies],
            "correlation_all_strategies": None if self.pooled is None else rounded(self.pooled.to_json()),
        }


def infill_testset(
    corpus: Corpus,
    model: Any,
    plans: Sequence[str | MaskingStrategy],
    *,
    view: View | tuple[Any, ...] | None = None,
    development: float = 0.2,
    seed: int = 12345,
    resamples: int = 2000,
    confidence: float = 0.95,
    token_budget: int | None = None,
    progress: Progress | None = None,
    engine: Engine | None = None,
    choose_by: str = "masked",
    on_long: str = "leave",
) -> Infilling:
    """Hide target words by plans and measure every row before and after.

    All plans of a sentence run in one pass, with one full run. The view is chosen among all layers and heads (and the
    mean over the heads of each layer) on a development part, as the one whose rows of hidden words peak on a
    gold-aligned word most often when half of the words are hidden (:data:`CHOICE_PLANS`), or, with
    ``choose_by="full"``, whose rows do when nothing is hidden. The plans that are measured play no part in it. That
    part, the same as ``align-eval sweep`` takes for the same seed, is then left out.

    Args:
        corpus: a test set, or own data with gold links or without.
        model: of :func:`align_eval.models.load_model`, see :func:`align_eval.infilling.probe.require_infiller`; or a
            :class:`align_eval.runs.infill_work.ModelLoader`, which loads it where the engine needs it. One of several
            languages takes those of the test set.
        plans: specs such as ``"span:ratio=0.5"``; see :mod:`align_eval.infilling.strategies`. Doubles count once.
        view: layer and head, from 1 or ``"mean"``; nothing is chosen then and all pairs count. Without gold links it
            is :func:`align_eval.infilling.probe.default_head` unless given.
        development: share of the pairs that the view is chosen on.
        seed: of the split, the plans that draw, the resamples and the null that draws.
        resamples, confidence: of intervals and tests, over sentences.
        token_budget: sub-words in a batch; it changes speed and memory only.
        progress: told of the pairs done since the last call, of the development part too.
        engine: where the model works; default this process. The batches are the same, and so are the results, as far
            as the model rounds alike (number of threads, kind of machine).
        choose_by: ``"masked"`` or ``"full"``: the rows whose gold peaks choose the view; ``"model"``: nothing is chosen
            and all pairs count, the view is :func:`align_eval.infilling.probe.default_head`, such as the guided head.
        on_long: ``leave`` (pairs over the model's window are left out and counted) or ``raise``.

    Raises:
        SentenceTooLongError: a pair over the model's window, with ``on_long="raise"``.
        EngineError: the engine has failed.
        InputError: no plan, an impossible option, a plan that needs gold links or a language where there is none.
        UnknownNameError: an unknown plan or option of one, or a language without a list of function words.
        ModelError: the model cannot fill hidden words.
    """
    check_words(corpus)
    how = Resampling(resamples, seed, confidence)
    made = list(
        {(plan := make_strategy(p, language=corpus.target_language or None)).spec: plan for p in plans}.values()
    )
    if not made:
        raise InputError("no masking strategy is given", remedy="Give one such as span:ratio=0.5")
    work = InfillWork(corpus, model, engine, view=view, token_budget=token_budget, progress=progress)
    usable = [k for k, look in work.looks.items() if look is not None]
    _check_left(corpus, work, on_long)
    hideable = {k: look.hideable for k, look in work.looks.items() if look is not None}
    masks: dict[str, dict[int, Variants]] = {}
    for plan in made:
        drawn = masks_of(plan, [corpus.pairs[k] for k in usable], seed)
        masks[plan.spec] = dict(zip(usable, drawn, strict=True))
    chosen = chosen_view(work, view, development, seed, choose_by)
    rest = sorted(set(usable) - set(chosen.development))
    wanted = [[_only_hideable(masks[plan.spec][k], hideable[k]) for plan in made] for k in rest]
    unhideable = sum(len(corpus.pairs[k].target) - len(hideable[k]) for k in rest)
    collectors = {plan.spec: RowCollector() for plan in made}
    without = {plan.spec: 0 for plan in made}
    runs = [[mask for variants in by_plan for mask in variants] for by_plan in wanted]
    for result in sorted(work.infill(rest, runs, chosen.view), key=lambda r: r.index):
        start = 0
        for plan, variants in zip(made, wanted[result.index], strict=True):
            collectors[plan.spec].add(result, result.variants[start : start + len(variants)])
            without[plan.spec] += not variants
            start += len(variants)
    tables = {spec: collector.table() for spec, collector in collectors.items()}
    analyses = tuple(
        analyse(spec, tables[spec], collectors[spec].masked, how, without=without[spec]) for spec in tables
    )
    pooled = correlate(joined(list(tables.values()), renumbered=True), how) if corpus.table is not None else None
    return Infilling(
        corpus, work.facts.name, work.facts.revision, chosen, analyses, pooled, len(rest),
        len(corpus.pairs) - len(usable), unhideable, how,
    )  # fmt: skip


def check_words(corpus: Corpus) -> None:
    """Refuse a corpus without a sentence pair, and a single pair with a side without a word."""
    if not corpus:
        raise InputError(f"{corpus.base_name} has no sentence pairs")
    if len(corpus) == 1 and not (corpus[0].source and corpus[0].target):
        raise InputError("a side of the pair has no word", remedy="Give both sentences, words between spaces")


def _check_left(corpus: Corpus, work: InfillWork, on_long: str) -> None:
    """Refuse pairs over the model's window if that is asked for, and a corpus of which nothing is left."""
    long = [pair.id for k, pair in enumerate(corpus.pairs) if work.looks[k] is None and pair.source and pair.target]
    if long and on_long == "raise":
        raise SentenceTooLongError(
            f"pair {long[0]} is longer than the window of {work.facts.name}",
            remedy="Leave such pairs out (--on-long leave) or split them",
        )
    if all(look is None for look in work.looks.values()):
        raise InputError(
            f"no sentence pair of {corpus.base_name} can be used: {len(long)} are longer than the window of "
            f"{work.facts.name}, {len(corpus.pairs) - len(long)} have an empty side",
            remedy="Give pairs that have words and fit the model",
        )


def pick_view(
    corpus: Corpus,
    model: Any,
    view: View | tuple[Any, ...] | None,
    development: float,
    seed: int,
    *,
    token_budget: int | None = None,
    progress: Progress | None = None,
    choose_by: str = "masked",
) -> ChosenView:
    """The view to look at: the one given, else chosen on a development part, else the model's own rule.

    Raises:
        UnknownNameError: ``choose_by`` is not one of :data:`CHOICES`.
        InputError: a development part that leaves one side empty, or has no gold link.
    """
    by_gold = view is None and corpus.table is not None and choose_by != "model"
    numbers = split(len(corpus.pairs), development, seed)[0].tolist() if by_gold else []
    work = InfillWork(corpus, model, numbers=numbers, token_budget=token_budget, progress=progress)
    return chosen_view(work, view, development, seed, choose_by)


def chosen_view(
    work: InfillWork, view: View | tuple[Any, ...] | None, development: float, seed: int, choose_by: str = "masked"
) -> ChosenView:
    """As :func:`pick_view`, for a run that is under way."""
    corpus = work.corpus
    if choose_by not in CHOICES:
        raise UnknownNameError("rule to choose a view by", choose_by, CHOICES)
    if view is not None:
        given = View(view[0], view[1], view[2] if len(view) > 2 else work.facts.infill_reading)
        return ChosenView(given, "given by name")
    if corpus.table is None:
        return ChosenView(work.facts.default[0], "the model's default (no gold links to choose by)")
    if choose_by == "model":
        return ChosenView(*work.facts.default)
    numbers = split(len(corpus.pairs), development, seed)[0].tolist()
    views = all_views(work.facts)
    usable = {k: look for k in numbers if corpus.pairs[k].gold is not None and (look := work.looks[k]) is not None}
    masks = _choice_masks(corpus, usable, seed) if choose_by == "masked" else None
    shares = work.gold_peaks(list(usable), views, masks)
    if np.isnan(shares).any():
        raise InputError(
            f"the {len(numbers)} development pairs of {corpus.base_name} have no gold link to choose a view by",
            remedy="Name the view with --layer and --head, or make the development part larger",
        )
    best = int(shares.argmax())
    rule = (
        f"of {len(views)} heads the one with the highest {corpus.gold_kind} accuracy of {choose_by} rows on the dev "
        f"split ({len(numbers)} of {len(corpus.pairs)} pairs, seed {seed}{_HALF if masks else ''})"
    )
    return ChosenView(views[best], rule, tuple(numbers), float(shares[best]), len(views))


def _choice_masks(corpus: Corpus, looks: dict[int, Look], seed: int) -> list[Variants]:
    """What is hidden of the development pairs for the choice of a view, pair by pair."""
    pairs = [corpus.pairs[k] for k in looks]
    by_plan = [masks_of(make_strategy(spec), pairs, seed) for spec in CHOICE_PLANS]
    drawn = ([mask for variants in of_pair for mask in variants] for of_pair in zip(*by_plan, strict=True))
    return [_only_hideable(some, look.hideable) for some, look in zip(drawn, looks.values(), strict=True)]


def _only_hideable(variants: Variants, present: frozenset[int]) -> Variants:
    kept = (tuple(word for word in mask if word in present) for mask in variants)
    return list(dict.fromkeys(mask for mask in kept if mask))
