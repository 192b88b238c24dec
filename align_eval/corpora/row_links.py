"""The links of a row with named columns (a JSON object, a row of Parquet), for readers of links and of sentence pairs.

- ``links`` or ``sure``: the sure links, a list of ``[i, j]``, or text (``"0-0 1-2"``, in which possible links may stand
  too);
- ``possible``: possible links likewise, all of P or those that are not sure;
- ``scores``: one number for each entry of ``links`` and then of ``possible``.

An index -1 or ``null`` is a missing side: a null link.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from itertools import chain
from typing import Any, NamedTuple

from align_eval.corpora.link_formats._tokens import FORMS, MAX_INDEX, parse_token
from align_eval.corpora.link_formats._words import split_words
from align_eval.corpora.raw_links import NULL
from align_eval.errors import FormatError

#: The columns that hold links.
LINK_COLUMNS = ("links", "sure", "possible", "scores")
#: What a row is like, for messages.
FORM = 'A line is like {"id": "1", "links": [[0, 0], [1, 2]], "possible": [[1, 1]]}'


class RowLinks(NamedTuple):
    """Links as written: ``first, second, first, ...``, the mark of each (true: sure), and the score of each."""

    sides: list[int]
    sure: list[bool]
    scores: list[float] | None


def row_links(row: Mapping[str, Any]) -> RowLinks | None:
    """The links of one row; ``None``: it has none of the columns, or nothing stands in them."""
    links, sure = row.get("links"), row.get("sure")
    if links is not None and sure is not None and links != sure:
        raise FormatError("both 'links' and 'sure', and they differ", remedy="Keep one: either are the sure links")
    key = "sure" if links is None else "links"
    value = sure if links is None else links
    if value is None:
        if row.get("possible") is not None:
            raise FormatError("'possible' links without 'sure' links", remedy='Write "sure": [] if there are none')
        return None
    sides, marks, found = _links(key, value, True)
    if row.get("possible") is not None:
        more, more_marks, more_found = _links("possible", row["possible"], False)
        sides, marks, found = sides + more, marks + more_marks, found + more_found
    scores = row.get("scores")
    if scores is None:
        scores = found or None
        if found and len(found) != len(marks):
            raise FormatError("some links have a score and others have not", remedy="Give all or none")
    elif not isinstance(scores, list) or not all(_is_score(x) for x in scores):
        raise FormatError("'scores' is not a list of finite numbers", remedy=FORM)
    elif len(scores) != len(marks):
        raise FormatError(f"{len(scores)} scores for {len(marks)} links", remedy="Give each link one score")
    return RowLinks(sides, marks, scores)


def _links(key: str, value: Any, sure: bool) -> tuple[list[int], list[bool], list[float]]:
    """``first, second, first, ...`` of all links, the mark of each, and the scores that stand in text."""
    if isinstance(value, str):
        return _text_links(key, value, sure)
    if not isinstance(value, (list, tuple)):
        raise FormatError(f"{key!r} is a {type(value).__name__}", remedy=FORM)
    if set(map(type, value)) == {list} and set(map(len, value)) == {2}:
        sides = list(chain.from_iterable(value))
        if set(map(type, sides)) == {int} and min(sides) >= NULL and max(sides) <= MAX_INDEX:
            return sides, [sure] * len(value), []
    sides = []
    for entry in value:
        if not isinstance(entry, (list, tuple)) or len(entry) != 2:
            raise FormatError(f"{str(entry)[:40]!r} in {key!r} is not a link", remedy="A link is [i, j]")
        for side in (NULL if side is None else side for side in entry):
            if type(side) is not int or not NULL <= side <= MAX_INDEX:
                raise FormatError(
                    f"{str(entry)[:40]!r} in {key!r} is not a link", remedy="A link is [i, j], whole numbers"
                )
            sides.append(side)
    return sides, [sure] * len(value), []


def _text_links(key: str, text: str, sure: bool) -> tuple[list[int], list[bool], list[float]]:
    sides: list[int] = []
    marks: list[bool] = []
    scores: list[float] = []
    for word in split_words(text):
        token = parse_token(word)
        if token is None:
            raise FormatError(f"{word[:40]!r} in {key!r} is not a link", remedy=f"Links in text are {FORMS}")
        sides += token[:2]
        marks.append(token[2] and sure)
        if token[3] is not None:
            scores.append(token[3])
    return sides, marks, scores


def _is_score(value: Any) -> bool:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return False
    return abs(value) < 3e38 and math.isfinite(value)
