"""Choosing an engine, the engine of this process, and what is said where Ray is missing."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from align_eval.errors import AlignEvalWarning, InputError, UnknownNameError
from align_eval.runs.align_file import align_file
from align_eval.runs.engines import EngineError, Given, make_engine
from tests.runs.stub import Stub, make_pairs


def test_an_aligner_and_a_function_that_makes_it_give_the_same(tmp_path: Path) -> None:
    made = []

    def make() -> Stub:
        made.append(Stub())
        return made[-1]

    align_file(make, make_pairs(20), tmp_path / "made", engine=make_engine("local"))
    align_file(Stub(), make_pairs(20), tmp_path / "given")
    assert len(made) == 1
    assert (tmp_path / "made").read_bytes() == (tmp_path / "given").read_bytes()


def test_results_come_as_blocks_are_read() -> None:
    drawn = []

    def blocks() -> object:
        for number in range(3):
            drawn.append(number)
            yield number

    results = make_engine("local").map(Given(2), lambda made, block: made * block, blocks())  # type: ignore[arg-type]
    assert (next(results), drawn) == (0, [0])
    assert list(results) == [2, 4]


def test_the_next_block_is_prepared_while_one_is_worked_on() -> None:
    begun = [threading.Event() for _ in range(3)]

    def prepare(made: int, block: int) -> int:
        begun[block].set()
        return block

    def work(made: int, block: int) -> int:
        if block < 2:
            assert begun[block + 1].wait(10)
        return made * block

    assert list(make_engine("local").map(Given(2), work, range(3), prepare)) == [0, 2, 4]


@pytest.mark.parametrize("place", ["drawing", "prepare"])
def test_errors_of_what_is_ahead_come_after_the_results_before(place: str) -> None:
    def blocks() -> Iterator[int]:
        yield from range(3)
        if place == "drawing":
            raise InputError("no more")
        yield 3

    def prepare(made: int, block: int) -> int:
        if block == 3:
            raise InputError("no more")
        return block

    results, found = make_engine("local").map(Given(2), lambda made, block: made * block, blocks(), prepare), []
    with pytest.raises(InputError, match="no more"):
        found.extend(results)
    assert found == [0, 2, 4]


def test_closing_early_leaves_no_thread() -> None:
    before = threading.active_count()
    results = make_engine("local").map(Given(2), lambda made, block: made * block, range(9), lambda made, block: block)
    assert next(results) == 0
    results.close()
    assert threading.active_count() == before


def test_unknown_engine() -> None:
    with pytest.raises(UnknownNameError, match="Did you mean 'local'"):
        make_engine("locl")


def test_ray_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(EngineError, match=r"needs the package ray.*pip install 'align-eval\[ray\]'"):
        make_engine("ray")


@pytest.mark.parametrize("options", [{"actors": 0}, {"cpus": 0}, {"gpus": -1}])
def test_actors_that_cannot_be(options: dict[str, float]) -> None:
    with pytest.raises(InputError, match="Give at least one actor"):
        make_engine("ray", **options)


def test_other_options_that_cannot_be() -> None:
    with pytest.raises(InputError, match="Start the run on a machine of the cluster"):
        make_engine("ray", address="ray://head:10001")


@pytest.mark.parametrize(
    ("gpus", "asked", "there", "free", "device"),
    [
        (None, "auto", 0, 0, "cpu"),
        (None, "auto", 2, 1, "cuda"),
        (None, "auto", 2, 0, "in use"),
        (None, "cuda", 2, 0, "cuda"),
        (None, "cpu", 2, 2, "cpu"),
        (0, "auto", 2, 2, "cpu"),
        (0.5, "auto", 2, 0.5, "cuda"),
    ],
)
def test_ray_takes_the_gpus_of_the_cluster_or_says_that_it_does_not(
    monkeypatch: pytest.MonkeyPatch, gpus: float | None, asked: str, there: float, free: float, device: str
) -> None:
    ray = pytest.importorskip("ray")
    monkeypatch.setattr(ray, "is_initialized", lambda: True)
    monkeypatch.setattr(ray, "cluster_resources", lambda: {"CPU": 4.0, "GPU": float(there)} if there else {"CPU": 4.0})
    monkeypatch.setattr(ray, "available_resources", lambda: {"CPU": 4.0, "GPU": float(free)})
    engine = make_engine("ray", gpus=gpus)
    if device == "in use":
        with pytest.warns(AlignEvalWarning, match=r"all 2 GPUs of the cluster are in use.*or pass --device cpu"):
            assert engine.device(asked) == "cpu"
    else:
        assert engine.device(asked) == device
    assert bool(engine.gpus) == (device == "cuda")  # type: ignore[attr-defined]
    assert make_engine("local").device(asked) == asked
