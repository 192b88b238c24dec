"""What an engine is: it takes units of work to a model, wherever that stands, and brings the results back in order."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Iterable
from contextlib import closing
from dataclasses import dataclass
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
    that spreads work, and all results, must pickle.

    Attributes:
        spreads: whether there are several workers, so that no one of them sees all units.
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
        self,
        make: Callable[[], M],
        work: Callable[[M, B], R],
        units: Iterable[B],
        prepare: Callable[[M, B], B] | None = None,
    ) -> Generator[R, None, None]:
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
    """The engine ``name`` with its own options.

    Raises:
        UnknownNameError: no such engine.
        EngineError: a package that it needs is missing.
    """
    return ENGINES.get(name)(**options)
