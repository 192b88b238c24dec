"""A sentence pair, and many of them: lazy, re-iterable, sliceable."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, overload

from align_eval.errors import InputError, SentenceTooLongError
from align_eval.files import raised_limit

if TYPE_CHECKING:
    from align_eval.links import GoldLinks
    from align_eval.links.table import LinkTable

#: What a sentence may have at most before it goes into a model or an aligner: memory and time of a pair grow with the
#: product of its two lengths. The environment variable raises it.
MOST_WORDS = ("ALIGN_EVAL_MAX_WORDS", 5_000)
MOST_CHARACTERS = ("ALIGN_EVAL_MAX_WORD", 10_000)
MOST_SUBWORDS = ("ALIGN_EVAL_MAX_SUBWORDS", 10_000)


@dataclass(frozen=True, slots=True)
class SentencePair:
    """One sentence and its translation.

    Args:
        id: its name; the position in its file counted from 1 if the file gives none.
        source: the source words.
        target: the target words.
        gold: gold links, 0-based into ``source`` and ``target``, or ``None``.

    >>> SentencePair("1", ("the", "house"), ("das", "Haus")).source_text
    'the house'
    """

    id: str
    source: tuple[str, ...]
    target: tuple[str, ...]
    gold: GoldLinks | None = None

    @property
    def source_text(self) -> str:
        """The source words joined by single spaces."""
        return " ".join(self.source)

    @property
    def target_text(self) -> str:
        """The target words joined by single spaces."""
        return " ".join(self.target)

    def reverse(self) -> SentencePair:
        """The same pair seen from the other side: sides swapped, gold links turned round."""
        return SentencePair(self.id, self.target, self.source, None if self.gold is None else self.gold.reverse())


class Bitext:
    """Sentence pairs, read anew each time they are iterated over; nothing is kept in memory.

    ``len`` counts once, without building pairs where the format allows it, and remembers. ``bitext[3]`` gives a pair,
    ``bitext[10:20]`` a lazy :class:`Bitext`; negative indices and steps need the length or read everything.
    :func:`align_eval.corpora.read_bitext` makes one from files.

    ``list(bitext)`` asks for the length first, as it does of anything that has one; ``bitext.materialise()`` and a
    plain loop do not.

    Args:
        open_pairs: called for each pass; returns an iterator over the pairs from the first on.
        count: gives the number of pairs more cheaply than a pass over them. ``None``: a pass is made.
        name: what it was read from, for messages.
        format: name of the format it is read with.

    >>> b = Bitext.from_pairs([SentencePair("1", ("a",), ("b",)), SentencePair("2", ("c", "d"), ("e",))])
    >>> len(b), b[1].source, [p.id for p in b[:1]]
    (2, ('c', 'd'), ['1'])
    """

    __slots__ = ("_count", "_length", "_open", "format", "name")

    def __init__(
        self,
        open_pairs: Callable[[], Iterator[SentencePair]],
        *,
        count: Callable[[], int] | None = None,
        name: str = "",
        format: str = "",
    ) -> None:
        self._open = open_pairs
        self._count = count
        self._length: int | None = None
        self.name = name
        self.format = format

    @classmethod
    def from_pairs(cls, pairs: Iterable[SentencePair], name: str = "") -> Bitext:
        """A bitext of pairs in memory."""
        kept = tuple(pairs)
        return cls(lambda: iter(kept), count=lambda: len(kept), name=name, format="memory")

    @classmethod
    def from_texts(cls, source: Iterable[str], target: Iterable[str]) -> Bitext:
        """A bitext in memory from two equally long series of sentences whose words are separated by ASCII spaces.

        Raises:
            InputError: one series is longer than the other.
        """
        sources, targets = list(source), list(target)
        if len(sources) != len(targets):
            raise InputError(f"{len(sources)} source but {len(targets)} target sentences")
        return cls.from_pairs(
            SentencePair(str(k), _words(s), _words(t)) for k, (s, t) in enumerate(zip(sources, targets, strict=True), 1)
        )

    def __iter__(self) -> Iterator[SentencePair]:
        """Read the pairs from the first on.

        Raises:
            FormatError: a line does not have the form of the format.
            EncodingError: bytes that are not UTF-8.
            LengthMismatchError: one of two parallel files ends before the other.
            LinkRangeError: a gold link points outside its pair.
        """
        return self._open()

    def __len__(self) -> int:
        if self._length is None:
            self._length = self._count() if self._count is not None else sum(1 for _ in self._open())
        return self._length

    def __bool__(self) -> bool:
        """Whether there is a first pair (this does not count the others)."""
        return self._length != 0 and next(self._open(), None) is not None

    @overload
    def __getitem__(self, index: int) -> SentencePair: ...

    @overload
    def __getitem__(self, index: slice) -> Bitext: ...

    def __getitem__(self, index: int | slice) -> SentencePair | Bitext:
        if isinstance(index, slice):
            return self._slice(index)
        position = index if index >= 0 else len(self) + index
        pair = next(islice(self._open(), position, None), None) if position >= 0 else None
        if pair is None:
            raise IndexError(f"sentence pair {index} of {len(self)}")
        return pair

    def _slice(self, part: slice) -> Bitext:
        start, stop, step = part.start or 0, part.stop, 1 if part.step is None else part.step
        name = f"{self.name}[{'' if part.start is None else part.start}:{'' if stop is None else stop}]"
        if start < 0 or step < 1 or (stop is not None and stop < 0):
            return Bitext.from_pairs(tuple(self)[part], name)

        def count() -> int:
            if self._length is None and self._count is None and stop is not None:
                return sum(1 for _ in islice(self._open(), start, stop, step))
            return len(range(len(self))[start:stop:step])

        return Bitext(lambda: islice(self._open(), start, stop, step), count=count, name=name, format=self.format)

    def materialise(self) -> Bitext:
        """The same pairs in memory, read once; raises what reading raises."""
        kept = Bitext.from_pairs((pair for pair in self), self.name)
        kept.format = self.format
        return kept

    def gold(self) -> LinkTable | None:
        """The gold links of all pairs as one table, or ``None`` if the bitext has none.

        Raises:
            InputError: some pairs have gold and others have not.
        """
        from align_eval.links.table import LinkTable

        golds: list[GoldLinks] = []
        ids: list[str] = []
        missing = None
        for pair in self:
            ids.append(pair.id)
            if pair.gold is not None:
                golds.append(pair.gold)
            elif missing is None:
                missing = pair.id
        if not golds:
            return None
        if len(golds) != len(ids):
            raise InputError(
                f"only {len(golds)} of {len(ids)} sentence pairs have gold links: {missing!r} has none",
                file=self.name or None,
                remedy="Give every pair links (an empty list says that it has none)",
            )
        return LinkTable.from_links(golds, ids)

    def __repr__(self) -> str:
        length = "length not counted yet" if self._length is None else f"{self._length} sentence pairs"
        return f"Bitext({self.name!r}, {length})"


def check_sizes(pairs: Iterable[SentencePair]) -> None:
    """Raise :class:`SentenceTooLongError` for the first sentence that :func:`size_error` refuses."""
    for pair in pairs:
        error = pair_size_error(pair)
        if error is not None:
            raise error


def pair_size_error(pair: SentencePair, subwords: Sequence[int] = (0, 0)) -> SentenceTooLongError | None:
    """The error of a pair one side of which is too large (:func:`size_error`), or ``None``."""
    for side, words, number in (("source", pair.source, subwords[0]), ("target", pair.target, subwords[1])):
        error = size_error(f"the {side} sentence of pair {pair.id}", words, number)
        if error is not None:
            return error
    return None


def size_error(name: str, words: Sequence[str], subwords: int = 0) -> SentenceTooLongError | None:
    """The error of a sentence that is no sentence: base64, minified code, a whole file in a line; else ``None``.

    Args:
        name: what it is called in the message.
        words: its words.
        subwords: its sub-words, once they are known.
    """
    for (variable, usual), size, what in (
        (MOST_WORDS, len(words), "words"),
        (MOST_SUBWORDS, subwords, "sub-words"),
        (MOST_CHARACTERS, max(map(len, words), default=0), "characters"),
    ):
        if size > usual and size > (most := raised_limit(variable, usual)):
            where = f"word {[len(w) for w in words].index(size) + 1} of {name}" if what == "characters" else name
            return SentenceTooLongError(
                f"{where} has {size:,} {what}, the limit is {most:,}",
                remedy=f"Leave it out (--on-long leave) or split it; {variable}={size} takes it, and memory grows with "
                "the product of both sides",
            )
    return None


def _words(text: str) -> tuple[str, ...]:
    return tuple(word for word in text.split(" ") if word)


# Reading builds a pair a line. The __init__ that dataclass writes for a frozen class looks up and calls
# object.__setattr__ four times; storing through the slots themselves takes half the time.
_set_id, _set_source, _set_target, _set_gold = (
    SentencePair.__dict__[name].__set__ for name in ("id", "source", "target", "gold")
)
_new = object.__new__


def make_pair(id: str, source: tuple[str, ...], target: tuple[str, ...], gold: GoldLinks | None) -> SentencePair:
    """``SentencePair(id, source, target, gold)``, faster; for readers."""
    pair = _new(SentencePair)
    _set_id(pair, id)
    _set_source(pair, source)
    _set_target(pair, target)
    _set_gold(pair, gold)
    return pair
