"""Many files in, same-named files out: names, resumption, what is refused."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from align_eval.cli import main
from align_eval.corpora import SentencePair, read_links
from align_eval.errors import InputError, MissingFileError, NonFiniteError, OutputError
from align_eval.runs.align_file import align_files, align_lines, file_tasks, names_files
from tests.runs.stub import Stub, make_pairs, make_stub


def text(pairs: list[SentencePair]) -> bytes:
    return "".join(f"{' '.join(p.source)} ||| {' '.join(p.target)}\n" for p in pairs).encode()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "in"
    made.mkdir()
    (made / "a.pipes").write_bytes(text(make_pairs(9)))
    (made / "b.x.pipes.gz").write_bytes(gzip.compress(text(make_pairs(20))))
    (made / "_SUCCESS").touch()
    (made / "deeper").mkdir()
    return made


def run(*words: object) -> int:
    try:
        main([str(word) for word in words])
    except SystemExit as stop:
        return int(stop.code or 0)
    return 0


def test_a_folder_by_the_command(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("align_eval.aligners.make_aligner", make_stub)
    assert run("align", "--bitext", folder, "-o", tmp_path / "out") == 0
    assert capsys.readouterr().err == f"align-eval: 29 lines of 2 files in {tmp_path / 'out'}\n"
    names = sorted(file.name for file in (tmp_path / "out").iterdir())
    assert names == ["a.talp", "a.talp.meta.json", "b.x.talp.gz", "b.x.talp.gz.meta.json"]
    expected = "".join(f"{line}\n" for line in align_lines(Stub(), make_pairs(20)))
    assert gzip.decompress((tmp_path / "out" / "b.x.talp.gz").read_bytes()).decode() == expected
    assert run("align", "--bitext", folder / "b*", "-o", tmp_path / "some") == 0
    assert sorted(file.name for file in (tmp_path / "some").iterdir()) == names[2:]
    assert (tmp_path / "some" / "b.x.talp.gz").read_bytes() == (tmp_path / "out" / "b.x.talp.gz").read_bytes()
    for words in (("--bitext", folder), ("--bitext", folder, "-o", tmp_path / "o", "--keep-text", "t")):
        assert run("align", *words) == 2


def test_what_is_done_is_not_done_again(folder: Path, tmp_path: Path) -> None:
    tasks = file_tasks(str(folder), tmp_path / "out", "jsonl")
    with pytest.raises(NonFiniteError):
        align_files(Stub(stop="12"), tasks, format="jsonl")
    second = Stub()
    told: list[int] = []
    assert align_files(second, tasks, format="jsonl", progress=told.append)["lines"] == 29
    assert (second.seen, told) == (20, [1, 1])
    third = Stub()
    assert (align_files(third, tasks, format="jsonl")["lines"], third.seen) == (29, 0)
    Path(tasks[0].output).write_text("damaged")
    (folder / "c.pipes").write_bytes(text(make_pairs(3)))
    tasks = file_tasks(str(folder), tmp_path / "out", "jsonl")
    assert (align_files(third, tasks, format="jsonl")["lines"], third.seen) == (32, 9 + 3)
    (folder / "c.pipes").write_bytes(text(make_pairs(4)))
    assert (align_files(third, tasks, format="jsonl")["lines"], third.seen) == (33, 12 + 4)
    other = Stub(layer=8)
    assert (align_files(other, tasks, format="jsonl")["lines"], other.seen) == (33, 33)
    again = Stub(layer=8)
    assert (align_files(again, tasks, format="jsonl", resume=False)["lines"], again.seen) == (33, 33)


def test_whole_parquet_files_and_shards(folder: Path, tmp_path: Path) -> None:
    tasks = file_tasks(str(folder), tmp_path / "out", "parquet")
    align_files(Stub(), tasks, format="parquet")
    table = read_links(tmp_path / "out" / "b.x.parquet")
    assert [str(table[k]) for k in range(20)] == list(align_lines(Stub(), make_pairs(20)))
    shards = file_tasks(str(folder), tmp_path / "shards")
    align_files(Stub(), shards, shard_lines=8)
    again = Stub()
    assert (align_files(again, shards, shard_lines=8)["lines"], again.seen) == (29, 0)
    (tmp_path / "shards" / "a-00001.talp").unlink()
    with pytest.raises(InputError, match="shards of another run stand there"):
        align_files(again, shards, shard_lines=8)


class Together(Stub):
    whole_corpus = True


def test_what_is_refused(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(MissingFileError, match="names no file"):
        file_tasks(str(folder / "*.tmx"), tmp_path / "out")
    with pytest.raises(OutputError, match="is a file, not a folder"):
        file_tasks(str(folder), folder / "a.pipes")
    with pytest.raises(InputError, match="trained on each file alone"):
        align_files(Together(), file_tasks(str(folder), tmp_path / "out"))
    (folder / "a.tsv").touch()
    with pytest.raises(InputError, match=r"a\.pipes would have the same output, a\.talp"):
        file_tasks(str(folder), tmp_path / "out")
    (folder / "d.talp").touch()
    with pytest.raises(InputError, match="the links would replace their input"):
        file_tasks(str(folder / "d*"), folder)
    assert not (tmp_path / "out").exists()
    assert not names_files(str(folder / "a.pipes"))
    odd = folder / "a[b].pipes"
    odd.touch()
    assert not names_files(str(odd))
