"""Two directional alignments of the same sentence pairs made into one.

Start from the intersection of both directions and add links of their union (Och & Ney 2003; Koehn, Och & Marcu 2003):

=======================  ====================================================================================
``intersection``         links that both directions have
``union``                links that at least one direction has
``grow``                 intersection, then links of the union beside a link that is already in (4 neighbours)
``grow-diag``            the same with 8 neighbours (diagonal ones too)
``grow-diag-final``      then links of the forward direction, then of the reverse one, that the rule lets in
``grow-diag-final-and``  the same, but only links whose two words are both still free
=======================  ====================================================================================

Two algorithms are published under these names. They differ in the *rule* that says which link may be added while
growing, and so in the result (by up to 6.6 points of AER):

``both``
    only if *both* words are still free (lilt's alignment-scripts, Mask-Align). Growing goes over the links that are in,
    by source then target word, and looks at the neighbours of each. Under this rule ``grow-diag-final`` and
    ``grow-diag-final-and`` are the same.
``either``
    if *one or both* words are still free (Koehn et al. 2003; atools of fast_align). Growing goes over the links of the
    union that are not in yet, by source then target word, and adds one that has a neighbour.

Both are repeated until nothing is added. A link that is added counts at once, so the order of the scan is part of the
algorithm, and the result need not be the same when source and target are exchanged; intersection and union are.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from align_eval.errors import InputError, LengthMismatchError, UnknownNameError
from align_eval.links import BoolArray, Links
from align_eval.links.table import LinkTable

#: Names of the methods, from fewest links to most.
METHODS = ("intersection", "grow", "grow-diag", "grow-diag-final-and", "grow-diag-final", "union")
#: Names of the rules.
RULES = ("both", "either")

# Neighbours as (source step, target step). Their order counts under the rule `both` only: the published script goes
# over a Python set, and this is the order in which Python 3.7 did; it gives the published files line for line.
_EIGHT = ((0, 1), (-1, 1), (-1, 0), (-1, -1), (0, -1), (1, 0), (1, -1), (1, 1))
_FOUR = tuple(step for step in _EIGHT if 0 in step)

# Sentence pairs handled at a time: bounds the memory and keeps the tables in the processor's cache.
_BLOCK = 8192

_Ints = NDArray[np.int64]


def symmetrize(forward: Links, reverse: Links, method: str = "grow-diag-final-and", rule: str = "both") -> Links:
    """Combine the links of one sentence pair.

    Args:
        forward: links of one direction, (source, target), 0-based.
        reverse: links of the other direction, also (source, target): call ``reverse()`` on target-source links first.
        method: one of :data:`METHODS`.
        rule: ``both`` or ``either``; see the text of this module. No influence on intersection and union.

    Raises:
        UnknownNameError: no such method or rule.

    >>> forward, reverse = Links([(0, 0), (1, 1), (2, 1)]), Links([(0, 0), (1, 1), (1, 2)])
    >>> symmetrize(forward, reverse, "grow-diag", "either")
    Links('0-0 1-1 1-2 2-1')
    >>> symmetrize(forward, reverse, "grow-diag", "both")
    Links('0-0 1-1')
    """
    return symmetrize_table(LinkTable.from_links([forward]), LinkTable.from_links([reverse]), method, rule)[0]


def symmetrize_table(
    forward: LinkTable, reverse: LinkTable, method: str = "grow-diag-final-and", rule: str = "both"
) -> LinkTable:
    """Combine the links of many sentence pairs at once; each pair gives what :func:`symmetrize` gives for it.

    No loop runs over the sentences: step ``k`` takes the ``k``-th decision of every sentence pair of a block.
    Scores are dropped, ids are those of ``forward``.
    """
    check_names(method, rule)
    if forward.sentences != reverse.sentences:
        raise LengthMismatchError(
            f"{forward.sentences} sentence pairs forward but {reverse.sentences} reverse",
            remedy="Give the two directions of the same text, one line a sentence pair",
        )
    if not forward.sentences:
        return forward
    starts = range(0, forward.sentences, _BLOCK)
    parts = [_combine(_block(forward, start), _block(reverse, start), method, rule) for start in starts]
    sentence = np.concatenate([part[0] + start for part, start in zip(parts, starts, strict=True)])
    source, target = (np.concatenate([part[column] for part in parts]) for column in (1, 2))
    return LinkTable(sentence, source, target, forward.sentences, ids=forward.ids)


def check_names(method: str, rule: str = "both") -> None:
    """Raise :class:`UnknownNameError` for a method that is not in :data:`METHODS` or a rule not in :data:`RULES`."""
    if method not in METHODS:
        raise UnknownNameError("symmetrisation method", method, METHODS)
    if rule not in RULES:
        raise UnknownNameError("symmetrisation rule", rule, RULES)


def _block(table: LinkTable, start: int) -> tuple[_Ints, _Ints, _Ints]:
    """The columns of up to :data:`_BLOCK` sentence pairs, the pairs counted from ``start``."""
    rows = slice(table.offsets[start], table.offsets[min(start + _BLOCK, table.sentences)])
    sentence, source, target = (c[rows].astype(np.int64) for c in (table.sentence, table.source, table.target))
    return sentence - start, source, target


def _combine(
    forward: tuple[_Ints, _Ints, _Ints], reverse: tuple[_Ints, _Ints, _Ints], method: str, rule: str
) -> tuple[_Ints, _Ints, _Ints]:
    """Columns of a block in, columns of the result out."""
    state = _State(forward, reverse)
    if method == "union":
        state.chosen[:] = True
    elif method != "intersection":
        state.grow(_FOUR if method == "grow" else _EIGHT, rule)
    if method.startswith("grow-diag-final"):
        both = rule == "both" or method.endswith("-and")
        state.finish(state.in_forward, both)
        state.finish(state.in_reverse, both)
    return state.columns()


class _State:
    """The union of two tables, one row a link, and which of its links and words are taken so far."""

    def __init__(self, forward: tuple[_Ints, _Ints, _Ints], reverse: tuple[_Ints, _Ints, _Ints]) -> None:
        # One free row and column around each sentence pair: a neighbour outside of it is in no link.
        self.width_s = 3 + max((int(source.max()) for _, source, _ in (forward, reverse) if len(source)), default=0)
        self.width_t = 3 + max((int(target.max()) for _, _, target in (forward, reverse) if len(target)), default=0)
        if _BLOCK * self.width_s * self.width_t > 2**62:
            raise InputError(
                f"a link index of {max(self.width_s, self.width_t) - 3} is too high for a sentence",
                remedy="Check that the file holds links",
            )
        a, b = (((s * self.width_s) + i + 1) * self.width_t + j + 1 for s, i, j in (forward, reverse))
        self.key: _Ints = np.union1d(a, b)
        self.in_forward: BoolArray = _found(self.key, a)
        self.in_reverse: BoolArray = _found(self.key, b)
        self.chosen: BoolArray = self.in_forward & self.in_reverse
        source = self.key // self.width_t
        self.sentence: _Ints = source // self.width_s
        self.source_word, words_s = _number(source)
        self.target_word, words_t = _number(self.sentence * self.width_t + self.key % self.width_t)
        self.source_taken: BoolArray = np.zeros(words_s, dtype=bool)
        self.target_taken: BoolArray = np.zeros(words_t, dtype=bool)
        self._take(np.flatnonzero(self.chosen))

    def _take(self, rows: _Ints) -> None:
        self.chosen[rows] = True
        self.source_taken[self.source_word[rows]] = True
        self.target_taken[self.target_word[rows]] = True

    def _allowed(self, rows: _Ints, both: bool) -> BoolArray:
        """Which rows are not in yet and have both words (else: at least one word) free."""
        source, target = self.source_taken[self.source_word[rows]], self.target_taken[self.target_word[rows]]
        return ~self.chosen[rows] & ~((source | target) if both else (source & target))

    def grow(self, neighbours: tuple[tuple[int, int], ...], rule: str) -> None:
        """Add neighbours of links that are in until nothing is added."""
        both = rule == "both"
        # `both` goes over links that may be in and their neighbours, `either` over neighbours and what they are beside.
        rows, beside = self._neighbour_pairs(neighbours)
        points, candidates = (rows, beside) if both else (beside, rows)
        while True:
            left = self._allowed(candidates, both)  # what is not allowed now never will be
            points, candidates = points[left], candidates[left]
            before = np.count_nonzero(self.chosen)
            for step in _steps(self.sentence[candidates]):
                at = candidates[step]
                self._take(at[self.chosen[points[step]] & self._allowed(at, both)])
            if np.count_nonzero(self.chosen) == before:
                return

    def finish(self, direction: BoolArray, both: bool) -> None:
        """Add links of one direction, by source then target word, if the words are free."""
        candidates = np.flatnonzero(direction & ~self.chosen)
        candidates = candidates[self._allowed(candidates, both)]
        for step in _steps(self.sentence[candidates]):
            at = candidates[step]
            self._take(at[self._allowed(at, both)])

    def _neighbour_pairs(self, neighbours: tuple[tuple[int, int], ...]) -> tuple[_Ints, _Ints]:
        """All (row, row beside it), sorted by the first and then in the order of ``neighbours``."""
        if not len(self.key):
            return self.key, self.key
        at = np.empty((len(self.key), len(neighbours)), dtype=np.int64)
        hit = np.empty(at.shape, dtype=bool)
        for column, (d_source, d_target) in enumerate(neighbours):
            wanted = self.key + (d_source * self.width_t + d_target)
            at[:, column] = np.minimum(np.searchsorted(self.key, wanted), len(self.key) - 1)
            np.equal(self.key[at[:, column]], wanted, out=hit[:, column])
        return np.nonzero(hit)[0], at[hit]

    def columns(self) -> tuple[_Ints, _Ints, _Ints]:
        """Sentence, source and target of the links that are in."""
        key = self.key[self.chosen]
        return self.sentence[self.chosen], key // self.width_t % self.width_s - 1, key % self.width_t - 1


def _number(words: _Ints) -> tuple[_Ints, int]:
    """Numbers that tell the words of a block apart, and how many flags they need."""
    highest = int(words.max(initial=0))
    if highest < 2**24:
        return words, highest + 1
    distinct, numbers = np.unique(words, return_inverse=True)
    return numbers, len(distinct)


def _found(keys: _Ints, wanted: _Ints) -> BoolArray:
    """Which of the sorted ``keys`` are in ``wanted``; all of ``wanted`` are in ``keys``."""
    found = np.zeros(len(keys), dtype=bool)
    found[np.searchsorted(keys, wanted)] = True
    return found


def _steps(sentence: _Ints) -> Iterator[_Ints]:
    """Yield the first items of every sentence, then the second ones, and so on; ``sentence`` is sorted."""
    if not len(sentence):
        return
    first = np.concatenate([[0], np.flatnonzero(sentence[1:] != sentence[:-1]) + 1])
    rank = np.arange(len(sentence)) - np.repeat(first, np.diff(np.append(first, len(sentence))))
    sizes = np.bincount(rank)
    # 16-bit integers are sorted by their digits, in linear time.
    order = np.argsort(rank.astype(np.uint16) if len(sizes) < 2**16 else rank, kind="stable")
    end = 0
    for size in sizes.tolist():
        yield order[end : end + size]
        end += size


ORDER_NAMES = {"st": "source-target", "ts": "target-source"}

# Sentence pairs that are looked at: more would change nothing.
_ENOUGH = 1 << 13
# One order is clear if it has at least _TIMES the common links of the other one, and _MORE besides.
_TIMES, _MORE = 3, 5


@dataclass(frozen=True)
class Agreement:
    """Links off the diagonal that both directions have, if the second one is read as it is, and with sides swapped.

    Attributes:
        same, swapped: numbers of common links.
        links: links off the diagonal of the second direction; without any, its order makes no difference.
    """

    same: int
    swapped: int
    links: int

    @property
    def swap(self) -> bool | None:
        """Whether the sides of the second direction are to be swapped; ``None``: unclear."""
        if not self.links or self.same >= _TIMES * self.swapped + _MORE:
            return False
        return True if self.swapped >= _TIMES * self.same + _MORE else None


def agreement(forward: LinkTable, reverse: LinkTable) -> Agreement:
    """How far two directions, of the same sentence pairs in the same order, agree in both orders of the second one."""
    one, other = _cells(forward), _cells(reverse)
    mirrored = {(k, j, i) for k, i, j in other}
    return Agreement(len(one & other), len(one & mirrored), len(other))


def _cells(table: LinkTable) -> set[tuple[int, int, int]]:
    rows = slice(int(table.offsets[min(_ENOUGH, table.sentences)]))
    off = table.source[rows] != table.target[rows]
    columns = np.stack([table.sentence[rows], table.source[rows], table.target[rows]])[:, off]
    return set(map(tuple, columns.T.tolist()))
