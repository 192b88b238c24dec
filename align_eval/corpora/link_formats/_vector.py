"""The Pharaoh family in blocks of bytes with numpy: the hot path of scoring large files.

Only what is quite ordinary is taken; for anything else :func:`parse_block` gives ``None`` and the careful parser of
``_tokens`` decides, so that both read the same and errors are found one by one.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from align_eval.corpora.raw_links import RawLinks

_SURE, _POSSIBLE, _GAP, _END_SURE, _END_POSSIBLE = 1, 2, 3, 4, 5
_KIND = np.zeros(256, dtype=np.uint8)
_KIND[ord("-")] = _SURE
_KIND[[ord("p"), ord("?")]] = _POSSIBLE
_KIND[[ord(" "), ord("\n")]] = _GAP
_KIND[ord("S")] = _END_SURE
_KIND[ord("P")] = _END_POSSIBLE

_MAX_DIGITS = 9


def parse_block(data: bytes, start_line: int) -> RawLinks | None:
    """The links of whole lines, or ``None`` if anything in them is out of the ordinary.

    Args:
        data: lines of ``i-j``, ``ipj``, ``i?j`` (each perhaps with ``S``, ``-S``, ``P``, ``-P``) between spaces.
        start_line: the number of the first line.
    """
    if b"\r" in data:
        data = data.replace(b"\r\n", b"\n")
    if b"S" in data or b"P" in data:
        data = data.replace(b"-S", b"S").replace(b"-P", b"P")
    if not data.endswith(b"\n"):
        data += b"\n"
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
        sentence=np.repeat(np.arange(len(newlines), dtype=np.int32), counts),
        first=values[0::2],
        second=values[1::2],
        sure=sure,
        sentences=len(newlines),
        start_line=start_line,
    )


def _numbers(
    digits: NDArray[np.uint8],
    ends: NDArray[np.intp],
    width: NDArray[np.int32],
) -> NDArray[np.int32] | None:
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
