"""Read sentence pairs from files: tell the format by content, split into words, number the pairs."""

from __future__ import annotations

import os
import re
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import islice
from typing import Any

from align_eval.corpora.bitext_formats.rows import is_saved_dataset
from align_eval.corpora.corpus import Corpus
from align_eval.corpora.formats import FORMATS, BitextFormat, Head, Record, Side
from align_eval.corpora.inputs import Input
from align_eval.corpora.link_text import unknown_form
from align_eval.corpora.pair import SentencePair, make_pair
from align_eval.corpora.words import (
    NAMES,
    TOKENIZERS,
    Tokenize,
    Tokenizer,
    load_tokenizers,
    split_words,
    tokenizer_for,
    unsplit,
)
from align_eval.errors import (
    AlignEvalWarning,
    InputError,
    LinkRangeError,
    MissingFileError,
    UnknownNameError,
)
from align_eval.files import StrPath
from align_eval.first_bytes import check_text
from align_eval.registry import checked, parse_options, split_spec

# Sentence pairs at the beginning that are looked at for their scripts.
_LOOKED_AT = 1000


def read_bitext(
    path: StrPath,
    target: StrPath | None = None,
    *,
    format: str = "auto",
    tokenize: Tokenize = None,
    order: str = "st",
    languages: tuple[str | None, str | None] = (None, None),
    **options: Any,
) -> Corpus:
    """Read sentence pairs lazily, in constant memory.

    Args:
        path: a file (``.gz``, ``.xz``, ``.zst`` are decompressed), ``-`` for standard input, or a data set.
        target: the target file, if the sides are in two parallel files; ``path`` is then the source.
        format: ``auto`` tells it by content. Else a name, or with options ``NAME:option=value,option=value``
            (``auto:base=1`` too). The names:

            - ``parallel``: two files, line by line, or of numbered sentences. Option ``header``;
            - ``pipes``: ``source ||| target``, or with gold links behind a second bar. Options ``base``, ``header``;
            - ``tsv``: ``source<TAB>target``, or with gold links as third column (XL-WA). Options ``base``, ``header``
              (``yes``, ``no`` or ``auto``), ``columns``, ``source_language``, ``target_language``;
            - ``csv``: as a spreadsheet saves it. The options of ``tsv``, and ``delimiter``;
            - ``jsonl``, ``parquet``: see :mod:`align_eval.corpora.rows`. Options ``columns``, ``source_language``,
              ``target_language``, ``base``;
            - ``tmx``: options ``source_language``, ``target_language``, ``missing``;
            - ``datasets``: a folder or a name on the hub. The options of ``jsonl``, and ``split``, ``config``,
              ``revision``, ``streaming``.

            ``columns`` are joined by ``+`` in text: ``jsonl:columns=en+de``.
        tokenize: ``None``: the words are what ASCII spaces separate. Else a name that
            :func:`align_eval.corpora.words.load_tokenizer` knows, ``auto`` (by the languages of the sides where
            they are given, else by their scripts; told by a warning), a function from text to words, or two of those.
        order: ``st``, or ``ts`` if what stands first is the target; the pairs (and gold links) are then turned round.
        languages: of source and target, used where the format has the options ``source_language`` and
            ``target_language`` and they are not given.
        options: options of the format, beside those in ``format``. ``None`` is as good as not given.

    The file is opened at once and its beginning read, and read anew for each pass. Standard input and
    named pipes are copied to a temporary file during the first pass, so they can be read again too.

    Raises (at once):
        MissingFileError: a file does not exist or cannot be opened.
        FormatError: the format cannot be told.
        UnknownNameError: no such format, option or tokeniser.
        InputError: arguments that do not go together.

    Warns:
        AlignEvalWarning: a first line that is a header, numbers or markup that name the sentences: how they are read.

    Raises (while reading): see :meth:`Corpus.__iter__`.
    """
    if order not in ("st", "ts"):
        raise InputError(f"side order {order!r}", remedy="Pass st (source first) or ts (target first)")
    auto = "auto" in (tokenize if isinstance(tokenize, (tuple, list)) else (tokenize,))
    if not auto:
        tokenizers = load_tokenizers(tokenize)
    format, written = split_spec(format)
    asked = {part.partition("=")[0].strip(): part.partition("=")[2].strip() for part in written.split(",") if part}
    asked.update({key: value for key, value in options.items() if value is not None})
    source, other, reader, name = _chosen(path, target, format, asked)
    given = _options(name, reader, written, options, languages)
    for note in reader.notes(source, other, given) if not source.is_folder else ():
        warnings.warn(AlignEvalWarning(note), stacklevel=2)
    swap = order == "ts"
    if auto:
        known = (given.get("source_language", languages[0]), given.get("target_language", languages[1]))
        chosen = _chosen_tokenizers(tokenize, lambda: reader.records(source, other, given), known, swap)
        tokenizers = load_tokenizers(chosen)
    if swap:
        tokenizers = (tokenizers[1], tokenizers[0])

    looked: list[bool] = []  # filled when the first sentences have been looked at

    def open_pairs() -> Iterator[SentencePair]:
        pairs = _pairs(reader.records(source, other, given), tokenizers[0], tokenizers[1], source)
        if not looked:
            pairs = _looked_at(pairs, source.name, other, looked)
        return (pair.reverse() for pair in pairs) if swap else pairs

    label = source.name if other is None else f"{source.name}, {other.name}"
    first, second = languages[::-1] if swap else languages
    return Corpus(
        open_pairs, label, first or "", second or "", name, count=lambda: reader.count(source, other, given)
    )  # fmt: skip


