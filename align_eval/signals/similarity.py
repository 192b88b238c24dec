"""Contextual similarity: dot products or cosines of two sentences' vectors at one layer.

Jalili Sabet et al. 2020 (SimAlign): S = (cosine + 1) / 2. Dou & Neubig 2021 (awesome-align): the raw dot product.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from align_eval.signals.matrix import ScoreMatrix, Side, View, at_least_float32

QUANTITIES = {"similarity": "similarity, (cosine + 1) / 2", "dot": "dot product"}


def similarity(
    source: Sequence[Tensor],
    target: Sequence[Tensor],
    source_words: Sequence[Tensor],
    target_words: Sequence[Tensor],
    source_counts: Sequence[int],
    target_counts: Sequence[int],
    kind: str = "similarity",
    *,
    layer: int = 0,
    ids: Sequence[str] = (),
) -> ScoreMatrix:
    """The score matrix of B pairs from the vectors of their units.

    Args:
        source, target: B tensors ``(units, d)``: the vectors of one layer.
        source_words, target_words: B int64 tensors ``(units,)``: the word of each unit.
        source_counts, target_counts: B numbers of words.
        kind: ``"similarity"``: (cosine + 1) / 2 in 0..1; ``"dot"``: the raw dot product.
        layer: its number.
        ids: names of the pairs, for messages.

    Returns:
        values ``(1, B, M, N)``, M and N the greatest numbers of units; float32, or float64 if the vectors are.

    Raises:
        NonFiniteError: a score is NaN or infinite; names the pair.
    """
    left, right = padded(source), padded(target)  # (B, M, d), (B, N, d)
    if kind == "similarity":
        left = torch.nn.functional.normalize(left, dim=2)
        right = torch.nn.functional.normalize(right, dim=2)
    values = left @ right.transpose(1, 2)
    if kind == "similarity":
        values = (values + 1) / 2

    def side(vectors: Sequence[Tensor], words: Sequence[Tensor], counts: Sequence[int]) -> Side:
        of_units = np.full((len(words), max(map(len, words), default=0)), -1, dtype=np.int64)
        for row, some in zip(of_units, words, strict=True):
            row[: len(some)] = some
        return Side(torch.from_numpy(of_units).to(values.device), tuple(len(v) for v in vectors), tuple(counts))

    sides = side(source, source_words, source_counts), side(target, target_words, target_counts)
    return ScoreMatrix(values[None], *sides, (View(layer, "layer", ""),), QUANTITIES[kind], ids=tuple(ids))


def padded(vectors: Sequence[Tensor]) -> Tensor:
    """Vectors ``(units, d)`` of B sentences as ``(B, M, d)``, zeros behind each: three calls, however many they are."""
    units = [len(some) for some in vectors]
    nothing = vectors[0].new_zeros((1, vectors[0].shape[1]))
    place = np.full((len(units), max(units)), sum(units), dtype=np.int64)  # of a unit in all; behind the last: zeros
    inside = np.arange(place.shape[1]) < np.array(units)[:, None]
    place[inside] = np.arange(sum(units))
    return at_least_float32(torch.cat([*vectors, nothing])[torch.from_numpy(place).to(nothing.device)])


def word_means(vectors: Tensor, words: Tensor) -> tuple[Tensor, Tensor]:
    """Mean vector of every word that has a unit (SimAlign's word mode).

    Args:
        vectors: ``(units, d)``.
        words: ``(units,)`` int64, ascending: the word of each unit.

    Returns:
        ``(present, d)`` means (float32, or float64 if the vectors are) and ``(present,)`` the words they belong to;
        words without a unit are left out.
    """
    vectors = at_least_float32(vectors)
    present, index = torch.unique_consecutive(words, return_inverse=True)
    index = index.to(vectors.device)
    sums = vectors.new_zeros((len(present), vectors.shape[1])).index_add_(0, index, vectors)
    return sums / torch.bincount(index, minlength=len(present))[:, None], present
