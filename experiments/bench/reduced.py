"""Reduced forms of the encoder: how much faster they are than float32, and what they do to the AER of every test set.

    python experiments/bench/reduced.py --out results/bench           # every test set of this machine
    python experiments/bench/reduced.py --out results/bench --quick   # 24 pairs of each of the mini sets, one round
    python experiments/bench/reduced.py --sets deen-rwth,roen-wpt     # AER on these sets only

Every form that this machine can run is taken (``bf16`` needs a processor that multiplies bfloat16, two others the
package openvino too); those that it cannot are listed with the reason. The products of a block by themselves, in each
number type, say what a form can gain at most here. Speed: words of ``enfr-wpt`` and ``zhen-tsinghua`` in, a file of
links out, layer 7; float32, the forms and a peer (argmax: simalign, softmax: awesome-align) take turns in one process.
"""

from __future__ import annotations

import sys
import tempfile
import time
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import common
import systems
from common import Bar, Table, alternate, say
from systems import LAYER, MODEL, QUICK, AwesomeAlign, Ours, SimAlign, TextSet

FULL = "float32"
MINI = ("mini-ende", "mini-enes", "mini-enfr", "mini-enzh")
SPEED = {
    "set": "set", "method": "method", "form": "form", "pairs": "pairs", "pairs_s": "pairs/s",
    "subwords_s": "sub-words/s", "gain": "gain over float32", "over": "gain over the peer", "seconds": "median, s",
    "spread": "spread %",
}  # fmt: skip
PRODUCTS = {
    "product": "product", "float32": "float32, ms", "int16": "int16, ms", "int16_gain": "gain", "int8": "int8, ms",
    "int8_gain": "gain", "bfloat16": "bfloat16, ms", "bfloat16_gain": "gain",
}  # fmt: skip
ROWS, RUNS = 2048, 15
GAIN, AER_CHANGE = 2.0, 0.2
# The package that each method is compared with, and what is asked for.
PEERS = {"argmax": "simalign", "softmax": "awesome-align"}
GAIN_PEER = {"simalign": 8.0, "awesome-align": 2.5}


def main() -> None:
    made = common.parser(__doc__)
    made.add_argument("--sets", default="", help="test sets for AER, with commas; default: all of this machine")
    made.add_argument("--forms", default="", help="forms, with commas; default: all that work here")
    made.add_argument("--no-peers", action="store_true", help="leave out the packages simalign and awesome-align")
    made.add_argument("--no-speed", action="store_true", help="AER only")
    options = common.parse(made)
    import torch

    torch.set_num_threads(options.threads)
    machine = common.hardware(options.threads)
    encoders, absent = load_forms([name for name in options.forms.split(",") if name])
    speed = [] if options.no_speed else measure_speed(options, encoders)
    aer, agreement = measure_aer(options, encoders)
    forms = [name for name in encoders if name != FULL]
    columns = {"set": "set", "method": "method", "pairs": "pairs", FULL: "AER % float32"}
    columns |= {f"{form} {what}": f"{form} {what}" for form in forms for what in ("AER %", "change")}
    tables = [Table(SPEED, speed, "Speed")] if speed else []
    if not options.no_speed:
        tables.append(Table(PRODUCTS, products(encoders[FULL], 3 if options.quick else RUNS), "Products of one block"))
    tables += [Table(columns, aer, "AER")]
    same = [{"form": form, **{m: f"{share:.2f}" for m, share in agreement[form].items()}} for form in forms]
    columns = {"form": "form", **{method: f"links of {method} as in float32, %" for method in PEERS}}
    tables += [Table(columns, same, "Links that stay")]
    settings = {"model": MODEL, "layer": LAYER, "methods": PEERS, "repeats": options.repeats, "not run": absent}
    notes = [f"{name} was left out: {reason}" for name, reason in absent.items()]
    common.write_part(
        options.out, "reduced", "Reduced forms of the encoder", tables, bars(speed, aer, forms), settings=settings,
        notes=[
            *notes,
            "AER % at layer 7; the change is that of the form minus float32, in points. Links that stay: "
            "twice the links that both have, divided by the links of either, over all sets.",
            f"Products of one block: those of block {LAYER} for {ROWS:,} sub-words on one thread, least time of {RUNS} "
            "runs, in turns; float32 is torch's. int16 and int8 are those of the forms of these names, inputs made "
            "from float32 and float32 out; bfloat16 is from bfloat16 to bfloat16. The last row is their sum: what a "
            "form would gain if a block were products alone.",
        ],
        machine=machine, quick=options.quick,
    )  # fmt: skip


