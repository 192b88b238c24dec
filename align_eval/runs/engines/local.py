"""The engine ``local``: everything in this process, one unit after the other; the next is prepared meanwhile."""

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

    def map(
        self,
        make: Callable[[], M],
        work: Callable[[M, B], R],
        units: Iterable[B],
        prepare: Callable[[M, B], B] | None = None,
    ) -> Generator[R, None, None]:
        if self._made is None or self._made[0] is not make:
            self._made = None  # before the next is made: two models may be more than the memory holds
            self._made = (make, make())
        made: M = self._made[1]
        for unit in units if prepare is None else _prepared(partial(prepare, made), units):
            yield work(made, unit)

    def close(self) -> None:
        self._made = None


def _prepared(prepare: Callable[[B], B], units: Iterable[B]) -> Iterator[B]:
    """The units, each prepared on a second thread while the one before is used.

    They are drawn here: a thread that waits for input could not be stopped. An error of drawing or preparing, or an
    interruption of drawing, comes after the units before it: what was read is not lost.
    """
    iterator = iter(units)

    def draw(pool: ThreadPoolExecutor) -> Future[B] | BaseException | None:
        try:
            return pool.submit(prepare, next(iterator))
        except StopIteration:
            return None
        except BaseException as error:
            return error

    with ThreadPoolExecutor(1, "prepare") as pool:
        coming = draw(pool)
        while coming is not None:
            if isinstance(coming, BaseException):
                raise coming
            unit = coming.result()
            coming = draw(pool)
            yield unit
