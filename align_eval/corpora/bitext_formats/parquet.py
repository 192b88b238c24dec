"""Apache Parquet, with the columns of :mod:`align_eval.corpora.rows`; read in batches."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from typing import IO, TYPE_CHECKING, Any, ClassVar

from align_eval.corpora.formats import FORMATS, BitextFormat, Head, Options, Record
from align_eval.corpora.inputs import Input
from align_eval.corpora.rows import ROW_OPTIONS, RowReader, pair_row
from align_eval.errors import AlignEvalError, FormatError, InputError
from align_eval.files import output_stream
from align_eval.options import Option

if TYPE_CHECKING:
    from align_eval.corpora.pair import SentencePair

_BATCH = 1024


class Parquet(BitextFormat):
    """Columns ``source`` and ``target`` (text or lists of words) or ``translation`` (a struct)."""

    summary = "columns source and target (text or words), or translation; optional id, links, sure, possible"
    options: ClassVar[Mapping[str, Option]] = ROW_OPTIONS
    holds_gold = True

    def detect(self, head: Head) -> float:
        return 3.0 if head.data.startswith(b"PAR1") else 0.0

    def check_options(self, options: Options) -> None:
        RowReader(options)

    def records(self, source: Input, target: Input | None, options: Options) -> Iterator[Record]:
        rows = RowReader(options)
        number = 0
        with _opened(source) as file, _parquet_errors(source):
            try:
                columns = rows.needed(file.schema_arrow.names)
                for batch in file.iter_batches(batch_size=_BATCH, columns=columns):
                    for row in batch.to_pylist():
                        number += 1
                        yield rows.record(row, number)
            except AlignEvalError as error:
                raise type(error)(error.message, file=source.name, line=number or None, remedy=error.remedy) from None

    def count(self, source: Input, target: Input | None, options: Options) -> int:
        with _opened(source) as file:
            return int(file.metadata.num_rows)

    def write(self, path: str, target: str | None, pairs: Iterable[SentencePair], options: Options) -> None:
        if path.endswith((".gz", ".xz", ".zst")):
            raise InputError("Parquet compresses its own columns", file=path, remedy="Name the file .parquet")
        import pyarrow as pa
        import pyarrow.parquet as pq

        links = pa.list_(pa.list_(pa.int32()))
        words = pa.list_(pa.string())
        schema = pa.schema(
            [("id", pa.string()), ("source", words), ("target", words), ("sure", links), ("possible", links)]
        )
        stream = iter(pairs)
        with output_stream(path) as out, pq.ParquetWriter(out, schema, compression="zstd") as writer:
            while batch := [pair_row(p) for p in islice(stream, 8 * _BATCH)]:
                try:
                    table = pa.Table.from_pylist(batch, schema=schema)
                except (pa.ArrowException, UnicodeEncodeError) as error:
                    raise InputError(f"cannot be written as Parquet: {error}", file=path) from None
                writer.write_table(table)


@contextlib.contextmanager
def _parquet_errors(source: Input) -> Iterator[None]:
    import pyarrow as pa

    try:
        yield
    except AlignEvalError:
        raise
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise FormatError(
            f"damaged or not Parquet: {' '.join(str(error).split())[:200]}",
            file=source.name,
            remedy="Fetch the file again, or pass another --bitext-format (format= in Python)",
        ) from None


@contextlib.contextmanager
def _opened(source: Input) -> Iterator[Any]:
    """The file as a ``pyarrow.parquet.ParquetFile``; a stream is read to its end first."""
    if source.is_compressed:
        raise FormatError(
            "a compressed Parquet file cannot be read in parts",
            file=source.name,
            remedy="Unpack it (gunzip, unxz, zstd -d)",
        )
    import pyarrow.parquet as pq

    with contextlib.ExitStack() as stack:
        place: str | IO[bytes] = source.path
        if not source.is_file:
            place = stack.enter_context(source.whole())
        with _parquet_errors(source):
            file = pq.ParquetFile(place, pre_buffer=False, buffer_size=1 << 20)
        stack.callback(file.close)
        yield file


FORMATS.register("parquet")(Parquet())
