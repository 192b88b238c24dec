"""Agreement of annotators: by hand, by another implementation's formulas, by invariants, and what is refused."""

from __future__ import annotations

import json
from itertools import permutations
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import align_eval as ae
from align_eval.cli import main
from align_eval.errors import InputError, LengthMismatchError, LinkRangeError
from align_eval.links import GoldLinks, Links
from align_eval.links.table import LinkTable
from align_eval.scoring.agreement import agree, disagreements, merged


def table(*lines: str) -> LinkTable:
    """Links as TALP has them: ``0-0 1p1``."""
    return LinkTable.from_links(
        GoldLinks(
            Links([tuple(map(int, w.split("-"))) for w in line.split() if "-" in w]),
            Links([tuple(map(int, w.replace("p", "-").split("-"))) for w in line.split()]),
        )
        for line in lines
    )


A, B = table("0-0 1p1", "0-0 0-1"), table("0-0 0p1 1p1", "0p0 0-1")
SIZES = [(2, 2), (1, 2)]


def test_two_annotators_by_hand() -> None:
    """Six cells; agreement 4/6 and by chance 11/36; linked or not 5/6 and 22/36; of the 5 linked cells 3/5."""
    found = agree([A, B], ["a", "b"], SIZES, resamples=0)
    (pair,) = found.pairs
    assert pair.confusion == [[1, 1, 0], [0, 1, 0], [0, 1, 2]]
    assert (pair.f1, pair.f1_sure) == (2 * 4 / 9, 2 * 2 / 5)
    assert pair.kappa == pytest.approx(13 / 25)
    assert pair.kappa_links == pytest.approx(8 / 14)
    chance = (0 * 1 + 1 * 3 + 3 * 2 + 1 * 0) / 25  # labels of the linked cells: a 1 0 1 3, b 0 3 2
    assert pair.kappa_linked == pytest.approx((3 / 5 - chance) / (1 - chance))
    assert found.by_sentence == [round(2 * 2 / 5, 6), 1.0]


def test_fleiss_and_krippendorff_by_hand() -> None:
    """Three annotators, four cells: sure three times; sure twice and none; possible and none twice; none."""
    found = agree([table("0-0 0-1 1p0"), table("0-0 0-1"), table("0-0")], lengths=[(2, 2)], resamples=0)
    observed = (1 + 1 / 3 + 1 / 3 + 1) / 4
    shares = np.array([6, 1, 5]) / 12
    chance = float((shares**2).sum())
    assert found.fleiss == pytest.approx((observed - chance) / (1 - chance))
    disagreement = 4 * (1 - observed) * 3 / 12
    expected = (12**2 - (36 + 1 + 25)) / (12 * 11)
    assert found.alpha == pytest.approx(1 - disagreement / expected)


def test_intervals_hold_the_value() -> None:
    rng = np.random.default_rng(0)
    lines = [" ".join(f"{i}-{j}" for i in range(5) for j in range(5) if rng.random() < 0.3) for _ in range(60)]
    other = [" ".join([w for w in line.split() if rng.random() < 0.9] + ["4-0"]) for line in lines]
    found = agree([table(*lines), table(*other)], lengths=[(5, 5)] * 60)
    (pair,) = found.pairs
    for name, (low, high) in pair.ci.items():
        assert low < getattr(pair, name) < high, name
    assert set(found.ci) == {"fleiss", "fleiss_linked", "alpha", "alpha_linked"}


cells = st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2), st.sampled_from("-p")), max_size=6)
annotations = st.lists(st.lists(cells, min_size=3, max_size=3), min_size=2, max_size=3)


