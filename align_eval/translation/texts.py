"""Translations of a text: made by a model and written as they come, or read from a file."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from align_eval.errors import InputError, LengthMismatchError
from align_eval.files import StrPath, atomic_writer, read_lines, sha256_of
from align_eval.io.resumable import Key, ResumableWriter
from align_eval.models.translation import Translation, Translator
from align_eval.nested import parse_json

if TYPE_CHECKING:
    from align_eval.runs.parallel_text import ParallelText

# Sentences translated, written and journalled at a time.
BLOCK = 256


def translate_text(
    text: ParallelText,
    translator: Translator,
    *,
    path: Path | None = None,
    resume: bool = True,
    progress: Callable[[int], None] | None = None,
) -> list[Translation]:
    """Translate all sentences, in blocks that are written to ``path`` (JSON lines) as they are done.

    A run with the same settings goes on after the last block, and takes over a finished file. What is written is the
    same as without an interruption.

    Raises:
        InputError: an unfinished run with other settings stands there and ``resume`` is set.
        OutputError: the file cannot be written.
        SentenceTooLongError, NonFiniteError: see :meth:`Translator.translate`.
    """
    ids = [pair.id for pair in text.pairs]
    tell = progress or (lambda advance: None)
    if path is None:
        return translator.translate(text.sources, ids, progress=progress)
    key = Key.of(
        **translator.describe(), text=text.checksum, sentences=len(text), reverse=text.reverse,
        detokenize=text.detokenize, prefix=[int(i) for i in translator.before],
        batch_tokens=translator.decoding.token_budget, block=BLOCK,
    )  # fmt: skip
    meta = Path(f"{path}.meta.json")
    if resume and _finished(path, meta, key):
        tell(len(text))
        return _read(path)
    out = ResumableWriter(path, key, resume=resume)
    try:
        tell(out.lines)
        for start in range(out.lines, len(text), BLOCK):
            part = slice(start, start + BLOCK)
            found = translator.translate(text.sources[part], ids[part], progress=progress)
            out.append([json.dumps(asdict(one), ensure_ascii=False) for one in found])
    except BaseException:
        out.close()
        raise
    out.finish()
    with atomic_writer(meta) as stream:
        json.dump({"settings": key.parts, "sha256": sha256_of(path)}, stream, indent=2, ensure_ascii=False)
        stream.write("\n")
    return _read(path)


def _finished(path: Path, meta: Path, key: Key) -> bool:
    """Whether ``path`` holds all translations of a run with these settings."""
    if not (path.is_file() and meta.is_file()):
        return False
    try:
        known = parse_json(meta.read_text("utf-8"))
        same = known["settings"] == key.parts
    except (ValueError, KeyError, TypeError):
        return False
    return bool(same and known.get("sha256") == sha256_of(path))


def _read(path: Path) -> list[Translation]:
    return [Translation(**json.loads(line)) for line in path.read_text("utf-8").split("\n") if line]


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
