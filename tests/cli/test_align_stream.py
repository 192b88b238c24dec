"""``align-eval align`` on streams: shards, Parquet, engines, progress. With an aligner that needs no model."""

from __future__ import annotations

import io
import json
import re
import time
from pathlib import Path

import pytest

from align_eval.cli import main
from align_eval.cli._progress import progress_bar
from align_eval.corpora import Corpus, read_bitext, write_bitext
from align_eval.runs.align_file import count_meanwhile
from tests.runs.stub import Stub, make_pairs


@pytest.fixture
def bitext(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """2,100 pairs in a file, and the stub for every model."""
    monkeypatch.setattr("align_eval.aligners.make_aligner", lambda settings: Stub())
    write_bitext(tmp_path / "pairs", make_pairs(2100), "pipes")
    return tmp_path / "pairs"


def run(*arguments: object) -> int:
    try:
        main([str(a) for a in arguments])
    except SystemExit as stop:
        return int(stop.code or 0)
    return 0


def test_shards_hold_the_lines_of_one_file(bitext: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("align", "--bitext", bitext, "-o", tmp_path / "one.talp") == 0
    assert run("align", "--bitext", bitext, "-o", tmp_path / "out.talp", "--shard-lines", 900) == 0
    captured = capsys.readouterr()
    assert captured.out == ""
    assert f"2100 lines in the shards that {tmp_path / 'out.talp'}.shards.jsonl lists" in captured.err
    shards = sorted(tmp_path.glob("out-*.talp"))
    assert [s.name for s in shards] == ["out-00000.talp", "out-00001.talp", "out-00002.talp"]
    assert b"".join(s.read_bytes() for s in shards) == (tmp_path / "one.talp").read_bytes()
    assert run("align", "--bitext", bitext, "-o", tmp_path / "out.talp", "--shard-lines", 900) == 1
    assert "--restart" in capsys.readouterr().err
    assert run("align", "--bitext", bitext, "-o", tmp_path / "out.talp", "--shard-lines", 2000, "--restart") == 0
    assert len(list(tmp_path.glob("out-*.talp"))) == 2


def test_parquet(bitext: Path, tmp_path: Path) -> None:
    output = tmp_path / "out.parquet"
    assert run("align", "--bitext", bitext, "-o", output, "--format", "parquet", "--shard-lines", 1500) == 0
    meta = json.loads((tmp_path / "out.parquet.meta.json").read_text())
    assert (meta["lines"], meta["shards"]) == (2100, 2)


def test_usage(bitext: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    given = ["align", "--bitext", bitext]
    assert run(*given, "--shard-lines", 5) == 2
    assert run(*given, "--format", "parquet", "-o", "-") == 2
    assert run(*given, "-o", tmp_path / "out", "--shard-lines", 0) == 2
    assert "need --output" in " ".join(capsys.readouterr().err.split())
    assert sorted(p.name for p in tmp_path.iterdir()) == ["pairs"]


def test_lines_of_progress(capsys: pytest.CaptureFixture[str]) -> None:
    with progress_bar("aligning", None, log_seconds=0.05) as bar:
        bar.start_at(5000)
        for number in range(4):
            time.sleep(0.06)
            if number == 2:
                bar.expect(41_000)
            bar(1000)
    first, *_, last = capsys.readouterr().err.splitlines()
    assert re.fullmatch(r"align-eval: aligning: [67]000 pairs, [0-9.]+ pairs/s", first)
    assert re.fullmatch(r"align-eval: aligning: [89]000 pairs, [0-9.]+ pairs/s, 00:0[0-9] left of 41000", last)
    with progress_bar("aligning", 2, log_seconds=60) as bar:
        bar(2)
    assert capsys.readouterr().err == ""


def test_without_a_terminal_and_without_lines_progress_is_silent(capsys: pytest.CaptureFixture[str]) -> None:
    with progress_bar("aligning", None) as bar:
        bar(1)
        bar.expect(2)
        bar.start_at(1)
    assert capsys.readouterr() == ("", "")


def test_a_terminal_shows_rate_and_time_left(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setattr("sys.stderr", Terminal())
    monkeypatch.setenv("COLUMNS", "100")
    import sys

    with progress_bar("aligning", None) as bar:
        bar.start_at(500)
        bar.expect(2000)
        bar(10)
        bar(10)
    shown = sys.stderr.getvalue()  # type: ignore[attr-defined]
    assert "520/2000" in shown
    assert "pairs/s" in shown


def test_counting_meanwhile(bitext: Path, tmp_path: Path) -> None:
    told: list[int] = []
    thread = count_meanwhile(read_bitext(bitext), [bitext], told.append)
    assert thread is not None
    thread.join(20)
    assert told == [2100]
    assert thread.daemon
    assert count_meanwhile(read_bitext(bitext), ["-"], told.append) is None  # a stream
    assert count_meanwhile(Corpus.from_pairs(make_pairs(3)), [bitext], told.append) is None
    waiting = count_meanwhile(read_bitext(bitext), [bitext], told.append, after=60)
    assert waiting is not None
    waiting.cancel()
    (tmp_path / "short").write_text("one\n")
    (tmp_path / "long").write_text("one\ntwo\n")
    files = [tmp_path / "short", tmp_path / "long"]
    uneven = count_meanwhile(read_bitext(*files), files, told.append)
    assert uneven is not None
    uneven.join(20)  # says nothing: the pass that reads the pairs raises it
    assert told == [2100]
