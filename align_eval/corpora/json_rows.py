"""JSON objects out of a file: one a line, or the elements of one array."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import chain
from typing import Any

from align_eval.corpora.inputs import Input
from align_eval.errors import EncodingError, FormatError
from align_eval.files import parse_json

_FORM = "Write one JSON object in each line"


def json_rows(file: Input) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield ``(line, object)`` of JSON lines, or ``(number from 1, object)`` of the elements of an array of objects.

    An array is read whole.
    """
    lines = file.lines()
    first = next(lines, None)
    if first is None:
        return
    value = parsed(first[1])
    if not isinstance(value, dict) and first[1].lstrip(" ")[:1] in ("[", "{", ""):
        rows = _of_whole(file, [text for _, text in chain([first], lines)])
        if rows is not None:
            yield from rows
            return
        lines = file.lines()
    else:
        lines = chain([first], lines)
    for number, text in lines:
        yield number, _object(file, number, text)


def parsed(text: str) -> Any:
    """``text`` as JSON, ``None`` if it is none."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _of_whole(file: Input, lines: list[str]) -> list[tuple[int, dict[str, Any]]] | None:
    """The rows of a file that is one JSON value; ``None``: it is not."""
    value = parsed("\n".join(lines))
    if isinstance(value, list):
        for number, entry in enumerate(value, 1):
            if not isinstance(entry, dict):
                texts = isinstance(entry, str)
                raise FormatError(
                    f"element {number} of a JSON array is a {type(entry).__name__} where an object is needed",
                    file=file.name,
                    remedy="Write its texts, one a line: jq -r '.[]' FILE > NEW" if texts else _FORM,
                )
        try:
            parse_json("\n".join(lines))
        except ValueError as error:
            raise EncodingError(f"not JSON: {error}", file=file.name, remedy="Write whole characters") from None
        return list(enumerate(value, 1))
    if isinstance(value, dict):
        raise FormatError(
            f"one JSON object over {len(lines)} lines, with the keys {', '.join(map(repr, value))[:80]}",
            file=file.name,
            remedy=_unwrapping(value) or f"{_FORM} (jq -c . FILE)",
        )
    if lines[0].strip() in ("{", "["):
        raise FormatError(
            "JSON over several lines that is not one value", file=file.name, line=1, remedy=f"{_FORM} (jq -c . FILE)"
        )
    return None


def _unwrapping(value: dict[str, Any]) -> str | None:
    """The command that takes the rows out of an object that wraps them."""
    for key, entry in value.items():
        if isinstance(entry, list) and entry and isinstance(entry[0], dict):
            return f"Take its rows out, one a line: jq -c '.{key}[]' FILE"
    return None


def lacks(row: dict[str, Any], what: str) -> FormatError:
    """The error that an object has no key ``what``: says which it has, and how rows inside of it are taken out."""
    keys = ", ".join(map(repr, row))[:80] or "none"
    remedy = _unwrapping(row)
    lists = [key for key, value in row.items() if isinstance(value, list) and value and isinstance(value[0], list)]
    if remedy is None and len(lists) == 1:
        remedy = f"Name it {what!r}: jq -c '.{what} = .{lists[0]}' FILE > NEW"
    elif remedy is None and len(lists) > 1 and len(lists) == len(row):
        remedy = f"Make a line of each: jq -c 'to_entries[] | {{id: .key, {what}: .value}}' FILE > NEW"
    return FormatError(f"no key {what!r}; there are: {keys}", remedy=remedy or f"Name it {what!r}")


def _object(file: Input, number: int, text: str) -> dict[str, Any]:
    try:
        value = parse_json(text)
    except ValueError as error:
        what = "an empty line" if not text.strip() else f"not JSON: {error}"
        kind = EncodingError if isinstance(error, UnicodeError) else FormatError
        raise kind(what, file=file.name, line=number, remedy=_FORM) from None
    if not isinstance(value, dict):
        raise FormatError(
            f"a JSON {type(value).__name__} where an object is needed",
            file=file.name,
            line=number,
            remedy=f"{_FORM} (from an array of objects: jq -c '.[]' FILE; from an array of texts: jq -r '.[]' FILE)",
        )
    return value
