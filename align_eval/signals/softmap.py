"""The soft map: how strongly each row (source) goes with each column (target), for a batch of sentence pairs."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from align_eval.errors import NonFiniteError


@dataclass(frozen=True)
class SoftMapBatch:
    """Soft maps of B sentence pairs, padded at the end of both axes.

    Rows and columns are units: sub-words or words. Each belongs to a word of its sentence.

    Attributes:
        values: ``(B, M, N)`` float. What lies in the padding has no meaning.
        source_lengths, target_lengths: ``(B,)`` int64, units of each pair.
        source_words, target_words: ``(B, M)`` and ``(B, N)`` int64, the word (0-based) of each unit; 0 in the padding.
        source_counts, target_counts: ``(B,)`` int64, words of each pair.
        quantity: what the values are, as a figure would name it.
    """

    values: Tensor
    source_lengths: Tensor
    target_lengths: Tensor
    source_words: Tensor
    target_words: Tensor
    source_counts: Tensor
    target_counts: Tensor
    quantity: str

    def check_finite(self, names: list[str]) -> None:
        """Raise :class:`NonFiniteError` naming the first pair (of ``names``, one a pair) with NaN or infinity in it."""
        if bool(torch.isfinite(self.values.sum())):  # one pass; a sum is never finite if one number is not
            return
        bad = (~torch.isfinite(self.values) & self.mask).flatten(1).any(dim=1)
        if bool(bad.any()):
            first = int(bad.nonzero()[0])
            raise NonFiniteError(
                f"the {self.quantity} of sentence pair {names[first]} has NaN or infinite values",
                remedy="Load the model with --dtype float32, or take another layer",
            )

    @property
    def mask(self) -> Tensor:
        """``(B, M, N)`` bool, false in the padding."""
        rows = torch.arange(self.values.shape[1], device=self.values.device) < self.source_lengths[:, None]
        columns = torch.arange(self.values.shape[2], device=self.values.device) < self.target_lengths[:, None]
        return rows[:, :, None] & columns[:, None, :]
