"""Things chosen by name (methods, formats, figures, ...), and the one parser of ``NAME:option=value,option=value``.

What options a name has is said by :class:`Option` objects, or derived with :func:`options_of` from the fields of a
dataclass or the keyword parameters of a function. A value is checked before it is used: an unknown or repeated option,
a value of the wrong kind, infinity, NaN and a number out of range are errors that name the option and what it takes.
"""

from __future__ import annotations

import dataclasses
import importlib
import importlib.util
import inspect
import math
import pkgutil
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Generic, TypeVar

from align_eval.errors import InputError, UnknownNameError

T = TypeVar("T")
U = TypeVar("U")
_INTEGER = re.compile(r"[+-]?[0-9]+")
_FLAGS = {"yes": True, "true": True, "no": False, "false": False}
_KEY = "option"


class Registry(Generic[T]):
    """Names to things of one kind; a thing registers itself in its own file, and adding one touches no other file.

    Args:
        kind: what is registered, in the words of an error message (``"extraction method"``).
        package: dotted name of the package whose modules register; imported when needed. ``None``: no discovery. A
            module named like the thing it registers (a hyphen is an underscore there) spares importing the others.

    >>> colours = Registry("colour")
    >>> @colours.register("red")
    ... def red() -> int:
    ...     return 0xFF0000
    >>> colours.get("red")() == 0xFF0000
    True
    """

    def __init__(self, kind: str, package: str | None = None) -> None:
        self.kind = kind
        self.package = package
        self._things: dict[str, T] = {}
        self._aliases: dict[str, str] = {}
        self._discovered = package is None

    def register(self, name: str, *aliases: str) -> Callable[[U], U]:
        """Return a decorator that registers what it decorates under ``name`` (and ``aliases``)."""

        def add(thing: U) -> U:
            for key in (name, *aliases):
                if key in self._things or key in self._aliases:
                    raise ValueError(f"{self.kind} {key!r} is registered twice")
            self._things[name] = thing  # type: ignore[assignment]
            for alias in aliases:
                self._aliases[alias] = name
            return thing

        return add

    def get(self, name: str) -> T:
        """Return the thing called ``name``."""
        return self._things[self.canonical(name)]

    def canonical(self, name: str) -> str:
        """Return the name that ``name`` is an alias of, or ``name`` itself."""
        if name not in self:
            raise UnknownNameError(self.kind, name, self._things)
        return self._aliases.get(name, name)

    def names(self) -> list[str]:
        """Return all registered names, sorted, aliases left out."""
        self._discover()
        return sorted(self._things)

    def items(self) -> Iterator[tuple[str, T]]:
        """Yield ``(name, thing)`` sorted by name."""
        for name in self.names():
            yield name, self._things[name]

    def __contains__(self, name: object) -> bool:
        if name in self._things or name in self._aliases:
            return True
        if isinstance(name, str):
            self._import_namesake(name)
        if name not in self._things and name not in self._aliases:
            self._discover()
        return name in self._things or name in self._aliases

    def _import_namesake(self, name: str) -> None:
        """Import the module of the package that is called like ``name``, if there is one."""
        module = name.replace("-", "_")
        if self._discovered or not module.isidentifier() or module.startswith("_"):
            return
        path = f"{self.package}.{module}"
        if importlib.util.find_spec(path) is not None:
            importlib.import_module(path)

    def _discover(self) -> None:
        if self._discovered or self.package is None:
            return
        self._discovered = True
        try:
            package = importlib.import_module(self.package)
            for module in pkgutil.iter_modules(package.__path__):
                importlib.import_module(f"{self.package}.{module.name}")
        except BaseException:
            self._discovered = False  # the next call fails as this one did, instead of knowing only some of the names
            raise


