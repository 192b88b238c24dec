"""Typed errors. Each says what is wrong, where (file and line) and what to do about it.

The command line prints one line of an :class:`AlignEvalError` and leaves with exit code 1; library code raises it.
"""

from __future__ import annotations

import copyreg
import difflib
from collections.abc import Iterable
from os import PathLike, fspath

from align_eval.shown import shown


class AlignEvalWarning(UserWarning):
    """A condition that does not stop the work but that a person should know of."""

    def __init__(self, message: str) -> None:
        super().__init__(shown(message))


class AlignEvalError(Exception):
    """Base of all errors that bad input, data or a model can cause.

    Args:
        message: what is wrong, one sentence without a final full stop.
        file: the file it was found in.
        line: the line of that file, counted from 1.
        remedy: what the user can do, one imperative sentence.
    """

    def __init__(
        self,
        message: str,
        *,
        file: str | PathLike[str] | None = None,
        line: int | None = None,
        remedy: str | None = None,
    ) -> None:
        self.message = message
        self.file = None if file is None else fspath(file)
        self.line = line
        self.remedy = remedy
        super().__init__(str(self))

    def __str__(self) -> str:
        where = f"{self.file}: " if self.line is None else f"{self.file}:{self.line}: "
        if self.file is None:
            where = "" if self.line is None else f"line {self.line}: "
        remedy = f". {self.remedy}" if self.remedy else ""
        return shown(" ".join(f"{where}{self.message}{remedy}".split("\n")))

    def __reduce__(self) -> tuple[object, ...]:
        return copyreg.__newobj__, (type(self), str(self)), vars(self)  # type: ignore[attr-defined]


class InputError(AlignEvalError, ValueError):
    """An argument or a combination of arguments that cannot be used."""


class MissingFileError(AlignEvalError, FileNotFoundError):
    """A file that was named does not exist or cannot be opened."""

    def __str__(self) -> str:
        return AlignEvalError.__str__(self)


class FormatError(InputError):
    """A file's content does not have the form that its format asks for."""


class EncodingError(FormatError):
    """Bytes that are not valid UTF-8 (or do not decompress)."""


class LengthMismatchError(FormatError):
    """Two things that must have the same number of lines or sentences have not."""


class IndexBaseError(FormatError):
    """The index base (0 or 1) or the side order cannot be proven, or the evidence contradicts it."""


class LinkRangeError(FormatError):
    """A link points outside its sentence pair."""


class EmptyGoldError(InputError):
    """Gold without a single sentence or link: no score can be computed from it."""


class UnknownNameError(InputError, KeyError):
    """A name that is not registered. The message lists the nearest names.

    Args:
        kind: what the name should name, e.g. ``"test set"``.
        name: the unknown name.
        known: all names that exist.
    """

    def __init__(self, kind: str, name: str, known: Iterable[str]) -> None:
        self.kind = kind
        self.name = name
        self.known = sorted(known)
        near = nearest_names(name, self.known)
        hint = f"Did you mean {' or '.join(repr(n) for n in near)}?" if near else ""
        listing = f"Known: {', '.join(self.known)}" if self.known else "None is known"
        super().__init__(f"unknown {kind} {name!r}", remedy=f"{hint} {listing}".strip())

    def __str__(self) -> str:
        return AlignEvalError.__str__(self)


class ChecksumError(AlignEvalError):
    """A file's sha256 is not the registered one."""


class DownloadError(AlignEvalError):
    """A file could not be fetched whole."""


class ModelError(AlignEvalError):
    """A model cannot be loaded or cannot do what is asked of it."""


class SentenceTooLongError(ModelError, ValueError):
    """A sentence does not fit the model's window and windows were not asked for."""


class NonFiniteError(ModelError):
    """A model returned NaN or infinity."""


class OutputError(AlignEvalError, OSError):
    """Output could not be written (a full disk, a folder that is not writable)."""

    def __str__(self) -> str:
        return AlignEvalError.__str__(self)


def nearest_names(name: str, known: Iterable[str], limit: int = 3) -> list[str]:
    """Return up to ``limit`` of ``known`` that resemble ``name`` or hold it, nearest first."""
    by_lower = {candidate.lower(): candidate for candidate in known}
    wanted = name.lower()
    near = difflib.get_close_matches(wanted, list(by_lower), n=limit, cutoff=0.5)
    if len(wanted) > 1:
        near += [c for c in sorted(by_lower, key=len) if wanted in c and c not in near]
    return [by_lower[c] for c in near[:limit]]
