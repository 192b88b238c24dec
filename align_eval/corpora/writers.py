"""Write sentence pairs to files."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from typing import Any

from align_eval.corpora.formats import FORMATS
from align_eval.corpora.pair import SentencePair
from align_eval.errors import InputError, UnknownNameError
from align_eval.files import StrPath


def write_bitext(
    path: StrPath,
    pairs: Iterable[SentencePair],
    format: str,
    *,
    target: StrPath | None = None,
    drop_gold: bool = False,
    **options: Any,
) -> None:
    """Write ``pairs`` so that :func:`align_eval.corpora.read_bitext` gives them back; whole or not at all.

    ``jsonl`` and ``parquet`` keep everything. ``tsv`` keeps words and gold links, ``tmx`` words and ids, ``pipes`` and
    ``parallel`` the words; ids that are not kept become positions.

    Args:
        path: the file; ``-`` is standard output; ``.gz``, ``.xz``, ``.zst`` are compressed.
        pairs: taken one after the other.
        format: ``pipes``, ``tsv``, ``jsonl``, ``parquet``, ``tmx`` or ``parallel``.
        target: the file for the target side, for ``parallel``.
        drop_gold: leave gold links out where the format cannot hold them, instead of raising.
        options: ``source_language`` and ``target_language`` for ``tmx``.

    Raises:
        InputError: a pair holds what the format cannot (a word with a space in it, gold links).
        UnknownNameError: no such format or option.
        OutputError: the file cannot be written.
    """
    writer = FORMATS.get(format)
    if writer.parallel != (target is not None):
        raise InputError(
            f"format {format!r} takes {'two files' if writer.parallel else 'one file'}",
            remedy="Name the target file too" if writer.parallel else "Leave the target file out",
        )
    for key in options:
        if key not in writer.write_options:
            raise UnknownNameError(f"option of writing bitext format {format}", key, writer.write_options)
    if not writer.holds_gold and not drop_gold:
        pairs = _without_gold(pairs, format)
    writer.write(os.fspath(path), None if target is None else os.fspath(target), pairs, options)


def _without_gold(pairs: Iterable[SentencePair], format: str) -> Iterator[SentencePair]:
    for pair in pairs:
        if pair.gold is not None:
            raise InputError(
                f"format {format!r} cannot hold the gold links of sentence pair {pair.id!r}",
                remedy="Choose jsonl, parquet or tsv, or pass drop_gold=True",
            )
        yield pair
