"""The rows of chosen heads of a batch, pooled from tokens to words as each layer is computed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from align_eval.attribution.matrix import ScoreMatrix, Side, View, at_least_float32, pool_last_axis
from align_eval.infilling.measures import WordRows
from align_eval.models.attention import check_rows
from align_eval.models.batching import padded
from align_eval.models.pairs import Layout, PairModel
from align_eval.models.tokens import IdArray


class RowKeeper:
    """Takes the attention of a batch layer by layer, and keeps the rows of heads between words.

    A row is first summed over the tokens of each source word; of an encoder it is then divided by its mass on all
    source words; then the mean over the tokens of a target word is taken.

    Args:
        model: that fills.
        layouts: the batch, ``(B)``.
        heads: of :func:`~.probe.checked_heads`.
        raw: keep the first head's rows between tokens too, for :meth:`map`.

    Attributes:
        layers: those that must be read, ascending, from 1.
    """

    def __init__(self, model: PairModel, layouts: Sequence[Layout], heads: Sequence[View], raw: bool = False) -> None:
        self.model, self.layouts, self.heads = model, layouts, heads
        self.distribution = model.family != "encoder"
        every = any(head.layer == "mean" for head in heads)
        self.layers = list(range(1, model.layers + 1)) if every else sorted({int(head.layer) for head in heads})
        self.blocks = [layout.blocks[model.infill_reading][0] for layout in layouts]
        self.target = max(len(layout.pair.target) for layout in layouts)
        self.source = max(len(layout.pair.source) for layout in layouts)
        units = [self._units(layout, b.column_words) for layout, b in zip(layouts, self.blocks, strict=True)]
        self._rows, self._row_words, self._columns = (
            torch.from_numpy(padded(arrays, -1)[0]).to(model.device)
            for arrays in ([b.rows for b in self.blocks], [b.row_words for b in self.blocks], units)
        )
        self._kept: dict[View, Tensor] = {}
        self._raw: Tensor | None = None
        self._keep_raw = raw
        self._pooled: list[Any] = []

    def _units(self, layout: Layout, words: IdArray) -> IdArray:
        """The place of each column: its word, then one for the end of the sentence, then one for the rest."""
        out = words.astype(np.int64).copy()
        if not self.distribution:
            return out
        ids = layout.inputs[0]
        after = np.arange(len(ids)) > np.flatnonzero(words >= 0).max(initial=-1)
        end = (words < 0) & after & (ids == self.model.tokenizer.eos_token_id)
        out[words < 0] = self.source + 1
        out[end] = self.source
        return out

    def take(self, layer: int, weights: Tensor) -> None:
        """Keep what the heads need of a layer's weights ``(B, H, Q, K)``."""
        wide = at_least_float32(weights)
        index = self._rows.clamp(min=0)[:, None, :, None].expand(-1, -1, -1, wide.shape[3])
        columns = self._columns[:, : wide.shape[3]]
        for number, head in enumerate(self.heads):
            if head.layer not in (layer, "mean"):
                continue
            part = wide.mean(dim=1, keepdim=True) if head.head == "mean" else wide[:, int(head.head) - 1, None]
            part = part.gather(2, index)
            check_rows(part, layer, self.model.name, self.model.dtype, rows=(self._rows >= 0)[:, None])
            part = part[..., : columns.shape[1]]
            rows = pool_last_axis(part, columns, self.source + 2, "sum")[:, 0]
            if head.layer == "mean":
                rows, part = rows / self.model.layers, part / self.model.layers
            self._kept[head] = self._kept[head] + rows if head in self._kept else rows
            if self._keep_raw and not number:
                self._raw = part[:, 0] if self._raw is None else self._raw + part[:, 0]

    def rows(self, place: int) -> WordRows:
        """The rows of one item of the batch, after all layers have been taken."""
        if not self._pooled:
            self._finish()
        pair = self.layouts[place].pair
        found = self._pooled[place][:, : len(pair.target)]
        rest = (found[..., self.source + k].copy() for k in range(3))
        return WordRows(np.ascontiguousarray(found[..., : len(pair.source)]), *rest)

    def _finish(self) -> None:
        """All heads pooled to target words: values, end, rest, outside; NaN for words without a row or its mass."""
        rows = torch.stack([self._kept[head] for head in self.heads], dim=1).cpu().double()  # (B, V, R, K + 2)
        words = self._row_words.cpu()
        empty, outside = torch.zeros_like(rows[..., :1]), torch.zeros_like(rows[..., :1])
        if not self.distribution:
            mass = rows.sum(dim=-1, keepdim=True)
            empty = (mass == 0).to(mass.dtype)
            outside, rows = 1 - mass, rows / (mass + empty)
        both = torch.cat([rows, outside, empty], dim=-1)
        pooled = pool_last_axis(both.transpose(-1, -2), words, self.target, "mean").transpose(-1, -2)
        there = (words[:, :, None] == torch.arange(self.target, device="cpu")).any(dim=1)[:, None, :]  # (B, 1, Q)
        undefined = ~there | (pooled[..., -1] > 0)
        self._pooled = list(pooled.masked_fill(undefined[..., None], torch.nan).numpy())

    def map(self, place: int) -> ScoreMatrix:
        """The first head's rows of one item between tokens, as :func:`~.probe.infill_with_maps` gives them."""
        assert self._raw is not None
        layout, block, head = self.layouts[place], self.blocks[place], self.heads[0]
        values = self._raw[place, : len(block.rows), : len(block.column_words)].T  # (K, R)
        words = [torch.from_numpy(words).to(values.device)[None] for words in (block.column_words, block.row_words)]
        left = values[words[0][0] < 0].sum(dim=0)[None, None]
        none = values.new_full((1, 1, len(values)), torch.nan)
        sides = [
            Side(word, (len(labels),), (len(text),), (tuple(text),), (labels,), away)
            for word, labels, text, away in (
                (words[0], block.column_labels, layout.pair.source, none),
                (words[1], block.row_labels, layout.pair.target, left),
            )
        ]
        quantity = self.model.quantity + (", mean over heads" if head.head == "mean" else "")
        quantity += ", mean over layers" if head.layer == "mean" else ""
        found = ScoreMatrix(
            values[None, None], sides[0], sides[1], (head,), quantity, self.model.distribution, self.model.name,
            (layout.pair.id,), (place,),
        )  # fmt: skip
        if self.distribution:
            return found
        return replace(found.renormalise().word_keys(), quantity=f"{quantity}, renormalised over the source")
