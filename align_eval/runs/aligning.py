"""Aligning as work for an engine: pairs are cut into blocks, and each block becomes lines of links."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Any

from align_eval.aligners.base import Aligner, System
from align_eval.corpora.pair import SentencePair
from align_eval.corpora.rows import sides_row
from align_eval.errors import InputError, UnknownNameError
from align_eval.io.resumable import READ_NOTHING, read_after
from align_eval.runs.engines.base import Engine, Given

if TYPE_CHECKING:
    from collections.abc import Sequence

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


class OtherInputError(InputError):
    """The pairs that an unfinished run has done are not those that are read now."""


def block_digest(block: Sequence[SentencePair]) -> str:
    """32 hex digits over what an aligner sees of a block: names and words, not the gold links."""
    digest = hashlib.sha256()
    for pair in block:
        digest.update(repr((pair.id, pair.source, pair.target)).encode("utf-8", "surrogatepass"))
    return digest.hexdigest()[:32]


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

    def blocks(
        self, pairs: Iterable[SentencePair], done: int = 0, read: str | None = None
    ) -> Iterator[list[SentencePair]]:
        """Yield the blocks after the first ``done`` pairs; one block is in memory at a time.

        Args:
            pairs: all, from the first on.
            done: how many are passed over.
            read: what had been read with them, see :func:`align_eval.io.resumable.read_after`; ``None``: not compared.

        Raises:
            OtherInputError: there are fewer than ``done`` pairs, or they are not those that were read.
        """
        iterator = iter(pairs)
        skipped, found = 0, READ_NOTHING
        while skipped < done:
            part = list(islice(iterator, min(self.size(skipped) or done, done - skipped)))
            if not part:
                raise OtherInputError(
                    f"the unfinished run has {done} lines but the input only {skipped} pairs",
                    remedy="Start over with --restart",
                )
            found = read_after(found, block_digest(part))
            skipped += len(part)
        if read is not None and found != read:
            raise OtherInputError(
                f"the first {done} pairs are not those that the unfinished run has aligned: the input was changed",
                remedy="Give it the input that it had to finish it, or start over with --restart",
            )
        while part := list(islice(iterator, self.size(done))):
            yield part
            done += len(part)


# An aligner, or a function that makes one where it is to work (in every actor of a cluster).
AlignerOrMaker = Aligner | Callable[[], Aligner]


@dataclass(frozen=True)
class Facts:
    """What a run must know of its aligner.

    Attributes:
        signature: by the keys of a :class:`align_eval.scoring.Signature`.
        whole_corpus: all pairs must come at once.
    """

    signature: dict[str, str]
    whole_corpus: bool


@dataclass(frozen=True)
class PairBlocks:
    """The blocks of a run, from the pair ``done`` (counted from 0) on; without gold, which no aligner looks at.

    Attributes:
        pairs: all pairs, from the first on.
        cut: how they are cut.
        done: pairs that are passed over; a multiple of blocks.
        read: what had been read with them, which is compared; ``None``: not compared.
    """

    pairs: Iterable[SentencePair]
    cut: Cut
    done: int = 0
    read: str | None = None

    def __iter__(self) -> Iterator[list[SentencePair]]:
        for block in self.cut.blocks(self.pairs, self.done, self.read):
            yield [p if p.gold is None else SentencePair(p.id, p.source, p.target) for p in block]


def maker(aligner: AlignerOrMaker) -> Callable[[], Aligner]:
    """A function that makes the aligner."""
    return Given(aligner) if isinstance(aligner, Aligner) else aligner


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


def facts(engine: Engine, make: Callable[[], Aligner]) -> Facts:
    """What a run must know of the aligner that ``make`` makes.

    Raises:
        InputError: it has several systems, or must see all pairs, which no worker of this engine does.
        EngineError: the engine has failed.
    """
    found = engine.ask(make, facts_of)
    if found.whole_corpus and engine.spreads:
        raise InputError(
            "this method is trained on all pairs together, which cannot be spread over actors",
            remedy="Use the engine local",
        )
    return found


def lines(
    engine: Engine,
    make: Callable[[], Aligner],
    pairs: Iterable[SentencePair],
    cut: Cut,
    format: str,
    done: int = 0,
    read: str | None = None,
    long: Counter[str] | None = None,
) -> Generator[tuple[list[str], str], None, None]:
    """Yield the lines of one block after the other, in order, and the digest of the block's pairs.

    Args:
        engine: where the work is done.
        make: makes an aligner with one system.
        pairs: all pairs, from the first on.
        cut: how they are cut into blocks.
        format: ``pharaoh`` or ``jsonl``.
        done: pairs that are passed over; a multiple of blocks.
        read: what had been read with them, which is compared; ``None``: not compared.
        long: counts here how many pairs over the model's window were ``windowed`` or ``left_out``.

    Raises:
        UnknownNameError: no such format.
        OtherInputError: there are fewer than ``done`` pairs, or others than those of ``read``.
        EngineError: the engine has failed.
        AlignEvalError: what reading the pairs and aligning them raises.
    """
    line_format(format)
    return _counted(engine.map(make, partial(align_block, format), PairBlocks(pairs, cut, done, read), prepare), long)


def _counted(
    blocks: Generator[tuple[list[str], Counter[str], str], None, None], long: Counter[str] | None
) -> Generator[tuple[list[str], str], None, None]:
    with closing(blocks):
        for block, found, digest in blocks:
            if long is not None:
                long.update(found)
            yield block, digest


def prepare(aligner: Aligner, block: list[SentencePair]) -> list[SentencePair]:
    """A block with what the aligner can do before its turn."""
    return aligner.ready(block)


def align_block(format: str, aligner: Aligner, block: Sequence[SentencePair]) -> tuple[list[str], Counter[str], str]:
    """The lines of one block, how many pairs were longer than the model's window, and the digest of the pairs."""
    to_line, found = line_format(format), aligner.align_all(block)[only_system(aligner)]
    return (
        [to_line(pair, links) for pair, links in zip(block, found, strict=True)],
        aligner.take_long(),
        block_digest(block),
    )