def _options(
    name: str, reader: BitextFormat, written: str, options: Mapping[str, Any], languages: tuple[str | None, str | None]
) -> dict[str, Any]:
    """The options of the format ``name``: as written behind its name, as given in Python, and the languages."""
    what = f"the bitext format {name}"
    given = parse_options(what, written, reader.options)
    for key, value in options.items():
        if value is None:
            continue
        if key not in reader.options:
            raise UnknownNameError(f"option of {what}", key, reader.options)
        if key in given:
            raise InputError(f"option {key} of {what} is given twice", remedy="Give it once")
        given[key] = checked(what, key, value, reader.options[key])
    for key, language in zip(("source_language", "target_language"), languages, strict=True):
        if language is not None and key in reader.options and "columns" not in given:
            given.setdefault(key, language)
    reader.check_options(given)
    return given


def _chosen(
    path: StrPath, target: StrPath | None, format: str, asked: Mapping[str, Any]
) -> tuple[Input, Input | None, BitextFormat, str]:
    """The inputs, the format and its name."""
    if format == "auto" and target is not None:
        format = "parallel"
    reader = None if format == "auto" else FORMATS.get(format)
    if reader is not None and reader.parallel != (target is not None):
        if reader.parallel:
            raise InputError("parallel text needs two files", remedy="Name the target file too")
        raise InputError(f"format {format!r} takes one file, not two", remedy="Leave the target file out")
    name = "" if reader is None else FORMATS.canonical(format)
    if reader is not None and name == "datasets":
        return Input.named(path), None, reader, "datasets"
    if target is not None and os.fspath(path) == "-" == os.fspath(target):
        raise InputError("source and target cannot both be standard input", remedy="Name a file for one of them")
    source, other = Input(path), None if target is None else Input(target)
    for one in (source, other):
        if one is not None and one.is_folder and reader is not None:
            raise MissingFileError("is a folder, not a file", file=one.path, remedy="Name a file in it")
    if reader is None:
        name = format_of(source, asked)
        reader = FORMATS.get(name)
    return source, other, reader, name


# Ordinary text has commas too: where neither a header nor quotes tell CSV, its name does.
_CSV_NAME = re.compile(r"\.csv(\.(gz|xz|zst|bz2))?$", re.IGNORECASE)


def format_of(source: Input, asked: Mapping[str, Any]) -> str:
    """The format of one file by its content.

    Each format says how much of the beginning (64 KiB, at most 1000 lines) is of its form; the best one is taken if
    that is at least half of the lines and no other format is as good.
    """
    names = ", ".join(FORMATS.names())
    remedy = f"Pass --bitext-format (format= in Python), one of: {names} (parallel with the target file too)"
    if source.is_folder:
        if is_saved_dataset(source.path):
            return "datasets"
        raise source.malformed("is a folder, and not one that datasets.save_to_disk wrote", None, "Name a file in it")
    head = Head(*source.head(), asked)
    if not head.data:
        raise source.malformed("an empty file has no content to tell its format by", None, remedy)
    able = [(name, reader) for name, reader in FORMATS.items() if all(key in reader.options for key in asked)]
    fits = sorted(((reader.detect(head), name) for name, reader in able), reverse=True)
    if not fits or fits[0][0] < 0.5:  # then the options are at fault, which is said of the format that fits
        fits = sorted(((reader.detect(head), name) for name, reader in FORMATS.items()), reverse=True)
    best = [name for fit, name in fits if fit == fits[0][0]]
    if fits[0][0] < 0.5:
        check_text(head.data, source.name, start=True)
        if _CSV_NAME.search(source.path):
            return "csv"
        what, mend = unknown_form(head, source.name) or (
            "the format cannot be told by content: not JSON lines, Parquet or TMX, and most lines have neither one "
            "' ||| ' nor one tab (or two tabs with links behind the second)",
            remedy,
        )
        raise source.malformed(what, None, mend)
    if len(best) > 1:
        raise source.malformed(f"the content fits {' and '.join(sorted(best))} equally", None, remedy)
    return best[0]


