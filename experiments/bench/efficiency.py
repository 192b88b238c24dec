"""How much of the machine's best matrix-product rate the encoder reaches, and what other ways to compute it give.

    python experiments/bench/efficiency.py --out results/bench [--quick] [--no-compile]

Efficiency is the floating-point work that the sub-words need (special ones counted, padding and repeated sentences not)
up to layer 7, divided by the time, as a share of the greatest fp32 rate of a matrix product measured in the same run,
by torch, by numpy, which brings another library (OpenBLAS), or by the compiled functions that the encoder uses:
``2 x (4 d^2 + 2 d f)`` for the products with weights of one sub-word in one block (width d, inner width f), and
``4 d T^2`` for the scores and the weighted sums of the attention of a sentence of T sub-words. Norms, softmax, GELU,
embeddings, the similarity and the extraction count as no work.
"""

from __future__ import annotations

import functools
import shutil
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import common
import systems
from common import Bar, Table, alternate, say
from forms import STEP, forms
from systems import LAYER, MODEL, QUICK, SETS, Ours
from work import tokenized, work, work_of_systems

LEAST = 70.0
# Seconds for a product of one library at least.
LONG = 0.4
SPEED = {
    "set": "set", "what": "what is timed", "gflop": "work, GFLOP", "seconds": "median, s", "pairs_s": "pairs/s",
    "subwords_s": "sub-words/s", "gflops": "GFLOP/s", "efficiency": "efficiency %", "spread": "spread %",
}  # fmt: skip
FORMS = {
    "form": "encoder", "threads": "threads", "budget": "sub-words at one time", "seconds": "median, s",
    "gflops": "GFLOP/s", "efficiency": "efficiency %", "spread": "spread %", "note": "",
}  # fmt: skip
WORK = {"set": "set", "system": "system", "gflop": "work, GFLOP", "times": "times what is needed"}
RATES = {
    "product": "matrix product, fp32", "torch": "torch, best GFLOP/s", "numpy": "numpy, best GFLOP/s",
    "compiled": "compiled, best GFLOP/s",
}  # fmt: skip


def rates(shapes: Sequence[tuple[int, int, int]], runs: int) -> dict[tuple[str, str], float]:
    """The best rate of each product ``(m, k) x (k, n)`` in GFLOP/s, by product and library.

    A weight is read as linear layers read it; numpy takes its own number of threads, one for each core; the compiled
    functions have a part of the rows for each thread, and the weight packed.
    """
    import numpy as np
    import torch

    from align_eval.models.cpu.compiled import Floats, multiply
    from align_eval.models.cpu.fused import functions
    from align_eval.models.cpu.unpadded import started

    out = {}
    compiled, threads = functions(), torch.get_num_threads()
    pool = started(threads)
    for m, k, n in shapes:
        left, weight = torch.randn(m, k), torch.randn(n, k)
        rows, columns, found = left.numpy(), weight.numpy().T, np.empty((m, n), dtype=np.float32)
        products: dict[str, Any] = {
            "torch": functools.partial(torch.nn.functional.linear, left, weight),
            "numpy": functools.partial(np.matmul, rows, columns, out=found),
        }
        if compiled is not None:
            call = functools.partial(multiply, Floats(), Floats().pack(weight), compiled=compiled)
            products["compiled"] = functools.partial(_all, pool, call, left.chunk(threads))
        for library, product in products.items():
            best = float("inf")
            with torch.inference_mode():
                begin, done = time.perf_counter(), 0
                # For so long besides that threads of the library before, which wait for work in a loop, have given up.
                while done <= runs or time.perf_counter() - begin < LONG:
                    start = time.perf_counter()
                    product()
                    best = min(best, time.perf_counter() - start)
                    done += 1
            out[f"({m:,} x {k:,}) ({k:,} x {n:,})", library] = 2e-9 * m * k * n / best
    return out


def _all(pool: ThreadPoolExecutor, call: Any, parts: Sequence[Any]) -> None:
    list(pool.map(call, parts))


