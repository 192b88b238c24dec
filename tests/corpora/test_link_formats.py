"""Each link format by itself: what it accepts, how it is recognised, how its errors read."""

from __future__ import annotations

import gzip
import io
import json
import lzma
import sys
from pathlib import Path

import numpy as np
import pytest

from align_eval.corpora import Corpus, SentencePair, read_links, write_links
from align_eval.corpora.link_formats import LINK_FORMATS
from align_eval.corpora.linkio import link_format_of, read_links_report, sentences_of_links
from align_eval.errors import (
    AlignEvalError,
    EncodingError,
    FormatError,
    InputError,
    LengthMismatchError,
    LinkRangeError,
    MissingFileError,
    OutputError,
    UnknownNameError,
)
from align_eval.links import GoldLinks, Links
from align_eval.links.table import LinkTable

TEXT = Corpus.from_texts(["the house", "a b c", "d"], ["das ist Haus", "x y", "z"])
GOLD = LinkTable.from_links(
    [GoldLinks(Links([(0, 0), (1, 2)]), Links([(0, 1)])), GoldLinks(Links([(2, 1)])), GoldLinks(Links())]
)
SURE = LinkTable.from_links([Links([(0, 0), (1, 2)]), Links([(2, 1)]), Links()])
A3 = """\
# Sentence pair (1) source length 2 target length 3 alignment score : 0.00123
das ist Haus
NULL ({ 2 }) the ({ 1 }) house ({ 3 })
# Sentence pair (2) source length 3 target length 2 alignment score : 1e-05
x y
NULL ({ 1 }) a ({ }) b ({ }) c ({ 2 })
# Sentence pair (3) source length 1 target length 1 alignment score : 1
z
NULL ({ 1 }) d ({ })
"""


@pytest.fixture
def file(tmp_path: Path):
    def write(content: str | bytes, name: str = "links") -> Path:
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return write


def gold(path: Path, **options) -> list[str]:
    table = read_links(path, **options)
    return [str(table.gold(k)) for k in range(table.sentences)]


def test_forms_of_pharaoh(file) -> None:
    path = file("0-0 0p1 0?2 0-3-P 0-4P 0-5-S 0-6S\n\n  1-1   1-2 \n")
    assert gold(path) == ["0-0 0p1 0p2 0p3 0p4 0-5 0-6", "", "1-1 1-2"]
    assert read_links(path).sentences == 3


def test_empty_lines_and_the_final_line_feed(file) -> None:
    assert read_links(file("")).sentences == 0
    assert read_links(file("\n")).sentences == 1
    assert read_links(file("0-0")).sentences == read_links(file("0-0\n")).sentences == 1
    assert read_links(file("0-0\n\n")).sentences == 2
    assert read_links(file("\n\n0-0\n")).sentences == 3


def test_sure_wins_over_possible(file) -> None:
    assert gold(file("0p0 0-0 1-1 1p1 2p2 2p2\n")) == ["0-0 1-1 2p2"]


def test_windows_line_ends_and_byte_order_mark(file) -> None:
    assert gold(file(b"\xef\xbb\xbf0-0 1p1\r\n\r\n1-1\r\n")) == ["0-0 1p1", "", "1-1"]
    assert gold(file(b"\xef\xbb\xbf1 1 1\r\n1 2 2 P\r\n")) == ["0-0 1p1"]


@pytest.mark.parametrize("bad", ["1x2", "1-", "-", "1-2-Q", "1--2", "a-b", "1-2-3", "1p2S", "1-2\t3-4", "٣-٤", "1.0-2"])
def test_malformed_link_is_named(file, bad: str) -> None:
    path = file("0-0 1-1\n" * 3000 + f"0-0 {bad} 2-2\n" + "0-0\n" * 3000)
    if bad == "1-":
        assert read_links_report(path)[1].nulls == 1
        return
    with pytest.raises(FormatError) as caught:
        read_links(path)
    assert (caught.value.line, caught.value.file) == (3001, str(path))
    assert repr(bad) in caught.value.message
    assert ("tr '\\t'" if "\t" in bad else "i-j") in (caught.value.remedy or "")


