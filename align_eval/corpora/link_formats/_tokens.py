"""One link of the Pharaoh family at a time: exact, with the place of every error. The slow and careful way."""

from __future__ import annotations

import re
from collections.abc import Iterable

import numpy as np

from align_eval.corpora.link_formats._input import LinkInput
from align_eval.corpora.raw_links import NULL, RawLinks

MAX_INDEX = 2**31 - 2

#: What a link may look like, for messages.
FORMS = "i-j (sure), ipj, i?j, i-j-P, i-jP (possible), i-j-S, i-jS (sure), and -1 or nothing for a missing side"

_TOKEN = re.compile(r"(-1|[0-9]*)([-p?])(-1|[0-9]*)(?:-?([SP]))?")

Token = tuple[int, int, bool]


def parse_token(token: str) -> Token | None:
    """``(first, second, sure)`` of one link as written, -1 for a missing side; ``None`` if it is malformed.

    >>> parse_token("3-4"), parse_token("3p4"), parse_token("3-4-P"), parse_token("3-")
    ((3, 4, True), (3, 4, False), (3, 4, False), (3, -1, True))
    """
    match = _TOKEN.fullmatch(token)
    if match is None:
        return None
    first, mark, second, suffix = match.groups()
    if not (first or second) or (suffix and not second) or (suffix == "S" and mark != "-"):
        return None
    if len(first) > 1000 or len(second) > 1000:
        return None
    i, j = int(first or NULL), int(second or NULL)
    if i > MAX_INDEX or j > MAX_INDEX:
        return None
    return i, j, mark == "-" and suffix != "P"


def parse_lines(file: LinkInput, lines: Iterable[tuple[int, str]]) -> RawLinks:
    """The links of ``(line number, links separated by spaces)``; one line is one sentence pair.

    Raises:
        FormatError: a malformed link, with its line.
    """
    known: dict[str, Token] = {}
    rows: list[Token] = []
    counts: list[int] = []
    start = 0
    for number, text in lines:
        start = start or number
        before = len(rows)
        for token in text.split(" "):
            if not token:
                continue
            parsed = known.get(token)
            if parsed is None:
                parsed = parse_token(token)
                if parsed is None:
                    shown = token if len(token) <= 40 else token[:40] + "..."
                    raise file.malformed(
                        f"{shown!r} is not a link",
                        number,
                        f"Links are separated by spaces and have the forms {FORMS}",
                    )
                if len(known) < 1 << 16:
                    known[token] = parsed
            rows.append(parsed)
        counts.append(len(rows) - before)
    flat = np.array(rows, dtype=np.int32).reshape(-1, 3)
    return RawLinks(
        sentence=np.repeat(np.arange(len(counts), dtype=np.int32), counts),
        first=flat[:, 0].copy(),
        second=flat[:, 1].copy(),
        sure=flat[:, 2] != 0,
        sentences=len(counts),
        start_line=start or 1,
    )
