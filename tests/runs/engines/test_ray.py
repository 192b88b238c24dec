"""The engine ``ray`` on a cluster of this machine: equal output, an actor killed in mid-run, resumed, refused."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from align_eval.aligners import System
from align_eval.corpora import SentencePair, read_bitext
from align_eval.errors import FormatError, NonFiniteError
from align_eval.links import Links
from align_eval.runs import align_file as module
from align_eval.runs.align_file import align_file
from align_eval.runs.engines import Engine, make_engine
from tests.runs.stub import Stub, make_pairs

try:
    import ray
    import ray.data
except ImportError:  # not part of `make test`, which leaves the mark `ray` out
    pytest.skip("needs the package ray: pip install 'align-eval[ray]'", allow_module_level=True)
pytestmark = [pytest.mark.ray, pytest.mark.xdist_group("ray"), pytest.mark.filterwarnings("ignore::DeprecationWarning")]


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    """Two actors on a cluster with room for two."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        ray.init(address="local", num_cpus=2, include_dashboard=False, object_store_memory=1 << 28, log_to_driver=False)
        try:
            yield make_engine("ray", actors=2)
        finally:
            ray.shutdown()


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks of 8 pairs."""
    monkeypatch.setattr(module, "BLOCK", 8)


class Mortal(Stub):
    """Kills its process, as a failing machine would, at each pair of ``deaths``, once; leaves a file for each."""

    def __init__(self, folder: Path, deaths: tuple[str, ...]) -> None:
        super().__init__()
        self.folder, self.deaths = folder, deaths

    def align_all(self, pairs: Sequence[SentencePair]) -> dict[System, list[Links]]:
        for pair in pairs:
            died = self.folder / f"died-at-{pair.id}"
            if pair.id in self.deaths and not died.exists():
                died.write_text(str(os.getpid()))
                os.kill(os.getpid(), signal.SIGKILL)
        return super().align_all(pairs)


def test_equal_output_with_actors_killed_in_mid_run(tmp_path: Path, engine: Engine) -> None:
    pairs = make_pairs(200)
    align_file(Stub(), pairs, tmp_path / "local.jsonl", format="jsonl")
    deaths = ("p30", "p101")
    make = partial(Mortal, tmp_path, deaths)
    told: list[int] = []
    options: Any = {"format": "jsonl", "engine": engine, "progress": told.append}
    assert align_file(make, pairs, tmp_path / "ray.jsonl", **options) == 200
    assert sum(told) == 200
    pids = {(tmp_path / f"died-at-{p}").read_text() for p in deaths}
    assert len(pids) == 2  # both died, each once
    assert str(os.getpid()) not in pids
    assert (tmp_path / "ray.jsonl").read_bytes() == (tmp_path / "local.jsonl").read_bytes()
    assert (tmp_path / "ray.jsonl.meta.json").read_bytes() == (tmp_path / "local.jsonl.meta.json").read_bytes()


def test_begun_here_and_finished_on_ray_in_shards_from_parquet(tmp_path: Path, engine: Engine) -> None:
    from align_eval.corpora import write_bitext

    write_bitext(tmp_path / "pairs.parquet", make_pairs(50), "parquet")
    bitext = read_bitext(tmp_path / "pairs.parquet")
    options: Any = {"format": "parquet", "shard_lines": 20}
    align_file(Stub(), bitext, tmp_path / "whole.parquet", **options)
    with pytest.raises(NonFiniteError):
        align_file(Stub("p45"), bitext, tmp_path / "out.parquet", **options)
    told: list[int] = []
    assert align_file(Stub(), bitext, tmp_path / "out.parquet", engine=engine, resumed=told.append, **options) == 50
    assert told == [40]
    for k in range(3):
        whole, out = (tmp_path / f"{name}-0000{k}.parquet" for name in ("whole", "out"))
        assert out.read_bytes() == whole.read_bytes()


def test_errors_keep_their_type(tmp_path: Path, engine: Engine) -> None:
    with pytest.raises(NonFiniteError, match="p20"):
        align_file(Stub("p20"), make_pairs(50), tmp_path / "out", engine=engine)
    text = tmp_path / "pairs"
    text.write_text("".join("a ||| b\n" for _ in range(20)) + "no bars\n")
    with pytest.raises(FormatError) as caught:
        align_file(Stub(), read_bitext(text, format="pipes"), tmp_path / "other", engine=engine)
    assert caught.value.line == 21
