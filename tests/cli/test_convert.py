"""``align-eval convert`` as it is run: files in and out, exit codes, and what it tells."""

from __future__ import annotations

import io
import subprocess
import sys
from pathlib import Path

import pytest

from align_eval.cli import main
from align_eval.corpora import read_links


def run(*words: str | Path) -> int:
    try:
        main(["convert", *map(str, words)])
    except SystemExit as stop:
        return int(stop.code or 0)
    return 0


@pytest.fixture
def links(tmp_path: Path) -> Path:
    path = tmp_path / "in.talp"
    path.write_text("1-1 1p2 2-3\n3-2\n\n", "utf-8")
    return path


@pytest.fixture
def bitext(tmp_path: Path) -> Path:
    path = tmp_path / "text.tsv"
    path.write_text("the house\tdas ist Haus\na b c\tx y\nd\tz\n", "utf-8")
    return path


def test_base_proven_and_told(links: Path, bitext: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(links, tmp_path / "out.jsonl", "--bitext", bitext) == 0
    printed = capsys.readouterr()
    assert printed.out == ""
    assert "3 sentence pairs, 3 sure and 1 possible links: pharaoh, base 1 (link 2-3 in line 1" in printed.err
    assert "-> jsonl" in printed.err
    assert str(read_links(tmp_path / "out.jsonl").gold(0)) == "0-0 0p1 1-2"


def test_every_format_and_back(links: Path, bitext: Path, tmp_path: Path) -> None:
    before = read_links(links, base=1)
    at = links
    base_in = "1"
    for name in ("pharaoh", "naacl", "tsv", "jsonl", "parquet", "talp"):
        out = tmp_path / f"step.{name}"
        assert run(at, out, "--to", name, "--base-in", base_in, "--bitext", bitext, "--nulls", "raise") == 0
        at, base_in = out, "auto"
    assert read_links(at) == before


def test_standard_streams(links: Path, monkeypatch: pytest.MonkeyPatch, capsysbinary) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(links.read_bytes())))
    assert run("-", "-", "--base-in", "1", "--to", "pharaoh", "--order-out", "ts", "--base-out", "1") == 0
    assert capsysbinary.readouterr().out == b"1-1 2?1 3-2\n2-3\n\n"


def test_files_with_sentences_need_no_bitext(tmp_path: Path) -> None:
    path = tmp_path / "x.tsv"
    path.write_text("the house\tdas ist Haus\t0-0 1-2\nd\tz\t\n", "utf-8")
    assert run(path, tmp_path / "x.a3") == 0
    assert run(tmp_path / "x.a3", tmp_path / "y.tsv.gz") == 0
    assert run(tmp_path / "y.tsv.gz", tmp_path / "z.tsv", "--order-out", "ts") == 0
    assert run(tmp_path / "z.tsv", tmp_path / "w.tsv", "--order-in", "ts") == 0
    assert (tmp_path / "w.tsv").read_bytes() == path.read_bytes()


def test_two_parallel_files(links: Path, tmp_path: Path) -> None:
    (tmp_path / "s").write_text("the house\na b c\nd\n", "utf-8")
    (tmp_path / "t").write_text("das ist Haus\nx y\nz\n", "utf-8")
    assert run(links, tmp_path / "out.tsv", "--source", tmp_path / "s", "--target", tmp_path / "t") == 0
    assert (tmp_path / "out.tsv").read_text(
        "utf-8"
    ) == "the house\tdas ist Haus\t0-0 0p1 1-2\na b c\tx y\t2-1\nd\tz\t\n"


def test_what_was_left_out_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "in"
    path.write_text("0-1 1-1 1-1 9-9\n", "utf-8")
    (tmp_path / "text").write_text("a ||| b\n", "utf-8")
    words = [path, "-", "--base-in", "1", "--bitext", tmp_path / "text"]
    assert run(*words) == 1
    assert "outside its sentence pair of 1 source and 1 target words" in capsys.readouterr().err
    assert run(*words, "--out-of-range", "drop") == 0
    told = capsys.readouterr()
    assert told.out == "0-0\n"
    assert "1 null links left out; 1 repeated links; 1 links out of range left out (first: " in told.err
    assert run(*words, "--out-of-range", "drop", "--nulls", "raise") == 1
    assert "null link" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (["{in}", "{out}"], 1, "index base cannot be proven"),
        (["{in}", "{out}", "--from", "tlap"], 1, "Did you mean 'talp'"),
        (["{in}", "{out}", "--to", "jsonn", "--base-in", "1"], 1, "Did you mean 'jsonl'"),
        (["{in}", "{out}", "--to", "a3", "--base-in", "1"], 1, "--bitext"),
        (["{in}x", "{out}"], 1, "no such file"),
        (["{in}", "{out}/x/y", "--base-in", "1"], 1, "folder does not exist"),
        (["{in}", "{out}", "--base-in", "2"], 2, "not one of"),
        (["{in}", "{out}", "--order-out", "auto"], 2, "not one of"),
        (["{in}", "{out}", "--source", "x"], 2, "go together"),
        (["{in}", "{out}", "--bitext", "x", "--source", "x", "--target", "y"], 2, "exclude each other"),
        (["{in}"], 2, "OUT"),
    ],
)
def test_errors(
    links: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str], code: int, says: str
) -> None:
    out = tmp_path / "out"
    assert run(*(word.replace("{in}", str(links)).replace("{out}", str(out)) for word in words)) == code
    told = capsys.readouterr()
    assert told.out == ""
    assert says in told.err
    assert "Traceback" not in told.err
    if code == 1:
        assert told.err.count("\n") == 1
    assert not out.exists()


def test_no_model_is_loaded() -> None:
    script = (
        "import sys\nfrom align_eval.cli import main\n"
        "try: main(['convert', '--help'])\nexcept SystemExit: pass\n"
        "print(sorted({'torch', 'transformers', 'scipy', 'pyarrow', 'datasets'} & set(sys.modules)), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stderr.strip() == "[]"
    for option in ("--base-in", "--order-out", "--nulls", "--bitext", "--from"):
        assert option in done.stdout


@pytest.mark.parametrize("ids", [("3", "1", "2"), ("10", "2", "7"), ("0002", "0000", "0001"), ("b", "a", "c")])
def test_names_out_of_order_stay_with_their_links(
    ids: tuple[str, ...], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Numbers that name sentence pairs are kept, or lines are put in their order; other names are told to be lost."""
    lines = [f'{{"id": "{name}", "links": [[{k}, 0]]}}\n' for k, name in enumerate(ids)]
    (tmp_path / "in.jsonl").write_text("".join(lines))
    numbers = ids[0].isdigit()
    for name in ("out.wpt", "out.parquet", "out.talp"):
        assert run(tmp_path / "in.jsonl", tmp_path / name) == 0
        err = capsys.readouterr().err
        found = read_links(tmp_path / name, base=0 if name == "out.talp" else "auto")
        if found.ids is not None and numbers:
            assert {int(i): str(found[k]) for k, i in enumerate(found.ids)} == {
                int(i): f"{k}-0" for k, i in enumerate(ids)
            }
        if name == "out.talp":
            assert ("order of the numbers" in err) == numbers
            expected = sorted(range(3), key=lambda k: int(ids[k])) if numbers else range(3)
            assert [str(links) for links in found if len(links)] == [f"{k}-0" for k in expected]
        assert ("not kept by naacl" in err) == (name == "out.wpt" and not numbers)