def test_bytes_that_are_not_utf8(file) -> None:
    with pytest.raises(EncodingError) as caught:
        read_links(file(b"0-0\n" * 9 + b"0-0 \xe91-1\n"))
    assert caught.value.line == 10


def test_index_that_is_too_large(file) -> None:
    assert read_links(file("0-2147483646\n"), base=0).links == 1
    for number in ("2147483647", "9" * 25, "9" * 5000):
        with pytest.raises(FormatError, match="is not a link"):
            read_links(file(f"0-0 0-{number}\n"))
    table = read_links(file("0-2147483646 2000000000-1\n2000000000-1 0-0\n"))
    assert [str(x) for x in table] == ["0-2147483646 2000000000-1", "0-0 2000000000-1"]


def test_range_error_says_everything(file) -> None:
    path = file("0-0\n0-0 1-7\n0-0\n")
    with pytest.raises(LinkRangeError) as caught:
        read_links(path, bitext=TEXT)
    assert (caught.value.file, caught.value.line) == (str(path), 2)
    assert "link 1-7" in caught.value.message
    assert "3 source and 2 target words" in caught.value.message
    assert caught.value.remedy
    with pytest.raises(LinkRangeError, match="Probably the sides are swapped"):
        read_links(file("1-1\n3-1\n1-1\n"), base=1, order="st", bitext=Corpus.from_texts(["a"] * 3, ["x y z"] * 3))
    with pytest.raises(LinkRangeError, match="Probably the indices count from 1"):
        read_links(file("1-1\n3-2\n\n"), base=0, bitext=TEXT)


def test_number_of_lines(file) -> None:
    for text in ("0-0\n0-0\n", "0-0\n" * 4, ""):
        path = file(text)
        with pytest.raises(LengthMismatchError, match=f"{text.count('0-0')} sentence pairs but 3") as caught:
            read_links(path, bitext=TEXT)
        assert caught.value.file == str(path)


def test_naacl(file) -> None:
    path = file("0007 1 1 S 0.5\n0007\t1 2 P 0.25\n\n0010 2 2 S 1\n0009 1 1 S 0.1\n")
    table = read_links(path)
    assert gold(path) == ["0-0 0p1", "0-0", "1-1"]
    assert table.ids == ["0007", "0009", "0010"]
    assert table.scores is not None
    assert table.scores.tolist() == pytest.approx([0.5, 0.25, 0.1, 1.0])
    nulls = file("1 0 1\n1 2 0\n1 -1 3\n1 4\n1 1 1\n")
    assert read_links_report(nulls)[1].nulls == 4
    with pytest.raises(FormatError, match="null link"):
        read_links(nulls, nulls="raise")
    assert gold(file("1 1 1 0.5\n1 1 2 P\n".replace(" P", " P 0.5")), format="wpt") == ["0-0 0p1"]


def test_naacl_sentences_without_links(file) -> None:
    path = file("1 1 1\n3 1 1\n")
    assert read_links(path).sentences == 2
    table = read_links(path, bitext=TEXT)
    assert [str(x) for x in table] == ["0-0", "", "0-0"]
    with pytest.raises(LengthMismatchError):
        read_links(file("1 1 1\n9 1 1\n"), bitext=TEXT)
    named = [SentencePair(name, ("a",), ("b",)) for name in ("0026", "0031", "0123")]
    assert [str(x) for x in read_links(file("26 1 1\n123 1 1\n"), bitext=named)] == ["0-0", "", "0-0"]


@pytest.mark.parametrize("bad", ["x 1 2", "1 x 2", "1 2 3 Q", "1 2 3 S nan", "1 2 3 S 0.1 x", "1", "1 2 99999999999"])
def test_naacl_malformed(file, bad: str) -> None:
    with pytest.raises(FormatError) as caught:
        read_links(file(f"1 1 1\n{bad}\n"), format="naacl")
    assert caught.value.line == 2
    assert "sentence source target" in (caught.value.remedy or "")


