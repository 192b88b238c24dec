"""Translations that exist already, one a line in a file, to be judged beside those of models."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from align_eval.errors import InputError, LengthMismatchError
from align_eval.files import StrPath, read_lines, sha256_of
from align_eval.models.translation import Translation


@dataclass(frozen=True)
class Hypothesis:
    """The translations of a file.

    Attributes:
        name: the file's; with its folders where two files have the same.
        translations: one a line.
        sha256: of the file.
    """

    name: str
    translations: list[Translation] = field(repr=False)
    sha256: str


def read_hypotheses(paths: Sequence[StrPath], sentences: int, limit: int | None = None) -> list[Hypothesis]:
    """Read files of translations, a line a sentence, empty lines included.

    Args:
        paths: the files (``.gz``, ``.xz``, ``.zst`` are decompressed).
        sentences: how many the text has.
        limit: take the first so many.

    Raises:
        LengthMismatchError: a file has more or fewer lines; names both numbers.
        InputError: the same file twice, or standard input.
        MissingFileError, EncodingError: a file cannot be read.
    """
    names = [os.fspath(path) for path in paths]
    if "-" in names:
        raise InputError("translations are read from files, not from standard input", remedy="Name a file")
    if len(set(names)) != len(names):
        raise InputError("the same file of translations is named twice", remedy="Name each file once")
    short = [Path(name).name for name in names]
    out = []
    for name, label in zip(names, short, strict=True):
        lines = [line for _, line in read_lines(name)]
        if len(lines) != sentences:
            raise LengthMismatchError(
                f"{len(lines)} translations but {sentences} sentence pairs",
                file=name,
                remedy="Give one line for each sentence pair, empty lines included",
            )
        shown = name if short.count(label) > 1 else label
        translations = [Translation(line, pieces=1 if line else 0) for line in lines[:limit]]
        out.append(Hypothesis(shown, translations, sha256_of(name)))
    return out
