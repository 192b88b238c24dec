"""Plain Python data and files as a corpus, as sentence pairs, and as tables of links."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeGuard

import numpy as np

from align_eval.corpora.corpus import Corpus
from align_eval.corpora.lines import parse_gold
from align_eval.corpora.pair import SentencePair
from align_eval.corpora.words import split_words
from align_eval.errors import AlignEvalError, InputError, LengthMismatchError, LinkRangeError, UnknownNameError
from align_eval.files import StrPath
from align_eval.links import GoldLinks, Links
from align_eval.links.table import LinkTable

if TYPE_CHECKING:
    from align_eval.corpora.words import Tokenize

Sentence = str | Sequence[str]
Pair = SentencePair | tuple[Sentence, Sentence]
Pairs = str | Corpus | Iterable[Pair]
SentenceLinks = Links | GoldLinks | str | Iterable[tuple[int, int]]

_LINKS = (
    "Give one item a sentence pair: Links, text such as '0-0 1-2', or a list of (i, j), indices from 0; in gold '1p2' "
    "is possible, or give GoldLinks or {'sure': ..., 'possible': ...}"
)
_PAIRS = "Give (source, target) a pair, each a text or a list of words; two lists of sentences go together with zip()"


def as_table(links: Any, what: str) -> LinkTable:
    """Links in any plain form as a table.

    Args:
        links: a table; text (``"0-0 1-2"``, one line a sentence pair); one item a sentence pair (:class:`Links`,
            :class:`GoldLinks`, text, a list of ``(i, j)``, an integer array ``(n, 2)``, ``{"sure": ...}``); a mapping
            of the names of sentence pairs to these; or the path of a file of links. Indices count from 0.
        what: what they are, for messages.

    Raises:
        InputError: it is none of them.
        AlignEvalError: what reading a file raises.
    """
    if isinstance(links, LinkTable):
        return links
    if isinstance(links, str | os.PathLike):
        if os.path.isfile(links) or isinstance(links, os.PathLike):
            from align_eval.corpora.linkio import read_links

            return read_links(links)
        links = links.removesuffix("\n").split("\n")
    names = None
    if isinstance(links, Mapping):
        if set(links) <= {"sure", "possible"}:
            raise InputError(f"{what} is one sentence pair, not a list of them", remedy=_LINKS)
        names, links = [str(name) for name in links], list(links.values())
    if isinstance(links, Links | GoldLinks) or not isinstance(links, Iterable):
        raise InputError(f"{what} is of type {type(links).__name__}", remedy=_LINKS)
    items = [_item(item, k, what) for k, item in enumerate(links, 1)]
    return LinkTable.from_links(items, names)


def _item(item: Any, number: int, what: str) -> Links | GoldLinks:
    """The links of one sentence pair.

    Raises:
        InputError: with the number of the pair.
    """
    if isinstance(item, Links | GoldLinks):
        return item
    try:
        if isinstance(item, str):
            return parse_gold(item, 0) if "p" in item or "?" in item else Links(item)
        if isinstance(item, Mapping):
            if not item or not set(item) <= {"sure", "possible"}:
                raise InputError(f"keys {', '.join(map(str, item)) or '(none)'}", remedy=_LINKS)
            sure, possible = (_item(item.get(key, ()), number, what) for key in ("sure", "possible"))
            return GoldLinks(_all(sure), _all(possible))
        if isinstance(item, np.ndarray):
            return Links(item)
        item = list(item)
        if item and all(isinstance(link, str) for link in item):
            return _item(" ".join(item), number, what)
        pairs = [tuple(pair) if isinstance(pair, list | np.ndarray) else pair for pair in item]
    except AlignEvalError as error:
        raise InputError(f"sentence pair {number} of {what}: {error.message}", remedy=error.remedy or _LINKS) from None
    except TypeError:
        raise InputError(f"sentence pair {number} of {what} is of type {type(item).__name__}", remedy=_LINKS) from None
    if len(pairs) == 2 and all(isinstance(i, int | np.integer) for i in pairs):
        raise InputError(
            f"sentence pair {number} of {what} is the one link {pairs[0]}-{pairs[1]}",
            remedy=f"Put the links of one sentence pair in a list of their own. {_LINKS}",
        )
    bad = next((p for p in pairs if not _is_link(p)), None)
    if bad is not None:
        raise InputError(f"sentence pair {number} of {what}: {str(bad)[:40]!r} is not a link", remedy=_LINKS)
    return Links([(int(i), int(j)) for i, j in pairs])


def _is_link(pair: Any) -> bool:
    return (
        isinstance(pair, tuple)
        and len(pair) == 2
        and all(isinstance(i, int | np.integer) and not isinstance(i, bool) and i >= 0 for i in pair)
    )


def _all(item: Links | GoldLinks) -> Links:
    return item.possible if isinstance(item, GoldLinks) else item


def as_gold(gold: Any) -> tuple[LinkTable, Corpus | None]:
    """Gold in any form: as :func:`as_table`, or a corpus or the name of a test set; a file goes first.

    Raises:
        UnknownNameError: text that is neither a file, nor a test set, nor links.
        AlignEvalError: as :func:`as_table`, and what loading a test set raises.
    """
    if isinstance(gold, str) and not os.path.isfile(gold) and not _looks_like_links(gold):
        gold = _named(gold)
    if isinstance(gold, Corpus):
        return gold.gold, gold
    return as_table(gold, "the gold"), None


def _looks_like_links(text: str) -> bool:
    return not any(c.isalpha() and c not in "pPS" for c in text) and (not text.strip() or any(c in "-p?" for c in text))


def as_pairs(pairs: Any) -> Iterable[SentencePair]:
    """Sentence pairs in any plain form.

    Args:
        pairs: a corpus, the name of a test set or the path of a bitext, or one item a pair: a :class:`SentencePair`,
            ``(source, target)`` of texts or lists of words, or text ``"source ||| target"``. The words of a text are
            what single ASCII spaces separate.

    Raises:
        InputError: it is none of them.
        UnknownNameError: text that is neither a file nor the name of a test set.
    """
    if isinstance(pairs, os.PathLike) or (isinstance(pairs, str) and os.path.isfile(pairs)):
        from align_eval.corpora.readers import read_bitext

        return iter(read_bitext(pairs))
    if isinstance(pairs, str):
        pairs = _named(pairs)
    if isinstance(pairs, Corpus):
        return iter(pairs)
    if isinstance(pairs, SentencePair | Mapping) or not isinstance(pairs, Iterable):
        raise InputError(f"sentence pairs of type {type(pairs).__name__}", remedy=_PAIRS)
    return _each(pairs)


def _named(name: str) -> Corpus:
    from align_eval.corpora.testsets import load_testset, testset_names

    if name not in testset_names():
        raise UnknownNameError("test set (and there is no such file)", name, testset_names())
    return load_testset(name)


def _each(pairs: Iterable[Any]) -> Iterator[SentencePair]:
    for number, pair in enumerate(pairs, 1):
        if isinstance(pair, SentencePair):
            yield pair
            continue
        if isinstance(pair, str):
            sides = [side.strip(" ") for side in pair.split("|||")]
            if len(sides) != 2:
                raise InputError(f"sentence pair {number} is the text {pair[:40]!r}", remedy=_PAIRS)
        elif isinstance(pair, Sequence) and len(pair) == 2:
            sides = list(pair)
        else:
            size = f" with {len(pair)} parts" if isinstance(pair, Sequence) else ""
            raise InputError(f"sentence pair {number} is of type {type(pair).__name__}{size}", remedy=_PAIRS)
        yield SentencePair(str(number), _words(sides[0], number), _words(sides[1], number))


def _words(sentence: Any, number: int) -> tuple[str, ...]:
    if isinstance(sentence, str):
        return split_words(sentence)
    if isinstance(sentence, Iterable) and not isinstance(sentence, bytes | Mapping):
        words = tuple(sentence)
        if all(isinstance(word, str) for word in words):
            return words
    raise InputError(
        f"a side of sentence pair {number} is of type {type(sentence).__name__}, not text or a list of words",
        remedy=_PAIRS,
    )


def make_testset(
    bitext: StrPath | Iterable[Pair | Sentence],
    gold: StrPath | LinkTable | Iterable[SentenceLinks] | None = None,
    *,
    target: StrPath | Iterable[Sentence] | None = None,
    name: str | None = None,
    source_language: str = "",
    target_language: str = "",
    format: str = "auto",
    tokenize: Tokenize = None,
    order: str = "st",
    gold_format: str = "auto",
    gold_base: int | str = "auto",
    gold_order: str = "st",
    **options: Any,
) -> Corpus:
    """A test set of your own data, which goes wherever a named one does.

    Args:
        bitext: a file of sentence pairs in any format of :func:`align_eval.read_bitext` (with ``target``: of the
            sources), or the pairs themselves: :class:`SentencePair` or ``(source, target)``, each side a text whose
            words ASCII spaces separate, or a list of words.
        gold: a file of links in any format of :func:`align_eval.read_links`, a table, or the links of each pair:
            :class:`GoldLinks`, :class:`Links`, a text ``"0-0 1p2"`` or a list of ``(i, j)``, 0-based, source first.
            ``None``: the links that the bitext holds, if it does. Links that are given replace those of the bitext.
        target: the file of the targets, or the target sentences, where ``bitext`` holds the sources alone.
        name: for tables and signatures. ``None``: the name of the bitext's file, or ``"own data"``.
        source_language, target_language: ISO 639-1 codes, for models and tokenizers that ask for them.
        format, tokenize, order, options: see :func:`align_eval.read_bitext`.
        gold_format, gold_base, gold_order: see :func:`align_eval.read_links`; for files.

    Raises:
        InputError: no pair, or something that is neither a sentence pair nor links.
        LengthMismatchError: gold of another number of sentence pairs, or sides of different lengths.
        LinkRangeError: a link outside its sentence pair.
        AlignEvalError: what reading the files raises.

    >>> own = make_testset([("das Haus", "the house"), ("ja", "yes")], ["0-0 1-1", "0-0"])
    >>> len(own), own.gold, own.checksum[:8]
    (2, LinkTable(2 sentence pairs, 3 sure of 3 links), '3395abd6')
    """
    files: list[Path] = []
    if _is_path(bitext):
        from align_eval.corpora.readers import read_bitext

        if target is not None and not _is_path(target):
            raise InputError("the sources are a file but the targets are not", remedy="Give both as files or as lists")
        languages = (source_language or None, target_language or None)
        pairs = read_bitext(
            bitext, target, format=format, tokenize=tokenize, order=order, languages=languages, **options
        ).pairs
        files = [Path(os.fspath(one)) for one in (bitext, target) if one is not None]
        label = "stdin" if os.fspath(bitext) == "-" else files[0].name
    else:
        given: Any = bitext
        if target is not None:
            other: Any = [target] if _is_path(target) else target
            given, targets = list(given), list(other)
            if len(given) != len(targets):
                raise LengthMismatchError(
                    f"{len(given)} source but {len(targets)} target sentences", remedy="Give one target for each source"
                )
            given = zip(given, targets, strict=True)
        pairs = list(_each(given))
        label = "own data"
    where = files[0] if files else None
    if not pairs:
        raise InputError("there is no sentence pair", file=where, remedy="Give at least one")
    base = 1 if str(options.get("base")) == "1" or re.search(r"[:,]base=1\b", format) else 0
    if gold is None:
        table = Corpus.from_pairs(pairs, "" if where is None else os.fspath(where)).table
    elif _is_path(gold):
        from align_eval.corpora.linkio import read_links_report

        table, report = read_links_report(gold, format=gold_format, base=gold_base, order=gold_order, bitext=pairs)
        base = report.base
        files.append(Path(os.fspath(gold)))
    elif isinstance(gold, Mapping):
        raise InputError("the gold is of type dict", remedy="Give the links of each sentence pair, as a list")
    else:
        table = as_table(gold, "the gold")
    if table is not None:
        _check_fit(table, pairs)
    return Corpus(
        partial(list, pairs), name or label, source_language, target_language, files=tuple(files), base=base,
        links=table, kept=True,
    )  # fmt: skip


def _is_path(value: object) -> TypeGuard[StrPath]:
    return isinstance(value, (str, os.PathLike))


def _check_fit(table: LinkTable, pairs: Sequence[SentencePair]) -> None:
    """Refuse links of another number of sentence pairs, or outside of them."""
    if table.sentences != len(pairs):
        raise LengthMismatchError(
            f"gold links of {table.sentences} sentence pairs but {len(pairs)} sentence pairs of text",
            remedy="Give the links of every pair (an empty one says that it has none)",
        )
    try:
        table.check_range([len(p.source) for p in pairs], [len(p.target) for p in pairs])
    except LinkRangeError as error:
        raise LinkRangeError(f"gold of sentence pair {error.line}: {error.message}", remedy=error.remedy) from None
