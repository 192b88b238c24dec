"""JSON lines: one object a line, with the columns of :mod:`align_eval.corpora.rows`."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from align_eval.corpora.formats import FORMATS, BitextFormat, Head, Options, Record
from align_eval.corpora.inputs import Input
from align_eval.corpora.rows import ROW_OPTIONS, RowReader, pair_row
from align_eval.corpora.textout import write_lines
from align_eval.errors import AlignEvalError, FormatError
from align_eval.options import Option

if TYPE_CHECKING:
    from align_eval.corpora.pair import SentencePair


class JsonLines(BitextFormat):
    """One JSON object a line."""

    summary = 'one JSON object a line: {"source": ..., "target": ..., "links": ...}, or {"translation": {...}}'
    options: ClassVar[Mapping[str, Option]] = ROW_OPTIONS
    holds_gold = True

    def detect(self, head: Head) -> float:
        if not head.text.startswith("{"):
            return 0.0
        if not head.whole and "\n" not in head.text:  # the first line is longer than what was read
            return 1.0 + (re.match(r'\{\s*"', head.text) is not None)
        share = head.share(_is_object(line) for line in head.lines)
        return 1.0 + share if share else 0.0

    def check_options(self, options: Options) -> None:
        RowReader(options)

    def records(self, source: Input, target: Input | None, options: Options) -> Iterator[Record]:
        rows = RowReader(options)
        for number, line in source.lines():
            try:
                yield rows.record(_object(line), number)
            except AlignEvalError as error:
                raise type(error)(error.message, file=source.name, line=number, remedy=error.remedy) from None

    def count(self, source: Input, target: Input | None, options: Options) -> int:
        return source.count_lines()

    def write(self, path: str, target: str | None, pairs: Iterable[SentencePair], options: Options) -> None:
        write_lines(path, (json.dumps(_compact(pair_row(p)), ensure_ascii=False) for p in pairs))


def _object(line: str) -> dict[str, Any]:
    try:
        value = json.loads(line)
    except (ValueError, RecursionError) as error:
        what = "an empty line" if not line.strip() else f"not JSON: {error}"
        raise FormatError(what, remedy="Write one JSON object in each line") from None
    if not isinstance(value, dict):
        remedy = "Write one JSON object in each line"
        if isinstance(value, list):
            remedy += " (from an array: jq -c '.[]')"
        raise FormatError(f"a JSON {type(value).__name__} where an object is needed", remedy=remedy)
    return value


def _is_object(line: str) -> bool:
    try:
        _object(line)
    except FormatError:
        return False
    return True


def _compact(row: dict[str, Any]) -> dict[str, Any]:
    """Sides as text where splitting gives the words back; no keys without a value."""
    for side in ("source", "target"):
        text = " ".join(row[side])
        if [w for w in text.split(" ") if w] == row[side]:
            row[side] = text
    return {key: value for key, value in row.items() if value is not None}


FORMATS.register("jsonl", "json")(JsonLines())
