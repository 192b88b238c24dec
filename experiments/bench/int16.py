"""Products in 16-bit integers (``--precision int16``): how much faster they are than float32, and the AER of every set.

    python experiments/bench/int16.py --out results/bench           # every test set of this machine
    python experiments/bench/int16.py --out results/bench --quick   # 24 pairs of each of the mini sets, one round
    python experiments/bench/int16.py --sets deen-rwth,roen-wpt     # AER on these sets only

The products of a block by themselves say what can be gained at most here. Speed: words of ``enfr-wpt`` and
``zhen-tsinghua`` in, a file of links out, layer 7; float32, int16 and a peer (argmax: simalign, softmax: awesome-align)
take turns in one process.
"""

from __future__ import annotations

import sys
import tempfile
import time
from argparse import Namespace
from collections.abc import Callable
from pathlib import Path
from typing import Any

import common
import systems
from common import Bar, Table, alternate, say
from systems import LAYER, MODEL, QUICK, AwesomeAlign, Ours, SimAlign, TextSet

FULL, FORM = "float32", "int16"
MINI = ("mini-ende", "mini-enes", "mini-enfr", "mini-enzh")
SPEED = {
    "set": "set", "method": "method", "form": "form", "pairs": "pairs", "pairs_s": "pairs/s",
    "subwords_s": "sub-words/s", "gain": "gain over float32", "over": "gain over the peer", "seconds": "median, s",
    "spread": "spread %",
}  # fmt: skip
PRODUCTS = {
    "product": "product", "float32": "float32, ms", "int16": "int16, ms", "int16_gain": "gain",
}  # fmt: skip
AER = {
    "set": "set", "method": "method", "pairs": "pairs", FULL: "AER % float32", "int16 AER %": "int16 AER %",
    "int16 change": "int16 change",
}  # fmt: skip
ROWS, RUNS = 2048, 15
GAIN, AER_CHANGE = 2.0, 0.2
# The package that each method is compared with, and what is asked for.
PEERS = {"argmax": "simalign", "softmax": "awesome-align"}
GAIN_PEER = {"simalign": 8.0, "awesome-align": 2.5}


def main() -> None:
    made = common.parser(__doc__)
    made.add_argument("--sets", default="", help="test sets for AER, with commas; default: all of this machine")
    made.add_argument("--no-peers", action="store_true", help="leave out the packages simalign and awesome-align")
    made.add_argument("--no-speed", action="store_true", help="AER only")
    options = common.parse(made)
    import torch

    torch.set_num_threads(options.threads)
    machine = common.hardware(options.threads)
    from align_eval import load_model

    encoders = {FULL: load_model(MODEL), FORM: load_model(MODEL, precision=FORM)}
    speed = [] if options.no_speed else measure_speed(options, encoders)
    products = [] if options.no_speed else measure_products(encoders[FULL], 3 if options.quick else RUNS)
    aer, same = measure_aer(options, encoders)
    write(options, speed, products, aer, same, machine)


def write(
    options: Namespace, speed: list[dict[str, Any]], products: list[dict[str, Any]], aer: list[dict[str, Any]],
    same: dict[str, Any], machine: dict[str, Any],
) -> None:  # fmt: skip
    """Write what was measured: rows of the four tables, and the machine."""
    links = {"form": "form", **{method: f"links of {method} as in float32, %" for method in PEERS}}
    tables = [
        Table(SPEED, speed, "Speed"), Table(PRODUCTS, products, "Products of one block"), Table(AER, aer, "AER"),
        Table(links, [same], "Links that stay"),
    ]  # fmt: skip
    common.write_part(
        options.out, "int16", "Products in 16-bit integers", [table for table in tables if table.rows],
        bars(speed, aer),
        settings={"model": MODEL, "layer": LAYER, "methods": PEERS, "repeats": options.repeats},
        notes=[
            "AER % at layer 7; the change is that of int16 minus float32, in points. Links that stay: "
            "twice the links that both have, divided by the links of either, over all sets.",
            f"Products of one block: those of block {LAYER} for {ROWS:,} sub-words on one thread, least time of {RUNS} "
            "runs, in turns; float32 is torch's. Inputs of int16 are made from float32, and float32 comes out. The "
            "last row is their sum: what int16 would gain if a block were products alone.",
        ],
        machine=machine, quick=options.quick,
    )  # fmt: skip


