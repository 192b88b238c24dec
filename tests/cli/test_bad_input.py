"""Bad input through the command line: exit code, one line that says file, line and remedy, and no traceback."""

from __future__ import annotations

import errno
import os
import re
import resource
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from align_eval import files
from align_eval.cli import main

FILES = {
    "gold": b"0-0 1-1\n0-0\n",
    "long": b"0-0 1-1\n0-0\n0-0\n",
    "beyond": b"0-0 1-1\n0-5\n",
    "from-one": b"1-1 2-2\n1-1\n",
    "unproven": b"1-1\n1-1\n",
    "contradictory": b"0-0 2-2\n0-0\n",
    "malformed": b"0-0 1-1\n0-x\n",
    "latin1": b"0-0 1-1\n0-0 \xe4\n",
    "cut.gz": b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03cut",
    "empty": b"",
    "blank": b"\n\n",
    "text": b"a b ||| c d\ne ||| f\n",
    "text.latin1": b"a b ||| c d\n\xe4 ||| f\n",
    "text.short": b"a b ||| c d\n",
    "source": b"a b\ne\n",
    "target": b"c d\n",
    "bad.toml": b"name = \n",
    "method.toml": b'name = "a"\ntestsets = ["mini-ende"]\nkind = "evaluat"\n',
}

# What is asked, the file and line that the message begins with, what it says of the fault, and its remedy.
BAD: dict[str, tuple[str, str, str, str]] = {
    "fewer lines than gold": ("score long gold", "gold", "2 sentence pairs, but 3 in long", "one line of links for"),
    "more lines than gold": ("score gold long", "long", "3 sentence pairs, but 2 in gold", "one line of links for"),
    "links and text": ("score gold gold --bitext text.short", "gold", "2 sentence pairs", "belong together"),
    "parallel files": ("score gold gold --source source --target target", "source:2", "2 lines but target", "look"),
    "parallel files to align": ("align --source source --target target", "source:2", "2 lines but", "look for"),
    "directions": ("symmetrize gold long", "long", "3 sentence pairs, but 2 in gold", "one line of links for"),
    "out of range": ("score gold beyond --bitext text", "beyond:2", "0-5 .*1 source and 1 target words", "Check that"),
    "gold out of range": ("score beyond gold --bitext text", "beyond:2", "0-5 ", "Check that"),
    "convert out of range": ("convert beyond out --bitext text", "beyond:2", "0-5 ", "Check that"),
    "wrong base": ("score gold from-one --hyp-base 0 --bitext text", "from-one:1", "2-2 ", "Probably .* count from 1"),
    "wrong base of gold": ("score from-one gold --gold-base 0 --bitext text", "from-one:1", "2-2 ", "count from 1"),
    "unproven base": ("score gold unproven", "unproven", "base cannot be proven", "Pass the base: 0 or 1"),
    "contradictory base": ("score gold contradictory --bitext text", "contradictory:1", "contradictory", "Pass"),
    "malformed link": ("score gold malformed", "malformed:2", "'0-x' is not a link", "have the forms i-j"),
    "malformed gold": ("score malformed gold", "malformed:2", "'0-x' is not a link", "have the forms i-j"),
    "undecodable links": ("score gold latin1", "latin1:2", "0xe4 .*is not UTF-8", "Convert the file to UTF-8"),
    "undecodable text": ("score gold gold --bitext text.latin1", "text.latin1:2", "is not UTF-8", "Convert the file"),
    "undecodable text to align": ("align --bitext text.latin1", "text.latin1:2", "is not UTF-8", "Convert the file"),
    "damaged": ("score gold cut.gz", "cut.gz", "the compressed data is damaged", "Fetch the file again"),
    "missing links": ("score gold absent", "absent", "no such file", "Check the path"),
    "missing text": ("align --bitext absent", "absent", "no such file", "Check the path"),
    "missing side": ("align --source source --target absent", "absent", "no such file", "Check the path"),
    "missing experiment": ("run absent.toml", "absent.toml", "no such file", "Name a file"),
    "a folder": ("score gold folder", "folder", "is a folder", "Name a file in it"),
    "empty gold": ("score empty empty", "empty", "the gold has no sentence pairs", "Give a file of gold links"),
    "gold without links": ("score blank blank", "blank", "2 sentence pairs but not a single link", "Give a file"),
    "text as links": ("score text gold", "text:1", "is sentences, not links", "Give a file of links"),
    "unknown test set": ("score deen-rwht gold", "", "unknown test set .*'deen-rwht'", "Did you mean 'deen-rwth'"),
    "unknown test set shown": ("testsets show mini-endee", "", "unknown test set", "Did you mean 'mini-ende'"),
    "unknown test set fetched": ("testsets fetch mini-endee", "", "unknown test set", "Did you mean 'mini-ende'"),
    "unknown test set aligned": ("align --testset mini-endee", "", "unknown test set", "Did you mean 'mini-ende'"),
    "unknown test set evaluated": ("evaluate mini-endee", "", "unknown test set", "Did you mean 'mini-ende'"),
    "unknown model": ("align --bitext text -m offline:e5-smal", "", "unknown offline model", "Did you mean 'e5-small'"),
    "unknown model evaluated": ("evaluate mini-ende -m offline:e5-smal", "", "unknown offline", "mean 'e5-small'"),
    "unknown model shown": ("models show offline:e5-smal", "", "unknown offline model", "Did you mean 'e5-small'"),
    "unknown model added": ("models add e5-smal", "", "unknown offline model", "Did you mean 'e5-small'"),
    "unknown method": ("align --bitext text -x itremax", "", "unknown method 'itremax'", "Did you mean 'itermax'"),
    "unknown method evaluated": ("evaluate mini-ende -x itremax", "", "unknown method", "Did you mean 'itermax'"),
    "unknown option of a method": ("align --bitext text -x softmax:treshold=1", "", "unknown option", "'threshold'"),
    "bad option of a method": ("align --bitext text -x softmax:threshold=a", "", "is not threshold=<number>", "Write"),
    "unknown format": ("convert gold out --from faraoh", "", "unknown link format", "Did you mean 'pharaoh'"),
    "unknown bitext format": ("align --bitext text --bitext-format jsnl", "", "unknown bitext format", "mean 'jsonl'"),
    "unknown tokenizer": ("align --bitext text --tokenize 13b", "", "unknown tokeni[sz]er", "Did you mean '13a'"),
    "output in no folder": ("convert gold absent/out", "absent/out", "cannot be written", "create it first"),
    "output is a folder": ("convert gold folder", "folder", "cannot be written", "Name a file in that folder"),
    "aligned into no folder": ("align --bitext text -o absent/out", "absent/out", "cannot be written", "create it"),
    "bad experiment": ("run bad.toml", "bad.toml", "is not TOML", "Mend that line"),
    "bad kind of experiment": ("run method.toml", "", "unknown kind of experiment", "Did you mean 'evaluate'"),
}  # fmt: skip

