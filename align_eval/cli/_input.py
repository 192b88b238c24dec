"""What commands read, in one place: the options for sentence pairs and gold links, and the one loader of the pairs."""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal

import typer

if TYPE_CHECKING:
    from align_eval.corpora import Bitext, TestSet


Base = Literal["0", "1", "auto"]
"""What indices of a file count from."""
Order = Literal["st", "ts", "auto"]
"""Which side of a link comes first: source-target, target-source, or proven."""


TESTSET = typer.Argument(
    None,
    metavar="[TESTSET]",
    help="A named test set (align-eval testsets list). Your own: --bitext, or --source with --target, and --gold.",
)
BITEXT = typer.Option(None, help="The sentence pairs in one file; - is standard input.")
SOURCE = typer.Option(None, help="The source sentences, one a line (with --target).")
TARGET = typer.Option(None, help="The target sentences, one a line (with --source).")
SOURCE_OR_SENTENCE = typer.Option(
    None, help="The source sentences, a file with one a line; or the sentence of one pair, words between spaces."
)
TARGET_OR_SENTENCE = typer.Option(None, help="The target sentences, a file with one a line; or one sentence.")
BITEXT_FORMAT = typer.Option(
    "auto",
    metavar="NAME[:option=value,...]",
    help="Format of the sentence pairs; auto tells it by content. Options of its reader come behind a colon: "
    "tsv:header=yes, jsonl:columns=en+de, auto:source_language=en,target_language=de, tmx:missing=skip.",
)


Missing = Literal["raise", "empty"]
"""What is done with a sentence pair that a file of links does not name."""


MISSING_SENTENCES = typer.Option(
    "raise",
    help="A sentence pair that one file names (NAACL, A3, ids) and another does not: fail, or take it as one without "
    "links (empty).",
)
GOLD = typer.Option(None, help="The gold links of the sentence pairs, a file.")
GOLD_OR_LINKS = typer.Option(
    None, help="The gold links of the sentence pairs, a file; of one pair given as text also the links: '0-0 1-2 2p3'."
)
GOLD_FORMAT = typer.Option("auto", help="Format of the gold file; auto tells it by content.")
GOLD_BASE = typer.Option("auto", help="What the indices of the gold file count from; auto proves it or fails.")
SOURCE_LANGUAGE = typer.Option(None, help="Language of the source, a code such as de. Default: the test set's.")
TARGET_LANGUAGE = typer.Option(None, help="Language of the target. Default: the test set's.")
TOKENIZE = typer.Option(
    None,
    help="Tokenise raw text: auto (by language), whitespace, or a sacrebleu tokenizer (13a, zh, ...); two as "
    "SOURCE,TARGET.",
)


def files_of(bitext: str | None, source: str | None, target: str | None) -> list[str]:
    """The files named by ``--bitext``, or by ``--source`` and ``--target``: none, one or two.

    Raises:
        typer.BadParameter: options that do not go together.
    """
    if (source is None) != (target is None):
        raise typer.BadParameter("--source and --target go together")
    if bitext is not None and source is not None:
        raise typer.BadParameter("--bitext and --source/--target exclude each other")
    return [name for name in (bitext, source, target) if name is not None]


def tokenizers_of(tokenize: str | None) -> str | tuple[str, str] | None:
    """The tokeniser's name, or two for source and target, from ``--tokenize``.

    Raises:
        typer.BadParameter: more than two names.
    """
    names = tokenize.split(",") if tokenize else []
    if len(names) > 2:
        raise typer.BadParameter("--tokenize takes one name, or two as SOURCE,TARGET")
    return (names[0], names[1]) if len(names) == 2 else tokenize


def read_pairs(
    bitext: str | None,
    source: str | None = None,
    target: str | None = None,
    format: str = "auto",
    *,
    tokenize: str | None = None,
    languages: tuple[str | None, str | None] = (None, None),
    **options: Any,
) -> Bitext | None:
    """The sentence pairs that ``--bitext``, or ``--source`` and ``--target``, name; ``None`` if they name none.

    Args:
        bitext, source, target: values of the options.
        format: of ``--bitext-format``, with options of the reader.
        tokenize: of ``--tokenize``.
        languages: of ``--source-language`` and ``--target-language``, where the command has them; formats that name
            their languages go by them.
        options: further keyword arguments of :func:`align_eval.corpora.read_bitext`.

    Raises:
        typer.BadParameter: options that do not go together.
        AlignEvalError: what reading raises.
    """
    files = files_of(bitext, source, target)
    if not files:
        return None
    from align_eval.corpora import read_bitext

    other = files[1] if len(files) == 2 else None
    return read_bitext(files[0], other, format=format, tokenize=tokenizers_of(tokenize), languages=languages, **options)


