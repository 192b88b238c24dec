"""The sentence pairs that words are hidden in: a test set in either direction, or any bitext with links."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from align_eval.corpora.pair import SentencePair
from align_eval.errors import InputError

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


def corpus_of(testset: TestSet, *, silver: bool = False) -> InfillCorpus:
    """A test set as a corpus.

    Args:
        testset: a named one or own data, with gold links or without.
        silver: the links were made by a model. A set whose title begins with ``Silver`` says so itself.

    Raises:
        InputError: no sentence pair, or, of a single one, a side without a word.
    """
    if len(testset) == 1 and not (testset.pairs[0].source and testset.pairs[0].target):
        raise InputError("a side of the pair has no word", remedy="Give both sentences, words between spaces")
    silver = silver or testset.title.lower().startswith("silver")
    kind = "none" if testset.table is None else "silver" if silver else "gold"
    return InfillCorpus(
        testset.name, tuple(testset.pairs), testset.source_language, testset.target_language, kind, testset.checksum
    )


def in_languages(model: Any, corpus: InfillCorpus) -> Any:
    """The model for the languages of a corpus, where it takes languages that are not chosen yet.

    Raises:
        InputError: it does not have them, or was loaded for another one.
    """
    if not corpus.target_language:
        return model
    from align_eval.runs.sweep import for_testset

    return for_testset(model, cast("TestSet", corpus))  # it looks at the two languages alone
