"""Files of links as other tools and published data sets write them: each form read, or an error with its remedy."""

from __future__ import annotations

import bz2
import gzip
import json
from pathlib import Path

import pytest

from align_eval.corpora import Corpus, read_bitext, read_links, write_links
from align_eval.corpora.linkio import read_links_report, sentences_of_links
from align_eval.errors import AlignEvalWarning, EncodingError, FormatError, InputError, LinkRangeError
from align_eval.links import GoldLinks, Links
from align_eval.links.table import LinkTable

TEXT = Corpus.from_texts(["the house", "a b c", "d"], ["das ist Haus", "x y", "z"])
GOLD = LinkTable.from_links(
    [GoldLinks(Links([(0, 0), (1, 2)]), Links([(0, 1)])), GoldLinks(Links([(2, 1)])), GoldLinks(Links())]
)
MWA = "{}\t{}\tN/A\t{}\tN/A\t1\t1\t{}\t{}\t \n"


def put(path: Path, content: str | bytes) -> Path:
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def gold(table: LinkTable) -> list[str]:
    return [str(table.gold(k)) for k in range(table.sentences)]


@pytest.mark.parametrize(
    ("text", "format", "want"),
    [
        ("0\t0-0 1p1\n1\t0-1 1-0\n", "numbered", ["0-0 1p1", "0-1 1-0"]),
        ("17\t0-0\n4\t\n5\t2-1?\n".replace("?", ""), "numbered", ["0-0", "", "2-1"]),
        ("1\t0-0:0.5 1-1:0.25\n", "numbered", ["0-0 1-1"]),
        ("das Haus ||| the house ||| 0-0 1-1\nja ||| yes ||| 0-0\n", "pipes", ["0-0 1-1", "0-0"]),
        ("a b ||| x ||| 0-0 1p0\nc ||| y |||\n||| z ||| \n", "pipes", ["0-0 1p0", "", ""]),
        (MWA.format("0:0", "a b c d", "w x y z", "0-0 1-1 2-2", "3-3"), "multimwa", ["0-0 1-1 2-2 3p3"]),
        (MWA.format("7", "a b", "x", "", "1-0") + MWA.format("8", "a", "x", "0-0", ""), "multimwa", ["1p0", "0-0"]),
        ("[(0, 0), (1, 1)]\n[(0, 1)]\n", "lists", ["0-0 1-1", "0-1"]),
        ("[[0, 0], [1, 1]]\n[]\n\n[[0,1]]", "lists", ["0-0 1-1", "", "", "0-1"]),
        ("{(0, 0), (2, 1)}\nset()\n(0, 1), (1, 0)\n(3, 3)\n", "lists", ["0-0 2-1", "", "0-1 1-0", "3-3"]),
        ("[(np.int64(0), np.int64(0)), (np.int64(1), np.int64(2))]\n", "lists", ["0-0 1-2"]),
        ("[[[0, 0], [1, 1]], [], [[0, 1]]]", "lists", ["0-0 1-1", "", "0-1"]),
        ("[\n  [[0, 0]],\n  [[0, 1], [1, 0]]\n]\n", "lists", ["0-0", "0-1 1-0"]),
        ('[{"id": "1", "links": [[0, 0]], "possible": [[1, 1]]}]', "jsonl", ["0-0 1p1"]),
        ('[\n {"links": "0-0"},\n {"sure": [[1, 0]]}\n]\n', "jsonl", ["0-0", "1-0"]),
        ("a b ||| x y ||| 0-0 1-1 ||| -3.5\nc ||| z ||| ||| -1 ||| 0.25\n", "pipes", ["0-0 1-1", ""]),
        ("0-0 1-1\t\n\t0-0\t\t\n", "pharaoh", ["0-0 1-1", "0-0"]),
        ("0-0 1-1 ||| -12.3\n0-1 ||| -4 ||| 1e-5\n ||| 0\n", "pharaoh", ["0-0 1-1", "0-1", ""]),
        ("1 2 3 go\t1 2 3 los\t0-0 1-1\nA b\tA c\t0-0\n", "tsv", ["0-0 1-1", "0-0"]),
        ("12 3\t4 5\t\n6 7\t8 9\t0-0\n", "tsv", ["", "0-0"]),
        ("12 3\t4 5\t\n6 7\t8 9\t\n", "tsv", ["", ""]),
        ("source\ttarget\tlinks\na b\tx y\t0-0 1-1\n", "tsv", ["0-0 1-1"]),
        ("1 1 1\n1 2 2 P\n2 1 1 S 0.5\n".replace(" S 0.5", ""), "naacl", ["0-0 1p1", "0-0"]),
        ("0-0 0\n0-0 oops\n0-1\n".replace(" 0\n", "\n").replace(" oops", ""), "pharaoh", ["0-0", "0-0", "0-1"]),
    ],
)  # fmt: skip
def test_forms(tmp_path: Path, text: str, format: str, want: list[str]) -> None:
    table, report = read_links_report(put(tmp_path / "f", text), base="auto")
    assert (report.format, gold(table)) == (format, want)


