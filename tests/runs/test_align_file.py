"""Files of links: undisturbed, interrupted, killed, refused, and what stands beside them."""

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

from align_eval.corpora import SentencePair
from align_eval.errors import FormatError, InputError, NonFiniteError, OutputError, UnknownNameError
from align_eval.files import read_lines
from align_eval.links import Links
from align_eval.runs import align_file as module
from align_eval.runs.align_file import align_file, align_lines, align_stream
from align_eval.version import __version__
from tests.runs.stub import Stub, make_pairs

ROOT = Path(__file__).resolve().parents[2]
PAIRS = make_pairs(50)
ENDINGS = ["", ".gz", ".xz", ".zst"]


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks of 8 pairs: 50 pairs make seven."""
    monkeypatch.setattr(module, "BLOCK", 8)


def held(path: Path) -> int:
    """Lines that hold of an unfinished run."""
    last = Path(f"{path}.part.jsonl").read_text().splitlines()[-1]
    return int(json.loads(last.rpartition("\t")[0])["lines"])


def lines_of(path: Path) -> list[str]:
    return [line for _, line in read_lines(path)]


def expected_links(count: int = 50) -> list[Links]:
    aligner = Stub()
    return aligner.align_all(make_pairs(count))[aligner.systems[0]]


def test_pharaoh_line_for_line(tmp_path: Path) -> None:
    out = tmp_path / "out.txt"
    assert align_file(Stub(), PAIRS, out) == 50
    lines = lines_of(out)
    assert lines == [str(links) for links in expected_links()]
    for pair, line in zip(PAIRS, lines, strict=True):
        if not pair.source or not pair.target:
            assert line == ""
    assert sorted(p.name for p in tmp_path.iterdir()) == ["out.txt", "out.txt.meta.json"]


def test_jsonl_carries_scores(tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    align_file(Stub(), PAIRS, out, format="jsonl")
    rows = [json.loads(line) for line in lines_of(out)]
    assert [row["id"] for row in rows] == [pair.id for pair in PAIRS]
    for pair, row, links in zip(PAIRS, rows, expected_links(), strict=True):
        assert [tuple(p) for p in row["links"]] == list(links)
        assert links.scores is not None
        assert row["scores"] == pytest.approx(links.scores.tolist(), abs=1e-6)
        if not pair.source or not pair.target:
            assert row["links"] == row["scores"] == []


def test_jsonl_of_an_aligner_without_scores(tmp_path: Path) -> None:
    class Plain(Stub):
        def align_all(self, pairs: Any) -> Any:
            return {s: [Links(list(x)) for x in found] for s, found in super().align_all(pairs).items()}

    align_file(Plain(), PAIRS[:9], tmp_path / "out", format="jsonl")
    assert [list(json.loads(line)) for line in lines_of(tmp_path / "out")] == [["id", "source", "target", "links"]] * 9


@pytest.mark.parametrize("count", [0, 1, 8, 16, 17])
def test_streams_and_lines_agree_with_files_at_block_boundaries(tmp_path: Path, count: int) -> None:
    pairs = make_pairs(count)
    blocks = list(align_stream(Stub(), iter(pairs), block=8))
    assert [len(b) for b in blocks] == [min(8, count - k) for k in range(0, count, 8)]
    assert [x for b in blocks for x in b] == expected_links(count)
    for form in ("pharaoh", "jsonl"):
        assert align_file(Stub(), pairs, tmp_path / "out", format=form) == count
        assert lines_of(tmp_path / "out") == list(align_lines(Stub(), iter(pairs), form))


def test_lines_come_block_by_block() -> None:
    aligner = Stub()
    lines = align_lines(aligner, iter(PAIRS))
    next(lines)
    assert aligner.seen == 8


def test_meta_says_what_a_citation_needs(tmp_path: Path) -> None:
    out = tmp_path / "out.gz"
    align_file(Stub(layer=3), PAIRS, out)
    assert json.loads((tmp_path / "out.gz.meta.json").read_text(encoding="utf-8")) == {
        "signature": {"model": "stub", "layer": "3", "method": "stub", "version": __version__},
        "base": 0,
        "lines": 50,
        "sha256": hashlib.sha256(out.read_bytes()).hexdigest(),
    }


@pytest.mark.parametrize("stop", ["p0", "p8", "p20", "p49"])
@pytest.mark.parametrize("form", ["pharaoh", "jsonl"])
def test_resumed_after_an_error(tmp_path: Path, stop: str, form: str) -> None:
    align_file(Stub(), PAIRS, tmp_path / "whole", format=form)
    out = tmp_path / "out"
    with pytest.raises(NonFiniteError, match=stop):
        align_file(Stub(stop), PAIRS, out, format=form)
    assert not out.exists()
    assert not (tmp_path / "out.meta.json").exists()
    done = int(stop[1:]) // 8 * 8
    second, progress = Stub(), []
    assert align_file(second, PAIRS, out, format=form, progress=progress.append) == 50
    assert out.read_bytes() == (tmp_path / "whole").read_bytes()
    assert (tmp_path / "out.meta.json").read_bytes() == (tmp_path / "whole.meta.json").read_bytes()
    assert second.seen == 50 - done  # what was done is not done again
    assert sum(progress) == 50
    assert progress[0] == (done or 8)


def test_interrupted_by_the_input(tmp_path: Path) -> None:
    """An error (or Ctrl-C) while reading pairs leaves a run that can be resumed."""

    def cut() -> Any:
        yield from PAIRS[:30]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        align_file(Stub(), cut(), tmp_path / "out")
    second = Stub()
    align_file(second, PAIRS, tmp_path / "out")
    assert second.seen == 50 - 24
    assert lines_of(tmp_path / "out") == [str(links) for links in expected_links()]


@pytest.mark.parametrize("ending", ENDINGS)
def test_killed_and_resumed_the_bytes_are_the_same(tmp_path: Path, ending: str) -> None:
    align_file(Stub(), PAIRS, tmp_path / f"whole{ending}")
    out = tmp_path / f"out{ending}"
    for stop in ("p13", "p41"):
        run = subprocess.run(
            [sys.executable, "-m", "tests.runs.stub", str(out), "pharaoh", "50", "8", stop],
            cwd=ROOT,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
            capture_output=True,
            text=True,
        )
        assert run.returncode == -signal.SIGKILL, run.stderr
        assert not out.exists()
        assert held(tmp_path / f"out{ending}") == int(stop[1:]) // 8 * 8
    with open(tmp_path / f"out{ending}.part", "ab") as stream:
        stream.write(b"\x00garbage of a write that the kill cut short")
    last = Stub()
    assert align_file(last, PAIRS, out) == 50
    assert last.seen == 10
    assert out.read_bytes() == (tmp_path / f"whole{ending}").read_bytes()
    assert lines_of(out) == [str(links) for links in expected_links()]


def interrupted(path: Path, **options: Any) -> None:
    with pytest.raises(NonFiniteError):
        align_file(Stub("p20"), PAIRS, path, **options)


@pytest.mark.parametrize(
    ("aligner", "options", "named"),
    [
        (Stub(layer=8), {}, "layer"),
        (Stub(), {"format": "jsonl"}, "format"),
        (Stub(), {"settings": {"tokenize": "zh"}}, "tokenize"),
    ],
)
def test_other_settings_are_refused_by_name(tmp_path: Path, aligner: Stub, options: Any, named: str) -> None:
    interrupted(tmp_path / "out")
    with pytest.raises(InputError, match=rf"different: {named}\).*--restart"):
        align_file(aligner, PAIRS, tmp_path / "out", **options)
    assert aligner.seen == 0
    align_file(aligner, PAIRS, tmp_path / "out", resume=False, **options)
    assert len(lines_of(tmp_path / "out")) == 50


@pytest.mark.parametrize("shard_lines", [None, 12])
def test_other_pairs_are_refused_whatever_file_they_come_from(tmp_path: Path, shard_lines: int | None) -> None:
    interrupted(tmp_path / "out", shard_lines=shard_lines)
    one = PAIRS[8]
    for other in (
        SentencePair("other", one.source, one.target),
        SentencePair(one.id, (*one.source, "x"), one.target),
        SentencePair(one.id, one.source, tuple(reversed(one.target))),
    ):
        with pytest.raises(InputError, match=r"first (16|20) pairs are not those.*input was changed.*--restart"):
            align_file(Stub(), [*PAIRS[:8], other, *PAIRS[9:]], tmp_path / "out", shard_lines=shard_lines)
    later = [*PAIRS[:40], *make_pairs(60)[50:]]  # what has not been read may change
    align_file(Stub(), later, tmp_path / "out", shard_lines=shard_lines)
    align_file(Stub(), later, tmp_path / "whole", shard_lines=shard_lines)
    names = [f"-{k:05d}" for k in range(5)] if shard_lines else [""]
    for name in names:
        assert (tmp_path / f"out{name}").read_bytes() == (tmp_path / f"whole{name}").read_bytes()


def test_input_shorter_than_the_unfinished_run(tmp_path: Path) -> None:
    interrupted(tmp_path / "out")
    with pytest.raises(InputError, match=r"16 lines but the input only 9 pairs.*--restart"):
        align_file(Stub(), PAIRS[:9], tmp_path / "out")
    assert align_file(Stub(), PAIRS, tmp_path / "out") == 50  # and was not harmed


def test_a_damaged_journal(tmp_path: Path) -> None:
    interrupted(tmp_path / "out")
    (tmp_path / "out.part.jsonl").write_text('{"settings"')
    with pytest.raises(InputError, match=r"journal of an unfinished run cannot be read.*--restart"):
        align_file(Stub(), PAIRS, tmp_path / "out")
    assert align_file(Stub(), PAIRS, tmp_path / "out", resume=False) == 50


def test_several_systems_and_unknown_formats_leave_nothing_behind(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="2 systems in one output"):
        align_file(Stub(systems=2), PAIRS, tmp_path / "out")
    with pytest.raises(InputError, match="2 systems in one output"):
        next(align_stream(Stub(systems=2), PAIRS))
    with pytest.raises(UnknownNameError, match="Did you mean 'jsonl'"):
        align_file(Stub(), PAIRS, tmp_path / "out", format="json")
    assert list(tmp_path.iterdir()) == []


FULL = """
import resource, sys
from align_eval.errors import OutputError
from align_eval.runs import align_file
from tests.runs.stub import Stub, make_pairs
align_file.BLOCK = 8
resource.setrlimit(resource.RLIMIT_FSIZE, (2500, resource.RLIM_INFINITY))
try:
    align_file.align_file(Stub(), make_pairs(50), sys.argv[1], format="jsonl")
