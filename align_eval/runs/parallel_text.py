"""A text to translate with its reference translation: a corpus in the direction and languages asked for."""

from __future__ import annotations

import re
from dataclasses import replace

from align_eval.corpora import Corpus, load_testset
from align_eval.errors import EmptyGoldError, InputError
from align_eval.models.tokens import ISO3

_ISO1 = {three: two for two, three in ISO3.items()}


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
    testset: str | Corpus,
    *,
    reverse: bool = False,
    source_language: str | None = None,
    target_language: str | None = None,
    detokenize: str = "none",
    limit: int | None = None,
) -> Corpus:
    """The corpus to translate: ``source_texts`` are translated, and scored against ``target_texts``.

    Args:
        testset: a named test set, or a corpus with gold links or without.
        reverse: translate the second side into the first.
        source_language, target_language: of the sides as they are translated, in any form that
            :func:`plain_language` reads. A test set knows its own.
        detokenize: ``none`` or ``moses``, see :func:`align_eval.corpora.words.load_detokenizer`. It changes the text
            that is translated and scored against; gold links and attention keep the words.
        limit: the first pairs only.

    Raises:
        UnknownNameError: no such test set.
        InputError: one language on both sides, or other languages than the test set's.
        EmptyGoldError: gold links for the pairs, but not a single one.
        AlignEvalError: what reading raises.
    """
    given = load_testset(testset) if isinstance(testset, str) else testset
    named = (plain_language(source_language), plain_language(target_language))
    corpus = given.reverse() if reverse else given
    own = (corpus.source_language, corpus.target_language)
    for side, known, language in zip(("source", "target"), own, named, strict=True):
        if language and known and language != known:
            turned = "Leave --reverse out" if reverse else "Give --reverse"
            what = "sources" if side == "source" else "references"
            raise InputError(
                f"the {what} of {given.name} are {known}, not {language}",
                remedy=f"{turned} to translate the other way" if language in own else f"Leave --{side}-language out",
            )
    source, target = own[0] or named[0] or "", own[1] or named[1] or ""
    if source and source == target:
        raise InputError(
            f"the source and the target language are both {source}",
            remedy="Give two languages with --source-language and --target-language",
        )
    corpus = corpus.part(range(len(corpus) if limit is None else min(limit, len(corpus))))
    if corpus.table is not None and not corpus.table.links:
        raise EmptyGoldError(
            f"{given.name} has gold links for {len(corpus)} sentence pairs but not a single one",
            remedy="Give gold links, or a text without them",
        )
    corpus = replace(corpus, source_language=source, target_language=target, detokenize=detokenize)
    _ = corpus.source_texts, corpus.target_texts  # what is wrong with the detokeniser is said now
    return corpus
