"""The engine ``ray`` beside the engine ``local``: pairs a second, equal output, an actor killed in mid-run.

    python experiments/bench/ray_engine.py --out results/bench            # 8,192 pairs, one round
    python experiments/bench/ray_engine.py --out results/bench --quick    # 40 pairs of mini-ende in blocks of 8

Every run aligns the same file with the same model into a file of its own, whose sha256 is compared. The rate counts
from the first block that is written: starting Ray and loading models is stated beside it. The last run kills one of its
two actors with SIGKILL when it begins its second block. Then words of ``mini-ende`` are hidden on both engines, and the
numbers compared.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import common
from common import Bar, Table, say

from align_eval import Links, SentencePair, load_testset, read_bitext, write_bitext
from align_eval.aligners import Aligner, AlignerSettings, System, make_aligner
from align_eval.runs import align_file as runs
from align_eval.runs.engines import make_engine

MODEL, FILLER = "offline:e5-small", "offline:tiny-deen-mask"
SETS = ("mini-ende", "mini-enfr", "mini-enes", "mini-enzh")
PAIRS, QUICK_PAIRS, QUICK_BLOCK = 8192, 40, 8
COLUMNS = {
    "system": "engine", "actors": "actors", "cpus": "CPUs of each", "pairs_s": "pairs/s", "ratio": "of local",
    "start_s": "to the first block, s", "seconds": "in all, s", "equal": "same bytes", "killed": "actors killed",
}  # fmt: skip
HIDDEN_COLUMNS = {"system": "engine", "pairs": "pairs", "seconds": "in all, s", "equal": "same numbers"}


@dataclass(frozen=True)
class Run:
    """One way to align the file."""

    engine: str
    actors: int
    cpus: int
    kill: bool = False


class Mortal(Aligner):
    """An aligner whose process dies when it is given its second block, unless that has happened before."""

    def __init__(self, inner: Aligner, died: Path) -> None:
        self.inner, self.died, self.blocks = inner, died, 0
        self.systems, self.whole_corpus = inner.systems, inner.whole_corpus

    def align_all(self, pairs: Sequence[SentencePair]) -> dict[System, list[Links]]:
        self.blocks += 1
        if self.blocks == 2:
            try:
                self.died.touch(exist_ok=False)
            except FileExistsError:
                return self.inner.align_all(pairs)
            os.kill(os.getpid(), signal.SIGKILL)
        return self.inner.align_all(pairs)

    def signature(self, system: System) -> dict[str, str]:
        return self.inner.signature(system)


def mortal(make: Callable[[], Aligner], died: Path) -> Aligner:
    """The aligner that ``make`` makes, mortal."""
    return Mortal(make(), died)


def text(count: int) -> Iterator[SentencePair]:
    """So many different pairs: the mini sets, and then again with one word of either side left out, and so on."""
    pairs = [pair for name in SETS for pair in load_testset(name).pairs]
    for number in range(count):
        turn, pair = number // len(pairs), pairs[number % len(pairs)]
        yield SentencePair(str(number + 1), without(pair.source, turn), without(pair.target, turn))


def without(words: tuple[str, ...], turn: int) -> tuple[str, ...]:
    """Of turn 1 without the first word, of turn 2 without the second, ...; longer turns leave out more words."""
    for k in range(turn // max(1, len(words)) + (turn > 0)):
        if len(words) > 2:
            place = (turn - 1 + k) % len(words)
            words = words[:place] + words[place + 1 :]
    return words


def aligned(run: Run, file: Path, folder: Path, number: int) -> dict[str, Any]:
    """Align the file once; times in seconds."""
    import torch

    torch.set_num_threads(run.cpus)
    name = f"{run.engine}-{run.actors}x{run.cpus}{'-killed' if run.kill else ''}-{number}"
    out, died = folder / f"{name}.talp", folder / f"{name}.died"
    make: Callable[[], Aligner] = partial(make_aligner, AlignerSettings(MODEL, ("argmax",)))
    if run.kill:
        make = partial(mortal, make, died)
    options = {"actors": run.actors, "cpus": run.cpus} if run.engine == "ray" else {}
    at: list[tuple[float, int]] = []
    start = time.perf_counter()
    engine = make_engine(run.engine, **options)
    try:
        lines = runs.align_file(
            make,
            read_bitext(file),
            out,
            engine=engine,
            progress=lambda done: at.append((time.perf_counter() - start, done)),
        )
    finally:
        engine.close()
    first, last = at[0][0], at[-1][0]
    # By the time the first block is written, every actor has done about one.
    counted = lines - min(lines - 1, run.actors * at[0][1])
    found = {
        "lines": lines,
        "start_s": first,
        "seconds": time.perf_counter() - start,
        "pairs_s": counted / (last - first) if last > first else None,
        "sha256": hashlib.sha256(out.read_bytes()).hexdigest(),
        "killed": int(died.exists()),
    }
    rate = found["pairs_s"] or 0.0
    say(f"  {name}: {rate:.1f} pairs/s, first block after {first:.1f} s, {found['seconds']:.1f} s in all")
    return found


def hidden(count: int, actors: int) -> list[dict[str, Any]]:
    """Hide words on both engines."""
    from functools import partial

    import torch

    from align_eval import infill_testset, load_model

    torch.set_num_threads(1)
    corpus = load_testset("mini-ende").reverse().part(range(count))
    rows: list[dict[str, Any]] = []
    for name in ("local", "ray"):
        start = time.perf_counter()
        engine = make_engine(name, **({"actors": actors, "cpus": 1} if name == "ray" else {}))
        try:
            found = infill_testset(
                corpus, partial(load_model, FILLER), ["span:ratio=0.5", "each"], resamples=200, engine=engine
            )
        finally:
            engine.close()
        rows.append(
            {
                "system": name,
                "pairs": count,
                "seconds": time.perf_counter() - start,
                "sha256": hashlib.sha256(json.dumps(found.summary()).encode()).hexdigest(),
            }
        )
        say(f"  hidden words, {name}: {rows[-1]['seconds']:.1f} s")
    for row in rows:
        row["equal"] = row["sha256"] == rows[0]["sha256"]
    return rows


def main() -> None:
    """Measure and write."""
    options = common.parse(common.parser(__doc__, repeats=1))
    machine = common.hardware(options.threads)
    cores = len(os.sched_getaffinity(0))
    actors = min(2, cores)
    wanted = [Run("local", 1, 1), Run("ray", 1, 1), Run("ray", actors, 1), Run("ray", actors, 1, kill=True)]
    if cores > 1:
        wanted[1:1] = [Run("local", 1, cores)]
    count = QUICK_PAIRS if options.quick else PAIRS
    if options.quick:
        runs.BLOCK = QUICK_BLOCK
    folder = Path(tempfile.mkdtemp())
    try:
        write_bitext(folder / "pairs", text(count), "pipes")
        found: dict[Run, list[dict[str, Any]]] = {run: [] for run in wanted}
        for number in range(options.repeats):
            for run in wanted if number % 2 == 0 else wanted[::-1]:
                found[run].append(aligned(run, folder / "pairs", folder, number))
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    by_cpus = {run.cpus: times for run, times in found.items() if run.engine == "local"}
    rows = []
    for run, times in found.items():
        local = by_cpus[run.cpus]
        rates = [one["pairs_s"] for one in times if one["pairs_s"]]
        here = [one["pairs_s"] for one in local if one["pairs_s"]]
        rows.append(
            {
                "system": run.engine, "actors": run.actors if run.engine == "ray" else None, "cpus": run.cpus,
                "pairs_s": statistics.median(rates) if rates else None,
                "ratio": statistics.median(rates) / statistics.median(here) if rates and here else None,
                "start_s": statistics.median(one["start_s"] for one in times),
                "seconds": statistics.median(one["seconds"] for one in times),
                "equal": {one["sha256"] for one in times} == {local[0]["sha256"]},
                "killed": sum(one["killed"] for one in times) / len(times) if run.kill else None,
                "sha256": sorted({one["sha256"] for one in times}),
            }
        )  # fmt: skip
    words = hidden(12 if options.quick else 40, actors)
    spread = [row for row in rows if row["system"] == "ray"]
    bars = [
        Bar("Ray: runs with the bytes of the local engine", sum(row["equal"] for row in spread), len(spread)),
        Bar("of those with an actor killed", sum(bool(row["equal"] and row["killed"]) for row in spread), 1),
        Bar("Ray: hidden words with the numbers of the local engine", float(words[1]["equal"]), 1),
    ]
    notes = [
        f"`{MODEL}`, its default layer, argmax, float32, {count:,} different pairs made from the mini sets. The rate "
        "counts from the first block on; before it lie the start of Ray and the loading of one model for the facts of "
        "the run and one in each actor. The column `of local` compares with the local engine with as many threads as "
        f"one actor has. Hidden words: `{FILLER}`, mini-ende from German to English.",
    ]
    common.write_part(
        options.out, "ray_engine", "Engines: local and Ray",
        [Table(COLUMNS, rows, "Alignment"), Table(HIDDEN_COLUMNS, words, "Hidden words")], bars,
        settings={"model": MODEL, "pairs": count, "block": runs.BLOCK, "repeats": options.repeats},
        notes=notes, machine=machine, quick=options.quick,
    )  # fmt: skip


if __name__ == "__main__":
    main()
