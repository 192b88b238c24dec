"""Contextual similarity: dot products or cosines of two sentences' vectors at one layer.

Jalili Sabet et al. 2020 (SimAlign): S = (cosine + 1) / 2. Dou & Neubig 2021 (awesome-align): the raw dot product.
Sentences longer than the model's window are encoded in overlapping windows, without losing a word.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from align_eval.attribution.matrix import ScoreMatrix, Side, View, at_least_float32, padded_tensor
from align_eval.models.tokens import IdArray
from align_eval.models.vectors import Vectors

QUANTITIES = {"similarity": "similarity, (cosine + 1) / 2", "dot": "dot product"}


def similarity(
    vectors: Tensor,
    rows: tuple[Sequence[IdArray], Sequence[IdArray]],
    words: tuple[Sequence[IdArray], Sequence[IdArray]],
    counts: tuple[Sequence[int], Sequence[int]],
    kind: str = "similarity",
    *,
    layer: int = 0,
    ids: Sequence[str] = (),
) -> ScoreMatrix:
    """The score matrix of B pairs from the vectors of their units.

    Args:
        vectors: ``(N, d)``: the vectors of one layer.
        rows, words: of source and target B arrays ``(units,)``: which of the vectors are a sentence's, and the word of
            each.
        counts: of source and target B numbers of words.
        kind: ``"similarity"``: (cosine + 1) / 2 in 0..1; ``"dot"``: the raw dot product.
        layer: its number; ``ids``: names of the pairs, for messages.

    Returns:
        values ``(1, B, M, N)``, M and N the greatest numbers of units; float32, or float64 if the vectors are.

    Raises:
        NonFiniteError: a score is NaN or infinite; names the pair.
    """
    left, right = (at_least_float32(vectors[padded_tensor(side, 0, vectors.device)]) for side in rows)  # (B, M | N, d)
    if kind == "similarity":
        left, right = (torch.nn.functional.normalize(side, dim=2) for side in (left, right))
    values = left @ right.transpose(1, 2)
    if kind == "similarity":
        values = (values + 1) / 2
    source, target = (
        Side(padded_tensor(own, -1, vectors.device), tuple(map(len, own)), tuple(count))
        for own, count in zip(words, counts, strict=True)
    )
    return ScoreMatrix(values[None], source, target, (View(layer, "layer", ""),), QUANTITIES[kind], ids=tuple(ids))


def word_means(vectors: Tensor, words: Tensor) -> tuple[Tensor, Tensor]:
    """Mean vector of every word that has a unit (SimAlign's word mode), of one sentence or of many.

    Of vectors ``(units, d)`` and their words ``(units,)`` int64, ascending, a number of its own for each sentence and
    word: ``(present, d)`` means (float32, or float64 if the vectors are) and ``(present,)`` the words they belong to.
    """
    vectors = at_least_float32(vectors)
    present, index = torch.unique_consecutive(words, return_inverse=True)
    index = index.to(vectors.device)
    sums = vectors.new_zeros((len(present), vectors.shape[1])).index_add_(0, index, vectors)
    return sums / torch.bincount(index, minlength=len(present))[:, None], present


def window_starts(length: int, window: int) -> list[int]:
    """Starts of windows of ``window`` units that cover ``length`` units, each overlapping the last by half or more.

    >>> window_starts(10, 4)
    [0, 2, 4, 6]
    """
    if length <= window:
        return [0]
    return [*range(0, length - window, max(window // 2, 1)), length - window]


def window_spans(length: int, count: int) -> list[tuple[int, int]]:
    """``count`` spans of equal size over ``length`` words, each half over the next one.

    >>> window_spans(8, 3)
    [(0, 4), (2, 6), (4, 8)]
    """
    size = min(length, -(-2 * length // (count + 1)))
    starts = np.linspace(0, length - size, count).round().astype(int).tolist()
    return [(start, start + size) for start in starts]


def owners(length: int, spans: Sequence[tuple[int, int]]) -> IdArray:
    """For each unit the span in which it stands farthest from an edge, so with most context; ``(length,)``.

    An end of the sentence is no edge: nothing is missing there.
    """
    place = np.arange(length)[:, None]
    first, last = np.array(spans).T
    left = np.where(first == 0, length, place - first)
    right = np.where(last == length, length, last - 1 - place)
    inside = (place >= first) & (place < last)
    return np.where(inside, np.minimum(left, right), -1).argmax(axis=1)


def encode_in_windows(
    encode: Callable[[Sequence[IdArray]], Vectors], sentences: Sequence[IdArray], window: int
) -> tuple[Tensor, list[IdArray]]:
    """Encode sentences (ids) of any length with an encoder that takes ``window`` units at most.

    Gives all vectors ``(layers, N, d)`` and the rows of each sentence in them; the vector of a unit comes from the
    window with most of its surroundings. Sentences that fit are encoded whole, in the same call.
    """
    pieces: list[IdArray] = []
    places: list[tuple[int, list[int]]] = []
    for ids in sentences:
        starts = window_starts(len(ids), window)
        places.append((len(pieces), starts))
        pieces.extend([ids] if len(starts) == 1 else [ids[s : s + window] for s in starts])
    found = encode(pieces)
    rows = []
    for ids, (first, starts) in zip(sentences, places, strict=True):
        units = np.arange(len(ids))
        if len(starts) == 1:
            rows.append(found.starts[first] + units)
        else:
            owner = owners(len(ids), [(start, start + window) for start in starts])
            rows.append(found.starts[first + owner] + units - np.array(starts)[owner])
    return found.values, rows