def read_testset(
    testset: str | None,
    *,
    bitext: str | None = None,
    source: str | None = None,
    target: str | None = None,
    format: str = "auto",
    tokenize: str | None = None,
    gold: str | None = None,
    gold_format: str = "auto",
    gold_base: Base = "auto",
    languages: tuple[str | None, str | None] = (None, None),
    sentences: bool = False,
    what: str = "TESTSET",
) -> TestSet:
    """The test set that a command is to use: a named one, or the user's own data. What exists as a file is a file.

    Args:
        testset: a name, or a file of sentence pairs as ``--bitext`` names one.
        bitext, source, target, format, tokenize: as in :func:`read_pairs`.
        gold, gold_format, gold_base: of ``--gold``, ``--gold-format`` and ``--gold-base``.
        languages: of ``--source-language`` and ``--target-language``, in any form of code; of own data.
        sentences: ``--source`` and ``--target`` may also be one sentence each, and ``--gold`` its links (0-based,
            source first): those that are no files.
        what: how the command's help names ``testset``.

    Raises:
        typer.BadParameter: options that do not go together.
        UnknownNameError: neither a file nor a test set.
        AlignEvalError: what reading raises.
    """
    files = files_of(bitext, source, target)
    if (testset is None) == (not files):
        raise typer.BadParameter(f"give one of {what}, --bitext, or --source with --target")
    if testset is not None and not is_file(testset):
        if gold is not None or tokenize is not None or format != "auto":
            option = "--gold" if gold is not None else "--tokenize" if tokenize is not None else "--bitext-format"
            raise typer.BadParameter(
                f"{option} does not go with the test set {testset}: it has its own sentences and gold"
            )
        from align_eval.corpora import load_testset
        from align_eval.errors import UnknownNameError

        try:
            return load_testset(testset)
        except UnknownNameError as error:
            if error.kind != "test set":
                raise
            raise UnknownNameError("test set (and there is no such file)", testset, error.known) from None
    from align_eval.corpora import make_testset
    from align_eval.runs.parallel_text import plain_language

    if testset is not None:
        files = [testset]
    if gold == "-" and "-" in files:
        raise typer.BadParameter("standard input can be read once only: name a file for --gold or for the sentences")
    known: dict[str, Any] = {
        "source_language": plain_language(languages[0]) or "",
        "target_language": plain_language(languages[1]) or "",
        "gold_format": gold_format,
        "gold_base": gold_base,
    }
    if sentences and source is not None and not _named_files(files):
        links: Any = gold
        if gold is not None and not is_file(gold):
            from align_eval.corpora.goldtext import looks_like_links
            from align_eval.errors import InputError

            if not looks_like_links(gold):
                remedy = "Write links as 0-0 1-2 2p3, counted from 0, source first"
                raise InputError(f"{gold!r} is neither links nor a file", remedy=remedy)
            links = [gold]
        return make_testset([(files[0], files[1])], links, name="one pair", **known)
    other = files[1] if len(files) == 2 else None
    return make_testset(files[0], gold, target=other, format=format, tokenize=tokenizers_of(tokenize), **known)


def _named_files(sides: list[str]) -> bool:
    """Whether ``--source`` and ``--target`` name files, not sentences.

    Raises:
        typer.BadParameter: one does and the other does not.
    """
    found = [name == "-" or os.path.exists(name) for name in sides]
    if found[0] != found[1]:
        there, missing = (sides[0], sides[1]) if found[0] else (sides[1], sides[0])
        raise typer.BadParameter(f"{there!r} is a file but {missing!r} is not: give two files, or two sentences")
    return found[0]


def model_languages(
    testset: str | None, languages: tuple[str | None, str | None], reverse: bool = False
) -> dict[str, Any]:
    """The languages that a model is loaded for, where they are named: those of the sides as the model reads them.

    Args:
        testset: the word that names the test set; the languages of own data are those of its files, so that
            ``--reverse`` swaps them too.
        languages: of ``--source-language`` and ``--target-language``.
        reverse: source and target are swapped.
    """
    own = testset is None or is_file(testset)
    named = zip(("source_language", "target_language"), languages[::-1] if own and reverse else languages, strict=True)
    return {key: value for key, value in named if value is not None}


def is_file(name: str) -> bool:
    """Whether a word of the command line means a file: it exists, has a folder in it, or is ``-``."""
    return name == "-" or os.sep in name or os.path.exists(name)


@contextmanager
def warnings_printed() -> Iterator[None]:
    """Print the :class:`~align_eval.errors.AlignEvalWarning` of the block on standard error, one line each, once each.

    They are printed when the block ends, whole or by an error: what was told before it may explain it.
    """
    from align_eval.errors import AlignEvalWarning

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", AlignEvalWarning)
        try:
            yield
        finally:
            for text in dict.fromkeys(str(w.message) for w in caught if issubclass(w.category, AlignEvalWarning)):
                sys.stderr.write(f"align-eval: {text}\n")
