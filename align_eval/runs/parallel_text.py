"""A text to translate with its reference translation, from a named test set or a bitext."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from align_eval.corpora.detokenize import load_detokenizer
from align_eval.corpora.testset import content_checksum
from align_eval.errors import EmptyGoldError, InputError, UnknownNameError
from align_eval.link_table import LinkTable
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
    name: str,
    target: str | None = None,
    *,
    format: str = "auto",
    reverse: bool = False,
    source_language: str | None = None,
    target_language: str | None = None,
    detokenize: str = "none",
    limit: int | None = None,
) -> ParallelText:
    """Read a text to translate into memory.

    Args:
        name: a test set, or a bitext that :func:`align_eval.corpora.read_bitext` reads (the source file, with
            ``target``). What has a folder in its name or exists as a file is a file.
        target: the file of the references, if the sides are in two files.
        format: of the bitext.
        reverse: translate the second side into the first; gold links are turned round.
        source_language, target_language: of the sides as they are translated, in any form that
            :func:`plain_language` reads. A test set knows its own.
        detokenize: ``none`` or ``moses``, see :mod:`align_eval.corpora.detokenize`. It changes the text that is
            translated and scored against; gold links and attention keep the words.
        limit: the first pairs only.

    Raises:
        UnknownNameError: neither a file nor a test set.
        InputError: no pairs, one language on both sides, or other languages than the test set's.
        AlignEvalError: what reading raises.
    """
    languages = (plain_language(source_language), plain_language(target_language))
    base: int | None = None
    checksum = None
    if target is not None or name == "-" or os.sep in name or os.path.exists(name):
        from align_eval.corpora import read_bitext

        pairs = list(islice(read_bitext(name, target, format=format), limit))
        label = "stdin" if name == "-" else Path(name).name
    else:
        if format != "auto":
            raise InputError(f"the test set {name!r} knows its format", remedy="Leave --bitext-format out")
        testset = _testset(name)
        pairs = testset.pairs[:limit]
        label, base, checksum = testset.name, testset.base, testset.checksum
        own = (testset.source_language, testset.target_language)
        languages = _checked(label, own[::-1] if reverse else own, languages, reverse)
    if not pairs:
        raise InputError(
            "there is no sentence pair", file=None if checksum else name, remedy="Give a text that has one"
        )
    if languages[0] and languages[0] == languages[1]:
        raise InputError(
            f"the source and the target language are both {languages[0]}",
            remedy="Give two languages with --source-language and --target-language",
        )
    if reverse:
        pairs = [pair.reverse() for pair in pairs]
    joined = [load_detokenizer(detokenize, language) for language in languages]
    return ParallelText(
        label,
        tuple(pairs),
        tuple(joined[0](pair.source) for pair in pairs),
        tuple(joined[1](pair.target) for pair in pairs),
        *languages,
        _gold(pairs, label),
        checksum or content_checksum(pairs),
        base,
        reverse,
        detokenize,
    )


def _testset(name: str) -> TestSet:
    from align_eval.corpora import load_testset

    try:
        return load_testset(name)
    except UnknownNameError as error:
        if error.kind != "test set":
            raise
        raise UnknownNameError("test set (and there is no such file)", name, error.known) from None


def _checked(
    name: str, own: tuple[str, str], named: tuple[str | None, str | None], reverse: bool
) -> tuple[str | None, str | None]:
    """The languages of a test set, if those that the user named are not others."""
    for side, known, given in zip(("source", "target"), own, named, strict=True):
        if given and given != known:
            turned = "Leave --reverse out" if reverse else "Give --reverse"
            what = "sources" if side == "source" else "references"
            raise InputError(
                f"the {what} of {name} are {known}, not {given}",
                remedy=f"{turned} to translate the other way" if given in own else f"Leave --{side}-language out",
            )
    return own


def _gold(pairs: Sequence[SentencePair], name: str) -> LinkTable | None:
    """The gold links of all pairs; ``None`` if there are none at all."""
    from align_eval.corpora import Bitext

    table = Bitext.from_pairs(pairs, name).gold()
    if table is not None and not table.links:
        raise EmptyGoldError(
            f"{name} has gold links for {len(pairs)} sentence pairs but not a single one",
            remedy="Give gold links, or a text without them",
        )
    return table
