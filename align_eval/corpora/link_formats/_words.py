"""Words on their way into formats that separate them by spaces."""

from __future__ import annotations

from collections.abc import Sequence

from align_eval.errors import InputError

_BREAKS = (" ", "\n", "\t", "\r")


def plain_words(words: Sequence[str], name: str) -> Sequence[str]:
    """``words``, if each can stand between spaces.

    Raises:
        InputError: a word of sentence pair ``name`` is empty or holds a space, tab or line end.
    """
    for word in words:
        if not word or any(mark in word for mark in _BREAKS):
            raise InputError(
                f"word {word[:40]!r} of sentence pair {name!r} cannot be written: words are separated by spaces",
                remedy="Write jsonl or parquet, or replace the spaces inside of words",
            )
    return words


def count_words(text: str) -> int:
    """The number of words: what single ASCII spaces separate."""
    return sum(1 for word in text.split(" ") if word)