@pytest.mark.parametrize(
    ("text", "scores"),
    [
        ("0-0-0.98 1-1-0.77\n", [0.98, 0.77]),
        ("0-0:0.98 1-1:0.77\n", [0.98, 0.77]),
        ("0-0:1 1-1:0\n", [1, 0]),
        ("0-0-1e-05 1p1-0.5\n", [1e-5, 0.5]),
        ("0-0:-1.5 1-1:-0.25\n", [-1.5, -0.25]),
        ("0-0-.5 0-0-.75 1-1-1.0\n", [0.75, 1]),
        ("[(0, 0, 0.5), (1, 1, 1)]\n", [0.5, 1]),
    ],
)
def test_scores_of_links(tmp_path: Path, text: str, scores: list[float]) -> None:
    table = read_links(put(tmp_path / "f", text))
    assert table.scores is not None
    assert (str(table[0]), table.scores.tolist()) == ("0-0 1-1", pytest.approx(scores))


@pytest.mark.parametrize("text", ["0-0:0.5 1-1\n", "0-0\n1-1-0.5\n", "[(0, 0, 0.5), (1, 1)]\n"])
def test_scores_of_some_links_only(tmp_path: Path, text: str) -> None:
    with pytest.raises(FormatError, match="some links have a score and others have not"):
        read_links(put(tmp_path / "f", text))


def test_scores_of_sentence_pairs_are_told(tmp_path: Path) -> None:
    path = put(tmp_path / "f", "0-0 ||| -1.5\n")
    with pytest.warns(AlignEvalWarning, match="scores of sentence pairs behind '|||' are left out"):
        read_links(path)


@pytest.mark.parametrize("name", ["numbered", "pipes", "multimwa"])
@pytest.mark.parametrize("base", [0, 1])
def test_round_trip(tmp_path: Path, name: str, base: int) -> None:
    path = tmp_path / "f"
    write_links(path, GOLD, format=name, base=base, bitext=TEXT)
    assert read_links(path, format=name, base=base) == GOLD
    assert read_links(path, base=base, bitext=TEXT) == GOLD
    if name != "numbered":
        pairs = sentences_of_links(path)
        assert pairs is not None
        assert [(p.source, p.target) for p in pairs] == [(p.source, p.target) for p in TEXT]