def measure_speed(options: Namespace, encoders: dict[str, Any]) -> list[dict[str, Any]]:
    """int16, float32 and the peer of each method in turns, on each of the two sets."""
    rows: list[dict[str, Any]] = []
    names = MINI[:1] if options.quick else systems.SETS
    folder = Path(tempfile.mkdtemp(prefix="align-eval-bench-"))
    for method, peer in PEERS.items():
        runs: dict[str, Any] = {name: Ours(method, encoder) for name, encoder in encoders.items()}
        if not options.no_peers and systems.installed(peer.replace("-", "_")):
            path = encoders[FULL].path
            runs[peer] = SimAlign(method, path) if peer == "simalign" else AwesomeAlign(path, 0)
        for name in names:
            text = systems.load_set(name, QUICK if options.quick else None)
            sizes = encoders[FULL].tokenize([side for pair in text.pairs for side in (pair.source, pair.target)]).ids
            subwords = sum(map(len, sizes))
            say(f"{method} on {name}: {len(text.pairs)} pairs")
            calls = {form: _call(run, text, folder / f"{name}.talp") for form, run in runs.items()}
            times = alternate(calls, options.repeats)
            for form, timing in times.items():
                seconds = timing.median
                rows.append(
                    {
                        "set": name, "method": method, "form": form, "pairs": len(text.pairs),
                        "pairs_s": len(text.pairs) / seconds, "subwords_s": subwords / seconds,
                        "gain": times[FULL].median / seconds,
                        "over": times[peer].median / seconds if peer in times else None, "seconds": seconds,
                        "spread": 100 * timing.spread,
                    }
                )  # fmt: skip
    return rows


def measure_products(encoder: Any, runs: int) -> list[dict[str, Any]]:
    """Milliseconds of each product of one block in both number types on one thread, and of all of them."""
    import torch

    from align_eval.models.cpu.compiled import multiply
    from align_eval.models.cpu.fused import functions
    from align_eval.models.cpu.int16 import Integers, pack

    say(f"products of block {LAYER}")
    block, compiled = encoder.model.encoder.layer[LAYER - 1], functions()
    own = block.attention.self
    weights = {
        "qkv": torch.cat([own.query.weight, own.key.weight, own.value.weight]).detach(),
        "out": block.attention.output.dense.weight.detach(),
        "up": block.intermediate.dense.weight.detach(),
        "down": block.output.dense.weight.detach(),
    }
    rows: list[dict[str, Any]] = []
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with torch.inference_mode():
            for name, weight in weights.items():
                outputs, inputs = weight.shape
                x, bias = torch.randn(ROWS, inputs, generator=torch.Generator().manual_seed(1)), torch.ones(outputs)
                packed = pack(weight)
                calls = {
                    "float32": lambda x=x, w=weight, b=bias: torch.nn.functional.linear(x, w, b),
                    "int16": lambda x=x, p=packed, b=bias: multiply(Integers(), p, x, compiled).add_(b),
                }
                shape = f"{name}: ({ROWS:,} x {inputs:,}) ({inputs:,} x {outputs:,})"
                rows.append({"product": shape, **_least(calls, runs)})
    finally:
        torch.set_num_threads(threads)
    rows.append({"product": "all", **{kind: sum(row[kind] for row in rows) for kind in (FULL, FORM)}})
    return [{**row, "int16_gain": row[FULL] / row[FORM]} for row in rows]


