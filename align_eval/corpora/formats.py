"""The interface of a bitext format, and the registry of all of them.

A format is a subclass of :class:`BitextFormat` in ``align_eval/corpora/bitext_formats/``, registered under its name. It
turns a file into records and pairs into a file; splitting into words, side order and ids are done for all by
:mod:`align_eval.corpora.readers`.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, Union

from align_eval.corpora.inputs import Input
from align_eval.corpora.pair import SentencePair
from align_eval.errors import InputError
from align_eval.registry import Option, Registry

if TYPE_CHECKING:
    from align_eval.links import GoldLinks

# One side of a pair as a format gives it: text that is still to be split, or words.
Side = Union[str, "tuple[str, ...]"]
# (id or None, source, target, gold or None, line counted from 1 or None)
Record = tuple["str | None", Side, Side, "GoldLinks | None", "int | None"]
Options = Mapping[str, Any]


@dataclass(frozen=True)
class Head:
    """The beginning of a file, decompressed, for telling its format; ``asked`` are the options that were given."""

    data: bytes
    whole: bool
    asked: Options = field(default_factory=dict)

    @cached_property
    def text(self) -> str:
        """The bytes decoded by their byte order mark, else as UTF-8; what cannot be decoded is replaced."""
        if self.data.startswith((b"\xff\xfe", b"\xfe\xff")):
            return self.data.decode("utf-16", errors="replace")
        return self.data.decode("utf-8-sig", errors="replace")

    @cached_property
    def lines(self) -> list[str]:
        """The complete lines (all lines if the file is whole), at most 1000."""
        lines = re.split(r"\r?\n", self.text) if self.data else []
        if len(lines) > 1 and (not self.whole or not lines[-1]):
            lines.pop()
        return lines[:1000]


def ratio(fits: Iterable[bool]) -> float:
    """The ratio of lines that fit, 0 to 1."""
    results = list(fits)
    return sum(results) / len(results) if results else 0.0


class BitextFormat(ABC):
    """Reads and writes one format.

    Attributes:
        summary: what the format is, one line.
        options: the options of reading by name.
        write_options: names of the keyword options of writing.
        parallel: whether it is made of two files.
        holds_gold: whether the format can store gold links.
    """

    summary: str = ""
    options: ClassVar[Mapping[str, Option]] = {}
    write_options: ClassVar[Mapping[str, str]] = {}
    parallel: bool = False
    holds_gold: bool = False

    def detect(self, head: Head) -> float:
        """How surely ``head`` is of this format: 0 no, up to 1 by the ratio of lines that fit, above 1 by a proof."""
        return 0.0

    def check_options(self, options: Options) -> None:  # noqa: B027
        """Raise :class:`InputError` if a value of ``options`` cannot be used. Names are checked already."""

    def notes(self, source: Input, target: Input | None, options: Options) -> list[str]:
        """What a user should know of how these files are read, beyond the format's name; nothing by default."""
        return []

    @abstractmethod
    def records(self, source: Input, target: Input | None, options: Options) -> Iterator[Record]:
        """Yield the records from the first on; called for each pass."""

    def count(self, source: Input, target: Input | None, options: Options) -> int:
        """The number of records, more cheaply than by reading them where that is possible."""
        return sum(1 for _ in self.records(source, target, options))

    def write(self, path: str, target: str | None, pairs: Iterable[SentencePair], options: Options) -> None:
        """Write ``pairs`` whole or not at all."""
        raise InputError("this format can be read, not written", remedy="Choose another format")


FORMATS: Registry[BitextFormat] = Registry("bitext format", "align_eval.corpora.bitext_formats")
