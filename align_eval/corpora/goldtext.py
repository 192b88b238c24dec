"""Gold links inside a bitext file: the text form ``0-0 1p2`` and the list form ``[[0, 0], [1, 2]]``."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from align_eval.errors import FormatError, InputError
from align_eval.options import Option

if TYPE_CHECKING:
    from align_eval.links import GoldLinks, Links

_LINK = re.compile(r"([0-9]{1,9})(-|p|\?)([0-9]{1,9})")
_LINE = re.compile(r" *(?:[0-9]{1,9}[-p?][0-9]{1,9}(?: +|$))*")

BASE = Option(default="0", choices=("0", "1"), help="what the links in the file count from")


def looks_like_links(text: str) -> bool:
    """Whether ``text`` is nothing but links in text form (none at all counts)."""
    return _LINE.fullmatch(text) is not None


def check_base(base: object) -> int:
    """Return ``base`` if it is 0 or 1 (a number or its text).

    Raises:
        InputError: it is anything else.
    """
    if base in (0, "0"):
        return 0
    if base in (1, "1"):
        return 1
    raise InputError(f"index base {base!r} of links in a bitext", remedy="Pass 0 or 1")


def parse_gold(text: str, base: int) -> GoldLinks:
    """Read ``i-j`` (sure) and ``ipj`` or ``i?j`` (possible) separated by ASCII spaces.

    Raises:
        FormatError: something else stands there, or an index is below ``base``.
    """
    from align_eval.links import GoldLinks, Links

    sure: list[tuple[int, int]] = []
    possible: list[tuple[int, int]] = []
    for word in text.split(" "):
        if not word:
            continue
        match = _LINK.fullmatch(word)
        if match is None:
            raise FormatError(f"{word[:40]!r} is not a link", remedy="Links are written i-j (sure) or ipj (possible)")
        pair = (int(match[1]) - base, int(match[3]) - base)
        if pair[0] < 0 or pair[1] < 0:
            raise FormatError(f"link {word!r} has an index 0 but the index base is 1", remedy="Pass base=0")
        possible.append(pair)
        if match[2] == "-":
            sure.append(pair)
    return GoldLinks(Links(sure), Links(possible))


def parse_links(value: Any, base: int) -> Links:
    """Read a list of ``[i, j]``.

    Raises:
        FormatError: an entry is not two whole numbers, or an index is below ``base``.
    """
    from align_eval.links import Links

    if not isinstance(value, (list, tuple)):
        raise FormatError(f"links are a {type(value).__name__}", remedy='Write a list of [i, j], or text "i-j i-j"')
    pairs: list[tuple[int, int]] = []
    for entry in value:
        if not (isinstance(entry, (list, tuple)) and len(entry) == 2 and all(type(k) is int for k in entry)):
            raise FormatError(f"{str(entry)[:40]} is not a link", remedy="A link is [i, j], two whole numbers")
        i, j = entry[0] - base, entry[1] - base
        if not (0 <= i < 2**31 and 0 <= j < 2**31):
            raise FormatError(f"link {entry} has an index out of bounds for index base {base}", remedy="Check the base")
        pairs.append((i, j))
    return Links(pairs)


def gold_text(gold: GoldLinks) -> str:
    """Write gold links 0-based: ``0-0`` sure, ``1p2`` possible only."""
    return str(gold)
