"""Parquet: one row a sentence pair, indices from 0.

Columns: ``links`` (or ``sure``), a list of ``[i, j]`` (lists of two whole numbers), or text ``"0-0 1p2"``; and, if
wanted, ``possible`` likewise, ``scores`` (a list of numbers: one for each entry of ``links``, then of ``possible``),
``id`` (text or whole numbers), ``source`` and ``target`` (text or lists of words; used to check ranges where no bitext
is given). They mean what the keys of the same names mean in JSONL. In messages the line is the row, counted from 1.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import IO, TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from align_eval.corpora.bitext_formats.parquet import batches
from align_eval.corpora.link_formats import LINK_FORMATS, LinkFormat, LinkInput, RawLinks, WriteOptions
from align_eval.corpora.link_formats._tokens import MAX_INDEX, parse_lines
from align_eval.corpora.link_formats._words import check_scores, count_words
from align_eval.corpora.raw_links import NULL, Lengths
from align_eval.errors import AlignEvalError, EncodingError, FormatError
from align_eval.files import unpacking_errors
from align_eval.links import FloatArray, IntArray
from align_eval.links.table import LinkTable

if TYPE_CHECKING:
    from align_eval.corpora.pair import SentencePair

_ROWS_AT_ONCE = 1 << 16
_READ = ("links", "sure", "possible", "scores", "id", "source", "target", "src", "tgt")
_FORM = "A link is [i, j], whole numbers; -1 is a missing side"


@LINK_FORMATS.register("parquet")
class Parquet(LinkFormat):
    """Keeps possible links, scores and ids. When writing, ``possible`` holds the links that are not sure."""

    suffixes: ClassVar[tuple[str, ...]] = (".parquet",)
    names_sentences: ClassVar[bool] = True
    own_base: ClassVar[int | None] = 0
    has_scores: ClassVar[bool] = True

    def read(self, file: LinkInput, pairs: Sequence[SentencePair] | None = None) -> Iterator[RawLinks]:
        """Yield blocks of up to 65536 rows."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        try:
            if file.is_file and not file.is_compressed:
                source: Any = file.path
            else:
                with file.open() as stream, unpacking_errors(file.name):
                    source = pa.BufferReader(stream.read())
            with pq.ParquetFile(source) as parquet:
                have = parquet.schema_arrow.names
                if "links" not in have and "sure" not in have:
                    names = ", ".join(map(repr, have)) or "none"
                    raise file.malformed(f"no column 'links' among its columns ({names})", None, "Name it 'links'")
                if "links" in have and "sure" in have:
                    raise file.malformed("both columns 'links' and 'sure'", None, "Keep one: either are the sure links")
                wanted = [name for name in _READ if name in have and not (name == "sure" and "links" in have)]
                row = 0
                for batch in batches(parquet, source, file.name, _ROWS_AT_ONCE, wanted):
                    yield _block(file, pa.Table.from_batches([batch]), row)
                    row += batch.num_rows
        except AlignEvalError:
            raise
        except UnicodeDecodeError as error:
            raise EncodingError(f"text that is not UTF-8: {error.reason}", file=file.name, remedy="Repair it") from None
        except (pa.ArrowException, OSError, ValueError, KeyError, OverflowError, MemoryError) as error:
            raise file.malformed(
                f"not a Parquet file that can be read: {error}", None, "Write the file again"
            ) from None

    def write(self, stream: IO[bytes], table: LinkTable, options: WriteOptions) -> None:
        """Write the columns ``id``, ``links``, ``possible`` and, if there are scores, ``scores``."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        check_scores(table)
        ids = [str(k + 1) for k in range(table.sentences)] if table.ids is None else list(table.ids)
        columns: dict[str, Any] = {"id": pa.array(ids, pa.string())}
        for name, rows in (("links", table.sure), ("possible", ~table.sure)):
            columns[name] = _lists(table, rows, options.base)
        if table.scores is not None:
            order = np.lexsort((~table.sure, table.sentence))
            columns["scores"] = pa.ListArray.from_arrays(table.offsets.astype(np.int32), pa.array(table.scores[order]))
        pq.write_table(pa.table(columns), stream, compression="zstd")

    def show(self, first: int, second: int, sure: bool) -> str:
        """``[3, 4]``."""
        return f"[{first}, {second}]"


def _lists(table: LinkTable, rows: NDArray[np.bool_], base: int) -> Any:
    """The chosen links as an Arrow array ``list<list<int32>>``, one entry a sentence pair."""
    import pyarrow as pa

    pairs = np.stack([table.source[rows], table.target[rows]], axis=1) + np.int32(base)
    inner = pa.ListArray.from_arrays(np.arange(0, 2 * len(pairs) + 1, 2, dtype=np.int32), pa.array(pairs.ravel()))
    offsets = np.searchsorted(table.sentence[rows], np.arange(table.sentences + 1)).astype(np.int32)
    return pa.ListArray.from_arrays(offsets, inner)


def _block(file: LinkInput, table: Any, row: int) -> RawLinks:
    """One batch of rows, the first of which is row ``row`` of the file (from 0)."""
    parts = [_column(file, table, "links" if "links" in table.column_names else "sure", row, True)]
    if "possible" in table.column_names:
        parts.append(_column(file, table, "possible", row, False))
    sentence = np.concatenate([part[0] for part in parts])
    order = np.argsort(sentence, kind="stable")
    sentence = sentence[order]
    scores = _scores(file, table, sentence, row) if "scores" in table.column_names else None
    if scores is None and any(part[4] is not None for part in parts):
        found = [part[4] if part[4] is not None else part[1][:0].astype(np.float32) for part in parts]
        if sum(map(len, found)) != len(sentence):
            raise file.malformed("some links have a score and others have not", row + 1, "Give all or none")
        scores = np.concatenate(found)[order]
    return RawLinks(
        sentence=sentence,
        first=np.concatenate([part[1] for part in parts])[order],
        second=np.concatenate([part[2] for part in parts])[order],
        sentences=table.num_rows,
        sure=np.concatenate([part[3] for part in parts])[order],
        scores=scores,
        start_line=row + 1,
        lengths=_lengths(file, table),
        ids=_ids(file, table),
    )


def _column(
    file: LinkInput, table: Any, name: str, row: int, sure: bool
) -> tuple[IntArray, IntArray, IntArray, NDArray[np.bool_], FloatArray | None]:
    import pyarrow as pa
    import pyarrow.compute as pc

    column = table[name].combine_chunks()
    if isinstance(column, pa.ChunkedArray):
        column = pa.concat_arrays(column.chunks) if column.num_chunks else pa.array([], column.type)
    if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
        raw = parse_lines(file, enumerate((text or "" for text in column.to_pylist()), row + 1))
        marks = raw.sure if raw.sure is not None else np.ones(len(raw.first), dtype=bool)
        return raw.sentence, raw.first, raw.second, marks & sure, raw.scores
    if pa.types.is_null(column.type):
        nothing = np.empty(0, dtype=np.int32)
        return nothing, nothing, nothing, np.empty(0, dtype=bool), None
    inner: Any = column.flatten() if _is_list(column.type) else column
    if pa.types.is_null(inner.type):
        inner = pa.array([None] * len(inner), pa.list_(pa.int32()))
    kind = inner.type.value_type if inner is not column and _is_list(inner.type) else column.type
    if not (pa.types.is_integer(kind) or pa.types.is_null(kind)) or inner is column:
        raise file.malformed(f"column {name!r} has type {column.type}", None, "Write a list of lists of integers")
    sentence = np.repeat(np.arange(len(column), dtype=np.int32), _counts(column))
    lengths = pc.fill_null(pc.list_value_length(inner), 0).to_numpy(zero_copy_only=False)
    values = pc.fill_null(inner.flatten().cast(pa.int64()), NULL).to_numpy(zero_copy_only=False)
    bad = lengths != 2
    if not bad.any():
        pairs = values.reshape(-1, 2)
        bad = ((pairs < NULL) | (pairs > MAX_INDEX)).any(axis=1)
    if bad.any():
        at = int(bad.argmax())
        shown = str(inner[at].as_py())[:40]
        raise file.malformed(f"{shown} in {name!r} is not a link", row + int(sentence[at]) + 1, _FORM)
    return sentence, pairs[:, 0].astype(np.int32), pairs[:, 1].astype(np.int32), np.full(len(pairs), sure), None


def _is_list(kind: Any) -> bool:
    import pyarrow as pa

    return bool(pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind))


def _counts(column: Any) -> NDArray[np.int64]:
    """The number of entries in each list of an Arrow list array; a missing list has none."""
    import pyarrow as pa
    import pyarrow.compute as pc

    counts = pc.fill_null(pc.list_value_length(column).cast(pa.int64()), 0)
    return counts.to_numpy(zero_copy_only=False)


def _scores(file: LinkInput, table: Any, sentence: IntArray, row: int) -> FloatArray | None:
    import pyarrow as pa

    column = table["scores"].combine_chunks()
    if isinstance(column, pa.ChunkedArray):
        column = pa.concat_arrays(column.chunks) if column.num_chunks else pa.array([], column.type)
    if pa.types.is_null(column.type):
        return None
    number = _is_list(column.type) and (
        pa.types.is_floating(column.type.value_type) or pa.types.is_integer(column.type.value_type)
    )
    if not number:
        raise file.malformed(f"column 'scores' has type {column.type}", None, "Write a list of numbers")
    given = _counts(column)
    if column.null_count and not given.any():
        return None
    wanted = np.bincount(sentence, minlength=table.num_rows)
    if (given != wanted).any():
        at = int((given != wanted).argmax())
        raise file.malformed(f"{given[at]} scores for {wanted[at]} links", row + at + 1, "Give each link one score")
    values = column.flatten().cast(pa.float32(), safe=False).to_numpy(zero_copy_only=False)
    if not np.isfinite(values).all():
        at = int(sentence[int((~np.isfinite(values)).argmax())])
        raise file.malformed("a score that is not a finite number", row + at + 1, "Repair the scores")
    return values.astype(np.float32)


def _ids(file: LinkInput, table: Any) -> list[str] | None:
    if "id" not in table.column_names or table["id"].null_count:
        return None
    values = table["id"].to_pylist()
    if not all(isinstance(value, (str, int)) for value in values):
        raise FormatError("column 'id' is neither text nor whole numbers", file=file.name, remedy="Write text")
    return [str(value) for value in values]


def _lengths(file: LinkInput, table: Any) -> Lengths | None:
    sides: list[IntArray] = []
    for name in ("source", "target") if "source" in table.column_names else ("src", "tgt"):
        if name not in table.column_names or table[name].null_count:
            return None
        values = table[name].to_pylist()
        if not all(isinstance(value, (str, list)) for value in values):
            raise FormatError(f"column {name!r} is neither text nor lists", file=file.name, remedy="Write text")
        sides.append(np.array([count_words(v) if isinstance(v, str) else len(v) for v in values], dtype=np.int32))
    return sides[0], sides[1]