@dataclasses.dataclass(frozen=True)
class Option:
    """What one option takes."""

    kind: type = str  #: ``bool`` (``yes``, ``no``, ``true``, ``false``), ``int``, ``float`` or ``str``
    default: Any = None
    low: float | None = None  #: the least number allowed
    high: float | None = None  #: the greatest
    above: float | None = None  #: a bound that the number must exceed
    choices: tuple[str, ...] = ()
    many: str = ""  #: ``+``: a tuple of values joined by it; ``again``: of an option given several times
    example: str = ""  #: a value for messages, where the default is none
    help: str = ""

    def form(self) -> str:
        """What is written behind ``=``, for messages."""
        if self.choices:
            return "|".join(self.choices)
        example = self.example if self.many != "+" and self.example else "text"
        one = {bool: "yes|no", int: "<whole number>", float: "<number>"}.get(self.kind, f"<{example}>")
        return f"{one}+{one}+..." if self.many == "+" else one

    def bounds(self) -> str:
        """The range in words, empty where there is none."""
        ends = (("above", self.above), ("at least", self.low), ("at most", self.high))
        return " and ".join(f"{name} {end:g}" for name, end in ends if end is not None)

    def allows(self, value: Any) -> bool:
        """Whether a value (or each of several) is finite, in range and one of the choices."""
        if self.many and isinstance(value, (tuple, list)):
            return all(self.allows(one) for one in value)
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            return (
                math.isfinite(value)
                and (self.low is None or value >= self.low)
                and (self.high is None or value <= self.high)
                and (self.above is None or value > self.above)
            )
        return not self.choices or value in self.choices

    def shown(self) -> str:
        """A value that may stand behind ``=``, for messages."""
        if self.example:
            return self.example
        value = self.default[0] if isinstance(self.default, tuple) and self.default else self.default
        if isinstance(value, bool):
            return "yes" if value else "no"
        if value not in (None, "", ()):
            return str(value)
        return self.choices[0] if self.choices else {bool: "yes", int: "1", float: "0.5"}.get(self.kind, "TEXT")


def option(default: Any, **about: Any) -> Any:
    """A dataclass field with a default and what :class:`Option` says of it: ``option(0.1, above=0, high=1)``."""
    return dataclasses.field(default=default, metadata={_KEY: about})


def options_of(owner: type | Callable[..., Any]) -> dict[str, Option]:
    """The options of a dataclass (its fields) or of a function (its parameters): those that have a default."""
    none = (dataclasses.MISSING, inspect.Parameter.empty)
    if dataclasses.is_dataclass(owner):
        given = [(f.name, f.default, f.metadata.get(_KEY, {})) for f in dataclasses.fields(owner) if f.init]
    else:
        given = [(key, parameter.default, {}) for key, parameter in inspect.signature(owner).parameters.items()]
    return {key: _option(default, about) for key, default, about in given if default not in none}


def _option(default: Any, about: Mapping[str, Any]) -> Option:
    one = default[0] if isinstance(default, tuple) and default else default
    kind = type(one) if isinstance(one, (bool, int, float, str)) else str
    return Option(**{"default": default, "kind": kind, "many": "+" if isinstance(default, tuple) else "", **about})


def check_fields(thing: Any, what: str) -> None:
    """Check the fields of a dataclass made in Python as :func:`parse_options` checks text; for ``__post_init__``."""
    for key, known in options_of(type(thing)).items():
        value = getattr(thing, key)
        if value != known.default and not known.allows(value):
            raise _out_of_range(f"{key}={value}", what, known)


def numbers_of(text: str, first: int = 1, last: int | None = None) -> list[int]:
    """The whole numbers of a list such as ``7``, ``5-8`` or ``1,3,5-8``, in its order, each once.

    None may be below ``first``; ``all`` are those from 1 to ``last``, where that is known.

    Raises:
        InputError: anything else.

    >>> numbers_of("1,3-5,4"), numbers_of("all", last=2)
    ([1, 3, 4, 5], [1, 2])
    """
    if text.strip() == "all" and last is not None:
        return list(range(1, last + 1))
    found: list[int] = []
    for part in text.split(","):
        low, dash, high = (piece.strip() for piece in part.partition("-"))
        high = high if dash else low
        why = ""
        if all(n.isascii() and n.isdigit() and len(n) < 7 for n in (low, high)):
            if first <= int(low) <= int(high):
                found += range(int(low), int(high) + 1)
                continue
            why = f": they count from {first}" if int(low) < first else f": {part.strip()!r} runs backwards"
        raise InputError(
            f"{text!r} is no list of numbers{why}", remedy=f"Write 7, 5-8 or 1,3,5-8, counted from {first}"
        )
    return list(dict.fromkeys(found))