except OutputError as error:
    print(error)
"""


def test_no_more_room_is_a_typed_error_and_the_run_goes_on_later(tmp_path: Path) -> None:
    out = tmp_path / "out"
    run = subprocess.run([sys.executable, "-c", FULL, str(out)], cwd=ROOT, capture_output=True, text=True, check=True)
    assert run.stderr == ""
    assert run.stdout.startswith(f"{out}: cannot be written: File too large. ")
    assert 0 < held(out) < 50
    align_file(Stub(), PAIRS, out, format="jsonl")
    align_file(Stub(), PAIRS, tmp_path / "whole", format="jsonl")
    assert out.read_bytes() == (tmp_path / "whole").read_bytes()


@pytest.mark.parametrize(
    ("format", "shards", "fails"), [("pharaoh", None, 0), ("pharaoh", None, 5), ("jsonl", 20, 3), ("parquet", 20, 7)]
)
def test_a_run_that_wrote_no_line_leaves_nothing(tmp_path: Path, format: str, shards: int | None, fails: int) -> None:
    """A fault in the first block, whatever it is: the run after it, with the file mended, starts afresh."""

    def pairs(broken: bool) -> Any:
        yield from PAIRS[:fails]
        if broken:
            raise FormatError("a fault", file="in", line=fails + 1)
        yield from PAIRS[fails:]

    out = tmp_path / "out.parquet"
    with pytest.raises(FormatError):
        align_file(Stub(), pairs(True), out, format=format, shard_lines=shards, settings={"inputs": "broken"})
    assert list(tmp_path.iterdir()) == []
    assert align_file(Stub(), pairs(False), out, format=format, shard_lines=shards) == 50


def test_a_killed_run_without_lines_blocks_no_other(tmp_path: Path) -> None:
    for name, text in (("out.part", ""), ("out.part.jsonl", '{"key": {"a"')):
        (tmp_path / name).write_text(text)
    assert align_file(Stub(), PAIRS, tmp_path / "out") == 50


def test_what_an_earlier_run_has_written_stays(tmp_path: Path) -> None:
    """A run that fails before its first block leaves the lines of the run that it was to continue."""
    with pytest.raises(NonFiniteError):
        align_file(Stub("p45"), PAIRS, tmp_path / "out")
    before = (tmp_path / "out.part").read_bytes()
    with pytest.raises(NonFiniteError):
        align_file(Stub("p45"), PAIRS, tmp_path / "out")
    assert (tmp_path / "out.part").read_bytes() == before != b""


def test_a_full_disk_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """``fsync`` reports the full disk, as it does where blocks are allocated late."""
    calls = []

    def fsync(handle: int) -> None:
        calls.append(handle)
        if len(calls) > 4:
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fsync)
    with pytest.raises(OutputError, match=r"cannot be written: No space left on device\. Free space"):
        align_file(Stub(), PAIRS, tmp_path / "out")
    monkeypatch.undo()
    monkeypatch.setattr(module, "BLOCK", 8)
    second = Stub()
    assert align_file(second, PAIRS, tmp_path / "out") == 50
    assert second.seen < 50
    assert lines_of(tmp_path / "out") == [str(links) for links in expected_links()]
