"""Word matrices of a test set under many views, with their gold cells: counted, kept within a bound, read again."""

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
from align_eval.links.table import LinkTable
from align_eval.signals import ScoreMatrix, View, make_attribution, word_matrices

if TYPE_CHECKING:
    from align_eval.corpora import SentencePair

CELL_BUDGET = 1 << 22
"""Cells (views x pairs x source x target words) that extraction sees at a time."""
BOUND = 1 << 27
"""Numbers that are kept of the word matrices of a test set, padding not counted: 512 MiB in float32."""


@dataclass(frozen=True)
class WordMaps:
    """Score matrices between words, and the gold of their cells.

    Attributes:
        matrix: of B pairs under V views; its ``indices`` are numbers of the test set.
        sure, possible: ``(B, M, N)`` bool: sure gold links, and all gold links, between words that have a token.
    """

    matrix: ScoreMatrix
    sure: Tensor
    possible: Tensor

    @classmethod
    def of(cls, matrix: ScoreMatrix, gold: LinkTable, numbers: Sequence[int] | None = None) -> WordMaps:
        """The matrices of a batch with the gold of the whole test set.

        Args:
            matrix: of :func:`align_eval.signals.word_matrices`.
            gold: of the whole test set.
            numbers: the number in the test set of each pair that was handed to it; ``None``: the same.
        """
        if numbers is not None:
            matrix = replace(matrix, indices=tuple(int(numbers[k]) for k in matrix.indices))
        cells = np.zeros((2, len(matrix), *matrix.values.shape[2:]), dtype=bool)
        for b, k in enumerate(matrix.indices):
            part = slice(int(gold.offsets[k]), int(gold.offsets[k + 1]))
            source, target = gold.source[part], gold.target[part]
            cells[0, b, source[gold.sure[part]], target[gold.sure[part]]] = True
            cells[1, b, source, target] = True
        sure, possible = torch.from_numpy(cells).to(matrix.values.device) & matrix.mask
        return cls(matrix, sure, possible)

    def pick(self, pairs: Sequence[int], views: Sequence[int] | None = None) -> WordMaps:
        """Copies of some of the pairs (by position), and of some of the views (by position; ``None``: all)."""
        rows = torch.tensor(list(pairs), dtype=torch.int64, device=self.sure.device)
        matrix = self.matrix if views is None else self.matrix.with_views(views)
        return WordMaps(matrix.pick(pairs), self.sure[rows], self.possible[rows])

    def count(self, extractor: Extractor, values: Tensor | None = None) -> NDArray[np.int32]:
        """|A|, 0, |A∩S|, |A∩P| of each matrix and pair, ``(V, B, 4)``. |S| is not here: other words may have links.

        Args:
            extractor: makes links of the matrices.
            values: other scores ``(V', B, M, N)`` on the same axes; ``None``: the own ones.
        """
        values = self.matrix.values if values is None else values
        number, *shape = values.shape
        mask = self.matrix.mask
        out = torch.zeros((number, len(mask), 4), dtype=torch.int32, device="cpu")
        step = max(1, CELL_BUDGET // max(mask.numel(), 1))
        for start in range(0, number, step):
            part = values[start : start + step]
            found = extractor.masked(part.flatten(0, 1), mask.repeat(len(part), 1, 1)).links.view(-1, *shape)
            for column, cells in zip((0, 2, 3), (found, found & self.sure, found & self.possible), strict=True):
                out[start : start + step, :, column] = cells.sum(dim=(2, 3)).to("cpu", torch.int32)
        return out.numpy()


class MapSource:
    """The word matrices of a test set by pairs and views: kept from the first pass where they fit, else read again.

    What is kept is decided when the first batch comes: all pairs if all views of them are within :data:`BOUND` numbers,
    else the development part if that is, else nothing. The model is not kept: what must be computed again needs it to
    be in memory still.

    Args:
        model: of :func:`align_eval.models.load_model`.
        signal: the attribution method.
        pairs, gold: of the test set.
        development: sentence numbers of the development part; ``None``: nothing is kept.
        rules: ``keys``, ``queries`` and ``token_budget`` of :func:`align_eval.signals.word_matrices`.
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
        some = [b for b, k in enumerate(maps.matrix.indices) if k in self._members]
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
                some = [b for b, k in enumerate(maps.matrix.indices) if k in wanted]
                if everything and len(some) == len(maps.matrix.indices):
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
        found = word_matrices(
            make_attribution(self.signal, model),
            [self.pairs[k] for k in numbers],
            list(dict.fromkeys(view.layer for view in chosen)),
            list(dict.fromkeys(view.head for view in chosen)),
            list(dict.fromkeys(view.reading for view in chosen)),
            on_long="leave",
            **self.rules,
        )
        for batch in found:
            yield WordMaps.of(batch.with_views([batch.views.index(view) for view in chosen]), self.gold, numbers)
