"""Overlapping windows: sentences longer than the model reads, encoded in parts without losing a word."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from align_eval.models.vectors import Vectors

IdArray = NDArray[np.int64]


def window_starts(length: int, window: int) -> list[int]:
    """Starts of windows of ``window`` units that cover ``length`` units, each overlapping the last by half or more.

    >>> window_starts(10, 4)
    [0, 2, 4, 6]
    """
    if length <= window:
        return [0]
    step = max(window // 2, 1)
    return [*range(0, length - window, step), length - window]


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
    """Encode sentences of any length with an encoder that takes ``window`` units at most.

    Args:
        encode: from id arrays to their vectors, one sentence after the other.
        sentences: ids, one array a sentence.
        window: greatest number of units ``encode`` takes.

    Returns:
        all vectors ``(layers, N, d)`` and the rows of each sentence in them; the vector of a unit comes from the window
        that shows most of its surroundings. Sentences that fit are encoded whole, in the same call.
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
