"""Rows of Apache Parquet, batch by batch, with limits on what they unpack to."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import IO, Any

from align_eval.corpora.inputs import Input
from align_eval.errors import AlignEvalError, EncodingError, FormatError
from align_eval.files import raised_limit

_BATCH = 1024
_OPEN: dict[str, Any] = {"pre_buffer": False, "buffer_size": 1 << 20}
_NUMBER = 16  # bytes of a value with its levels while it is read
_BYTE_ARRAY, _DICTIONARY_PAGE = 6, 11
MOST_UNPACKED = ("ALIGN_EVAL_MAX_UNPACKED", 1 << 30)


def parquet_batches(source: Input, needed: Callable[[list[str]], list[str]]) -> Iterator[Any]:
    """The rows of a file in Arrow batches; ``needed`` picks the columns that are read."""
    with opened(source) as (file, place), _parquet_errors(source):
        yield from _batches(file, place, source.name, needed(file.schema_arrow.names))


@contextlib.contextmanager
def opened(source: Input) -> Iterator[tuple[Any, str | IO[bytes]]]:
    """The file as a ``pyarrow.parquet.ParquetFile``, and what it was opened with: a path, or bytes read whole first."""
    import pyarrow.parquet as pq

    with contextlib.ExitStack() as stack:
        place: str | IO[bytes] = source.path
        if not source.is_file or source.is_compressed:
            place = stack.enter_context(source.whole())
        with _parquet_errors(source):
            file = pq.ParquetFile(place, **_OPEN)
        stack.callback(file.close)
        yield file, place


@contextlib.contextmanager
def _parquet_errors(source: Input) -> Iterator[None]:
    import pyarrow as pa

    try:
        yield
    except AlignEvalError:
        raise
    except UnicodeDecodeError as error:
        raise EncodingError(f"text that is not UTF-8: {error.reason}", file=source.name, remedy="Repair it") from None
    except (pa.ArrowException, OSError, ValueError, KeyError, OverflowError, MemoryError) as error:
        raise source.malformed(
            f"damaged or not Parquet: {' '.join(str(error).split())[:200]}", None,
            "Fetch the file again, or pass another --bitext-format (format= in Python)",
        ) from None  # fmt: skip


def _batches(file: Any, place: Any, name: str, columns: Sequence[str]) -> Iterator[Any]:
    """The rows of the open Parquet file ``name``, some at a time; ``place`` is what it was opened with.

    Repeated text is read as numbers into a dictionary, and counted before it is written out: a column of a row group
    may unpack to ``ALIGN_EVAL_MAX_UNPACKED`` bytes (1 GiB where that is not set), the rows of a batch to a quarter.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    meta, row, packed = file.metadata, 0, set()
    paths = [meta.schema.column(k).path for k in range(meta.num_columns)]
    for group, chunks in enumerate(column_chunks(place, meta.serialized_size, len(paths), name)):
        for path, chunk in zip(paths, chunks, strict=True):
            if path.partition(".")[0] in columns:
                size = max(chunk[6], _NUMBER * chunk[5])
                check_unpacked(size, 1, f"column {path} of row group {group + 1}", name, row + 1)
                if chunk[1] == _BYTE_ARRAY and _DICTIONARY_PAGE in chunk:
                    packed.add(path)
        row += meta.row_group(group).num_rows
    done = seen = 0
    with pq.ParquetFile(place, metadata=meta, read_dictionary=sorted(packed), **_OPEN) as small:
        for group in range(meta.num_row_groups):
            these: dict[str, Any] = {"row_groups": [group], "columns": columns}
            ahead, own = small.iter_batches(_BATCH, **these), file.iter_batches(_BATCH, **these)
            last = done + meta.row_group(group).num_rows
            while done < last:
                wanted = min(done + _BATCH, last)
                try:
                    while packed and seen < wanted and (batch := next(ahead, None)) is not None:
                        seen += batch.num_rows
                        check_unpacked(unpacked_bytes(batch), 4, f"{batch.num_rows} rows", name, done + 1)
                except pa.ArrowNotImplementedError:  # lists of text whose dictionary has grown too large for one
                    seen = last
                batch = next(own)
                check_unpacked(unpacked_bytes(batch), 4, f"{batch.num_rows} rows", name, done + 1)
                done += batch.num_rows
                yield batch


