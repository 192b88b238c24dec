"""Four integers a sentence pair: all that any score, interval or paired test needs."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from align_eval.errors import InputError, LengthMismatchError
from align_eval.link_columns import sums
from align_eval.link_table import HEIGHT, WIDTH, LinkTable
from align_eval.links import BoolArray, IntArray
from align_eval.native import count, library

if TYPE_CHECKING:
    from ctypes import CDLL

#: Names of the four columns: links proposed, sure gold links, proposed links that are sure, that are possible.
COLUMNS = ("links", "sure", "links_sure", "links_possible")

# Sentence pairs looked up at a time, and the most cells (pairs of words) that their table may have: with fewer it stays
# in the processor's caches.
_CHUNK = 512
_TABLE = 1 << 22

# Tables of so many links are merged as sparse matrices (scipy takes a while to load), so many sentence pairs at a time.
_LARGE = 1 << 17
# From so many on, on two threads. Blocks of files have fewer: their readers have threads of their own.
_HUGE = 1 << 20
_PART = 4096

Found = NDArray[np.uint8]


def counts(gold: LinkTable, hypothesis: LinkTable) -> IntArray:
    """Count |A|, |S|, |A∩S| and |A∩P| of every sentence pair.

    Args:
        gold: S (rows marked sure) and P (all rows).
        hypothesis: A (all rows; its sure marks do not count).

    Returns:
        int32 array ``(sentence pairs, 4)``, columns as in :data:`COLUMNS`. Sums of rows are the counts of a corpus.

    Raises:
        LengthMismatchError: the tables have different numbers of sentence pairs.
        InputError: an index so high that a link has no 64-bit number.
    """
    check_lengths(gold.sentences, hypothesis.sentences)
    out = np.empty((gold.sentences, 4), dtype=np.int32)
    compiled = library()
    if compiled is not None:
        _count(compiled, gold, hypothesis, out)
        return out
    if gold.links + hypothesis.links >= _LARGE and _merge_all(gold, hypothesis, out):
        return out
    found = _look_up(gold, hypothesis)
    out[:, 0] = np.diff(hypothesis.offsets)
    out[:, 1] = sums(gold.sure.view(np.uint8), gold.offsets)
    out[:, 2] = sums((found > 1).view(np.uint8), hypothesis.offsets)
    out[:, 3] = sums((found > 0).view(np.uint8), hypothesis.offsets)
    return out


def _count(compiled: CDLL, gold: LinkTable, hypothesis: LinkTable, out: IntArray) -> None:
    """The counts into ``out`` by the compiled function."""
    left = gold.offsets, gold.source, gold.target, gold.sure
    right = hypothesis.offsets, hypothesis.source, hypothesis.target
    threads = _threads(gold, hypothesis)
    bounds = [gold.sentences * part // threads for part in range(threads + 1)]
    if not all(_all([partial(count, compiled, *part, left, right, out) for part in pairwise(bounds)], threads)):
        for _ in _blocks(gold, hypothesis):  # raises where an index is higher than numpy has numbers for
            pass


def _threads(gold: LinkTable, hypothesis: LinkTable) -> int:
    return min(2, os.cpu_count() or 1) if gold.links + hypothesis.links >= _HUGE else 1


def _merge_all(gold: LinkTable, hypothesis: LinkTable, out: IntArray) -> bool:
    """The counts into ``out`` by merging; false if an index is too high for it."""
    threads = _threads(gold, hypothesis)
    left, right, _ = _all([gold.merged, hypothesis.merged, gold.marked], threads)
    if left is None or right is None:
        return False
    half = -(-gold.sentences // 2)
    _all([partial(_merge, gold, hypothesis, *part, out) for part in ((0, half), (half, gold.sentences))], threads)
    return True


def _all(work: Sequence[Callable[[], Any]], threads: int) -> list[Any]:
    """What the functions return; on two threads: most of numpy and scipy lets others run."""
    if threads < 2:
        return [function() for function in work]
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(1) as other:
        coming = [other.submit(function) for function in work[1:]]
        return [work[0](), *(found.result() for found in coming)]


def _merge(gold: LinkTable, hypothesis: LinkTable, first: int, last: int, out: IntArray) -> None:
    """The counts of the sentence pairs ``first`` to ``last`` into ``out``: A∩P as the product of two sparse matrices.

    A row is a sentence pair, a column a pair of words; both matrices are sorted, so that one pass merges them. Possible
    links are 1, sure ones 2, proposed ones 1.
    """
    from scipy.sparse import csr_array

    left, right, marked = gold.merged(), hypothesis.merged(), gold.marked()
    assert left is not None
    assert right is not None
    bounds = [*range(first, last, _PART), last]
    ones = np.ones(int(np.diff(right.starts[bounds]).max(initial=0)), dtype=np.uint8)
    for begin, end in pairwise(bounds):
        matrices: list[Any] = []
        for merged, marks in ((left, marked.marks), (right, ones)):
            starts = merged.starts[begin : end + 1]
            rows = slice(int(starts[0]), int(starts[-1]))
            data = ones[: rows.stop - rows.start] if marks is ones else marks[rows]
            cells = (data, merged.columns[rows], starts - starts[0])
            matrix = csr_array(cells, shape=(end - begin, HEIGHT * WIDTH))
            matrix.has_canonical_format = True  # tables are sorted and unique
            matrices.append(matrix)
        common: Any = matrices[0].multiply(matrices[1])
        out[begin:end, 0] = np.diff(right.starts[begin : end + 1])
        out[begin:end, 1] = marked.sure[begin:end]
        out[begin:end, 3] = np.diff(common.indptr)
        out[begin:end, 2] = sums(common.data, common.indptr) - out[begin:end, 3]  # sure ones count twice


def check_lengths(gold: int, hypothesis: int, file: str | None = None) -> None:
    """Raise :class:`LengthMismatchError` if the numbers of sentence pairs differ."""
    if gold != hypothesis:
        raise LengthMismatchError(
            f"the gold has {gold} sentence pairs, the hypothesis {hypothesis}",
            file=file,
            remedy="Give one line of links for each sentence pair of the gold, empty lines included",
        )


def matches(gold: LinkTable, hypothesis: LinkTable) -> tuple[BoolArray, BoolArray]:
    """For each row of ``hypothesis``: is it in P, and is it in S? Two boolean arrays ``(hypothesis rows,)``.

    Raises:
        InputError: an index so high that a link has no 64-bit number.
    """
    found = _look_up(gold, hypothesis)
    return found > 0, found > 1


def _look_up(gold: LinkTable, hypothesis: LinkTable) -> Found:
    """For each row of ``hypothesis``: 2 if it is in S, 1 if it is in P only, else 0; ``(hypothesis rows,)``."""
    found = np.zeros(hypothesis.links, dtype=np.uint8)
    state = np.zeros(0, dtype=np.uint8)
    for begin, rows, height, width, cells in _blocks(gold, hypothesis):
        number = np.dtype(np.int32 if cells < 2**31 else np.int64)
        keys = _keys(gold, rows[0], begin, height, width, number)
        wanted = _keys(hypothesis, rows[1], begin, height, width, number)
        mark = gold.sure[rows[0]] + np.uint8(1)
        if cells <= _TABLE:
            if cells > len(state):
                state = np.zeros(max(cells, min(_TABLE, 2 * cells)), dtype=np.uint8)
            state[keys] = mark
            found[rows[1]] = state[wanted]
            state[keys] = 0
        else:
            at = np.searchsorted(keys, wanted)
            at[at == len(keys)] = 0
            found[rows[1]] = np.where(keys[at] == wanted, mark[at], np.uint8(0))
    return found


def _blocks(gold: LinkTable, hypothesis: LinkTable) -> Iterator[tuple[int, tuple[slice, slice], int, int, int]]:
    """Blocks of sentence pairs in which both tables have links: the first pair, the rows of both tables, the numbers of
    source and target words that have room for their links, and the number of cells of all their pairs of words.

    Raises:
        InputError: an index so high that a link has no 64-bit number.
    """
    for begin in range(0, gold.sentences, _CHUNK):
        end = min(begin + _CHUNK, gold.sentences)
        rows = (_rows(gold, begin, end), _rows(hypothesis, begin, end))
        if any(part.start == part.stop for part in rows):
            continue
        height = 1 + max(int(t.source[part].max()) for t, part in zip((gold, hypothesis), rows, strict=True))
        width = 1 + max(int(t.target[part].max()) for t, part in zip((gold, hypothesis), rows, strict=True))
        cells = (end - begin) * height * width
        if cells > 2**63 - 1:
            raise InputError(
                f"a link index of {max(height, width) - 1} is too high for a sentence",
                remedy="Check that the file holds links, and its index base",
            )
        yield begin, rows, height, width, cells


def _rows(table: LinkTable, begin: int, end: int) -> slice:
    return slice(int(table.offsets[begin]), int(table.offsets[end]))


def _keys(
    table: LinkTable, rows: slice, begin: int, height: int, width: int, number: np.dtype[np.signedinteger[Any]]
) -> NDArray[np.intp]:
    """One integer a row, the same for the same link of the same sentence pair in every table; they ascend."""
    keys = table.sentence[rows].astype(number)
    keys -= number.type(begin)
    keys *= number.type(height)
    keys += table.source[rows]
    keys *= number.type(width)
    keys += table.target[rows]
    return keys.astype(np.intp, copy=False)
