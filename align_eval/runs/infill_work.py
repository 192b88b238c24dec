"""What a run of hidden words asks of a model, as work for an engine: facts, sizes of pairs, batches of passes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from align_eval.errors import SentenceTooLongError
from align_eval.infilling.measures import InfillResult, argmax_hit, gold_cells
from align_eval.infilling.probe import (
    Batch,
    Mask,
    Run,
    batches,
    checked_heads,
    default_head,
    gathered,
    require_infiller,
    run_batch,
)
from align_eval.models.batching import LEAST_BUDGET
from align_eval.models.pairs import PairModel
from align_eval.runs.engines import Engine, Given, LocalEngine
from align_eval.signals.matrix import View

if TYPE_CHECKING:
    from align_eval.corpora import Corpus, SentencePair

Progress = Callable[[int], None]
Shares = NDArray[np.float64]
# The model that fills hidden words, and its revision.
Filler = tuple[PairModel, str]


@dataclass(frozen=True)
class ModelLoader:
    """A model that is loaded where it is to work, in every actor of a cluster.

    Attributes:
        name: ``offline:NAME``, a hub name, or a folder.
        options: of :func:`align_eval.models.load_model`.
    """

    name: str
    options: dict[str, Any] = field(default_factory=dict)

    def __call__(self) -> Any:
        from align_eval.models import load_model

        return load_model(self.name, **self.options)


@dataclass(frozen=True, eq=False)
class _Maker:
    """Makes the model in the languages of a corpus, in the form that fills hidden words."""

    load: Callable[[], Any]
    languages: tuple[str | None, str | None]

    def __call__(self) -> Filler:
        model = self.load()
        reader = require_infiller(model.in_languages(*self.languages))
        return reader, str(getattr(model, "revision", "") or "")


@dataclass(frozen=True)
class Look:
    """What a model's tokenizer makes of a pair.

    Attributes:
        size: sub-words of all inputs, special ones counted.
        hideable: the target words that have a sub-word, 0-based.
    """

    size: int
    hideable: frozenset[int]


@dataclass(frozen=True)
class ModelFacts:
    """What a run must know of its model.

    Attributes:
        name, revision: what it was loaded by.
        layers, heads, infill_reading: see :class:`align_eval.models.pairs.PairModel`.
        default: of :func:`align_eval.infilling.probe.default_head`.
        looks: one a pair that was asked for; ``None`` for one that has an empty side or is too long for the model.
    """

    name: str
    revision: str
    layers: int
    heads: int
    infill_reading: str
    default: tuple[View, str]
    looks: tuple[Look | None, ...]


class InfillWork:
    """The pairs of a corpus, a model, and the engine that brings them together.

    Args:
        corpus: pairs and languages.
        model: see :func:`align_eval.infilling.probe.require_infiller`, loaded; or a :class:`ModelLoader`.
        engine: where the model works; default this process.
        view: a view that will be asked for: one that the model does not have is told at once.
        numbers: which pairs will be asked for, by position in the corpus; default all.
        token_budget: sub-words in a batch; it changes speed and memory only.
        progress: told of the pairs done since the last call.

    Attributes:
        facts: of the model.
        looks: by the position of the pair.

    Raises:
        ModelError: the model cannot fill hidden words.
        InputError: it does not have the languages of the corpus, or not the view.
        EngineError: the engine has failed.
    """

    def __init__(
        self,
        corpus: Corpus,
        model: Any,
        engine: Engine | None = None,
        *,
        view: View | tuple[Any, ...] | None = None,
        numbers: Sequence[int] | None = None,
        token_budget: int | None = None,
        progress: Progress | None = None,
    ) -> None:
        self.corpus, self.token_budget, self.progress = corpus, token_budget, progress
        self._engine = engine or LocalEngine()
        load = model if isinstance(model, ModelLoader) else Given(model)
        self._make = _Maker(load, (corpus.source_language or None, corpus.target_language or None))
        chosen = list(range(len(corpus.pairs)) if numbers is None else numbers)
        asked = partial(_facts, tuple(corpus.pairs[k] for k in chosen), None if view is None else tuple(view))
        self.facts = self._engine.ask(self._make, asked)
        self.looks = dict(zip(chosen, self.facts.looks, strict=True))

    def infill(self, numbers: Sequence[int], masks: Sequence[Sequence[Mask]], view: View) -> Iterator[InfillResult]:
        """Read pairs whole and with words hidden, under one view.

        Args:
            numbers: the pairs, by position in the corpus.
            masks: for each the hidden words of each variant, each word hideable.
            view: layer, head and reading.

        Yields:
            a result for each pair, as pairs are done, each with its ``index`` in ``numbers``.

        Raises:
            NonFiniteError: NaN or infinity in attention or logits.
            EngineError: the engine has failed.
        """
        wanted = [[tuple(sorted(set(mask))) for mask in some] for some in masks]
        pairs = [self.corpus.pairs[k] for k in numbers]
        with closing(self._engine.map(self._make, partial(_rows, (view,)), self._batches(numbers, wanted))) as found:
            yield from gathered(pairs, wanted, (view,), found, self.progress)

    def gold_peaks(
        self, numbers: Sequence[int], views: Sequence[View], masks: Sequence[Sequence[Mask]] | None = None
    ) -> Shares:
        """The share of rows of words with a gold link that peak on a source word linked to theirs, by view ``(V,)``.

        Args:
            numbers: the pairs, by position in the corpus; those without gold count for nothing.
            views: what is looked at.
            masks: for each pair the hidden words of each variant: rows of hidden words count. ``None``: all rows of
                full runs count.

        NaN for all views if there is no such row.
        """
        hits, rows = np.zeros(len(views)), 0
        units = self._batches(numbers, [[] for _ in numbers] if masks is None else masks)
        work = partial(_peaks, tuple(views), masks is not None)
        with closing(self._engine.map(self._make, work, units)) as found:
            for batch in found:
                for some, count, _ in batch:
                    hits += some
                    rows += count
                if self.progress is not None:
                    self.progress(sum(full for *_, full in batch))
        return hits / rows if rows else np.full(len(views), np.nan)

    def _batches(self, numbers: Sequence[int], masks: Sequence[Sequence[Mask]]) -> Iterator[Batch]:
        looks = [self.looks[k] for k in numbers]
        sizes = [look.size for look in looks if look is not None]
        return batches([self.corpus.pairs[k] for k in numbers], sizes, masks, self.token_budget or LEAST_BUDGET)


def all_views(model: PairModel | ModelFacts) -> list[View]:
    """Every layer with every head, and with the mean over its heads."""
    heads = [*range(1, model.heads + 1), "mean"]
    return [View(layer, head, model.infill_reading) for layer in range(1, model.layers + 1) for head in heads]


def _facts(pairs: Sequence[SentencePair], view: tuple[Any, ...] | None, filler: Filler) -> ModelFacts:
    reader, revision = filler
    if view is not None:
        checked_heads(reader, [view])
    return ModelFacts(
        reader.name,
        revision,
        reader.layers,
        reader.heads,
        reader.infill_reading,
        default_head(reader),
        tuple(_look(reader, pair) for pair in pairs),
    )


def _look(reader: PairModel, pair: SentencePair) -> Look | None:
    if not pair.source or not pair.target:
        return None
    try:
        (layout,) = reader.lay_out([pair])
    except SentenceTooLongError:
        return None
    words = layout.blocks[reader.infill_reading][0].row_words.tolist()
    return Look(layout.size, frozenset(word for word in words if word >= 0))


def _rows(views: tuple[View, ...], filler: Filler, batch: Batch) -> list[Run]:
    reader, _ = filler
    return run_batch(reader, batch, checked_heads(reader, views), top=1)


def _peaks(views: tuple[View, ...], hidden: bool, filler: Filler, batch: Batch) -> list[tuple[Shares, int, bool]]:
    """For each run the hits of each view ``(V,)``, the rows that count, and whether nothing was hidden in it."""
    pairs, masks, out = dict(batch.pairs), {(pair, number): mask for pair, number, mask in batch.runs}, []
    for pair, number, rows, _ in sorted(_rows(views, filler, batch), key=lambda run: run[:2]):
        gold, full = gold_cells(pairs[pair]), number < 0
        if gold is None or full == hidden:
            out.append((np.zeros(len(views)), 0, full))
            continue
        found = argmax_hit(rows.values, gold)
        counted = gold.any(axis=1) & np.isfinite(found).all(axis=0)
        if hidden:
            counted &= np.isin(np.arange(len(gold)), masks[pair, number])
        out.append((found[:, counted].sum(axis=1), int(counted.sum()), full))
    return out
