"""Judged links: the form of TransRead read, systems scored by hand, the majority, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import align_eval as ae
from align_eval.cli import main
from align_eval.errors import FormatError, InputError, LengthMismatchError, LinkRangeError
from align_eval.links import Links
from align_eval.links.table import LinkTable
from align_eval.scoring.judged import majority, read_judged, score_judged

TEXT = "1\nle chat noir\nthe black cat\n2\nil dort\nhe is asleep\n"
FIRST = "\n1 0:0:sure 1:1:wrong 1:2:sure 2::unaligned\n2 0:0:contextual 1:1:wrong 1:2:partial\n"
SECOND = "1 0:0:sure 1:1:wrong 1:2:wrong\n2 0:0:sure 1:1:possible 1:2:partial\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, content in (("text", TEXT), ("first", FIRST), ("second", SECOND)):
        (tmp_path / name).write_text(content, "utf-8")
    return tmp_path


def links() -> LinkTable:
    """All but 2: 1-2; of the wrong ones one is scored as the lowest right one, one between."""
    one = Links([(0, 0), (1, 1), (1, 2)]), [0.9, 0.4, 0.8]
    two = Links([(0, 0), (1, 1)]), [0.4, 0.5]
    return LinkTable.from_links([Links(pairs.pairs, scores) for pairs, scores in (one, two)])


def test_the_text_is_told_by_its_numbers(folder: Path) -> None:
    bitext = ae.read_bitext(folder / "text")
    assert bitext.format == "transread"
    assert [(p.id, p.source, p.target) for p in bitext][1] == ("2", ("il", "dort"), ("he", "is", "asleep"))


def test_by_hand(folder: Path) -> None:
    """Right: 0.9, 0.8, 0.4 and one not proposed; wrong: 0.4 and 0.5. Of 8 pairs 4 in order, one equal."""
    judged = read_judged(str(folder / "first"), list(ae.read_bitext(folder / "text")))
    assert judged.labels[1, 1, 2] == "partial"
    assert judged.unaligned == 1
    found = score_judged(judged, links(), 2, resamples=100)
    assert (found.judged, found.wrong, found.proposed) == (6, 2, 5)
    assert found.auc == pytest.approx((2 + 2 + 0.5) / 8)
    assert found.auc_proposed == pytest.approx((2 + 2 + 0.5) / 6)
    assert found.labels["wrong"] == (2, 2, pytest.approx(0.45))
    assert found.labels["partial"] == (1, 0, None)
    assert found.ci is not None
    assert found.ci[0] <= found.auc <= found.ci[1]


def test_words_in_groups(folder: Path) -> None:
    (folder / "file").write_text("1 0:2,1:wrong :1,2:unaligned\n")
    judged = read_judged(str(folder / "file"), list(ae.read_bitext(folder / "text")))
    assert (judged.labels, judged.unaligned) == ({(0, 0, 2): "wrong", (0, 0, 1): "wrong"}, 1)


def test_links_without_scores_rank_what_is_proposed(folder: Path) -> None:
    judged = read_judged(str(folder / "first"), list(ae.read_bitext(folder / "text")))
    only_right = LinkTable.from_links([Links("0-0 1-2"), Links("0-0 1-2")])
    assert score_judged(judged, only_right, 2, resamples=0).auc == 1.0
    only_wrong = LinkTable.from_links([Links("1-1"), Links("1-1")])
    assert score_judged(judged, only_wrong, 2, resamples=0).auc == 0.0


def test_majority(folder: Path) -> None:
    """Two of two: the two links on which they differ have none."""
    pairs = list(ae.read_bitext(folder / "text"))
    both, left = majority([read_judged(str(folder / name), pairs) for name in ("first", "second")])
    assert left == 2
    assert both.labels == {(0, 0, 0): "sure", (0, 1, 1): "wrong", (1, 0, 0): "sure", (1, 1, 2): "sure"}


@pytest.mark.parametrize(
    ("content", "error", "said"),
    [
        ("1 0:0:good\n", FormatError, r"file:1: '0:0:good' is no judged link; labels are sure"),
        ("1 0-0\n", FormatError, "'0-0' is no judged link"),
        ("x 0:0:sure\n", FormatError, "'x' is no number of a pair"),
        ("1 0:0:sure\n1 1:1:sure\n", FormatError, r"file:2: pair 1 is there twice"),
        ("1 0:0:sure 0:0:wrong\n", FormatError, "judged twice"),
        ("7 0:0:sure\n", InputError, "pair 7 is not in the text"),
        ("1 0:3:sure\n", LinkRangeError, r"link 0-3 \(0-based\) is outside its pair of 3 and 3 words"),
        ("\n", InputError, "no link is judged"),
    ],
)
def test_refused(folder: Path, content: str, error: type[Exception], said: str) -> None:
    (folder / "file").write_text(content)
    with pytest.raises(error, match=said):
        read_judged(str(folder / "file"), list(ae.read_bitext(folder / "text")))


@pytest.mark.parametrize("content", ["1\na\n", "1\na\nb\n1\nc\nd\n", "1\na\nb\nc\nd\ne\n"])
def test_texts_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / "text").write_text(content)
    with pytest.raises(FormatError, match=r"breaks off|is no number above 1"):
        list(ae.read_bitext(tmp_path / "text", format="transread"))


def test_links_of_another_text(folder: Path) -> None:
    judged = read_judged(str(folder / "first"), list(ae.read_bitext(folder / "text")))
    with pytest.raises(LengthMismatchError):
        score_judged(judged, LinkTable.from_links([Links("0-0")]), 2)


def test_command(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [{"id": str(k + 1), "links": one.pairs.tolist(), "scores": list(map(float, one.scores))}  # type: ignore[arg-type]
            for k, one in enumerate(links())]  # fmt: skip
    (folder / "links.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    words = ["judged", str(folder / "links.jsonl"), "--bitext", str(folder / "text"), "--hyp-base", "0"]
    both = ["-j", str(folder / "first"), "-j", str(folder / "second"), "--resamples", "20"]
    with pytest.raises(SystemExit) as left:
        main([*words, *both, "--json"])
    assert not left.value.code
    out, err = capsys.readouterr()
    assert "first: 1 word is said to be unaligned" in err
    assert "2 links are without a judgement of all" in err
    found = json.loads(out)
    assert [Path(one["annotator"]).name for one in found] == ["first", "second", "majority"]
    assert found[0]["auc"] == pytest.approx(4.5 / 8)
    with pytest.raises(SystemExit):
        main([*words, *both])
    assert "AUC of proposed" in capsys.readouterr().out
    with pytest.raises(SystemExit) as left:
        main(["judged", str(folder / "links.jsonl"), "-j", str(folder / "first")])
    assert left.value.code == 2
