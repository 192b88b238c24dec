"""The engine ``local``: everything in this process, one block after the other."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from align_eval.runs.blocks import Cut, line_format
from align_eval.runs.engines.base import ENGINES, AlignerOrMaker, Engine, Facts, facts_of, made, only_system

if TYPE_CHECKING:
    from align_eval.aligners import Aligner
    from align_eval.corpora import SentencePair


@ENGINES.register("local")
class LocalEngine(Engine):
    """Aligns in this process; an aligner is made once."""

    def __init__(self) -> None:
        self._made: tuple[AlignerOrMaker, Aligner] | None = None

    def _aligner(self, given: AlignerOrMaker) -> Aligner:
        if self._made is None or self._made[0] is not given:
            self._made = (given, made(given))
        return self._made[1]

    def facts(self, aligner: AlignerOrMaker) -> Facts:
        return facts_of(self._aligner(aligner))

    def lines(
        self, aligner: AlignerOrMaker, pairs: Iterable[SentencePair], cut: Cut, done: int, format: str
    ) -> Iterator[list[str]]:
        here, to_line = self._aligner(aligner), line_format(format)
        system = only_system(here)
        for part in cut.blocks(pairs, done):
            yield list(map(to_line, part, here.align_all(part)[system]))
