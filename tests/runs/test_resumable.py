"""Output in blocks that survives interruptions."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from align_eval.errors import InputError, OutputError
from align_eval.files import read_lines
from align_eval.io.resumable import Key, ResumableWriter
from align_eval.version import __version__

ENDINGS = ["", ".gz", ".xz", ".zst"]
SETTINGS: dict[str, Any] = {"signature": {"model": "m", "layer": "7"}, "format": "pharaoh"}
BLOCKS = [["0-0", "", "1-2 3-4"], ["ä 漢字 😀"], [], ["last"]]


def write(path: Path, blocks: list[list[str]]) -> bytes:
    """The bytes of an undisturbed run."""
    out = ResumableWriter(path, Key.of(**SETTINGS))
    for block in blocks:
        out.append(block)
    out.finish()
    return path.read_bytes()


def lines_of(path: Path) -> list[str]:
    return [line for _, line in read_lines(path)]


def listing(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.iterdir())


@pytest.mark.parametrize("ending", ENDINGS)
def test_undisturbed_run_leaves_only_the_file(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"out.txt{ending}"
    write(path, BLOCKS)
    assert lines_of(path) == [line for block in BLOCKS for line in block]
    assert listing(tmp_path) == [path.name]


@pytest.mark.parametrize("ending", ENDINGS)
def test_nothing_stands_at_the_name_before_the_end(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"out{ending}"
    path.write_text("old")
    out = ResumableWriter(path, Key.of(**SETTINGS))
    out.append(["new"])
    assert path.read_text() == "old"
    out.finish()
    assert lines_of(path) == ["new"]


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("done", range(len(BLOCKS) + 1))
def test_resumed_after_any_block_the_bytes_are_the_same(tmp_path: Path, ending: str, done: int) -> None:
    expected = write(tmp_path / f"whole{ending}", BLOCKS)
    path = tmp_path / f"out{ending}"
    first = ResumableWriter(path, Key.of(**SETTINGS))
    for block in BLOCKS[:done]:
        first.append(block)
    first.close()
    with open(first.part, "ab") as stream:  # written after the last journal entry, then killed
        stream.write(b"half a blo")
    second = ResumableWriter(path, Key.of(**SETTINGS))
    assert second.lines == sum(len(b) for b in BLOCKS[:done])
    for block in BLOCKS[done:]:
        second.append(block)
    second.finish()
    assert path.read_bytes() == expected


@given(
    st.lists(st.lists(st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=5), max_size=4), max_size=5),
    st.lists(st.integers(0, 5), max_size=4),
    st.sampled_from(ENDINGS),
)
@settings(max_examples=40, deadline=None)
def test_any_interruptions(
    tmp_path_factory: pytest.TempPathFactory, blocks: list[list[str]], stops: list[int], ending: str
) -> None:
    folder = tmp_path_factory.mktemp("runs")
    expected = write(folder / f"whole{ending}", blocks)
    path = folder / f"out{ending}"
    done = 0
    for stop in stops:
        out = ResumableWriter(path, Key.of(**SETTINGS))
        assert out.lines == sum(len(b) for b in blocks[:done])
        for block in blocks[done : done + stop]:
            out.append(block)
        done = min(done + stop, len(blocks))
        out.close()
    out = ResumableWriter(path, Key.of(**SETTINGS))
    for block in blocks[done:]:
        out.append(block)
    out.finish()
    assert path.read_bytes() == expected
    assert lines_of(path) == [line for block in blocks for line in block]


@pytest.mark.parametrize("ending", ENDINGS)
def test_a_file_of_no_lines_can_be_unpacked(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"out{ending}"
    raw = write(path, [])
    assert lines_of(path) == []
    assert bool(raw) == bool(ending)  # an empty file would not be a gzip file


def unfinished(path: Path, **changes: Any) -> ResumableWriter:
    out = ResumableWriter(path, Key.of(**SETTINGS, **changes))
    out.append(["one", "two"])
    out.close()
    return out


def test_other_settings_are_named(tmp_path: Path) -> None:
    out = unfinished(tmp_path / "out", restart_rule=1)
    other = {"signature": {"model": "m", "layer": "8"}, "format": "jsonl", "added": 1}
    with pytest.raises(InputError, match=r"different: added, format, layer, restart_rule\).*--restart") as caught:
        ResumableWriter(tmp_path / "out", Key.of(**other))
    assert caught.value.file == str(out.part)
    # Nothing was harmed: with its own settings the run goes on.
    again = ResumableWriter(tmp_path / "out", Key.of(**SETTINGS, restart_rule=1))
    assert again.lines == 2


def test_restart_starts_over_whatever_stands_there(tmp_path: Path) -> None:
    path = tmp_path / "out"
    out = unfinished(path)
    out._journal.path.write_text("{")
    fresh = ResumableWriter(path, Key.of(other=1), resume=False)
    assert fresh.lines == 0
    fresh.append(["new"])
    fresh.finish()
    assert lines_of(path) == ["new"]


@pytest.mark.parametrize(
    "journal",
    [
        b"",
        b"{",
        b"\xff\xfe",
        b"[]",
        b"null",
        b"{}",
        b'{"settings": 3, "lines": 1, "bytes": 1}',
        b'{"settings": [], "bytes": 1}',
        b'{"settings": {}, "lines": "x", "bytes": 1}',
        b'{"settings": {}, "lines": -1, "bytes": 4}',
        b'{"settings": {}, "lines": 1, "bytes": -4}',
        b'{"settings": {}, "lines": null, "bytes": 1}',
        b'{"settings": [1, 2], "lines": 1, "bytes": 1}',
    ],
)
def test_a_damaged_journal_is_an_error_that_says_what_to_do(tmp_path: Path, journal: bytes) -> None:
    path = tmp_path / "out"
    out = unfinished(path)
    out._journal.path.write_bytes(journal)
    with pytest.raises(InputError, match="--restart") as caught:
        ResumableWriter(path, Key.of(**SETTINGS))
    assert caught.value.file in (str(out._journal.path), str(out.part))


@given(st.binary(max_size=60))
@settings(max_examples=80, deadline=None)
def test_arbitrary_bytes_for_a_journal_give_typed_errors_only(
    tmp_path_factory: pytest.TempPathFactory, journal: bytes
) -> None:
    path = tmp_path_factory.mktemp("runs") / "out"
    path.with_name("out.part").write_bytes(b"one\n")
    path.with_name("out.part.jsonl").write_bytes(journal)
    with pytest.raises(InputError):
        ResumableWriter(path, Key.of(**SETTINGS))


def test_output_shorter_than_its_journal_is_not_trusted(tmp_path: Path) -> None:
    path = tmp_path / "out"
    out = unfinished(path)
    out.part.write_bytes(b"one")
    again = ResumableWriter(path, Key.of(**SETTINGS))
    assert again.lines == 0
    again.append(["new"])
    again.finish()
    assert lines_of(path) == ["new"]


def test_killed_between_the_last_two_steps(tmp_path: Path) -> None:
    """The file has its name, the journal is still there: the next run starts over."""
    path = tmp_path / "out"
    out = unfinished(path)
    os.replace(out.part, path)
    again = ResumableWriter(path, Key.of(other=1))
    assert again.lines == 0
    assert lines_of(path) == ["one", "two"]


def test_two_runs_do_not_write_one_file(tmp_path: Path) -> None:
    pytest.importorskip("fcntl")
    path = tmp_path / "out"
    first = ResumableWriter(path, Key.of(**SETTINGS))
    first.append(["one"])
    for resume in (True, False):
        with pytest.raises(OutputError, match="another run is writing"):
            ResumableWriter(path, Key.of(**SETTINGS), resume=resume)
    first.append(["two"])
    first.finish()
    assert lines_of(path) == ["one", "two"]


def test_a_link_is_followed(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "out").symlink_to(tmp_path / "disk" / "real")
    write(tmp_path / "out", [["line"]])
    assert (tmp_path / "out").is_symlink()
    assert listing(tmp_path / "disk") == ["real"]


def test_what_is_no_file_is_refused_at_once(tmp_path: Path) -> None:
    for path in (tmp_path, Path(os.devnull)):
        with pytest.raises(OutputError, match="not a regular file"):
            ResumableWriter(path, Key.of(**SETTINGS))
    assert listing(tmp_path) == []


def test_a_missing_folder(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="The folder does not exist") as caught:
        ResumableWriter(tmp_path / "no" / "out", Key.of(**SETTINGS))
    assert caught.value.file == str(tmp_path / "no" / "out")


LIMITED = """
import resource, sys
from align_eval.errors import OutputError
from align_eval.io.resumable import Key
from align_eval.io.resumable import ResumableWriter
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), resource.RLIM_INFINITY))
out = ResumableWriter(sys.argv[1], Key.of(format="pharaoh"))
try:
    for k in range(10):
        out.append([f"{k} " * 100] * 10)
