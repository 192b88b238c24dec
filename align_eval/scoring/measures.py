"""Four integers a sentence pair, and AER, precision, recall, F1 and F_alpha of their sums."""

from __future__ import annotations

import os
from collections.abc import Iterator
from functools import partial
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from align_eval.errors import InputError, LengthMismatchError
from align_eval.links import BoolArray, IntArray
from align_eval.links.table import LinkTable
from align_eval.links.table import sums as sums_of
from align_eval.native import count, library

if TYPE_CHECKING:
    from ctypes import CDLL

#: Names of the four columns: links proposed, sure gold links, proposed links that are sure, that are possible.
COLUMNS = ("links", "sure", "links_sure", "links_possible")

# Sentence pairs looked up at a time, and the most cells (pairs of words) that their table may have: with fewer it stays
# in the processor's caches.
_CHUNK = 512
_TABLE = 1 << 22

# Tables of so many links are counted on two threads. Blocks of files have fewer: their readers have their own threads.
_HUGE = 1 << 20

Found = NDArray[np.uint8]

#: The measures in the order in which they are shown.
MEASURES = ("aer", "precision", "recall", "f1", "f_alpha")
#: Measures of which less is better.
LOWER_IS_BETTER = frozenset({"aer"})

Floats = NDArray[np.float64]

# Rows at a time, of many: they stay in the processor's caches.
_PART = 1 << 13


def counts(gold: LinkTable, hypothesis: LinkTable) -> IntArray:
    """Count |A|, |S|, |A∩S| and |A∩P| of every sentence pair.

    Args:
        gold: S (rows marked sure) and P (all rows).
        hypothesis: A (all rows; its sure marks do not count).

    Returns:
        int32 array ``(sentence pairs, 4)``, columns as in :data:`COLUMNS`. Sums of rows are the counts of a corpus.
    """
    check_lengths(gold.sentences, hypothesis.sentences)
    out = np.empty((gold.sentences, 4), dtype=np.int32)
    compiled = library()
    if compiled is not None:
        _count(compiled, gold, hypothesis, out)
        return out
    found = _look_up(gold, hypothesis)
    out[:, 0] = np.diff(hypothesis.offsets)
    out[:, 1] = sums_of(gold.sure.view(np.uint8), gold.offsets)
    out[:, 2] = sums_of((found > 1).view(np.uint8), hypothesis.offsets)
    out[:, 3] = sums_of((found > 0).view(np.uint8), hypothesis.offsets)
    return out


