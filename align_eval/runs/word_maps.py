"""Word maps of a test set under many views, with their gold cells: counted, kept within a bound, read again."""

from __future__ import annotations

import weakref
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from align_eval.errors import InputError
from align_eval.extraction import Extractor
from align_eval.link_table import LinkTable
from align_eval.signals.attention import attention_softmap
from align_eval.signals.attention_batch import AttentionBatch, View
from align_eval.signals.registry import make_signal

if TYPE_CHECKING:
    from align_eval.corpora import SentencePair

CELL_BUDGET = 1 << 22
"""Cells (views x pairs x source x target words) that extraction sees at a time."""
BOUND = 1 << 27
"""Numbers that are kept of the word maps of a test set, padding not counted: 512 MiB in float32."""


@dataclass(frozen=True)
class WordMaps:
    """Soft maps of B pairs under V views, padded at the end of both axes, and the gold of their cells.

    Attributes:
        indices: numbers of the B pairs in the test set.
        values: ``(V, B, M, N)`` float; rows are source words and columns target words that have a sub-word.
        source_lengths, target_lengths: ``(B,)`` int64, rows and columns of each pair.
        sure, possible: ``(B, M, N)`` bool: sure gold links, and all gold links. Gold links of words without a sub-word
            are in neither.
    """

    indices: tuple[int, ...]
    values: Tensor
    source_lengths: Tensor
    target_lengths: Tensor
    sure: Tensor
    possible: Tensor

    @classmethod
    def of(cls, batch: AttentionBatch, gold: LinkTable, numbers: Sequence[int] | None = None) -> WordMaps:
        """The maps of a batch, all views.

        Args:
            batch: of :func:`align_eval.signals.attention.attention_softmap`.
            gold: of the whole test set.
            numbers: the number in the test set of each pair that was handed to it; ``None``: the same.
        """
        indices = batch.indices if numbers is None else tuple(int(numbers[k]) for k in batch.indices)
        sure, possible = _gold_cells(batch, indices, gold)
        return cls(indices, batch.values, batch.source_lengths, batch.target_lengths, sure, possible)

    def pick(self, pairs: Sequence[int], views: Sequence[int] | None = None) -> WordMaps:
        """Copies of some of the pairs (by position), and of some of the views (by position; ``None``: all)."""
        rows = torch.tensor(list(pairs), dtype=torch.int64, device=self.values.device)
        values = self.values if views is None else self.values[list(views)]
        return WordMaps(
            tuple(self.indices[k] for k in pairs),
            values.index_select(1, rows),
            *(part[rows] for part in (self.source_lengths, self.target_lengths, self.sure, self.possible)),
        )

    def inside(self) -> Tensor:
        """``(B, M, N)`` bool: true for cells, false in the padding."""
        rows = torch.arange(self.sure.shape[1], device=self.sure.device) < self.source_lengths[:, None]
        columns = torch.arange(self.sure.shape[2], device=self.sure.device) < self.target_lengths[:, None]
        return rows[:, :, None] & columns[:, None, :]

    def count(self, extractor: Extractor, values: Tensor | None = None) -> NDArray[np.int32]:
        """|A|, 0, |A∩S|, |A∩P| of each map and pair, ``(V, B, 4)``. |S| is not here: it may have links of other words.

        Args:
            extractor: makes links of the maps.
            values: other maps ``(V', B, M, N)`` on the same axes; ``None``: the own ones.
        """
        values = self.values if values is None else values
        number, pairs, rows, columns = values.shape
        out = torch.zeros((number, pairs, 4), dtype=torch.int32, device="cpu")
        step = max(1, CELL_BUDGET // max(pairs * rows * columns, 1))
        for start in range(0, number, step):
            part = values[start : start + step]
            views = len(part)
            found = extractor(
                part.flatten(0, 1), self.source_lengths.repeat(views), self.target_lengths.repeat(views)
            ).links.view(views, pairs, rows, columns)
            for column, cells in zip((0, 2, 3), (found, found & self.sure, found & self.possible), strict=True):
                out[start : start + step, :, column] = cells.sum(dim=(2, 3)).to("cpu", torch.int32)
        return out.numpy()


def _gold_cells(batch: AttentionBatch, indices: Sequence[int], gold: LinkTable) -> tuple[Tensor, Tensor]:
    """Sure and possible cells on the axes of a batch, ``(B, M, N)`` bool."""
    size = (int(batch.source_counts.max()), int(batch.target_counts.max()))
    found = []
    for only_sure in (True, False):
        cells = torch.zeros((len(batch), *size), dtype=torch.bool, device="cpu")
        for b, k in enumerate(indices):
            part = slice(int(gold.offsets[k]), int(gold.offsets[k + 1]))
            keep = gold.sure[part] if only_sure else slice(None)
            cells[b, gold.source[part][keep].astype(np.int64), gold.target[part][keep].astype(np.int64)] = True
        rows = cells.gather(1, batch.source_words.cpu()[:, :, None].expand(-1, -1, size[1]))
        width = batch.target_words.shape[1]
        columns = batch.target_words.cpu()[:, None, :].expand(-1, rows.shape[1], width)
        found.append(rows.gather(2, columns).to(batch.values.device))
    return found[0], found[1]


class MapSource:
    """The word maps of a test set by pairs and views: kept from the first pass where they fit, else read again.

    What is kept is decided when the first batch comes: all pairs if all views of them are within :data:`BOUND` numbers,
    else the development part if that is, else nothing. The model is not kept: what must be computed again needs it to
    be in memory still.

    Args:
        model: of :func:`align_eval.models.load_model`.
        signal: the attribution method.
        pairs, gold: of the test set.
        development: sentence numbers of the development part; ``None``: nothing is kept.
        rules: ``keys``, ``queries`` and ``token_budget`` of :func:`align_eval.signals.attention.attention_softmap`.
    """

    def __init__(
        self, model: Any, signal: str, pairs: Sequence[SentencePair], gold: LinkTable,
        development: Sequence[int] | None, rules: dict[str, Any],
    ) -> None:  # fmt: skip
        self._model = None if model is None else weakref.ref(model)
        self.signal, self.pairs, self.gold, self.rules = signal, pairs, gold, rules
        self.development = development
        self.views: tuple[View, ...] = ()
        self._kept: list[WordMaps] = []
        self._members: frozenset[int] = frozenset()

    def begin(self, views: Sequence[View]) -> None:
        """State the views of the first pass, in order."""
        self.views = tuple(views)
        if self.development is None:
            return
        for part in (range(len(self.pairs)), self.development):
            if len(views) * self.cells(part) <= BOUND:
                self._members = frozenset(int(k) for k in part)
                return

    def cells(self, part: Sequence[int]) -> int:
        """Pairs of words of some sentence pairs."""
        return sum(len(self.pairs[k].source) * len(self.pairs[k].target) for k in part)

    def keep(self, maps: WordMaps) -> None:
        """Take what is to be kept of a batch of the first pass."""
        some = [b for b, k in enumerate(maps.indices) if k in self._members]
        if some:
            self._kept.append(maps.pick(some))

    def batches(self, part: Sequence[int] | NDArray[np.int64], views: Sequence[int]) -> Iterator[WordMaps]:
        """The maps of some sentence pairs under some views (both by number), batch by batch; views as ordered here.

        Pairs with a side without any sub-word, or longer than the model's window, are in no batch.

        Raises:
            InputError: maps that were not kept, and the model is no longer in memory.
        """
        wanted = {int(k) for k in part}
        if wanted <= self._members:
            everything = list(views) == list(range(len(self.views)))
            for maps in self._kept:
                some = [b for b, k in enumerate(maps.indices) if k in wanted]
                if everything and len(some) == len(maps.indices):
                    yield maps
                elif some:
                    yield maps.pick(some, views)
            return
        chosen = [self.views[v] for v in views]
        numbers = sorted(wanted)
        model = None if self._model is None else self._model()
        if model is None:
            raise InputError(
                "the maps of these sentence pairs were not kept, and the model is no longer in memory",
                remedy="Keep the model until views are selected, or sweep with the development part given",
            )
        found = attention_softmap(
            make_signal(self.signal, model),
            [self.pairs[k] for k in numbers],
            list(dict.fromkeys(view.layer for view in chosen)),
            list(dict.fromkeys(view.head for view in chosen)),
            list(dict.fromkeys(view.reading for view in chosen)),
            on_long="leave",
            **self.rules,
        )
        for batch in found:
            maps = WordMaps.of(batch, self.gold, numbers)
            yield replace(maps, values=maps.values[[batch.views.index(view) for view in chosen]])
