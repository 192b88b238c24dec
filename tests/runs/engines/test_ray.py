"""The engine ``ray`` on a cluster of two workers: equal output, actors killed, held back, resumed, refused."""

from __future__ import annotations

import gzip
import os
import signal
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from align_eval.aligners import System
from align_eval.cli import main
from align_eval.corpora import SentencePair, read_bitext, write_bitext
from align_eval.errors import FormatError, InputError, MissingFileError, NonFiniteError
from align_eval.files import read_lines
from align_eval.links import Links
from align_eval.runs import align_file as module
from align_eval.runs.align_file import align_file, align_files, file_tasks
from align_eval.runs.engines import Engine, EngineError, Given, make_engine
from tests.runs.stub import Stub, make_pairs, make_stub

pytestmark = [pytest.mark.ray, pytest.mark.xdist_group("ray"), pytest.mark.filterwarnings("ignore::DeprecationWarning")]


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks of 8 pairs."""
    monkeypatch.setattr(module, "BLOCK", 8)


def die_once(folder: Path, name: str) -> None:
    """Kill this process, as a failing machine would, unless that was done before; leave a file that says so."""
    died = folder / f"died-at-{name}"
    if not died.exists():
        died.write_text(str(os.getpid()))
        os.kill(os.getpid(), signal.SIGKILL)


class Mortal(Stub):
    """An aligner whose process dies at each pair of ``deaths``, once."""

    def __init__(self, folder: Path, deaths: tuple[str, ...]) -> None:
        super().__init__()
        self.folder, self.deaths = folder, deaths

    def align_all(self, pairs: Sequence[SentencePair]) -> dict[System, list[Links]]:
        for pair in pairs:
            if pair.id in self.deaths:
                die_once(self.folder, pair.id)
        return super().align_all(pairs)


def test_equal_output_with_actors_killed_in_mid_run(tmp_path: Path, engine: Engine) -> None:
    align_file(Stub(), make_pairs(200), tmp_path / "local.jsonl", format="jsonl")
    deaths = ("p30", "p101")
    make = partial(Mortal, tmp_path, deaths)
    told: list[int] = []
    options: Any = {"format": "jsonl", "engine": engine, "progress": told.append}
    assert align_file(make, make_pairs(200), tmp_path / "ray.jsonl", **options) == 200
    assert sum(told) == 200
    pids = {(tmp_path / f"died-at-{name}").read_text() for name in deaths}
    assert len(pids) == 2  # each died, once
    assert str(os.getpid()) not in pids
    assert (tmp_path / "ray.jsonl").read_bytes() == (tmp_path / "local.jsonl").read_bytes()
    assert (tmp_path / "ray.jsonl.meta.json").read_bytes() == (tmp_path / "local.jsonl.meta.json").read_bytes()


def test_interrupted_and_resumed_in_shards_from_parquet(tmp_path: Path, engine: Engine) -> None:
    write_bitext(tmp_path / "pairs.parquet", make_pairs(50), "parquet")
    bitext = read_bitext(tmp_path / "pairs.parquet")
    options: Any = {"format": "parquet", "shard_lines": 20}
    align_file(Stub(), bitext, tmp_path / "whole.parquet", **options)

    def stop(advance: int) -> None:
        told.append(advance)
        if sum(told) == 28:
            raise KeyboardInterrupt

    told: list[int] = []
    with pytest.raises(KeyboardInterrupt):
        align_file(Stub(), bitext, tmp_path / "out.parquet", engine=engine, progress=stop, **options)
    resumed: list[int] = []
    assert align_file(Stub(), bitext, tmp_path / "out.parquet", engine=engine, resumed=resumed.append, **options) == 50
    assert resumed == [20]
    for k in range(3):
        whole, out = (tmp_path / f"{name}-0000{k}.parquet" for name in ("whole", "out"))
        assert out.read_bytes() == whole.read_bytes()


def test_the_command_with_compressed_text_by_relative_paths(
    tmp_path: Path, engine: Engine, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("align_eval.aligners.make_aligner", make_stub)
    monkeypatch.chdir(tmp_path)
    text = "".join(f"{' '.join(p.source)} ||| {' '.join(p.target)}\n" for p in make_pairs(60))
    Path("pairs.gz").write_bytes(gzip.compress(text.encode()))
    given = ("align", "--bitext", "pairs.gz", "-o")
    assert run(*given, "local.zst") == 0
    assert run(*given, "ray.zst", "--engine", "ray", "--actors", "2", "--cpus-per-actor", "1") == 0
    assert Path("ray.zst").read_bytes() == Path("local.zst").read_bytes()
    assert len(list(read_lines("ray.zst"))) == 60
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.splitlines() == ["align-eval: 60 lines in local.zst", "align-eval: 60 lines in ray.zst"]


def run(*words: str) -> int:
    try:
        main(list(words))
    except SystemExit as stop:
        return int(stop.code or 0)
    return 0


@dataclass(frozen=True)
class Counted:
    """Numbers; each that is drawn is written down."""

    file: Path
    count: int

    def __iter__(self) -> Iterator[int]:
        for number in range(self.count):
            with self.file.open("a") as stream:
                stream.write("x")
            yield number


def slow(made: int, number: int) -> int:
    time.sleep(0.02)
    return made * number


def test_the_reader_is_held_back(tmp_path: Path, cluster: None) -> None:
    """With slow workers, and with results that are not taken, no more than four blocks an actor are read ahead."""
    window, drawn = 8, tmp_path / "drawn"
    engine = make_engine("ray", actors=2)
    ahead = []
    with closing(engine), closing(engine.map(Given(3), slow, Counted(drawn, 60))) as results:
        for taken, result in enumerate(results):
            assert result == 3 * taken
            ahead.append(drawn.stat().st_size - taken)
            if taken == 20:
                time.sleep(1)  # 50 blocks could be worked on meanwhile
                ahead.append(drawn.stat().st_size - taken)
    assert len(ahead) == 61
    assert max(ahead) <= window
    assert max(ahead) > 1  # it does read ahead


def work(made: str, block: int) -> int:
    if made == "poison" and block == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    if block == 3:
        raise {"typed": NonFiniteError("three"), "other": ZeroDivisionError("by three")}[made]
    return block


def refuse() -> str:
    raise MissingFileError("is not there", file="weights")


def taken_before(engine: Engine, make: Any, expected: type[Exception], match: str) -> list[int]:
    """The results before the error that is expected."""
    taken: list[int] = []
    with closing(engine.map(make, work, range(9))) as results, pytest.raises(expected, match=match):
        taken.extend(results)
    return taken


def test_errors_of_actors_keep_their_type_and_place(tmp_path: Path, engine: Engine) -> None:
    assert taken_before(engine, Given("typed"), NonFiniteError, "^three$") == [0, 1, 2]
    with pytest.raises(EngineError, match=r"^an actor failed with ZeroDivisionError: by three$") as caught:
        list(engine.map(Given("other"), work, range(9)))
    assert "in work" in str(caught.value.__cause__)  # the actor's traceback
    assert taken_before(engine, refuse, MissingFileError, "^weights: is not there$") == []
    with pytest.raises(MissingFileError) as missing:
        engine.ask(refuse, len)
    assert missing.value.file == "weights"


def test_errors_of_the_reader_name_file_and_line(tmp_path: Path, engine: Engine) -> None:
    text = tmp_path / "pairs"
    text.write_text("".join("a ||| b\n" for _ in range(20)) + "no bars\n")
    with pytest.raises(FormatError) as caught:
        align_file(Stub(), read_bitext(text, format="pipes"), tmp_path / "out", engine=engine)
    assert (caught.value.file, caught.value.line) == (str(text), 21)
    assert len((tmp_path / "out.part").read_text().splitlines()) == 16  # two blocks hold; a mended file would go on


def test_a_block_that_kills_every_actor_ends_the_run(cluster: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("align_eval.runs.engines.ray.RETRIES", 1)
    with closing(make_engine("ray", actors=2)) as engine:
        taken = taken_before(engine, Given("poison"), EngineError, r"Ray has failed.*Run the same command again")
    assert taken == [0, 1, 2][: len(taken)]  # a unit that waits behind the deadly one dies with it, and is not skipped


class Together(Stub):
    whole_corpus = True


class Locked(Stub):
    """An aligner that holds what cannot be sent."""

    def __init__(self) -> None:
        super().__init__()
        self.lock = threading.Lock()


def test_what_cannot_be_is_refused(tmp_path: Path, engine: Engine) -> None:
    out: Any = tmp_path / "out"
    with pytest.raises(InputError, match=r"trained on all pairs.*Use the engine local"):
        align_file(Together(), make_pairs(9), out, engine=engine)
    with pytest.raises(InputError, match=r"this model or aligner cannot be sent to other processes"):
        align_file(Locked(), make_pairs(9), out, engine=engine)
    with pytest.raises(InputError, match=r"this unit of work cannot be sent to other processes"):
        list(engine.map(Given(1), slow, [threading.Lock()]))  # type: ignore[list-item]
    engine.ask(Given(1), str)
    assert engine.device("auto") == "cpu"
    with pytest.raises(EngineError, match="of 2 CPU and 0 of 0 GPU free: room for 0 actors of 1 CPU, not for 1"):
        align_file(Stub(), make_pairs(9), out, engine=make_engine("ray"))  # two actors hold a model
    engine.close()
    with pytest.raises(EngineError, match="2 of 2 CPU and 0 of 0 GPU free: room for 2 actors of 1 CPU, not for 3"):
        align_file(Stub(), make_pairs(9), out, engine=make_engine("ray", actors=3))
    with pytest.raises(EngineError, match="room for 0 actors of 1 CPU and 1 GPU"):
        align_file(Stub(), make_pairs(9), out, engine=make_engine("ray", gpus=1))
    assert not out.exists()


class Noted(Stub):
    """An aligner that notes in which process it was made."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        with (folder / "made").open("a") as stream:
            stream.write(f"{os.getpid()}\n")


