"""What commands read: the options for sentence pairs and gold links, and the one loader of them."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import typer

from align_eval.cli import _options as options

if TYPE_CHECKING:
    from align_eval.corpora import Corpus

Base = Literal["0", "1", "auto"]
Order = Literal["st", "ts", "auto"]
Missing = Literal["raise", "empty"]
Languages = tuple[str | None, str | None]

TESTSET = typer.Argument(
    None,
    metavar="[TESTSET]",
    help="A named test set (align-eval testsets list). Your own: --bitext, or --source with --target, and --gold.",
)
MISSING_SENTENCES = typer.Option(
    "raise",
    help="A sentence pair that one file names (NAACL, A3, ids) and another does not: fail, or take it as one without "
    "links (empty).",
)
GOLD_FORMAT = typer.Option("auto", help="Format of the gold file; auto tells it by content.")
GOLD_BASE = typer.Option("auto", help="What the indices of the gold file count from; auto proves it or fails.")
TOKENIZE = typer.Option(
    None,
    help="Tokenise raw text: auto (by language), whitespace, or a sacrebleu tokenizer (13a, zh, ...); two as "
    "SOURCE,TARGET.",
)


@dataclass
class Pairs:
    """Sentence pairs of one file or of two."""

    bitext: str | None = typer.Option(None, help="The sentence pairs in one file; - is standard input.")
    source: str | None = typer.Option(None, help="The source sentences, one a line (with --target).")
    target: str | None = typer.Option(None, help="The target sentences, one a line (with --source).")
    bitext_format: str = typer.Option(
        "auto",
        metavar="NAME[:option=value,...]",
        help="Format of the sentence pairs; auto tells it by content. Options of its reader come behind a colon: "
        "tsv:header=yes, jsonl:columns=en+de, auto:source_language=en,target_language=de, tmx:missing=skip.",
    )

    def files(self) -> list[str]:
        """The files named by ``--bitext``, or by ``--source`` and ``--target``: none, one or two."""
        if (self.source is None) != (self.target is None):
            raise typer.BadParameter("--source and --target go together")
        if self.bitext is not None and self.source is not None:
            raise typer.BadParameter("--bitext and --source/--target exclude each other")
        return [name for name in (self.bitext, self.source, self.target) if name is not None]

    def read(self, tokenize: str | None = None, languages: Languages = (None, None)) -> Corpus | None:
        """The sentence pairs, if files are named; formats that name their languages go by ``languages``."""
        files = self.files()
        if not files:
            return None
        from align_eval.corpora import read_bitext

        return read_bitext(*files, format=self.bitext_format, tokenize=tokenizers_of(tokenize), languages=languages)


@dataclass
class GoldPairs(Pairs):
    """Sentence pairs with gold links."""

    gold: str | None = typer.Option(None, help="The gold links of the sentence pairs, a file.")
    gold_format: str = GOLD_FORMAT
    gold_base: Base = GOLD_BASE

    def testset(
        self, name: str | None, languages: Languages = (None, None), *, sentences: bool = False, what: str = "TESTSET"
    ) -> Corpus:
        """The test set to use: a named one, or the user's own data. What exists as a file is a file.

        Args:
            name: a test set, or a file of sentence pairs as ``--bitext`` names one.
            languages: of own data, in any form of code.
            sentences: ``--source`` and ``--target`` may also be one sentence each, and ``--gold`` its links (0-based,
                source first): those that are no files.
            what: how the command's help names ``name``.
        """
        files = self.files()
        if (name is None) == (not files):
            raise typer.BadParameter(f"give one of {what}, --bitext, or --source with --target")
        if name is not None and not is_file(name):
            return self._named(name)
        from align_eval.corpora import make_testset
        from align_eval.runs.parallel_text import plain_language

        files = files if name is None else [name]
        if self.gold == "-" and "-" in files:
            raise typer.BadParameter(
                "standard input can be read once only: name a file for --gold or for the sentences"
            )
        source, target = (plain_language(language) or "" for language in languages)
        known: dict[str, Any] = {
            "source_language": source, "target_language": target, "gold_format": self.gold_format,
            "gold_base": self.gold_base,
        }  # fmt: skip
        if sentences and self.source is not None and not _named_files(files):
            return make_testset([(files[0], files[1])], self._links(), name="one pair", **known)
        other = files[1] if len(files) == 2 else None
        return make_testset(files[0], self.gold, target=other, format=self.bitext_format, **known)

    def _named(self, name: str) -> Corpus:
        if self.gold is not None or self.bitext_format != "auto":
            option = "--gold" if self.gold is not None else "--bitext-format"
            raise typer.BadParameter(
                f"{option} does not go with the test set {name}: it has its own sentences and gold"
            )
        from align_eval.corpora import load_testset
        from align_eval.errors import UnknownNameError

        try:
            return load_testset(name)
        except UnknownNameError as error:
            if error.kind != "test set":
                raise
            raise UnknownNameError("test set (and there is no such file)", name, error.known) from None

    def _links(self) -> Any:
        """The gold of one pair that was given as text: a file, or the links themselves."""
        if self.gold is None or is_file(self.gold):
            return self.gold
        from align_eval.corpora.lines import looks_like_links
        from align_eval.errors import InputError

        if not looks_like_links(self.gold):
            remedy = "Write links as 0-0 1-2 2p3, counted from 0, source first"
            raise InputError(f"{self.gold!r} is neither links nor a file", remedy=remedy)
        return [self.gold]


@dataclass
class GoldPairsOrOne(GoldPairs):
    """Sentence pairs with gold links, or one pair given as text."""

    source: str | None = typer.Option(
        None, help="The source sentences, a file with one a line; or the sentence of one pair, words between spaces."
    )
    target: str | None = typer.Option(None, help="The target sentences, a file with one a line; or one sentence.")
    gold: str | None = typer.Option(
        None,
        help="The gold links of the sentence pairs, a file; of one pair given as text also the links: '0-0 1-2 2p3'.",
    )


@dataclass
class CorpusLanguages(options.Languages):
    """Languages of a corpus, and of the model that reads it."""

    def of_model(self, testset: str | None, reverse: bool = False) -> dict[str, Any]:
        """The languages that a model is loaded for, where they are named: those of the sides as the model reads them.

        Args:
            testset: the word that names the test set; the languages of own data are those of its files, so that
                ``--reverse`` swaps them too.
            reverse: source and target are swapped.
        """
        own = testset is None or is_file(testset)
        source, target = self.both[::-1] if own and reverse else self.both
        return {key: one for key, one in (("source_language", source), ("target_language", target)) if one is not None}


def tokenizers_of(tokenize: str | None) -> str | tuple[str, str] | None:
    """The tokeniser's name, or two for source and target, from ``--tokenize``."""
    names = tokenize.split(",") if tokenize else []
    if len(names) > 2:
        raise typer.BadParameter("--tokenize takes one name, or two as SOURCE,TARGET")
    return (names[0], names[1]) if len(names) == 2 else tokenize


def _named_files(sides: list[str]) -> bool:
    """Whether ``--source`` and ``--target`` name files, not sentences."""
    found = [name == "-" or os.path.exists(name) for name in sides]
    if found[0] != found[1]:
        there, missing = sides if found[0] else sides[::-1]
        raise typer.BadParameter(f"{there!r} is a file but {missing!r} is not: give two files, or two sentences")
    return found[0]


def is_file(name: str) -> bool:
    """Whether a word of the command line means a file: it exists, has a folder in it, or is ``-``."""
    return name == "-" or os.sep in name or os.path.exists(name)


@contextmanager
def warnings_printed() -> Iterator[None]:
    """Print the package's warnings of the block on standard error, one line each, once each, as it ends."""
    from align_eval.errors import AlignEvalWarning

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", AlignEvalWarning)
        try:
            yield
        finally:
            for text in dict.fromkeys(str(w.message) for w in caught if issubclass(w.category, AlignEvalWarning)):
                options.say(text)
