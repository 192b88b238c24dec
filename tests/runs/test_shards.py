"""Output in shards: names, boundaries, kills at every step, what stands in the way, Parquet."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from align_eval.errors import InputError, NonFiniteError, OutputError
from align_eval.files import read_lines
from align_eval.io.resumable import Key, ResumableWriter, manifest_path, shard_path
from align_eval.runs import align_file as module
from align_eval.runs.align_file import Cut, align_file
from tests.runs.stub import Stub, make_pairs

ROOT = Path(__file__).resolve().parents[2]
KEY = Key.of(signature={"model": "m"}, format="pharaoh")


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks of 8 pairs, and no waiting for the disk."""
    monkeypatch.setattr(module, "BLOCK", 8)
    monkeypatch.setattr(os, "fsync", lambda handle: None)


def content(folder: Path) -> dict[str, bytes]:
    """All files of a folder."""
    return {p.name: p.read_bytes() for p in sorted(folder.iterdir())}


def lines_of(folder: Path, name: str = "out") -> list[str]:
    """The lines of all shards, in the order of their names."""
    shards = sorted(p for p in folder.iterdir() if p.name.startswith(f"{name}-"))
    return [line for shard in shards for _, line in read_lines(shard)]


@pytest.mark.parametrize(
    ("name", "third"),
    [
        ("out.talp", "out-00003.talp"),
        ("out.talp.gz", "out-00003.talp.gz"),
        ("out.gz", "out-00003.gz"),
        ("run.v1.jsonl.zst", "run.v1-00003.jsonl.zst"),
        ("out", "out-00003"),
        (".hidden", ".hidden-00003"),
    ],
)
def test_names(name: str, third: str) -> None:
    assert shard_path(f"/folder/{name}", 3) == Path("/folder") / third


def test_numbers_grow_beyond_five_digits() -> None:
    assert shard_path("out", 123456).name == "out-123456"


def test_cut() -> None:
    sizes = [len(part) for part in Cut(8, 20).blocks(make_pairs(50))]
    assert sizes == [8, 8, 4, 8, 8, 4, 8, 2]
    assert [len(part) for part in Cut(8, 20).blocks(make_pairs(50), done=36)] == [4, 8, 2]
    assert [len(part) for part in Cut(None, 20).blocks(make_pairs(50))] == [50]
    with pytest.raises(InputError, match="7 lines but the input only 5"):
        list(Cut(8).blocks(make_pairs(5), done=7))


