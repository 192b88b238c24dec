"""Links matched with other links and with a text by the names of their sentence pairs, never closed up by rank.

A pair that one file does not name is an error that lists the first few, or, asked for, a pair without links. A file
without names (Pharaoh, TALP, TSV) has one line a sentence pair: its lines are numbers from 1, and where the other
file's names are no such numbers, both must have as many pairs.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np

from align_eval.corpora.raw_links import LinkReport, RawLinks
from align_eval.errors import InputError, LengthMismatchError
from align_eval.links.table import LinkTable, placed

#: What is done with a sentence pair that a file does not name.
MISSING = ("raise", "empty")
REMEDY = (
    "Check that the files are of one text. Give the sentences (--bitext, or --source and --target), or pass "
    "--missing-sentences empty (missing_sentences='empty' in Python) to take a sentence pair that a file does not name "
    "as one without links"
)

_NUMBER = re.compile(r"[0-9]{1,18}")
_SHORT = re.compile(r"[0-9]{1,10}")  # of the names in a file of links
_SHOWN = 5

Keys = Sequence[int | str]


@dataclass(frozen=True)
class Matching:
    """How tables are matched.

    Attributes:
        files: the name of each table's file, for messages.
        missing: one of :data:`MISSING`.
        in_order: the tables are known to be in the order of the same sentences.
        skips: for each table whether its numbers may leave out sentence pairs, so that their order is no position.
        first_only: sentence pairs that the first table does not have are left out.
        may_cut: the first sentence pairs alone can be asked for (``--first``): errors name it.
        notes: what a person should know is added to it.
    """

    files: Sequence[str]
    missing: str = "raise"
    in_order: bool = False
    skips: Sequence[bool] = ()
    first_only: bool = False
    may_cut: bool = False
    notes: list[str] = field(default_factory=list)


def check_missing(missing: str) -> None:
    """Raise :class:`InputError` for a policy that is not in :data:`MISSING`."""
    if missing not in MISSING:
        raise InputError(
            f"unknown policy for missing sentence pairs {missing!r}", remedy=f"Known: {', '.join(MISSING)}"
        )


def same_pairs(tables: Sequence[LinkTable], done: int = 0) -> bool:
    """Whether the tables, which follow ``done`` sentence pairs, plainly have the same pairs in the same order."""
    if len({table.sentences for table in tables}) > 1:
        return False
    named = [table.ids for table in tables if table.ids is not None]
    if not named:
        return True
    if any(names is not named[0] and list(names) != list(named[0]) for names in named[1:]):
        return False
    return len(named) == len(tables) or all(name == str(k) for k, name in enumerate(named[0], done + 1))


def match_tables(tables: Sequence[LinkTable], how: Matching, done: int = 0) -> list[LinkTable]:
    """Tables with the same sentence pairs in the same order: that of the first one, then pairs of the others alone.

    Where all names are whole numbers they are compared as such, and the pairs are in their order. ``done`` sentence
    pairs come before the first ones of ``tables``, of all files alike.

    Raises:
        LengthMismatchError: names on one side only, no name in common, or different numbers of sentence pairs without
            names.
        InputError: a name that is there twice.
    """
    check_missing(how.missing)
    if how.in_order or all(table.ids is None for table in tables):
        _check_order(tables, how)
        return list(tables)
    keys = _keys(tables, how, done)
    if all(list(own) == list(keys[0]) for own in keys[1:]):
        return list(tables)
    for own, file in zip(keys, how.files, strict=True):
        if len(set(own)) != len(own):
            twice = next(name for k, name in enumerate(own) if name in own[:k])
            raise InputError(
                f"the sentence pair {str(twice)!r} is there twice", file=file, remedy="Name each pair once"
            )
    if len({0 in own for own in keys}) > 1 and all(isinstance(name, int) for own in keys for name in own):
        zero = next(file for own, file in zip(keys, how.files, strict=True) if 0 in own)
        how.notes.append(f"{zero} names a sentence pair 0, and not all files do: do its numbers count from 0?")
    order = _order(keys, how)
    places = {name: k for k, name in enumerate(order)}
    ids = _ids(order, tables, keys)
    for own, file in zip(keys, how.files, strict=True):
        named = set(own)
        lacking = [name for name in order if name not in named]
        if lacking:
            taken = "it is taken as a pair" if len(lacking) == 1 else "they are taken as pairs"
            how.notes.append(f"{file} does not name {listing(lacking)}: {taken} without links")
    return [
        placed(table, np.array([places.get(name, -1) for name in own], dtype=np.int64), len(order), ids)
        for table, own in zip(tables, keys, strict=True)
    ]


def listing(names: Keys) -> str:
    """The first few names, for messages: ``'2', '3' and 4 more``."""
    shown = ", ".join(repr(str(name)[:40]) for name in names[:_SHOWN])
    return shown if len(names) <= _SHOWN else f"{shown} and {len(names) - _SHOWN} more"


def _check_order(tables: Sequence[LinkTable], how: Matching) -> None:
    """Tables by position must have as many sentence pairs, and may not name them in different orders."""
    for table, file in zip(tables[1:], how.files[1:], strict=True):
        if table.sentences != tables[0].sentences:
            raise lengths_error(how.files[0], tables[0].sentences, file, table.sentences, how.may_cut)
        one, other = tables[0].ids, table.ids
        if one is None or other is None or list(one) == list(other):
            continue
        numbers = all(_NUMBER.fullmatch(name) for name in (*one, *other))  # then they were looked up or told
        if set(one) == set(other) or not numbers:
            what = "its sentence pairs in another order" if set(one) == set(other) else "other sentence pairs"
            raise LengthMismatchError(
                f"names {what} than {how.files[0]}, and the sentences given do not have these names",
                file=file,
                remedy="Give sentences with names (JSONL, with ids), or leave the sentences out",
            )


def check_first(sentences: int, first: int | None, file: str | None = None) -> None:
    """Raise :class:`LengthMismatchError` if there are fewer sentence pairs than the first ones that are asked for."""
    if first is not None and sentences < first:
        raise LengthMismatchError(
            f"has {sentences} sentence pairs, fewer than the first {first}",
            file=file,
            remedy=f"Pass --first {sentences} or less (first={sentences} in Python)",
        )


def lengths_error(first: str, sentences: int, file: str, other: int, may_cut: bool = True) -> LengthMismatchError:
    """Two files by position with other numbers of sentence pairs; ``may_cut`` as in :class:`Matching`."""
    fewer = min(sentences, other)
    remedy = "Give one line of links for each sentence pair, empty lines included"
    if may_cut:
        remedy += (
            f". Where a file holds the first ones of the text alone, pass --first {fewer} (first={fewer} in Python)"
        )
    return LengthMismatchError(f"{other} sentence pairs, but {sentences} in {first}", file=file, remedy=remedy)


def _keys(tables: Sequence[LinkTable], how: Matching, done: int) -> list[Keys]:
    """What the sentence pairs of each table go by: names, as numbers if all are; or lines of a file without names."""
    numbers = all(_NUMBER.fullmatch(name) for table in tables for name in table.ids or ())
    named = [None if t.ids is None else [int(name) if numbers else name for name in t.ids] for t in tables]
    known = [own for own in named if own is not None]
    runs = numbers and all(map(_is_run, known)) and len({len(own) for own in known}) == 1
    if runs and {own[0] for own in known} == {0, 1}:  # the same pairs, counted from 0 and from 1
        named = [None if own is None else list(range(1, 1 + len(own))) for own in named]
    which = next(k for k, own in enumerate(named) if own is not None)
    return [
        _lines(table.sentences, named[which] or (), how, which, k, done) if own is None else own
        for k, (table, own) in enumerate(zip(tables, named, strict=True))
    ]


def _is_run(keys: Keys) -> bool:
    """Whether the keys are consecutive numbers."""
    return bool(keys) and isinstance(keys[0], int) and list(keys) == list(range(keys[0], keys[0] + len(keys)))


def _lines(n: int, names: Keys, how: Matching, which: int, k: int, done: int) -> Keys:
    """What the ``n`` lines of file ``k``, which has no names, are called beside the ``names`` of file ``which``."""
    numbers = all(isinstance(name, int) for name in names)
    start = done + (0 if 0 in names else 1)
    lines = range(start, start + n)
    inside = sum(name in lines for name in names) if numbers else 0
    if numbers and names and (inside == len(names) or (how.first_only and inside == n)):
        return lines
    if len(names) == n and (not numbers or _is_run(names) or not (how.skips and how.skips[which])):
        if not numbers:
            order = f"its lines are taken for the sentence pairs of {how.files[which]}, in the order of that file"
            how.notes.append(f"{how.files[k]} names no sentence pairs: {order}")
        return names  # one line for each, in their order
    if how.first_only and which and not numbers and n < len(names):
        return names[:n]
    if len(names) != n:
        raise lengths_error(how.files[which], len(names) + done, how.files[k], n + done, how.may_cut)
    raise LengthMismatchError(
        f"has {n} lines without names, but {how.files[which]} names {n} sentence pairs with gaps, {names[0]} to "
        f"{names[-1]}: nothing says which line is which pair",
        file=how.files[k],
        remedy="Give the sentences (--bitext, or --source and --target), in whose order the lines are",
    )


def _order(keys: Sequence[Keys], how: Matching) -> Keys:
    """The names of all tables, in order; one that a table lacks, or tables that share none, are errors."""
    first: dict[int | str, None] = dict.fromkeys(keys[0])
    order = dict(first)
    for own, file in zip(keys[1:], how.files[1:], strict=True):
        theirs = dict.fromkeys(own)
        lacking = [name for name in first if name not in theirs]
        added = [] if how.first_only else [name for name in theirs if name not in first]
        apart = bool(first and theirs) and len(lacking) == len(first)
        if apart or (how.missing == "raise" and (lacking or added)):
            parts = [
                f"{listing(names)} {'are' if len(names) > 1 else 'is'} in {where} alone"
                for names, where in ((lacking, how.files[0]), (added, file))
                if names
            ]
            raise LengthMismatchError(
                f"of the sentence pairs, {' and '.join(parts)}{'; no name is in both' if apart else ''}",
                file=file,
                remedy="Check that both files name their sentence pairs alike" if apart else REMEDY,
            )
        order |= dict.fromkeys(added)
    ascending = all(isinstance(name, int) for name in order) and list(keys[0]) == _sorted(keys[0])
    return _sorted(order) if ascending else list(order)


def _sorted(keys: Iterable[int | str]) -> list[int | str]:
    return sorted(keys, key=lambda key: (isinstance(key, str), key))


def _ids(order: Keys, tables: Sequence[LinkTable], keys: Sequence[Keys]) -> list[str]:
    """The names of ``order`` as the first table that has them writes them."""
    written: dict[int | str, str] = {}
    for table, own in zip(reversed(tables), reversed(keys), strict=True):
        if table.ids is not None:
            written |= dict(zip(own, table.ids, strict=True))
    return [written.get(name, str(name)) for name in order]


def is_positional(names: Sequence[str]) -> bool:
    """Whether the names are the positions from 1: the text has no names of its own."""
    return all(name == str(k) for k, name in enumerate(names, 1))


def is_foreign(names: Sequence[str], ids: Sequence[str]) -> bool:
    """Whether ``names`` cannot be looked up among ``ids``, for these are positions and those are not all numbers."""
    return not all(_SHORT.fullmatch(name) for name in names) and is_positional(ids)


def placed_in_text(raw: RawLinks, ids: Sequence[str], done: int, may_lack: bool, report: LinkReport) -> RawLinks:
    """The sentence pairs of ``raw``, which have names, in the order of ``ids[done:]``.

    A name is looked up as it is, else as a number (``"0026"`` is ``"26"``); numbers from 0 are positions of a bitext
    that has no names. Only where one of both sides has no names of its own, and both have as many sentence pairs, is
    the order of the file that of the bitext.

    Args:
        raw: the links of sentence pairs, with names.
        ids: the names of all pairs of the bitext.
        done: how many of them have been read before.
        may_lack: a pair that the file does not name is one without links (NAACL); else it is an error.
        report: is told what a person should know.
    """
    names, among = list(raw.ids or ()), ids[done:]
    own = is_positional(ids)
    places = _places(names, among, own)
    if None in places:
        if len(names) == len(among) and (own or is_positional(names)):
            if own and all(map(_SHORT.fullmatch, names)):
                report.note(f"its numbers, {names[0]} to {names[-1]}, were taken in the order of the sentence pairs")
            return raw
        unknown = [name for name, place in zip(names, places, strict=True) if place is None]
        raise LengthMismatchError(
            f"names {listing(unknown)}, which {'is' if len(unknown) == 1 else 'are'} not among the {len(ids)} sentence "
            f"pairs of text ({len(names) + done} are named here)",
            file=report.file,
            remedy="Check that the links and the sentences belong together",
        )
    found = np.array(places, dtype=np.intp)
    if len(np.unique(found)) != len(found):
        twice = next(name for k, name in enumerate(names) if places[k] in places[:k])
        raise LengthMismatchError(
            f"the sentence pair {twice[:40]!r} is there twice", file=report.file, remedy="Name each pair once"
        )
    if len(found) < len(among) and not may_lack:
        lacking = [among[k] for k in sorted(set(range(len(among))) - set(found.tolist()))]
        raise LengthMismatchError(
            f"links of {len(names) + done} sentence pairs but {len(ids)} sentence pairs of text: {listing(lacking)} "
            f"{'is' if len(lacking) == 1 else 'are'} not named here",
            file=report.file,
            remedy="Check that the links and the sentences belong together, or add a line without links for each",
        )
    return raw.moved(found, among)


def _places(names: Sequence[str], among: Sequence[str], own: bool) -> list[int | None]:
    """The place of each name among ``among``, ``None`` for one that is not there."""
    exact = {name: k for k, name in enumerate(among)}
    found: list[int | None] = [exact.get(name) for name in names]
    if None not in found or not all(map(_SHORT.fullmatch, names)):
        return found
    numbers = [int(name) for name in names]
    if own and 0 in numbers:  # a number 0 is no position from 1
        return [number if number < len(among) else None for number in numbers]
    values = {int(name): k for k, name in enumerate(among) if _SHORT.fullmatch(name)}
    return [values.get(number) for number in numbers]
