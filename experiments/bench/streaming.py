"""Files of any size in constant memory, killed in the middle, resumed: the same bytes as undisturbed.

    python experiments/bench/streaming.py --out results/bench [--quick] [--work FOLDER] [--only stub|model]

Sentence pairs of the shared text, repeated, go through ``align_file``, the code of ``align-eval align``:

- *stub*: 1,000,000 pairs through an aligner without a model (diagonal links), into one file, into shards, into gzip and
  Zstandard files. What is left is the cost of reading, blocks, lines, journal and compression.
- *model*: 50,000 pairs with ``align-eval align -m offline:e5-small``.

Each case is done twice: undisturbed, and killed (``SIGKILL``) and resumed. Resident memory is read from outside every
second. Finished runs are remembered in the work folder, so that an interrupted benchmark goes on.

The text is in the folder that ``ALIGN_EVAL_PARALLEL`` names: files ``*.tsv.gz`` of two columns. Without it, the
sentences of the mini corpus are repeated.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import common
from common import Bar, Table, say
from fits import line_fit
from texts import parallel_files, write_text

MODEL = "offline:e5-small"
STUB_PAIRS, MODEL_PAIRS, PACKED_PAIRS = 1_000_000, 50_000, 250_000
QUICK_STUB, QUICK_MODEL = 20_000, 200
# Growth of resident memory over the second half, as a share of its mean, up to which it is called constant.
CONSTANT = 0.05
BLOCK = 1024  # pairs that align-eval aligns, writes and journals at a time
KILLS = {"stub": (0.3, 0.7), "model": (0.5,)}  # parts of a run after which it is killed
# Short everyday sentences for the model, all texts for the stub.
MODEL_TEXT = ("tatoeba", "multi30k")


@dataclass(frozen=True)
class Case:
    """One way to run: which aligner, how many pairs, into what."""

    name: str
    kind: str
    pairs: int
    output: str
    shard_lines: int | None = None
    packed_input: bool = False


@dataclass
class Run:
    """What one process did: when it began and ended, its memory over time, the lines that held at its end."""

    seconds: float = 0.0
    lines: int = 0
    code: int = 0
    samples: list[tuple[float, float]] = field(default_factory=list)  # seconds, MB


# The process that aligns.


def work(arguments: Sequence[str]) -> None:
    """Align a file with the stub; called in a process of its own: input, output, lines of a shard (0: one file)."""
    from align_eval import Links, read_bitext
    from align_eval.aligners import Aligner, System
    from align_eval.runs.align_file import align_file

    @cache
    def diagonal(words: int) -> Links:
        return Links([(k, k) for k in range(words)])

    class Diagonal(Aligner):
        """Links word k with word k. No model, no scores."""

        systems = [System("diagonal")]  # noqa: RUF012
        needs_model = False

        def describe(self) -> dict[str, str]:
            return {"model": "stub"}

        def align_all(self, pairs: Sequence[Any]) -> dict[System, list[Links]]:
            return {self.systems[0]: [diagonal(min(len(pair.source), len(pair.target))) for pair in pairs]}

    source, output, shard = arguments
    align_file(Diagonal(), read_bitext(source, format="tsv"), output, shard_lines=int(shard) or None)


def command(case: Case, source: Path, output: Path, precision: str | None) -> list[str]:
    """The command line of one run."""
    if case.kind == "stub":
        return [sys.executable, __file__, "--worker", str(source), str(output), str(case.shard_lines or 0)]
    words = [
        sys.executable, "-c", "from align_eval.cli import main; main()", "align", "--bitext", str(source),
        "--bitext-format", "tsv", "--output", str(output), "--model", MODEL,
    ]  # fmt: skip
    words += ["--shard-lines", str(case.shard_lines)] if case.shard_lines else []
    return words + (["--precision", precision] if precision else [])


# Watching it from outside.


def lines_done(output: Path, shard_lines: int | None) -> int:
    """The lines that hold so far, as the journals of the run say."""
    try:
        if shard_lines is None:
            return int(json.loads(Path(f"{output}.part.json").read_text())["lines"])
        shards = int(json.loads(Path(f"{output}.shards.jsonl.part.json").read_text())["lines"])
    except (OSError, ValueError, KeyError):
        return 0
    from align_eval.io.resumable import shard_path

    return shards * shard_lines + lines_done(shard_path(output, shards), None)


def resident_mb(process: int) -> float | None:
    """Resident memory of a process, or ``None`` if it has ended."""
    try:
        for line in Path(f"/proc/{process}/status").read_text(encoding="ascii").splitlines():
            if line.startswith("VmRSS"):
                return int(line.split()[1]) / 1024
    except OSError:
        pass
    return None


def watch(
    case: Case, words: list[str], output: Path, log: Path, every: float, kill_at: int | None = None,
    latest: float = float("inf"),
) -> Run:  # fmt: skip
    """Start a process, read its memory ``every`` so many seconds, kill it once ``kill_at`` lines hold.

    ``latest``: it is killed after so many seconds, however many hold (fewer pairs than a block hold none till the end).
    """
    run = Run()
    start = told = time.perf_counter()
    with open(log, "ab") as stream:
        child = subprocess.Popen(words, stdout=stream, stderr=stream)
        try:
            while child.poll() is None:
                now = time.perf_counter()
                memory = resident_mb(child.pid)
                if memory is not None:
                    run.samples.append((now - start, memory))
                done = lines_done(output, case.shard_lines)
                run.lines = max(run.lines, done)
                if kill_at is not None and (done >= kill_at or now - start >= latest):
                    os.kill(child.pid, signal.SIGKILL)
                    break
                if now - told > 15:
                    told = now
                    say(f"    {done:,} of {case.pairs:,} pairs, {memory or 0:.0f} MB")
                time.sleep(every if kill_at is None else min(every, 0.05))
        finally:
            if child.poll() is None and kill_at is None:
                child.kill()  # this benchmark was interrupted
            run.code = child.wait()
    run.seconds = time.perf_counter() - start
    if kill_at is not None:
        run.lines = lines_done(output, case.shard_lines)
    return run


def digest(output: Path, shard_lines: int | None) -> str:
    """The sha256 of the output; of all shards one after the other, with their names and their list."""
    whole = hashlib.sha256()
    files = [output]
    if shard_lines is not None:
        listed = Path(f"{output}.shards.jsonl")
        names = [json.loads(line)["file"] for line in listed.read_text(encoding="utf-8").splitlines()]
        files = [listed, *(output.with_name(name) for name in names)]
        whole.update("\n".join(names).encode())
    for file in files:
        with open(file, "rb") as stream:
            while block := stream.read(1 << 20):
                whole.update(block)
    return whole.hexdigest()


def count_lines(output: Path, shard_lines: int | None) -> int:
    """The number of lines that really stand in the output."""
    from align_eval.files import count_lines as count
    from align_eval.files import open_binary

    files = [output]
    if shard_lines is not None:
        listed = Path(f"{output}.shards.jsonl").read_text(encoding="utf-8").splitlines()
        files = [output.with_name(json.loads(line)["file"]) for line in listed]
    total = 0
    for file in files:
        with open_binary(file) as stream:
            total += count(stream, str(file))
    return total


def finished(run: Run, log: Path) -> Run:
    """The run, if it ended well."""
    if run.code:
        raise SystemExit(f"ended with {run.code}:\n{log.read_text(encoding='utf-8', errors='replace')[-4000:]}")
    return run


def measure(case: Case, folder: Path, options: argparse.Namespace) -> dict[str, Any]:
    """One case: undisturbed, then killed and resumed. What an earlier call has measured so is not done again."""
    kept = folder / f"{case.name}.json"
    asked = {**asdict(case), "precision": options.precision if case.kind == "model" else None, "quick": options.quick}
    if kept.exists():
        found: dict[str, Any] = json.loads(kept.read_text(encoding="utf-8"))
        if found["asked"] == asked:
            say(f"{case.name}: done before")
            return found
    source = folder / f"{case.kind}-{case.pairs}.tsv{'.gz' if case.packed_input else ''}"
    write_text(source, case.pairs, MODEL_TEXT if case.kind == "model" else ())
    every = 0.1 if options.quick else 1.0
    runs: dict[str, Run] = {}
    digests: dict[str, str] = {}
    kills: list[int] = []
    for form in ("undisturbed", "resumed"):
        place = folder / case.name / form
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir(parents=True)
        output, log = place / case.output, place / "log"
        words = command(case, source, output, options.precision)
        for share in KILLS[case.kind] if form == "resumed" else ():
            say(f"  {case.name}: to be killed at {share:.0%}")
            small = case.pairs * share < BLOCK
            latest = runs["undisturbed"].seconds * share if small else float("inf")
            run = watch(case, words, output, log, every, int(case.pairs * share), latest)
            if run.code != -signal.SIGKILL:
                finished(run, log)
                say(f"  {case.name}: it was done before it could be killed")
                continue
            kills.append(run.lines)
            say(f"  {case.name}: killed, {run.lines:,} lines hold")
        say(f"  {case.name}: {form}{', to its end' if kills else ''}")
        if not output.exists() and not Path(f"{output}.shards.jsonl").exists():
            runs[form] = finished(watch(case, words, output, log, every), log)
        digests[form] = digest(output, case.shard_lines)
        lines = count_lines(output, case.shard_lines)
        if lines != case.pairs:
            raise SystemExit(f"{case.name}, {form}: {lines} lines of {case.pairs} pairs")
    whole = runs["undisturbed"]
    found = {
        "asked": asked, "seconds": whole.seconds, "rate": case.pairs / whole.seconds, "killed_at": kills,
        "sha256": digests, "same": digests["undisturbed"] == digests["resumed"], **memory_of(whole, case.pairs),
        "samples": [[round(t, 2), round(mb, 2)] for t, mb in whole.samples],
    }  # fmt: skip
    kept.write_text(json.dumps(found), encoding="utf-8")
    shutil.rmtree(folder / case.name)
    return found


def memory_of(run: Run, pairs: int) -> dict[str, float]:
    """Mean and greatest resident memory, and a line fitted to its second half, as MB per 100,000 pairs."""
    half = [sample for sample in run.samples if sample[0] >= run.seconds / 2]
    mean = sum(mb for _, mb in half) / max(1, len(half))
    out = {"peak_mb": max((mb for _, mb in run.samples), default=0.0), "mean_mb": mean, "slope": 0.0, "error": 0.0}
    if len(half) >= 3:
        fit = line_fit([t for t, _ in half], [mb for _, mb in half])
        per = 100_000 * run.seconds / pairs  # seconds that 100,000 pairs take
        out |= {"slope": fit.slope * per, "error": fit.error * per, "growth": fit.slope * run.seconds / 2 / mean}
    return out


def cases(options: argparse.Namespace) -> list[Case]:
    """What is run."""
    stub, packed = (QUICK_STUB, QUICK_STUB) if options.quick else (STUB_PAIRS, PACKED_PAIRS)
    model = options.pairs or (QUICK_MODEL if options.quick else MODEL_PAIRS)
    shard = 8_192 if options.quick else 131_072
    every = [
        Case("stub, one file", "stub", stub, "links.pharaoh"),
        Case("stub, shards", "stub", stub, "links.pharaoh", shard),
        Case("stub, gzip in and out", "stub", packed, "links.pharaoh.gz", packed_input=True),
        Case("stub, Zstandard shards", "stub", packed, "links.pharaoh.zst", shard // 4),
        Case("model, one file", "model", model, "links.pharaoh"),
    ]
    return [case for case in every if options.only in (None, case.kind)]


def main() -> None:
    if sys.argv[1:2] == ["--worker"]:
        work(sys.argv[2:])
        return
    made = common.parser(__doc__)
    made.add_argument("--only", choices=("stub", "model"), help="one of both")
    made.add_argument("--pairs", type=int, help=f"pairs through the model (default {MODEL_PAIRS:,})")
    made.add_argument("--precision", help="of the model (align-eval align --precision)")
    made.add_argument("--work", type=Path, default=Path(tempfile.gettempdir()) / "align-eval-streaming",
                      help="folder of text, outputs and finished runs; goes when all is done")  # fmt: skip
    made.add_argument("--keep", action="store_true", help="leave the work folder")
    options = common.parse(made)
    os.environ.setdefault("OMP_NUM_THREADS", str(options.threads))
    machine = common.hardware()
    folder = options.work / ("quick" if options.quick else "full")
    folder.mkdir(parents=True, exist_ok=True)
    rows, bars = [], []
    for case in cases(options):
        say(f"{case.name}: {case.pairs:,} pairs")
        found = measure(case, folder, options)
        rows.append({
            "case": case.name, "pairs": case.pairs,
            **{key: value for key, value in found.items() if key not in ("asked", "samples")},
            "killed": ", ".join(f"{lines:,}" for lines in found["killed_at"]),
            "digest": found["sha256"]["resumed"][:12],
        })  # fmt: skip
        bars.append(Bar(f"{case.name}, killed and resumed: same bytes", float(found["same"]), 1))
        if "growth" in found:
            name = f"{case.name}: growth of memory over the second half, share of its mean"
            bars.append(Bar(name, found["growth"], CONSTANT, least=False))
    columns = {
        "case": "case", "pairs": "pairs", "seconds": "seconds", "rate": "pairs/s", "mean_mb": "memory (MB)",
        "peak_mb": "greatest (MB)", "slope": "MB per 100,000 pairs", "error": "standard error",
        "killed": "killed after", "same": "same bytes", "digest": "sha256",
    }  # fmt: skip
    texts = sorted(file.name for file in parallel_files()) or ["mini-ende"]
    settings = {"model": MODEL, "precision": options.precision, "texts": texts, "model_texts": MODEL_TEXT,
                "block": BLOCK, "kills": KILLS}  # fmt: skip
    notes = [
        "Memory is the resident memory of the undisturbed run (VmRSS, read from outside every second): its mean over "
        "the second half, its greatest value, and the slope of a line fitted to the second half. *Killed after*: lines "
        "that the journal held when the process was killed; it was started again with the same command. *Same bytes*: "
        "the sha256 of its output (of all shards and their list) is that of the undisturbed run, and it has one line "
        "for each pair."
    ]
    common.write_part(
        options.out, "streaming", "Files of any size", [Table(columns, rows)], bars, settings=settings, notes=notes,
        machine=machine, quick=options.quick,
    )  # fmt: skip
    if not options.keep:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
