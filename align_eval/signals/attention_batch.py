"""Word maps of a batch of pairs under many views (layer, head, reading) at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from align_eval.models.attention import check_rows, not_finite
from align_eval.models.pairs import Layout, PairModel
from align_eval.models.tokens import IdArray
from align_eval.signals.softmap import SoftMapBatch
from align_eval.signals.subwords import pool, pool_last_axis, renormalise

Number = int | str
Found = list[tuple[Tensor, Tensor]]
"""For each block of a reading the pooled maps ``(B, H, rows, columns)`` and the mass outside ``(B, H, rows)``."""


class View(NamedTuple):
    """One way to look: numbers from 1, or ``"mean"`` / ``"max"``; see :data:`align_eval.models.pairs.READINGS`."""

    layer: Number
    head: Number
    reading: str

    def __str__(self) -> str:
        return f"layer {self.layer}, head {self.head}, {self.reading}"


@dataclass(frozen=True)
class AttentionBatch:
    """Soft maps of B pairs under V views, padded at the end of both axes with zeros.

    Rows are source words and columns target words; words without a sub-word are left out, so that nothing can link
    them, and ``source_words`` / ``target_words`` say which word a row or column is.

    Attributes:
        indices: positions of the B pairs in what was given.
        views: the V views.
        values: ``(V, B, M, N)`` float.
        source_lengths, target_lengths: ``(B,)`` int64, rows and columns of each pair.
        source_words, target_words: ``(B, M)`` and ``(B, N)`` int64, the word (0-based) of each; 0 in the padding.
        source_counts, target_counts: ``(B,)`` int64, words of each pair.
        outside_source: ``(V, B, M)``, for source words as queries the mass of their rows that lies outside of the
            target sentence; NaN for views whose queries are target words only.
        outside_target: ``(V, B, N)`` likewise for target words as queries.
        quantity: what the values are.
    """

    indices: tuple[int, ...]
    views: tuple[View, ...]
    values: Tensor
    source_lengths: Tensor
    target_lengths: Tensor
    source_words: Tensor
    target_words: Tensor
    source_counts: Tensor
    target_counts: Tensor
    outside_source: Tensor
    outside_target: Tensor
    quantity: str = "attention weight"

    def __len__(self) -> int:
        """The number of pairs."""
        return len(self.indices)

    def soft_map(self, view: View | int) -> SoftMapBatch:
        """The B maps of one view, by itself or by its position."""
        number = view if isinstance(view, int) else self.views.index(view)
        return self._batch(self.values[number], 1)

    def flat(self) -> SoftMapBatch:
        """All V x B maps as one batch, view by view, so that an extraction method runs once over all."""
        return self._batch(self.values.flatten(0, 1), len(self.views))

    def _batch(self, values: Tensor, times: int) -> SoftMapBatch:
        return SoftMapBatch(
            values,
            self.source_lengths.repeat(times),
            self.target_lengths.repeat(times),
            self.source_words.repeat(times, 1),
            self.target_words.repeat(times, 1),
            self.source_counts.repeat(times),
            self.target_counts.repeat(times),
            self.quantity,
        )


@dataclass(frozen=True)
class _Padded:
    """One block of a batch: its side, rows ``(B, R)``, units of rows ``(B, R)`` and of columns ``(B, K)``; -1: none."""

    side: str
    rows: Tensor
    row_units: Tensor
    column_units: Tensor
    whole: bool


class WordBlocks:
    """Pools the attention of a batch to words, for each reading.

    Args:
        layouts: the B pairs.
        readings: their readings that are wanted.
        device: where the weights are.
        rules: how sub-words become words: keys, queries.
        renormalised: whether rows are divided by their mass on words.
    """

    def __init__(
        self, layouts: Sequence[Layout], readings: Sequence[str], device: torch.device, rules: tuple[str, str],
        renormalised: bool,
    ) -> None:  # fmt: skip
        self.layouts = layouts
        self.device = device
        self.keys, self.queries = rules
        self.renormalised = renormalised
        present = [_present(layout) for layout in layouts]
        self.source = [words for words, _ in present]
        self.target = [words for _, words in present]
        self.sizes = {
            "source": max(len(words) for words in self.source),
            "target": max(len(words) for words in self.target),
        }
        width = max(layout.size for layout in layouts)
        self.blocks = {reading: self._padded_blocks(reading) for reading in readings}
        rows = np.zeros((len(layouts), width + 1), dtype=bool)
        for b, layout in enumerate(layouts):
            for reading in readings:
                for block in layout.blocks[reading]:
                    rows[b, block.rows] = True
        self._rows = torch.from_numpy(rows).to(device)

    def _padded_blocks(self, reading: str) -> list[_Padded]:
        out = []
        for number in range(len(self.layouts[0].blocks[reading])):
            blocks = [layout.blocks[reading][number] for layout in self.layouts]
            side = blocks[0].side
            own, other = (self.target, self.source) if side == "target" else (self.source, self.target)
            row_units = [_units(block.row_words, words) for block, words in zip(blocks, own, strict=True)]
            columns = [_units(block.column_words, words) for block, words in zip(blocks, other, strict=True)]
            whole = all(np.array_equal(block.rows, np.arange(len(block.rows))) for block in blocks)
            out.append(
                _Padded(
                    side,
                    self._tensor([block.rows for block in blocks], 0),
                    self._tensor(row_units, -1),
                    self._tensor(columns, -1),
                    whole,
                )
            )
        return out

    def _tensor(self, arrays: Sequence[IdArray], fill: int) -> Tensor:
        out = np.full((len(arrays), max(len(a) for a in arrays)), fill, dtype=np.int64)
        for row, array in enumerate(arrays):
            out[row, : len(array)] = array
        return torch.from_numpy(out).to(self.device)

    def check(self, weights: Tensor, layer: int, model: PairModel) -> None:
        """Check the rows that belong to a block, see :func:`check_rows`; ``weights`` is ``(B, H, Q, K)``."""
        rows = self._rows[:, : weights.shape[2]][:, None, :].expand(weights.shape[:3])
        pairs = [layout.pair.id for layout in self.layouts]
        if model.distribution:
            check_rows(weights, layer, model.name, model.dtype, rows=rows, pairs=pairs)
        elif bool((bad := ~torch.isfinite(weights).all(dim=-1) & rows).any()):
            raise not_finite(f"{model.quantity} of layer {layer}", model.name, bad, pairs)

    def words(self, weights: Tensor, reading: str, heads: Sequence[int], names: Sequence[Number]) -> Found:
        """Pool ``(B, H, Q, K)`` to words, and take heads or aggregates over them.

        Args:
            weights: all heads of one layer.
            reading: which blocks.
            heads: the heads (from 1) that are needed.
            names: what is given out, in this order: heads by number, ``"mean"``, ``"max"``.
        """
        if len(heads) < weights.shape[1]:
            weights = weights[:, torch.tensor(heads, device=weights.device) - 1]
        place = {head: k for k, head in enumerate(heads)}
        out: Found = []
        for block in self.blocks[reading]:
            part = weights
            if not block.whole:
                index = block.rows[:, None, :, None].expand(-1, part.shape[1], -1, part.shape[3])
                part = part.gather(2, index)
            size, other = self.sizes[block.side], self.sizes["source" if block.side == "target" else "target"]
            row_units = block.row_units[:, : part.shape[2]]
            pooled = pool(part, row_units, block.column_units, size, other, self.keys, self.queries)
            rest = torch.einsum("bhqk,bk->bhq", part, (block.column_units < 0).to(part.dtype))
            outside = pool_last_axis(rest, row_units, size, self.queries)
            out.append((_heads(pooled, names, place), _heads(outside, names, place)))
        return out

    def batch(
        self,
        members: Sequence[int],
        views: tuple[View, ...],
        found: Mapping[tuple[Number, str], Found],
        layers: Sequence[Number],
    ) -> AttentionBatch:
        """Put the views together: blocks renormalised if asked, turned to source x target, and averaged."""
        values: list[Tensor] = []
        outside: dict[str, list[Tensor]] = {"source": [], "target": []}
        for reading, blocks in self.blocks.items():
            for layer in layers:
                sides = {}
                turned = []
                for block, (maps, rest) in zip(blocks, found[layer, reading], strict=True):
                    maps = renormalise(maps) if self.renormalised else maps
                    turned.append(maps.transpose(-1, -2) if block.side == "target" else maps)
                    sides[block.side] = rest
                mean = turned[0] if len(turned) == 1 else torch.stack(turned).mean(dim=0)
                values.append(mean.transpose(0, 1))  # (heads, B, M, N)
                for side, kept in outside.items():
                    none = mean.new_full((*mean.shape[:2], self.sizes[side]), torch.nan)
                    kept.append(sides.get(side, none).transpose(0, 1))
        pairs = [layout.pair for layout in self.layouts]
        return AttentionBatch(
            tuple(members),
            views,
            torch.cat(values),
            self._counts([len(words) for words in self.source]),
            self._counts([len(words) for words in self.target]),
            self._tensor(self.source, 0),
            self._tensor(self.target, 0),
            self._counts([len(pair.source) for pair in pairs]),
            self._counts([len(pair.target) for pair in pairs]),
            torch.cat(outside["source"]),
            torch.cat(outside["target"]),
        )

    def _counts(self, numbers: list[int]) -> Tensor:
        return torch.tensor(numbers, dtype=torch.int64, device=self.device)


def add(total: Found | None, found: Found) -> Found:
    """The sum of two layers' maps; ``None``: nothing yet."""
    if total is None:
        return found
    return [(a + c, b + d) for (a, b), (c, d) in zip(total, found, strict=True)]


def _heads(values: Tensor, names: Sequence[Number], place: Mapping[int, int]) -> Tensor:
    """``(B, H, ...)`` -> ``(B, len(names), ...)``."""
    parts = []
    for name in names:
        if isinstance(name, int):
            parts.append(values[:, place[name]])
        else:
            parts.append(values.mean(dim=1) if name == "mean" else values.amax(dim=1))
    return torch.stack(parts, dim=1)


def _present(layout: Layout) -> tuple[IdArray, IdArray]:
    """The source and target words that have a sub-word, ascending."""
    block = next(iter(layout.blocks.values()))[0]
    own, other = np.unique(block.row_words), np.unique(block.column_words)
    own, other = own[own >= 0], other[other >= 0]
    return (other, own) if block.side == "target" else (own, other)


def _units(words: IdArray, present: IdArray) -> IdArray:
    """The place of each word among those present; -1 stays."""
    return np.where(words < 0, -1, np.searchsorted(present, words)).astype(np.int64)