def test_every_actor_loads_the_model_once(tmp_path: Path, engine: Engine) -> None:
    """For the question, and for two runs."""
    make = partial(Noted, tmp_path)
    for name in ("first", "second"):
        assert align_file(make, make_pairs(24), tmp_path / name, engine=engine) == 24
    made = (tmp_path / "made").read_text().split()
    assert len(made) == len(set(made)) == 2


def write_folder(folder: Path) -> Path:
    """Three files of text and one of Parquet, with 10 to 40 pairs."""
    folder.mkdir()
    for count, name in ((10, "a.pipes"), (20, "b.pipes.gz"), (40, "c.pipes")):
        text = "".join(f"{' '.join(p.source)} ||| {' '.join(p.target)}\n" for p in make_pairs(count))
        (folder / name).write_bytes(gzip.compress(text.encode()) if name.endswith("gz") else text.encode())
    write_bitext(folder / "d.parquet", make_pairs(30), "parquet")
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in sorted(folder.iterdir())}


@pytest.mark.parametrize("form", ["pharaoh", "parquet"])
def test_files_in_files_out_with_an_actor_killed_in_mid_file(tmp_path: Path, engine: Engine, form: str) -> None:
    """Actors read and write the files; nothing is lost, and a repeated run does no file again."""
    bitext = str(write_folder(tmp_path / "in"))
    here, there = (file_tasks(bitext, tmp_path / name, form) for name in ("local", "ray"))
    align_files(Stub(), here, format=form)
    make = partial(Mortal, tmp_path, ("p19", "20"))
    done = align_files(make, there, format=form, engine=engine)
    assert (done["files"], done["lines"]) == (4, 100)
    assert [(tmp_path / f"died-at-{name}").exists() for name in ("20", "p19")] == [True, True]
    assert contents(tmp_path / "ray") == contents(tmp_path / "local")
    before = {file.name: file.stat().st_mtime_ns for file in (tmp_path / "ray").iterdir()}
    assert align_files(make, there, format=form, engine=engine)["lines"] == 100
    assert {file.name: file.stat().st_mtime_ns for file in (tmp_path / "ray").iterdir()} == before


def test_actors_whose_room_was_taken_are_not_waited_for(cluster: None, monkeypatch: pytest.MonkeyPatch) -> None:
    from align_eval.runs.engines import ray as engine_module

    with closing(make_engine("ray", actors=2)) as first, closing(make_engine("ray", actors=2)) as second:
        assert first.ask(Given(1), str) == "1"
        monkeypatch.setattr(engine_module, "PLACING", 2.0)  # now: the first may start slowly on a busy machine
        monkeypatch.setattr(type(second), "_room", lambda self: 2)  # as it was before the first took it
        with pytest.raises(EngineError, match="2 of 2 actors have not been started"):
            second.ask(Given(1), str)
        assert first.ask(Given(1), str) == "1"
