"""Options of the statistical aligners, and how they are read from a method's text."""

from __future__ import annotations

import dataclasses
import math
from typing import Any, TypeVar

from align_eval import options
from align_eval.errors import InputError, UnknownNameError
from align_eval.options import options_of
from align_eval.symmetrization import METHODS, RULES

#: What ``sym`` may be: a way to combine both directions, or one direction alone.
SYMMETRIES = (*METHODS, "forward", "reverse")


@dataclasses.dataclass(frozen=True)
class StatisticalOptions:
    """Options that both aligners have.

    Attributes:
        sym: how both directions become one (:mod:`align_eval.symmetrization`), or ``forward`` or ``reverse`` alone.
        rule: ``either`` (atools of fast_align, which both authors use) or ``both``.
        lowercase: whether words that differ in case only count as one word in training.
        train: files of more training text, any that :func:`align_eval.corpora.read_bitext` reads; trained on before
            the text to align, their links thrown away. In a method's text ``train=A,train=B``.
        train_order: ``st``, or ``ts`` if the files hold the target first.
        train_tokenize: a tokeniser's name for the files; empty: their words are what single spaces separate.

    Raises:
        UnknownNameError: no such symmetrisation, rule or order.
        InputError: a number out of its range.
    """

    sym: str = "grow-diag-final-and"
    rule: str = "either"
    lowercase: bool = True
    train: tuple[str, ...] = ()
    train_order: str = "st"
    train_tokenize: str = ""

    def __post_init__(self) -> None:
        for kind, value, known in (
            ("symmetrisation method", self.sym, SYMMETRIES),
            ("symmetrisation rule", self.rule, RULES),
            ("side order", self.train_order, ("st", "ts")),
        ):
            if value not in known:
                raise UnknownNameError(kind, value, known)

    def changed(self) -> list[tuple[str, Any]]:
        """Names and values of the options that differ from their defaults, one entry a training file."""
        out: list[tuple[str, Any]] = []
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if value != field.default:
                values = value if isinstance(value, tuple) else (str(value).lower() if value is False else value,)
                out += [(field.name, v) for v in values]
        return out


Options = TypeVar("Options", bound=StatisticalOptions)


def in_range(name: str, value: float, low: float, high: float = math.inf) -> None:
    """Raise :class:`InputError` unless ``low <= value <= high`` and the value is finite."""
    if not (math.isfinite(value) and low <= value <= high):
        bounds = f"at least {low}" if high == math.inf else f"between {low} and {high}"
        raise InputError(f"option {name}={value} is out of range", remedy=f"Give a number {bounds}")


def parse_options(name: str, kind: type[Options], text: str) -> Options:
    """Read ``option=value,option=value``.

    Args:
        name: of the aligner, for messages.
        kind: the class of its options.
        text: what follows the colon of a method; a path in it cannot hold a comma.

    Raises:
        UnknownNameError: no such option, symmetrisation or rule; the message lists what exists.
        InputError: a value of the wrong kind or out of range, or an option given twice.
    """
    known = {
        key: dataclasses.replace(each, many="again", kind=str, example="FILE") if each.many else each
        for key, each in options_of(kind).items()
    }
    return kind(**options.parse_options(f"the method {name}", text, known))
