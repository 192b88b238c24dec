"""``make test-reliability``: mutated input for every reader, kills of every writing command, and the resume matrix.

Two processes share the work. Prints every failure, and writes the figures to ``results/reliability/figures.md``
(``--out``). A reader may read what it gets, and then writes it and reads it again, or raise an ``AlignEvalError``. A
command that is killed and run again gives the bytes of a run that was not, and leaves no other file.
"""

from __future__ import annotations

import argparse
import collections
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))

Found = Any
"""Counts by name, and what was wrong."""


def _table(head: list[str], rows: list[list[str]]) -> list[str]:
    return ["| " + " | ".join(cells) + " |" for cells in (head, ["---"] * len(head), *rows)]


def figures(
    command: str, read: Found, killed: Found, resumed: tuple[list[tuple[str, str, str]], list[str]]
) -> list[str]:
    """The page of figures, a text a line."""
    kinds = ("read", "typed error", "wrong")
    rows = [
        [name, *(f"{n:,}" for n in (sum(counts.values()), *(counts[kind] for kind in kinds)))]
        for name, counts in sorted(read[0].items())
    ]
    total = sum((counts for counts in read[0].values()), collections.Counter())
    rows.append(["all", *(f"{n:,}" for n in (sum(total.values()), *(total[kind] for kind in kinds)))])
    lines = ["# What was tried", "", f"Made by `{command}`.", "", "## Mutated input", ""]
    lines += [
        "Read: also written and read again where the package writes the format, with the same result. Links of lines:",
        "the compiled, the numpy and the careful parser read the same, or raise the same error.",
        "",
    ]
    lines += _table(["reader", "inputs", *kinds], rows)
    signals = ("SIGKILL", "SIGTERM", "SIGHUP")
    rows = [[name, *(str(counts[kind]) for kind in signals)] for name, counts in sorted(killed[0].items())]
    total = sum((counts for counts in killed[0].values()), collections.Counter())
    rows.append(["all", *(str(total[kind]) for kind in signals)])
    lines += ["", "## Kills", "", "Each run was killed at a random moment and run again.", ""]
    lines += _table(["command", *signals], rows)
    lines += [
        "",
        "## Hostile surroundings",
        "",
        "Each command; exit codes and how often each came.",
        "",
    ]
    lines += _table(["what", "exit codes"], [list(row) for row in sorted(killed[2].items())])
    if resumed[0]:
        lines += ["", "## Changes between a run and its resumption", ""]
        lines += _table(["writer", "changed", "outcome"], [list(row) for row in resumed[0]])
    lines += [
        "",
        f"Untyped errors, other content after writing and reading, parsers that differ: {len(read[1])} kinds.",
    ]
    lines += [
        f"Other bytes than those of a whole run, files left, tracebacks, other exit codes: {len(killed[1])}.",
        f"Mixed runs: {len(resumed[1])}.",
        "",
    ]
    return lines


def _part(which: str, arguments: argparse.Namespace, into: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, __file__, "--part", which, "--into", str(into)]
    for name in ("inputs", "kills", "seconds", "seed"):
        command += [f"--{name}", str(getattr(arguments, name))]
    return subprocess.Popen(command, env={**os.environ, "OMP_NUM_THREADS": "1"}, cwd=ROOT)


def main() -> int:
    """Try, print, write the figures; 1 if anything failed."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--inputs", type=int, default=110_000, help="Mutated inputs.")
    options.add_argument("--kills", type=int, default=120, help="Commands killed.")
    options.add_argument("--seconds", type=float, default=540, help="Time of each of the two processes at most.")
    options.add_argument("--seed", type=int, default=1)
    options.add_argument("--out", type=Path, default=ROOT / "results" / "reliability")
    options.add_argument("--part", choices=("readers", "kills"), help=argparse.SUPPRESS)
    options.add_argument("--into", type=Path, help=argparse.SUPPRESS)
    asked = options.parse_args()
    if asked.part == "readers":
        from tests.reliability_readers import read_mutated

        asked.into.write_text(json.dumps(read_mutated(asked.inputs, asked.seed, asked.seconds)), encoding="utf-8")
        return 0
    if asked.part == "kills":
        from tests.reliability_kills import kill
        from tests.reliability_resume import resume_matrix

        end = time.monotonic() + asked.seconds
        killed = kill(asked.kills, asked.seed, asked.seconds * 0.6)
        with tempfile.TemporaryDirectory() as place:
            matrix = resume_matrix(Path(place))
        sys.stderr.write(f"{end - time.monotonic():.0f} s of the time for kills and resumption were not needed\n")
        asked.into.write_text(json.dumps([killed, matrix]), encoding="utf-8")
        return 0
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as place:
        parts = {name: Path(place, name) for name in ("readers", "kills")}
        running = [_part(name, asked, into) for name, into in parts.items()]
        codes = [process.wait() for process in running]
        if any(codes):
            return 1
        read = json.loads(parts["readers"].read_text("utf-8"))
        killed, matrix = json.loads(parts["kills"].read_text("utf-8"))
    for found in (read, killed):
        found[0] = {name: collections.Counter(counts) for name, counts in found[0].items()}
    command = f"python tests/reliability.py --inputs {asked.inputs} --kills {asked.kills}"
    command += f" --seconds {asked.seconds:g} --seed {asked.seed}"
    lines = figures(command, tuple(read), tuple(killed), tuple(matrix))
    asked.out.mkdir(parents=True, exist_ok=True)
    (asked.out / "figures.md").write_text("\n".join(lines), encoding="utf-8")
    wrong = [*read[1], *killed[1], *matrix[1]]
    few = (*(sum(sum(counts.values()) for counts in found[0].values()) for found in (read, killed)),)
    if few[0] < asked.inputs * 0.99 or few[1] < asked.kills:
        wrong.append(f"{few[0]:,} inputs and {few[1]} kills in {time.monotonic() - began:.0f} s: fewer than asked for")
    sys.stdout.write("\n".join([*lines, *wrong, ""]))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
