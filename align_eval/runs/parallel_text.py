"""A text to translate with its reference translation, from a test set."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from align_eval.corpora.detokenize import load_detokenizer
from align_eval.errors import EmptyGoldError, InputError
from align_eval.links.table import LinkTable
from align_eval.models.languages import ISO3

if TYPE_CHECKING:
    from align_eval.corpora import SentencePair, TestSet

_ISO1 = {three: two for two, three in ISO3.items()}


@dataclass(frozen=True)
class ParallelText:
    """Sentences with their reference translations.

    Attributes:
        name: of the test set, or of the file.
        pairs: source and reference words, with gold links if the text has them; turned round if asked for.
        sources, references: the texts that are translated and scored against: words joined, or detokenised.
        source_language, target_language: ISO 639-1 codes of the sides, ``None`` where they are not known.
        gold: gold links of all pairs, or ``None``.
        checksum: sha256 (hex): the test set's, or over the pairs.
        base: index base of the gold file, where it is known.
        reverse: the sides were turned round.
        detokenize: how words became text, see :func:`align_eval.corpora.detokenize.load_detokenizer`.
    """

    name: str
    pairs: tuple[SentencePair, ...] = field(repr=False)
    sources: tuple[str, ...] = field(repr=False)
    references: tuple[str, ...] = field(repr=False)
    source_language: str | None
    target_language: str | None
    gold: LinkTable | None = field(repr=False)
    checksum: str
    base: int | None = None
    reverse: bool = False
    detokenize: str = "none"

    def __len__(self) -> int:
        """The number of sentence pairs."""
        return len(self.pairs)

    def part(self, kept: Sequence[int]) -> ParallelText:
        """The pairs of the positions ``kept``."""
        pairs = tuple(self.pairs[k] for k in kept)
        gold = None if self.gold is None else LinkTable.from_links([self.gold.gold(k) for k in kept])
        return ParallelText(
            self.name, pairs, tuple(self.sources[k] for k in kept), tuple(self.references[k] for k in kept),
            self.source_language, self.target_language, gold, self.checksum, self.base, self.reverse, self.detokenize,
        )  # fmt: skip


def plain_language(code: str | None) -> str | None:
    """The ISO 639-1 code in a tokenizer's code of a language.

    >>> [plain_language(c) for c in ("de", "deu_Latn", "de_DE", "__de__", ">>de<<", "zh-CN", None)]
    ['de', 'de', 'de', 'de', 'de', 'zh', None]
    """
    if not code:
        return None
    first = re.split(r"[_-]", code.strip("<>_"))[0].lower()
    return _ISO1.get(first, first)


def open_text(
    testset: str | TestSet,
    *,
    reverse: bool = False,
    source_language: str | None = None,
    target_language: str | None = None,
    detokenize: str = "none",
    limit: int | None = None,
) -> ParallelText:
    """A text to translate, in memory.

    Args:
        testset: a named test set, or one of :func:`align_eval.make_testset`, with gold links or without.
        reverse: translate the second side into the first; gold links are turned round.
        source_language, target_language: of the sides as they are translated, in any form that
            :func:`plain_language` reads. A test set knows its own.
        detokenize: ``none`` or ``moses``, see :mod:`align_eval.corpora.detokenize`. It changes the text that is
            translated and scored against; gold links and attention keep the words.
        limit: the first pairs only.

    Raises:
        UnknownNameError: no such test set.
        InputError: one language on both sides, or other languages than the test set's.
        EmptyGoldError: gold links for the pairs, but not a single one.
        AlignEvalError: what reading raises.
    """
    from align_eval.corpora import load_testset

    given = load_testset(testset) if isinstance(testset, str) else testset
    named = (plain_language(source_language), plain_language(target_language))
    own = (given.source_language or None, given.target_language or None)
    languages = _checked(given.name, own[::-1] if reverse else own, named, reverse)
    if languages[0] and languages[0] == languages[1]:
        raise InputError(
            f"the source and the target language are both {languages[0]}",
            remedy="Give two languages with --source-language and --target-language",
        )
    pairs = given.pairs[:limit]
    if given.table is not None and not any(pair.gold is not None and pair.gold.possible for pair in pairs):
        raise EmptyGoldError(
            f"{given.name} has gold links for {len(pairs)} sentence pairs but not a single one",
            remedy="Give gold links, or a text without them",
        )
    if reverse:
        pairs = [pair.reverse() for pair in pairs]
    joined = [load_detokenizer(detokenize, language) for language in languages]
    gold = None if given.table is None else LinkTable.from_links([p.gold for p in pairs if p.gold is not None])
    return ParallelText(
        given.name,
        tuple(pairs),
        tuple(joined[0](pair.source) for pair in pairs),
        tuple(joined[1](pair.target) for pair in pairs),
        *languages,
        gold,
        given.checksum,
        given.base,
        reverse,
        detokenize,
    )


def _checked(
    name: str, own: tuple[str | None, str | None], named: tuple[str | None, str | None], reverse: bool
) -> tuple[str | None, str | None]:
    """The languages of a test set, or those that the user named where it does not know them."""
    for side, known, given in zip(("source", "target"), own, named, strict=True):
        if given and known and given != known:
            turned = "Leave --reverse out" if reverse else "Give --reverse"
            what = "sources" if side == "source" else "references"
            raise InputError(
                f"the {what} of {name} are {known}, not {given}",
                remedy=f"{turned} to translate the other way" if given in own else f"Leave --{side}-language out",
            )
    return own[0] or named[0], own[1] or named[1]
