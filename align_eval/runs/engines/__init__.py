"""Engines: they take units of work to a model, wherever that stands, and bring the results back in order."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from typing import Any, Generic, TypeVar

from align_eval.errors import AlignEvalError
from align_eval.registry import Registry

M = TypeVar("M")
B = TypeVar("B")
R = TypeVar("R")


class EngineError(AlignEvalError):
    """An engine could not be started, or has failed."""


class Engine(ABC):
    """Works on units (blocks of pairs, batches, whole files) somewhere. What it gives does not depend on where.

    ``make`` is a function that makes what the work needs (an aligner, a model) where the work is done: once in this
    process, or once in every actor of a cluster. The same ``make`` means the same thing. All arguments of an engine
    that spreads work over several workers, and all results, must pickle.
    """

    spreads = False

    def device(self, asked: str) -> str:
        """The device to load a model on where the work is done, if ``asked`` is what a user asks for."""
        return asked

    def ask(self, make: Callable[[], M], question: Callable[[M], R]) -> R:
        """The answer to one question. Raises as :meth:`map` does."""
        with closing(self.map(make, _answer, [question])) as answers:
            return next(answers)

    @abstractmethod
    def map(
        self, make: Callable[[], M], work: Callable[[M, B], R], units: Iterable[B],
        prepare: Callable[[M, B], B] | None = None,
    ) -> Generator[R, None, None]:  # fmt: skip
        """Yield ``work(made, unit)`` for each unit, in their order.

        Units are drawn in this process, and only so many ahead, however slow the work is and however slowly the results
        are taken. To close what is returned ends the work.

        ``prepare(made, unit)`` gives the same unit with a part of the work done that may go on beside the work on the
        unit before it (tokenising). It changes no result, and an engine may leave it out.

        Raises:
            EngineError: the engine has failed.
            AlignEvalError: what drawing the units, making and working raise, after the results of all units before.
        """

    def close(self) -> None:  # noqa: B027
        """Give back what the engine holds."""


def _answer(made: M, question: Callable[[M], R]) -> R:
    return question(made)


@dataclass(frozen=True, eq=False)
class Given(Generic[M]):
    """A ``make`` of something that is there already."""

    thing: M

    def __call__(self) -> M:
        return self.thing


ENGINES: Registry[Callable[..., Engine]] = Registry("engine", "align_eval.runs.engines")


def make_engine(name: str, **options: Any) -> Engine:
    """The engine ``name`` with its own options; EngineError if a package that it needs is missing."""
    return ENGINES.get(name)(**options)


@ENGINES.register("local")
class LocalEngine(Engine):
    """Works in this process, one unit after the other; the next is prepared meanwhile."""

    def __init__(self) -> None:
        self._made: tuple[Callable[[], Any], Any] | None = None

    def map(
        self, make: Callable[[], M], work: Callable[[M, B], R], units: Iterable[B],
        prepare: Callable[[M, B], B] | None = None,
    ) -> Generator[R, None, None]:  # fmt: skip
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
