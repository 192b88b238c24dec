"""The links and gold links of one sentence pair: the value that everything ends in. :mod:`.table` holds those of many.

Indices are 0-based everywhere inside the package: link ``(i, j)`` joins source word ``i`` with target word ``j``.
Readers and writers translate other bases and orders at the border.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from align_eval.errors import InputError, LinkRangeError

IntArray = NDArray[np.int32]
FloatArray = NDArray[np.float32]
BoolArray = NDArray[np.bool_]

_EMPTY: IntArray = np.empty((0, 2), dtype=np.int32)
_FORM = 'Give pairs of whole numbers, [(0, 0), (1, 2)], or text, "0-0 1-2", indices from 0'
_REPR = re.compile(r"Links\('([^']*)'\)")
_TOKEN = re.compile(r"([0-9]{1,9})-([0-9]{1,9})(?::(-?[0-9]+(?:\.[0-9]+)?(?:e[-+]?[0-9]+)?))?")


def _parsed(text: str) -> tuple[list[tuple[int, int]], list[float] | None]:
    """The pairs and the scores (``None``: it has none) of text such as ``0-0 1-2:0.5`` or the ``repr`` of links."""
    shown = _REPR.fullmatch(text)
    words = [word for word in (shown[1] if shown else text).split(" ") if word]
    found = [_TOKEN.fullmatch(word) for word in words]
    pairs = [(int(match[1]), int(match[2])) for match in found if match]
    scores = [float(match[3]) for match in found if match and match[3]]
    if len(pairs) != len(words):
        bad = next(word for word, match in zip(words, found, strict=True) if match is None)
        raise InputError(f"{bad[:40]!r} is not a link", remedy=_FORM)
    if scores and len(scores) != len(pairs):
        raise InputError("some links have a score and others have not", remedy="Give all or none")
    return pairs, scores or None


def out_of_range(i: int, j: int, source: int, target: int, line: int | None = None) -> LinkRangeError:
    """The error for a link outside a pair of ``source`` and ``target`` words."""
    return LinkRangeError(
        f"link {i}-{j} (0-based) is outside a pair of {source} source and {target} target words", line=line,
        remedy="Check the index base (0 or 1), the side order and that the sentences belong to the links",
    )  # fmt: skip


class Links:
    """The links of one sentence pair: a set of ``(i, j)``, 0-based, kept sorted, optionally each with a score.

    Args:
        pairs: anything that iterates over ``(source index, target index)``, an integer array ``(n, 2)``, or text:
            ``"0-0 1-2"``, 0-based, with scores ``"0-0:0.9 1-2:0.5"``. Duplicates are dropped (the highest score of a
            duplicate is kept).
        scores: one finite number a pair, higher is surer. ``None``: no scores (or those of the text).

    Raises:
        InputError: a negative index, one that is no whole number, a shape that is not ``(n, 2)``, text that is no
            links, or scores of another length.

    >>> Links([(1, 0), (0, 0), (1, 0)])
    Links('0-0 1-0')
    >>> Links('0-0 1-0') == Links([(1, 0), (0, 0)])
    True
    """

    __slots__ = ("pairs", "scores")

    pairs: IntArray
    scores: FloatArray | None

    def __init__(
        self, pairs: Iterable[tuple[int, int]] | IntArray | str = (), scores: Sequence[float] | FloatArray | None = None
    ) -> None:
        if isinstance(pairs, str):
            pairs, found = _parsed(pairs)
            scores = found if scores is None else scores
        try:
            array = pairs if isinstance(pairs, np.ndarray) else np.array(list(pairs))
        except (TypeError, ValueError):
            raise InputError("these are not pairs of indices", remedy=_FORM) from None
        if array.size == 0:
            array = _EMPTY
        if array.ndim != 2 or array.shape[1] != 2:
            raise InputError(f"links need shape (n, 2), got {array.shape}", remedy=_FORM)
        if array.dtype.kind not in "iu":
            raise InputError(f"indices of links are of type {array.dtype}", remedy=_FORM)
        if array.size and (int(array.min()) < 0 or int(array.max()) > 2**31 - 1):
            raise InputError(f"a link index is out of bounds: {int(array.min())} or {int(array.max())}")
        array = array.astype(np.int32, copy=False)
        values = None if scores is None else np.asarray(scores, dtype=np.float32)
        if values is not None and values.shape != (len(array),):
            raise InputError(
                f"{len(array)} links but scores of shape {values.shape}", remedy="Give each link one score"
            )
        if values is not None and not bool(np.isfinite(values).all()):
            raise InputError("a score of a link is not a finite number", remedy="Repair the scores, or leave them out")
        if len(array) > 1:
            keys = (array[:, 1], array[:, 0]) if values is None else (-values, array[:, 1], array[:, 0])
            order = np.lexsort(keys)
            array = array[order]
            values = None if values is None else values[order]
            fresh = np.empty(len(array), dtype=bool)
            fresh[0] = True
            np.any(array[1:] != array[:-1], axis=1, out=fresh[1:])
            if not fresh.all():
                array = array[fresh]
                values = None if values is None else values[fresh]
        self.pairs = array
        self.scores = values

    @classmethod
    def presorted(cls, pairs: IntArray, scores: FloatArray | None = None) -> Links:
        """Links of an int32 array ``(n, 2)`` that is known to be sorted and unique; nothing is checked or copied."""
        links = cls.__new__(cls)
        links.pairs, links.scores = pairs, scores
        return links

    @classmethod
    def from_matrix(cls, matrix: NDArray[np.bool_], scores: NDArray[np.floating] | None = None) -> Links:
        """Links of the true cells of ``matrix`` (source words x target words), scored from ``scores`` (same shape)."""
        pairs = np.argwhere(matrix).astype(np.int32)
        return cls.presorted(pairs, None if scores is None else scores[matrix].astype(np.float32))

    def matrix(self, source_length: int, target_length: int) -> BoolArray:
        """A boolean array ``(source_length, target_length)``, true where a link is.

        Raises:
            LinkRangeError: a link lies outside of it.
        """
        self.check_range(source_length, target_length)
        out = np.zeros((source_length, target_length), dtype=bool)
        out[self.pairs[:, 0], self.pairs[:, 1]] = True
        return out

    def check_range(self, source_length: int, target_length: int) -> None:
        """Raise :class:`LinkRangeError` if a link lies outside ``source_length`` x ``target_length`` words."""
        bad = (self.pairs[:, 0] >= source_length) | (self.pairs[:, 1] >= target_length)
        if bad.any():
            i, j = self.pairs[int(bad.argmax())].tolist()
            raise out_of_range(i, j, source_length, target_length)

    def reverse(self) -> Links:
        """The same links seen from the other side: ``(j, i)``."""
        return Links(self.pairs[:, ::-1], self.scores)

    def __iter__(self) -> Iterator[tuple[int, int]]:
        return zip(self.pairs[:, 0].tolist(), self.pairs[:, 1].tolist(), strict=True)

    def __len__(self) -> int:
        return len(self.pairs)

    def __contains__(self, pair: object) -> bool:
        return pair in set(self)

    def __eq__(self, other: object) -> bool:
        """Equal as sets of pairs; scores do not count."""
        return isinstance(other, Links) and np.array_equal(self.pairs, other.pairs)

    def __hash__(self) -> int:
        return hash(self.pairs.tobytes())

    def __or__(self, other: Links) -> Links:
        """The links of both; with scores, the higher one of each link, if both have them."""
        both = None
        if self.scores is not None and other.scores is not None:
            both = np.concatenate([self.scores, other.scores])
        return Links(np.concatenate([self.pairs, other.pairs]), both)

    def __and__(self, other: Links) -> Links:
        return Links(sorted(set(self) & set(other)))

    def __sub__(self, other: Links) -> Links:
        return Links(sorted(set(self) - set(other)))

    def __le__(self, other: Links) -> bool:
        return set(self) <= set(other)

    def __str__(self) -> str:
        """The links in Pharaoh form, 0-based: ``0-0 1-2``."""
        return " ".join(f"{i}-{j}" for i, j in self)

    def __repr__(self) -> str:
        """As :class:`Links` reads it, scores included."""
        if self.scores is None:
            return f"Links({str(self)!r})"
        scored = zip(self, self.scores, strict=True)
        return f"Links({' '.join(f'{i}-{j}:{score!s}' for (i, j), score in scored)!r})"

    def __reduce__(self) -> tuple[object, ...]:
        return (Links, (self.pairs, self.scores))


@dataclass(frozen=True)
class GoldLinks:
    """Gold links of one sentence pair: sure S and possible P, with S a subset of P (Och & Ney 2003).

    ``possible`` holds *all* of P. Sure links missing from it are added, so S is always a subset of P.
    """

    sure: Links
    possible: Links = field(default_factory=Links)

    def __post_init__(self) -> None:
        for name in ("sure", "possible"):  # plain pairs and text are taken as Links takes them
            if not isinstance(getattr(self, name), Links):
                object.__setattr__(self, name, Links(getattr(self, name)))
        if not self.sure <= self.possible:
            object.__setattr__(self, "possible", self.sure | self.possible)

    @property
    def possible_only(self) -> Links:
        """P without S."""
        return self.possible - self.sure

    def reverse(self) -> GoldLinks:
        """The same gold seen from the other side."""
        return GoldLinks(self.sure.reverse(), self.possible.reverse())

    def __str__(self) -> str:
        """TALP form, 0-based: ``0-0`` is sure, ``0p1`` possible only."""
        sure = set(self.sure)
        return " ".join(f"{i}-{j}" if (i, j) in sure else f"{i}p{j}" for i, j in self.possible)
