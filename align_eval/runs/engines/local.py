"""The engine ``local``: everything in this process, one block after the other."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable
from typing import Any

from align_eval.runs.engines.base import ENGINES, B, Engine, M, R


@ENGINES.register("local")
class LocalEngine(Engine):
    """Works in this process; what the work needs is made once."""

    def __init__(self) -> None:
        self._made: tuple[Callable[[], Any], Any] | None = None

    def _thing(self, make: Callable[[], M]) -> M:
        if self._made is None or self._made[0] is not make:
            self._made = None  # before the next is made: two models may be more than the memory holds
            self._made = (make, make())
        thing: M = self._made[1]
        return thing

    def ask(self, make: Callable[[], M], question: Callable[[M], R]) -> R:
        return question(self._thing(make))

    def map(self, make: Callable[[], M], work: Callable[[M, B], R], blocks: Iterable[B]) -> Generator[R, None, None]:
        thing = self._thing(make)
        for block in blocks:
            yield work(thing, block)

    def close(self) -> None:
        self._made = None