def load_forms(asked: Sequence[str]) -> tuple[dict[str, Any], dict[str, str]]:
    """The encoder in float32 and in each form that works here; for the others the reason."""
    from align_eval.errors import ModelError
    from align_eval.models import load_model
    from align_eval.models.reduced import PRECISIONS

    encoders: dict[str, Any] = {FULL: load_model(MODEL)}
    absent: dict[str, str] = {}
    for name in asked or PRECISIONS.names():
        start = time.perf_counter()
        try:
            encoders[name] = load_model(MODEL, precision=name)
        except ModelError as error:
            absent[name] = str(error)
            say(f"{name}: left out, {error}")
        else:
            say(f"{name}: loaded in {time.perf_counter() - start:.1f} s")
    return encoders, absent


def measure_speed(options: Namespace, encoders: dict[str, Any]) -> list[dict[str, Any]]:
    """The forms, float32 and the peer of each method in turns, on each of the two sets."""
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


def products(encoder: Any, runs: int) -> list[dict[str, Any]]:
    """Milliseconds of each product of one block in each number type on one thread, and of all of them."""
    import torch

    from align_eval.models.reduced.blocks import read_blocks
    from align_eval.models.reduced.int8 import PRODUCTS as NAMES
    from align_eval.models.reduced.int8 import Int8Linear
    from align_eval.models.reduced.int16 import Int16Product

    say(f"products of block {LAYER}")
    block = read_blocks(encoder)[LAYER - 1]
    rows: list[dict[str, Any]] = []
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with torch.inference_mode():
            for name in NAMES:
                full = getattr(block, name)
                outputs, inputs = full.weight.shape
                x = torch.randn(ROWS, inputs, generator=torch.Generator().manual_seed(1))
                calls: dict[str, tuple[Any, Any]] = {
                    "float32": (full, x),
                    "int8": (Int8Linear(full, x.abs().amax(dim=0)), x),
                    "bfloat16": (full.to(torch.bfloat16), x.bfloat16()),
                }
                if Int16Product.works():
                    calls["int16"] = (Int16Product(full), x)
                shape = f"{name}: ({ROWS:,} x {inputs:,}) ({inputs:,} x {outputs:,})"
                rows.append({"product": shape, **_least(calls, runs)})
    finally:
        torch.set_num_threads(threads)
    kinds = [kind for kind in rows[0] if kind != "product"]
    rows.append({"product": "all", **{kind: sum(row[kind] for row in rows) for kind in kinds}})
    for row in rows:
        row |= {f"{kind}_gain": row["float32"] / row[kind] for kind in kinds if kind != "float32"}
    return rows


def _least(calls: dict[str, tuple[Any, Any]], runs: int) -> dict[str, float]:
    """Least milliseconds of each call on what it is given; they take turns, the first turn is not counted."""
    times: dict[str, list[float]] = {kind: [] for kind in calls}
    for _ in range(runs + 1):
        for kind, (call, given) in calls.items():
            start = time.perf_counter()
            call(given)
            times[kind].append(1000 * (time.perf_counter() - start))
    return {kind: min(found[1:]) for kind, found in times.items()}


def _call(run: Any, text: TextSet, output: Path) -> Any:
    return lambda: run(text, output)


