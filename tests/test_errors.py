"""Errors: one line that says what, where and what to do; of the right kinds; whole after pickling."""

from __future__ import annotations

import pickle

import pytest

from align_eval import errors
from align_eval.errors import (
    AlignEvalError,
    FormatError,
    MissingFileError,
    OutputError,
    UnknownNameError,
    nearest_names,
)

KINDS = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, AlignEvalError)]


@pytest.mark.parametrize(
    ("where", "text"),
    [
        ({}, "wrong"),
        ({"file": "f"}, "f: wrong"),
        ({"file": "f", "line": 3}, "f:3: wrong"),
        ({"line": 3}, "line 3: wrong"),
        ({"file": "f", "line": 3, "remedy": "Mend it"}, "f:3: wrong. Mend it"),
    ],
)
def test_text(where: dict[str, object], text: str) -> None:
    assert str(AlignEvalError("wrong", **where)) == text  # type: ignore[arg-type]


def test_text_is_one_line() -> None:
    assert "\n" not in str(FormatError("a\nb", file="f\ng", remedy="c\nd"))


@pytest.mark.parametrize("kind", [k for k in KINDS if k is not UnknownNameError])
def test_pickled_and_back(kind: type[AlignEvalError]) -> None:
    error = kind("wrong", file="f", line=3, remedy="Mend it")
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is kind
    assert str(again) == str(error) == "f:3: wrong. Mend it"
    assert (again.message, again.file, again.line, again.remedy) == ("wrong", "f", 3, "Mend it")


def test_kinds_are_those_of_python_too() -> None:
    assert issubclass(MissingFileError, FileNotFoundError)
    assert issubclass(OutputError, OSError)
    assert issubclass(FormatError, ValueError)
    assert issubclass(UnknownNameError, KeyError)
    assert str(MissingFileError("no such file", file="f")) == "f: no such file"
    assert str(OutputError("full", file="f")) == "f: full"


def test_unknown_names_list_what_is_near() -> None:
    error = UnknownNameError("method", "itremax", ["itermax", "argmax", "match"])
    assert str(error).startswith("unknown method 'itremax'. Did you mean 'itermax'")
    assert "Known: argmax, itermax, match" in str(error)
    assert str(UnknownNameError("method", "x", [])) == "unknown method 'x'. None is known"
    again = pickle.loads(pickle.dumps(error))
    assert str(again) == str(error)
    assert nearest_names("DEEN", ["deen-rwth", "zhen"])[0] in ("deen-rwth", "zhen")
