"""The proof of index base and side order: every kind of evidence, its absence, and its contradiction."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from align_eval.corpora import Corpus, read_links
from align_eval.corpora.index_base import parse_base, parse_order
from align_eval.corpora.inputs import Input
from align_eval.corpora.link_reader import LinkReader
from align_eval.corpora.linkio import read_links_report
from align_eval.errors import FormatError, IndexBaseError, InputError, LinkRangeError

TEXT = Corpus.from_texts(["a b c", "a b"], ["x y z w", "x y z"])  # 3 x 4 and 2 x 3 words


@pytest.fixture
def links(tmp_path: Path):
    def write(text: str, name: str = "links.talp") -> Path:
        path = tmp_path / name
        path.write_text(text, "utf-8")
        return path

    return write


@pytest.mark.parametrize("zero", ["0-0", "0p0", "0-0-P", "0-0S", "0-0:0.5"])
def test_nothing_with_nothing_proves_base_zero_with_and_without_sentences(links, zero: str) -> None:
    text = f"1-1\n{zero}\n" if ":" not in zero else f"1-1:0.7\n{zero}\n"
    path = links(text)
    assert [str(x) for x in read_links(path)] == ["1-1", "0-0"]
    report = read_links_report(path, bitext=TEXT)[1]
    assert report.base == 0
    assert "in line 2 (2 source and 3 target words)" in report.base_from
    with pytest.raises(IndexBaseError, match="joins nothing with nothing") as caught:
        read_links(path, base=1)
    assert caught.value.line == 2
    assert "--gold-base" in (caught.value.remedy or "")


@pytest.mark.parametrize(
    "text", ["1-1 2-2 0-3\n1-2 2-1 3-0\n1-1 2-2\n", "0-1\n", "1-0\n2-2\n", "1-1\n" * 5000 + "0p2\n", "0-1:0.5\n"]
)
def test_an_index_zero_beside_a_word_proves_nothing(links, text: str) -> None:
    path = links(text)
    with pytest.raises(IndexBaseError, match=r"no link 0-0 .* mark of a null link in base 1") as caught:
        read_links(path)
    assert "Pass the base: 0 or 1" in (caught.value.remedy or "")
    report = read_links_report(path, base=1)[1]
    assert report.nulls == len(re.findall(r"\b0[-p][1-9]|[1-9]-0\b", text))
    assert read_links_report(path, base=0)[1].nulls == 0


def test_null_marks_and_an_index_at_a_length_are_base_one(links) -> None:
    table, report = read_links_report(links("1-1 0-2\n1-0 2-3\n"), bitext=TEXT)
    assert (report.base, report.nulls, [str(x) for x in table]) == (1, 2, ["0-0", "1-2"])


def test_naacl_counts_from_one_unless_zero_zero_proves_the_other(links) -> None:
    assert read_links_report(links("1 0 1\n1 1 1\n2 2 0\n"))[1].base == 1
    table, report = read_links_report(links("1 1 1\n2 0 0\n1 0 1\n"))
    assert (report.base, report.nulls, [str(x) for x in table]) == (0, 0, ["0-1 1-1", "0-0"])
    with pytest.raises(IndexBaseError, match="contradictory index base") as caught:
        read_links(links("1 3 1\n2 0 0\n"), bitext=TEXT)
    assert caught.value.line == 1
    assert "in line 2" in caught.value.message
    with pytest.raises(IndexBaseError, match="joins nothing with nothing"):
        read_links(links("1 1 1\n2 0 0\n"), base=1)


def test_the_other_base_and_order_are_made_without_reading_again(links) -> None:
    text = "0-1 1-1 2-0 1-2 -1-2\n1p0 1-1\n"
    for base, order in ((0, "st"), (1, "st"), (0, "ts"), (1, "ts")):
        path = links(text)
        for size in (1, 2):
            reader = LinkReader(path, "pharaoh", base, order, None, "drop", "raise")
            for k, table in enumerate(reader.tables(size)):
                others = {(b, o): t for b, o, t in reader.alternatives(table)}
                assert len(others) == 3
                for (b, o), other in others.items():
                    whole = read_links_report(path, format="pharaoh", base=b, order=o)[0]
                    want = [set(whole[i]) for i in range(k * size, min(2, k * size + size))]
                    assert [set(links) for links in other] == want


@pytest.mark.parametrize("text", ["3-1\n1-1\n", "1-1\n1-3\n"])
def test_index_equal_to_a_length_proves_base_one(links, text: str) -> None:
    table, report = read_links_report(links(text), bitext=TEXT)
    assert (report.base, report.order_from) == (1, "given")
    assert "index equal to a sentence length" in report.base_from
    assert int(table.source.min()) == 0


@pytest.mark.parametrize(
    ("bitext", "why"), [(None, "sentence lengths are not at hand"), (TEXT, "no index is equal to a sentence length")]
)
def test_without_evidence_it_asks(links, bitext: Corpus | None, why: str) -> None:
    path = links("1-1\n1-2\n")
    with pytest.raises(IndexBaseError) as caught:
        read_links(path, bitext=bitext)
    assert why in caught.value.message
    assert "Pass the base: 0 or 1" in (caught.value.remedy or "")
    assert caught.value.file == str(path)
    assert [str(x) for x in read_links(path, base=0)] == ["1-1", "1-2"]
    assert [str(x) for x in read_links(path, base="1")] == ["0-0", "0-1"]


def test_contradiction_names_both_links_and_lengths(links) -> None:
    path = links("0-0\n1-3\n")
    with pytest.raises(IndexBaseError) as caught:
        read_links(path, bitext=TEXT)
    assert caught.value.line == 2
    assert "link 0-0 in line 1 (3 source and 4 target words)" in caught.value.message
    assert "link 1-3 in line 2 (2 source and 3 target words)" in caught.value.message
    with pytest.raises(IndexBaseError, match="joins nothing with nothing"):
        read_links(path, base=1, bitext=TEXT)
    with pytest.raises(LinkRangeError, match=r"link 1-3 .* 2 source and 3 target words"):
        read_links(path, base=0, bitext=TEXT)


def test_contradiction_in_blocks_far_apart(links) -> None:
    count = 60_000
    text = Corpus.from_texts(["a b c"] * count, ["x y z"] * count)
    path = links("0-0\n" + "1-1 1-2 2-1 1-1 2-2\n" * (count - 2) + "3-1\n")
    with pytest.raises(IndexBaseError) as caught:
        read_links(path, bitext=text)
    assert caught.value.line == count


def test_null_links_are_no_evidence(links) -> None:
    with pytest.raises(IndexBaseError, match="no link 0-0"):
        read_links(links("1--1 -1-0 2- -2\n1-1\n"), bitext=TEXT)


def test_no_links_need_no_proof(links) -> None:
    report = read_links_report(links("\n\n"), order="auto", bitext=TEXT)[1]
    assert (report.sentences, report.base, report.order, report.base_from) == (2, 0, "st", "no links")


def test_beyond_in_either_base(links) -> None:
    with pytest.raises(LinkRangeError, match="whether indices count from 0 or from 1") as caught:
        read_links(links("1-1\n1-9\n"), bitext=TEXT)
    assert caught.value.line == 2


def test_order_is_proven_by_the_only_one_that_fits(links) -> None:
    for text, order in (("0-3\n0-0\n", "st"), ("3-0\n0-0\n", "ts")):
        report = read_links_report(links(text), order="auto", bitext=TEXT)[1]
        assert (report.base, report.order) == (0, order)
        assert "outside its sentence pair in the other order" in report.order_from
    report = read_links_report(links("4-1\n1-1\n"), order="auto", bitext=TEXT)[1]
    assert (report.base, report.order) == (1, "ts")


def test_order_that_cannot_be_proven(links) -> None:
    with pytest.raises(IndexBaseError, match="without the sentences"):
        read_links(links("0-3\n0-0\n"), order="auto")
    with pytest.raises(IndexBaseError, match="in either order") as caught:
        read_links(links("0-1\n0-0\n"), order="auto", bitext=TEXT)
    assert "st or ts" in (caught.value.remedy or "")
    with pytest.raises(IndexBaseError, match="in either: read as source-target, link 3-3 in line 1") as caught:
        read_links(links("3-3 0-0\n0-0\n"), order="auto", base=0, bitext=TEXT)


def test_order_known_but_base_not(links) -> None:
    with pytest.raises(IndexBaseError, match="index base cannot be proven"):
        read_links(links("1-3\n1-1\n"), order="auto", bitext=Corpus.from_texts(["a b", "a b"], ["x y z w", "x y z w"]))


def test_formats_that_fix_their_base_need_no_proof(links) -> None:
    table, report = read_links_report(links("1 1 1\n2 1 2\n"), bitext=TEXT)
    assert (report.format, report.base, report.base_from) == ("naacl", 1, "format")
    assert read_links(links("1 1 1\n2 1 2\n"), base=0, bitext=TEXT) != table
    report = read_links_report(links('{"links": [[1, 1]]}\n{"links": []}\n'), bitext=TEXT)[1]
    assert (report.base, report.base_from) == (0, "format")


def test_a_file_cannot_prove_its_own_order(links) -> None:
    with pytest.raises(IndexBaseError, match="side order cannot be proven"):
        read_links(links("a b\tx y z\t0-2\n"), order="auto")
    proven = read_links_report(links("x y z\ta b\t2-0\n"), order="auto", bitext=Corpus.from_texts(["a b"], ["x y z"]))
    assert proven[1].order == "ts"
    assert str(proven[0][0]) == "0-2"


@pytest.mark.parametrize("base", [2, "one", -1, True, None])
def test_unknown_base(base) -> None:
    with pytest.raises(InputError, match="unknown index base"):
        parse_base(base)


def test_unknown_order_and_policies(links) -> None:
    with pytest.raises(InputError, match="unknown side order"):
        parse_order("ST")
    for option in ("nulls", "out_of_range"):
        with pytest.raises(InputError, match="Known: drop, raise"):
            read_links(links("0-0\n"), **{option: "keep"})


def test_null_links_of_a_stated_base_are_told(links) -> None:
    with pytest.warns(match="2 null links left out .an index 0 is one, for base 1 was passed"):
        read_links(links("1-0 1-1\n0-2\n"), base=1)


def test_null_policy(links) -> None:
    path = links("1-0 1-1 2-\n-1-1 -2\n")
    table, report = read_links_report(path, base=1)
    assert (report.nulls, [str(x) for x in table]) == (4, ["0-0", ""])
    with pytest.raises(FormatError, match="null link") as caught:
        read_links(path, base=1, nulls="raise")
    assert caught.value.line == 1
    with pytest.raises(FormatError, match=r"2--1 .*null link"):
        read_links(path, base=0, nulls="raise")


def test_without_sentences_a_file_is_read_until_a_zero_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "links"
    path.write_text("1-1\n" * 3 + "0-0\n" + "1-1\n" * 6)
    opened: list[int] = []
    plain = Input.line_blocks

    def counted(self: Input, size: int = 8) -> Iterator[bytes]:
        for block in plain(self, 8):
            opened.append(len(block))
            yield block

    monkeypatch.setattr(Input, "line_blocks", counted)
    tables = list(LinkReader(path).tables(4))
    assert [table.sentences for table in tables] == [4, 4, 2]
    assert sum(opened) == 16 + 40
