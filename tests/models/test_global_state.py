"""What belongs to a user's process stays as it was: threads, random numbers, the environment; forks do not hang."""

from __future__ import annotations

import os
import random
import signal
import sys
import threading
from collections.abc import Callable
from concurrent.futures import wait
from typing import Any

import numpy as np
import pytest
import torch

import align_eval as ae
from align_eval.models.cpu import unpadded
from align_eval.translation import metrics
from align_eval.translation.metrics import score_translations

PAIRS = [(f"das ist ein Haus {k}", f"this is a house {k}") for k in range(120)]


def test_threads_of_a_user_keep_their_number_while_workers_start(monkeypatch: pytest.MonkeyPatch) -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(4)
    found: list[int] = []
    take = unpadded._take

    def slow(threads: int) -> None:
        take(threads)
        looking = threading.Thread(target=lambda: found.append(torch.get_num_threads()))
        looking.start()  # a thread of the user, which looks at torch for the first time
        looking.join()

    monkeypatch.setattr(unpadded, "_take", slow)
    try:
        if unpadded._of_this_thread() is None:
            pytest.skip("the libraries of this torch do not set threads one by one")
        pool = unpadded.started(3)
        inside = [pool.submit(torch.get_num_threads) for _ in range(6)]
        wait(inside)
        pool.shutdown()
        assert {future.result() for future in inside} == {1}
        assert set(found) == {4}
        assert torch.get_num_threads() == 4
    finally:
        torch.set_num_threads(before)


@pytest.mark.model
def test_aligning_draws_no_random_number_of_the_user(e5: Any) -> None:
    random.seed(5)
    np.random.seed(5)
    torch.manual_seed(5)
    states = random.getstate(), str(np.random.get_state()), torch.get_rng_state()
    environment, threads = dict(os.environ), torch.get_num_threads()
    ae.align(PAIRS[:20], e5)
    assert random.getstate() == states[0]
    assert str(np.random.get_state()) == states[1]
    assert torch.equal(torch.get_rng_state(), states[2])
    assert (dict(os.environ), torch.get_num_threads()) == (environment, threads)


@pytest.mark.model
@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:This process.*fork:DeprecationWarning")
@pytest.mark.parametrize("count", [1, 2, 120])
def test_a_fork_after_the_first_alignment_computes_the_same(e5: Any, count: int) -> None:
    ae.load_model("offline:tiny-deen", source_language="de", target_language="en")  # from here on forks are watched
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        expected = [str(links) for links in ae.align(PAIRS, e5)]
        child = os.fork()
        if child == 0:  # pragma: no cover
            signal.alarm(60)
            os._exit(0 if [str(links) for links in ae.align(PAIRS[:count], e5)] == expected[:count] else 3)
        assert os.waitpid(child, 0)[1] == 0
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize("before", [None, "7", "none"])
def test_the_seed_of_sacrebleu_stays_as_it_was_with_many_threads(
    before: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    if before is None:
        monkeypatch.delenv("SACREBLEU_SEED", raising=False)
    else:
        monkeypatch.setenv("SACREBLEU_SEED", before)
    draw = random.Random(3)
    text = [[" ".join(draw.choices("abcdefgh", k=8)) for _ in range(10)] for _ in range(2)]

    def interval(seed: int) -> str:
        return str(score_translations(text[0], text[1], language="en", resamples=5, seed=seed))

    expected, wrong = {seed: interval(seed) for seed in (1, 2)}, []
    switch = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)

    def work(seed: int) -> None:
        wrong.extend(seed for _ in range(3) if interval(seed) != expected[seed])

    _together([lambda seed=seed: work(seed) for seed in (1, 2, 1, 2)])  # type: ignore[misc]
    sys.setswitchinterval(switch)
    assert not wrong
    assert os.environ.get("SACREBLEU_SEED") == before


def test_the_default_seed_needs_no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SACREBLEU_SEED", raising=False)
    with metrics._seeded(12345):
        assert "SACREBLEU_SEED" not in os.environ
    with metrics._seeded(5):
        assert os.environ["SACREBLEU_SEED"] == "5"
    assert "SACREBLEU_SEED" not in os.environ


def _together(works: list[Callable[[], None]]) -> None:
    threads = [threading.Thread(target=work) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
