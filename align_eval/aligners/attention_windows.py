"""The score matrix of a pair that is longer than the model's window, from overlapping windows along the diagonal."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from align_eval.corpora.pair import SentencePair
from align_eval.errors import SentenceTooLongError
from align_eval.signals.attention import layouts_softmap

if TYPE_CHECKING:
    from align_eval.models.pairs import PairModel

Words = NDArray[np.int64]


def windowed_map(
    reader: PairModel, pair: SentencePair, head: tuple[Any, Any, str], rules: dict[str, Any]
) -> tuple[Tensor, Words, Words] | None:
    """The score matrix of one pair from as few windows as fit the model.

    Both sides are cut into the same number of windows, each half over the next one, so that the k-th source window
    goes with the k-th target window. A target word (a source word where the rows are source words) takes its scores
    from the window in which it stands farthest from an edge; source words outside of that window have 0.

    Args:
        reader: the model.
        pair: the pair.
        head: layer, head and alignment mode.
        rules: ``keys``, ``queries`` and ``token_budget`` of :func:`align_eval.signals.attention.layouts_softmap`.

    Returns:
        the matrix between words that have a token, and the source and target words (0-based) of its axes; ``None`` if
        not even single words fit.
    """
    m, n = len(pair.source), len(pair.target)
    count = 2
    while True:
        sides = window_spans(m, count), window_spans(n, count)
        parts = [
            SentencePair(pair.id, pair.source[a:b], pair.target[c:d]) for (a, b), (c, d) in zip(*sides, strict=True)
        ]
        try:
            layouts = reader.lay_out(parts)
            break
        except SentenceTooLongError:
            if count >= max(m, n):
                return None
            count = min(max(count + 1, count * 3 // 2), max(m, n))
    by_source = reader_rows(layouts[0].blocks[head[2]]) == "source"
    owner = owners(m if by_source else n, sides[0 if by_source else 1])
    full = torch.zeros((m, n), dtype=torch.float32, device="cpu")
    present = np.zeros(m, dtype=bool), np.zeros(n, dtype=bool)
    for batch in layouts_softmap(reader, layouts, [head[0]], [head[1]], head[2], **rules):
        for b, k in enumerate(batch.indices):
            rows = batch.source_words[b, : int(batch.source_lengths[b])].cpu() + sides[0][k][0]
            columns = batch.target_words[b, : int(batch.target_lengths[b])].cpu() + sides[1][k][0]
            present[0][rows.numpy()], present[1][columns.numpy()] = True, True
            values = batch.values[0, b, : len(rows), : len(columns)].float().cpu()
            own = torch.from_numpy(owner[(rows if by_source else columns).numpy()] == k)
            if by_source:
                full[rows[own][:, None], columns[None, :]] = values[own]
            else:
                full[rows[:, None], columns[own][None, :]] = values[:, own]
    kept = np.flatnonzero(present[0]), np.flatnonzero(present[1])
    if not len(kept[0]) or not len(kept[1]):
        return None
    return full[kept[0]][:, kept[1]].to(reader.device), kept[0], kept[1]


def window_spans(length: int, count: int) -> list[tuple[int, int]]:
    """``count`` spans of equal size over ``length`` words, each half over the next one.

    >>> window_spans(8, 3)
    [(0, 4), (2, 6), (4, 8)]
    """
    size = min(length, -(-2 * length // (count + 1)))
    starts = np.linspace(0, length - size, count).round().astype(int).tolist()
    return [(start, start + size) for start in starts]


def owners(length: int, spans: list[tuple[int, int]]) -> Words:
    """For each word the span in which it stands farthest from an edge; an end of the sentence is no edge."""
    place = np.arange(length)[:, None]
    first, last = np.array(spans).T
    left = np.where(first == 0, length, place - first)
    right = np.where(last == length, length, last - 1 - place)
    inside = (place >= first) & (place < last)
    return np.where(inside, np.minimum(left, right), -1).argmax(axis=1)


def reader_rows(blocks: Any) -> str:
    """``"source"`` where all rows are source words, else ``"target"``."""
    return "source" if all(block.side == "source" for block in blocks) else "target"
