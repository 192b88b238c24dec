"""Parallel text for the benchmark: the files of ``ALIGN_EVAL_PARALLEL``, pair by pair, repeated as often as needed."""

from __future__ import annotations

import gzip
import os
from collections.abc import Iterator, Sequence
from itertools import cycle, islice
from pathlib import Path

from common import say


def parallel_files(only: Sequence[str] = ()) -> list[Path]:
    """The files of parallel text at hand, those whose names begin with one of ``only``."""
    named = os.environ.get("ALIGN_EVAL_PARALLEL")
    files = sorted(Path(named).glob("*.tsv.gz")) if named else []
    return [file for file in files if not only or file.name.startswith(tuple(only))]


def read_text(only: Sequence[str] = ()) -> Iterator[tuple[str, str]]:
    """Distinct pairs, words between single spaces; without that folder, those of the mini corpus."""
    files = parallel_files(only)
    if not files:
        from align_eval import load_testset

        for pair in load_testset("mini-ende").pairs:
            yield pair.source_text, pair.target_text
    for file in files:
        with gzip.open(file, "rt", encoding="utf-8") as stream:
            for line in stream:
                source, _, target = line.rstrip("\n").partition("\t")
                words = " ".join(source.split()), " ".join(target.split())
                if all(words):
                    yield words


def write_text(path: Path, pairs: int, only: Sequence[str]) -> None:
    """Write a file of two columns, ``pairs`` lines, the text repeated as often as needed; kept if it is there."""
    if path.exists():
        return
    say(f"writing {path.name}: {pairs:,} pairs")
    part = path.with_name(f"{path.name}.part")
    distinct = list(islice(read_text(only), pairs))
    packed = path.suffix == ".gz"
    with gzip.open(part, "wt", compresslevel=1, encoding="utf-8") if packed else open(part, "w") as stream:
        stream.writelines(f"{source}\t{target}\n" for source, target in islice(cycle(distinct), pairs))
    os.replace(part, path)
