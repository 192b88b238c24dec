"""Pairs into lines of text that reading gives back unchanged, or an error."""

from __future__ import annotations

from collections.abc import Iterable

from align_eval.errors import InputError
from align_eval.files import output_stream


def joined(words: tuple[str, ...], ident: str, *forbidden: str) -> str:
    """Join ``words`` by single spaces.

    Args:
        words: one side of a pair.
        ident: id of the pair, for messages.
        forbidden: words, or single characters, that would be read as something else.

    Raises:
        InputError: a word is empty, or holds a space, a line end or something forbidden.
    """
    text = " ".join(words)
    if len(text.split(" ")) != len(words) and words:
        raise _unwritable(next(w for w in words if not w or " " in w), ident)
    for mark in ("\n", "\r", "\0", *forbidden):
        if mark in text:
            bad = [w for w in words if (w == mark if len(mark) > 1 else mark in w)]
            if bad:
                raise _unwritable(bad[0], ident)
    if "" in words:
        raise _unwritable("", ident)
    return text


def _unwritable(word: str, ident: str) -> InputError:
    return InputError(
        f"word {word!r} of sentence pair {ident!r} cannot be written in this format", remedy="Write JSONL or Parquet"
    )


def write_lines(path: str, lines: Iterable[str]) -> None:
    r"""Write each of ``lines`` with ``\n`` behind it, in UTF-8, whole or not at all.

    Raises:
        InputError: a line cannot be encoded, or the first one starts with a byte order mark.
        OutputError: the file cannot be written.
    """
    with output_stream(path) as stream:
        first = True
        for line in lines:
            if first and line.startswith("\ufeff"):
                raise InputError("the first word starts with U+FEFF, which is read as a byte order mark", file=path)
            first = False
            stream.write(encoded(line, path))


def encoded(line: str, path: str) -> bytes:
    r"""``line`` and ``\n`` in UTF-8.

    Raises:
        InputError: half of a surrogate pair stands in it.
    """
    try:
        return line.encode("utf-8") + b"\n"
    except UnicodeEncodeError as error:
        raise InputError(f"U+{ord(line[error.start]):04X} cannot be written as UTF-8", file=path) from None
