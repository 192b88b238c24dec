"""The rows of chosen views of a batch, pooled from sub-words to words as each layer is computed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from align_eval.errors import InputError
from align_eval.infilling.results import WordRows
from align_eval.models.attention import check_rows
from align_eval.models.pairs import Layout, PairModel
from align_eval.models.tokens import IdArray
from align_eval.signals.matrix import View
from align_eval.signals.pooling import pool_last_axis


def checked_views(model: PairModel, views: Sequence[View | tuple[Any, ...]]) -> tuple[View, ...]:
    """Views of a model whose rows are distributions.

    Args:
        views: (layer, head) or (layer, head, reading): numbers from 1, or ``"mean"``; the reading is the model's.

    Raises:
        InputError: none, or one that the model does not have; the maximum over heads, which is no distribution; a
            reading that hidden words are not read by.
        ModelError: a reading that the model does not have.
    """
    out = []
    for given in views:
        if len(given) not in (2, 3):
            raise InputError(f"{given!r} is no view", remedy="Give (layer, head), numbers from 1 or 'mean'")
        view = View(given[0], given[1], given[2] if len(given) == 3 else model.infill_reading)
        for what, number, count in (("layer", view.layer, model.layers), ("head", view.head, model.heads)):
            whole = isinstance(number, int) and not isinstance(number, bool)
            if number != "mean" and not (whole and 1 <= int(number) <= count):
                raise InputError(f"{model.name} has no {what} {number!r}", remedy=f"Choose from 1 to {count}, or mean")
        model.require_reading(view.reading)
        if view.reading != model.infill_reading:
            raise InputError(
                f"hidden words of {model.name} are read by {model.infill_reading!r}, not by {view.reading!r}",
                remedy="Leave out the reading",
            )
        out.append(view)
    if not out:
        raise InputError("no view is asked for", remedy="Name a layer and a head, or leave views out")
    return tuple(dict.fromkeys(out))


class RowKeeper:
    """Takes the attention of a batch layer by layer, and keeps the rows of views between words.

    A row is first summed over the sub-words of each source word; of an encoder it is then divided by its mass on all
    source words; then the mean over the sub-words of a target word is taken.

    Args:
        model: that fills.
        layouts: the batch, ``(B)``.
        views: of :func:`checked_views`.

    Attributes:
        layers: those that must be read, ascending, from 1.
    """

    def __init__(self, model: PairModel, layouts: Sequence[Layout], views: Sequence[View]) -> None:
        self.model, self.views = model, views
        self.distribution = model.family != "encoder"
        numbers = {view.layer for view in views if isinstance(view.layer, int)}
        self.layers = list(range(1, model.layers + 1)) if any(v.layer == "mean" for v in views) else sorted(numbers)
        blocks = [layout.blocks[model.infill_reading][0] for layout in layouts]
        self.sizes = [(len(layout.pair.target), len(layout.pair.source)) for layout in layouts]
        self.target = max(q for q, _ in self.sizes)
        self.source = max(k for _, k in self.sizes)
        units = [self._units(layout, block.column_words) for layout, block in zip(layouts, blocks, strict=True)]
        self._rows = self._tensor([block.rows for block in blocks], -1)
        self._row_words = self._tensor([block.row_words for block in blocks], -1)
        self._columns = self._tensor(units, -1)
        self._kept: dict[View, Tensor] = {}
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

    def _tensor(self, arrays: Sequence[IdArray], fill: int) -> Tensor:
        out = np.full((len(arrays), max(len(a) for a in arrays)), fill, dtype=np.int64)
        for row, array in enumerate(arrays):
            out[row, : len(array)] = array
        return torch.from_numpy(out).to(self.model.device)

    def take(self, layer: int, weights: Tensor) -> None:
        """Keep what the views need of a layer's weights ``(B, H, Q, K)``."""
        wide = weights.float() if weights.dtype in (torch.float16, torch.bfloat16) else weights
        index = self._rows.clamp(min=0)[:, None, :, None].expand(-1, -1, -1, wide.shape[3])
        columns = self._columns[:, : wide.shape[3]]
        for view in self.views:
            if view.layer not in (layer, "mean"):
                continue
            part = wide.mean(dim=1, keepdim=True) if view.head == "mean" else wide[:, int(view.head) - 1, None]
            part = part.gather(2, index)
            check_rows(part, layer, self.model.name, self.model.dtype, rows=(self._rows >= 0)[:, None])
            rows = pool_last_axis(part[..., : columns.shape[1]], columns, self.source + 2, "sum")[:, 0]
            if view.layer == "mean":
                rows = rows / self.model.layers
            self._kept[view] = self._kept[view] + rows if view in self._kept else rows

    def _finish(self) -> None:
        """All views pooled to target words: values, end, rest, outside; NaN for words without a row or its mass."""
        rows = torch.stack([self._kept[view] for view in self.views], dim=1).cpu().double()  # (B, V, R, K + 2)
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

    def rows(self, place: int) -> WordRows:
        """The rows of one item of the batch, after all layers have been taken."""
        if not self._pooled:
            self._finish()
        q, k = self.sizes[place]
        found = self._pooled[place][:, :q]
        return WordRows(
            np.ascontiguousarray(found[..., :k]),
            found[..., self.source].copy(),
            found[..., self.source + 1].copy(),
            found[..., self.source + 2].copy(),
        )
