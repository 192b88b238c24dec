"""Reduced forms of the encoder: how much faster they are than float32, and what they do to the AER of every test set.

    python experiments/bench/reduced.py --out results/bench           # every test set of this machine
    python experiments/bench/reduced.py --out results/bench --quick   # 24 pairs of each of the mini sets, one round
    python experiments/bench/reduced.py --sets deen-rwth,roen-wpt     # AER on these sets only

Every form that this machine can run is taken (``bf16`` needs a processor that multiplies bfloat16, two others the
package openvino too); those that it cannot are listed with the reason. The products of a block by themselves, in each
number type, say what a form can gain at most here. Speed: words of ``enfr-wpt`` and ``zhen-tsinghua`` in, a file of
links out, layer 7, argmax; float32, simalign and the forms take turns in one process.
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
from systems import LAYER, MODEL, QUICK, Ours, SimAlign, TextSet

FULL = "float32"
MINI = ("mini-ende", "mini-enes", "mini-enfr", "mini-enzh")
SPEED = {
    "set": "set", "form": "form", "pairs": "pairs", "pairs_s": "pairs/s", "subwords_s": "sub-words/s",
    "gain": "gain over float32", "simalign": "gain over simalign", "seconds": "median, s", "spread": "spread %",
}  # fmt: skip
PRODUCTS = {
    "product": "product", "float32": "float32, ms", "int8": "int8, ms", "int8_gain": "gain",
    "bfloat16": "bfloat16, ms", "bfloat16_gain": "gain",
}  # fmt: skip
ROWS, RUNS = 2048, 15
GAIN, GAIN_SIMALIGN, AER_CHANGE = 2.0, 8.0, 0.2


def main() -> None:
    made = common.parser(__doc__)
    made.add_argument("--sets", default="", help="test sets for AER, with commas; default: all of this machine")
    made.add_argument("--forms", default="", help="forms, with commas; default: all that work here")
    made.add_argument("--no-simalign", action="store_true", help="leave out the package simalign")
    made.add_argument("--no-speed", action="store_true", help="AER only")
    options = common.parse(made)
    import torch

    torch.set_num_threads(options.threads)
    machine = common.hardware(options.threads)
    encoders, absent = load_forms([name for name in options.forms.split(",") if name])
    speed = [] if options.no_speed else measure_speed(options, encoders)
    aer, agreement = measure_aer(options, encoders)
    forms = [name for name in encoders if name != FULL]
    columns = {"set": "set", "pairs": "pairs", FULL: "AER % float32"}
    columns |= {f"{form} {what}": f"{form} {what}" for form in forms for what in ("AER %", "change")}
    tables = [Table(SPEED, speed, "Speed")] if speed else []
    if not options.no_speed:
        tables.append(Table(PRODUCTS, products(encoders[FULL], 3 if options.quick else RUNS), "Products of one block"))
    tables += [Table(columns, aer, "AER")]
    same = [{"form": form, "links": f"{agreement[form]:.2f}"} for form in forms]
    tables += [Table({"form": "form", "links": "links as in float32, %"}, same, "Links that stay")]
    settings = {"model": MODEL, "layer": LAYER, "method": "argmax", "repeats": options.repeats, "not run": absent}
    notes = [f"{name} was left out: {reason}" for name, reason in absent.items()]
    common.write_part(
        options.out, "reduced", "Reduced forms of the encoder", tables, bars(speed, aer, forms), settings=settings,
        notes=[
            *notes,
            "AER % at layer 7 with argmax; the change is that of the form minus float32, in points. Links that stay: "
            "twice the links that both have, divided by the links of either, over all sets.",
            f"Products of one block: those of block {LAYER} for {ROWS:,} sub-words, least time of {RUNS} runs. int8 is "
            "that of the form of this name, 8-bit inputs made from float32 and float32 out; bfloat16 is from bfloat16 "
            "to bfloat16. The last row is their sum: what a form would gain if a block were products alone.",
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
    """The forms, float32 and simalign in turns, on each of the two sets."""
    rows = []
    names = MINI[:1] if options.quick else systems.SETS
    folder = Path(tempfile.mkdtemp(prefix="align-eval-bench-"))
    runs: dict[str, Any] = {name: Ours("argmax", encoder) for name, encoder in encoders.items()}
    if not options.no_simalign:
        runs["simalign"] = SimAlign("argmax", encoders[FULL].path)
    for name in names:
        text = systems.load_set(name, QUICK if options.quick else None)
        sizes = encoders[FULL].tokenize([side for pair in text.pairs for side in (pair.source, pair.target)]).ids
        subwords = sum(map(len, sizes))
        say(f"speed on {name}: {len(text.pairs)} pairs")
        calls = {form: _call(run, text, folder / "links.talp") for form, run in runs.items()}
        times = alternate(calls, options.repeats)
        for form, timing in times.items():
            seconds = timing.median
            peer = times.get("simalign")
            rows.append(
                {
                    "set": name, "form": form, "pairs": len(text.pairs), "pairs_s": len(text.pairs) / seconds,
                    "subwords_s": subwords / seconds, "gain": times[FULL].median / seconds,
                    "simalign": peer.median / seconds if peer else None, "seconds": seconds,
                    "spread": 100 * timing.spread,
                }
            )  # fmt: skip
    return rows


def products(encoder: Any, runs: int) -> list[dict[str, Any]]:
    """Milliseconds of each product of one block in each number type, and of all of them."""
    import torch

    from align_eval.models.reduced.blocks import read_blocks
    from align_eval.models.reduced.int8 import PRODUCTS as NAMES
    from align_eval.models.reduced.int8 import Int8Linear

    def least(call: Any, given: Any) -> float:
        times = []
        for _ in range(runs + 1):
            start = time.perf_counter()
            call(given)
            times.append(time.perf_counter() - start)
        return 1000 * min(times[1:])

    block = read_blocks(encoder)[LAYER - 1]
    rows: list[dict[str, Any]] = []
    say(f"products of block {LAYER}")
    with torch.inference_mode():
        for name in NAMES:
            full = getattr(block, name)
            x = torch.randn(ROWS, full.weight.shape[1], generator=torch.Generator().manual_seed(1))
            eight, half = Int8Linear(full, x.abs().amax(dim=0)), full.to(torch.bfloat16)
            shape = (
                f"{name}: ({ROWS:,} x {full.weight.shape[1]:,}) ({full.weight.shape[1]:,} x {full.weight.shape[0]:,})"
            )
            rows.append(
                {
                    "product": shape, "float32": least(full, x), "int8": least(eight, x),
                    "bfloat16": least(half, x.bfloat16()),
                }
            )  # fmt: skip
    rows.append(
        {"product": "all", **{kind: sum(row[kind] for row in rows) for kind in ("float32", "int8", "bfloat16")}}
    )
    for row in rows:
        row |= {f"{kind}_gain": row["float32"] / row[kind] for kind in ("int8", "bfloat16")}
    return rows


def _call(run: Any, text: TextSet, output: Path) -> Any:
    return lambda: run(text, output)


def measure_aer(options: Namespace, encoders: dict[str, Any]) -> tuple[list[dict[str, Any]], dict[str, float]]:
    """AER of every set in every form, and the share of links that are those of float32."""
    from align_eval.aligners import AlignerSettings, make_aligner
    from align_eval.link_table import LinkTable
    from align_eval.scoring import score

    aligners = {n: make_aligner(AlignerSettings(e, ("argmax",), (LAYER,))) for n, e in encoders.items()}
    both = dict.fromkeys(encoders, 0)
    links = dict.fromkeys(encoders, 0)
    rows = []
    for name in chosen_sets(options):
        text = systems.load_set(name, QUICK if options.quick else None)
        row: dict[str, Any] = {"set": name, "pairs": len(text.pairs)}
        full: list[set[tuple[int, int]]] = []
        for form, aligner in aligners.items():
            (found,) = aligner.align_all(text.pairs).values()
            aer = score(text.gold, LinkTable.from_links(found), resamples=0).aer
            sets = [set(one) for one in found]
            if form == FULL:
                full, row[FULL] = sets, aer
            else:
                row |= {f"{form} AER %": aer, f"{form} change": round(aer - row[FULL], 3)}
            both[form] += sum(2 * len(a & b) for a, b in zip(full, sets, strict=True))
            links[form] += sum(len(a) + len(b) for a, b in zip(full, sets, strict=True))
        rows.append(row)
        say("  ".join(f"{key} {common.number(value)}" for key, value in row.items()))
    return rows, {form: 100 * both[form] / max(1, links[form]) for form in encoders}


def chosen_sets(options: Namespace) -> list[str]:
    """The test sets whose files are on this machine."""
    from align_eval.corpora.testsets import locate_testset, testset_names

    if options.sets:
        return [name for name in options.sets.split(",") if name]
    return list(MINI) if options.quick else [name for name in testset_names() if locate_testset(name) is not None]


def bars(speed: list[dict[str, Any]], aer: list[dict[str, Any]], forms: Sequence[str]) -> list[Bar]:
    """The change of AER of each form, and the gain of the fastest of those that keep within it."""
    worst = {form: max(abs(float(row[f"{form} change"])) for row in aer) for form in forms}
    out = [
        Bar(
            f"{form}: greatest change of AER over {len(aer)} sets", worst[form], AER_CHANGE, least=False, unit=" points"
        )
        for form in forms
    ]
    kept = [form for form in forms if worst[form] <= AER_CHANGE]
    for name in dict.fromkeys(row["set"] for row in speed):
        found = [row for row in speed if row["set"] == name and row["form"] in kept]
        if found:
            best = max(found, key=lambda row: row["gain"])
            out.append(Bar(f"{name}: {best['form']} against float32", best["gain"], GAIN, unit="x"))
            if best["simalign"] is not None:
                out.append(Bar(f"{name}: {best['form']} against simalign", best["simalign"], GAIN_SIMALIGN, unit="x"))
    return out


if __name__ == "__main__":
    sys.exit(main())
