"""``align-eval symmetrize``: files in, file out, published results."""

from __future__ import annotations

from pathlib import Path

import pytest

from align_eval.cli import main
from align_eval.corpora.linkio import read_links
from tests.cli.test_score import run, scored


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """Two directions: the second is target-source."""
    (tmp_path / "forward").write_text("0-0 1-1 2-1\n0-1\n\n")
    (tmp_path / "reverse").write_text("0-0 1-1 2-1\n0-1\n\n")
    return tmp_path


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("--method", "intersection"), "0-0 1-1\n\n\n"),
        (("--method", "union"), "0-0 1-1 1-2 2-1\n0-1 1-0\n\n"),
        (("--method", "grow-diag"), "0-0 1-1\n\n\n"),
        (("--method", "grow-diag", "--rule", "either"), "0-0 1-1 1-2 2-1\n\n\n"),
        ((), "0-0 1-1\n0-1 1-0\n\n"),
        (("--method", "intersection", "--reverse-order", "st"), "0-0 1-1 2-1\n0-1\n\n"),
        (("--method", "intersection", "--base-out", "1"), "1-1 2-2\n\n\n"),
    ],
)
def test_methods(words: tuple[str, ...], expected: str, files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(capsys, "symmetrize", files / "forward", files / "reverse", *words) == (0, expected, "")


def test_output_file_and_one_based_input(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = files / "out"
    words = (files / "forward", files / "reverse", "-o", out, "--method", "union")
    assert run(capsys, "symmetrize", *words) == (0, "", "")
    assert out.read_text() == "0-0 1-1 1-2 2-1\n0-1 1-0\n\n"
    (files / "one").write_text("1-1 2-2 3-2\n1-2\n\n")
    (files / "two").write_text("1-1 2-2 3-2\n1-2\n\n")
    words = (files / "one", files / "two", "-o", out, "--method", "union")
    code, _, err = run(capsys, "symmetrize", *words)
    assert code == 1
    assert "base" in err
    assert run(capsys, "symmetrize", *words, "--base", "1")[0] == 0
    assert out.read_text() == "0-0 1-1 1-2 2-1\n0-1 1-0\n\n"
    (files / "text").write_text("a b c ||| d e f\na b ||| c d\ne ||| f\n")
    out.unlink()
    assert run(capsys, "symmetrize", *words, "--bitext", files / "text")[0] == 0
    assert out.read_text() == "0-0 1-1 1-2 2-1\n0-1 1-0\n\n"


def test_errors_leave_no_file(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = files / "out"
    (files / "short").write_text("0-0\n")
    code, _, err = run(capsys, "symmetrize", files / "forward", files / "short", "-o", out)
    assert code == 1
    assert "3 sentence pairs forward but 1 reverse" in err
    assert run(capsys, "symmetrize", "-", "-", "-o", out)[0] == 1
    assert run(capsys, "symmetrize", files / "forward", files / "none", "-o", out)[0] == 1
    for words in (("--method", "grow-all"), ("--rule", "none"), ("--source", "x"), ("--bitext", "x", "--source", "y")):
        assert run(capsys, "symmetrize", files / "forward", files / "reverse", *words, "-o", out)[0] == 2
    assert not out.exists()
    code, _, err = run(capsys, "symmetrize", files / "forward", files / "reverse", "-o", files / "no" / "out")
    assert code == 1
    assert "does not exist" in err


@pytest.mark.shared
@pytest.mark.parametrize(
    ("method", "name"),
    [
        ("intersection", "intersection"),
        ("union", "union"),
        ("grow-diag", "grow-diagonal"),
        ("grow-diag-final", "grow-diagonal-final"),
    ],
)
def test_published_files(
    method: str, name: str, gold_folder: Path, oracle_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The rule ``both`` gives the four published files from their two inputs, line for line."""
    folder = oracle_folder / "lilt" / "giza"
    out = tmp_path / "out.talp"
    words = (folder / "test.roen.talp", folder / "test.roen.reverse.talp", "--method", method, "--rule", "both")
    assert run(capsys, "symmetrize", *words, "-o", out)[0] == 0
    published = folder / f"test.roen.{name}.talp"
    assert read_links(out, base=0) == read_links(published, base=0)
    one, other = scored(capsys, "roen-wpt", out, published)
    assert one["aer"] == other["aer"]


def test_help_says_the_order(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["symmetrize", "--help"])
    assert "reverse-order" in capsys.readouterr().out
