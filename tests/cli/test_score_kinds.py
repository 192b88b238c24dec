"""``align-eval score`` on the kinds of input that gave a wrong number without a word."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from align_eval.corpora.linkio import read_links, write_links
from align_eval.scoring import Signature
from tests.cli.test_score import run, scored


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def told(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[dict[str, object], str]:
    """The one score and what is said beside it."""
    code, out, err = run(capsys, "score", *words, "--json", "--resamples", "0")
    assert code == 0, err
    [one] = json.loads(out)
    return one, err


# Sentence pairs are matched by name.

_JSONL = '{{"id": "{}", "links": {}}}\n'


@pytest.mark.parametrize(
    ("gold", "hypothesis"),
    [
        ("1 1 1\n1 2 2\n3 1 1\n3 2 2\n3 3 3\n4 1 2\n4 2 1\n", "1 1 1\n1 2 2\n2 1 1\n4 1 2\n4 2 1\n"),
        ("7 1 1\n7 2 2\n30 1 1\n30 2 2\n30 3 3\n31 1 2\n31 2 1\n", "7 1 1\n7 2 2\n9 1 1\n31 1 2\n31 2 1\n"),
        (
            _JSONL.format("a", "[[0,0],[1,1]]") + _JSONL.format("c", "[[0,0],[1,1],[2,2]]")
            + _JSONL.format("d", "[[0,1],[1,0]]"),
            _JSONL.format("d", "[[0,1],[1,0]]") + _JSONL.format("a", "[[0,0],[1,1]]") + _JSONL.format("b", "[[0,0]]"),
        ),
        (
            "1 1 1\n1 2 2\n3 1 1\n3 2 2\n3 3 3\n4 1 2\n4 2 1\n",
            _JSONL.format("4", "[[0,1],[1,0]]") + _JSONL.format("1", "[[0,0],[1,1]]") + _JSONL.format("2", "[[0,0]]"),
        ),
    ],
)  # fmt: skip
def test_names_on_one_side_alone(gold: str, hypothesis: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """By rank the second pairs would be scored against each other: AER 16.67."""
    (folder / "gold").write_text(gold)
    (folder / "hyp").write_text(hypothesis)
    code, out, err = run(capsys, "score", "gold", "hyp")
    assert (code, out) == (1, "")
    assert "in gold alone and" in err
    assert "--missing-sentences empty" in err
    found, err = told(capsys, "gold", "hyp", "--missing-sentences", "empty")
    assert found["aer"] == pytest.approx(100 / 3)
    assert found["sentences"] == 4
    assert Signature.parse(str(found["signature"]))["missing"] == "empty"
    assert "1 of 4 sentence pairs has no gold link" in err
    assert "taken as a pair without links" in err
    found, _ = told(capsys, "gold", "hyp", "--missing-sentences", "empty", "--unannotated", "skip")
    assert (found["sentences"], found["precision"]) == (3, 100)


@pytest.mark.shared
@pytest.mark.parametrize("suffix", [".naacl", ".jsonl"])
def test_a_sentence_that_vanished_shifts_nothing(
    suffix: str, gold_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Two sentences of published gold taken out of two copies: 53.65 AER by rank."""
    table = read_links(gold_folder / "enfr-wpt" / "enfr.gold", base=1)
    for name, gone in (("gold", 5), ("hyp", 300)):
        path = tmp_path / f"{name}{suffix}"
        write_links(path, table, format=suffix[1:])
        lines = path.read_text().splitlines(keepends=True)
        start = f"{gone} " if suffix == ".naacl" else f'{{"id": "{gone}",'
        path.write_text("".join(line for line in lines if not line.startswith(start)))
        path.with_name(path.name + ".meta.json").unlink(missing_ok=True)
    words = (tmp_path / f"gold{suffix}", tmp_path / f"hyp{suffix}")
    code, _, err = run(capsys, "score", *words)
    assert code == 1
    assert "'300' is in" in err
    assert "'5' is in" in err
    [found] = scored(capsys, *words, "--missing-sentences", "empty", "--resamples", "0")
    assert found["sentences"] == 447
    assert found["aer"] < 0.5


