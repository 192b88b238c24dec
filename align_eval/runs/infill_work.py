"""What a run with masked words asks of a model, as work for an engine: what it can read, and units of pairs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple, TypeVar

import numpy as np

from align_eval.attribution.collect import lay_out_fitting
from align_eval.attribution.matrix import View
from align_eval.corpora import Corpus, SentencePair
from align_eval.infilling.measures import Floats, InfillResult, argmax_hit, gold_cells
from align_eval.infilling.probe import Mask, checked_heads, default_head, infill, require_infiller
from align_eval.models.pairs import PairModel
from align_eval.runs.engines import Engine, Given, LocalEngine

UNIT = 64  # pairs that are taken to the model at a time, with all their variants
Filler = tuple[PairModel, str]  # the model that fills masked words, and its revision
Unit = list[tuple[int, "SentencePair", Sequence[Mask]]]
R = TypeVar("R")


class ModelFacts(NamedTuple):
    """What a run must know of its model.

    ``heads``: every layer with every head, and with the mean over its heads; ``default``: the head taken unless another
    is named, and why; ``maskable``: of each pair the target words (0-based) that have a token, ``None`` for one that
    has an empty side or is too long for the model.
    """

    name: str
    revision: str
    heads: tuple[View, ...]
    default: tuple[View, str]
    mode: str
    maskable: list[frozenset[int] | None]


class InfillWork:
    """The pairs of a corpus, a model, and the engine that brings them together.

    Args:
        model: one that fills masked words; or a ``functools.partial`` that loads it where the engine needs it.
        head: one that will be asked for: one that the model does not have is refused at once.
        numbers: which pairs will be asked for, by position in the corpus; default all.
        token_budget: tokens in a batch; it changes speed and memory only.
        progress: called with the pairs done since the last call.
    """

    def __init__(
        self, corpus: Corpus, model: Any, engine: Engine | None = None, *, head: View | tuple[Any, ...] | None = None,
        numbers: Sequence[int] | None = None, token_budget: int | None = None,
        progress: Callable[[int], None] | None = None,
    ) -> None:  # fmt: skip
        self.corpus, self._engine = corpus, engine or LocalEngine()
        self._budget, self._progress = token_budget, progress
        languages = (corpus.source_language or None, corpus.target_language or None)
        self._make = partial(_filler, model if isinstance(model, partial) else Given(model), languages)
        chosen = list(range(len(corpus)) if numbers is None else numbers)
        self.facts = self._engine.ask(self._make, partial(_facts, [corpus.pairs[k] for k in chosen], head))
        self.maskable = dict(zip(chosen, self.facts.maskable, strict=True))

    def infill(self, numbers: Sequence[int], masks: Sequence[Sequence[Mask]], head: View) -> list[InfillResult]:
        """Run pairs (by position in the corpus) unmasked and with each of their masks, keeping one head.

        Results are in the order of ``numbers``, each with its ``index`` in them.
        """
        found = self._map(partial(_rows, head, self._budget), numbers, masks)
        return sorted((result for results in found for result in results), key=lambda result: result.index)

    def accuracies(self, numbers: Sequence[int], masks: Sequence[Sequence[Mask]] | None = None) -> Floats:
        """The accuracy of each head ``(H,)``: the ratio of rows with a gold link that peak on a word linked to theirs.

        ``masks`` are as of :meth:`infill`: rows of masked words count; ``None``: all rows of unmasked runs count. Pairs
        without gold count for nothing. NaN for all heads if there is no such row.
        """
        work = partial(_hits, self.facts.heads, masks is not None, self._budget)
        hits, rows = np.zeros(len(self.facts.heads)), 0
        for some, count in self._map(work, numbers, [()] * len(numbers) if masks is None else masks):
            hits, rows = hits + some, rows + count
        return hits / rows if rows else np.full(len(hits), np.nan)

    def _map(
        self, work: Callable[[Filler, Unit], R], numbers: Sequence[int], masks: Sequence[Sequence[Mask]]
    ) -> Iterator[R]:
        """Pairs of like length in one unit, the longest first."""
        pairs = [self.corpus.pairs[k] for k in numbers]
        order = sorted(range(len(pairs)), key=lambda k: -len(pairs[k].source) - len(pairs[k].target))
        units = [[(k, pairs[k], masks[k]) for k in order[at : at + UNIT]] for at in range(0, len(order), UNIT)]
        with closing(self._engine.map(self._make, work, units)) as found:
            for unit, result in zip(units, found, strict=True):
                yield result
                if self._progress is not None:
                    self._progress(len(unit))


def _filler(load: Callable[[], Any], languages: tuple[str | None, str | None]) -> Filler:
    model = load()
    return require_infiller(model.in_languages(*languages)), str(getattr(model, "revision", "") or "")


def _facts(pairs: Sequence[SentencePair], head: tuple[Any, ...] | None, filler: Filler) -> ModelFacts:
    reader, revision = filler
    if head is not None:
        checked_heads(reader, [tuple(head)])
    mode, heads = reader.infill_reading, [*range(1, reader.heads + 1), "mean"]
    every = tuple(View(layer, number, mode) for layer in range(1, reader.layers + 1) for number in heads)
    maskable: list[frozenset[int] | None] = []
    for pair, layout in zip(pairs, lay_out_fitting(reader, pairs) if pairs else (), strict=True):
        if layout is None or not pair.source or not pair.target:
            maskable.append(None)
            continue
        words = layout.blocks[mode][0].row_words
        maskable.append(frozenset(words[words >= 0].tolist()))
    return ModelFacts(reader.name, revision, every, default_head(reader), mode, maskable)


def _rows(head: View, budget: int | None, filler: Filler, unit: Unit) -> list[InfillResult]:
    numbers, pairs, masks = zip(*unit, strict=True)
    found = infill(filler[0], pairs, masks, heads=[head], top=1, token_budget=budget)
    return [replace(result, index=numbers[result.index]) for result in found]


def _hits(heads: tuple[View, ...], masked: bool, budget: int | None, filler: Filler, unit: Unit) -> tuple[Floats, int]:
    """The hits of each head ``(H,)`` and how many rows count."""
    hits, rows = np.zeros(len(heads)), 0
    _, pairs, masks = zip(*unit, strict=True)
    for result in infill(filler[0], pairs, masks, heads=heads, top=1, token_budget=budget):
        gold = gold_cells(result.pair)
        if gold is None:
            continue
        words = np.arange(len(gold))
        runs = [(one.rows, one.masked) for one in result.variants] if masked else [(result.full, words)]
        for found, counted in runs:
            hit = argmax_hit(found.values, gold)
            use = np.isin(words, counted) & gold.any(axis=1) & np.isfinite(hit).all(axis=0)
            hits, rows = hits + hit[:, use].sum(axis=1), rows + int(use.sum())
    return hits, rows