except OutputError as error:
    out.close()
    print(out.lines, error)
"""


@pytest.mark.parametrize("limit", [5000, 4020])
def test_a_file_that_may_grow_no_more(tmp_path: Path, limit: int) -> None:
    """The system refuses a part of a block: the whole blocks before it stay, and the run is resumable."""
    path = tmp_path / "out"
    run = subprocess.run(
        [sys.executable, "-c", LIMITED, str(path), str(limit)], capture_output=True, text=True, check=True
    )
    assert run.stderr == ""
    assert run.stdout.startswith(f"20 {path}: cannot be written")
    again = ResumableWriter(path, Key.of(format="pharaoh"))
    assert again.lines == 20
    again.append(["last"])
    again.finish()
    assert lines_of(path)[-2:] == ["1 " * 100, "last"]
    assert len(lines_of(path)) == 21


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full on this system")
def test_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "out"
    out = ResumableWriter(path, Key.of(**SETTINGS))
    out.append(["one"])
    written: Any = out._out
    real = written._stream
    with open("/dev/full", "r+b") as full:
        written._stream = full
        with pytest.raises(OutputError, match=r"No space left on device\. Free space on that disk"):
            out.append(["two"])
        out.close()  # refuses its bytes once more, without hiding the error
        assert full.closed
    real.close()
    again = ResumableWriter(path, Key.of(**SETTINGS))
    assert again.lines == 1


def test_the_journal_says_how_far_the_output_holds(tmp_path: Path) -> None:
    out = unfinished(tmp_path / "out")
    key, block = [json.loads(line.rpartition("\t")[0]) for line in lines_of(out._journal.path)]
    assert key == {"key": {**SETTINGS, "version": __version__}}
    assert (block["lines"], block["bytes"]) == (2, 8)
    assert out.part.read_bytes() == b"one\ntwo\n"


@pytest.mark.parametrize(("before", "after"), [(b'"lines": 2', b'"lines": 1'), (b'"bytes": 8', b'"bytes": 4'),
                                               (b'"layer": "7"', b'"layer": "8"')])  # fmt: skip
def test_a_journal_with_believable_damaged_numbers_is_noticed(tmp_path: Path, before: bytes, after: bytes) -> None:
    out = unfinished(tmp_path / "out")
    journal = out._journal.path
    journal.write_bytes(journal.read_bytes().replace(before, after))
    with pytest.raises(InputError, match=r"damaged.*--restart") as caught:
        ResumableWriter(tmp_path / "out", Key.of(**SETTINGS))
    assert caught.value.file == str(journal)
    assert caught.value.line == (1 if b"layer" in before else 2)


def test_a_line_that_is_gone_from_the_journal_is_noticed(tmp_path: Path) -> None:
    out = ResumableWriter(tmp_path / "out", Key.of(**SETTINGS))
    for text in ("one", "two", "three"):
        out.append([text])
    out.close()
    journal = out._journal.path
    rows = journal.read_bytes().splitlines(keepends=True)
    journal.write_bytes(b"".join([*rows[:2], *rows[3:]]))
    with pytest.raises(InputError, match="damaged"):
        ResumableWriter(tmp_path / "out", Key.of(**SETTINGS))
    journal.write_bytes(b"".join(rows[:3]) + rows[3][:20])  # cut short by a kill
    assert ResumableWriter(tmp_path / "out", Key.of(**SETTINGS)).lines == 2


@pytest.mark.parametrize("ending", ENDINGS)
def test_output_that_was_changed_is_not_continued(tmp_path: Path, ending: str) -> None:
    out = unfinished(tmp_path / f"out{ending}")
    raw = bytearray(out.part.read_bytes())
    raw[3] ^= 1
    out.part.write_bytes(raw)
    with pytest.raises(InputError, match=r"was changed.*--restart"):
        ResumableWriter(tmp_path / f"out{ending}", Key.of(**SETTINGS))
