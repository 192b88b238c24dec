"""What is no word: line numbers, markup, tabs, bars and header lines are understood and said, or refused."""

from __future__ import annotations

import itertools
import warnings
from pathlib import Path

import pytest

from align_eval.corpora import Corpus, read_bitext
from align_eval.corpora.headers import is_header
from align_eval.errors import AlignEvalWarning, FormatError

SGML = '<srcset setid="t"><doc docid="{}">\n<hl>\n{}\n</hl>\n</doc></srcset>\n'


def put(path: Path, content: str | bytes) -> Path:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def segs(*texts: str, document: str = "d") -> str:
    return SGML.format(document, "\n".join(f'<seg id="{k}"> {text} </seg>' for k, text in enumerate(texts, 1)))


def rows(bitext: Corpus) -> list[tuple[str, str, str]]:
    found = [(pair.id, pair.source_text, pair.target_text) for pair in bitext]
    assert len(bitext) == len(found)
    return found


class TestNamedSentences:
    @pytest.mark.parametrize(
        ("source", "target", "names", "said"),
        [
            ("0\ta b\n1\tc\n", "0\tx\n1\ty z\n", "0 1", "number TAB sentence"),
            ("7\ta b\n3\tc\n", "07\tx\n03\ty z\n", "7 3", "number TAB sentence"),
            ("1\ta b\n2\tc\n", "x\ny z\n", "1 2", "number TAB sentence"),
            (
                "<s snum=0001> a b </s>\n<s snum=0002> c </s>\n",
                "<s snum=0001> x </s>\n<s snum=0002> y z </s>\n",
                "0001 0002",
                "<s> markup",
            ),
            ('<s snum="12">a b</s>\n<S ID="13">c</S>\n', "12\tx\n13\ty z\n", "12 13", "<s> markup"),
            ("[1] a b\n[2] c\n", "(1) x\n(2) y z\n", "1 2", "numbered sentences ([1])"),
            ("0. a b\n1. c\n", "0: x\n1: y z\n", "0 1", "numbered sentences (0.)"),
            ("#1 a b\n#2 c\n", "x\ny z\n", "1 2", "numbered sentences (#1)"),
            ("<s> a b </s>\n<s> c </s>\n", "<s> x </s>\n<s> y z </s>\n", "1 2", "<s> markup"),
            (segs("a b", "c"), segs("x", "y z"), "1 2", "SGML"),
            (segs("a b", "c"), "x\ny z\n", "1 2", "SGML"),
            ('<?xml version="1.0"?>\n' + segs("a b", "c"), segs("x", "y z"), "1 2", "SGML"),
            (segs("a b") + segs("c", document="e"), segs("x") + segs("y z", document="e"), "d:1 e:1", "SGML"),
        ],
    )
    def test_numbers_are_names(self, tmp_path: Path, source: str, target: str, names: str, said: str) -> None:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            bitext = read_bitext(put(tmp_path / "s", source), put(tmp_path / "t", target))
        assert said in str(caught[0].message)
        one, other = names.split()
        assert rows(bitext) == [(one, "a b", "x"), (other, "c", "y z")]

    def test_entities_of_markup_are_characters(self, tmp_path: Path) -> None:
        with pytest.warns(AlignEvalWarning):
            bitext = read_bitext(put(tmp_path / "s", segs("a &amp; b &#233;&lt;")), put(tmp_path / "t", segs("x")))
        assert rows(bitext) == [("1", "a & b é<", "x")]

    @pytest.mark.parametrize(
        ("source", "target", "message"),
        [
            ("1\ta\n2\tb\n", "1\tx\n3\ty\n", "sentence '2' here but '3' in .*t:2"),
            ("1\ta\n2\tb\n", "2\tx\n1\ty\n", "sentence '1' here but '2'"),
            ("1\ta\n2\tb\n", "1\tx\n", r"s:2: this sentence \(2\) has no counterpart in .*t"),
            ("1\ta\n", "1\tx\n2\ty\n", "t:2: this sentence"),
            ("1\ta\n" * 1000 + "b\n", "1\tx\n", "a number and a tab"),
            (segs("a", "b"), segs("a"), "no counterpart"),
            (segs("a", "b").replace('"2"', '"1"').replace("<doc", "<dok"), segs("a", "b"), "sentence '1' again"),
            (segs("a").replace("</seg>", ""), segs("a"), "does not end in its line"),
            (segs("a") + "b\n", segs("a"), "text outside of <seg>"),
            ("<dataset><src lang='en'>\n" + segs("a"), segs("a"), "sources and references in one file"),
            ("[1] a\n[2] b\n", "[1] x\n", "no counterpart"),
            ("<s snum=1> a </s>\n" * 1001 + "b\n", "x\n", "sentence '1' again"),
        ],
    )
    @pytest.mark.filterwarnings("ignore::align_eval.errors.AlignEvalWarning")
    def test_names_that_do_not_match_are_refused(self, tmp_path: Path, source: str, target: str, message: str) -> None:
        with pytest.raises(FormatError, match=message) as caught:
            list(read_bitext(put(tmp_path / "s", source), put(tmp_path / "t", target)))
        assert caught.value.remedy

    def test_numbers_before_a_space_are_told(self, tmp_path: Path) -> None:
        with pytest.warns(AlignEvalWarning, match="begins with its number, which is read as a word"):
            bitext = read_bitext(put(tmp_path / "s", "1 a\n2 b\n3 c\n"), put(tmp_path / "t", "x\ny\nz\n"))
        assert bitext[0].source == ("1", "a")
        read_bitext(put(tmp_path / "s", "1 a\n2 b\n4 c\n"), tmp_path / "t")
        read_bitext(put(tmp_path / "s", "1.\n3. b\nc\n"), tmp_path / "t")

    def test_a_line_of_another_kind_is_refused(self, tmp_path: Path) -> None:
        lines = "".join(f"{k}\ta\n" for k in range(20_000))
        with pytest.warns(AlignEvalWarning):
            bitext = read_bitext(put(tmp_path / "s", lines + "plain\n"), put(tmp_path / "t", "x\n" * 20_001))
        with pytest.raises(FormatError, match="s:20001: a line that is not 'number TAB sentence'"):
            list(bitext)

    def test_a_tsv_with_numbers(self, tmp_path: Path) -> None:
        with pytest.warns(AlignEvalWarning, match="column 1 is read as names"):
            bitext = read_bitext(put(tmp_path / "f", "1\ta b\tc\n2\td\te\n"))
        assert rows(bitext) == [("1", "a b", "c"), ("2", "d", "e")]
        with pytest.raises(FormatError, match="one side only"):
            read_bitext(put(tmp_path / "f", "1\ta b\n2\td\n"))