def _count(compiled: CDLL, gold: LinkTable, hypothesis: LinkTable, out: IntArray) -> None:
    """The counts into ``out`` by the compiled function."""
    left = gold.offsets, gold.source, gold.target, gold.sure
    right = hypothesis.offsets, hypothesis.source, hypothesis.target
    threads = min(2, os.cpu_count() or 1) if gold.links + hypothesis.links >= _HUGE else 1
    bounds = [gold.sentences * part // threads for part in range(threads + 1)]
    work = [partial(count, compiled, *part, left, right, out) for part in pairwise(bounds)]
    if threads > 1:
        from concurrent.futures import ThreadPoolExecutor

        with ThreadPoolExecutor(threads) as pool:
            done = list(pool.map(lambda part: part(), work))
    else:
        done = [work[0]()]
    if not all(done):
        for _ in _blocks(gold, hypothesis):  # raises where an index is higher than numpy has numbers for
            pass


def check_lengths(gold: int, hypothesis: int, file: str | None = None) -> None:
    """Raise :class:`LengthMismatchError` if the numbers of sentence pairs differ."""
    if gold != hypothesis:
        raise LengthMismatchError(
            f"the gold has {gold} sentence pairs, the hypothesis {hypothesis}",
            file=file,
            remedy="Give one line of links for each sentence pair of the gold, empty lines included",
        )


def matches(gold: LinkTable, hypothesis: LinkTable) -> tuple[BoolArray, BoolArray]:
    """For each row of ``hypothesis``: is it in P, and is it in S? Two boolean arrays ``(hypothesis rows,)``."""
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
    """
    for begin in range(0, gold.sentences, _CHUNK):
        end = min(begin + _CHUNK, gold.sentences)
        one, other = (slice(int(t.offsets[begin]), int(t.offsets[end])) for t in (gold, hypothesis))
        rows = (one, other)
        if any(part.start == part.stop for part in rows):
            continue
        height, width = (
            1 + max(int(getattr(t, side)[part].max()) for t, part in zip((gold, hypothesis), rows, strict=True))
            for side in ("source", "target")
        )
        cells = (end - begin) * height * width
        if cells > 2**63 - 1:
            raise InputError(
                f"a link index of {max(height, width) - 1} is too high for a sentence",
                remedy="Check that the file holds links, and its index base",
            )
        yield begin, rows, height, width, cells


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


def measures(sums: NDArray[np.number], alpha: float = 0.5, nothing: float = 0.0) -> dict[str, Floats]:
    """Measures in percent.

    With A the links proposed, S the sure and P the possible gold links (S ⊆ P), summed over the corpus:

    * AER = 1 - (|A∩S| + |A∩P|) / (|A| + |S|), precision = |A∩P| / |A|, recall = |A∩S| / |S| (Och & Ney 2003,
      section 5);
    * F_alpha = 1 / (alpha / precision + (1 - alpha) / recall), 0 where both are 0 (Fraser & Marcu 2007); F1 = F_0.5;
      F_1 is precision and F_0 is recall.

    A measure with nothing below the line is undefined, NaN:

    * nothing proposed: precision, and F, which needs it; AER is 100 if there are sure links;
    * no sure link: recall, and F, which needs it; AER then is 1 - precision;
    * nothing proposed and no sure link: all but AER. Nothing against nothing is AER 0 by convention, for nothing is
      wrong; it adds nothing to the sums of a corpus.

    Args:
        sums: ``(..., 4)`` numbers |A|, |S|, |A∩S|, |A∩P|.
        alpha: weight of precision, 0 to 1.
        nothing: AER of nothing against nothing, in percent.

    Returns:
        One float array ``(...)`` for each of :data:`MEASURES`.

    >>> {name: round(float(value), 2) for name, value in measures(np.array([4, 3, 2, 3])).items()}
    {'aer': 28.57, 'precision': 75.0, 'recall': 66.67, 'f1': 70.59, 'f_alpha': 70.59}
    """
    check_alpha(alpha)
    sums = np.asarray(sums)
    if sums.ndim == 2 and len(sums) > _PART:
        out = np.empty((len(MEASURES), len(sums)))
        for begin in range(0, len(sums), _PART):
            out[:, begin : begin + _PART] = list(measures(sums[begin : begin + _PART], alpha, nothing).values())
        return dict(zip(MEASURES, out, strict=True))
    a, s, a_s, a_p = np.array(np.moveaxis(sums, -1, 0), dtype=np.float64, order="C")
    precision, recall = _ratio(a_p, a), _ratio(a_s, s)
    f1 = _f(precision, recall, 0.5)
    values = {
        "aer": 1 - _ratio(a_s + a_p, a + s, 1 - nothing / 100),
        "precision": precision,
        "recall": recall,
        "f1": f1,
        "f_alpha": f1 if alpha == 0.5 else _f(precision, recall, alpha),
    }
    return {name: 100 * value for name, value in values.items()}


def fractions(sums: NDArray[np.number], alpha: float = 0.5) -> dict[str, Floats]:
    """:func:`measures` as fractions of 0 to 1, NaN where undefined, AER of nothing against nothing too."""
    return {name: value / 100 for name, value in measures(sums, alpha, np.nan).items()}


def check_alpha(alpha: float) -> None:
    """Raise :class:`InputError` if ``alpha`` is not within 0 to 1."""
    if not 0 <= alpha <= 1:
        raise InputError(f"alpha must be between 0 and 1, got {alpha}")


def known(value: float) -> float | None:
    """``value``, or ``None`` for NaN: an undefined measure is ``null`` in JSON."""
    return None if np.isnan(value) else float(value)


def live(sample: Floats) -> Floats:
    """The defined values of a measure over resamples, ``(n,)`` to ``(defined,)``."""
    undefined = np.isnan(sample)
    return sample[~undefined] if undefined.any() else sample


def _ratio(above: Floats, below: Floats, otherwise: float = np.nan) -> Floats:
    """``above / below``, and ``otherwise`` where ``below`` is 0."""
    defined = below > 0
    if defined.all():
        return above / below
    return np.divide(above, below, out=np.full_like(below, otherwise), where=defined)


def _f(precision: Floats, recall: Floats, alpha: float) -> Floats:
    """Weighted harmonic mean: 0 where both are 0, undefined where one that has a weight is."""
    if alpha in (0, 1):
        return precision if alpha else recall
    below = alpha * recall + (1 - alpha) * precision
    return np.where(np.isnan(below), np.nan, _ratio(precision * recall, below, 0.0))
