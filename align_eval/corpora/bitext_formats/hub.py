"""A data set of the library ``datasets``: a folder that ``save_to_disk`` wrote, or a name on the hub, streamed."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

from align_eval.corpora.bitext_formats.parquet import check_unpacked, unpacked_bytes
from align_eval.corpora.formats import FORMATS, BitextFormat, Options, Record
from align_eval.corpora.inputs import Input
from align_eval.corpora.rows import ROW_OPTIONS, RowReader
from align_eval.errors import AlignEvalError, FormatError, InputError, MissingFileError
from align_eval.registry import Option

_MARKS = ("dataset_info.json", "dataset_dict.json", "state.json")


def is_saved_dataset(folder: str) -> bool:
    """Whether ``save_to_disk`` wrote ``folder``."""
    return any(os.path.isfile(os.path.join(folder, mark)) for mark in _MARKS)


class HubDataset(BitextFormat):
    """Rows with the columns of :mod:`align_eval.corpora.rows`."""

    summary = "a folder written by datasets.save_to_disk, or a data set's name on the hub"
    options: ClassVar[Mapping[str, Option]] = {
        **ROW_OPTIONS,
        "split": Option(example="test", help="the split; needed if there is more than one"),
        "config": Option(example="de-en", help="the configuration (subset) of a data set on the hub"),
        "revision": Option(example="main", help="the commit or branch on the hub; a commit makes a number citable"),
        "streaming": Option(bool, True, help="read a data set of the hub without fetching it whole"),
    }

    def check_options(self, options: Options) -> None:
        RowReader(options)

    def records(self, source: Input, target: Input | None, options: Options) -> Iterator[Record]:
        rows = RowReader(options)
        number = 0
        with _dataset_errors(source.name):
            data = _load(source.path, options)
            try:
                if data.column_names:
                    data = data.select_columns(rows.needed(data.column_names))
                for number, row in enumerate(_rows(data, source.name), 1):
                    yield rows.record(row, number)
            except AlignEvalError as error:
                raise type(error)(error.message, file=source.name, line=number or None, remedy=error.remedy) from None

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


def _rows(data: Any, name: str) -> Iterator[dict[str, Any]]:
    number = 0
    if not hasattr(data, "__len__"):
        yield from data
        return
    for batch in data.with_format("arrow").iter(1024):
        check_unpacked(unpacked_bytes(batch), 4, f"{batch.num_rows} rows", name, number + 1)
        number += batch.num_rows
        yield from batch.to_pylist()


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
            raise InputError(what, file=path, remedy=f"{_split_remedy(data)}, one of: {', '.join(map(str, data))}")
        return data[split]
    if split is not None and str(data.split) != split:
        raise InputError(
            f"is the split {str(data.split)!r}, not {split!r}", file=path, remedy="Leave the option split out"
        )
    return data


def _split_remedy(splits: Any) -> str:
    first = next(iter(splits), "test")
    return f"Pass --bitext-format datasets:split={first} (format= in Python)"


@contextlib.contextmanager
def _dataset_errors(name: str) -> Iterator[None]:
    """The errors that loading and reading a data set can raise, as typed ones."""
    try:
        yield
    except AlignEvalError:
        raise
    except FileNotFoundError as error:
        raise MissingFileError(
            f"no such data set: {_line(error)}", file=name, remedy="Check the name, and that the hub can be reached"
        ) from error
    except (OSError, ValueError, TypeError, KeyError, RuntimeError, ImportError) as error:
        raise FormatError(
            f"the data set cannot be read: {_line(error)}", file=name, remedy="Check its name, config and split"
        ) from error


def _line(error: Exception) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())[:300]


FORMATS.register("datasets", "dataset")(HubDataset())
