"""How much of the machine's best matrix-product rate the encoder reaches, and what other ways to compute it give.

    python experiments/bench/efficiency.py --out results/bench [--quick] [--no-compile]

Efficiency is the floating-point work that the sub-words need (special ones counted, padding and repeated sentences not)
up to layer 7, divided by the time, as a share of the greatest fp32 rate of a matrix product measured in the same run:
``2 x (4 d^2 + 2 d f)`` for the products with weights of one sub-word in one block (width d, inner width f), and
``4 d T^2`` for the scores and the weighted sums of the attention of a sentence of T sub-words. Norms, softmax, GELU,
embeddings, the similarity and the extraction count as no work.
"""

from __future__ import annotations

import functools
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import common
import systems
from common import Bar, Table, alternate, say
from systems import LAYER, MODEL, QUICK, SETS, Ours

BUDGETS = (1024, 2048, 4096, 8192)
# The forms are compared on every sixth pair of both sets.
STEP = 6
LEAST = 70.0
SPEED = {
    "set": "set", "what": "what is timed", "gflop": "work, GFLOP", "seconds": "median, s", "pairs_s": "pairs/s",
    "subwords_s": "sub-words/s", "gflops": "GFLOP/s", "efficiency": "efficiency %", "spread": "spread %",
}  # fmt: skip
FORMS = {
    "form": "encoder", "threads": "threads", "budget": "sub-words at one time", "seconds": "median, s",
    "gflops": "GFLOP/s", "efficiency": "efficiency %", "spread": "spread %", "note": "",
}  # fmt: skip
WORK = {"set": "set", "system": "system", "gflop": "work, GFLOP", "times": "times what is needed"}
RATES = {"product": "matrix product, fp32", "gflops": "best GFLOP/s"}


def work(encoder: Any, ids: Sequence[Any]) -> float:
    """The work in GFLOP that the distinct sentences among ``ids`` need up to the layer used."""
    around = len(encoder.prefix) + len(encoder.suffix)
    lengths = [len(sentence) + around for sentence in {bytes(s): s for s in ids}.values()]
    return gflop(encoder, sum(lengths), sum(length**2 for length in lengths))


def gflop(encoder: Any, rows: float, squares: float, layers: int = LAYER) -> float:
    """Work in GFLOP: ``rows`` sub-words, and ``squares`` cells of attention maps, in each of the layers."""
    config = encoder.model.config
    width, inner = config.hidden_size, config.intermediate_size
    return 1e-9 * layers * (2 * (4 * width**2 + 2 * width * inner) * rows + 4 * width * squares)


def work_of_systems(encoder: Any, limit: int | None) -> list[dict[str, Any]]:
    """What each system has the model compute on each set: padding, repeated sentences and unused layers included."""
    rows = []
    around = len(encoder.prefix) + len(encoder.suffix)
    for name in SETS:
        text = systems.load_set(name, limit)
        needed = work(encoder, tokenized(encoder, text.pairs))
        sides = [
            [len(ids) + around for ids in encoder.tokenize([getattr(pair, side) for pair in text.pairs]).ids]
            for side in ("source", "target")
        ]
        batched = [side[k : k + 32] for side in sides for k in range(0, len(side), 32)]
        paired = [list(pair) for pair in zip(*sides, strict=True)]
        for system, batches, layers in (
            ("what the sub-words need", None, LAYER),
            ("awesome-align: batches of 32 as they come", batched, LAYER),
            ("simalign: pair by pair, all layers", paired, encoder.layers),
        ):
            done = needed
            if batches is not None:
                sizes = [(len(batch), max(batch)) for batch in batches]
                done = gflop(encoder, sum(n * t for n, t in sizes), sum(n * t * t for n, t in sizes), layers)
            rows.append({"set": name, "system": system, "gflop": done, "times": done / needed})
    return rows


def rates(shapes: Sequence[tuple[int, int, int]], runs: int) -> dict[str, float]:
    """The best rate of each product ``(m, k) x (k, n)`` in GFLOP/s; a weight is read as linear layers read it."""
    import torch

    out = {}
    for m, k, n in shapes:
        left, weight = torch.randn(m, k), torch.randn(n, k)
        best = float("inf")
        with torch.inference_mode():
            for _ in range(runs + 1):
                start = time.perf_counter()
                torch.nn.functional.linear(left, weight)
                best = min(best, time.perf_counter() - start)
        out[f"({m:,} x {k:,}) ({k:,} x {n:,})"] = 2e-9 * m * k * n / best
    return out


@contextmanager
def padded(encoder: Any, attention: str = "sdpa") -> Iterator[None]:
    """Inside, the encoder pads sentences of like length to one batch and calls the model of ``transformers``."""
    packed, encoder._packed = encoder._packed, None
    before = encoder.model.config._attn_implementation
    encoder.model.set_attn_implementation(attention)
    try:
        yield
    finally:
        encoder._packed = packed
        encoder.model.set_attn_implementation(before)


