"""Norm-based attention: how long the vectors are that attention moves, not only how much weight it gives them.

Kobayashi et al. 2020, "Attention is Not Only a Weight: Analyzing Transformers with Vector Norms" (EMNLP,
arXiv:2004.10102). With f(x) = (x W_V + b_V) W_O for each head, x_j the input of key j:

- of a head: ||A_ij f(x_j)||_2 = A_ij ||f(x_j)||_2;
- of a layer: ||sum_h A^h_ij f^h(x_j)||_2, the vectors summed over the heads before the norm is taken.

The bias of the output projection, the residual connection and the layer norm are left out, as there. Where query heads
share key-value heads (Llama, Qwen, Gemma), f^h has the value of h's group and the rows of W_O of h itself. The rows do
not sum to 1; what lies on columns that are no word is a sum of norms.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from align_eval.models.adapters.discovery import parts_of
from align_eval.models.double import keep_double
from align_eval.models.linear import watched
from align_eval.models.pairs import Layout
from align_eval.signals.base import Attribution

CELLS = 1 << 22
"""Numbers that may be held at once for the vectors of cells, ``(B, rows of a chunk, K, d)``."""


@dataclass(eq=False, repr=False)
class Norms(Attribution, method="norms"):
    """The length of the vector that each head moves from key to query, ||A_ij f(x_j)||_2.

    Of the cross-attention of an encoder-decoder model, of the self-attention of an encoder or a decoder-only model.

    Raises:
        ModelError: the value and output projections are not found.
    """

    quantity = "norm of the weighted value"
    distribution = False

    def __post_init__(self) -> None:
        super().__post_init__()
        self.projections = [part.projections for part in parts_of(self.reader, self.sites)]

    @torch.no_grad()
    def attention(self, layouts: Sequence[Layout], layers: Sequence[int] | None = None) -> Iterator[tuple[int, Tensor]]:
        wanted = self.wanted(layers)
        modules = {key: module for layer in wanted for key, module in self.projections[layer - 1].watch(layer).items()}
        with watched(modules) as kept:
            for layer, weights in self.reader.attention(layouts, wanted):
                own = self.projections[layer - 1]
                with keep_double(self.dtype):
                    values = own.taken(kept, layer, weights, self.name)
                    norms = self.norms(weights.to(values.dtype), own.transformed(values))
                yield layer, norms

    def norms(self, weights: Tensor, moved: Tensor) -> Tensor:
        """The scores of a layer, ``(B, heads, Q, K)``, from its weights and f(x_j), ``(B, heads, K, d)``."""
        return weights * moved.norm(dim=-1)[:, :, None, :]


@dataclass(eq=False, repr=False)
class LayerNorms(Norms, method="norms-layer"):
    """The same of all heads of a layer together, ||sum_h A^h_ij f^h(x_j)||_2."""

    quantity = "norm of the sum of the weighted values"
    headless = True

    def norms(self, weights: Tensor, moved: Tensor) -> Tensor:
        parts = [vectors.norm(dim=-1) for _, vectors in cells(weights, moved)]
        return torch.cat(parts, dim=1)[:, None]


def cells(weights: Tensor, moved: Tensor, limit: int | None = None) -> Iterator[tuple[slice, Tensor]]:
    """sum_h A^h_ij f^h(x_j) for all i and j, some rows at a time.

    Args:
        weights: A, ``(B, heads, Q, K)``.
        moved: f(x_j), ``(B, heads, K, d)``.
        limit: numbers in a chunk; ``None``: :data:`CELLS`.

    Yields:
        the rows as a slice of 0..Q, and the vectors ``(B, rows, K, d)``.
    """
    by_key = moved.transpose(1, 2)  # (B, K, heads, d)
    step = max((CELLS if limit is None else limit) // max(by_key[:, :, 0].numel(), 1), 1)
    for start in range(0, weights.shape[2], step):
        rows = slice(start, min(start + step, weights.shape[2]))
        chunk = weights[:, :, rows].permute(0, 3, 2, 1)  # (B, K, rows, heads)
        yield rows, (chunk @ by_key).transpose(1, 2)