@settings(max_examples=50, deadline=None)
@given(annotations)
def test_invariants(given: list[list[list[tuple[int, int, str]]]]) -> None:
    tables = [table(*(" ".join(f"{i}{mark}{j}" for i, j, mark in line) for line in lines)) for lines in given]
    found = agree(tables, lengths=[(3, 3)] * 3, resamples=0)
    assert all(0 <= pair.f1 <= 1 and (pair.kappa or 0) <= 1 for pair in found.pairs)
    for order in permutations(range(len(tables))):
        again = agree([tables[k] for k in order], lengths=[(3, 3)] * 3, resamples=0)
        assert again.fleiss == pytest.approx(found.fleiss)
        assert again.alpha == pytest.approx(found.alpha)
    same = agree([tables[0]] * 3, lengths=[(3, 3)] * 3, resamples=0)
    assert same.fleiss == pytest.approx(1)
    assert same.pairs[0].f1 == 1
    whole = merged(tables)
    for one in tables:
        for k in range(3):
            assert one.gold(k).possible <= whole.gold(k).possible
            assert whole.gold(k).sure <= one.gold(k).sure


def test_merging_and_differences() -> None:
    assert [str(merged([A, B]).gold(k)) for k in (0, 1)] == ["0-0 0p1 1p1", "0p0 0-1"]
    assert disagreements([A, B]) == [(0, 0, 1, ("none", "possible")), (1, 0, 0, ("sure", "possible"))]


class TestRefused:
    def test_one_annotator(self) -> None:
        with pytest.raises(InputError, match="1 annotators"):
            agree([A])

    def test_other_numbers_of_sentences(self) -> None:
        with pytest.raises(LengthMismatchError, match="1 sentence pairs, but 2"):
            agree([A, table("0-0")], ["a", "b"])

    def test_outside(self) -> None:
        with pytest.raises(LinkRangeError, match=r"0-1 .* 1 and 1 words") as error:
            agree([table("0-0"), table("0-1")], ["a", "b"], [(1, 1)])
        assert error.value.file == "b"

    def test_of_other_sentences(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        rows = [{"id": "1", "source": ["a"], "target": ["b"], "links": [[0, 0]]}]
        (tmp_path / "a.jsonl").write_text(json.dumps(rows[0]) + "\n")
        (tmp_path / "b.jsonl").write_text(json.dumps({**rows[0], "target": ["c"]}) + "\n")
        (tmp_path / "c.jsonl").write_text(json.dumps(rows[0])[:40] + "\n")
        for other, said in (("b.jsonl", "other words"), ("c.jsonl", "c.jsonl:1")):
            with pytest.raises(SystemExit) as left:
                main(["agree", str(tmp_path / "a.jsonl"), str(tmp_path / other)])
            assert left.value.code == 1
            assert said in capsys.readouterr().err

    def test_another_base(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        (tmp_path / "a").write_text("0-0 1-1\n")
        (tmp_path / "b").write_text("1-1 2-2\n")
        (tmp_path / "text").write_text("x y ||| z w\n")
        with pytest.raises(SystemExit) as left:
            main(["agree", str(tmp_path / "a"), str(tmp_path / "b"), "--bitext", str(tmp_path / "text"), "--json"])
        assert not left.value.code  # the sentences prove that the second counts from 1
        assert json.loads(capsys.readouterr().out)["pairs"][0]["f1"] == 1


def test_python_and_command_agree_on_the_own_corpus(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = Path(__file__).parents[2] / "data" / "mini" / "enzh"
    files = [str(folder / name) for name in ("pass-a.talp", "pass-b.talp")]
    text = str(folder / "sentences.txt")
    with pytest.raises(SystemExit):
        main(["agree", *files, "--bitext", text, "--json", "--merge", str(tmp_path / "m.talp"), "--differences",
              str(tmp_path / "d.tsv")])  # fmt: skip
    told = json.loads(capsys.readouterr().out)
    found = ae.agree(files, text, files)
    assert told["pairs"][0]["kappa"] == found.pairs[0].kappa
    stored = json.loads((Path(__file__).parents[2] / "results/mini_corpus/agreement.json").read_text())
    assert round(found.pairs[0].kappa or 0, 6) == stored["pairs"]["enzh"]["kappa_three_labels"]
    lines = (tmp_path / "d.tsv").read_text(encoding="utf-8").splitlines()
    assert len(lines) - 1 == stored["pairs"]["enzh"]["links_differing"]
    assert ae.read_links(str(tmp_path / "m.talp"), base=0).sentences == 40
