"""The engine ``local``: everything in this process, one block after the other; the next is made ready meanwhile."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
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

    def map(
        self,
        make: Callable[[], M],
        work: Callable[[M, B], R],
        blocks: Iterable[B],
        ready: Callable[[M, B], B] | None = None,
    ) -> Generator[R, None, None]:
        thing = self._thing(make)
        for block in blocks if ready is None else _made_ready(partial(ready, thing), blocks):
            yield work(thing, block)

    def close(self) -> None:
        self._made = None


def _made_ready(ready: Callable[[B], B], blocks: Iterable[B]) -> Iterator[B]:
    """The blocks, made ready on a thread of their own while the one before is used.

    They are read here: a thread that waits for input could not be stopped. An error of reading or of ``ready``, or an
    interruption of reading, comes after the blocks before it: what was read is not lost.
    """
    iterator = iter(blocks)

    def read(pool: ThreadPoolExecutor) -> Future[B] | BaseException | None:
        try:
            return pool.submit(ready, next(iterator))
        except StopIteration:
            return None
        except BaseException as error:
            return error

    with ThreadPoolExecutor(1, "ready") as pool:
        coming = read(pool)
        while coming is not None:
            if isinstance(coming, BaseException):
                raise coming
            block = coming.result()
            coming = read(pool)
            yield block
