"""Batches side by side: each on a thread of its own, where one batch on all threads would leave them waiting."""

from __future__ import annotations

import ctypes
import os
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar

T = TypeVar("T")
R = TypeVar("R")

#: Sub-words below which a batch is not divided any further: smaller matrices are multiplied at a lower rate.
LEAST_SHARE = 512
# Held while torch's number of threads is another, where it cannot be set for one thread alone.
_setting = threading.Lock()
#: Batches side by side at most; with more cores each batch has several threads.
MOST = 16


def share_of(total: int, longest: int, budget: int, workers: int) -> int:
    """Sub-words in a batch when ``workers`` batches are computed at the same time.

    The budget is divided among the workers, though not below :data:`LEAST_SHARE`; then the number of batches is made a
    multiple of that of the workers, so that none of them waits while the last batch is computed. What fits one batch
    is one.

    Args:
        total: sub-words of all sentences; ``longest``: of the longest of them.
        budget: sub-words that may be in memory at one time.
        workers: batches at the same time.

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
    import torch

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
    import torch

    torch.get_num_threads()  # the first look takes over the number that was set last anywhere
    setters = _of_this_thread()
    for set_number in setters or (torch.set_num_threads,):
        set_number(threads)


@lru_cache(maxsize=1)
def _of_this_thread() -> tuple[Callable[[int], Any], ...] | None:
    """What sets the threads of one thread, in the libraries that torch computes with; ``None`` if they are not found.

    ``torch.set_num_threads`` also sets what every thread to come starts with, those of a user as well.
    """
    import torch

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