WORDS = [
    "a\tb",
    "a\rb",
    "a\r\r",
    "1\ta",
    "a\t",
    "\ta",
    "|||",
    "a ||| b",
    "||| b",
    "<s snum=3> a </s>",
    "<seg id=3> a </seg>",
    "<doc x=1>",
]


class TestFaultsInPlainText:
    @pytest.mark.parametrize("bad", WORDS)
    @pytest.mark.parametrize("side", ["s", "t"])
    def test_parallel_files(self, tmp_path: Path, bad: str, side: str) -> None:
        texts = {"s": "fine\n" * 3, "t": "good\n" * 3}
        texts[side] = f"fine\n{bad}\nfine\n"
        bitext = read_bitext(put(tmp_path / "s", texts["s"]), put(tmp_path / "t", texts["t"]))
        with pytest.raises(FormatError) as caught:
            list(bitext)
        assert (caught.value.file, caught.value.line) == (str(tmp_path / side), 2)
        assert caught.value.remedy

    @pytest.mark.parametrize(
        ("form", "line"),
        [
            ("pipes", "a\tb ||| c"),
            ("pipes", "1\ta ||| c"),
            ("pipes", "<s snum=1> a </s> ||| <s snum=1> b </s>"),
            ("tsv", "a ||| b\tc"),
            ("tsv", "<s snum=1> a </s>\tb"),
            ("tsv", "a\t<seg id=1> b </seg>"),
            ("jsonl", '{"source": "a\\tb", "target": "c"}'),
            ("jsonl", '{"source": "a ||| b", "target": "c"}'),
            ("jsonl", '{"source": "<s snum=1> b </s>", "target": "c"}'),
            ("csv", '"a\tb",c'),
            ("csv", "a ||| b,c"),
        ],
    )
    @pytest.mark.filterwarnings("ignore::align_eval.errors.AlignEvalWarning")
    def test_other_formats(self, tmp_path: Path, form: str, line: str) -> None:
        good = {"pipes": "a ||| b", "tsv": "a\tb", "jsonl": '{"source": "a", "target": "b"}', "csv": "a,b"}[form]
        with pytest.raises(FormatError, match="f:3: ") as caught:
            list(read_bitext(put(tmp_path / "f", f"{good}\n{good}\n{line}\n"), format=form))
        assert caught.value.remedy

    @pytest.mark.parametrize("text", ["a|||b", "3 < 5 a", "<b>bold</b> x", "a <s> b", "<unk> a", "<p> a", "x\u2003y"])
    def test_words_that_look_like_it_are_words(self, tmp_path: Path, text: str) -> None:
        bitext = read_bitext(put(tmp_path / "s", f"a\n{text}\n"), put(tmp_path / "t", "x\ny\n"))
        assert bitext[1].source == tuple(text.split(" "))

    def test_a_fault_behind_the_beginning(self, tmp_path: Path) -> None:
        path = put(tmp_path / "s", "some words here\n" * 40_000 + "a\tb\n")
        other = put(tmp_path / "t", "x\n" * 40_001)
        with pytest.raises(FormatError, match="s:40001: a tab within a sentence"):
            list(read_bitext(path, other))