def test_blocks_go_on_by_name(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Files in the same order are read in blocks, and from where they differ by name, with the same numbers."""
    lines = [_JSONL.format(f"s{k}", [[k % 3, k % 2]]) for k in range(9)]
    (folder / "gold").write_text("".join(lines))
    (folder / "hyp").write_text("".join([*lines[:4], lines[8], *lines[4:8]]))
    (folder / "plain").write_text("".join(f"{k % 3}-{k % 2}\n" for k in range(9)))
    for size in (2, 3, 100):
        monkeypatch.setattr("align_eval.scoring.systems._BLOCK", size)
        found = scored(capsys, "gold", "hyp", "plain", "--hyp-base", "0", "--per-sentence", "rows")
        assert [one["aer"] for one in found] == [0, 0]
        assert [row.split("\t")[1] for row in (folder / "rows").read_text().splitlines()[1:10]] == [
            f"s{k}" for k in range(9)
        ]


# Measures with nothing below the line.


@pytest.mark.parametrize(
    ("gold", "hypothesis", "undefined", "said"),
    [
        ("0p0 1p1\n0p1\n", "0-0 1-1\n0-1 1-0\n", {"recall", "f1"}, "the gold has no sure link: recall and F1"),
        ("0?0\n", "0-0\n", {"recall", "f1"}, "no sure link"),
        ("0-0 1-1\n0-1\n", "\n\n", {"precision", "f1"}, "no link is proposed: precision and F1"),
        ("0p0\n\n", "\n\n", {"precision", "recall", "f1"}, "AER is 0 by convention"),
    ],
)
def test_nothing_below_the_line(
    gold: str, hypothesis: str, undefined: set[str], said: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "gold").write_text(gold)
    (folder / "hyp").write_text(hypothesis)
    words = ("gold", "hyp", "hyp", "--gold-base", "0", "--hyp-format", "pharaoh")
    code, out, err = run(capsys, "score", *words, "--json")
    assert code == 0
    for one in json.loads(out):
        assert {name for name in ("aer", "precision", "recall", "f1") if one[name] is None} == undefined
    assert said in err
    code, out, _ = run(capsys, "score", *words, "--breakdown", "--paired", "both", "--alpha", "0.3")
    assert code == 0
    assert "nan" not in out.lower()
    assert out.splitlines()[3].split().count("-") >= len(undefined)


# Sentence pairs without gold, gold of a part, null links.


@pytest.mark.parametrize(
    ("gold", "hypothesis", "counted", "bare"),
    [
        ("0-0 1-1\n0-0 1-1\n\n\n", "0-0 1-1\n0-0 1-1\n0-0 1-1\n0-0 1-1\n", 100 / 3, 2),
        ("\n0-0 1-1\n", "0-0 1-0\n0-0 1-1\n", 100 / 3, 1),
        ('{"links": [[0, 0]]}\n{"links": []}\n', "0-0\n0-0 3-3\n", 50, 1),
        ("x y\ta b\t0-0 1-1\nx\ta\t\n", "0-0 1-1\n0-0\n", 20, 1),
    ],
)
def test_sentence_pairs_without_gold(
    gold: str, hypothesis: str, counted: float, bare: int, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "gold").write_text(gold)
    (folder / "hyp").write_text(hypothesis)
    found, err = told(capsys, "gold", "hyp")
    assert found["aer"] == pytest.approx(counted)
    assert f"{bare} of {found['sentences']} sentence pairs" in err
    assert "links there count as wrong" in err
    assert "--unannotated skip" in err
    left, err = told(capsys, "gold", "hyp", "--unannotated", "skip", "--per-sentence", "rows", "--breakdown")
    assert left["aer"] == 0
    assert left["sentences"] == int(str(found["sentences"])) - bare
    assert Signature.parse(str(left["signature"]))["unannotated"] == "skip"
    assert "left out" in err
    numbers = [row.split("\t")[1] for row in (folder / "rows").read_text().splitlines()[1:]]
    assert numbers == [str(k) for k, line in enumerate(gold.splitlines(), 1) if "0-0" in line or "0, 0" in line]


@pytest.mark.parametrize(
    ("first", "gold", "hypothesis", "text"),
    [
        ("1", "0-0 1-1\n", "0-0 1-1\n0-0\n0-0 1-1\n", "a b ||| c d\ne ||| f\ng h ||| i j\n"),
        ("2", "0-0 1-1\n0-0\n", "0-0 1-1\n0-0\n0-1\n0-3\n", "a b ||| c d\ne ||| f\ng ||| i j\nk ||| l m n o\n"),
        ("2", "1 1 1\n1 2 2\n2 1 1\n", "1 1 1\n1 2 2\n2 1 1\n3 1 1\n", "a b ||| c d\ne ||| f\ng ||| i\n"),
        ("1", '{"id": "x", "links": [[0, 0]]}\n', '{"id": "w", "links": []}\n{"id": "x", "links": [[0, 0]]}\n', None),
    ],
)
def test_gold_of_the_first_part(
    first: str, gold: str, hypothesis: str, text: str | None, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "gold").write_text(gold)
    (folder / "hyp").write_text(hypothesis)
    code, _, err = run(capsys, "score", "gold", "hyp")
    assert code == 1
    assert "--first" in err or "alone" in err
    found, _ = told(capsys, "gold", "hyp", "--first", first)
    assert (found["aer"], found["sentences"]) == (0, int(first))
    assert Signature.parse(str(found["signature"]))["first"] == first
    code, _, err = run(capsys, "score", "gold", "hyp", "--first", "99")
    assert code == 1
    assert "--first" in err
    if text is not None:
        (folder / "text").write_text(text)
        found, _ = told(capsys, "gold", "hyp", "--first", first, "--bitext", "text", "--breakdown")
        assert (found["aer"], found["sentences"]) == (0, int(first))


@pytest.mark.parametrize(
    ("gold", "hypothesis", "base", "dropped", "counted"),
    [
        # A null link of the gold is found, one is missed, one is proposed beside it: A 4, S 4, A∩S 3.
        ("1-1 0-2\n1-1 3-0\n", "1-1 0-2\n1-1 0-3\n", "1", 0, 25),
        ("0-0 1--1\n1-1\n", "0-0\n1-1\n", "0", 0, 20),
        ("1 1 1\n1 2 0\n", "1 1 1\n1 2 0\n", "auto", 0, 0),
        ('{"links": [[0, 0], [-1, 1]]}\n', "0-0 2--1\n", "0", 0, 50),
    ],
)
def test_null_links(
    gold: str, hypothesis: str, base: str, dropped: float, counted: float, folder: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    (folder / "gold").write_text(gold)
    (folder / "hyp").write_text(hypothesis)
    words = ("gold", "hyp", "--hyp-base", base, *(("--gold-base", base) if "{" not in gold else ()))
    found, err = told(capsys, *words)
    assert found["aer"] == pytest.approx(dropped)
    assert "null links left out" in err
    found, err = told(capsys, *words, "--nulls", "count")
    assert found["aer"] == pytest.approx(counted)
    assert "null links counted as links" in err
    assert Signature.parse(str(found["signature"]))["nulls"] == "count"
    code, _, err = run(capsys, "score", *words, "--nulls", "raise")
    assert code == 1
    assert "null link" in err
    assert run(capsys, "score", *words, "--nulls", "count", "--breakdown")[0] == 1


# A stated base or order that the data speak against.


@pytest.mark.shared
@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--hyp-base", "1"), "with base 0 it would be 30.00: pass --hyp-base 0"),
        (("--hyp-base", "1", "--hyp-order", "ts"), "pass --hyp-base 0 --hyp-order st"),
        (("--gold-base", "0", "--hyp-base", "0"), "pass --gold-base 1"),
        (("--hyp-order", "ts", "--hyp-base", "0"), "with order source-target it would be 30.00: pass --hyp-order st"),
    ],
)
@pytest.mark.parametrize("form", ["talp", "naacl"])
def test_another_base_or_order_would_be_much_better(
    options: tuple[str, ...],
    said: str,
    form: str,
    gold_folder: Path,
    oracle_folder: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """``--hyp-base 1`` on these links from 0 gives a believable 63.20."""
    lines = (oracle_folder / "lilt" / "giza" / "test.roen.talp").read_text().splitlines()
    kept = [[link.split("-") for link in line.split() if link != "0-0"] for line in lines]
    hyp = tmp_path / f"hyp.{form}"
    if form == "talp":
        hyp.write_text("".join(" ".join("-".join(link) for link in line) + "\n" for line in kept))
    else:
        hyp.write_text("".join(f"{k} {' '.join(link)}\n" for k, line in enumerate(kept, 1) for link in line))
    gold = gold_folder / "roen-wpt" / "roen.gold"
    base = () if "--gold-base" in options else ("--gold-base", "1")
    words = [gold, hyp, *base, *options, "--resamples", "0", "--missing-sentences", "empty"]
    code, _, err = run(capsys, "score", *words)
    assert code == 0
    assert said in err
    right = [gold, hyp, "--gold-base", "1", "--hyp-base", "0", "--resamples", "0", "--missing-sentences", "empty"]
    code, out, err = run(capsys, "score", *right)
    assert "would be" not in err
    assert " 30.00 " in out


def test_the_base_of_either_file_may_be_the_wrong_one(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "gold.wpt").write_text("1 1 1\n1 2 3\n1 4 4\n2 2 1\n2 3 2\n")
    (folder / "hyp.jsonl").write_text(_JSONL.format(1, "[[1,1],[2,3],[4,4]]") + _JSONL.format(2, "[[2,1],[3,2]]"))
    found, err = told(capsys, "gold.wpt", "hyp.jsonl")
    assert float(str(found["aer"])) > 50
    assert "with base 1 it would be 0.00: pass --hyp-base 1 (base=1 in Python), or with base 0 of the gold" in err
    assert told(capsys, "gold.wpt", "hyp.jsonl", "--hyp-base", "1")[0]["aer"] == 0
