"""Contextual similarity: dot products or cosines of two sentences' vectors at one layer.

Jalili Sabet et al. 2020 (SimAlign): S = (cosine + 1) / 2. Dou & Neubig 2021 (awesome-align): the raw dot product.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from align_eval.models.batching import padded
from align_eval.models.tokens import IdArray
from align_eval.signals.matrix import ScoreMatrix, Side, View, at_least_float32

QUANTITIES = {"similarity": "similarity, (cosine + 1) / 2", "dot": "dot product"}


def similarity(
    vectors: Tensor,
    source: Sequence[IdArray],
    target: Sequence[IdArray],
    source_words: Sequence[IdArray],
    target_words: Sequence[IdArray],
    source_counts: Sequence[int],
    target_counts: Sequence[int],
    kind: str = "similarity",
    *,
    layer: int = 0,
    ids: Sequence[str] = (),
) -> ScoreMatrix:
    """The score matrix of B pairs from the vectors of their units.

    Args:
        vectors: ``(N, d)``: the vectors of one layer.
        source, target: B arrays ``(units,)``: which of the vectors are a sentence's.
        source_words, target_words: B arrays ``(units,)``: the word of each unit.
        source_counts, target_counts: B numbers of words.
        kind: ``"similarity"``: (cosine + 1) / 2 in 0..1; ``"dot"``: the raw dot product.
        layer: its number.
        ids: names of the pairs, for messages.

    Returns:
        values ``(1, B, M, N)``, M and N the greatest numbers of units; float32, or float64 if the vectors are.

    Raises:
        NonFiniteError: a score is NaN or infinite; names the pair.
    """

    def on_device(arrays: Sequence[IdArray], fill: int) -> Tensor:
        return torch.from_numpy(padded(arrays, fill)[0]).to(vectors.device, non_blocking=True)

    left = at_least_float32(vectors[on_device(source, 0)])  # (B, M, d)
    right = at_least_float32(vectors[on_device(target, 0)])  # (B, N, d)
    if kind == "similarity":
        left = torch.nn.functional.normalize(left, dim=2)
        right = torch.nn.functional.normalize(right, dim=2)
    values = left @ right.transpose(1, 2)
    if kind == "similarity":
        values = (values + 1) / 2

    def side(words: Sequence[IdArray], counts: Sequence[int]) -> Side:
        return Side(on_device(words, -1), tuple(len(own) for own in words), tuple(counts))

    sides = side(source_words, source_counts), side(target_words, target_counts)
    return ScoreMatrix(values[None], *sides, (View(layer, "layer", ""),), QUANTITIES[kind], ids=tuple(ids))


def word_means(vectors: Tensor, words: Tensor) -> tuple[Tensor, Tensor]:
    """Mean vector of every word that has a unit (SimAlign's word mode), of one sentence or of many.

    Args:
        vectors: ``(units, d)``.
        words: ``(units,)`` int64, ascending: the word of each unit, a number of its own for each sentence and word.

    Returns:
        ``(present, d)`` means (float32, or float64 if the vectors are) and ``(present,)`` the words they belong to;
        words without a unit are left out.
    """
    vectors = at_least_float32(vectors)
    present, index = torch.unique_consecutive(words, return_inverse=True)
    index = index.to(vectors.device)
    sums = vectors.new_zeros((len(present), vectors.shape[1])).index_add_(0, index, vectors)
    return sums / torch.bincount(index, minlength=len(present))[:, None], present
