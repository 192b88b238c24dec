"""Bitexts of rows with named columns (:mod:`align_eval.corpora.rows`): JSON lines, Parquet, and data sets."""

from __future__ import annotations

import contextlib
import json
import os
import re
from abc import abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from typing import Any, ClassVar

from align_eval.corpora.formats import FORMATS, BitextFormat, Head, Options, Record, ratio
from align_eval.corpora.inputs import Input
from align_eval.corpora.lines import write_lines
from align_eval.corpora.pair import SentencePair
from align_eval.corpora.parquet import check_unpacked, opened, parquet_batches, unpacked_bytes
from align_eval.corpora.rows import ROW_OPTIONS, RowReader, json_rows, pair_row, parsed, sides_row
from align_eval.errors import AlignEvalError, FormatError, InputError, MissingFileError
from align_eval.files import output_stream
from align_eval.registry import Option

_ROWS_AT_ONCE = 8192
_MARKS = ("dataset_info.json", "dataset_dict.json", "state.json")


class _Rows(BitextFormat):
    """What the formats of rows have in common."""

    options: ClassVar[Mapping[str, Option]] = ROW_OPTIONS

    def check_options(self, options: Options) -> None:
        RowReader(options)

    @abstractmethod
    def rows(self, source: Input, options: Options, reader: RowReader) -> Iterator[tuple[int, dict[str, Any]]]:
        """Yield ``(line or row from 1, row)``."""

    def records(self, source: Input, target: Input | None, options: Options) -> Iterator[Record]:
        reader = RowReader(options)
        number = 0
        try:
            for number, row in self.rows(source, options, reader):
                yield reader.record(row, number)
        except AlignEvalError as error:
            raise source.placed(error, number or None) from None


class JsonLines(_Rows):
    """One JSON object a line."""

    summary = 'one JSON object a line: {"source": ..., "target": ..., "links": ...}, or {"translation": {...}}'
    holds_gold = True

    def detect(self, head: Head) -> float:
        start = head.text.lstrip()
        if re.match(r'\[\s*\{\s*"', start):  # an array of objects
            return 2.0
        if not start.startswith("{"):
            return 0.0
        if not head.whole and "\n" not in head.text:  # the first line is longer than what was read
            return 1.0 + (re.match(r'\{\s*"', head.text) is not None)
        dicts = ratio(isinstance(parsed(line), dict) for line in head.lines)
        over_lines = start.startswith(("{\n", "{\r\n"))  # reading it says what to do
        return 1.0 + max(dicts, over_lines / 2) if dicts or over_lines else 0.0

    def rows(self, source: Input, options: Options, reader: RowReader) -> Iterator[tuple[int, dict[str, Any]]]:
        return json_rows(source)

    def count(self, source: Input, target: Input | None, options: Options) -> int:
        start = source.head(1)[0].lstrip()
        return sum(1 for _ in json_rows(source)) if start.startswith(b"[") else source.count_lines()

    def write(self, path: str, target: str | None, pairs: Iterable[SentencePair], options: Options) -> None:
        rows = ({**pair_row(pair), **sides_row(pair)} for pair in pairs)
        filled = ({key: value for key, value in row.items() if value is not None} for row in rows)
        write_lines(path, (json.dumps(row, ensure_ascii=False) for row in filled))


class Parquet(_Rows):
    """Columns ``source`` and ``target`` (text or lists of words) or ``translation`` (a struct)."""

    summary = "columns source and target (text or words), or translation; optional id, links, sure, possible"
    holds_gold = True

    def detect(self, head: Head) -> float:
        return 3.0 if head.data.startswith(b"PAR1") else 0.0

    def rows(self, source: Input, options: Options, reader: RowReader) -> Iterator[tuple[int, dict[str, Any]]]:
        rows = (row for batch in parquet_batches(source, reader.needed) for row in batch.to_pylist())
        return enumerate(rows, 1)

    def count(self, source: Input, target: Input | None, options: Options) -> int:
        with opened(source) as (file, _):
            return int(file.metadata.num_rows)

    def write(self, path: str, target: str | None, pairs: Iterable[SentencePair], options: Options) -> None:
        if path.endswith((".gz", ".xz", ".zst")):
            raise InputError("Parquet compresses its own columns", file=path, remedy="Name the file .parquet")
        import pyarrow as pa
        import pyarrow.parquet as pq

        links, words = pa.list_(pa.list_(pa.int32())), pa.list_(pa.string())
        schema = pa.schema({"id": pa.string(), "source": words, "target": words, "sure": links, "possible": links})
        stream = iter(pairs)
        with output_stream(path) as out, pq.ParquetWriter(out, schema, compression="zstd") as writer:
            while batch := [pair_row(pair) for pair in islice(stream, _ROWS_AT_ONCE)]:
                try:
                    table = pa.Table.from_pylist(batch, schema=schema)
                except (pa.ArrowException, UnicodeEncodeError) as error:
                    raise InputError(f"cannot be written as Parquet: {error}", file=path) from None
                writer.write_table(table)


