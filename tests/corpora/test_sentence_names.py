"""Names before ranks: the sentence pairs of a file of links and of a bitext are matched by what they are called."""

from __future__ import annotations

import json
import warnings
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from align_eval.corpora import Corpus, SentencePair, read_links, write_links
from align_eval.corpora.link_reader import LinkReader
from align_eval.corpora.linkio import read_links_report
from align_eval.errors import AlignEvalWarning, InputError, LengthMismatchError
from align_eval.links import Links
from align_eval.links.table import LinkTable

FOUR = Corpus.from_texts(["a b", "c", "d e f", "g h"], ["x y", "z", "u v w", "p q"])
QUICK = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def a3(number: int, links: str) -> str:
    return (
        f"# Sentence pair ({number}) source length 1 target length 1 alignment score : 1\nx\nNULL ({{ }}) a {links}\n"
    )


def put(path: Path, text: str) -> Path:
    path.write_text(text, "utf-8")
    return path


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("1 1 1\n3 1 1\n", ["1", "3"]),
        ("0007 1 1\n0002 1 1\n", ["0002", "0007"]),
        (a3(1, "({ 1 })") + a3(4, "({ })"), ["1", "4"]),
        ('{"id": 5, "links": []}\n{"id": "b", "links": [[0, 0]]}\n', ["5", "b"]),
        ("0\t0-0 1p1\n2\t0-1\n", ["0", "2"]),
    ],
)
def test_names_are_those_of_the_file(tmp_path: Path, text: str, names: list[str]) -> None:
    assert list(read_links(put(tmp_path / "f", text)).ids or ()) == names


@pytest.mark.parametrize("text", ["0-0\n\n1-1\n", "a\tb\t0-0\n", "a ||| b ||| 0-0\n", '{"links": [[0, 0]]}\n'])
def test_a_file_without_names_gives_none(tmp_path: Path, text: str) -> None:
    assert read_links(put(tmp_path / "f", text)).ids is None


@pytest.mark.parametrize(
    ("text", "want"),
    [
        ("1 1 1\n3 1 1\n3 2 2\n", ["0-0", "", "0-0 1-1", ""]),
        ("4 2 1\n", ["", "", "", "1-0"]),
        ("0 1 1\n3 1 1\n", ["0-0", "", "", "0-0"]),
        ('{"id": "3", "links": [[2, 1]]}\n{"id": 1, "sure": []}\n{"id": 2, "sure": [[0, 0]]}\n{"id": 4, "sure": ""}\n',
         ["", "0-0", "2-1", ""]),
        ("3\t1-1\n1\t0-0\n0\t1-1\n2\t2-2\n", ["1-1", "0-0", "2-2", "1-1"]),
    ],
)  # fmt: skip
def test_links_stand_at_the_number_that_names_them(tmp_path: Path, text: str, want: list[str]) -> None:
    path = put(tmp_path / "f", text)
    assert [str(x) for x in read_links(path, bitext=FOUR, base=0 if "\t" in text else "auto")] == want
    blocks = list(LinkReader(path, base=0 if "\t" in text else "auto", bitext=FOUR).tables(3))
    assert [str(x) for block in blocks for x in block] == want


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("1 1 1\n9 1 1\n", "names '9', which is not among the 4 sentence pairs of text"),
        ('{"id": 1, "links": []}\n{"id": 3, "links": []}\n', "'2', '4' are not named here"),
        ('{"id": "1", "links": []}\n' * 2, "'1' is there twice"),
        ("0\t0-0\n1\t0-0\n2\t0-0\n", "'4' is not named here"),
        (a3(1, "({ 1 })") + a3(6, "({ })"), "names '6', which"),
    ],
)
def test_names_on_one_side_only_are_listed(tmp_path: Path, text: str, why: str) -> None:
    with pytest.raises(LengthMismatchError) as caught:
        read_links(put(tmp_path / "f", text), bitext=FOUR)
    assert why in caught.value.message
    assert caught.value.remedy


def test_a_bitext_of_own_names(tmp_path: Path) -> None:
    named = [SentencePair(name, ("a",), ("b",)) for name in ("s1", "s2", "s3")]
    rows = [{"id": name, "links": [[0, 0]] if name == "s3" else []} for name in ("s3", "s1", "s2")]
    path = put(tmp_path / "f", "".join(json.dumps(row) + "\n" for row in rows))
    assert [str(x) for x in read_links(path, bitext=named)] == ["", "", "0-0"]
    with pytest.raises(LengthMismatchError, match="names 's4'"):
        read_links(put(path, path.read_text().replace("s2", "s4")), bitext=named)
    plain = Corpus.from_texts(["a"] * 3, ["b"] * 3)  # a text without names of its own: line for line
    assert [str(x) for x in read_links(path, bitext=plain)] == ["0-0", "", ""]


