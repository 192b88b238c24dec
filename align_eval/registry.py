"""One small registry for everything that is chosen by name: formats, methods, metrics, figures.

A thing registers itself in its own file; adding one touches no other file. The registry imports the file that has the
name asked for, and all files of its package when none has, or when all names are wanted.

>>> colours = Registry("colour")
>>> @colours.register("red")
... def red() -> int:
...     return 0xFF0000
>>> colours.get("red")() == 0xFF0000
True
"""

from __future__ import annotations

import importlib
import importlib.util
import pkgutil
from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

from align_eval.errors import UnknownNameError

T = TypeVar("T")
U = TypeVar("U")


class Registry(Generic[T]):
    """Names to things of one kind.

    Args:
        kind: what is registered, in the words of an error message (``"extraction method"``).
        package: dotted name of the package whose modules register; imported when needed. ``None``: no discovery. A
            module named like the thing it registers (a hyphen is an underscore there) spares importing the others.
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
        """Return the thing called ``name``.

        Raises:
            UnknownNameError: no such name; the message lists the nearest ones.
        """
        return self._things[self.canonical(name)]

    def canonical(self, name: str) -> str:
        """Return the name that ``name`` is an alias of, or ``name`` itself.

        Raises:
            UnknownNameError: no such name; the message lists the nearest ones.
        """
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
        if not self._has(name) and isinstance(name, str):
            self._import_namesake(name)
            if not self._has(name):
                self._discover()
        return self._has(name)

    def _has(self, name: object) -> bool:
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
