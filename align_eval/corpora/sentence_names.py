"""Sentence pairs of a file of links matched with those of a bitext: by their names, never closed up by rank."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

from align_eval.corpora.link_blocks import moved
from align_eval.corpora.raw_links import LinkReport, RawLinks
from align_eval.errors import LengthMismatchError

_NUMBER = re.compile(r"[0-9]{1,10}")
_SHOWN = 5


def listing(names: Sequence[str]) -> str:
    """The first few names, for messages: ``'2', '3' and 4 more``."""
    shown = ", ".join(repr(name[:40]) for name in names[:_SHOWN])
    return shown if len(names) <= _SHOWN else f"{shown} and {len(names) - _SHOWN} more"


def is_positional(names: Sequence[str]) -> bool:
    """Whether the names are the positions from 1: the text has no names of its own."""
    return all(name == str(k) for k, name in enumerate(names, 1))


def is_foreign(names: Sequence[str], ids: Sequence[str]) -> bool:
    """Whether ``names`` cannot be looked up among ``ids``, for these are positions and those are not all numbers."""
    return not all(_NUMBER.fullmatch(name) for name in names) and is_positional(ids)


def placed(raw: RawLinks, ids: Sequence[str], done: int, may_lack: bool, report: LinkReport) -> RawLinks:
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

    Raises:
        LengthMismatchError: names on one side only (the first few are listed), or a name that is there twice.
    """
    names, among = list(raw.ids or ()), ids[done:]
    own = is_positional(ids)
    places = _places(names, among, own)
    if None in places:
        if len(names) == len(among) and (own or is_positional(names)):
            if own and all(map(_NUMBER.fullmatch, names)):
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
    return moved(raw, found, among)


def _places(names: Sequence[str], among: Sequence[str], own: bool) -> list[int | None]:
    """The place of each name among ``among``, ``None`` for one that is not there."""
    exact = {name: k for k, name in enumerate(among)}
    found: list[int | None] = [exact.get(name) for name in names]
    if None not in found or not all(map(_NUMBER.fullmatch, names)):
        return found
    numbers = [int(name) for name in names]
    if own and 0 in numbers:  # a number 0 is no position from 1
        return [number if number < len(among) else None for number in numbers]
    values = {int(name): k for k, name in enumerate(among) if _NUMBER.fullmatch(name)}
    return [values.get(number) for number in numbers]
