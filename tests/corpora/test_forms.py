"""Forms of bitext that users have: aligned text of cdec, CSV of spreadsheets, and what is refused with its remedy."""

from __future__ import annotations

import gzip
import warnings
from pathlib import Path

import pytest

from align_eval.corpora import Corpus, read_bitext
from align_eval.corpora.inputs import Input
from align_eval.corpora.readers import format_of
from align_eval.errors import AlignEvalWarning, FormatError, LinkRangeError


def put(path: Path, content: str | bytes) -> Path:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def rows(bitext: Corpus) -> list[tuple[str, str, str]]:
    found = [(p.source_text, p.target_text, "-" if p.gold is None else str(p.gold)) for p in bitext]
    assert len(bitext) == len(found)
    return found


class TestAlignedText:
    @pytest.mark.parametrize(
        ("text", "links"),
        [
            ("das Haus ||| the house ||| 0-0 1-1\nja ||| yes ||| 0-0\n", ["0-0 1-1", "0-0"]),
            ("das Haus ||| the house |||\nja ||| yes ||| 0p0\n", ["", "0p0"]),
            ("das Haus ||| the house ||| \nja ||| yes ||| \n", ["", ""]),
        ],
    )
    def test_links_behind_a_second_bar(self, tmp_path: Path, text: str, links: list[str]) -> None:
        bitext = read_bitext(put(tmp_path / "f", text))
        assert bitext.format == "pipes"
        assert rows(bitext) == [("das Haus", "the house", links[0]), ("ja", "yes", links[1])]

    def test_base(self, tmp_path: Path) -> None:
        path = put(tmp_path / "f", "a b ||| c ||| 2-1\n")
        assert rows(read_bitext(path, format="pipes:base=1")) == [("a b", "c", "1-0")]
        with pytest.raises(LinkRangeError, match="f:1"):
            list(read_bitext(path))

    @pytest.mark.parametrize(
        ("line", "message"),
        [
            ("a ||| b", "1 separators ' \\|\\|\\| ' where the lines before it have 2"),
            ("a ||| b ||| c", "'c' is not a link"),
            ("0 ||| a ||| lm= -3 ||| -9", "3 separators"),
        ],
    )
    def test_lines_of_another_form(self, tmp_path: Path, line: str, message: str) -> None:
        with pytest.raises(FormatError, match=f"f:3: .*{message}"):
            list(read_bitext(put(tmp_path / "f", f"a ||| b ||| 0-0\na ||| b ||| 0-0\n{line}\n")))


class TestTsv:
    def test_sentences_that_begin_with_numbers(self, tmp_path: Path) -> None:
        path = put(tmp_path / "f", "1 2 3 go\t1 2 3 los\t0-0 1-1 2-2 3-3\nA b\tA c\t0-0 1-1\n")
        assert [row[2] for row in rows(read_bitext(path))] == ["0-0 1-1 2-2 3-3", "0-0 1-1"]
        assert rows(read_bitext(put(tmp_path / "g", "12 3\t4 5\t\n6 7\t8 9\t0-0\n"))) == [
            ("12 3", "4 5", ""),
            ("6 7", "8 9", "0-0"),
        ]
        assert rows(read_bitext(put(tmp_path / "h", "12\t4\n6\t8\n"))) == [("12", "4", "-"), ("6", "8", "-")]

    def test_columns_by_number(self, tmp_path: Path) -> None:
        line = "0:0\tthe house is\tN/A\tthe home is\tN/A\t1\t1\t0-0 1-1\t2-2\t \n"
        path = put(tmp_path / "f", line)
        with pytest.raises(FormatError, match=r"--bitext-format tsv:columns=2\+4\+8\+9"):
            read_bitext(path)
        assert rows(read_bitext(path, format="tsv:columns=2+4+8+9")) == [("the house is", "the home is", "0-0 1-1 2p2")]
        assert rows(read_bitext(path, format="auto:columns=4+2")) == [("the home is", "the house is", "-")]
        for wrong in ("2", "2+40", "2+4+8+9+10", "2+0"):
            with pytest.raises(FormatError if wrong in ("2+40", "2+0") else ValueError):
                read_bitext(path, format=f"tsv:columns={wrong}")

    def test_empty_cells_are_empty_sides(self, tmp_path: Path) -> None:
        assert rows(read_bitext(put(tmp_path / "f", "a\t\n\tb\n\t\n"))) == [
            ("a", "", "-"),
            ("", "b", "-"),
            ("", "", "-"),
        ]

    def test_quotes_of_spreadsheets_are_told(self, tmp_path: Path) -> None:
        path = put(tmp_path / "f", 'a\tb\n"say ""no"" now"\tx\n')
        with pytest.warns(AlignEvalWarning, match="csv:delimiter=tab"):
            assert read_bitext(path)[1].source[0] == '"say'
        with pytest.warns(AlignEvalWarning, match="read as CSV, delimiter tab"):
            assert read_bitext(path, format="csv:delimiter=tab")[1].source == ("say", '"no"', "now")