def speed(encoder: Any, limit: int | None, repeats: int) -> list[dict[str, Any]]:
    """Tokenising, the encoder alone and the whole path on each set."""
    rows = []
    ours = Ours("argmax", encoder)
    folder = Path(tempfile.mkdtemp())
    try:
        for name in SETS:
            text = systems.load_set(name, limit)
            ids = tokenized(encoder, text.pairs)
            needed = work(encoder, ids)
            few = text.part(range(min(QUICK, len(text.pairs) // 4 + 1)))
            ours(few, folder / "few.talp")
            say(f"efficiency, {name}")
            timings = alternate(
                {
                    "tokenising": functools.partial(tokenized, encoder, text.pairs),
                    "encoder alone": functools.partial(encoder.encode, ids, [LAYER]),
                    "whole path, argmax": functools.partial(ours, text, folder / "links.talp"),
                },
                repeats,
                warm=0,
            )
            for what, timing in timings.items():
                counted = what != "tokenising"
                rows.append(
                    {
                        "set": name,
                        "what": what,
                        "gflop": needed if counted else None,
                        "seconds": timing.median,
                        "pairs_s": len(text.pairs) / timing.median,
                        "subwords_s": round(sum(map(len, ids)) / timing.median),
                        "gflops": needed / timing.median if counted else None,
                        "spread": 100 * timing.spread,
                        "times": timing.times,
                    }
                )
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return rows


def main() -> None:
    """Measure and write."""
    parser = common.parser(__doc__, repeats=3)
    parser.add_argument("--no-compile", action="store_true", help="leave out torch.compile")
    systems.add_pairs(parser)
    options = common.parse(parser)
    import torch

    torch.set_num_threads(options.threads)
    machine = common.hardware(options.threads)
    say(f"loading {MODEL}")
    encoder = systems.load_encoder()
    if encoder._packed is None:
        raise SystemExit(f"{MODEL} is not encoded end to end here: the comparison has nothing to compare")
    config = encoder.model.config
    d, f = config.hidden_size, config.intermediate_size
    squares = (512, 1024) if options.quick else (512, 1024, 2048, 4096)
    shapes = [(n, n, n) for n in squares]
    shapes += [(m, *kn) for m in (512, 2048, 8192) for kn in ((d, d), (d, f), (f, d))]
    runs = 2 if options.quick else 8
    best = rates(shapes, runs)
    say(f"best matrix product: {max(best.values()):.0f} GFLOP/s")
    rows = speed(encoder, systems.limit(options), options.repeats)
    between = rates(shapes, runs)
    other = forms(encoder, options)
    for again in (between, rates(shapes, runs)):
        best = {shape: max(rate, again[shape]) for shape, rate in best.items()}
    top = max(best.values())
    for row in rows + other:
        row["efficiency"] = None if row.get("gflops") is None else 100 * row["gflops"] / top
    bars = [
        Bar(f"efficiency, {row['what']}, {row['set']}", row["efficiency"], LEAST, unit=" %")
        for row in rows
        if row["efficiency"] is not None
    ]
    products: dict[str, dict[str, Any]] = {}
    for (shape, library), rate in best.items():
        products.setdefault(shape, {"product": shape})[library] = rate
    each: dict[str, float] = {}
    for (_, library), rate in best.items():
        each[library] = max(rate, each.get(library, 0.0))
    notes = [
        f"`{MODEL}` up to layer {LAYER}, float32. Work: the products and the attention that the distinct sentences "
        "need, special sub-words counted, padding not; norms, softmax, GELU, similarity and extraction count as none. "
        f"100 % is the best matrix product of the last table, {top:.0f} GFLOP/s ("
        + ", ".join(f"{library} {rate:.0f}" for library, rate in each.items())
        + "), measured before, between and after. "
        f"The forms of the second table were timed by turns on every {STEP}th pair of both sets. The third table says "
        "what padding, repeated sentences and unused layers add for others: at the same rate they are slower by that "
        "factor.",
    ]
    common.write_part(
        options.out,
        "efficiency",
        "Efficiency of the encoder",
        [
            Table(SPEED, rows, "Share of the best rate"),
            Table(FORMS, other, "Forms"),
            Table(WORK, work_of_systems(encoder, systems.limit(options)), "Work"),
            Table(RATES, list(products.values()), "Rates"),
        ],
        bars,
        settings={"model": MODEL, "layer": LAYER, "repeats": options.repeats, "threads": options.threads},
        notes=notes,
        machine=machine,
        quick=options.quick,
    )


if __name__ == "__main__":
    sys.exit(main())