@pytest.mark.parametrize("count", [0, 1, 20, 40, 47])
@pytest.mark.parametrize("ending", ["", ".gz", ".zst"])
def test_shards_hold_what_one_file_holds(tmp_path: Path, count: int, ending: str) -> None:
    pairs = make_pairs(count)
    align_file(Stub(), pairs, tmp_path / "one")
    assert align_file(Stub(), pairs, tmp_path / f"out.talp{ending}", shard_lines=20) == count
    expected = [line for _, line in read_lines(tmp_path / "one")]
    shards = [shard_path(tmp_path / f"out.talp{ending}", k) for k in range(max(1, -(-count // 20)))]
    for k, shard in enumerate(shards):
        assert [line for _, line in read_lines(shard)] == expected[20 * k : 20 * k + 20]
    manifest = manifest_path(tmp_path / f"out.talp{ending}")
    assert {p.name for p in tmp_path.iterdir()} == {
        "one", "one.meta.json", *(s.name for s in shards), manifest.name, f"out.talp{ending}.meta.json",
    }  # fmt: skip
    rows = [json.loads(line) for _, line in read_lines(manifest)]
    for row, shard in zip(rows, shards, strict=True):
        raw = shard.read_bytes()
        lines = len(list(read_lines(shard)))
        assert row == {
            "file": shard.name, "lines": lines, "bytes": len(raw), "sha256": hashlib.sha256(raw).hexdigest(),
        }  # fmt: skip
    meta = json.loads((tmp_path / f"out.talp{ending}.meta.json").read_text())
    assert meta["lines"] == count
    assert meta["shards"] == len(shards)
    assert meta["sha256"] == hashlib.sha256(manifest.read_bytes()).hexdigest()
    assert meta["signature"]["model"] == "stub"


@pytest.mark.parametrize("ending", ["", ".gz", ".zst"])
def test_killed_and_resumed_all_bytes_are_the_same(tmp_path: Path, ending: str) -> None:
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    whole.mkdir()
    killed.mkdir()
    align_file(Stub(), make_pairs(50), whole / f"out{ending}", shard_lines=20)
    for stop in ("p13", "p38"):
        run = subprocess.run(
            [sys.executable, "-m", "tests.runs.stub", str(killed / f"out{ending}"), "pharaoh", "50", "8", stop, "20"],
            cwd=ROOT,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
            capture_output=True,
            text=True,
        )
        assert run.returncode == -signal.SIGKILL, run.stderr
    assert shard_path(killed / f"out{ending}", 0).exists()
    assert not shard_path(killed / f"out{ending}", 1).exists()
    with open(f"{shard_path(killed / f'out{ending}', 1)}.part", "ab") as stream:
        stream.write(b"\x00garbage of a write that the kill cut short")
    last, told = Stub(), []
    assert align_file(last, make_pairs(50), killed / f"out{ending}", shard_lines=20, resumed=told.append) == 50
    assert told == [36]
    assert last.seen == 14
    assert content(killed) == content(whole)


class Kill(BaseException):
    """Stands for a kill: nothing may be tidied up after it."""


@given(
    total=st.integers(0, 30),
    shard_lines=st.integers(1, 9),
    kills=st.lists(st.integers(0, 40), max_size=4),
    ending=st.sampled_from(["", ".gz"]),
)
@settings(max_examples=60, deadline=None)
def test_killed_at_any_rename_removal_or_journal(
    tmp_path_factory: pytest.TempPathFactory, total: int, shard_lines: int, kills: list[int], ending: str
) -> None:
    """The run dies before the n-th change of a name in the folder; whatever n, the end is the same."""
    whole, killed = tmp_path_factory.mktemp("whole"), tmp_path_factory.mktemp("killed")
    pairs = make_pairs(total)
    align_file(Stub(), pairs, whole / f"out{ending}", shard_lines=shard_lines)
    real_replace, real_unlink = os.replace, Path.unlink
    left = [0]

    def counted(real: Any) -> Any:
        def call(*given: Any, **options: Any) -> Any:
            if left[0] == 0:
                raise Kill
            left[0] -= 1
            return real(*given, **options)

        return call

    for steps in kills:
        left[0] = steps
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(os, "replace", counted(real_replace))
            patch.setattr(Path, "unlink", counted(real_unlink))
            try:
                align_file(Stub(), pairs, killed / f"out{ending}", shard_lines=shard_lines)
            except Kill:
                continue
            except InputError:  # an earlier run was finished but for the removal of its journal
                break
    if not manifest_path(killed / f"out{ending}").exists():
        align_file(Stub(), pairs, killed / f"out{ending}", shard_lines=shard_lines)
    found = {name: raw for name, raw in content(killed).items() if not name.startswith(".")}
    found.pop(f"out{ending}.shards.part.jsonl", None)  # killed before its removal, after all was in place
    assert found == content(whole)


def unfinished(folder: Path, shard_lines: int = 20) -> Path:
    with pytest.raises(NonFiniteError):
        align_file(Stub("p45"), make_pairs(50), folder / "out", shard_lines=shard_lines)
    return folder / "out"


def test_other_settings_are_refused_by_name(tmp_path: Path) -> None:
    out = unfinished(tmp_path)
    before = content(tmp_path)
    for options, named in (({"shard_lines": 10}, "shard_lines"), ({"shard_lines": 20, "format": "jsonl"}, "format")):
        with pytest.raises(InputError, match=rf"different: {named}\).*--restart"):
            align_file(Stub(), make_pairs(50), out, **options)
    assert content(tmp_path) == before


def test_starting_over_leaves_nothing_of_the_earlier_run(tmp_path: Path) -> None:
    out = unfinished(tmp_path, shard_lines=4)
    align_file(Stub(), make_pairs(30), out, shard_lines=20, resume=False)
    assert sorted(content(tmp_path)) == ["out-00000", "out-00001", "out.meta.json", "out.shards.jsonl"]
    align_file(Stub(), make_pairs(10), out, shard_lines=20, resume=False)  # over a finished one too
    assert sorted(content(tmp_path)) == ["out-00000", "out.meta.json", "out.shards.jsonl"]
    assert len(lines_of(tmp_path)) == 10


def test_shards_of_others_stop_the_run(tmp_path: Path) -> None:
    (tmp_path / "out-00007").write_text("mine\n")
    (tmp_path / "out-0007").write_text("not named like a shard\n")
    for resume in (True, False):
        with pytest.raises(InputError, match=r"out-00007: 1 shards of another run stand there\. Remove them"):
            align_file(Stub(), make_pairs(5), tmp_path / "out", shard_lines=2, resume=resume)
    assert sorted(content(tmp_path)) == ["out-00007", "out-0007"]


def test_a_finished_run_is_not_overwritten_unasked(tmp_path: Path) -> None:
    align_file(Stub(), make_pairs(5), tmp_path / "out", shard_lines=2)
    before = content(tmp_path)
    with pytest.raises(InputError, match=r"3 shards of another run stand there\. Start over with --restart"):
        align_file(Stub(), make_pairs(5), tmp_path / "out", shard_lines=2)
    assert content(tmp_path) == before


def test_a_shard_that_is_gone_or_changed(tmp_path: Path) -> None:
    out = unfinished(tmp_path)
    shard = shard_path(out, 0)
    raw = shard.read_bytes()
    shard.write_bytes(raw + b"x")
    with pytest.raises(InputError, match="out-00000: this shard was changed"):
        align_file(Stub(), make_pairs(50), out, shard_lines=20)
    shard.unlink()
    with pytest.raises(InputError, match=r"out-00000: this shard of the unfinished run is gone.*--restart"):
        align_file(Stub(), make_pairs(50), out, shard_lines=20)
    shard.write_bytes(raw)
    assert align_file(Stub(), make_pairs(50), out, shard_lines=20) == 50


def test_two_runs_do_not_write_the_same_shards(tmp_path: Path) -> None:
    pytest.importorskip("fcntl")
    first = ResumableWriter(tmp_path / "out", KEY, shard_lines=3)
    first.append(["one"])
    for resume in (True, False):
        with pytest.raises(OutputError, match="another run is writing"):
            ResumableWriter(tmp_path / "out", KEY, shard_lines=3, resume=resume)
    first.finish()
    assert lines_of(tmp_path) == ["one"]


def test_odd_requests(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="shards of 0 lines"):
        align_file(Stub(), make_pairs(3), tmp_path / "out", shard_lines=0)
    with pytest.raises(OutputError, match="The folder does not exist"):
        align_file(Stub(), make_pairs(3), tmp_path / "no" / "out", shard_lines=2)
    assert content(tmp_path) == {}


def test_the_whole_corpus_at_once_starts_over(tmp_path: Path) -> None:
    class Whole(Stub):
        whole_corpus = True

    out = ResumableWriter(tmp_path / "out", KEY, shard_lines=20)
    out.append([f"{k}" for k in range(25)])
    out.close()
    aligner = Whole()
    align_file(aligner, make_pairs(50), tmp_path / "out", shard_lines=20)
    assert aligner.seen == 50
    assert len(lines_of(tmp_path)) == 50


def test_the_sidecar_stands_before_the_output_has_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed between the two, the next run names what was done, and aligns nothing."""

    def kill(self: ResumableWriter) -> None:
        raise Kill

    monkeypatch.setattr(ResumableWriter, "finish", kill)
    with pytest.raises(Kill):
        align_file(Stub(), make_pairs(20), tmp_path / "out")
    monkeypatch.undo()
    assert sorted(content(tmp_path)) == ["out.meta.json", "out.part", "out.part.jsonl"]
    again = Stub()
    monkeypatch.setattr(module, "BLOCK", 8)
    align_file(again, make_pairs(20), tmp_path / "out")
    assert again.seen == 0
    meta = json.loads((tmp_path / "out.meta.json").read_text())
    assert meta["sha256"] == hashlib.sha256((tmp_path / "out").read_bytes()).hexdigest()


def test_parquet(tmp_path: Path) -> None:
    from align_eval.corpora import read_links

    pairs = make_pairs(50)
    align_file(Stub(), pairs, tmp_path / "links.jsonl", format="jsonl")
    with pytest.raises(NonFiniteError):
        align_file(Stub("p45"), pairs, tmp_path / "out.parquet", format="parquet", shard_lines=20)
    again = Stub()
    assert align_file(again, pairs, tmp_path / "out.parquet", format="parquet", shard_lines=20) == 50
    assert again.seen == 10  # the shard that was being written is written anew
    rows: list[Any] = []
    import pyarrow.parquet as pq

    for k in range(3):
        rows += pq.read_table(shard_path(tmp_path / "out.parquet", k)).to_pylist()
    for row, (_, line) in zip(rows, read_lines(tmp_path / "links.jsonl"), strict=True):
        expected = json.loads(line)
        assert (row["id"], row["links"]) == (expected["id"], expected["links"])
        assert row["scores"] == pytest.approx(expected["scores"], abs=1e-6)
    assert sum(1 for _ in read_links(shard_path(tmp_path / "out.parquet", 2))) == 10


def test_parquet_wants_its_name_and_shards(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"end in \.parquet"):
        align_file(Stub(), make_pairs(3), tmp_path / "out", format="parquet", shard_lines=2)
    with pytest.raises(InputError, match="--shard-lines"):
        align_file(Stub(), make_pairs(3), tmp_path / "out.parquet", format="parquet")
    assert content(tmp_path) == {}


MEMORY = """
import sys
from align_eval.aligners import Aligner, System
from align_eval.corpora import read_bitext
from align_eval.links import Links
from align_eval.runs.align_file import align_file

class Diagonal(Aligner):
    systems = [System("diagonal")]
    def align_all(self, pairs):
        return {self.systems[0]: [Links([(i, i) for i in range(min(len(p.source), len(p.target)))]) for p in pairs]}

shards = int(sys.argv[3]) or None
lines = align_file(Diagonal(), read_bitext(sys.argv[1]), sys.argv[2], shard_lines=shards)
status = open("/proc/self/status").read()  # the peak of getrusage may be that of the parent
print(lines, status.split("VmHWM:")[1].split()[0])
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize(("name", "shard_lines"), [("out.gz", 0), ("out", 9000)])
def test_memory_does_not_grow_with_the_input(tmp_path: Path, name: str, shard_lines: int) -> None:
    peaks = []
    for count in (20_000, 200_000):
        bitext, folder = tmp_path / f"{count}", tmp_path / f"out{count}"
        folder.mkdir()
        bitext.write_text("".join(f"a{k} b c ||| x{k} y z\n" for k in range(count)))
        run = subprocess.run(
            [sys.executable, "-c", MEMORY, str(bitext), str(folder / name), str(shard_lines)],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=True,
        )
        lines, peak = map(int, run.stdout.split())
        assert lines == count
        peaks.append(peak)
    assert peaks[1] - peaks[0] < 4096, peaks  # KiB