@pytest.mark.parametrize(
    ("text", "why", "remedy"),
    [
        ("a ||| b\nc ||| d\n", "is sentences, not links", "file of links"),
        ("id\ta b\tx y\t0-0 1-1\t0.9\n", "with links in column 4", "cut -f"),
        (
            '{"version": "1", "data": [{"paragraphs": []}]}\n',
            "there are: 'version', 'data'",
            "'.data[]'",
        ),
        ('{\n "data": [\n {"links": []}\n ]\n}\n', "one JSON object over 5 lines", "jq -c '.data[]'"),
        ('{\n "links": []\n}\n{\n "links": []\n}\n', "over several lines that is not one value", "jq -c ."),
        ('[{"links": []}, 3]', "element 2 of a JSON array is a int", "object"),
        ('{"align": [[0, 0]]}\n', "no key 'links'; there are: 'align'", "Name it 'links'"),
        ("[(0, 0), (1, x)]\n", "not JSON", ""),
        ("0\t0-0\n0\t1-1\n", "sentence pair 0 is there twice", "once"),
        ("a ||| b ||| 0-0 ||| c\n", "4 fields between '|||', with links in field 3", "awk -F"),
        ("-3.5 ||| 0-0 1-1\n", "2 fields between '|||', with links in field 2", "{print $2}"),
        ("a b\tx y\n", "two columns of text, not links", "file of links"),
        ("hello\n", "cannot tell the format", "--gold-format"),
        ("0-0,1-1\n", "links between commas", "tr ',' ' '"),
        ("0-0, 1-1\n", "'0-0,' is not a link (links between commas)", "tr ',' ' '"),
        ("0-0\t1-1\n", "links between tabs", "tr '\\t' ' '"),
        ("0:0 1:1\n", "another sign", "sed -E"),
        ("0–0 1–1\n", "another sign", "sed -E"),
        ("1 0-0 1-1\n", "a number before the links, without a tab", "sed -E"),
        ('"0-0 1-1"\n', "quotation marks", "tr -d"),
        ("# made by hand\n0-0\n", "(a comment)", "grep -v"),
        ("1,1,1\n1,2,2\n", "numbers between commas", "tr ',;'"),
        ("source,target,links\na b,x y,0-0 1-1\n", "(CSV)", "tab-separated"),
        ('a;b;"0-0"\nc;d;"0-0"\n', "(CSV)", "tab-separated"),
        ("<!DOCTYPE html><html>\n", "an HTML page", "download"),
        ("version https://git-lfs.github.com/spec/v1\n", "Git LFS", "git lfs pull"),
        ("0-0 1-1\r0-0\r", "lines that end in CR alone", "tr '\\r' '\\n'"),
        ('["0-0 1-1", "0-0"]\n', "element 1 of a JSON array is a str", "jq -r '.[]'"),
        ('{"a": [[0, 0]], "b": [[0, 1]]}\n', "no key 'links'; there are: 'a', 'b'", "to_entries"),
    ],
)
def test_what_is_not_read_says_its_remedy(tmp_path: Path, text: str, why: str, remedy: str) -> None:
    with pytest.raises(FormatError) as caught:
        read_links(put(tmp_path / "f", text))
    assert why in caught.value.message
    assert remedy in (caught.value.remedy or "")


def test_one_odd_line_does_not_change_the_format(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match="is not a link") as caught:
        read_links(put(tmp_path / "f", "1 1 1\n" * 9 + "1 2 x\n"))
    assert caught.value.line == 10
    with pytest.raises(FormatError, match="2 columns instead of 3") as caught:
        read_links(put(tmp_path / "f", "a\tb\t0-0\n" * 9 + "a\tb\n"))
    assert caught.value.line == 10
    assert read_links_report(put(tmp_path / "f", "2 3 4\n" + "\n" * 3 + "1 1 1\n"))[1].format == "naacl"


