"""Pairs a second, memory and AER of ``align-eval`` beside other aligners: same weights, same sentences, one run.

    python experiments/bench/aligners.py --out results/bench            # both sets in full
    python experiments/bench/aligners.py --out results/bench --quick    # 24 pairs of each, one round
    python experiments/bench/aligners.py --groups argmax,match          # some of the groups only

Words of ``enfr-wpt`` and ``zhen-tsinghua`` go in, a file of links comes out: tokenising, model, extraction and output
are in the time, loading is not. All systems live in one process and take turns; the order is reversed in every second
round. Peak memory is that of a process in which one system alone has loaded and aligned ``zhen-tsinghua`` once.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import common
import systems
from common import Bar, Table, alternate, say
from systems import LAYER, MODEL, QUICK, SETS, AwesomeAlign, Ours, SimAlign, TextSet

# Rounds: those that take minutes in the packages get one round less.
GROUPS = ("argmax", "itermax", "match", "softmax", "refined", "corpus")
SLOW = ("itermax", "match", "softmax")
# Every second pair in the group match: networkx needs a quarter of a second for each of the longer ones.
STEP = {"match": 2}
BARS = {
    "argmax": {"enfr-wpt": 4, "zhen-tsinghua": 4},
    "itermax": {"enfr-wpt": 4, "zhen-tsinghua": 4},
    "match": {"enfr-wpt": 8, "zhen-tsinghua": 18},
    "softmax": {"enfr-wpt": 2.5, "zhen-tsinghua": 2.5},
}
# What refined was asked for: against whom, by which of its two number types, and how many times as fast.
REFINED_BARS = (
    ("align-eval refined", "simalign argmax", 4.0),
    ("align-eval refined", "awesome-align softmax, workers=4", 2.0),
    ("align-eval refined, int16", "simalign argmax", 5.5),
)
# For both sets together: pairs of both by the time of both.
TOGETHER = {"argmax": 4, "itermax": 4, "softmax": 2.5}
PEERS = {"argmax": "simalign", "itermax": "simalign", "match": "simalign", "softmax": "awesome-align"}
# For memory: the system, its method, and how many pairs suffice (a system that holds one pair at a time needs few).
MEMORY = {
    "align-eval argmax": None,
    "simalign argmax": 100,
    "align-eval softmax": None,
    "align-eval refined": None,
    "awesome-align softmax": 200,
    "eflomal": None,
    "fast_align": None,
}
COLUMNS = {
    "set": "set", "pairs": "pairs", "method": "method", "system": "system", "pairs_s": "pairs/s",
    "subwords_s": "sub-words/s", "ratio": "align-eval is faster by", "aer": "AER %", "seconds": "median, s",
    "spread": "spread %",
}  # fmt: skip
MEMORY_COLUMNS = {"system": "system", "pairs": "pairs", "peak_mb": "peak, MB", "loaded_mb": "loaded, MB"}


def make(system: str, encoder: Any, folder: Path) -> Callable[[TextSet, Path], None]:
    """A system by its name."""
    name, _, method = system.partition(" ")
    if name == "simalign":
        return SimAlign(method, folder)
    if name == "awesome-align":
        return AwesomeAlign(folder, int(method.partition("workers=")[2] or 0))
    if name in ("eflomal", "fast_align"):
        return Ours(name)
    if method == "refined, int16":
        return Ours("refined", systems.load_encoder(precision="int16"))
    return Ours(method, encoder)


def members(group: str) -> list[str]:
    """The systems of a group; the package that is asked about first, so that a missing one is told at once."""
    if group == "softmax":
        wanted = {
            "awesome-align softmax, workers=0": "awesome_align",
            "awesome-align softmax, workers=4": "awesome_align",
        }
        return [*(name for name, package in wanted.items() if there(package)), "align-eval softmax"]
    if group == "refined":
        peer = ["awesome-align softmax, workers=4"] if there("awesome_align") else []
        return ["simalign argmax", *peer, "align-eval argmax", "align-eval refined, int16", "align-eval refined"]
    if group == "corpus":
        return [*(("eflomal", "fast_align") if there("thot") else ()), "align-eval argmax"]
    return [f"simalign {group}", f"align-eval {group}"]


def there(package: str) -> bool:
    """Whether a package is installed; if not, the run says so and goes on without it."""
    if systems.installed(package):
        return True
    say(f"the package {package} is not installed: left out (make bench installs it)")
    return False


def measure(group: str, text: TextSet, encoder: Any, folder: Path, work: Path, repeats: int) -> list[dict[str, Any]]:
    """One group on one set: a row for each system."""
    pairs = text.part(range(0, len(text.pairs), STEP.get(group, 1)))
    few = text.part(range(min(QUICK, len(text.pairs) // 4 + 1)))
    counts = encoder.tokenize([side for p in pairs.pairs for side in (p.source, p.target)]).lengths
    names = members(group)
    made = {name: make(name, encoder, folder) for name in names}
    outputs = {name: work / f"{group}-{text.name}-{name.replace(' ', '_').replace(',', '')}.talp" for name in names}
    for name in names:
        made[name](few, work / f"few-{outputs[name].name}")
    timings = alternate({name: _once(made[name], pairs, outputs[name]) for name in names}, repeats, warm=0)
    own = timings[names[-1]].median
    rows = []
    for name in names:
        seconds = timings[name].median
        rows.append(
            {
                "group": group,
                "set": text.name,
                "pairs": len(pairs.pairs),
                "method": name.partition(" ")[2] or "whole corpus",
                "system": name.partition(" ")[0],
                "pairs_s": len(pairs.pairs) / seconds,
                "subwords_s": round(float(counts.sum()) / seconds),
                "ratio": None if name == names[-1] else seconds / own,
                "aer": pairs.aer(outputs[name]),
                "seconds": seconds,
                "spread": 100 * timings[name].spread,
                "times": timings[name].times,
            }
        )
    return rows


def _once(system: Callable[[TextSet, Path], None], text: TextSet, output: Path) -> Callable[[], None]:
    return lambda: system(text, output)


# Of awesome-align, where nothing is said.
DEFAULT = "workers=4"


def bars(rows: list[dict[str, Any]]) -> list[Bar]:
    """What was asked for; awesome-align with the number of workers it has by default, and with its quicker one."""
    out = []
    for group, asked in BARS.items():
        for name, bar in asked.items():
            ratios = [r["ratio"] for r in rows if r["group"] == group and r["set"] == name and r["ratio"] is not None]
            if ratios:
                text = f"{group}, {name}: pairs/s against {PEERS[group]}"
                out.append(Bar(text, min(ratios), bar, unit="x"))
            usual = [r["ratio"] for r in rows if r["set"] == name and r["method"] == f"{group}, {DEFAULT}"]
            if usual:
                text = f"{group}, {name}: pairs/s against {PEERS[group]} as it comes ({DEFAULT})"
                out.append(Bar(text, usual[0], bar, unit="x"))
    for own, peer, bar in REFINED_BARS:
        for name in dict.fromkeys(r["set"] for r in rows):
            rates = {
                f"{r['system']} {r['method']}": r["pairs_s"]
                for r in rows
                if (r["group"], r["set"]) == ("refined", name)
            }
            if own in rates and peer in rates:
                out.append(Bar(f"{own}, {name}: pairs/s against {peer}", rates[own] / rates[peer], bar, unit="x"))
    for group, bar in TOGETHER.items():
        seconds: dict[str, list[float]] = {}
        for row in rows:
            if row["group"] == group:
                seconds.setdefault(f"{row['system']} {row['method']}", []).append(row["seconds"])
        own = sum(seconds.pop(f"align-eval {group}", []))
        if seconds:
            text = f"{group}, both sets together: pairs/s against {PEERS[group]}"
            out.append(Bar(text, min(map(sum, seconds.values())) / own, bar, unit="x"))
    return out


def memory_child(system: str, limit: int | None, threads: int) -> None:
    """Load one system, align once, say how much memory this process and its children had at most."""
    import torch

    torch.set_num_threads(threads)
    text = systems.load_set("zhen-tsinghua", limit)
    name = system.partition(" ")[0]
    encoder = systems.load_encoder() if name == "align-eval" else None
    folder = Path() if name in ("align-eval", "eflomal", "fast_align") else model_folder()
    made = make(system, encoder, folder)
    loaded = common.peak_memory_mb()
    with tempfile.TemporaryDirectory() as work:
        made(text, Path(work) / "links.talp")
    print(json.dumps({"loaded_mb": loaded, "peak_mb": common.peak_memory_mb(), "pairs": len(text.pairs)}))


def model_folder() -> Path:
    """The folder of the shared model in the cache."""
    from align_eval.models.offline import MODELS, PREFIX

    return Path(MODELS.get(MODEL.removeprefix(PREFIX)).path)


def memory(options: Any) -> list[dict[str, Any]]:
    """Peak memory of each system in a process of its own."""
    rows = []
    for system, limit in MEMORY.items():
        package = {"awesome-align": "awesome_align", "eflomal": "thot", "fast_align": "thot"}.get(system.split()[0])
        if not there(package or "torch"):
            continue
        few = systems.limit(options) or limit
        limits = ["--pairs", str(few)] if few else []
        found = common.child_json(
            __file__, "--child", system, "--threads", str(options.threads), "--out", str(options.out), *limits
        )
        say(f"  memory of {system}: {found['peak_mb']:.0f} MB")
        rows.append({"group": "memory", "system": system, **found})
    return rows


def main() -> None:
    """Measure and write."""
    parser = common.parser(__doc__, repeats=3)
    parser.add_argument("--groups", default=",".join(GROUPS), help="which groups to time; memory comes with all")
    parser.add_argument("--no-memory", action="store_true", help="leave out the memory")
    parser.add_argument("--keep", type=Path, help="keep the files of links in this folder")
    systems.add_pairs(parser)
    parser.add_argument("--child", help=argparse.SUPPRESS)
    options = common.parse(parser)
    if options.threads == 1:  # else left unset: set to true, it would hang the workers that awesome-align forks
        os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    if options.child:
        memory_child(options.child, options.pairs, options.threads)
        return
    import torch

    torch.set_num_threads(options.threads)
    machine = common.hardware(options.threads)
    work = options.keep or Path(tempfile.mkdtemp())
    work.mkdir(parents=True, exist_ok=True)
    say(f"loading {MODEL}")
    encoder = systems.load_encoder()
    texts = [systems.load_set(name, systems.limit(options)) for name in SETS]
    rows: list[dict[str, Any]] = []
    try:
        for group in options.groups.split(","):
            for text in texts:
                say(f"{group}, {text.name}")
                repeats = max(1, options.repeats - 1) if group in SLOW else options.repeats
                rows += measure(group, text, encoder, encoder.path or model_folder(), work, repeats)
    finally:
        if options.keep is None:
            shutil.rmtree(work, ignore_errors=True)
    used = [] if options.no_memory else memory(options)
    notes = [
        f"All systems on `{MODEL}`, layer {LAYER}, float32, {options.threads} threads, warm, by turns. Sub-words are "
        "those of the sentences, special ones and padding not counted. The ratio is between medians; the spread is "
        "(slowest - fastest) / median. `simalign` is asked for the method of the row alone. `awesome-align` runs its "
        "own batch loop (data set, loader with 0 or 4 workers, BERT, extraction, writer; batches of 32) on the same "
        "weights, which its BERT reads; its tokenizer cannot read this vocabulary, so the model's own takes its place. "
        "`eflomal` and `fast_align` (by `sil-thot`) train on nothing but the pairs of the row, both directions, "
        "symmetrised.",
    ]
    if used:
        notes.append(
            "Memory: greatest resident memory of a process with one system alone, with that of its child processes; "
            "`loaded` is what libraries and weights take before the first pair."
        )
    tables = [Table(COLUMNS, rows, "Speed")]
    if used:
        tables.append(Table(MEMORY_COLUMNS, used, "Memory"))
    common.write_part(
        options.out,
        "aligners",
        "Aligners side by side",
        tables,
        bars(rows),
        settings={"model": MODEL, "layer": LAYER, "repeats": options.repeats, "threads": options.threads},
        notes=notes,
        machine=machine,
        quick=options.quick,
    )


if __name__ == "__main__":
    sys.exit(main())