class HubDataset(_Rows):
    """A data set of the library ``datasets``, streamed where it is on the hub."""

    summary = "a folder written by datasets.save_to_disk, or a data set's name on the hub"
    options: ClassVar[Mapping[str, Option]] = {
        **ROW_OPTIONS,
        "split": Option(example="test", help="the split; needed if there is more than one"),
        "config": Option(example="de-en", help="the configuration (subset) of a data set on the hub"),
        "revision": Option(example="main", help="the commit or branch on the hub; a commit makes a number citable"),
        "streaming": Option(bool, True, help="read a data set of the hub without fetching it whole"),
    }

    def rows(self, source: Input, options: Options, reader: RowReader) -> Iterator[tuple[int, dict[str, Any]]]:
        with _dataset_errors(source.name):
            data = _load(source.path, options)
            if data.column_names:
                data = data.select_columns(reader.needed(data.column_names))
            if not hasattr(data, "__len__"):
                yield from enumerate(data, 1)
                return
            number = 0
            for batch in data.with_format("arrow").iter(1024):
                check_unpacked(unpacked_bytes(batch), 4, f"{batch.num_rows} rows", source.name, number + 1)
                yield from enumerate(batch.to_pylist(), number + 1)
                number += batch.num_rows

    def count(self, source: Input, target: Input | None, options: Options) -> int:
        """Rows of a local data set; of a streamed one what its card says, else one pass."""
        with _dataset_errors(source.name):
            data = _load(source.path, options)
            if hasattr(data, "__len__"):
                return len(data)
            splits = data.info.splits
            if splits and data.split in splits and splits[data.split].num_examples:
                return int(splits[data.split].num_examples)
        return super().count(source, target, options)


def is_saved_dataset(folder: str) -> bool:
    """Whether ``save_to_disk`` wrote ``folder``."""
    return any(os.path.isfile(os.path.join(folder, mark)) for mark in _MARKS)


def _load(path: str, options: Options) -> Any:
    import datasets

    split = options.get("split")
    if os.path.isdir(path) and is_saved_dataset(path):
        data = datasets.load_from_disk(path)
    else:
        data = datasets.load_dataset(
            path, options.get("config"), revision=options.get("revision"), streaming=options.get("streaming", True)
        )
    if isinstance(data, dict):
        if split is None and len(data) == 1:
            return next(iter(data.values()))
        if split is None or split not in data:
            what = "several splits" if split is None else f"no split {split!r}"
            pass_one = f"Pass --bitext-format datasets:split={next(iter(data), 'test')} (format= in Python)"
            raise InputError(what, file=path, remedy=f"{pass_one}, one of: {', '.join(map(str, data))}")
        return data[split]
    if split is not None and str(data.split) != split:
        what = f"is the split {str(data.split)!r}, not {split!r}"
        raise InputError(what, file=path, remedy="Leave the option split out")
    return data


@contextlib.contextmanager
def _dataset_errors(name: str) -> Iterator[None]:
    """The errors that loading and reading a data set can raise, as typed ones."""
    try:
        yield
    except AlignEvalError:
        raise
    except (OSError, ValueError, TypeError, KeyError, RuntimeError, ImportError) as error:
        shown = " ".join(f"{type(error).__name__}: {error}".split())[:300]
        if isinstance(error, FileNotFoundError):
            remedy = "Check the name, and that the hub can be reached"
            raise MissingFileError(f"no such data set: {shown}", file=name, remedy=remedy) from error
        remedy = "Check its name, config and split"
        raise FormatError(f"the data set cannot be read: {shown}", file=name, remedy=remedy) from error


FORMATS.register("jsonl", "json")(JsonLines())
FORMATS.register("parquet")(Parquet())
FORMATS.register("datasets", "dataset")(HubDataset())