def test_naacl_some_probabilities(file) -> None:
    with pytest.raises(FormatError, match="some links have a probability"):
        read_links(file("1 1 1 S 0.5\n1 1 2 S\n"))


def test_a3(file) -> None:
    path = file(A3)
    table, report = read_links_report(path)
    assert table == SURE
    assert (report.format, report.base, report.nulls) == ("a3", 1, 3)
    assert table == read_links(path, bitext=TEXT)
    turned = Corpus.from_pairs(pair.reverse() for pair in TEXT)
    assert read_links(path, order="ts", bitext=turned) == SURE.reverse()
    assert sentences_of_links(path) == list(TEXT)
    assert sentences_of_links(path, order="ts") == list(turned)
    with pytest.raises(LengthMismatchError, match="sentence pair 1 has 2 source and 3 target words here but 3 and 2"):
        read_links(path, bitext=turned)
    with pytest.raises(InputError, match="always count from 1"):
        read_links(path, base=0)


def test_a3_written_as_giza_does(tmp_path: Path) -> None:
    path = tmp_path / "out.a3"
    write_links(path, SURE, format="a3", bitext=TEXT)
    expected = [line.split(" alignment")[0] for line in A3.splitlines()]
    assert [line.split(" alignment")[0] for line in path.read_text("utf-8").splitlines()] == expected
    write_links(path, SURE, format="a3", order="ts", bitext=TEXT)
    assert path.read_text("utf-8").splitlines()[1:3] == ["the house", "NULL ({ }) das ({ 1 }) ist ({ }) Haus ({ 2 })"]
    with pytest.raises(InputError, match="cannot mark possible links"):
        write_links(path, GOLD, format="a3", bitext=TEXT)


def test_a3_parts_out_of_order(file) -> None:
    lines = A3.splitlines(keepends=True)
    assert read_links(file("".join(lines[6:] + lines[:6]))) == SURE
    with pytest.raises(FormatError, match=r"pair \(1\) is there twice, first in line 1") as caught:
        read_links(file(A3 + "".join(lines[:3])))
    assert caught.value.line == 10


@pytest.mark.parametrize(
    ("old", "new", "line", "why"),
    [
        ("das ist Haus", "das Haus", 2, "2 words where the header says target length 3"),
        ("house ({ 3 })", "house ({ 3", 3, "do not end with"),
        ("house ({ 3 })", "house 3", 3, "is not followed by"),
        ("house ({ 3 })", "house ({ x })", 3, "is no position"),
        ("house ({ 3 })", "", 3, "2 words .NULL included. where"),
        ("house ({ 3 })", "house ({ 4 })", 3, "outside its sentence pair of 2 source and 3 target words"),
        ("# Sentence pair (2)", "Sentence pair 2", 4, "is not a header"),
        ("d ({ })\n", "d ({ }) e ({ })\n", 9, "3 words .NULL included. where"),
        ("z\nNULL ({ 1 }) d ({ })\n", "", 7, "ends within a sentence pair"),
    ],
)
def test_a3_malformed(file, old: str, new: str, line: int, why: str) -> None:
    with pytest.raises(FormatError, match=why) as caught:
        read_links(file(A3.replace(old, new)), format="a3")
    assert caught.value.line == line


def test_tsv(file) -> None:
    path = file("the house\tdas ist Haus\t0-0 0p1 1-2\na b c\tx y\t2-1\t\t\nd\tz\t\n")
    assert read_links(path) == GOLD
    assert sentences_of_links(path) == list(TEXT)
    assert read_links(path, order="ts") == GOLD.reverse()
    with pytest.raises(LinkRangeError, match="2 source and 3 target words") as caught:
        read_links(file("a\tb\t0-0\nthe house\tdas ist Haus\t0-0 2-0\n"))
    assert caught.value.line == 2
    for bad in ("a\tb\n", "a\tb\t0-0\tmore\n", "a\tb\tc\n"):
        with pytest.raises(FormatError) as caught:
            read_links(file("a\tb\t0-0\n" + bad), format="tsv")
        assert caught.value.line == 2


