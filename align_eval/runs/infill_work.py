"""What a run with masked words asks of a model, as work for an engine: facts, sizes of pairs, batches of passes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from align_eval.attribution.matrix import View
from align_eval.errors import SentenceTooLongError
from align_eval.infilling.measures import Floats, InfillResult, argmax_hit, gold_cells
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

if TYPE_CHECKING:
    from align_eval.corpora import Corpus, SentencePair

Progress = Callable[[int], None]
# The model that fills masked words, and its revision.
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
    """Makes the model in the languages of a corpus, in the form that fills masked words."""

    load: Callable[[], Any]
    languages: tuple[str | None, str | None]

    def __call__(self) -> Filler:
        model = self.load()
        return require_infiller(model.in_languages(*self.languages)), str(getattr(model, "revision", "") or "")


@dataclass(frozen=True)
class Fit:
    """A pair that fits a model.

    Attributes:
        size: tokens of all inputs, special ones counted.
        maskable: the target words that have a token, 0-based.
    """

    size: int
    maskable: frozenset[int]


@dataclass(frozen=True)
class ModelFacts:
    """What a run must know of its model.

    Attributes:
        name, revision: what it was loaded by.
        heads: every layer with every head, and with the mean over its heads.
        default: of :func:`align_eval.infilling.probe.default_head`.
        mode: the alignment mode in which masked words are read.
        fits: one a pair that was asked for; ``None`` for one that has an empty side or is too long for the model.
    """

    name: str
    revision: str
    heads: tuple[View, ...]
    default: tuple[View, str]
    mode: str
    fits: tuple[Fit | None, ...]


class InfillWork:
    """The pairs of a corpus, a model, and the engine that brings them together.

    Args:
        corpus: pairs and languages.
        model: one that fills masked words, loaded; or a :class:`ModelLoader`.
        engine: where the model works; default this process.
        head: a head that will be asked for: one that the model does not have is refused at once.
        numbers: which pairs will be asked for, by position in the corpus; default all.
        token_budget: tokens in a batch; it changes speed and memory only.
        progress: called with the pairs done since the last call.

    Attributes:
        facts: of the model.
        fits: by the position of the pair.

    Raises:
        ModelError: the model cannot fill masked words.
        InputError: it does not have the languages of the corpus, or not the head.
        EngineError: the engine has failed.
    """

    def __init__(
        self, corpus: Corpus, model: Any, engine: Engine | None = None, *, head: View | tuple[Any, ...] | None = None,
        numbers: Sequence[int] | None = None, token_budget: int | None = None, progress: Progress | None = None,
    ) -> None:  # fmt: skip
        self.corpus, self.progress, self._budget = corpus, progress, token_budget or LEAST_BUDGET
        self._engine = engine or LocalEngine()
        load = model if isinstance(model, ModelLoader) else Given(model)
        self._make = _Maker(load, (corpus.source_language or None, corpus.target_language or None))
        chosen = list(range(len(corpus.pairs)) if numbers is None else numbers)
        asked = partial(_facts, tuple(corpus.pairs[k] for k in chosen), None if head is None else tuple(head))
        self.facts = self._engine.ask(self._make, asked)
        self.fits = dict(zip(chosen, self.facts.fits, strict=True))

    def infill(self, numbers: Sequence[int], masks: Sequence[Sequence[Mask]], head: View) -> Iterator[InfillResult]:
        """Run pairs unmasked and with words masked, keeping one head.

        Args:
            numbers: the pairs, by position in the corpus.
            masks: for each the masked words of each variant, each word maskable.
            head: layer, head and mode.

        Yields:
            a result for each pair, as pairs are done, each with its ``index`` in ``numbers``.

        Raises:
            NonFiniteError: NaN or infinity in attention or logits.
            EngineError: the engine has failed.
        """
        wanted = [[tuple(sorted(set(mask))) for mask in some] for some in masks]
        pairs = [self.corpus.pairs[k] for k in numbers]
        with closing(self._engine.map(self._make, partial(_rows, (head,)), self._batches(numbers, wanted))) as found:
            yield from gathered(pairs, wanted, (head,), found, self.progress)

    def accuracies(
        self, numbers: Sequence[int], heads: Sequence[View], masks: Sequence[Sequence[Mask]] | None = None
    ) -> Floats:
        """The accuracy of each head ``(H,)``: how many rows of words with a gold link peak on a word linked to theirs.

        ``masks`` are as of :meth:`infill`: rows of masked words count; ``None``: all rows of unmasked runs count. Pairs
        without gold count for nothing. NaN for all heads if there is no such row.
        """
        hits, rows = np.zeros(len(heads)), 0
        units = self._batches(numbers, [[] for _ in numbers] if masks is None else masks)
        with closing(self._engine.map(self._make, partial(_hits, tuple(heads), masks is not None), units)) as found:
            for batch in found:
                for some, count, _ in batch:
                    hits += some
                    rows += count
                if self.progress is not None:
                    self.progress(sum(full for *_, full in batch))
        return hits / rows if rows else np.full(len(heads), np.nan)

    def _batches(self, numbers: Sequence[int], masks: Sequence[Sequence[Mask]]) -> Iterator[Batch]:
        sizes = [fit.size for k in numbers if (fit := self.fits[k]) is not None]
        return batches([self.corpus.pairs[k] for k in numbers], sizes, masks, self._budget)


def _facts(pairs: Sequence[SentencePair], head: tuple[Any, ...] | None, filler: Filler) -> ModelFacts:
    reader, revision = filler
    if head is not None:
        checked_heads(reader, [head])
    mode, heads = reader.infill_reading, [*range(1, reader.heads + 1), "mean"]
    every = tuple(View(layer, number, mode) for layer in range(1, reader.layers + 1) for number in heads)
    fits = tuple(_fit(reader, pair) for pair in pairs)
    return ModelFacts(reader.name, revision, every, default_head(reader), mode, fits)


def _fit(reader: PairModel, pair: SentencePair) -> Fit | None:
    if not pair.source or not pair.target:
        return None
    try:
        (layout,) = reader.lay_out([pair])
    except SentenceTooLongError:
        return None
    words = layout.blocks[reader.infill_reading][0].row_words.tolist()
    return Fit(layout.size, frozenset(word for word in words if word >= 0))


def _rows(heads: tuple[View, ...], filler: Filler, batch: Batch) -> list[Run]:
    reader, _ = filler
    return run_batch(reader, batch, checked_heads(reader, heads), top=1)


def _hits(heads: tuple[View, ...], masked: bool, filler: Filler, batch: Batch) -> list[tuple[Floats, int, bool]]:
    """For each run the hits of each head ``(H,)``, the rows that count, and whether it is unmasked."""
    pairs, masks, out = dict(batch.pairs), {(pair, number): mask for pair, number, mask in batch.runs}, []
    for pair, number, rows, _ in sorted(_rows(heads, filler, batch), key=lambda run: run[:2]):
        gold, full = gold_cells(pairs[pair]), number < 0
        if gold is None or full == masked:
            out.append((np.zeros(len(heads)), 0, full))
            continue
        found = argmax_hit(rows.values, gold)
        counted = gold.any(axis=1) & np.isfinite(found).all(axis=0)
        if masked:
            counted &= np.isin(np.arange(len(gold)), masks[pair, number])
        out.append((found[:, counted].sum(axis=1), int(counted.sum()), full))
    return out