def measure_aer(
    options: Namespace, encoders: dict[str, Any]
) -> tuple[list[dict[str, Any]], dict[str, dict[str, float]]]:
    """AER of every set in every form by each method, and the share of links that are those of float32."""
    from align_eval.aligners import AlignerSettings, make_aligner
    from align_eval.link_table import LinkTable
    from align_eval.scoring import score

    methods = tuple(PEERS)
    aligners = {n: make_aligner(AlignerSettings(e, methods, (LAYER,))) for n, e in encoders.items()}
    both = {method: dict.fromkeys(encoders, 0) for method in methods}
    links = {method: dict.fromkeys(encoders, 0) for method in methods}
    rows = []
    for name in chosen_sets(options):
        text = systems.load_set(name, QUICK if options.quick else None)
        found = {
            form: dict(zip(methods, aligner.align_all(text.pairs).values(), strict=True))
            for form, aligner in aligners.items()
        }
        for method in methods:
            row: dict[str, Any] = {"set": name, "method": method, "pairs": len(text.pairs)}
            full = [set(one) for one in found[FULL][method]]
            for form in aligners:
                aer = score(text.gold, LinkTable.from_links(found[form][method]), resamples=0).aer
                if form == FULL:
                    row[FULL] = aer
                else:
                    row |= {f"{form} AER %": aer, f"{form} change": round(aer - row[FULL], 3)}
                sets = [set(one) for one in found[form][method]]
                both[method][form] += sum(2 * len(a & b) for a, b in zip(full, sets, strict=True))
                links[method][form] += sum(len(a) + len(b) for a, b in zip(full, sets, strict=True))
            rows.append(row)
            say("  ".join(f"{key} {common.number(value)}" for key, value in row.items()))
    agreement = {
        form: {method: 100 * both[method][form] / max(1, links[method][form]) for method in methods}
        for form in encoders
    }
    return rows, agreement


def chosen_sets(options: Namespace) -> list[str]:
    """The test sets whose files are on this machine."""
    from align_eval.corpora.testsets import locate_testset, testset_names

    if options.sets:
        return [name for name in options.sets.split(",") if name]
    return list(MINI) if options.quick else [name for name in testset_names() if locate_testset(name) is not None]


def bars(speed: list[dict[str, Any]], aer: list[dict[str, Any]], forms: Sequence[str]) -> list[Bar]:
    """The change of AER of each form by any method, and the gain of the fastest of those that keep within it."""
    worst = {form: max(abs(float(row[f"{form} change"])) for row in aer) for form in forms}
    sets = len({row["set"] for row in aer})
    out = [
        Bar(
            f"{form}: greatest change of AER over {sets} sets, {' and '.join(PEERS)}", worst[form], AER_CHANGE,
            least=False, unit=" points",
        )
        for form in forms
    ]  # fmt: skip
    kept = [form for form in forms if worst[form] <= AER_CHANGE]
    for method, peer in PEERS.items():
        rows = [row for row in speed if row["method"] == method]
        groups = {name: [row for row in rows if row["set"] == name] for name in dict.fromkeys(r["set"] for r in rows)}
        if len(groups) > 1:
            groups["both sets together"] = rows  # pairs of both by the time of both
        for name, members in groups.items():
            seconds = {row["form"]: 0.0 for row in members}
            for row in members:
                seconds[row["form"]] += row["seconds"]
            best = min((form for form in kept if form in seconds), key=seconds.__getitem__, default=None)
            if best is None:
                continue
            if method == "argmax":
                out.append(
                    Bar(f"{method}, {name}: {best} against float32", seconds[FULL] / seconds[best], GAIN, unit="x")
                )
            if peer in seconds:
                out.append(
                    Bar(
                        f"{method}, {name}: {best} against {peer}",
                        seconds[peer] / seconds[best],
                        GAIN_PEER[peer],
                        unit="x",
                    )
                )
    return out


if __name__ == "__main__":
    sys.exit(main())