@contextmanager
def one_at_a_time() -> Iterator[None]:
    """Inside, batches follow one another, each on all threads."""
    from align_eval.models import encoder as module

    before, module.MOST = module.MOST, 1
    try:
        yield
    finally:
        module.MOST = before


def encode_one_at_a_time(encoder: Any, ids: Sequence[Any], budget: int) -> None:
    """Encode batch by batch, each on all threads."""
    with one_at_a_time():
        encoder.encode(ids, [LAYER], token_budget=budget)


def encode_padded(encoder: Any, ids: Sequence[Any], attention: str) -> None:
    """Encode in padded batches of 2,048 sub-words."""
    with padded(encoder, attention):
        encoder.encode(ids, [LAYER])


def encode_with_threads(encoder: Any, ids: Sequence[Any], threads: int) -> None:
    """Encode with another number of threads."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        encoder.encode(ids, [LAYER])
    finally:
        torch.set_num_threads(before)


class Processes:
    """Processes with one thread each that have loaded the model and encode their share whenever they are told to."""

    def __init__(self, count: int, out: Path, pairs: int | None) -> None:
        words = [
            sys.executable,
            __file__,
            "--threads",
            "1",
            "--out",
            str(out),
            *(["--pairs", str(pairs)] if pairs else []),
        ]
        self.running = [
            subprocess.Popen([*words, "--share", f"{k}/{count}"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
            for k in range(count)
        ]
        self._wait()

    def _wait(self) -> None:
        for process in self.running:
            assert process.stdout is not None
            if not process.stdout.readline():
                raise SystemExit(f"a process of the comparison ended with {process.wait()}")

    def __call__(self) -> None:
        """All encode their share at the same time."""
        for process in self.running:
            assert process.stdin is not None
            process.stdin.write(b"go\n")
            process.stdin.flush()
        self._wait()

    def close(self) -> None:
        """End them."""
        for process in self.running:
            process.communicate()


def share(part: str, pairs: int | None) -> None:
    """What a process of :class:`Processes` does: one line out when ready, and after each line in."""
    import torch

    torch.set_num_threads(1)
    number, count = map(int, part.split("/"))
    encoder = systems.load_encoder()
    ids = sample(encoder, pairs)
    lengths = sorted(range(len(ids)), key=lambda k: -len(ids[k]))
    mine = [ids[k] for k in lengths[number::count]]  # shares of like work
    encoder.encode(mine[:8], [LAYER])
    print("ready", flush=True)
    for _ in sys.stdin:
        encoder.encode(mine, [LAYER])
        print("done", flush=True)


def sample(encoder: Any, pairs: int | None) -> list[Any]:
    """The sentences on which forms are compared, as ids."""
    texts = [systems.load_set(name, pairs) for name in SETS]
    return [ids for text in texts for ids in tokenized(encoder, text.pairs[::STEP])]


def tokenized(encoder: Any, pairs: Sequence[Any]) -> list[Any]:
    """The ids of both sides of each pair."""
    found: list[Any] = encoder.tokenize([side for pair in pairs for side in (pair.source, pair.target)]).ids
    return found


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


def forms(encoder: Any, options: Any) -> list[dict[str, Any]]:
    """The encoder alone in other forms, by turns, on a sample of both sets."""
    ids = sample(encoder, systems.limit(options))
    needed = work(encoder, ids)
    made: dict[str, tuple[dict[str, Any], Callable[[], Any]]] = {}
    for budget in BUDGETS:
        facts = {"form": "end to end, no padding", "threads": options.threads, "budget": budget}
        made[f"end to end, {budget}"] = facts, functools.partial(encoder.encode, ids, [LAYER], token_budget=budget)
    if options.threads > 1:
        for facts in (made[f"end to end, {budget}"][0] for budget in BUDGETS):
            facts["note"] = "batches side by side, a thread for each"
        for budget in (1024, 2048):
            facts = {"form": "end to end, no padding", "threads": options.threads, "budget": budget}
            facts["note"] = "one batch at a time, all threads for it"
            made[f"one at a time, {budget}"] = facts, functools.partial(encode_one_at_a_time, encoder, ids, budget)
    for attention in ("sdpa", "eager"):
        facts = {"form": f"padded batches, {attention}", "threads": options.threads, "budget": 2048}
        made[f"padded, {attention}"] = facts, functools.partial(encode_padded, encoder, ids, attention)
    if options.threads > 1:
        facts = {"form": "end to end, no padding", "threads": 1, "budget": 2048}
        made["one thread"] = facts, functools.partial(encode_with_threads, encoder, ids, 1)
    processes = Processes(options.threads, options.out, systems.limit(options)) if options.threads > 1 else None
    if processes is not None:
        facts = {"form": f"{options.threads} processes", "threads": 1, "budget": 2048}
        facts["note"] = "the sentences are dealt out among them"
        made["processes"] = facts, processes
    say("forms of the encoder")
    try:
        timings = alternate({name: run for name, (_, run) in made.items()}, options.repeats, warm=0)
    finally:
        if processes is not None:
            processes.close()
    rows = [{**facts, **timed(timings[name], needed)} for name, (facts, _) in made.items()]
    rows.append(nested(encoder, ids, needed, options))
    if not options.no_compile:
        rows.append(compiled(encoder, ids, needed, options))
    return rows


def nested(encoder: Any, ids: Sequence[Any], needed: float, options: Any) -> dict[str, Any]:
    """The attention of all sentences of a batch in one call on nested tensors (jagged), in place of one by length."""
    import torch
    from torch.nn.functional import scaled_dot_product_attention

    heads = encoder.heads

    def mix(projected: Sequence[torch.Tensor], shapes: Sequence[tuple[int, ...]]) -> torch.Tensor:
        lengths = torch.tensor([length for count, length in shapes for _ in range(count)])
        offsets = torch.nn.functional.pad(lengths.cumsum(0), (1, 0))
        parts = [
            torch.nested.nested_tensor_from_jagged(p.unflatten(1, (heads, -1)), offsets).transpose(1, 2)
            for p in projected
        ]
        return scaled_dot_product_attention(*parts).transpose(1, 2).values().flatten(1)

    facts = {"form": "end to end, nested tensors", "threads": options.threads, "budget": 2048}
    say("nested tensors")
    expected = encoder.encode(ids[:8], [LAYER])
    try:
        encoder._packed.mix = mix
        found = encoder.encode(ids[:8], [LAYER])
        worst = max(float((a - b).abs().max()) for a, b in zip(found, expected, strict=True))
        if worst > 1e-4:
            return {**facts, "note": f"does not work here: its vectors differ by {worst:.2g}"}
        timing = alternate({"nested": functools.partial(encoder.encode, ids, [LAYER])}, options.repeats)["nested"]
    except Exception as error:  # whatever they lack here is the result
        return {**facts, "note": f"does not work here: {type(error).__name__}: {str(error).splitlines()[0][:80]}"}
    finally:
        encoder._packed.__dict__.pop("mix", None)
    return {**facts, **timed(timing, needed), "note": ""}


def timed(timing: Any, needed: float) -> dict[str, Any]:
    """The columns of a form that was timed."""
    return {
        "seconds": timing.median,
        "gflops": needed / timing.median,
        "spread": 100 * timing.spread,
        "times": timing.times,
    }


def compiled(encoder: Any, ids: Sequence[Any], needed: float, options: Any) -> dict[str, Any]:
    """What follows the attention in each block through ``torch.compile``, with the number of sub-words left open."""
    import torch

    facts = {"form": "end to end, torch.compile", "threads": options.threads, "budget": 2048}
    say("torch.compile")
    try:
        encoder._packed.rest = torch.compile(encoder._packed.rest, dynamic=True)
        start = time.perf_counter()
        encoder.encode(ids, [LAYER])
        first = time.perf_counter() - start
        timing = alternate({"compiled": functools.partial(encoder.encode, ids, [LAYER])}, options.repeats, warm=0)
        graphs = torch._dynamo.utils.counters["stats"]["unique_graphs"]
    except Exception as error:  # whatever the compiler lacks here (a C++ compiler, mostly) is the result
        return {**facts, "note": f"does not work here: {type(error).__name__}: {str(error).splitlines()[0][:80]}"}
    finally:
        encoder._packed.__dict__.pop("rest", None)
    return {
        **facts,
        **timed(timing["compiled"], needed),
        "note": f"{first:.0f} s for the first pass; {graphs} graphs",
    }


def main() -> None:
    """Measure and write."""
    parser = common.parser(__doc__, repeats=3)
    parser.add_argument("--no-compile", action="store_true", help="leave out torch.compile")
    systems.add_pairs(parser)
    parser.add_argument("--share", help="(what the processes of the comparison are started with)")
    options = common.parse(parser)
    if options.share:
        share(options.share, options.pairs)
        return
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
    products = [{"product": shape, "gflops": rate} for shape, rate in best.items()]
    notes = [
        f"`{MODEL}` up to layer {LAYER}, float32. Work: the products and the attention that the distinct sentences "
        "need, special sub-words counted, padding not; norms, softmax, GELU, similarity and extraction count as none. "
        f"100 % is the best matrix product of the last table, {top:.0f} GFLOP/s, measured before, between and after. "
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
            Table(RATES, products, "Rates"),
        ],
        bars,
        settings={"model": MODEL, "layer": LAYER, "repeats": options.repeats, "threads": options.threads},
        notes=notes,
        machine=machine,
        quick=options.quick,
    )


if __name__ == "__main__":
    sys.exit(main())
