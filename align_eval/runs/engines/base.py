"""What an engine is: it takes blocks of sentence pairs to an aligner and brings their lines back in order."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from align_eval.aligners.base import Aligner, System
from align_eval.errors import AlignEvalError, InputError
from align_eval.registry import Registry

if TYPE_CHECKING:
    from align_eval.corpora import SentencePair
    from align_eval.runs.blocks import Cut

# An aligner, or a function that makes one where it is to work (in every actor of a cluster).
AlignerOrMaker = Aligner | Callable[[], Aligner]


class EngineError(AlignEvalError):
    """An engine could not be started, or has failed."""


@dataclass(frozen=True)
class Facts:
    """What a run must know of its aligner.

    Attributes:
        signature: by the keys of a :class:`align_eval.scoring.Signature`.
        whole_corpus: all pairs must come at once.
    """

    signature: dict[str, str]
    whole_corpus: bool


class Engine(ABC):
    """Aligns blocks of pairs somewhere. What it gives does not depend on where."""

    @abstractmethod
    def facts(self, aligner: AlignerOrMaker) -> Facts:
        """What the run must know of the aligner.

        Raises:
            InputError: the aligner has several systems, or needs what this engine cannot give it.
            EngineError: the engine has failed.
        """

    @abstractmethod
    def lines(
        self, aligner: AlignerOrMaker, pairs: Iterable[SentencePair], cut: Cut, done: int, format: str
    ) -> Iterator[list[str]]:
        """Yield the lines of one block after the other, in order, from pair ``done`` (counted from 0) on.

        Args:
            aligner: with one system.
            pairs: all pairs, from the first on.
            cut: how they are cut into blocks.
            done: pairs that are passed over; a multiple of blocks.
            format: ``pharaoh`` or ``jsonl``.

        Raises:
            TooFewPairsError: there are fewer than ``done`` pairs.
            EngineError: the engine has failed.
            AlignEvalError: what reading the pairs and aligning them raises.
        """

    def close(self) -> None:  # noqa: B027
        """Give back what the engine holds."""


ENGINES: Registry[Callable[..., Engine]] = Registry("engine", "align_eval.runs.engines")


def make_engine(name: str, **options: Any) -> Engine:
    """The engine ``name`` with its own options.

    Raises:
        UnknownNameError: no such engine.
        EngineError: a package that it needs is missing.
    """
    return ENGINES.get(name)(**options)


def made(aligner: AlignerOrMaker) -> Aligner:
    """The aligner itself."""
    return aligner if isinstance(aligner, Aligner) else aligner()


def only_system(aligner: Aligner) -> System:
    """The one system of an aligner.

    Raises:
        InputError: it has several.
    """
    if len(aligner.systems) != 1:
        raise InputError(f"{len(aligner.systems)} systems in one output", remedy="Give one method and one layer")
    return aligner.systems[0]


def facts_of(aligner: Aligner) -> Facts:
    """The facts of an aligner that is at hand.

    Raises:
        InputError: it has several systems.
    """
    return Facts(aligner.signature(only_system(aligner)), aligner.whole_corpus)
