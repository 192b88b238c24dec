"""Link formats: each a class under its name, formats that share their form in one file.

A format turns a file into :class:`~align_eval.corpora.raw_links.RawLinks` (indices as written) and a
:class:`~align_eval.links.table.LinkTable` into a file. Index base, side order, null links and ranges are the same for
every format and are seen to in :mod:`align_eval.corpora.link_reader`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from typing import IO, ClassVar

from align_eval.corpora.inputs import Input
from align_eval.corpora.pair import SentencePair
from align_eval.corpora.raw_links import RawLinks
from align_eval.errors import InputError
from align_eval.links.table import LinkTable, number_places
from align_eval.registry import Registry

_BREAKS = (" ", "\n", "\t", "\r", "\0")


class LinkFormat(ABC):
    """A reader and a writer of one format. Subclass it, set the class variables, register an instance's class."""

    #: The index base that the format's definition fixes; ``None``: it varies and has to be given or proven.
    own_base: ClassVar[int | None] = None
    #: Whether another base than :attr:`own_base` may be asked for.
    base_may_differ: ClassVar[bool] = True
    #: Whether :attr:`own_base` only holds where the links prove no other one.
    base_is_default: ClassVar[bool] = False
    #: Whether writing, and whether reading, needs the sentences; the latter are given in :attr:`pairs`.
    needs_sentences: ClassVar[bool] = False
    needs_sentences_to_read: ClassVar[bool] = False
    pairs: Sequence[SentencePair] | None = None
    #: Whether what is written of consecutive tables is what is written of them joined.
    writes_in_blocks: ClassVar[bool] = False
    #: Whether a file names its sentence pairs (:attr:`RawLinks.ids`), so that they are matched by name.
    names_sentences: ClassVar[bool] = False
    #: Whether those names are whole numbers.
    names_by_number: ClassVar[bool] = False
    #: Whether a sentence pair without links may be missing from a file.
    skips_empty: ClassVar[bool] = False
    #: Endings of file names (before ``.gz``, ``.xz``, ``.zst``) that say this format when writing.
    suffixes: ClassVar[tuple[str, ...]] = ()
    #: Whether possible-only links and scores can be written.
    has_possible: ClassVar[bool] = True
    has_scores: ClassVar[bool] = False
    #: A sure and a possible link as the format writes them, for messages.
    shown: ClassVar[tuple[str, str]] = ("{}-{}", "{}?{}")

    @abstractmethod
    def read(self, file: Input) -> Iterator[RawLinks]:
        """Yield the links in blocks of consecutive sentence pairs, indices as written.

        Malformed content is a :class:`FormatError` with file, line and what is accepted.
        """

    def sentences(self, file: Input) -> Iterator[tuple[Sequence[str], Sequence[str]]] | None:
        """Yield the words of the (first, second) side of each pair, or ``None``: the format does not hold them."""
        return None

    @abstractmethod
    def write(self, stream: IO[bytes], table: LinkTable, base: int, pairs: Sequence[SentencePair] = ()) -> None:
        """Write ``table`` to ``stream``, ``base`` added to every index.

        ``pairs`` are given if :attr:`needs_sentences`; like the table they are swapped if the file is target-source.
        """

    def check_base(self, name: str, base: int | None) -> None:
        """Raise :class:`InputError` if the format ``name`` cannot have this base; ``None`` fits all."""
        if base is not None and not self.base_may_differ and base != self.own_base:
            raise InputError(
                f"indices of the format {name!r} always count from {self.own_base}",
                remedy=f"Leave the base out or pass {self.own_base}",
            )

    def show(self, first: int, second: int, sure: bool) -> str:
        """A link as the format writes it, for messages; a missing side is -1."""
        return self.shown[not sure].format(first, second)


def plain_words(words: Sequence[str], name: str, separator: str = "") -> str:
    """``words`` between spaces; one that cannot stand so is an :class:`InputError`."""
    for word in words:
        if not word or word == separator or any(mark in word for mark in _BREAKS):
            raise InputError(
                f"word {word[:40]!r} of sentence pair {name!r} cannot be written: it is empty, or holds a space, tab, "
                "line end or NUL, or separates the fields",
                remedy="Write jsonl or parquet, or replace the spaces inside of words",
            )
    return " ".join(words)


def written_names(table: LinkTable) -> list[str]:
    """The numbers that the sentence pairs of ``table`` are written with: its ids if they are numbers, else 1, 2, ..."""
    if table.ids is not None and number_places(table.ids) is not None:
        return list(table.ids)
    return [str(k + 1) for k in range(table.sentences)]


#: All link formats by name.
LINK_FORMATS: Registry[type[LinkFormat]] = Registry("link format", "align_eval.corpora.link_formats")
