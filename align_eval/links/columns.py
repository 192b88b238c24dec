"""Columns of links, as readers make them and tables hold them: sorted, unique, and where each sentence pair begins."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from align_eval.errors import InputError
from align_eval.links import BoolArray, FloatArray, IntArray

_NUMBER = re.compile(r"[0-9]{1,9}")


def int32(column: NDArray[np.integer]) -> IntArray:
    """``column`` in 32 bits."""
    if column.dtype.kind not in "iu" and len(column):
        raise InputError(f"indices of links are of type {column.dtype}", remedy="Give whole numbers")
    if column.dtype.itemsize > 4 and len(column) and int(column.max()) >= 2**31:
        raise InputError(f"index {int(column.max())} of a link is out of bounds", remedy="Give indices below 2**31")
    return column.astype(np.int32, copy=False)


def number_places(names: Sequence[str]) -> IntArray | None:
    """The places, from 0, that sentence pairs named by whole numbers have by their numbers.

    Numbers count from 1, or from 0 if one is 0. ``None``: the names are not numbers, or one is there twice.

    >>> number_places(["0001", "3"]).tolist(), number_places(["2", "0"]).tolist(), number_places(["3", "3"])
    ([0, 2], [2, 0], None)
    """
    if not all(_NUMBER.fullmatch(name) for name in names):
        return None
    numbers = np.array([int(name) for name in names], dtype=np.int32)
    if len(set(numbers.tolist())) != len(numbers):
        return None
    return numbers - np.int32(len(numbers) and numbers.min() > 0)


def sort_unique(
    sentence: IntArray, source: IntArray, target: IntArray, sure: BoolArray | None, scores: FloatArray | None
) -> tuple[IntArray, IntArray, IntArray, BoolArray, FloatArray | None]:
    """Sort links by (sentence, source, target) and drop repetitions; of equal links a sure one and the best score win.

    All arrays have shape ``(rows,)``; indices are 0-based. Columns already in order are returned as they are.
    """
    rows = len(source)
    full = np.ones(rows, dtype=bool) if sure is None else sure
    if rows < 2:
        return sentence, source, target, full, scores
    wide = [int(column.max()).bit_length() for column in (sentence, source, target)]
    if sum(wide) > 61:
        return _sort_unique_wide(sentence, source, target, full, scores)
    if wide[1] + wide[2] <= 31 and _ascending(sentence, (source << np.int32(wide[2])) | target):
        return sentence, source, target, full, scores
    key = sentence.astype(np.int64)
    key <<= wide[1]
    key |= source
    key <<= wide[2]
    key |= target
    if bool((key[1:] > key[:-1]).all()):
        return sentence, source, target, full, scores
    if scores is not None:
        return _sort_unique_wide(sentence, source, target, full, scores)
    key <<= 1
    key |= ~full
    key.sort()
    full = (key & 1) == 0
    key >>= 1
    fresh = np.empty(rows, dtype=bool)
    fresh[0] = True
    np.not_equal(key[1:], key[:-1], out=fresh[1:])
    if not fresh.all():
        key, full = key[fresh], full[fresh]
    target = (key & ((1 << wide[2]) - 1)).astype(np.int32)
    key >>= wide[2]
    source = (key & ((1 << wide[1]) - 1)).astype(np.int32)
    key >>= wide[1]
    return key.astype(np.int32), source, target, full, None


def _ascending(sentence: IntArray, cell: IntArray) -> bool:
    """Whether links, each a sentence and the number of a cell, are sorted without repetition."""
    later = sentence[1:] > sentence[:-1]
    later |= (cell[1:] > cell[:-1]) & (sentence[1:] == sentence[:-1])
    return bool(later.all())


def _sort_unique_wide(
    sentence: IntArray, source: IntArray, target: IntArray, sure: BoolArray, scores: FloatArray | None
) -> tuple[IntArray, IntArray, IntArray, BoolArray, FloatArray | None]:
    """:func:`sort_unique` for links with scores, or with indices too large for one 64-bit key."""
    keys = (~sure, target, source, sentence)
    order = np.lexsort(keys if scores is None else (-scores, *keys[1:]))
    sentence, source, target, sure = sentence[order], source[order], target[order], sure[order]
    fresh = np.ones(len(order), dtype=bool)
    fresh[1:] = (sentence[1:] != sentence[:-1]) | (source[1:] != source[:-1]) | (target[1:] != target[:-1])
    if scores is not None:
        scores = scores[order][fresh]
        sure = np.logical_or.reduceat(sure, np.flatnonzero(fresh))
    else:
        sure = sure[fresh]
    return sentence[fresh], source[fresh], target[fresh], sure, scores


def offsets_of(sentence: IntArray, sentences: int) -> NDArray[np.int64]:
    """The first row of each sentence pair, and the number of rows, ``(sentences + 1,)``, of a sorted column.

    As ``np.searchsorted(sentence, np.arange(sentences + 1))``, in one pass.
    """
    if not len(sentence):
        return np.zeros(sentences + 1, dtype=np.int64)
    starts = np.flatnonzero(sentence[1:] != sentence[:-1]) + 1
    first, last = int(sentence[0]), int(sentence[-1])
    if len(starts) + 1 == sentences:  # every pair has links
        return np.concatenate([[0], starts, [len(sentence)]], dtype=np.int64)
    spans = np.concatenate([[first + 1], np.diff(sentence[starts], prepend=first), [sentences - last]])
    return np.repeat(np.concatenate([[0], starts, [len(sentence)]], dtype=np.int64), spans)


def sums(rows: NDArray[np.uint8], offsets: NDArray[np.integer]) -> IntArray:
    """The sum of the rows of each sentence pair, ``(sentence pairs,)``; ``offsets`` as in a table."""
    sizes = np.diff(offsets)
    filled = sizes > 0
    out = np.zeros(len(sizes), dtype=np.int32)
    if filled.any():
        out[filled] = np.add.reduceat(rows, offsets[:-1][filled], dtype=np.int32)
    return out