def test_numbers_beyond_the_text_are_told(tmp_path: Path) -> None:
    """The WPT 2005 sets number 199 sentence pairs from 1 to 203."""
    path = put(tmp_path / "f", "26 1 1\n31 1 1\n32 1 1\n40 1 1\n")
    table, report = read_links_report(path, bitext=FOUR)
    assert (table.sentences, table.ids, len(report.notes)) == (4, ["26", "31", "32", "40"], 1)
    with pytest.warns(AlignEvalWarning, match="its numbers, 26 to 40, were taken in the order"):
        read_links(path, bitext=FOUR)


@pytest.mark.parametrize("links", ["0-0\n\n1-1\n", "\n0-0\n", "0-0\n\n\n", "\n\n", "0p0 1-1\n0-0\n"])
def test_naacl_written_here_keeps_sentences_without_links(tmp_path: Path, links: str) -> None:
    table = read_links(put(tmp_path / "a.talp", links))
    write_links(tmp_path / "b.wpt", table, format="naacl")
    back = read_links(tmp_path / "b.wpt", format="naacl")
    assert back == table
    write_links(tmp_path / "c.talp", back, format="talp")
    assert (tmp_path / "c.talp").read_text("utf-8") == links


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("1 1 1\n3 2 2\n", "0-0\n\n1-1\n"),
        ("2 1 1\n", "\n0-0\n"),
        ("0 1 1\n3 2 2\n", "0-0\n\n\n1-1\n"),
        (a3(1, "({ 1 })") + a3(3, "({ 1 })"), "0-0\n\n0-0\n"),
    ],
)
def test_no_line_moves_up_where_a_number_is_missing(tmp_path: Path, text: str, lines: str) -> None:
    table = read_links(put(tmp_path / "f", text))
    with pytest.warns(AlignEvalWarning, match="without links stand for the numbers that are missing"):
        write_links(tmp_path / "o.talp", table, format="talp")
    assert (tmp_path / "o.talp").read_text("utf-8") == lines


def test_numbers_that_are_no_lines(tmp_path: Path) -> None:
    table = read_links(put(tmp_path / "f", "100000 1 1\n200000 2 2\n"))
    with pytest.raises(InputError, match="holds no names") as caught:
        write_links(tmp_path / "o.talp", table, format="talp")
    assert "--bitext" in (caught.value.remedy or "")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        write_links(tmp_path / "o.talp", table, format="talp", bitext=FOUR[:2])
    assert (tmp_path / "o.talp").read_text("utf-8") == "0-0\n1-1\n"


@given(places=st.lists(st.sampled_from("1234"), unique=True), base=st.sampled_from([0, 1]))
@QUICK
def test_any_order_of_lines_gives_the_same(tmp_path: Path, places: list[str], base: int) -> None:
    rows = "".join(f"{name} {base} {base} S\n{name} {base + 1} {base} P\n" for name in places)
    path = put(tmp_path / "f", rows)
    table = read_links_report(path, format="naacl", base=base, bitext=FOUR, out_of_range="drop")[0]
    assert [bool(len(links)) for links in table] == [name in places for name in "1234"]


@pytest.mark.parametrize("format", ["naacl", "a3", "numbered"])
def test_numbers_are_kept_in_any_order(tmp_path: Path, format: str) -> None:
    table = LinkTable.from_links([Links("0-0"), Links("0-1"), Links("0-0")], ids=["40", "7", "12"])
    pairs = [SentencePair(name, ("a",), ("x", "y")) for name in ("40", "7", "12")]
    write_links(tmp_path / "f", table, format=format, bitext=pairs)
    back = read_links(tmp_path / "f", base="auto" if format != "numbered" else 0)
    assert dict(zip(back.ids or (), map(str, back), strict=True)) == {"40": "0-0", "7": "0-1", "12": "0-0"}
    named = LinkTable.from_links([Links("0-0"), Links("0-0")], ids=["a", "b"])
    with pytest.warns(AlignEvalWarning, match="'a', 'b', and .* holds numbers"):
        write_links(tmp_path / "f", named, format=format, bitext=pairs[:2])


@pytest.mark.parametrize("bitext", ["bitext.tsv", [("a b", "x y")], ["a b"], 3])
def test_what_is_no_bitext(tmp_path: Path, bitext: object) -> None:
    with pytest.raises(InputError, match="holds no sentence pairs"):
        read_links(put(tmp_path / "f", "0-0\n"), bitext=bitext)  # type: ignore[arg-type]
