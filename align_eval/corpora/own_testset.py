"""A test set of a user's own sentence pairs and gold links, from files or from lists."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeGuard

from align_eval.corpora.pair import SentencePair
from align_eval.corpora.testset import TestSet, content_checksum
from align_eval.errors import InputError, LengthMismatchError, LinkRangeError
from align_eval.files import StrPath
from align_eval.links import GoldLinks, Links
from align_eval.links.table import LinkTable

if TYPE_CHECKING:
    from align_eval.corpora.tokenize import Tokenize

Sentence = str | Sequence[str]
Pair = SentencePair | tuple[Sentence, Sentence]
SentenceLinks = Links | GoldLinks | str | Iterable[tuple[int, int]]


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
) -> TestSet:
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
        read = read_bitext(
            bitext, target, format=format, tokenize=tokenize, order=order, languages=languages, **options
        )
        pairs = [pair for pair in read]  # noqa: C416 - list() would ask for the length, which reads everything once more
        files = [Path(os.fspath(one)) for one in (bitext, target) if one is not None]
        label = "stdin" if os.fspath(bitext) == "-" else files[0].name
    else:
        pairs = _pairs(bitext, target)
        label = "own data"
    where = files[0] if files else None
    if not pairs:
        raise InputError("there is no sentence pair", file=where, remedy="Give at least one")
    base = 1 if str(options.get("base")) == "1" or re.search(r"[:,]base=1\b", format) else 0
    if gold is None:
        table = _held(pairs, where)
    elif _is_path(gold):
        from align_eval.corpora.linkio import read_links_report

        table, report = read_links_report(gold, format=gold_format, base=gold_base, order=gold_order, bitext=pairs)
        base = report.base
        files.append(Path(os.fspath(gold)))
    else:
        table = _checked(gold if isinstance(gold, LinkTable) else _table(gold), pairs)
    if gold is not None and table is not None:
        pairs = [SentencePair(p.id, p.source, p.target, table.gold(k)) for k, p in enumerate(pairs)]
    return TestSet(
        name or label, partial(list, pairs), table, content_checksum(pairs), source_language, target_language,
        files=tuple(files), base=base,
    )  # fmt: skip


def _is_path(value: object) -> TypeGuard[StrPath]:
    return isinstance(value, (str, os.PathLike))


def _pairs(bitext: Any, target: Any) -> list[SentencePair]:
    """Sentence pairs of lists.

    Raises:
        InputError, LengthMismatchError: see :func:`make_testset`.
    """
    given = list(bitext)
    if target is not None:
        targets = [target] if _is_path(target) else list(target)
        if len(given) != len(targets):
            raise LengthMismatchError(
                f"{len(given)} source but {len(targets)} target sentences", remedy="Give one target for each source"
            )
        given = list(zip(given, targets, strict=True))
    out = []
    for number, pair in enumerate(given, 1):
        if isinstance(pair, SentencePair):
            out.append(pair)
        elif isinstance(pair, (tuple, list)) and len(pair) == 2:
            out.append(SentencePair(str(number), _words(pair[0], number), _words(pair[1], number)))
        else:
            raise InputError(
                f"sentence pair {number} is {_short(pair)}",
                remedy="Give (source, target): two texts, or two lists of words; or the targets as target=",
            )
    return out


def _words(side: Any, number: int) -> tuple[str, ...]:
    if isinstance(side, str):
        return tuple(word for word in side.split(" ") if word)
    if isinstance(side, (tuple, list)) and all(isinstance(word, str) for word in side):
        return tuple(side)
    raise InputError(
        f"a side of sentence pair {number} is {_short(side)}",
        remedy="Give a text whose words spaces separate, or a list of words",
    )


def _short(value: object) -> str:
    text = repr(value)
    return f"{type(value).__name__} {text if len(text) < 60 else text[:57] + '...'}"


def _table(gold: Any) -> LinkTable:
    """Links of each pair as a table."""
    from align_eval.corpora.goldtext import parse_gold

    out: list[Links | GoldLinks] = []
    for number, one in enumerate(gold, 1):
        if isinstance(one, str):
            out.append(parse_gold(one, 0))
        elif isinstance(one, (Links, GoldLinks)):
            out.append(one)
        else:
            try:
                out.append(Links([(int(i), int(j)) for i, j in one]))
            except (TypeError, ValueError):
                raise InputError(
                    f"the gold of sentence pair {number} is {_short(one)}",
                    remedy='Give a text such as "0-0 1p2", a list of (i, j), Links or GoldLinks',
                ) from None
    return LinkTable.from_links(out)


def _checked(table: LinkTable, pairs: Sequence[SentencePair]) -> LinkTable:
    if table.sentences != len(pairs):
        raise LengthMismatchError(
            f"gold links of {table.sentences} sentence pairs but {len(pairs)} sentence pairs of text",
            remedy="Give the links of every pair (an empty one says that it has none)",
        )
    try:
        table.check_range([len(p.source) for p in pairs], [len(p.target) for p in pairs])
    except LinkRangeError as error:
        raise LinkRangeError(f"gold of sentence pair {error.line}: {error.message}", remedy=error.remedy) from None
    return table


def _held(pairs: Sequence[SentencePair], file: Path | None) -> LinkTable | None:
    """The gold that the pairs hold themselves."""
    from align_eval.corpora.pair import Bitext

    table = Bitext.from_pairs(pairs, "" if file is None else os.fspath(file)).gold()
    return table if table is None or file is not None else _checked(table, pairs)