def _chosen_tokenizers(
    tokenize: Tokenize, records: Callable[[], Iterable[Record]], languages: tuple[str | None, str | None], swap: bool
) -> Tokenize:
    """The tokenisers with ``auto`` replaced, by the languages given, else by the script of the first sentences."""
    first = list(islice(records(), _LOOKED_AT))
    chosen = list(tokenize if isinstance(tokenize, (tuple, list)) else (tokenize, tokenize))
    said = []
    for k, side in enumerate(("source", "target")):
        if chosen[k] == "auto":
            at = 1 - k if swap else k
            texts = (text for record in first if isinstance(text := record[1 + at], str))
            chosen[k], why = tokenizer_for(languages[at], texts)
            said.append(f"{side}: {chosen[k]} ({why})")
    warnings.warn(AlignEvalWarning(f"tokeniser auto: {', '.join(said)}"), stacklevel=3)
    return chosen[0], chosen[1]


def _looked_at(
    pairs: Iterator[SentencePair], name: str, other: Input | None, looked: list[bool]
) -> Iterator[SentencePair]:
    """The pairs; a warning if the first ones hold sentences without a space between their words."""
    counts: Counter[tuple[str, str]] = Counter()
    seen = 0
    for pair in islice(pairs, _LOOKED_AT):
        for side, words in (("source", pair.source), ("target", pair.target)):
            if len(words) < 2 or len(max(words, key=len)) > 19:
                found = unsplit(words)
                if found is not None:
                    counts[side, found] += 1
        seen += 1
        yield pair
    looked.append(True)
    for (side, language), count in counts.items():
        warnings.warn(
            AlignEvalWarning(
                f"{name if side == 'source' or other is None else other.name}: {count} of the first {seen} {side} "
                f"sentences are {NAMES[language]} without spaces between words, so that each is one word: tokenise "
                f"them (--tokenize {TOKENIZERS[language]}, or auto; tokenize= in Python)"
            ),
            stacklevel=2,
        )
    yield from pairs


def _pairs(
    records: Iterable[Record], source_words: Tokenizer | None, target_words: Tokenizer | None, file: Input
) -> Iterator[SentencePair]:
    """Records into pairs. The path without tokeniser is written out, as it runs once a line of millions."""
    for position, (ident, source, target, gold, line) in enumerate(records, 1):
        if source_words is None and source.__class__ is str:
            words = source.split(" ")
            left = tuple(words) if all(words) else tuple([w for w in words if w])
        else:
            left = _words(source, source_words, gold is not None, file, line)
        if target_words is None and target.__class__ is str:
            words = target.split(" ")
            right = tuple(words) if all(words) else tuple([w for w in words if w])
        else:
            right = _words(target, target_words, gold is not None, file, line)
        if gold is not None:
            try:
                gold.possible.check_range(len(left), len(right))
            except LinkRangeError as error:
                raise file.placed(error, line) from None
        yield make_pair(ident if ident is not None else str(position), left, right, gold)


def _words(side: Side, tokenizer: Tokenizer | None, gold: bool, file: Input, line: int | None) -> tuple[str, ...]:
    given = side if isinstance(side, tuple) else split_words(side)
    if tokenizer is None:
        return given
    why = "the file holds words already"
    if isinstance(side, str):
        words = tuple([w for w in tokenizer(side) if w])
        if not gold or words == given:
            return words
        why = "its gold links count the words that ASCII spaces separate"
    raise InputError(f"cannot be tokenised: {why}", file=file.name, line=line, remedy="Leave tokenize out")
