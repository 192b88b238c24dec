"""What all mask kinds share: a pattern says which query (row) attends to which key (column).

A kind is a frozen dataclass in a file of its own; its fields are its parameters. Calling it with a length gives the
mask; its :meth:`MaskKind.fit` finds the parameters that explain a given pattern best; its :meth:`MaskKind.draw` makes
a random one, for tests of the detector.
"""

from __future__ import annotations

import dataclasses
import math
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from align_eval.errors import InputError, UnknownNameError
from align_eval.options import split_spec
from align_eval.registry import Registry

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from align_eval.patterns.evidence import Evidence

    BoolArray = NDArray[np.bool_]
    IntArray = NDArray[np.int64]

_FLAGS = {"yes": True, "true": True, "1": True, "no": False, "false": False, "0": False}


def whole(default: int, least: int | None = None, text: str = "") -> Any:
    """A field of a whole number, not under ``least``; ``text`` explains it in listings."""
    return dataclasses.field(default=default, metadata={"least": least, "text": text})


def numbers(default: tuple[int, ...], least: int | None = None, text: str = "") -> Any:
    """A field of whole numbers, written ``4+3+2``, none under ``least``."""
    return dataclasses.field(default=default, metadata={"least": least, "text": text})


def choice(default: str, known: tuple[str, ...], text: str = "") -> Any:
    """A field that is one of a few words."""
    return dataclasses.field(default=default, metadata={"known": known, "text": text})


def direction(default: bool = True) -> Any:
    """The field ``causal``: whether no query attends to a key after it."""
    return dataclasses.field(default=default, metadata={"text": "yes: no query attends to a key after it"})


@dataclasses.dataclass(frozen=True)
class MaskKind(ABC):
    """A kind of mask with its parameters; call it with a length n for the ``(n, n)`` bool mask, queries down.

    Attributes:
        name: what it is registered as.
        directions: the values of ``causal`` that the kind has; ``fit`` and ``draw`` are asked for these alone.

    Raises:
        InputError: a parameter that is out of its range.
        UnknownNameError: a parameter that is none of its few words.
    """

    name: ClassVar[str] = ""
    directions: ClassVar[tuple[bool, ...]] = (True, False)

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            value, least = getattr(self, field.name), field.metadata.get("least")
            known = field.metadata.get("known")
            if known is not None and value not in known:
                raise UnknownNameError(f"{field.name} of the mask {self.name}", value, known)
            for number in value if isinstance(value, tuple) else (value,):
                if least is not None and number < least:
                    raise InputError(
                        f"{field.name}={number} of the mask {self.name} is under {least}",
                        remedy=f"Write for example {self.name}:{field.name}={_written(_default(field))}",
                    )

    def __call__(self, n: int) -> BoolArray:
        """The mask of a context of ``n`` tokens: ``(n, n)`` bool, row = query, true where it attends.

        Raises:
            InputError: n is under 1, or the parameters ask for more tokens than n.
        """
        if n < 1:
            raise InputError(f"a mask of {n} tokens", remedy="Ask for 1 or more")
        return self.mask(n)

    @abstractmethod
    def mask(self, n: int) -> BoolArray:
        """The mask itself; see :meth:`__call__`."""

    def bits(self, n: int) -> float:
        """The length of the parameters in bits, for a context of ``n``: what a fit pays for its freedom.

        By default log2 n for each field but ``causal``, as for whole numbers that are equally probable from 1 to n.
        """
        return sum(math.log2(n) for field in dataclasses.fields(self) if field.name != "causal")

    @classmethod
    @abstractmethod
    def fit(cls, evidence: Evidence, causal: bool) -> Iterable[MaskKind]:
        """The parameters that explain a pattern best: one candidate, or a few of different freedom; none if none does.

        Args:
            evidence: sums over the pattern.
            causal: the direction of the candidates; one of ``directions``.
        """

    @classmethod
    @abstractmethod
    def draw(cls, rng: np.random.Generator, n: int, causal: bool) -> MaskKind:
        """A random mask of this kind, of parameters under which it is no other kind; n is 16 or more."""

    @property
    def spec(self) -> str:
        """The name with the parameters that differ from their defaults: ``sink-window:sinks=2,window=8``."""
        changed = [
            f"{f.name}={_written(getattr(self, f.name))}"
            for f in dataclasses.fields(self)
            if getattr(self, f.name) != _default(f)
        ]
        return self.name + (":" + ",".join(changed) if changed else "")

    @property
    def parameters(self) -> dict[str, Any]:
        """All parameters by name."""
        return {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}

    def written(self, parameter: str) -> str:
        """The value of a parameter as a spec writes it."""
        return _written(getattr(self, parameter))

    def describe(self) -> str:
        """The kind and its parameters in words."""
        parts = [f"{k} {_written(v)}" for k, v in self.parameters.items() if k != "causal" and v != ()]
        if not self.parameters.get("causal", True):
            parts.append("both directions")
        return self.name.replace("-", " ") + (f" ({', '.join(parts)})" if parts else "")


MASK_KINDS: Registry[type[MaskKind]] = Registry("mask kind", "align_eval.patterns.kinds")


def make_mask_kind(spec: str | MaskKind) -> MaskKind:
    """Build a mask kind from ``name`` or ``name:parameter=value,parameter=value``; lists are written ``4+3+2``.

    Raises:
        UnknownNameError: unknown kind or parameter; the message lists what exists.
        InputError: a value of the wrong kind or out of range.

    >>> make_mask_kind("sink-window:sinks=2,window=8").spec
    'sink-window:sinks=2,window=8'
    """
    if isinstance(spec, MaskKind):
        return spec
    name, tail = split_spec(spec)
    kind = MASK_KINDS.get(name)
    fields = {field.name: field for field in dataclasses.fields(kind)}
    given: dict[str, Any] = {}
    for part in filter(None, (p.strip() for p in tail.split(","))):
        key, equals, value = part.partition("=")
        if key not in fields:
            raise UnknownNameError(f"parameter of the mask {kind.name}", key, fields)
        if key in given:
            raise InputError(f"parameter {key} of the mask {kind.name} is given twice", remedy="Give it once")
        default = _default(fields[key])
        try:
            given[key] = _parsed(value, default)
        except (ValueError, KeyError):
            equals = ""
        if not equals:
            form = {bool: "yes or no", int: "a whole number", tuple: "whole numbers with + between them"}
            raise InputError(
                f"{part!r} of the mask {kind.name} is not {key}=<{form.get(type(default), 'a word')}>",
                remedy=f"Write for example {kind.name}:{key}={_written(default) or '3+7'}",
            )
    return kind(**given)


def _default(field: dataclasses.Field[Any]) -> Any:
    return field.default


def _parsed(text: str, default: Any) -> Any:
    text = text.strip()
    if isinstance(default, bool):
        return _FLAGS[text.lower()]
    if isinstance(default, int):
        return int(text)
    if isinstance(default, tuple):
        return tuple(int(part) for part in text.split("+")) if text else ()
    return text


def _written(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, tuple):
        return "+".join(str(v) for v in value)
    return str(value)


def distances(n: int) -> IntArray:
    """``(n, n)``: how far each key (column) lies before its query (row); negative after it."""
    place = np.arange(n)
    return place[:, None] - place[None, :]


def log2_choose(n: int, k: int) -> float:
    """log2 of the number of ways to choose k of n; 0 at the ends."""
    if not 0 < k < n:
        return 0.0
    return (math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)) / math.log(2)