def test_jsonl(file) -> None:
    rows = [
        {"id": 7, "links": [[0, 0], [1, 2]], "possible": [[0, 1], [0, 0]], "scores": [0.5, 1, 0.25, 0.75]},
        {"id": "b", "links": [], "possible": []},
        {"id": "c", "sure": "2-1 0p1", "scores": [1, 2], "source": "a b c", "target": ["x", "y"], "other": None},
    ]
    path = file("".join(json.dumps(row) + "\n" for row in rows))
    table = read_links(path)
    assert gold(path) == ["0-0 0p1 1-2", "", "0p1 2-1"]
    assert table.ids == ["7", "b", "c"]
    assert table.scores is not None
    assert table.scores.tolist() == [0.75, 0.25, 1.0, 2.0, 1.0]
    null = file('{"links": [[null, 1], [0, -1], [0, 0]]}\n')
    assert read_links_report(null)[1].nulls == 2
    with pytest.raises(LinkRangeError, match="1 source and 2 target words"):
        read_links(file('{"links": [[0, 2]], "source": "a", "target": "x y"}\n'))


@pytest.mark.parametrize(
    "bad",
    [
        "",
        "[]",
        "{",
        "{}",
        '{"links": 3}',
        '{"links": [[1, 2, 3]]}',
        '{"links": [[1, -2]]}',
        '{"links": [[1, 2.5]]}',
        '{"links": [[true, 1]]}',
        '{"links": [[0, 0]], "scores": []}',
        '{"links": [[0, 0]], "scores": [NaN]}',
        '{"links": [[0, 0]], "scores": [0.5]}',
        '{"links": "0-0 x"}',
        '{"links": [], "id": 1.5}',
        '{"links": [], "source": 1, "target": "x"}',
        '{"links": ' + "[" * 100_000,
        '{"links": [[0, ' + "9" * 5000 + "]]}",
    ],
)
def test_jsonl_malformed(file, bad: str) -> None:
    with pytest.raises(FormatError) as caught:
        read_links(file('{"links": [[0, 0]]}\n' + bad + "\n"))
    assert caught.value.line == 2
    assert caught.value.remedy
    assert "\n" not in str(caught.value)