def split_spec(spec: str) -> tuple[str, str]:
    """``NAME`` and the text of its options, empty where there are none.

    >>> split_spec("softmax:threshold=0.01")
    ('softmax', 'threshold=0.01')
    """
    name, colon, tail = spec.strip().partition(":")
    if not name or (colon and not tail.strip()):
        missing = "no option behind the colon" if name else "no name"
        raise InputError(f"{spec!r} has {missing}", remedy="Write NAME or NAME:option=value,option=value")
    return name.strip(), tail


def parse_options(what: str, text: str, known: Mapping[str, Option], name: str = "") -> dict[str, Any]:
    """Read ``option=value,option=value`` (no value holds a comma): the options given, as values of their kind.

    Args:
        what: whose options they are, for messages: ``the method softmax``.
        known: the options that exist.
        name: what stands before the colon, for the example in messages; the last word of ``what`` if empty.

    >>> parse_options("the method softmax", "threshold=0.01", {"threshold": Option(float, 0.001)})
    {'threshold': 0.01}
    """
    name = name or what.rpartition(" ")[2]
    given: dict[str, Any] = {}
    for part in text.split(",") if text.strip() else []:
        key, equals, value = (piece.strip() for piece in part.partition("="))
        if not key:
            raise InputError(f"{text!r} has an empty option of {what}", remedy=f"Write {name}:option=value")
        if key not in known:
            raise UnknownNameError(f"option of {what}", key, known)
        kind = known[key]
        if key in given and kind.many != "again":
            raise InputError(f"option {key} of {what} is given twice", remedy="Give it once")
        if not equals:
            raise _malformed(key, what, key, kind, name)
        read = _value(value, what, key, kind, name)
        given[key] = (*given.get(key, ()), read) if kind.many == "again" else read
    return given


def checked(what: str, key: str, value: Any, kind: Option, name: str = "") -> Any:
    """An option given in Python as :func:`parse_options` would give it: text is read, other values are checked.

    ``True`` and ``False`` stand for ``yes`` and ``no``, and a number for its text, where the option takes texts.
    """
    if kind.choices and kind.kind is str and isinstance(value, (bool, int)):
        value = ("yes" if value else "no") if isinstance(value, bool) else str(value)
    name = name or what.rpartition(" ")[2]
    if isinstance(value, str):
        return _value(value, what, key, kind, name)
    if kind.many and isinstance(value, (tuple, list)):
        return tuple(checked(what, key, one, dataclasses.replace(kind, many=""), name) for one in value)
    wanted = (int, float) if kind.kind is float else kind.kind
    if not isinstance(value, wanted) or (isinstance(value, bool) and kind.kind is not bool):
        raise _malformed(f"{key}={value!r}", what, key, kind, name)
    if not kind.allows(value):
        raise _out_of_range(f"{key}={value}", what, kind)
    return value


def _value(text: str, what: str, key: str, kind: Option, name: str) -> Any:
    try:
        several = kind.many == "+"
        read = tuple(_read(part.strip(), kind.kind) for part in text.split("+")) if several else _read(text, kind.kind)
    except ValueError:
        raise _malformed(f"{key}={text}", what, key, kind, name) from None
    if not kind.allows(read):
        raise _out_of_range(f"{key}={text}", what, kind)
    return read


def _malformed(shown: str, what: str, key: str, kind: Option, name: str) -> InputError:
    return InputError(
        f"option {shown!r} of {what} is not {key}={kind.form()}",
        remedy=f"Write for example {name}:{key}={kind.shown()}",
    )


def _out_of_range(text: str, what: str, kind: Option) -> InputError:
    start, bounds = f"option {text} of {what} is", kind.bounds()
    if kind.choices:
        return InputError(f"{start} not one of its values", remedy=f"Known: {', '.join(kind.choices)}")
    return InputError(f"{start} out of range", remedy=f"Give a {'' if bounds else 'finite '}number {bounds}".strip())


def _read(text: str, kind: type) -> Any:
    """A value of a kind; a ``ValueError`` where it is none."""
    if not text or (kind is int and not _INTEGER.fullmatch(text)) or (kind is float and "_" in text):
        raise ValueError
    if kind is bool and text.lower() not in _FLAGS:
        raise ValueError
    return _FLAGS[text.lower()] if kind is bool else kind(text) if kind in (int, float) else text