@pytest.mark.parametrize("form", ["lines", "array", "parquet"])
@pytest.mark.parametrize(
    ("row", "want"),
    [
        ({"links": [[0, 0]], "possible": [[1, 1]]}, "0-0 1p1"),
        ({"sure": [[0, 0]], "possible": [[0, 0], [1, 1]]}, "0-0 1p1"),
        ({"links": "0-0 1p1"}, "0-0 1p1"),
        ({"sure": "0-0", "possible": "1-1"}, "0-0 1p1"),
        ({"sure": [], "possible": [[0, 0]]}, "0p0"),
        ({"links": [[0, 0], [1, -1]]}, "0-0"),
    ],
)
def test_one_schema_for_links_and_for_sentence_pairs(tmp_path: Path, form: str, row: dict, want: str) -> None:
    row = {"source": "a b", "target": "x y", **row}
    path = tmp_path / f"f.{form}"
    if form == "parquet":
        import pyarrow as pa
        import pyarrow.parquet as pq

        pq.write_table(pa.Table.from_pylist([row]), path)
    else:
        put(path, json.dumps(row) + "\n" if form == "lines" else json.dumps([row], indent=1))
    bitext = read_bitext(path)
    assert len(bitext) == 1
    table = bitext.table
    assert table is not None
    assert gold(table) == gold(read_links(path)) == [want]


@pytest.mark.parametrize("form", ["jsonl", "parquet"])
@pytest.mark.parametrize("sides", [("source", "target"), ("src", "tgt")])
def test_scores_in_text_and_sentences_of_rows(tmp_path: Path, form: str, sides: tuple[str, str]) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    for links, possible in (
        ("0-0:0.5 1-1:0.25", None),
        ("0-0:0.5", "1-1:0.25"),
        ("0-0:0.5 1-1", None),
        ("0-9:1", None),
    ):
        row = {sides[0]: "a b", sides[1]: "x y", "links": links, "possible": possible}
        path = tmp_path / "f"
        if form == "parquet":
            pq.write_table(pa.Table.from_pylist([row]), path)
        else:
            put(path, json.dumps(row) + "\n")
        if "9" in links:
            with pytest.raises(LinkRangeError):
                read_links(path)
        elif ":" in links.split(" ")[-1]:
            table = read_links(path)
            assert table.scores is not None
            assert (str(table[0]), table.scores.tolist()) == ("0-0 1-1", [0.5, 0.25])
        else:
            with pytest.raises(FormatError, match="some links have a score and others have not"):
                read_links(path)


def test_a_column_twice_is_an_error_for_both(tmp_path: Path) -> None:
    path = put(tmp_path / "f", '{"source": "a", "target": "x", "links": [[0, 0]], "sure": []}\n')
    for read in (read_links, lambda path: list(read_bitext(path))):
        with pytest.raises(FormatError, match="both 'links' and 'sure', and they differ"):
            read(path)


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("text", ["0-0 1-1\n", "1 1 1\n1 2 2\n", "a b\tx y\t0-0\n", '{"links": []}\n'])
def test_utf16(tmp_path: Path, encoding: str, text: str) -> None:
    for format in ("auto", "pharaoh", "tsv"):
        with pytest.raises(EncodingError, match="UTF-16") as caught:
            read_links(put(tmp_path / "f.talp", text.encode(encoding)), format=format)
        assert "iconv -f UTF-16" in (caught.value.remedy or "")


@pytest.mark.parametrize("name", ["links.talp", "links.1", "LINKS.GZ"])
@pytest.mark.parametrize("pack", [gzip.compress, bz2.compress])
def test_packed_links_under_any_name(tmp_path: Path, name: str, pack) -> None:
    assert gold(read_links(put(tmp_path / name, pack(b"0-0 1p1\n")))) == ["0-0 1p1"]


def test_archives(tmp_path: Path) -> None:
    with pytest.raises(EncodingError, match="zip archive"):
        read_links(put(tmp_path / "f", b"PK\x03\x04\x14\x00links.talp0-0\n"))


def test_lists_hold_no_possible_links(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot mark possible links"):
        write_links(tmp_path / "f", GOLD, format="lists")
    sure = LinkTable.from_links([Links("0-0 1-2"), Links()])
    write_links(tmp_path / "f", sure, format="lists")
    assert read_links(tmp_path / "f") == sure
