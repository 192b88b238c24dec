"""A small deterministic aligner without a model, and a program that aligns with it and can be killed."""

from __future__ import annotations

import os
import signal
import sys
import zlib
from collections.abc import Sequence

from align_eval.aligners import Aligner, System
from align_eval.corpora import SentencePair
from align_eval.errors import NonFiniteError
from align_eval.links import Links


def make_pairs(count: int) -> list[SentencePair]:
    """Pairs of 1 to 9 words; every seventh has an empty source, every eleventh an empty target."""
    out = []
    for k in range(count):
        source = tuple(f"s{k}.{i}" for i in range(k % 9 + 1)) if k % 7 != 3 else ()
        target = tuple(f"t{k}.{j}" for j in range((k * 5) % 9 + 1)) if k % 11 != 5 else ()
        out.append(SentencePair(f"p{k}", source, target))
    return out


class Stub(Aligner):
    """Links by a checksum of the words; raises (or kills its process) when it meets the pair called ``stop``."""

    def __init__(self, stop: str | None = None, layer: int = 7, kill: bool = False, systems: int = 1) -> None:
        self.systems = [System("stub", layer + k) for k in range(systems)]
        self.stop, self.kill = stop, kill
        self.seen = 0

    def describe(self) -> dict[str, str]:
        return {"model": "stub"}

    def align_all(self, pairs: Sequence[SentencePair]) -> dict[System, list[Links]]:
        found = []
        for pair in pairs:
            if pair.id == self.stop:
                if self.kill:
                    os.kill(os.getpid(), signal.SIGKILL)
                raise NonFiniteError(f"pair {pair.id}")
            cells = [(i, j) for i in range(len(pair.source)) for j in range(len(pair.target))]
            sums = [zlib.crc32(f"{pair.source[i]} {pair.target[j]}".encode()) for i, j in cells]
            chosen = [(cell, value) for cell, value in zip(cells, sums, strict=True) if value % 3 == 0]
            found.append(Links([c for c, _ in chosen], [v / 2**32 for _, v in chosen]))
            self.seen += 1
        return dict.fromkeys(self.systems, found)


def make_stub(settings: object) -> Stub:
    """In the place of ``make_aligner``; a function of this module, so that a cluster's actors find it."""
    return Stub()


if __name__ == "__main__":
    # Arguments: output, format, pairs, pairs a block, the pair at which the process is killed, lines of a shard.
    from align_eval.runs import align_file

    output, form, count, block, stop, *shard = sys.argv[1:]
    align_file.BLOCK = int(block)
    lines = int(shard[0]) if shard else None
    align_file.align_file(Stub(stop, kill=True), make_pairs(int(count)), output, format=form, shard_lines=lines)
