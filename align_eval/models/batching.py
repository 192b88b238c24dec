"""Sentences of like length together, under a budget of padded sub-words; smaller batches where memory is short."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, TypeVar

import numpy as np
from numpy.typing import NDArray

from align_eval.errors import InputError
from align_eval.models.loading_errors import is_out_of_memory, no_room

if TYPE_CHECKING:
    import torch

IdArray = NDArray[np.int64]

# Tokens of a batch where nobody chose a number.
LEAST_BUDGET, MOST_BUDGET = 2048, 65_536

B = TypeVar("B", bound=Sequence[object])
R = TypeVar("R")


def buckets(lengths: Sequence[int], budget: int, overhead: int = 0) -> list[list[int]]:
    """Group sentences so that ``members x longest member <= budget`` with little padding.

    Sentences are sorted by length and cut where the sum over batches of ``members x longest member + overhead`` is
    least (dynamic programming over the distinct lengths); runs above the budget are then split. A sentence longer than
    the budget is a batch of its own; ``overhead`` 0 allows no padding at all.

    Returns:
        Indices into ``lengths``, longest sentences first; each appears once; those of one length keep their order.

    >>> buckets([3, 9, 4, 4], 12, overhead=10)
    [[1], [2, 3, 0]]
    """
    if budget < 1:
        raise InputError(f"the token budget is {budget}", remedy="Give a positive number of sub-words")
    order = sorted(range(len(lengths)), key=lambda k: -lengths[k])
    # Place of the first sentence of each distinct length in the order, and the end.
    starts = [k for k, at in enumerate(order) if k == 0 or lengths[at] != lengths[order[k - 1]]] + [len(order)]
    least = [0] * len(starts)  # least[b]: cost of the sentences from starts[b] on
    cut = [0] * len(starts)
    for a in range(len(starts) - 2, -1, -1):
        longest = lengths[order[starts[a]]]
        size = max(1, budget // max(1, longest))
        best = -1
        for b in range(a + 1, len(starts)):
            members = starts[b] - starts[a]
            cost = members * longest + overhead * -(-members // size) + least[b]
            if best < 0 or cost < best:
                best, cut[a] = cost, b
            if members > 2 * size:
                break
        least[a] = best
    groups: list[list[int]] = []
    a = 0
    while a < len(starts) - 1:
        start, end = starts[a], starts[cut[a]]
        while start < end:
            size = max(1, budget // max(1, lengths[order[start]]))
            groups.append(order[start : min(end, start + size)])
            start += size
        a = cut[a]
    return groups


def budget_of(asked: int | None, device: torch.device, width: int) -> int:
    """The tokens of a batch, padding counted: the number ``asked``, if somebody chose one.

    Else 2,048 on a CPU (and on MPS), where more is not quicker; on a GPU what half of its free memory holds, from 2,048
    to 65,536, a token counted with 64 numbers of 4 bytes for each of the ``width`` of the model's states. What does not
    fit all the same is halved (:func:`in_halves`).
    """
    if asked is not None or device.type != "cuda":
        return LEAST_BUDGET if asked is None else asked
    import torch

    free = torch.cuda.mem_get_info(device)[0]
    free += torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)  # kept for later by torch
    return min(max(free // 2 // (64 * 4 * width), LEAST_BUDGET), MOST_BUDGET)


def padded(arrays: Sequence[IdArray], fill: int) -> tuple[IdArray, IdArray]:
    """Arrays of different length as one ``(B, T)``, filled at the end, and the mask (1 where an array is)."""
    lengths = np.array([len(a) for a in arrays])
    mask = np.arange(lengths.max()) < lengths[:, None]
    out = np.full(mask.shape, fill, dtype=np.int64)
    out[mask] = np.concatenate(arrays)
    return out, mask.astype(np.int64)


def in_halves(
    batches: Iterable[B], work: Callable[[B], R], size: Callable[[B], int] = len, what: str = "one sentence or pair"
) -> Iterator[tuple[B, R]]:
    """``(batch, work(batch))`` of each batch in order; one that does not fit the device's memory is halved, and so on.

    Later batches are cut to what has fitted before they are tried. A batch of one, ``what``, that does not fit is a
    :class:`ModelError`. ``size`` says what a batch takes, in any unit; ``work`` must leave nothing behind when it
    raises.
    """
    most: int | None = None
    for batch in batches:
        waiting: list[B] = [batch]
        while waiting:
            some = waiting.pop()
            if most is None or len(some) < 2 or size(some) <= most:
                try:
                    result = work(some)
                except Exception as error:
                    if not is_out_of_memory(error):
                        raise
                    if len(some) < 2:
                        raise no_room(what) from error
                else:
                    yield some, result
                    continue
                most = (size(some) + 1) // 2
                free_cached_memory()  # after the handler: the error's frames hold tensors
            middle = (len(some) + 1) // 2
            waiting += [some[middle:], some[:middle]]  # type: ignore[list-item]


def free_cached_memory() -> None:
    """Give back what torch keeps of a GPU's memory for later."""
    import torch

    if torch.cuda.is_available() and torch.cuda.is_initialized():
        torch.cuda.empty_cache()
    elif torch.backends.mps.is_available():
        torch.mps.empty_cache()
