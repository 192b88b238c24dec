"""Batches of pairs whole and with words hidden: planned in one place, run where a model is, gathered pair by pair."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from align_eval.infilling.fill import fill_words, logits_at, logits_of_pass, predictions
from align_eval.infilling.results import Filled, InfillResult, Variant, WordRows
from align_eval.infilling.word_rows import RowKeeper
from align_eval.models.attention import AttentionPass
from align_eval.models.batching import LEAST_BUDGET, buckets, in_halves
from align_eval.models.pairs import Layout, PairModel, hide
from align_eval.signals.collect import OVERHEAD

if TYPE_CHECKING:
    from align_eval.corpora import SentencePair
    from align_eval.models.tokens import IdArray
    from align_eval.signals.matrix import View

Mask = tuple[int, ...]
# What one run of a pair gave: number of the pair, of its mask (-1: none), its rows, its fillings.
Run = tuple[int, int, WordRows, tuple[Filled, ...]]


@dataclass(frozen=True)
class Item:
    """One run: a pair, which of its masks (-1: none), what is read, and the hidden rows with their words and ids."""

    pair: int
    mask: int
    layout: Layout
    rows: IdArray
    words: IdArray
    tokens: IdArray


def item_of(reader: PairModel, layout: Layout, pair: int, number: int, mask: Mask) -> Item:
    """The run of one pair with the words of a mask hidden; ``pair`` and ``number`` only name it."""
    (block,) = layout.blocks[reader.infill_reading]
    hidden = np.isin(block.row_words, mask)
    rows = block.rows[hidden]
    tokens = layout.inputs[-1][rows]
    changed = hide(layout, rows, int(reader.tokenizer.mask_token_id)) if mask else layout
    return Item(pair, number, changed, rows, block.row_words[hidden], tokens)


@dataclass(frozen=True)
class Batch:
    """What one pass of a model reads; small enough to be sent to where the model is.

    Attributes:
        pairs: number and sentence pair, each once.
        runs: number of the pair and of its mask (-1: none), and the hidden words, 0-based, ascending.
    """

    pairs: tuple[tuple[int, SentencePair], ...]
    runs: tuple[tuple[int, int, Mask], ...]


@dataclass(frozen=True)
class Batches:
    """The batches in which pairs are read whole and with each of their masks, as :func:`~.probe.infill` forms them.

    Attributes:
        pairs: the pairs.
        sizes: their sub-words, :attr:`align_eval.models.pairs.Layout.size`; hiding words does not change them.
        masks: for each pair the hidden words of each variant, 0-based, ascending.
        token_budget: sub-words in a batch, padding counted.
    """

    pairs: Sequence[SentencePair]
    sizes: Sequence[int]
    masks: Sequence[Sequence[Mask]]
    token_budget: int | None

    def __iter__(self) -> Iterator[Batch]:
        runs: list[tuple[int, int, Mask]] = []
        for number, some in enumerate(self.masks):
            runs += [(number, -1, ()), *((number, k, mask) for k, mask in enumerate(some))]
        if not runs:
            return
        for members in buckets(
            [self.sizes[number] for number, *_ in runs], self.token_budget or LEAST_BUDGET, overhead=OVERHEAD
        ):
            chosen = tuple(runs[k] for k in members)
            numbers = dict.fromkeys(number for number, *_ in chosen)
            yield Batch(tuple((number, self.pairs[number]) for number in numbers), chosen)


def run_batch(reader: PairModel, batch: Batch, views: tuple[View, ...], top: int) -> list[Run]:
    """Lay out the pairs of a batch and run it.

    Args:
        reader: a model that fills hidden words.
        batch: of :class:`Batches`.
        views: of :func:`~.word_rows.checked_views`.
        top: fillings kept for each hidden word.

    Raises:
        NonFiniteError: NaN or infinity in attention or logits.
    """
    layouts = dict(zip([k for k, _ in batch.pairs], reader.lay_out([pair for _, pair in batch.pairs]), strict=True))
    return run_items(
        reader, [item_of(reader, layouts[k], k, number, mask) for k, number, mask in batch.runs], views, top
    )


def run_items(reader: PairModel, batch: list[Item], views: tuple[View, ...], top: int) -> list[Run]:
    """One pass over a batch, or several where memory is short: rows of the views, predictions of the hidden words."""
    return [run for _, runs in in_halves([batch], lambda some: _pass(reader, some, views, top)) for run in runs]


def _pass(reader: PairModel, batch: list[Item], views: tuple[View, ...], top: int) -> list[Run]:
    layouts = [item.layout for item in batch]
    keeper = RowKeeper(reader, layouts, views)
    sites = {layer: reader.sites[layer - 1] for layer in keeper.layers}
    counts = [len(item.rows) for item in batch]
    ends = np.cumsum(counts)
    hidden = int(ends[-1])

    def forward() -> Any:
        return reader.forward_variants(layouts)

    if not hidden:
        for layer, weights in AttentionPass(reader.model, sites, forward, reader.name):
            keeper.take(layer, weights)
        return [(item.pair, item.mask, keeper.rows(k), ()) for k, item in enumerate(batch)]
    places = torch.from_numpy(np.repeat(np.arange(len(batch)), counts)).to(reader.device)
    rows = torch.from_numpy(np.concatenate([item.rows for item in batch])).to(reader.device)
    tokens = torch.from_numpy(np.concatenate([item.tokens for item in batch])).to(reader.device)
    with logits_at(reader.model, places, rows, reader.name) as seen:
        attention = AttentionPass(reader.model, sites, forward, reader.name, to_end=True)
        for layer, weights in attention:
            keeper.take(layer, weights)
    told = predictions(logits_of_pass(seen, attention.output, places, rows, reader.name), tokens, top, reader.name)
    out: list[Run] = []
    for k, item in enumerate(batch):
        part = told[slice(int(ends[k]) - counts[k], int(ends[k]))]
        mask, words = np.unique(item.words).tolist(), item.layout.pair.target
        out.append(
            (item.pair, item.mask, keeper.rows(k), fill_words(reader.tokenizer, part, item.words, words, mask, top))
        )
    return out


def gathered(
    pairs: Sequence[SentencePair], wanted: Sequence[Sequence[tuple[int, ...]]], views: tuple[View, ...],
    batches: Iterable[Sequence[Run]], progress: Callable[[int], None] | None = None,
) -> Iterator[InfillResult]:  # fmt: skip
    """Put the runs of batches together to results, each as soon as its pair has all of its runs.

    Args:
        pairs: the pairs.
        wanted: for each the masks that are run, besides the run with nothing hidden.
        views: the views of all rows.
        batches: what each batch gave.
        progress: told the number of pairs that have been done since it was last told.
    """
    found: dict[int, dict[int, tuple[WordRows, tuple[Filled, ...]]]] = {}
    for batch in batches:
        for number, mask, rows, filled in batch:
            found.setdefault(number, {})[mask] = (rows, filled)
        touched = sorted({number for number, *_ in batch})
        done = [number for number in touched if len(found[number]) == len(wanted[number]) + 1]
        for number in done:
            of_pair = found.pop(number)
            variants = tuple(Variant(mask, *of_pair[k]) for k, mask in enumerate(wanted[number]))
            yield InfillResult(number, pairs[number], views, of_pair[-1][0], variants)
        if progress is not None and done:
            progress(len(done))