PAIRS = [("the house", "das Haus", "-"), ('say "no", now', "nein; jetzt", "-")]


class TestCsv:
    @pytest.mark.parametrize(
        "content",
        [
            'source;target\nthe house;das Haus\n"say ""no"", now";"nein; jetzt"\n',
            '\ufeffsource;target\r\nthe house;das Haus\r\n"say ""no"", now";"nein; jetzt"\r\n',
            'en,de\nthe house,das Haus\n"say ""no"", now",nein; jetzt\n',
            '"the house","das Haus"\n"say ""no"", now","nein; jetzt"\n',
            'sep=;\nthe house;das Haus\n"say ""no"", now";"nein; jetzt"\n',
            'sep=,\r\nEnglish,German\r\nthe house,das Haus\r\n"say ""no"", now",nein; jetzt\r\n',
            'id;target;source\n1;das Haus;the house\n2;"nein; jetzt";"say ""no"", now"\n',
        ],
    )
    def test_as_spreadsheets_save_it(self, tmp_path: Path, content: str) -> None:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            bitext = read_bitext(put(tmp_path / "f", content))
        assert "read as CSV, delimiter " in str(caught[0].message)
        assert (bitext.format, rows(bitext)) == ("csv", PAIRS)

    @pytest.mark.parametrize("name", ["f.csv", "F.CSV", "f.csv.gz"])
    @pytest.mark.parametrize("content", ["das Haus;the house\r\nja;yes\r\n", "das Haus,the house\nja,yes\n"])
    def test_where_text_could_be_csv_the_name_of_the_file_says_so(
        self, tmp_path: Path, name: str, content: str
    ) -> None:
        path = put(tmp_path / name, gzip.compress(content.encode()) if name.endswith("gz") else content)
        with pytest.warns(AlignEvalWarning, match="read as CSV, delimiter"):
            assert rows(read_bitext(path)) == [("das Haus", "the house", "-"), ("ja", "yes", "-")]

    @pytest.mark.parametrize(
        "content", ["Hello, world\nGood day, all\n", "yes;no\n", 'he said "a", she "b"\n', "a,b\nc,d\n"]
    )
    def test_ordinary_text_is_not_csv(self, tmp_path: Path, content: str) -> None:
        path = put(tmp_path / "f", content)
        with pytest.raises(FormatError, match="cannot be told by content") as caught:
            format_of(Input(path), {})
        assert "csv" in (caught.value.remedy or "")
        assert read_bitext(path, put(tmp_path / "t", content))[0].source == tuple(content.split("\n")[0].split(" "))

    @pytest.mark.filterwarnings("ignore::align_eval.errors.AlignEvalWarning")
    def test_faults(self, tmp_path: Path) -> None:
        for line, message in (
            ('"a', "a quoted cell that does not end in its line"),
            ('"a"b,c', "a quote that is not doubled"),
            ("a", "1 column where 2, as in line 1, are needed"),
            ("a,b,c", "3 columns where 2"),
        ):
            with pytest.raises(FormatError, match=f"f:3: .*{message}"):
                list(read_bitext(put(tmp_path / "f", f"source,target\na,b\n{line}\n")))
        with pytest.raises(FormatError, match="csv:delimiter=semicolon or csv:delimiter=comma"):
            read_bitext(put(tmp_path / "f", "a;b,c\nd;e,f\n"), format="csv")
        assert read_bitext(tmp_path / "f", format="csv:delimiter=comma")[0].source_text == "a;b"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            '{"version": 1,\n "data": [\n{"source": "a"}]}\n',
            r"one JSON document.*jq -c '\.data\[\]'",
        ),
        ("[[0, 0], [1, 1]]\n[[0, 1]]\n", "lists of links, not sentences"),
        ("[(0, 0), (1, 1)]\n[(0, 1)]\n", "lists of links, not sentences"),
        ("0-0 1-1\n0-0\n", "links, not sentences"),
        ("1\t2\t3\n1\tx y\tz\n", r"tsv:columns="),
        ("<!DOCTYPE html>\n<html>\n", "an HTML page"),
        ("version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "git lfs pull"),
        ('<srcset>\n<doc docid="a">\n<seg id="1"> a </seg>\n', "one side.*--source FILE --target FILE"),
    ],
)
def test_other_forms_are_named(tmp_path: Path, content: str, message: str) -> None:
    with pytest.raises(FormatError, match=message):
        read_bitext(put(tmp_path / "f.json", content))
