"""Pairs cut into the blocks that are aligned, written and journalled at a time, and links written as lines."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any

from align_eval.corpora.rows import sides_row
from align_eval.errors import InputError, UnknownNameError

if TYPE_CHECKING:
    from align_eval.corpora import SentencePair
    from align_eval.links import Links

ToLine = Callable[["SentencePair", "Links"], str]


def _pharaoh(pair: SentencePair, links: Links) -> str:
    return str(links)


def _jsonl(pair: SentencePair, links: Links) -> str:
    row: dict[str, Any] = {"id": pair.id, **sides_row(pair), "links": [list(p) for p in links]}
    if links.scores is not None:
        row["scores"] = [round(float(s), 6) for s in links.scores]
    return json.dumps(row, ensure_ascii=False)


LINE_FORMATS: dict[str, ToLine] = {"pharaoh": _pharaoh, "jsonl": _jsonl}


def line_format(name: str) -> ToLine:
    """The function that writes one pair's links as a line.

    Raises:
        UnknownNameError: ``name`` is neither ``pharaoh`` nor ``jsonl``.
    """
    if name not in LINE_FORMATS:
        raise UnknownNameError("output format", name, LINE_FORMATS)
    return LINE_FORMATS[name]


class TooFewPairsError(InputError):
    """The input ends before the pairs that an unfinished run has done."""


@dataclass(frozen=True)
class Cut:
    """How pairs are cut into blocks: by position alone, so that a resumed run has the blocks of an undisturbed one.

    Attributes:
        block: pairs in a block; ``None``: all pairs are one block.
        shard: no block reaches over a multiple of this; ``None``: no such bound.
    """

    block: int | None
    shard: int | None = None

    def size(self, done: int) -> int | None:
        """Pairs in the block that begins after ``done`` pairs, if there are as many; ``None``: all that are left."""
        if self.block is None or self.shard is None:
            return self.block
        return min(self.block, self.shard - done % self.shard)

    def blocks(self, pairs: Iterable[SentencePair], done: int = 0) -> Iterator[list[SentencePair]]:
        """Yield the blocks after the first ``done`` pairs; one block is in memory at a time.

        Raises:
            TooFewPairsError: there are fewer than ``done`` pairs.
        """
        iterator = iter(pairs)
        skipped = sum(1 for _ in islice(iterator, done))
        if skipped < done:
            raise TooFewPairsError(
                f"the unfinished run has {done} lines but the input only {skipped} pairs",
                remedy="Start over with --restart",
            )
        while part := list(islice(iterator, self.size(done))):
            yield part
            done += len(part)