def test_parquet_of_others(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    path = tmp_path / "x"
    sides = {"source": pa.array([list("ab"), list("abc"), ["d"]]), "target": pa.array(["das ist Haus", "x y", "z"])}
    pairs = [[[0, 0], [1, 2]], [[2, 1]], None]
    for kind in (pa.list_(pa.list_(pa.int64())), pa.large_list(pa.list_(pa.uint8(), 2))):
        columns = {"sure": pa.array(pairs, kind), "possible": pa.array([[[0, 1]], [], []], kind), **sides}
        pq.write_table(pa.table(columns), path, row_group_size=2)
        assert read_links(path) == GOLD
    pq.write_table(pa.table({"links": pa.array(["0-0 0p1 1-2", "2-1", None]), "id": pa.array([5, 6, 7])}), path)
    assert read_links(path) == GOLD
    assert read_links(path).ids == ["5", "6", "7"]
    pq.write_table(pa.table({"links": pa.array([[], None, []]), "scores": pa.array([None, None, None])}), path)
    assert read_links(path).sentences == 3
    pq.write_table(pa.table({"links": pa.array([[[0, 1]], [[-1, 0]], [[None, 0]]])}), path)
    assert read_links_report(path)[1].nulls == 2
    for wrong in (pa.array([1, 2]), pa.array([[1], [2]]), pa.array([[[0.5, 1.5]]])):
        pq.write_table(pa.table({"links": wrong}), path)
        with pytest.raises(FormatError, match=r"'links' is (a |not a link)"):
            read_links(path)
    for entry in ([0, 1, 2], [0], [0, -2], [0, 2**40]):
        pq.write_table(pa.table({"links": pa.array([[[0, 0]], [[0, 0], entry]])}), path)
        with pytest.raises(FormatError, match="is not a link") as caught:
            read_links(path)
        assert caught.value.line == 2
    pq.write_table(pa.table({"text": pa.array(["0-0"])}), path)
    with pytest.raises(FormatError, match=r"no column 'links' among its columns \('text'\)"):
        read_links(path)
    for scores in ([[0.5, 0.5]], [[float("nan")]], ["x"]):
        pq.write_table(pa.table({"links": pa.array([[[0, 0]]]), "scores": pa.array(scores)}), path)
        with pytest.raises(FormatError, match="score"):
            read_links(path)
    path.write_bytes(b"PAR1 and no more PAR1")
    with pytest.raises(FormatError, match="not Parquet"):
        read_links(path)


@pytest.mark.parametrize(
    ("content", "name"),
    [
        ("0-0 1-1\n", "pharaoh"),
        ("\n\n0p0\n", "pharaoh"),
        ("", "pharaoh"),
        ("1 1 1\n", "naacl"),
        ("0001\t1\t1\tS\n", "naacl"),
        (A3, "a3"),
        ("a b\tc d\t0-0\n", "tsv"),
        ("a\tb\t\n", "tsv"),
        ('{"links": []}\n', "jsonl"),
    ],
)
def test_recognition(file, content: str, name: str) -> None:
    assert read_links_report(file(content), base=1 if name in ("naacl", "a3") else 0)[1].format == name


@pytest.mark.parametrize("content", ["hello world\n", "1:2 3:4\n", "a ||| b\n", "a\tb\n", "\x00\x01\n", "1 2\n"])
def test_not_recognised(file, content: str) -> None:
    with pytest.raises(FormatError) as caught:
        read_links(file("\n" + content))
    assert caught.value.line == 2
    assert caught.value.remedy


def test_unknown_format_names_the_nearest(file) -> None:
    with pytest.raises(UnknownNameError, match="Did you mean 'pharaoh'"):
        read_links(file("0-0\n"), format="faraoh")
    with pytest.raises(UnknownNameError, match="jsonl"):
        write_links("x", GOLD, format="jsnl")
    with pytest.raises(MissingFileError):
        read_links("no/such/file")
    with pytest.raises(MissingFileError, match="folder"):
        read_links(Path(__file__).parent)


def test_compressed_and_damaged(file, tmp_path: Path) -> None:
    import zstandard

    text = b"0-0 1p1\n" * 1000
    packed = {".gz": gzip.compress(text), ".xz": lzma.compress(text), ".zst": zstandard.compress(text)}
    for suffix, data in packed.items():
        assert read_links(file(data, "x" + suffix)).links == 2000
        with pytest.raises(EncodingError, match="damaged"):
            read_links(file(data[:-9], "x" + suffix))
        path = tmp_path / f"out.jsonl{suffix}"
        write_links(path, GOLD, format="jsonl")
        assert path.read_bytes()[:2] == data[:2]
        assert read_links(path) == GOLD


def test_standard_input_and_output(monkeypatch, capsysbinary) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"1-1 2p2\n\n")))
    table = read_links("-", base=1)
    write_links("-", table, format="talp", base=1)
    assert capsysbinary.readouterr().out == b"1-1 2p2\n\n"


def test_written_forms(tmp_path: Path) -> None:
    path = tmp_path / "out"
    written = {
        "pharaoh": "0-0 0?1 1-2\n2-1\n\n",
        "talp": "0-0 0p1 1-2\n2-1\n\n",
        "naacl": "1 1 1 S\n1 1 2 P\n1 2 3 S\n2 3 2 S\n",
        "tsv": "the house\tdas ist Haus\t0-0 0p1 1-2\na b c\tx y\t2-1\nd\tz\t\n",
        "jsonl": '{"id": "1", "links": [[0, 0], [1, 2]], "possible": [[0, 1]]}\n'
        '{"id": "2", "links": [[2, 1]]}\n{"id": "3", "links": []}\n',
    }
    for name, text in written.items():
        write_links(path, GOLD, format=name, bitext=TEXT)
        assert path.read_text("utf-8") == text
    write_links(path, GOLD, format="talp", base=1, order="ts")
    assert path.read_text("utf-8") == "1-1 2p1 3-2\n2-3\n\n"
    write_links(path, GOLD, format="tsv", order="ts", bitext=TEXT)
    assert path.read_text("utf-8").splitlines()[0] == "das ist Haus\tthe house\t0-0 1p0 2-1"


