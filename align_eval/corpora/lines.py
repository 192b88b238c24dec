"""Lines of text: gold links in them as ``0-0 1p2``, and words in them so that reading gives them back."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING

from align_eval.errors import FormatError, InputError
from align_eval.files import output_stream
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
    """``base`` as a number if it is 0 or 1 (a number or its text), else :class:`InputError`."""
    if base in (0, "0"):
        return 0
    if base in (1, "1"):
        return 1
    raise InputError(f"index base {base!r} of links in a bitext", remedy="Pass 0 or 1")


def parse_gold(text: str, base: int) -> GoldLinks:
    """Read ``i-j`` (sure) and ``ipj`` or ``i?j`` (possible) separated by ASCII spaces."""
    found = []
    for word in filter(None, text.split(" ")):
        match = _LINK.fullmatch(word)
        if match is None:
            raise FormatError(f"{word[:40]!r} is not a link", remedy="Links are written i-j (sure) or ipj (possible)")
        found.append((int(match[1]), int(match[3]), match[2] == "-", repr(word)))
    return gold_of(found, base)


def gold_of(links: Iterable[tuple[int, int, bool, str]], base: int) -> GoldLinks:
    """The gold of ``(source, target, sure, as written)``, indices from ``base``; index 0 of base 1 is an error."""
    from align_eval.links import GoldLinks, Links  # numpy comes with it

    sure: list[tuple[int, int]] = []
    possible: list[tuple[int, int]] = []
    for first, second, mark, shown in links:
        if first < base or second < base:
            raise FormatError(f"link {shown} has an index 0 but the index base is 1", remedy=_BASE_0)
        possible.append((first - base, second - base))
        if mark:
            sure.append(possible[-1])
    return GoldLinks(Links(sure), Links(possible))


def joined(words: tuple[str, ...], ident: str, *forbidden: str) -> str:
    """The words of one side of pair ``ident`` joined by single spaces, if reading gives them back.

    Raises:
        InputError: a word is empty, or holds a space, a line end, or one of the ``forbidden`` words or characters.
    """
    text = " ".join(words)
    if len(text.split(" ")) != len(words) and words:
        raise _unwritable(next(w for w in words if not w or " " in w), ident)
    for mark in ("\n", "\r", "\0", *forbidden):
        if mark in text:
            bad = [w for w in words if (w == mark if len(mark) > 1 else mark in w)]
            if bad:
                raise _unwritable(bad[0], ident)
    if "" in words:
        raise _unwritable("", ident)
    return text


def _unwritable(word: str, ident: str) -> InputError:
    return InputError(
        f"word {word!r} of sentence pair {ident!r} cannot be written in this format", remedy="Write JSONL or Parquet"
    )


def write_lines(path: str, lines: Iterable[str]) -> None:
    r"""Write each of ``lines`` with ``\n`` behind it, in UTF-8, whole or not at all."""
    with output_stream(path) as stream:
        first = True
        for line in lines:
            if first and line.startswith("\ufeff"):
                raise InputError("the first word starts with U+FEFF, which is read as a byte order mark", file=path)
            first = False
            stream.write(encoded(line, path))


def encoded(line: str, path: str) -> bytes:
    r"""``line`` and ``\n`` in UTF-8; :class:`InputError` for half of a surrogate pair."""
    try:
        return line.encode("utf-8") + b"\n"
    except UnicodeEncodeError as error:
        raise InputError(f"U+{ord(line[error.start]):04X} cannot be written as UTF-8", file=path) from None
