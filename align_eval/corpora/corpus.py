"""The one type of text: sentence pairs, and what is known of them (name, languages, gold links, checksum)."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, overload

from align_eval.corpora.pair import SentencePair
from align_eval.corpora.words import split_words
from align_eval.errors import InputError

if TYPE_CHECKING:
    from align_eval.links import GoldLinks
    from align_eval.links.table import LinkTable

REVERSE = ":reverse"
"""Behind the name of a corpus whose source and target are swapped."""


@dataclass(frozen=True, eq=False, repr=False)
class Corpus:
    """Sentence pairs: a test set with a name and gold links, a user's own data, or a large file that is read lazily.

    :func:`align_eval.read_bitext` gives one that reads its file anew for each pass and keeps nothing in memory;
    :func:`align_eval.load_testset` and :func:`align_eval.make_testset` give one that keeps its pairs. ``len`` counts
    once, without building pairs where the format allows it. ``corpus[3]`` gives a pair, ``corpus[10:20]`` a lazy
    corpus; negative indices and steps need the length or read everything. ``list(corpus)`` asks for the length first,
    as it does of anything that has one; ``corpus.pairs`` and a plain loop do not.

    Attributes:
        read: gives the sentence pairs from the first on as they are in the file: those of a file of links lack gold.
        name: of the registry, or given; else what it was read from. ``:reverse`` behind it: swapped.
        source_language, target_language: ISO 639-1 codes; empty where they are not known.
        format: name of the format it is read with.
        title: what it is, in a few words.
        version: of the registry entry; empty for own data.
        citation: the references to cite, one a line.
        licence: as the origin states it.
        files: what it was read from.
        base: the index base of the links *in the files* (the package counts from 0).
        links: gold links that are read apart from the pairs, see :attr:`table`.
        registered: checksum of a registered set, see :attr:`checksum`.
        silver: the links were made by a model, not by people. A title that begins with ``Silver`` says so too.
        detokenize: how :attr:`source_texts` and :attr:`target_texts` are made of words, ``none`` or ``moses``.
        kept: the pairs are read once and stay in memory.
        count: gives the number of pairs more cheaply than a pass over them.
        whole: the corpus that this one is part of, or swapped from.

    >>> corpus = Corpus.from_pairs([SentencePair("1", ("a",), ("b",)), SentencePair("2", ("c", "d"), ("e",))])
    >>> len(corpus), corpus[1].source, [p.id for p in corpus[:1]]
    (2, ('c', 'd'), ['1'])
    """

    __test__: ClassVar[bool] = False

    read: Callable[[], Iterable[SentencePair]]
    name: str = ""
    source_language: str = ""
    target_language: str = ""
    format: str = ""
    title: str = ""
    version: str = ""
    citation: str = ""
    licence: str = ""
    files: tuple[Path, ...] = ()
    base: int = 0
    links: LinkTable | None = None
    registered: str = ""
    silver: bool = False
    detokenize: str = "none"
    kept: bool = False
    count: Callable[[], int] | None = None
    whole: Corpus | None = None

    @classmethod
    def from_pairs(
        cls, pairs: Iterable[SentencePair], name: str = "", source_language: str = "", target_language: str = ""
    ) -> Corpus:
        """A corpus of pairs in memory."""
        return cls(partial(list, tuple(pairs)), name, source_language, target_language, "memory", kept=True)

    @classmethod
    def from_texts(cls, source: Iterable[str], target: Iterable[str]) -> Corpus:
        """A corpus in memory of two equally long series of sentences whose words are separated by ASCII spaces.

        Raises:
            InputError: one series is longer than the other.
        """
        sources, targets = list(source), list(target)
        if len(sources) != len(targets):
            raise InputError(f"{len(sources)} source but {len(targets)} target sentences")
        sides = enumerate(zip(sources, targets, strict=True), 1)
        return cls.from_pairs(SentencePair(str(k), split_words(s), split_words(t)) for k, (s, t) in sides)

    def __iter__(self) -> Iterator[SentencePair]:
        """The pairs from the first on, with the gold links that there are.

        Raises:
            FormatError: a line does not have the form of the format.
            EncodingError: bytes that are not UTF-8.
            LengthMismatchError: one of two parallel files ends before the other, or gold of another number of pairs.
            LinkRangeError: a gold link points outside its pair.
            ChecksumError: a file of a registered set has changed since it was loaded.
        """
        return iter(self.pairs if self.kept else self.read())

    @cached_property
    def pairs(self) -> list[SentencePair]:
        """The pairs in memory, with the gold links that there are; raises what reading raises."""
        if self.links is None:
            return [pair for pair in self.read()]  # noqa: C416 - list() would ask for the length
        return [SentencePair(p.id, p.source, p.target, self.links.gold(k)) for k, p in enumerate(self.read())]

    def __len__(self) -> int:
        return self._length

    @cached_property
    def _length(self) -> int:
        if self.links is not None:
            return self.links.sentences
        if self.kept:
            return len(self.pairs)
        return sum(1 for _ in self.read()) if self.count is None else self.count()

    def __bool__(self) -> bool:
        """Whether there is a first pair (this does not count the others)."""
        return len(self) > 0 if self.kept else next(iter(self), None) is not None

    @overload
    def __getitem__(self, index: int) -> SentencePair: ...

    @overload
    def __getitem__(self, index: slice) -> Corpus: ...

    def __getitem__(self, index: int | slice) -> SentencePair | Corpus:
        if isinstance(index, slice):
            return self._slice(index)
        position = index if index >= 0 else len(self) + index
        pair = next(islice(self, position, None), None) if position >= 0 else None
        if pair is None:
            raise IndexError(f"sentence pair {index} of {len(self)}")
        return pair

    def _slice(self, part: slice) -> Corpus:
        start, stop, step = part.start or 0, part.stop, 1 if part.step is None else part.step
        name = f"{self.name}[{'' if part.start is None else part.start}:{'' if stop is None else stop}]"
        if start < 0 or step < 1 or (stop is not None and stop < 0):
            return replace(self.part(range(len(self))[part]), name=name, registered="", whole=None)

        def read() -> Iterator[SentencePair]:
            return islice(self, start, stop, step)

        def count() -> int:
            if "_length" not in vars(self) and self.count is None and stop is not None:
                return sum(1 for _ in read())
            return len(range(len(self))[start:stop:step])

        return replace(
            self, read=read, name=name, count=count, kept=False, links=None, registered="", version="", whole=None
        )  # fmt: skip

    def part(self, kept: Iterable[int]) -> Corpus:
        """The pairs at these positions, from 0, in memory; name and checksum stay those of the whole."""
        pairs = [self.pairs[k] for k in kept]
        return replace(self, read=partial(list, pairs), links=None, count=None, kept=True, version="", whole=self)

    def reverse(self) -> Corpus:
        """The corpus with source and target swapped, ``:reverse`` behind its name (or gone), read as this one is."""
        return replace(
            self,
            read=partial(_reversed, self.read),
            name=self.base_name if self.reversed else f"{self.name}{REVERSE}",
            links=None if self.links is None else self.links.reverse(),
            source_language=self.target_language,
            target_language=self.source_language,
            whole=self,
        )

    @property
    def reversed(self) -> bool:
        """Whether source and target are swapped."""
        return self.name.endswith(REVERSE)

    @property
    def base_name(self) -> str:
        """The name of the corpus before source and target were swapped."""
        return self.name.removesuffix(REVERSE)

    @property
    def direction(self) -> str:
        """``en-de``: source and target language; empty if one is not known."""
        known = self.source_language and self.target_language
        return f"{self.source_language}-{self.target_language}" if known else ""

    @cached_property
    def table(self) -> LinkTable | None:
        """The gold links as a table, 0-based, source first, S a subset of P; ``None``: there are none.

        Raises:
            InputError: some pairs have gold and others have not; and what reading raises.
        """
        from align_eval.links.table import LinkTable

        if self.links is not None:
            return self.links
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

    @property
    def gold(self) -> LinkTable:
        """The gold links as :attr:`table`.

        Raises:
            InputError: there are none; and as :attr:`table`.
        """
        if self.table is None:
            raise InputError(
                f"{self.name} has no gold links to score against", remedy="Give them: --gold FILE (gold= in Python)"
            )
        return self.table

    @property
    def gold_kind(self) -> str:
        """``gold``; ``silver`` for links that a model made; ``none``."""
        if self.table is None:
            return "none"
        return "silver" if self.silver or self.title.lower().startswith("silver") else "gold"

    @cached_property
    def checksum(self) -> str:
        """The sha256 (hex) that stands in the signature of a score.

        Of a registered set it is made of the sha256 sums of its files in order, else of the words and gold links.
        """
        if self.registered or self.whole is not None:
            return self.registered or (self.whole or self).checksum
        digest = hashlib.sha256()
        for pair in self:
            gold = None if pair.gold is None else str(pair.gold)
            digest.update(json.dumps([pair.source, pair.target, gold]).encode() + b"\n")
        return digest.hexdigest()

    @cached_property
    def source_texts(self) -> tuple[str, ...]:
        """The source sentences as text: words joined by single spaces, or detokenised (:attr:`detokenize`)."""
        return self._texts(self.source_language, [pair.source for pair in self.pairs])

    @cached_property
    def target_texts(self) -> tuple[str, ...]:
        """The target sentences as text, see :attr:`source_texts`."""
        return self._texts(self.target_language, [pair.target for pair in self.pairs])

    def _texts(self, language: str, sentences: Sequence[Sequence[str]]) -> tuple[str, ...]:
        from align_eval.corpora.words import load_detokenizer

        return tuple(map(load_detokenizer(self.detokenize, language), sentences))

    def __repr__(self) -> str:
        counted = self.kept or "_length" in vars(self)
        length = f"{len(self)} sentence pairs" if counted else "length not counted yet"
        return f"Corpus({self.name!r}, {length})"


def _reversed(read: Callable[[], Iterable[SentencePair]]) -> Iterator[SentencePair]:
    return (pair.reverse() for pair in read())
