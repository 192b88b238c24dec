"""Gold links inside a bitext file: the text form ``0-0 1p2``."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from align_eval.errors import FormatError, InputError
from align_eval.registry import Option

if TYPE_CHECKING:
    from align_eval.links import GoldLinks

_LINK = re.compile(r"([0-9]{1,9})(-|p|\?)([0-9]{1,9})")
_LINE = re.compile(r" *(?:[0-9]{1,9}[-p?][0-9]{1,9}(?: +|$))*")

_BASE_0 = "Pass --bitext-format auto:base=0 (format= in Python), or leave null links out"
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
            raise FormatError(f"link {word!r} has an index 0 but the index base is 1", remedy=_BASE_0)
        possible.append(pair)
        if match[2] == "-":
            sure.append(pair)
    return GoldLinks(Links(sure), Links(possible))


def gold_text(gold: GoldLinks) -> str:
    """Write gold links 0-based: ``0-0`` sure, ``1p2`` possible only."""
    return str(gold)
