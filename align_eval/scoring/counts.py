"""Four integers a sentence pair: all that any score, interval or paired test needs."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from align_eval.errors import InputError, LengthMismatchError
from align_eval.link_table import LinkTable
from align_eval.links import BoolArray, IntArray

#: Names of the four columns: links proposed, sure gold links, proposed links that are sure, that are possible.
COLUMNS = ("links", "sure", "links_sure", "links_possible")

# Sentence pairs looked up at a time, and the most cells (pairs of words) that their table may have: with fewer it stays
# in the processor's caches.
_CHUNK = 512
_TABLE = 1 << 22

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
    found = _look_up(gold, hypothesis)
    out = np.empty((gold.sentences, 4), dtype=np.int32)
    out[:, 0] = np.diff(hypothesis.offsets)
    out[:, 1] = _per_sentence(gold.sure, gold)
    out[:, 2] = _per_sentence(found > 1, hypothesis)
    out[:, 3] = _per_sentence(found > 0, hypothesis)
    return out


def _per_sentence(rows: BoolArray, table: LinkTable) -> IntArray:
    """How many of the rows of each sentence pair are true, ``(sentence pairs,)``."""
    if bool(rows.all()):
        return np.diff(table.offsets).astype(np.int32)
    running = np.zeros(len(rows) + 1, dtype=np.int32)
    np.cumsum(rows, out=running[1:])
    return np.diff(running[table.offsets])


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
    for begin in range(0, gold.sentences, _CHUNK):
        end = min(begin + _CHUNK, gold.sentences)
        rows = [slice(int(t.offsets[begin]), int(t.offsets[end])) for t in (gold, hypothesis)]
        if any(part.start == part.stop for part in rows):
            continue
        height = 1 + max(int(t.source[part].max()) for t, part in zip((gold, hypothesis), rows, strict=True))
        width = 1 + max(int(t.target[part].max()) for t, part in zip((gold, hypothesis), rows, strict=True))
        cells = (end - begin) * height * width
        number = np.dtype(np.int32 if cells < 2**31 else np.int64)
        if cells > 2**63 - 1:
            raise InputError(
                f"a link index of {max(height, width) - 1} is too high for a sentence",
                remedy="Check that the file holds links, and its index base",
            )
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