def _least(calls: dict[str, Callable[[], Any]], runs: int) -> dict[str, float]:
    """Least milliseconds of each call; they take turns, the first turn is not counted."""
    times: dict[str, list[float]] = {kind: [] for kind in calls}
    for _ in range(runs + 1):
        for kind, call in calls.items():
            start = time.perf_counter()
            call()
            times[kind].append(1000 * (time.perf_counter() - start))
    return {kind: min(found[1:]) for kind, found in times.items()}


def _call(run: Any, text: TextSet, output: Path) -> Any:
    return lambda: run(text, output)


def measure_aer(options: Namespace, encoders: dict[str, Any]) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """AER of every set in both number types by each method, and the share of links that are those of float32."""
    from align_eval import LinkTable, score
    from align_eval.aligners import AlignerSettings, make_aligner

    methods = tuple(PEERS)
    aligners = {n: make_aligner(AlignerSettings(e, methods, (LAYER,))) for n, e in encoders.items()}
    both, links = dict.fromkeys(methods, 0), dict.fromkeys(methods, 0)
    rows = []
    for name in chosen_sets(options):
        text = systems.load_set(name, QUICK if options.quick else None)
        found = {
            form: dict(zip(methods, aligner.align_all(text.pairs).values(), strict=True))
            for form, aligner in aligners.items()
        }
        for method in methods:
            aer = {
                form: score(text.gold, LinkTable.from_links(found[form][method]), resamples=0).aer for form in aligners
            }
            rows.append(
                {
                    "set": name, "method": method, "pairs": len(text.pairs), FULL: aer[FULL], "int16 AER %": aer[FORM],
                    "int16 change": round(aer[FORM] - aer[FULL], 3),
                }
            )  # fmt: skip
            for a, b in zip(*([set(one) for one in found[form][method]] for form in (FULL, FORM)), strict=True):
                both[method] += 2 * len(a & b)
                links[method] += len(a) + len(b)
            say("  ".join(f"{key} {common.number(value)}" for key, value in rows[-1].items()))
    same = {method: f"{100 * both[method] / max(1, links[method]):.2f}" for method in methods}
    return rows, {"form": FORM, **same}


def chosen_sets(options: Namespace) -> list[str]:
    """The test sets whose files are on this machine."""
    from align_eval import testset_names
    from align_eval.corpora.testsets import locate_testset

    if options.sets:
        return [name for name in options.sets.split(",") if name]
    return list(MINI) if options.quick else [name for name in testset_names() if locate_testset(name) is not None]


def bars(speed: list[dict[str, Any]], aer: list[dict[str, Any]]) -> list[Bar]:
    """The greatest change of AER by any method, and the gain over float32 and over the peers."""
    sets = len({row["set"] for row in aer})
    out = [
        Bar(
            f"int16: greatest change of AER over {sets} sets, {' and '.join(PEERS)}",
            max(abs(float(row["int16 change"])) for row in aer), AER_CHANGE, least=False, unit=" points",
        )
    ]  # fmt: skip
    for method, peer in PEERS.items():
        rows = [row for row in speed if row["method"] == method]
        groups = {name: [row for row in rows if row["set"] == name] for name in dict.fromkeys(r["set"] for r in rows)}
        if len(groups) > 1:
            groups["both sets together"] = rows  # pairs of both by the time of both
        for name, members in groups.items():
            seconds = {row["form"]: 0.0 for row in members}
            for row in members:
                seconds[row["form"]] += row["seconds"]
            if method == "argmax":
                gain = seconds[FULL] / seconds[FORM]
                out.append(Bar(f"{method}, {name}: int16 against float32", gain, GAIN, unit="x"))
            if peer in seconds:
                gain = seconds[peer] / seconds[FORM]
                out.append(Bar(f"{method}, {name}: int16 against {peer}", gain, GAIN_PEER[peer], unit="x"))
    return out


if __name__ == "__main__":
    sys.exit(main())
