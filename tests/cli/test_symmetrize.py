"""``align-eval symmetrize``: files in, file out, published results."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import align_eval as ae
from align_eval.cli import main
from align_eval.corpora.linkio import read_links, write_links
from align_eval.scoring import Signature
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
    words = words if "--reverse-order" in words else (*words, "--reverse-order", "ts")
    assert run(capsys, "symmetrize", files / "forward", files / "reverse", *words) == (0, expected, "")


def test_output_file_and_one_based_input(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = files / "out"
    given = ("-o", out, "--method", "union", "--reverse-order", "ts")
    assert run(capsys, "symmetrize", files / "forward", files / "reverse", *given) == (0, "", "")
    assert out.read_text() == "0-0 1-1 1-2 2-1\n0-1 1-0\n\n"
    (files / "one").write_text("1-1 2-2 3-2\n1-2\n\n")
    (files / "two").write_text("1-1 2-2 3-2\n1-2\n\n")
    words = (files / "one", files / "two", *given)
    code, _, err = run(capsys, "symmetrize", *words)
    assert code == 1
    assert "base" in err
    assert run(capsys, "symmetrize", *words, "--base", "1")[0] == 0
    assert out.read_text() == "0-0 1-1 1-2 2-1\n0-1 1-0\n\n"
    (files / "text").write_text("a b c ||| d e f\na b ||| c d\ne ||| f\n")
    out.unlink()
    assert run(capsys, "symmetrize", *words, "--bitext", files / "text")[0] == 0
    assert out.read_text() == "0-0 1-1 1-2 2-1\n0-1 1-0\n\n"


# The side order of the reverse direction.


@pytest.mark.shared
@pytest.mark.parametrize("name", ["giza/test.roen", "fastalign/test.enfr"])
@pytest.mark.parametrize("with_text", [False, True])
def test_the_order_of_published_reverse_files_is_told(
    name: str, with_text: bool, oracle_folder: Path, gold_folder: Path, tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    """In their own order and swapped, with sentences and without: the same links come out."""
    forward, reverse = (oracle_folder / "lilt" / f"{name}{what}.talp" for what in ("", ".reverse"))
    swapped, outs = tmp_path / "swapped", [tmp_path / "a", tmp_path / "b", tmp_path / "c"]
    write_links(swapped, read_links(reverse, base=0, order="ts"), format="talp")
    language = name[-4:]
    text = ("--bitext", gold_folder / f"{language}-wpt" / f"{language}.src-tgt") if with_text else ()
    code, _, err = run(capsys, "symmetrize", forward, reverse, "-o", outs[0], *text)
    assert code == 0
    assert "taken as target-source" in err
    code, _, err = run(capsys, "symmetrize", forward, swapped, "-o", outs[1], *text)
    assert code == 0
    assert "taken as source-target" in err
    assert run(capsys, "symmetrize", forward, reverse, "-o", outs[2], "--reverse-order", "ts") == (0, "", "")
    assert outs[0].read_bytes() == outs[1].read_bytes() == outs[2].read_bytes()
    code, _, err = run(capsys, "symmetrize", forward, reverse, "-o", outs[2], "--reverse-order", "st")
    assert code == 0
    assert "it is probably target-source (--reverse-order ts)" in err


def test_our_own_reverse_direction(tmp_path: Path, capsys: pytest.CaptureFixture[str], e5: Any) -> None:
    """``align --method reverse`` is source-target: taken as target-source it gave 50.53 AER where 6.30 is right."""
    testset, directions = ae.load_testset("mini-ende"), ("forward", "reverse")
    for method in directions:
        write_links(tmp_path / f"{method}.talp", ae.align(testset, e5, method=method, layer=7), format="talp")
    out = tmp_path / "both.talp"
    words = (tmp_path / "forward.talp", tmp_path / "reverse.talp", "-o", out, "--method", "intersection")
    code, _, err = run(capsys, "symmetrize", *words)
    assert code == 0
    assert "taken as source-target" in err
    [found] = scored(capsys, "mini-ende", out, "--resamples", "0")
    assert found["aer"] < 10
    signature = Signature.parse(found["signature"])
    assert (signature["sym"], signature["model"]) == ("intersection/both", "offline:e5-small")
    assert "method" not in signature


@pytest.mark.parametrize(
    ("forward", "reverse", "order"),
    [
        ("0-0 1-1 2-2\n", "0-0 1-1\n", "st"),  # on the diagonal the order makes no difference
        ("0-1 1-2 2-3 3-4 4-5 5-6\n", "0-1 1-2 2-3 3-4 4-5\n", "st"),
        ("0-1 1-2 2-3 3-4 4-5 5-6\n", "1-0 2-1 3-2 4-3 5-4\n", "ts"),
        ("0-1 1-2\n", "1-0 2-1\n", ""),  # two links are no proof
        ("0-1 1-0 2-3 3-2 4-5 5-4\n", "0-1 1-0 2-3 3-2 4-5 5-4\n", ""),  # the same in both orders
        ("0-1 1-2 2-3\n", "5-0 6-1 7-2\n", ""),  # nothing in common
    ],
)
def test_an_unclear_order_is_asked_for(
    forward: str, reverse: str, order: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "forward").write_text(forward)
    (tmp_path / "reverse").write_text(reverse)
    words = (tmp_path / "forward", tmp_path / "reverse", "--base", "0", "--method", "intersection")
    code, out, err = run(capsys, "symmetrize", *words)
    if order:
        assert code == 0
        assert f"taken as {'source-target' if order == 'st' else 'target-source'}" in err
        assert out == run(capsys, "symmetrize", *words, "--reverse-order", order)[1]
    else:
        assert (code, out) == (1, "")
        assert "Pass --reverse-order st" in err


def test_sentences_prove_the_order(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "forward").write_text("0-0 0-1 1-2\n")
    (tmp_path / "text").write_text("a b ||| c d e\n")
    for reverse, expected in (("2-1\n", "1-2\n"), ("1-2\n", "1-2\n")):
        (tmp_path / "reverse").write_text(reverse)
        words = (tmp_path / "forward", tmp_path / "reverse", "--base", "0", "--method", "intersection")
        assert run(capsys, "symmetrize", *words)[0] == 1
        code, out, err = run(capsys, "symmetrize", *words, "--bitext", tmp_path / "text")
        assert (code, out) == (0, expected)
        assert "outside" in err


# Sentence pairs by name.


@pytest.mark.parametrize(
    ("forward", "reverse", "expected"),
    [
        ("1 1 1\n1 2 2\n3 1 1\n3 2 2\n", "1 1 1\n2 1 2\n", ["0-0 1-1", "1-0", "0-0 1-1"]),
        ("1 1 1\n4 1 2\n", "2 1 1\n4 2 1\n", ["0-0", "0-0", "", "0-1"]),
        (
            '{"id": "a", "links": [[0, 0]]}\n{"id": "c", "links": [[1, 1]]}\n',
            '{"id": "c", "links": [[1, 1], [0, 1]]}\n{"id": "b", "links": [[2, 2]]}\n',
            ["0-0", "1-0 1-1", "2-2"],
        ),
        ("1 1 1\n3 1 1\n", "0-0\n1-0\n0-0\n", ["0-0", "0-1", "0-0"]),
    ],
)
def test_sentence_pairs_are_matched_by_name(
    forward: str, reverse: str, expected: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "forward").write_text(forward)
    (tmp_path / "reverse").write_text(reverse)
    words = (tmp_path / "forward", tmp_path / "reverse", "--method", "union", "--reverse-order", "ts")
    code, out, err = run(capsys, "symmetrize", *words)
    assert (code, out) == (1, "")
    assert "alone" in err
    code, out, _ = run(capsys, "symmetrize", *words, "--missing-sentences", "empty")
    assert (code, out.splitlines()) == (0, expected)


def test_errors_leave_no_file(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = files / "out"
    (files / "short").write_text("0-0\n")
    code, _, err = run(capsys, "symmetrize", files / "forward", files / "short", "-o", out)
    assert code == 1
    assert "1 sentence pairs, but 3 in" in err
    assert run(capsys, "symmetrize", "-", "-", "-o", out)[0] == 1
    assert run(capsys, "symmetrize", files / "forward", files / "none", "-o", out)[0] == 1
    for words in (("--method", "grow-all"), ("--rule", "none"), ("--source", "x"), ("--bitext", "x", "--source", "y")):
        assert run(capsys, "symmetrize", files / "forward", files / "reverse", *words, "-o", out)[0] == 2
    assert not out.exists()
    words = (files / "forward", files / "reverse", "--reverse-order", "ts")
    code, _, err = run(capsys, "symmetrize", *words, "-o", files / "no" / "out")
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