def column_chunks(place: Any, size: int, columns: int, name: str) -> list[list[dict[int, Any]]]:
    """What the footer of a Parquet file says of the columns of each row group: ``ColumnMetaData`` by field number.

    Fields: 1 physical type, 5 number of values, 6 bytes unpacked, 11 place of the dictionary. pyarrow ends the
    process for a damaged footer when it is asked for them (``RowGroupMetaData.column``), so that they are read here.
    """
    with contextlib.ExitStack() as stack:
        stream = place if hasattr(place, "seek") else stack.enter_context(open(place, "rb"))
        stream.seek(-8 - size, 2)
        data = stream.read(size)
    try:
        footer, _ = _thrift(data, 0, 12)
        found = [[column[3] for column in group[1]] for group in footer.get(4, [])]
        if all(len(chunks) == columns and all({1, 5, 6} <= chunk.keys() for chunk in chunks) for chunks in found):
            return found
    except (IndexError, KeyError, TypeError, AttributeError, RecursionError):
        pass
    raise FormatError("damaged Parquet: its footer cannot be read", file=name, remedy="Fetch the file again")


def _thrift(data: bytes, at: int, kind: int) -> tuple[Any, int]:
    """A value of Thrift's compact protocol and the place behind it; a struct is a dict by field number."""
    if kind in (1, 2):
        return kind == 1, at
    if kind in (3, 7):  # a byte, a double
        return None, at + (1 if kind == 3 else 8)
    if kind in (4, 5, 6):
        number, at = _varint(data, at)
        return (number >> 1) ^ -(number & 1), at
    if kind == 8:
        size, at = _varint(data, at)
        if at + size > len(data):
            raise IndexError
        return data[at : at + size], at + size
    if kind in (9, 10):
        head, at = data[at], at + 1
        count = head >> 4
        if count == 15:
            count, at = _varint(data, at)
        items: list[Any] = []
        for _ in range(count):
            value, at = (data[at] == 1, at + 1) if head & 15 in (1, 2) else _thrift(data, at, head & 15)
            items.append(value)
        return items, at
    if kind != 12:
        raise KeyError(kind)
    fields: dict[int, Any] = {}
    number = 0
    while head := data[at]:
        at += 1
        if head >> 4:
            number += head >> 4
        else:
            number, at = _thrift(data, at, 5)
        fields[number], at = _thrift(data, at, head & 15)
    return fields, at + 1


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        value, at, shift = value | (byte & 127) << shift, at + 1, shift + 7
        if byte < 128:
            return value, at
        if shift > 63:
            raise IndexError


def check_unpacked(size: int, part: int, what: str, name: str, row: int) -> None:
    """Raise :class:`FormatError` for ``size`` bytes over ``1 / part`` of the limit of unpacked bytes."""
    variable, usual = MOST_UNPACKED
    if size > usual // part and size > (most := raised_limit(variable, usual) // part):
        raise FormatError(
            f"{what} would unpack to {size:,} bytes, the limit is {most:,}", file=name, line=row,
            remedy=f"Check the file; write smaller row groups, or set {variable}={size * part}",
        )  # fmt: skip


def unpacked_bytes(array: Any) -> int:
    """The bytes of an Arrow array or batch if the text of dictionaries were written out."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if isinstance(array, (pa.RecordBatch, pa.Table)):
        return sum(map(unpacked_bytes, array.columns))
    if isinstance(array, pa.ChunkedArray):
        return sum(map(unpacked_bytes, array.chunks))
    kind = array.type
    if pa.types.is_struct(kind):
        return sum(map(unpacked_bytes, array.flatten()))
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        return 4 * len(array) + unpacked_bytes(array.flatten())
    if pa.types.is_dictionary(kind):
        words, numbers = array.dictionary, _NUMBER * len(array)
        if pa.types.is_string(words.type) or pa.types.is_large_string(words.type) or pa.types.is_binary(words.type):
            lengths = pc.cast(pc.binary_length(words), pa.int64())
            return numbers + int(pc.sum(lengths.take(array.indices)).as_py() or 0)
        return numbers
    return int(array.nbytes)