def test_writing_that_cannot_be(tmp_path: Path) -> None:
    path = tmp_path / "out"
    for name in ("a3", "tsv"):
        with pytest.raises(InputError, match="--bitext"):
            write_links(path, SURE, format=name)
        with pytest.raises(LengthMismatchError, match="3 sentence pairs but 2"):
            write_links(path, SURE, format=name, bitext=TEXT[:2])
        spaced = [SentencePair("7", ("New York", "b"), ("a", "b", "c")), *list(TEXT)[1:]]
        with pytest.raises(InputError, match="'New York' of sentence pair '7'"):
            write_links(path, SURE, format=name, bitext=spaced)
    with pytest.raises(InputError, match="always count from 1"):
        write_links(path, SURE, format="a3", base=0, bitext=TEXT)
    with pytest.raises(InputError, match="auto"):
        write_links(path, SURE, order="auto")
    with pytest.raises(OutputError):
        write_links(tmp_path / "no" / "out", SURE)
    one = np.zeros(1, dtype=np.int32)
    with pytest.raises(InputError, match="finite"):
        LinkTable(one, one, one, 1, scores=np.array([np.nan]))
    scored = LinkTable.presorted(one, one, one, 1, np.ones(1, dtype=bool), np.array([np.nan], dtype=np.float32))
    for name in ("jsonl", "parquet", "naacl"):
        with pytest.raises(InputError, match="finite"):
            write_links(path, scored, format=name)
    assert not list(tmp_path.iterdir())  # nothing half-written is left


def test_failed_writing_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "out.tsv"
    path.write_text("old", "utf-8")
    bad = [*list(TEXT)[:2], SentencePair("3", ("x y",), ("z",))]
    with pytest.raises(AlignEvalError):
        write_links(path, SURE, format="tsv", bitext=bad)
    assert path.read_text("utf-8") == "old"


def test_format_of_a_file_name() -> None:
    names = {"x.talp": "talp", "x.JSONL.gz": "jsonl", "a.b.parquet": "parquet", "x.A3.final": "a3", "x": "pharaoh"}
    assert {name: link_format_of(name) for name in names} == names
    known = "a3 answers jsonl lists multimwa naacl numbered parquet pharaoh pipes talp tsv"
    assert set(LINK_FORMATS.names()) == set(known.split(" "))


@pytest.mark.parametrize(
    ("form", "line"), [("tsv", b"a\tb\t0-0"), ("pipes", b"a ||| b ||| 0-0"), ("numbered", b"1\t0-0")]
)
def test_a_carriage_return_within_a_line_ends_none(tmp_path: Path, form: str, line: bytes) -> None:
    path = tmp_path / "links"
    path.write_bytes(line + b"\r\n")
    assert read_links(path, format=form, base=0)[0] == Links("0-0")
    path.write_bytes(line + b"\r\r\n")
    with pytest.raises(FormatError, match="is not a link") as raised:
        read_links(path, format=form, base=0)
    assert raised.value.line == 1


@pytest.mark.parametrize("text", ['{"id": "\\ud800", "links": [[0, 0]]}\n', '[{"id": "\\ud800", "links": [[0, 0]]}]'])
def test_half_of_a_character_in_json(text: str, tmp_path: Path) -> None:
    (tmp_path / "links.jsonl").write_text(text)
    with pytest.raises(FormatError, match="half of a surrogate pair"):
        read_links(tmp_path / "links.jsonl", base=0)
