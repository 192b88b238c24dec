"""Other forms of the encoder, timed by turns: budgets, padding, threads, processes, nested tensors, ``torch.compile``.

A module of ``efficiency.py``, which measures and writes. By itself it is a process of the comparison.
"""

from __future__ import annotations

import functools
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import systems
from common import alternate, say
from systems import LAYER, SETS
from work import tokenized, work

BUDGETS = (1024, 2048, 4096, 8192)
# The forms are compared on every sixth pair of both sets.
STEP = 6


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


@contextmanager
def by_torch(encoder: Any) -> Iterator[None]:
    """Inside, blocks are computed by torch alone, nothing by compiled functions."""
    packed = encoder._packed
    before, packed.fused = packed.fused, None
    try:
        yield
    finally:
        packed.fused = before


def encode_by_torch(encoder: Any, ids: Sequence[Any], budget: int) -> None:
    """Encode by torch alone."""
    with by_torch(encoder):
        encoder.encode(ids, [LAYER], token_budget=budget)


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

    def __init__(self, count: int, pairs: int | None) -> None:
        limit = [] if pairs is None else [str(pairs)]
        self.running = [
            subprocess.Popen(
                [sys.executable, __file__, f"{k}/{count}", *limit], stdin=subprocess.PIPE, stdout=subprocess.PIPE
            )
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
        facts = {"form": "end to end, torch alone", "threads": options.threads, "budget": 2048}
        facts["note"] = "batches side by side, a thread for each; nothing compiled"
        made["torch alone"] = facts, functools.partial(encode_by_torch, encoder, ids, 2048)
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
    processes = Processes(options.threads, systems.limit(options)) if options.threads > 1 else None
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
        with by_torch(encoder):
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
        with by_torch(encoder):
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


if __name__ == "__main__":
    share(sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else None)
