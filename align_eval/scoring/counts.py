"""Four integers a sentence pair: all that any score, interval or paired test needs."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from align_eval.errors import InputError, LengthMismatchError
from align_eval.links import BoolArray, IntArray, LinkTable

#: Names of the four columns: links proposed, sure gold links, proposed links that are sure, that are possible.
COLUMNS = ("links", "sure", "links_sure", "links_possible")

# A table with one cell a pair of words is looked up directly if it has no more than so many cells a link.
_TABLE = 64

Keys = NDArray[np.int64]


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
    possible, sure = matches(gold, hypothesis)
    out = np.empty((gold.sentences, 4), dtype=np.int32)
    out[:, 0] = np.diff(hypothesis.offsets)
    out[:, 1] = _per_sentence(gold.sure, gold)
    out[:, 2] = _per_sentence(sure, hypothesis)
    out[:, 3] = _per_sentence(possible, hypothesis)
    return out


def _per_sentence(rows: BoolArray, table: LinkTable) -> IntArray:
    """How many of the rows of each sentence pair are true, ``(sentence pairs,)``."""
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
    (wanted, keys), cells = link_keys((hypothesis, gold))
    if cells <= _TABLE * (len(keys) + len(wanted)):
        state = np.zeros(cells, dtype=np.uint8)
        state[keys] = gold.sure + np.uint8(1)
        found = state[wanted]
        return found > 0, found > 1
    if not len(keys):
        return np.zeros(len(wanted), dtype=bool), np.zeros(len(wanted), dtype=bool)
    at = np.searchsorted(keys, wanted)
    at[at == len(keys)] = 0
    possible = keys[at] == wanted
    return possible, possible & gold.sure[at]


def link_keys(tables: Iterable[LinkTable]) -> tuple[list[Keys], int]:
    """One integer a row, the same for the same link of the same sentence pair in every table, and a bound of them all.

    They are sorted, as the rows are.

    Raises:
        InputError: an index so high that a link has no 64-bit number.
    """
    tables = list(tables)
    source = 1 + max((int(t.source.max(initial=0)) for t in tables), default=0)
    target = 1 + max((int(t.target.max(initial=0)) for t in tables), default=0)
    cells = source * target * max((t.sentences for t in tables), default=0)
    if cells > 2**63 - 1:
        raise InputError(
            f"a link index of {max(source, target) - 1} is too high for a sentence",
            remedy="Check that the file holds links, and its index base",
        )
    return [(t.sentence.astype(np.int64) * source + t.source) * target + t.target for t in tables], cells
