"""The Pharaoh family in blocks of bytes, compiled or with numpy: the hot path of scoring large files.

Only what is quite ordinary is taken; for anything else :func:`parse_block` gives ``None`` and the careful parser of
``parse_lines`` decides, so that both read the same and errors are found one by one.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from align_eval.corpora.raw_links import RawLinks
from align_eval.native import library, parse

_SURE, _POSSIBLE, _GAP, _END_SURE, _END_POSSIBLE = 1, 2, 3, 4, 5
_KIND = np.zeros(256, dtype=np.uint8)
_KIND[ord("-")] = _SURE
_KIND[[ord("p"), ord("?")]] = _POSSIBLE
_KIND[[ord(" "), ord("\n")]] = _GAP
_KIND[ord("S")] = _END_SURE
_KIND[ord("P")] = _END_POSSIBLE

_MAX_DIGITS = 9


def parse_block(data: bytes, start_line: int) -> RawLinks | None:
    """The links of whole lines, or ``None`` if anything in them is out of the ordinary."""
    if not data.endswith(b"\n"):
        data += b"\n"
    compiled = library()
    if compiled is None:
        return _parse(data, start_line)
    found = parse(compiled, data)
    if found is None:
        return None
    return RawLinks(
        found.sentence, found.first, found.second, found.sentences, found.sure, start_line=start_line,
        ascending=found.ascending, least=found.least,
    )  # fmt: skip


def parse_texts(texts: Iterable[str], start_line: int) -> RawLinks | None:
    """:func:`parse_block` for links of lines without their ends: a carriage return among them ends no line."""
    text = "".join(f"{links}\n" for links in texts)
    return None if "\r" in text else parse_block(text.encode(), start_line)


def _parse(data: bytes, start_line: int) -> RawLinks | None:
    """:func:`parse_block` with numpy, for text that ends with a line feed."""
    if b"\r" in data:
        data = data.replace(b"\r\n", b"\n")
    if b"S" in data or b"P" in data:
        data = data.replace(b"-S", b"S").replace(b"-P", b"P")
    chars = np.frombuffer(data, dtype=np.uint8)
    digits = chars - np.uint8(ord("0"))
    at = np.flatnonzero(digits > 9)  # (separators,) every byte that is not a digit
    separators = chars[at]
    kind = _KIND[separators]
    if not kind.all():
        return None
    width = np.empty(len(at), dtype=np.int32)  # digits before each separator
    width[0] = at[0]
    np.subtract(at[1:], at[:-1], out=width[1:], casting="unsafe")
    width[1:] -= 1
    passed: NDArray[np.intp]
    newlines = np.flatnonzero(separators == ord("\n"))
    number = width > 0
    if number.all():
        passed = newlines + 1
        ends, kinds = at, kind
        if (kinds > _GAP).any():
            return None
    else:
        empty = np.flatnonzero(~number)
        before = kind[empty - 1]
        if empty[0] == 0:
            before[0] = _GAP
        if (kind[empty] != _GAP).any() or (before < _GAP).any():
            return None
        suffix = np.flatnonzero(kind > _GAP)
        if len(suffix) and (number[suffix + 1].any() or (~number[suffix]).any()):
            return None
        passed = np.cumsum(number, dtype=np.intp)[newlines]
        ends, kinds, width = at[number], kind[number], width[number]
    if len(ends) % 2:
        return None
    marks, stops = kinds[0::2], kinds[1::2]
    if (marks > _POSSIBLE).any() or (stops < _GAP).any():
        return None
    sure = marks == _SURE
    if (stops > _GAP).any():
        if (~sure & (stops == _END_SURE)).any():
            return None
        sure &= stops != _END_POSSIBLE
    values = _numbers(digits, ends, width)
    if values is None:
        return None
    counts = np.diff(passed, prepend=0) // 2
    return RawLinks(
        sentence=np.repeat(np.arange(len(newlines), dtype=np.int32), counts), first=values[0::2], second=values[1::2],
        sure=sure, sentences=len(newlines), start_line=start_line,
    )  # fmt: skip


def _numbers(digits: NDArray[np.uint8], ends: NDArray[np.intp], width: NDArray[np.int32]) -> NDArray[np.int32] | None:
    """The numbers of ``width`` digits that end before ``ends``, all ``(numbers,)``; ``None`` if one is too long."""
    if not len(ends):
        return np.empty(0, dtype=np.int32)
    longest = int(width.max())
    if longest > _MAX_DIGITS:
        return None
    values = digits[ends - 1].astype(np.int32)
    rows = np.flatnonzero(width > 1)
    for place in range(1, longest):
        if place > 1:
            rows = rows[width[rows] > place]
        values[rows] += digits[ends[rows] - (place + 1)].astype(np.int32) * np.int32(10**place)
    return values
