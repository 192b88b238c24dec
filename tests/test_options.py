"""The one parser of ``NAME:option=value``."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from align_eval.errors import InputError, UnknownNameError
from align_eval.registry import Option, check_fields, option, options_of, parse_options, split_spec


@dataclasses.dataclass(frozen=True)
class Method:
    threshold: float = option(0.001, low=0, high=1)
    passes: int = option(2, low=1)
    fast: bool = False
    rule: str = option("both", choices=("both", "either"))
    heads: tuple[int, ...] = option((), kind=int, low=1)
    train: tuple[str, ...] = option((), many="again", example="FILE")

    def __post_init__(self) -> None:
        check_fields(self, "the method m")


KNOWN = options_of(Method)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("", {}),
        ("threshold=0.5", {"threshold": 0.5}),
        (" threshold = 1e-3 , passes=3", {"threshold": 0.001, "passes": 3}),
        ("fast=yes", {"fast": True}),
        ("fast=False,rule=either", {"fast": False, "rule": "either"}),
        ("heads=3+7", {"heads": (3, 7)}),
        ("train=a,train=b=c", {"train": ("a", "b=c")}),
    ],
)
def test_options_are_read(text: str, value: dict[str, Any]) -> None:
    assert parse_options("the method m", text, KNOWN) == value


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("nothing=1", "unknown option of the method m 'nothing'. .*passes"),
        ("passes=1,passes=1", "passes of the method m is given twice"),
        ("passes=1.5", "is not passes=<whole number>. Write for example m:passes=2"),
        ("passes=1_0", "is not passes=<whole number>"),
        ("passes=0", "passes=0 of the method m is out of range. Give a number at least 1"),
        ("threshold", "is not threshold=<number>"),
        ("threshold=", "is not threshold=<number>"),
        ("threshold=nan", "out of range. Give a number at least 0 and at most 1"),
        ("threshold=inf", "out of range"),
        ("threshold=-1", "out of range"),
        ("fast=maybe", r"is not fast=yes\|no"),
        ("rule=neither", "is not one of its values. Known: both, either"),
        ("heads=3+", "is not heads=<whole number>"),
        ("heads=3+0", "out of range"),
        ("passes=3,,fast=yes", "empty option"),
        ("=3", "empty option"),
    ],
)
def test_what_is_no_option_is_refused(text: str, error: str) -> None:
    with pytest.raises(InputError, match=error):
        parse_options("the method m", text, KNOWN)


def test_unknown_options_are_unknown_names() -> None:
    with pytest.raises(UnknownNameError, match="Did you mean 'threshold'"):
        parse_options("the method m", "treshold=1", KNOWN)


def test_fields_made_in_python_are_checked_too() -> None:
    assert Method(heads=(1, 2)).heads == (1, 2)
    for wrong in ({"threshold": float("nan")}, {"passes": 0}, {"rule": "x"}, {"heads": (1, 0)}):
        with pytest.raises(InputError, match="of the method m"):
            Method(**wrong)  # type: ignore[arg-type]


def test_options_of_a_function_are_its_defaults() -> None:
    def signal(model: object, samples: int = 8, mean: bool = True) -> None:
        """A function with options."""

    assert options_of(signal) == {"samples": Option(int, 8), "mean": Option(bool, True)}


@pytest.mark.parametrize("text", ["", ":a=1", "name:", "name: "])
def test_a_spec_has_a_name_and_options_behind_its_colon(text: str) -> None:
    with pytest.raises(InputError, match="Write NAME"):
        split_spec(text)
