"""Batches side by side: results in order, threads shared, errors in their place, nothing left running."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from align_eval.errors import NonFiniteError
from align_eval.models import load_model
from align_eval.models.cpu.unpadded import LEAST_SHARE, in_order, pack, share_of


@pytest.fixture
def two_threads() -> Iterator[None]:
    """Two threads of torch, whatever the machine has."""
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def test_order_is_kept_though_later_items_end_first(two_threads: None) -> None:
    def slow_at_first(k: int) -> int:
        time.sleep(0.03 if k % 3 == 0 else 0)
        return k * k

    assert list(in_order(slow_at_first, range(10), 2)) == [k * k for k in range(10)]


def test_each_thread_has_its_part_of_the_threads_and_the_caller_keeps_its_own(two_threads: None) -> None:
    met = threading.Barrier(2)

    def look(k: int) -> tuple[int, int]:
        met.wait(10)  # so both threads take part
        return torch.get_num_threads(), threading.get_ident()

    found = list(in_order(look, range(4), 2))
    assert {threads for threads, _ in found} == {1}
    assert len({ident for _, ident in found}) == 2
    assert torch.get_num_threads() == 2
    with_new_thread: list[int] = []
    thread = threading.Thread(target=lambda: with_new_thread.append(torch.get_num_threads()))
    thread.start()
    thread.join()
    assert with_new_thread == [2]


def test_one_item_or_one_worker_stays_on_the_caller_s_thread(two_threads: None) -> None:
    for items, workers in ((range(1), 2), (range(3), 1)):
        assert set(in_order(lambda k: threading.get_ident(), items, workers)) == {threading.get_ident()}


def test_an_error_comes_after_the_results_before_it_and_nothing_runs_on(two_threads: None) -> None:
    def fail_at_three(k: int) -> int:
        if k == 3:
            raise ValueError("three")
        return k

    before: int = threading.active_count()
    found: list[int] = []
    with pytest.raises(ValueError, match="three"):
        found.extend(in_order(fail_at_three, range(50), 2))
    assert found == [0, 1, 2]
    assert threading.active_count() == before


def test_a_caller_that_stops_early_leaves_no_thread_and_few_results(two_threads: None) -> None:
    made: list[int] = []
    before = threading.active_count()
    stream = in_order(lambda k: made.append(k) or k, range(100), 2)
    assert next(stream) == 0
    time.sleep(0.05)
    assert len(made) <= 4  # the one taken, and not more than three ahead
    stream.close()
    assert threading.active_count() == before


@given(
    lengths=st.lists(st.integers(1, 300), min_size=1, max_size=200),
    budget=st.integers(1, 5000),
    workers=st.integers(1, 20),
)
def test_shares_hold_the_budget_and_give_each_worker_as_many_batches(
    lengths: list[int], budget: int, workers: int
) -> None:
    total, longest = sum(lengths), max(lengths)
    share = share_of(total, longest, budget, workers)
    assert 1 <= share <= budget
    assert share * workers <= max(budget, workers * LEAST_SHARE)
    batches = pack(lengths, share)
    if total <= share:
        assert len(batches) == 1
    elif share < min(budget, max(LEAST_SHARE, budget // workers)):  # it was made smaller, to come out even
        assert len(batches) <= workers * -(-total // (workers * max(min(budget, LEAST_SHARE), budget // workers)))


def test_vectors_are_those_of_one_batch_at_a_time(two_threads: None) -> None:
    encoder = load_model("offline:e5-small")
    rng = np.random.default_rng(5)
    sentences = [rng.integers(10, 20_000, size=int(n)) for n in rng.integers(1, 60, size=90)]
    assert sum(map(len, sentences)) > 4 * LEAST_SHARE
    side_by_side = encoder.encode(sentences, [0, 7])
    torch.set_num_threads(1)
    alone = encoder.encode(sentences, [0, 7])
    assert torch.equal(torch.cat([a[0] for a in side_by_side]), torch.cat([b[0] for b in alone]))
    assert max(float((a - b).abs().max()) for a, b in zip(side_by_side, alone, strict=True)) < 1e-5


def test_a_sentence_that_is_not_finite_is_named_from_a_thread_too(two_threads: None) -> None:
    encoder = load_model("offline:e5-small")
    sentences = [np.full(40, 1000 + k) for k in range(60)]
    packed = encoder._packed
    assert packed is not None

    def spoiled(runs: list[torch.Tensor], layers: list[int]) -> torch.Tensor:
        hidden = packed(runs, layers)
        at = 0
        for ids in runs:
            for row in ids:
                if int(row[1]) == 1033:
                    hidden[:, at + 2] = float("nan")
                at += len(row)
        return hidden

    spoiled.current = packed.current  # type: ignore[attr-defined]
    encoder._packed = spoiled
    with pytest.raises(NonFiniteError, match="sentence 34"):
        encoder.encode(sentences, [7])
