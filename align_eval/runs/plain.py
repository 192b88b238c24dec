"""Plain Python data as tables of links and as sentence pairs: lists, tuples, text, names of test sets, files."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from align_eval.corpora import SentencePair, TestSet, load_testset, read_bitext, read_links, testset_names
from align_eval.corpora.goldtext import parse_gold
from align_eval.errors import AlignEvalError, InputError, UnknownNameError
from align_eval.links import GoldLinks, Links
from align_eval.links.table import LinkTable

Sentence = str | Sequence[str]
Pairs = str | TestSet | Iterable[SentencePair | tuple[Sentence, Sentence]]

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


def as_gold(gold: Any) -> tuple[LinkTable, TestSet | None]:
    """Gold in any form: as :func:`as_table`, or a test set or its name; a file goes first.

    Raises:
        UnknownNameError: text that is neither a file, nor a test set, nor links.
        AlignEvalError: as :func:`as_table`, and what loading a test set raises.
    """
    if isinstance(gold, str) and not os.path.isfile(gold) and not _looks_like_links(gold):
        if gold not in testset_names():
            raise UnknownNameError("test set (and there is no such file)", gold, testset_names())
        gold = load_testset(gold)
    if isinstance(gold, TestSet):
        return gold.gold, gold
    return as_table(gold, "the gold"), None


def _looks_like_links(text: str) -> bool:
    return not any(c.isalpha() and c not in "pPS" for c in text) and (not text.strip() or any(c in "-p?" for c in text))


def as_pairs(pairs: Any) -> Iterable[SentencePair]:
    """Sentence pairs in any plain form.

    Args:
        pairs: a test set or its name, a bitext or the path of one, or one item a pair: a :class:`SentencePair`,
            ``(source, target)`` of texts or lists of words, or text ``"source ||| target"``. The words of a text are
            what single ASCII spaces separate.

    Raises:
        InputError: it is none of them.
        UnknownNameError: text that is neither a file nor the name of a test set.
    """
    if isinstance(pairs, os.PathLike) or (isinstance(pairs, str) and os.path.isfile(pairs)):
        return read_bitext(pairs)
    if isinstance(pairs, str):
        if pairs not in testset_names():
            raise UnknownNameError("test set (and there is no such file)", pairs, testset_names())
        pairs = load_testset(pairs)
    if isinstance(pairs, TestSet):
        return pairs.pairs
    if isinstance(pairs, SentencePair | Mapping) or not isinstance(pairs, Iterable):
        raise InputError(f"sentence pairs of type {type(pairs).__name__}", remedy=_PAIRS)
    return _each(pairs)


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
        return tuple(filter(None, sentence.split(" ")))
    if isinstance(sentence, Iterable) and not isinstance(sentence, bytes | Mapping):
        words = tuple(sentence)
        if all(isinstance(word, str) for word in words):
            return words
    raise InputError(
        f"a side of sentence pair {number} is of type {type(sentence).__name__}, not text or a list of words",
        remedy=_PAIRS,
    )
