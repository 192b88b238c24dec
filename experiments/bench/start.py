"""Cold starts: how long a command takes in a process of its own, from nothing to its end.

    python experiments/bench/start.py --out results/bench [--quick] [--imports]

Medians of child processes that are started in turns. ``align-eval score`` reads two files of 508 sentence pairs (the
gold of a published test set, and a perturbed copy) and makes 1000 resamples. With ``--imports``, or where a bar is
missed, the section also lists the modules that took longest to import (``python -X importtime``).
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import common
from common import Bar, Table, say
from scoring import lines_of_sets, write

PAIRS = 508
ENTRY = "from align_eval.cli import main; main()"
BARS = {"import align_eval": 0.1, "align-eval --help": 0.25, "align-eval score, 508 pairs": 0.4}
# Modules listed, and runs of which the least time of each module is taken.
SHOWN, IMPORT_RUNS = 15, 5


def commands(folder: Path) -> dict[str, list[str]]:
    """What is timed, by name: the words after ``python``."""
    from align_eval import AlignEvalError, load_testset

    rows, _ = lines_of_sets()
    material = write(folder, rows, PAIRS)
    based = ["--gold-base", "0", "--hyp-base", "0"]
    out = {
        "python alone": ["-c", "pass"],
        "import align_eval": ["-c", "import align_eval"],
        "align-eval --help": ["-c", ENTRY, "--help"],
        "align-eval score --help": ["-c", ENTRY, "score", "--help"],
        "align-eval score, 508 pairs": ["-c", ENTRY, "score", str(material.gold), str(material.links), *based],
    }
    try:
        sentences = len(load_testset("deen-rwth").gold)
    except AlignEvalError as error:
        say(f"the named test set is left out: {error}")
    else:
        links = folder / "named"
        links.write_text("".join("0-0\n" for _ in range(sentences)), encoding="utf-8")
        out["align-eval score deen-rwth, by name"] = ["-c", ENTRY, "score", "deen-rwth", str(links), "--hyp-base", "0"]
    return out


def imports(words: list[str]) -> list[dict[str, Any]]:
    """The modules that take longest to import: own and cumulative milliseconds, the least of several runs."""
    own: dict[str, float] = {}
    whole: dict[str, float] = {}
    for _ in range(IMPORT_RUNS):
        done = subprocess.run([sys.executable, "-X", "importtime", *words], capture_output=True, text=True, check=True)
        for line in done.stderr.splitlines():
            cells = line.removeprefix("import time:").split("|")
            if line.startswith("import time:") and cells[0].strip().isdecimal():
                name = cells[2].strip()
                own[name] = min(own.get(name, 1e9), int(cells[0]) / 1000)
                whole[name] = min(whole.get(name, 1e9), int(cells[1]) / 1000)
    slowest = sorted(own, key=lambda name: -own[name])[:SHOWN]
    return [{"module": name, "own_ms": own[name], "whole_ms": whole[name]} for name in slowest]


def main() -> None:
    made = common.parser(__doc__, repeats=11)
    made.add_argument("--imports", action="store_true", help="list the imports of every command")
    options = common.parse(made)
    machine = common.hardware()
    with tempfile.TemporaryDirectory() as temporary:
        todo = commands(Path(temporary))
        times: dict[str, list[float]] = {name: [] for name in todo}
        peaks: dict[str, float] = {}
        for number in range(options.repeats + 1):  # the first round fills the disk cache and does not count
            for name in list(todo) if number % 2 == 0 else list(todo)[::-1]:
                done = common.child([sys.executable, *todo[name]])
                peaks[name] = done.peak_mb
                if number:
                    times[name].append(done.seconds)
            say(f"round {number} of {options.repeats}")
        rows = [
            {
                "command": name, "seconds": statistics.median(seen), "least": min(seen), "most": max(seen),
                "peak_mb": peaks[name],
            }
            for name, seen in times.items()
        ]  # fmt: skip
        median = {row["command"]: row["seconds"] for row in rows}
        bars = [Bar(f"cold start of {name}", median[name], bar, least=False, unit=" s") for name, bar in BARS.items()]
        columns = {
            "command": "command", "seconds": "seconds (median)", "least": "least", "most": "most",
            "peak_mb": "peak memory (MB)",
        }  # fmt: skip
        tables = [Table(columns, rows)]
        for bar in bars:
            name = bar.name.removeprefix("cold start of ")
            if options.imports or not bar.met:
                say(f"imports of {name}")
                columns = {"module": "module", "own_ms": "own (ms)", "whole_ms": "with what it imports (ms)"}
                tables.append(Table(columns, imports(todo[name]), f"Slowest imports of {name}"))
    settings = {"runs": options.repeats, "pairs": PAIRS, "resamples": 1000}
    common.write_part(
        options.out, "start", "Cold start", tables, bars, settings=settings, machine=machine, quick=options.quick
    )


if __name__ == "__main__":
    main()
