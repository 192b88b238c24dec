"""Words and scores on their way into a file: what can be written."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from align_eval.errors import InputError
from align_eval.links.table import LinkTable

_BREAKS = (" ", "\n", "\t", "\r", "\0")


def plain_words(words: Sequence[str], name: str, separator: str = "") -> Sequence[str]:
    """``words``, if each can stand between spaces."""
    for word in words:
        if word == separator or any(mark in word for mark in _BREAKS):
            raise InputError(
                f"word {word[:40]!r} of sentence pair {name!r} cannot be written: it is empty, or holds a space, tab, "
                "line end or NUL, or separates the fields",
                remedy="Write jsonl or parquet, or replace the spaces inside of words",
            )
    return words


def check_scores(table: LinkTable) -> None:
    """Raise :class:`InputError` if a score of ``table`` is NaN or infinite: no reader would take it back."""
    if table.scores is not None and not bool(np.isfinite(table.scores).all()):
        raise InputError("a score that is not a finite number cannot be written", remedy="Repair the scores")


def count_words(text: str) -> int:
    """The number of words: what single ASCII spaces separate."""
    return len(split_words(text))


def split_words(text: str) -> list[str]:
    """The words of ``text``: what single ASCII spaces separate; no other white space does."""
    return [word for word in text.split(" ") if word]