USAGE = {
    "option": "score gold gold --golden-base 1",
    "base": "score gold gold --gold-base 2",
    "order": "convert gold out --order-in tt",
    "number": "score gold gold --resamples many",
    "negative": "score gold gold --seed -1",
    "range": "score gold gold --confidence 95",
    "half a bitext": "score gold gold --source source",
    "two bitexts": "score gold gold --bitext text --source source --target target",
    "no text": "align",
    "sub-word rule": "align --bitext text --subword some",
    "layer": "align --bitext text --layer -1",
    "symmetrisation": "symmetrize gold gold --method grown",
    "no hypothesis": "score gold",
    "two outputs": "evaluate mini-ende --json --latex",
    "command": "scoer gold gold",
}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name, content in FILES.items():
        (tmp_path / name).write_bytes(content)
    (tmp_path / "folder").mkdir()
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[object, str, str]:
    """Exit code, standard output and standard error of ``align-eval``."""
    with pytest.raises(SystemExit) as left:
        main(list(words))
    return (left.value.code, *capsys.readouterr())


def no_model(*_: Any, **__: Any) -> None:
    raise AssertionError("a model is loaded before the input is checked")


@pytest.mark.parametrize("kind", BAD)
def test_one_line(kind: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command, where, fault, remedy = BAD[kind]
    code, out, err = run(capsys, *command.split(" "))
    assert (code, out) == (1, ""), err
    assert err.startswith(f"align-eval: {where}: " if where else "align-eval: ")
    assert err.count("\n") == 1
    assert err.endswith("\n")
    assert re.search(f"{fault}.*{remedy}", err), err
    assert sorted(p.name for p in folder.iterdir() if not p.name.startswith(".")) == sorted([*FILES, "folder"])


@pytest.mark.parametrize(
    "kind",
    ["unknown test set aligned", "unknown test set evaluated", "unknown method", "unknown method evaluated"],
)
def test_names_are_checked_before_the_model_is_loaded(
    kind: str, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import align_eval.models

    monkeypatch.setattr(align_eval.models, "load_model", no_model)
    assert run(capsys, *BAD[kind][0].split(" "))[0] == 1


@pytest.mark.parametrize("kind", USAGE)
def test_usage(kind: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run(capsys, *USAGE[kind].split(" "))
    assert (code, out) == (2, ""), err
    assert "Traceback" not in err
    assert len([line for line in err.splitlines() if line.startswith("Error: ")]) == 1
    assert err.splitlines()[-1].startswith("Error: ")


@pytest.mark.parametrize("name", ["-v", "--verbose"])
def test_a_value_is_no_option(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "links").write_text("0-0 1-1\n", "utf-8")
    for words in (["--base", "0", "-o", name], ["--base", "0", f"--output={name}"]):
        with pytest.raises(SystemExit) as stop:
            main(["symmetrize", "links", "links", "--reverse-order", "st", *words])
        assert not stop.value.code
        assert (tmp_path / name).read_text("utf-8") == "0-0 1-1\n"
        (tmp_path / name).unlink()


@pytest.mark.parametrize(
    "command", ["-v score gold absent", "--verbose score gold absent", "score gold absent -v", "score -v gold absent"]
)
def test_v_shows_the_traceback(command: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run(capsys, *command.split(" "))
    assert (code, out) == (1, "")
    assert err.startswith("Traceback (most recent call last):\n")
    assert err.endswith("align-eval: absent: no such file. Check the path\n")


def process(words: list[str], folder: Path, **options: Any) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", "from align_eval.cli import main\nmain()", *words]
    return subprocess.run(command, cwd=folder, stderr=subprocess.PIPE, text=True, check=False, timeout=300, **options)


@pytest.mark.parametrize("before", [None, b"0-0\n"])
def test_a_file_that_grows_too_large_leaves_what_was_there(before: bytes | None, folder: Path) -> None:
    """A limit of file sizes stands for a full disk, which a test cannot make."""
    (folder / "many").write_bytes(b"0-0 1-1 2-2\n" * 20_000)
    if before is not None:
        (folder / "out").write_bytes(before)
    names = set(os.listdir(folder))

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 16, 1 << 16))

    done = process(["convert", "many", "out"], folder, preexec_fn=limit, stdout=subprocess.PIPE)
    assert (done.returncode, done.stdout) == (1, "")
    assert re.fullmatch(
        r"align-eval: out: cannot be written: File too large\. .*write elsewhere with -o\n", done.stderr
    )
    assert set(os.listdir(folder)) == names
    assert before is None or (folder / "out").read_bytes() == before


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="the system has no device that is always full")
@pytest.mark.parametrize("command", ["score gold gold", "convert gold -", "symmetrize gold gold", "testsets list"])
def test_standard_output_on_a_full_disk(command: str, folder: Path) -> None:
    # Opened here and handed over: the device is never named as an output file.
    with open("/dev/full", "wb") as full:
        done = process(command.split(" "), folder, stdout=full)
    assert done.returncode == 1
    assert re.fullmatch(r"align-eval: .*No space left on device.*\n", done.stderr), done.stderr


def test_a_folder_that_may_not_be_written(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr(files, "temporary_beside", refuse)  # root, who may run the tests, may write everywhere
    code, out, err = run(capsys, "convert", "gold", "folder/out")
    assert (code, out) == (1, "")
    remedy = "Check the rights of the folder or write elsewhere with -o"
    assert err == f"align-eval: folder/out: cannot be written: Permission denied. {remedy}\n"
