"""A test set: sentence pairs with gold links, a name and a checksum. Named ones and a user's own are of one type."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from align_eval.errors import InputError

if TYPE_CHECKING:
    from align_eval.corpora.pair import SentencePair
    from align_eval.links.table import LinkTable


REVERSE = ":reverse"
"""Behind the name of a set whose source and target are swapped."""


@dataclass(frozen=True)
class TestSet:
    """Sentence pairs with gold links: a named set of :func:`align_eval.load_testset`, or a user's own.

    Attributes:
        name: its name in the registry; of an own set the name given, or the name of its file.
        read: gives the sentence pairs; called once, when they are first asked for.
        table: the gold links as a table, 0-based, source first, S a subset of P; ``None``: there are none.
        checksum: sha256 (hex), stands in the signature of a score: of a registered set over the sha256 sums of its
            files in order, of an own one over its words and links (:func:`content_checksum`).
        source_language, target_language: ISO 639-1 codes; empty where they are not known.
        title: what it is, in a few words.
        version: of the registry entry.
        citation: the references to cite, one a line.
        licence: as the origin states it.
        files: what it was read from.
        base: the index base of the links *in the files* (the package counts from 0).
    """

    __test__: ClassVar[bool] = False

    name: str
    read: Callable[[], Sequence[SentencePair]] = field(repr=False, compare=False)
    table: LinkTable | None = field(repr=False, compare=False)
    checksum: str
    source_language: str = ""
    target_language: str = ""
    title: str = ""
    version: str = ""
    citation: str = field(default="", repr=False)
    licence: str = ""
    files: tuple[Path, ...] = field(default=(), compare=False)
    base: int = 0

    def __len__(self) -> int:
        """The number of sentence pairs."""
        return len(self.sentences) if self.table is None else self.table.sentences

    @property
    def gold(self) -> LinkTable:
        """The gold links as a table.

        Raises:
            InputError: the set has none.
        """
        if self.table is None:
            raise InputError(
                f"{self.name} has no gold links to score against", remedy="Give them: --gold FILE (gold= in Python)"
            )
        return self.table

    @cached_property
    def pairs(self) -> list[SentencePair]:
        """The sentence pairs with their gold links; read when first asked for.

        Raises:
            LengthMismatchError: another number of sentence pairs than of gold lines.
            LinkRangeError: a gold link lies outside its sentence pair.
            ChecksumError: a file of a registered set has changed since it was loaded.
        """
        from align_eval.corpora.pair import SentencePair

        if self.table is None:
            return self.sentences
        return [SentencePair(p.id, p.source, p.target, self.table.gold(k)) for k, p in enumerate(self.sentences)]

    @cached_property
    def sentences(self) -> list[SentencePair]:
        """The sentence pairs as they are in the file, which is quicker: without gold, unless the file holds it too.

        Raises:
            LengthMismatchError, LinkRangeError, ChecksumError: as :attr:`pairs`.
        """
        return list(self.read())

    def reverse(self) -> TestSet:
        """The set with source and target swapped, ``:reverse`` behind its name (or gone).

        Raises:
            LengthMismatchError, LinkRangeError, ChecksumError: as :attr:`pairs`.
        """
        turned = [pair.reverse() for pair in self.sentences]
        return replace(
            self,
            name=self.name.removesuffix(REVERSE) if self.name.endswith(REVERSE) else f"{self.name}{REVERSE}",
            read=partial(list, turned),
            table=None if self.table is None else self.table.reverse(),
            source_language=self.target_language,
            target_language=self.source_language,
        )


def content_checksum(pairs: Iterable[SentencePair]) -> str:
    """The sha256 (hex) of the words and gold links of sentence pairs, whatever format and names they have."""
    digest = hashlib.sha256()
    for pair in pairs:
        gold = None if pair.gold is None else str(pair.gold)
        digest.update(json.dumps([pair.source, pair.target, gold]).encode() + b"\n")
    return digest.hexdigest()
