"""JSON lines: one object a line, or an array of objects, with the columns of :mod:`align_eval.corpora.rows`."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from align_eval.corpora.formats import FORMATS, BitextFormat, Head, Options, Record
from align_eval.corpora.inputs import Input
from align_eval.corpora.json_rows import json_rows, parsed
from align_eval.corpora.lines import write_lines
from align_eval.corpora.rows import ROW_OPTIONS, RowReader, pair_row, sides_row
from align_eval.errors import AlignEvalError
from align_eval.registry import Option

if TYPE_CHECKING:
    from align_eval.corpora.pair import SentencePair


class JsonLines(BitextFormat):
    """One JSON object a line."""

    summary = 'one JSON object a line: {"source": ..., "target": ..., "links": ...}, or {"translation": {...}}'
    options: ClassVar[Mapping[str, Option]] = ROW_OPTIONS
    holds_gold = True

    def detect(self, head: Head) -> float:
        start = head.text.lstrip()
        if re.match(r'\[\s*\{\s*"', start):  # an array of objects
            return 2.0
        if not start.startswith("{"):
            return 0.0
        if not head.whole and "\n" not in head.text:  # the first line is longer than what was read
            return 1.0 + (re.match(r'\{\s*"', head.text) is not None)
        share = head.share(isinstance(parsed(line), dict) for line in head.lines)
        over_lines = start.startswith(("{\n", "{\r\n"))  # reading it says what to do
        return 1.0 + max(share, over_lines / 2) if share or over_lines else 0.0

    def check_options(self, options: Options) -> None:
        RowReader(options)

    def records(self, source: Input, target: Input | None, options: Options) -> Iterator[Record]:
        rows = RowReader(options)
        for number, row in json_rows(source):
            try:
                yield rows.record(row, number)
            except AlignEvalError as error:
                raise type(error)(error.message, file=source.name, line=number, remedy=error.remedy) from None

    def count(self, source: Input, target: Input | None, options: Options) -> int:
        start = source.head(1)[0].lstrip()
        return sum(1 for _ in json_rows(source)) if start.startswith(b"[") else source.count_lines()

    def write(self, path: str, target: str | None, pairs: Iterable[SentencePair], options: Options) -> None:
        write_lines(path, (json.dumps(_row(p), ensure_ascii=False) for p in pairs))


def _row(pair: SentencePair) -> dict[str, Any]:
    """A pair as an object, without keys that have no value."""
    return {key: value for key, value in {**pair_row(pair), **sides_row(pair)}.items() if value is not None}


FORMATS.register("jsonl", "json")(JsonLines())