class TestHeaders:
    @pytest.mark.parametrize(
        "first",
        [
            "source target", "src tgt", "src ref", "en de", "EN DE", "en-US de_DE", "eng_Latn deu_Latn",
            "English German",            "en_sentence de_sentence", "Deutsch English",
            "sentence1 sentence2", "Source Target", "english français",
        ],
    )  # fmt: skip
    @pytest.mark.parametrize("form", ["tsv", "csv", "pipes", "parallel"])
    def test_names_of_columns_are_no_pair(self, tmp_path: Path, first: str, form: str) -> None:
        lines = [first.split(" "), ["the house", "das Haus"], ["yes", "ja"]]
        bitext, said = self.read(tmp_path, form, lines)
        assert "left out" in said[-1]
        assert [pair.source_text for pair in bitext] == ["the house", "yes"]
        assert len(bitext) == 2
        bitext, said = self.read(tmp_path, form, lines, "no")
        assert (len(bitext), len(said)) == (3, form == "csv")

    @staticmethod
    def read(folder: Path, form: str, lines: list[list[str]], header: str | None = None) -> tuple[Corpus, list[str]]:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            if form == "parallel":
                files = [put(folder / f"side{k}", "".join(row[k] + "\n" for row in lines)) for k in (0, 1)]
                bitext = read_bitext(*files, header=header)
            else:
                mark = {"tsv": "\t", "csv": ";", "pipes": " ||| "}[form]
                path = put(folder / "f", "".join(mark.join(row) + "\n" for row in lines))
                bitext = read_bitext(path, format=f"{form}:header={header}" if header else "auto")
        return bitext, [str(warning.message) for warning in caught]

    @pytest.mark.parametrize("first", ["yes ja", "house Haus", "text texte", "gold or", "the de", "id the", "de de"])
    def test_ordinary_words_are_a_pair(self, tmp_path: Path, first: str) -> None:
        bitext, said = self.read(tmp_path, "tsv", [first.split(" "), ["a", "b"]])
        assert (len(bitext), said) == (2, [])

    @pytest.mark.parametrize("first", ["no ja", "so si", "it el"])
    def test_words_that_are_codes_too_are_asked_about(self, tmp_path: Path, first: str) -> None:
        for form in ("tsv", "parallel", "pipes"):
            with pytest.raises(FormatError, match=f"Pass --bitext-format {form}:header=yes or .*header=no"):
                self.read(tmp_path, form, [first.split(" "), ["a", "b"]])

    def test_more_columns_by_their_names(self, tmp_path: Path) -> None:
        text = "id\ten\tde\tcomment\tlinks\n x1 \tthe house\tdas Haus\t?\t0-0 1p1\n"
        with pytest.raises(FormatError, match=r"tsv:columns=2\+3\+5"):
            read_bitext(put(tmp_path / "f", text))
        chosen = read_bitext(tmp_path / "f", format="auto:columns=de+en+links")
        assert [(p.id, p.source_text, str(p.gold)) for p in chosen] == [("1", "das Haus", "0-0 1p1")]
        chosen = read_bitext(tmp_path / "f", format="tsv:columns=3+2,header=yes")
        assert [(p.id, p.source_text, p.gold) for p in chosen] == [("1", "das Haus", None)]
        path = put(tmp_path / "g", text.replace("\tcomment", "").replace("\t?", ""))
        with pytest.warns(AlignEvalWarning, match="source: de, target: en"):
            bitext = read_bitext(path, languages=("de", "en"))
        assert [(p.id, p.source_text, str(p.gold)) for p in bitext] == [("x1", "das Haus", "0-0 1p1")]

    def test_is_header_never_raises_without_codes(self) -> None:
        for cells in itertools.product(["", "a b", "source", "x"], repeat=2):
            assert is_header(cells, "f", "") is False
