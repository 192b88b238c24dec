"""The sentence pairs that words are hidden in: a test set in either direction, or any bitext with links."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from align_eval.corpora.pair import SentencePair
from align_eval.errors import InputError
from align_eval.links import GoldLinks, Links

if TYPE_CHECKING:
    from align_eval.corpora import TestSet

GOLD_KINDS = ("gold", "silver", "none")


@dataclass(frozen=True)
class InfillCorpus:
    """Sentence pairs with what is known of them.

    Attributes:
        name: of the test set, or of the file.
        pairs: the pairs, words of the target side to be hidden.
        source_language, target_language: ISO 639-1 codes; empty if not known.
        gold: ``"gold"``; ``"silver"`` for links that a model made, not people; ``"none"``.
        checksum: sha256 of the test set's files; empty for other texts.
    """

    name: str
    pairs: tuple[SentencePair, ...]
    source_language: str = ""
    target_language: str = ""
    gold: str = "gold"
    checksum: str = ""

    def __post_init__(self) -> None:
        if self.gold not in GOLD_KINDS:
            raise InputError(f"gold={self.gold!r} is not one of {', '.join(GOLD_KINDS)}")
        if not self.pairs:
            raise InputError(f"{self.name} has no sentence pairs")

    @property
    def direction(self) -> str:
        """``en-de``: source and target language; empty if one is not known."""
        known = self.source_language and self.target_language
        return f"{self.source_language}-{self.target_language}" if known else ""

    def reverse(self) -> InfillCorpus:
        """The same pairs seen from the other side: the words of what was the source are to be hidden."""
        return InfillCorpus(
            self.name,
            tuple(pair.reverse() for pair in self.pairs),
            self.target_language,
            self.source_language,
            self.gold,
            self.checksum,
        )

    def first(self, limit: int | None) -> InfillCorpus:
        """The first so many pairs; all for ``None``.

        Raises:
            InputError: fewer than one.
        """
        if limit is None:
            return self
        if limit < 1:
            raise InputError(f"a limit of {limit} leaves no sentence pairs")
        return InfillCorpus(
            self.name, self.pairs[:limit], self.source_language, self.target_language, self.gold, self.checksum
        )


def corpus_of(testset: TestSet) -> InfillCorpus:
    """A named test set as a corpus. One whose title begins with ``Silver`` has silver links."""
    silver = testset.title.lower().startswith("silver")
    return InfillCorpus(
        testset.name,
        tuple(testset.pairs),
        testset.source_language,
        testset.target_language,
        "silver" if silver else "gold",
        testset.checksum,
    )


def corpus_of_files(
    bitext: str,
    gold: str | None,
    *,
    languages: Sequence[str | None] = (None, None),
    bitext_format: str = "auto",
    gold_format: str = "auto",
    gold_base: int | str = "auto",
    silver: bool = False,
) -> InfillCorpus:
    """A bitext with a file of links, line for line, as a corpus.

    Args:
        bitext: sentence pairs, in any format of :func:`align_eval.corpora.read_bitext`.
        gold: links in any format of :func:`align_eval.corpora.read_links`; ``None``: those that the bitext itself
            holds, if it does.
        languages: source and target, ISO 639-1.
        bitext_format, gold_format, gold_base: see these functions.
        silver: the links were made by a model.

    Raises:
        AlignEvalError: what reading the files raises.
    """
    from align_eval.corpora import read_bitext, read_links

    pairs = list(read_bitext(bitext, format=bitext_format).materialise())
    if gold is not None:
        table = read_links(gold, format=gold_format, base=gold_base, bitext=pairs)
        pairs = [SentencePair(p.id, p.source, p.target, table.gold(k)) for k, p in enumerate(pairs)]
    known = any(pair.gold is not None for pair in pairs)
    kind = "none" if not known else "silver" if silver else "gold"
    return InfillCorpus(Path(bitext).name, tuple(pairs), languages[0] or "", languages[1] or "", kind)


def corpus_of_texts(
    source: str,
    target: str,
    gold: str | None = None,
    *,
    languages: Sequence[str | None] = (None, None),
    silver: bool = False,
) -> InfillCorpus:
    """One pair of sentences as a corpus.

    Args:
        source, target: words between single spaces.
        gold: links as text, 0-based, source first: ``"0-0 1-2 2p3"`` (``p``: possible only); or a file with them.
        languages: source and target, ISO 639-1.
        silver: the links were made by a model.

    Raises:
        InputError: a side without a word, or a text that is neither links nor a file.
        LinkRangeError: a link outside of the pair.
    """
    from align_eval.corpora.tokenize import split_words

    words = split_words(source), split_words(target)
    if not all(words):
        raise InputError("a side of the pair has no word", remedy="Give both sentences, words between spaces")
    links = None if gold is None else _links_of(gold, SentencePair("1", *words))
    kind = "none" if links is None else "silver" if silver else "gold"
    return InfillCorpus("one pair", (SentencePair("1", *words, links),), languages[0] or "", languages[1] or "", kind)


def _links_of(text: str, pair: SentencePair) -> GoldLinks:
    found = [re.fullmatch(r"(\d+)([-p])(\d+)", part) for part in text.split()]
    if not all(found):
        if not Path(text).is_file():
            raise InputError(
                f"{text!r} is neither links nor a file",
                remedy="Write links as 0-0 1-2 2p3, counted from 0, source first",
            )
        from align_eval.corpora import read_links

        return read_links(text, bitext=[pair]).gold(0)
    links = [(int(m[1]), int(m[3]), m[2] == "-") for m in found if m]
    gold = GoldLinks(Links([(i, j) for i, j, sure in links if sure]), Links([(i, j) for i, j, _ in links]))
    gold.possible.check_range(len(pair.source), len(pair.target))
    return gold


def in_languages(model: Any, corpus: InfillCorpus) -> Any:
    """The model for the languages of a corpus, where it takes languages that are not chosen yet.

    Raises:
        InputError: it does not have them, or was loaded for another one.
    """
    if not corpus.target_language:
        return model
    from align_eval.runs.sweep import for_testset

    return for_testset(model, cast("TestSet", corpus))  # it looks at the two languages alone
