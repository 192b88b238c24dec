"""Link formats: one file a format, one registration each.

A format turns a file into :class:`~align_eval.corpora.raw_links.RawLinks` (indices as written) and a
:class:`~align_eval.links.table.LinkTable` into a file. Index base, side order, null links and ranges are the same for
every format and are seen to in :mod:`align_eval.corpora.linkio`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, ClassVar

from align_eval.corpora.link_formats._input import LinkInput
from align_eval.corpora.raw_links import RawLinks
from align_eval.errors import InputError
from align_eval.links.table import LinkTable
from align_eval.registry import Registry

if TYPE_CHECKING:
    from align_eval.corpora.pair import SentencePair


@dataclass(frozen=True)
class WriteOptions:
    """How a table is to be written.

    ``base`` is added to every index. ``sentences`` are the sentence pairs in the order of the file (already swapped if
    the file is target-source) or ``None``; the table handed to the writer is swapped likewise.
    """

    base: int = 0
    sentences: Sequence[SentencePair] | None = None


class LinkFormat(ABC):
    """A reader and a writer of one format. Subclass it, set the class variables, register an instance's class."""

    #: The index base that the format's definition fixes; ``None``: it varies and has to be given or proven.
    own_base: ClassVar[int | None] = None
    #: Whether another base than :attr:`own_base` may be asked for.
    base_may_differ: ClassVar[bool] = True
    #: Whether writing needs the sentences.
    needs_sentences: ClassVar[bool] = False
    #: Whether :attr:`own_base` only holds where the links prove no other one.
    base_is_default: ClassVar[bool] = False
    #: Whether what is written of consecutive tables is what is written of them joined.
    writes_in_blocks: ClassVar[bool] = False
    #: Whether reading needs the sentences.
    needs_sentences_to_read: ClassVar[bool] = False
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

    @abstractmethod
    def read(self, file: LinkInput, pairs: Sequence[SentencePair] | None = None) -> Iterator[RawLinks]:
        """Yield the links in blocks of consecutive sentence pairs, indices as written."""

    def sentences(self, file: LinkInput) -> Iterator[tuple[list[str], list[str]]] | None:
        """Yield the words of the (first, second) side of each pair, or ``None``: the format does not hold them."""
        return None

    @abstractmethod
    def write(self, stream: IO[bytes], table: LinkTable, options: WriteOptions) -> None:
        """Write ``table`` to ``stream``."""

    def check_base(self, name: str, base: int | None) -> None:
        """Raise :class:`InputError` if the format ``name`` cannot have this base; ``None`` fits all."""
        if base is not None and not self.base_may_differ and base != self.own_base:
            raise InputError(
                f"indices of the format {name!r} always count from {self.own_base}",
                remedy=f"Leave the base out or pass {self.own_base}",
            )

    def show(self, first: int, second: int, sure: bool) -> str:
        """A link as the format writes it, for messages."""
        return f"{first}-{second}" if sure else f"{first}?{second}"


#: All link formats by name.
LINK_FORMATS: Registry[type[LinkFormat]] = Registry("link format", "align_eval.corpora.link_formats")

__all__ = ["LINK_FORMATS", "LinkFormat", "LinkInput", "RawLinks", "WriteOptions"]
