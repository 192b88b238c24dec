"""Hidden states of sentences laid end to end: no padding is computed, whatever their lengths are.

Batches are computed in parallel, each on a thread of its own, where one batch on all threads would leave them waiting.
"""

from __future__ import annotations

import ctypes
import os
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import lru_cache
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import torch
from torch.nn.functional import scaled_dot_product_attention

from align_eval.errors import InputError, UnknownNameError
from align_eval.models.adapters import adapter_of
from align_eval.models.cpu.compiled import CompiledBlocks, Floats, Modules
from align_eval.models.cpu.fused import FusedBlocks

if TYPE_CHECKING:
    from align_eval.models.vectors import HiddenStates

T = TypeVar("T")
R = TypeVar("R")

#: Sub-words below which a batch is not divided any further: smaller matrices are multiplied at a lower rate.
LEAST_SHARE = 512
#: Batches in parallel at most; with more cores each batch has several threads.
MOST = 16
#: In the environment: ``torch`` or ``compiled``, whatever the processor; see :func:`by_compiled`.
VARIABLE = "ALIGN_EVAL_PRODUCTS"
CHOICES = ("auto", "torch", "compiled")
# Held while torch's number of threads is another, where it cannot be set for one thread alone.
_setting = threading.Lock()


class PackedStates:
    """The hidden states of a BERT-like encoder on a CPU, for sentences that lie one after the other.

    Everything but the attention works on one sub-word at a time, so it is computed for all sub-words of a batch in one
    matrix of products; only the attention goes sentence by sentence, those of one length together. The modules are the
    model's own. Made by :meth:`of`.

    On one thread, as batches in parallel are computed, blocks go through :mod:`align_eval.models.cpu.compiled` or
    :mod:`align_eval.models.cpu.fused`, whichever is quicker here (:func:`by_compiled`).
    """

    def __init__(self, states: HiddenStates) -> None:
        self.model = states.model
        blocks: Any = states.blocks
        self.blocks = blocks
        self.heads = int(states.model.config.num_attention_heads)
        self.gelu = getattr(states.model.config, "hidden_act", None) == "gelu"
        self.fused = _one_thread(list(blocks), self.heads) if self.gelu else None
        self.modules = Modules(states.model)

    @classmethod
    def of(cls, states: HiddenStates) -> PackedStates | None:
        """The packed form of a model; ``None``: it is no model of that kind, or it computes something else."""
        config = states.model.config
        if states.blocks is None or not adapter_of(config).bert_blocks or getattr(config, "is_decoder", False):
            return None
        if next(states.model.parameters()).device.type != "cpu":
            return None
        try:
            made = cls(states)
            return made if made._agrees(states) else None
        except (AttributeError, RuntimeError, TypeError):
            return None

    def __call__(self, runs: Sequence[torch.Tensor], layers: Sequence[int]) -> torch.Tensor:
        """The states of ``layers`` (0: embeddings, ``k``: output of block ``k``) in the order asked for.

        Args:
            runs: ids ``(B, T)`` of sentences of one length, special sub-words included; several such lengths.

        Returns:
            ``(len(layers), sum of B x T, width)``: the sub-words of the first run sentence by sentence, and so on.
        """
        x, shapes = embedded(self.model, runs), [tuple(ids.shape) for ids in runs]
        if self.fused is not None and torch.get_num_threads() == 1 and x.dtype == torch.float32:
            return stacked(self.fused(x, shapes, layers))
        taken = {0: x}
        for number, block in enumerate(self.blocks[: max(layers)], start=1):
            own = block.attention.self
            x = self.rest(block, self.mix([layer(x) for layer in (own.query, own.key, own.value)], shapes), x)
            if number in layers:
                taken[number] = x
        return stacked([taken[layer] for layer in layers])

    def current(self) -> bool:
        """Whether the model still is the one that was looked at; weights that were changed are read again."""
        if isinstance(self.fused, CompiledBlocks):
            self.fused.refresh()
        return not self.modules.changed()

    def mix(self, projected: Sequence[torch.Tensor], shapes: Sequence[tuple[int, ...]]) -> torch.Tensor:
        """The attention's weighted sums, heads side by side, ``(N, width)``, sentences of one length together.

        ``projected`` are queries, keys and values, each ``(N, width)``; ``shapes`` sentences and their length, by run.
        """
        mixed = torch.empty_like(projected[0])
        start = 0
        for sentences, length in shapes:
            end = start + sentences * length
            parts = [p[start:end].view(sentences, length, self.heads, -1).transpose(1, 2) for p in projected]
            found = scaled_dot_product_attention(*parts)  # (B, heads, T, width / heads)
            mixed[start:end].view(sentences, length, self.heads, -1).copy_(found.transpose(1, 2))
            start = end
        return mixed

    def rest(self, block: Any, mixed: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        """What follows the attention's sums ``mixed`` in a block with the input ``x``, ``(N, width)`` both."""
        x = block.attention.output.LayerNorm(block.attention.output.dense(mixed).add_(x))
        inner = block.intermediate.dense(x)
        inner = torch.ops.aten.gelu_(inner) if self.gelu else block.intermediate.intermediate_act_fn(inner)
        out: torch.Tensor = block.output.LayerNorm(block.output.dense(inner).add_(x))
        return out

    def _agrees(self, states: HiddenStates) -> bool:
        """Whether sentences of different length get the states that the model gives to each of them by itself."""
        size, layers = int(self.model.config.vocab_size), range(states.layers + 1)
        runs = [torch.arange(5, 5 + b * n, device="cpu").remainder(size).reshape(b, n) for b, n in ((2, 4), (1, 3))]
        near = 0.1 if next(self.model.parameters()).dtype in (torch.float16, torch.bfloat16) else 1e-4
        with torch.inference_mode():
            alone = torch.cat([torch.stack(states(ids, None, layers)).flatten(1, 2) for ids in runs], dim=1)
            if self.fused is not None:
                found = stacked(self.fused(embedded(self.model, runs), [tuple(ids.shape) for ids in runs], layers))
                if not bool((found - alone).abs().max() <= near):
                    self.fused = None
                elif isinstance(self.fused, CompiledBlocks):
                    self.fused.forget()  # perhaps not all blocks will be asked for
            kept, self.fused = self.fused, None
            found, self.fused = self(runs, layers), kept
        return bool((found - alone).abs().max() <= near)


def embedded(model: Any, runs: Sequence[torch.Tensor]) -> torch.Tensor:
    """The embeddings ``(N, width)`` of runs of ids, one sentence after the other."""
    return torch.cat([model.embeddings(input_ids=ids).flatten(0, 1) for ids in runs])


def stacked(states: Sequence[torch.Tensor]) -> torch.Tensor:
    """``(layers, N, width)``; one layer is not copied."""
    return torch.stack([*states]) if len(states) > 1 else states[0][None]


def _one_thread(blocks: Sequence[Any], heads: int) -> CompiledBlocks | FusedBlocks | None:
    """The blocks by compiled functions, as is quicker here; ``None`` where nothing is compiled or shapes do not fit."""
    compiled = CompiledBlocks.of(blocks, heads, Floats()) if by_compiled() else None
    return compiled or FusedBlocks.of(blocks, heads)


def by_compiled() -> bool:
    """Whether blocks in float32 are computed by the compiled functions alone, where there are any.

    On processors whose widest instructions are AVX2 they are quicker than with torch (results/bench/efficiency.md,
    Forms); wider ones the compiled functions do not use. The rule goes by the processor, not by a measurement at run
    time: the same machine computes the same numbers in every run.
    """
    asked = os.environ.get(VARIABLE) or "auto"
    if asked not in CHOICES:
        raise UnknownNameError(f"choice in {VARIABLE}", asked, CHOICES)
    return asked == "compiled" if asked != "auto" else torch.backends.cpu.get_cpu_capability() == "AVX2"


def pack(lengths: Sequence[int], budget: int) -> list[list[int]]:
    """Sentences in batches of at most ``budget`` sub-words, longest first; equal lengths stay together in order.

    ``lengths`` are sub-words, special ones counted. A sentence longer than the budget is a batch of its own.

    >>> pack([3, 9, 4, 4], 11)
    [[1], [2, 3, 0]]
    """
    if budget < 1:
        raise InputError(f"the token budget is {budget}", remedy="Give a positive number of sub-words")
    batches: list[list[int]] = []
    held = 0
    for k in sorted(range(len(lengths)), key=lambda k: -lengths[k]):
        if not batches or held + lengths[k] > budget:
            batches.append([])
            held = 0
        batches[-1].append(k)
        held += lengths[k]
    return batches


def runs_of(batch: Sequence[int], lengths: Sequence[int]) -> list[list[int]]:
    """The sentences of a batch of :func:`pack`, those of one length together."""
    return [list(run) for _, run in groupby(batch, key=lambda k: lengths[k])]


def share_of(total: int, longest: int, budget: int, workers: int) -> int:
    """Sub-words in a batch when ``workers`` batches are computed at the same time.

    The budget is divided among the workers, though not below :data:`LEAST_SHARE`; then the number of batches is made a
    multiple of that of the workers, so that none of them waits while the last batch is computed. What fits one batch
    is one. ``total`` are the sub-words of all sentences, ``longest`` those of the longest.

    >>> share_of(3000, 20, 2048, 2)  # three batches of 1,024 would leave one worker without work at the end
    770
    """
    share = max(min(budget, LEAST_SHARE), budget // workers)
    if total <= share:
        return share
    rounds = -(-total // (share * workers))
    return min(share, -(-total // (rounds * workers)) + longest)


def in_order(work: Callable[[T], R], items: Sequence[T], workers: int) -> Iterator[R]:
    """``work`` of each item in order, ``workers`` of them at the same time on threads of their own.

    Each thread has its part of torch's threads for what it computes; the number that the caller has set stays. Not more
    than ``workers`` results wait for the caller. An error of ``work`` is raised in its place, after the results before
    it. One worker, or one item: the caller's own thread, with all of torch's threads.
    """
    if workers < 2 or len(items) < 2:
        yield from map(work, items)
        return
    pool = started(min(workers, len(items)))
    waiting: deque[Future[R]] = deque()
    try:
        for item in items:
            if len(waiting) > workers:
                yield waiting.popleft().result()
            waiting.append(pool.submit(work, item))
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def started(workers: int) -> ThreadPoolExecutor:
    """Threads, all running, that share the number of threads which the caller's thread has."""
    before = torch.get_num_threads()
    each = max(1, before // workers)
    if _of_this_thread() is not None:
        return ThreadPoolExecutor(workers, "batch", lambda: _take(each))
    met = threading.Barrier(workers)
    with _setting:
        pool = ThreadPoolExecutor(workers, "batch", lambda: _take(each))
        try:
            list(pool.map(lambda _: met.wait(), range(workers)))  # all have started
        finally:
            torch.set_num_threads(before)  # for threads to come
    return pool


def _take(threads: int) -> None:
    """Let what this thread computes use ``threads`` threads."""
    torch.get_num_threads()  # the first look takes over the number that was set last anywhere
    for set_number in _of_this_thread() or (torch.set_num_threads,):
        set_number(threads)


@lru_cache(maxsize=1)
def _of_this_thread() -> tuple[Callable[[int], Any], ...] | None:
    """What sets the threads of one thread, in the libraries that torch computes with; ``None`` if they are not found.

    ``torch.set_num_threads`` also sets what every thread to come starts with, those of a user as well.
    """
    try:
        library = ctypes.CDLL(str(Path(torch.__file__).parent / "lib" / "libtorch_cpu.so"))
        setters = [library.omp_set_num_threads]
        if torch.backends.mkl.is_available():
            setters.append(library.MKL_Set_Num_Threads_Local)
    except (OSError, AttributeError):
        return None
    found: list[int] = []

    def probe() -> None:
        before = torch.get_num_threads()
        setters[0](before + 1)
        found.extend((before + 1, torch.get_num_threads()))

    thread = threading.Thread(target=probe)
    thread.start()
    thread.join()
    return tuple(setters) if found[:1] == found[1:] else None


@lru_cache(maxsize=1)
def watch_forks() -> None:
    """From now on forked processes compute on one thread: others are not there, and would be waited for in vain."""
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=lambda: _take(1))
