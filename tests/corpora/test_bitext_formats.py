"""The formats with columns or markup (JSON lines, Parquet, TMX, data sets), and what holds for every format."""

from __future__ import annotations

import contextlib
import errno
import gzip
import io
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from align_eval.corpora import SentencePair, read_bitext, write_bitext
from align_eval.errors import (
    AlignEvalError,
    EncodingError,
    FormatError,
    InputError,
    LinkRangeError,
    MissingFileError,
    OutputError,
    UnknownNameError,
)
from align_eval.links import GoldLinks, Links

QUICK = settings(
    max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
GOLD = GoldLinks(Links([(0, 0)]), Links([(1, 0)]))


def put(path: Path, content: str | bytes) -> Path:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def sides(path: Path, **options: Any) -> list[tuple[str, str]]:
    return [(p.source_text, p.target_text) for p in read_bitext(path, **options)]


class TestJsonLines:
    @pytest.mark.parametrize(
        ("row", "options"),
        [
            ({"source": "a b", "target": "c", "id": "x"}, {}),
            ({"src": "a b", "tgt": "c", "id": "x"}, {}),
            ({"source": ["a", "b"], "target": ["c"], "id": "x"}, {}),
            ({"de": "a b", "en": "c", "id": "x"}, {"columns": "de+en"}),
            ({"de": "a b", "en": "c", "id": "x"}, {"columns": ["de", "en"]}),
            ({"de": "a b", "en": "c", "id": "x"}, {"source_language": "de", "target_language": "en"}),
            ({"de": "a b", "en": "c", "id": "x"}, {"format": "jsonl:columns=de+en"}),
            ({"translation": {"en": "c", "de": "a b"}, "id": "x"}, {"source_language": "de"}),
            ({"translation": {"en": "c", "de": "a b"}, "id": "x"}, {"format": "auto:source_language=de"}),
            ({"translation": {"en": "c", "de": "a b"}, "id": "x"}, {"languages": ("de", "en")}),
            ({"source": "a b", "target": "c", "id": "x"}, {"languages": ("de", "en")}),
            ({"translation": {"en": "c", "de": "a b"}, "id": "x"}, {"target_language": "en"}),
            (
                {"translation": {"en": "c", "de": "a b", "fr": "d"}, "id": "x"},
                {"source_language": "de", "target_language": "en"},
            ),
        ],
    )
    def test_columns(self, tmp_path: Path, row: dict[str, Any], options: dict[str, Any]) -> None:
        path = put(tmp_path / "f", json.dumps(row) + "\n")
        bitext = read_bitext(path, **options)
        assert bitext.format == "jsonl"
        assert bitext[0] == SentencePair("x", ("a", "b"), ("c",))

    @pytest.mark.parametrize(
        ("links", "options"),
        [
            ({"links": "0-0 1p0"}, {}),
            ({"links": "0-0 1?0"}, {}),
            ({"links": "1-1 2p1"}, {"base": 1}),
            ({"sure": [[0, 0]], "possible": [[1, 0]]}, {}),
            ({"sure": [[0, 0]], "possible": [[0, 0], [1, 0]]}, {}),
            ({"sure": "1-1", "possible": "2-1"}, {"base": "1"}),
            ({"al": "0-0 1p0"}, {"columns": "source+target+al"}),
        ],
    )
    def test_gold(self, tmp_path: Path, links: dict[str, Any], options: dict[str, Any]) -> None:
        path = put(tmp_path / "f", json.dumps({"source": "a b", "target": "c", **links}))
        assert read_bitext(path, **options)[0].gold == GOLD

    def test_no_gold_and_empty_gold(self, tmp_path: Path) -> None:
        path = put(
            tmp_path / "f",
            '{"source": "a", "target": "b", "links": null}\n{"source": "a", "target": "b", "links": []}\n',
        )
        assert [p.gold for p in read_bitext(path)] == [None, GoldLinks(Links())]

    @pytest.mark.parametrize(
        ("line", "message"),
        [
            ("", "an empty line"),
            ("[1]", "jq -c"),
            ("3", "JSON int"),
            ("{", "not JSON"),
            ("[" * 200_000, "not JSON"),
            ('{"source": "a"}', "Pass --bitext-format auto:columns=SOURCE\\+TARGET .*; there are: source"),
            ('{"source": "a", "target": 3}', "target is a int"),
            ('{"source": "a", "target": null}', "target is missing"),
            ('{"source": ["a", 3], "target": "b"}', "word 1 .* is a int"),
            ('{"source": ["a", ""], "target": "b"}', "word 1 .* is empty"),
            ('{"source": "a", "target": "b", "links": [[0]]}', "is not a link"),
            ('{"source": "a", "target": "b", "links": [[true, 0]]}', "is not a link"),
            ('{"source": "a", "target": "b", "links": [[0, -2]]}', "is not a link"),
            ('{"source": "a", "target": "b", "links": [[0, 99999999999999]]}', "is not a link"),
            ('{"source": "a", "target": "b", "links": 7}', "'links' is a int"),
            ('{"source": "a", "target": "b", "links": "0:0"}', "'0:0' in 'links' is not a link"),
            ('{"source": "a", "target": "b", "links": [[0, 0]], "sure": []}', "both 'links' and 'sure'"),
            ('{"source": "a", "target": "b", "possible": []}', "without 'sure'"),
            ('{"source": "a", "target": "b", "id": 1.5}', "the id is a float"),
            ('{"translation": {"de": "a", "en": "b"}}', "auto:source_language=de,target_language=en"),
            ('{"translation": "a"}', "not an object of texts"),
        ],
    )
    def test_faults_name_the_line(self, tmp_path: Path, line: str, message: str) -> None:
        path = put(tmp_path / "f", '{"source": "a", "target": "b"}\n' + line + "\n")
        with pytest.raises(FormatError, match=message) as caught:
            list(read_bitext(path, format="jsonl"))
        assert (caught.value.file, caught.value.line) == (str(path), 2)

    def test_other_faults(self, tmp_path: Path) -> None:
        path = put(tmp_path / "f", '{"source": "a\\ud800", "target": "b"}\n')
        with pytest.raises(EncodingError, match=r"U\+D800"):
            list(read_bitext(path))
        path = put(tmp_path / "f", '{"source": "a", "target": "b", "links": [[0, 1]]}\n')
        with pytest.raises(LinkRangeError, match="f:1: link 0-1"):
            list(read_bitext(path))
        with pytest.raises(InputError, match="Name two columns"):
            read_bitext(path, columns="source")
        path = put(tmp_path / "f", '{"translation": {"de": "a", "en": "b"}}\n')
        with pytest.raises(FormatError, match="no language 'fr'"):
            list(read_bitext(path, source_language="fr", target_language="en"))
        with pytest.raises(FormatError, match="no column 'x'"):
            list(read_bitext(path, columns="x+y"))


class TestParquet:
    def test_text_and_ids(self, tmp_path: Path) -> None:
        table = pa.table({"source": ["a b", "c"], "target": ["d", ""], "id": [7, 8], "other": [b"\xff", None]})
        pq.write_table(table, tmp_path / "f")
        bitext = read_bitext(tmp_path / "f")
        assert (bitext.format, len(bitext), [p.id for p in bitext]) == ("parquet", 2, ["7", "8"])
        assert sides(tmp_path / "f") == [("a b", "d"), ("c", "")]

    def test_translation(self, tmp_path: Path) -> None:
        pq.write_table(pa.table({"translation": [{"de": "a", "en": "b"}] * 3000}), tmp_path / "f")
        assert sides(tmp_path / "f", source_language="en", target_language="de") == [("b", "a")] * 3000

    def test_faults(self, tmp_path: Path) -> None:
        pq.write_table(pa.table({"source": ["a", None], "target": ["b", "c"]}), tmp_path / "f")
        with pytest.raises(FormatError, match="f:2: source is missing"):
            list(read_bitext(tmp_path / "f"))
        pq.write_table(pa.table({"a": ["a"], "b": ["b"]}), tmp_path / "g")
        with pytest.raises(FormatError, match="there are: a, b"):
            list(read_bitext(tmp_path / "g"))
        assert sides(tmp_path / "g", columns="a+b") == [("a", "b")]
        packed = put(tmp_path / "h.gz", gzip.compress((tmp_path / "g").read_bytes()))
        assert sides(packed, columns="a+b") == [("a", "b")]
        cut = put(tmp_path / "i", (tmp_path / "g").read_bytes()[:-30])
        for use in (len, list):
            with pytest.raises(FormatError, match="damaged or not Parquet"):
                use(read_bitext(cut))

    def test_from_standard_input(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        pq.write_table(pa.table({"source": ["a"], "target": ["b"]}), tmp_path / "f")
        stdin = io.BytesIO((tmp_path / "f").read_bytes())
        monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=stdin))
        bitext = read_bitext("-")
        assert (bitext.format, len(bitext), bitext[0].target) == ("parquet", 1, ("b",))


def tmx(*units: str, header: str = "en", prolog: str = "") -> str:
    body = "\n".join(units)
    return (
        f'<?xml version="1.0" encoding="UTF-8"?>{prolog}\n<tmx version="1.4"><header srclang="{header}"/>'
        f"<body>\n{body}\n</body></tmx>"
    )


def unit(*segments: tuple[str, str], ident: str = "") -> str:
    tuvs = "".join(f'<tuv xml:lang="{language}"><seg>{text}</seg></tuv>' for language, text in segments)
    return f"<tu{ident}><note>n</note><prop type='x'>p</prop>{tuvs}</tu>"


class TestTmx:
    def test_units(self, tmp_path: Path) -> None:
        content = tmx(
            unit(("en", "the  house\n\tis big"), ("de", "das Haus"), ident=' tuid="u7"'),
            unit(("de", "x &amp; y"), ("en", "&#x3042;")),
        )
        bitext = read_bitext(put(tmp_path / "f", content))
        assert (bitext.format, len(bitext)) == ("tmx", 2)
        assert [(p.id, p.source_text, p.target_text) for p in bitext] == [
            ("u7", "the house is big", "das Haus"),
            ("2", "あ", "x & y"),
        ]

    def test_the_header_names_the_source(self, tmp_path: Path) -> None:
        units = [unit(("de", "d"), ("en", "e"))]
        assert sides(put(tmp_path / "f", tmx(*units, header="en"))) == [("e", "d")]
        assert sides(put(tmp_path / "f", tmx(*units, header="*all*"))) == [("d", "e")]
        assert sides(put(tmp_path / "f", tmx(*units)), source_language="de") == [("d", "e")]

    def test_inline_tags(self, tmp_path: Path) -> None:
        segment = 'a <bpt i="1">&lt;b&gt;</bpt>b<ept i="1">&lt;/b&gt;</ept> <hi>c <ph>{0}<sub>s</sub></ph></hi> d<it/>e'
        assert sides(put(tmp_path / "f", tmx(unit(("en", segment), ("de", "x")))))[0][0] == "a b c de"

    def test_regions_and_case(self, tmp_path: Path) -> None:
        path = put(tmp_path / "f", tmx(unit(("EN-US", "us"), ("en_GB", "gb"), ("DE", "d"))))
        assert sides(path, source_language="en-us", target_language="de") == [("us", "d")]
        with pytest.raises(FormatError, match="2 segments of language 'en'"):
            list(read_bitext(path, source_language="en", target_language="de"))
        with pytest.raises(FormatError, match="EN-US, en_GB, DE"):
            list(read_bitext(path))

    def test_missing_language(self, tmp_path: Path) -> None:
        path = put(tmp_path / "f", tmx(unit(("en", "a"), ("de", "b")), unit(("en", "a"), ("fr", "c"))))
        with pytest.raises(FormatError, match="without a segment of language 'de'") as caught:
            list(read_bitext(path))
        assert caught.value.line == 4
        bitext = read_bitext(path, missing="skip")
        assert len(bitext) == len(list(bitext)) == 1
        with pytest.raises(InputError, match="Known: raise, skip"):
            read_bitext(path, missing="no")

    @pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "iso-8859-1"])
    def test_encodings(self, tmp_path: Path, encoding: str) -> None:
        content = tmx(unit(("en", "café"), ("de", "ü"))).replace("UTF-8", encoding.removesuffix("-sig"))
        assert sides(put(tmp_path / "f", content.encode(encoding))) == [("café", "ü")]

    def test_tmx_1_1_and_external_dtd(self, tmp_path: Path) -> None:
        content = tmx(unit(("en", "a"), ("de", "b")), prolog='\n<!DOCTYPE tmx SYSTEM "tmx11.dtd">')
        assert sides(put(tmp_path / "f", content.replace("xml:lang", "lang"))) == [("a", "b")]

    def test_entities_are_refused(self, tmp_path: Path) -> None:
        laughs = '<!DOCTYPE tmx [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;">]>'
        secret = put(tmp_path / "secret", "secret")
        external = f'<!DOCTYPE tmx [<!ENTITY b SYSTEM "{secret.as_uri()}">]>'
        for prolog in (laughs, external):
            with pytest.raises(FormatError, match="declares the entity"):
                list(read_bitext(put(tmp_path / "f", tmx(unit(("en", "&b;"), ("de", "b")), prolog=prolog))))
        with pytest.raises(FormatError, match="f:3: entity &nbsp; is not known"):
            list(
                read_bitext(
                    put(
                        tmp_path / "f",
                        tmx(unit(("en", "a&nbsp;b"), ("de", "b")), prolog='<!DOCTYPE tmx SYSTEM "x.dtd">'),
                    )
                )
            )

    @pytest.mark.parametrize(
        ("content", "message"),
        [
            (tmx(unit(("en", "a"), ("de", "b")))[:-10], "not well-formed XML"),
            ("<tmx><a></tmx>", "mismatched tag"),
            ("<x><tmx/></x>", "the root element is <x>"),
            ("<tmx><tu><tuv><seg>a</seg></tuv></tu></tmx>", "<tuv> without a language"),
            ("<tmx><tu><tu/></tu></tmx>", "<tu> within <tu>"),
            ("", "no element found"),
            (b"<tmx>\xff</tmx>", "not well-formed"),
            ('<?xml version="1.0" encoding="nope"?><tmx/>', "encoding"),
            ("<tmx><tu/></tmx>", r"has the languages \(none\)"),
        ],
    )
    def test_faults(self, tmp_path: Path, content: str | bytes, message: str) -> None:
        path = put(tmp_path / "f", content)
        with pytest.raises(FormatError, match=message) as caught:
            list(read_bitext(path, format="tmx"))
        assert caught.value.file == str(path)

    @pytest.mark.parametrize(
        ("content", "kind", "remedy"),
        [
            ("<tmx><a></tmx>", FormatError, "xmllint"),
            ("<x><tmx/></x>", FormatError, "another --bitext-format"),
            ("<tmx><tu><tu/></tu></tmx>", FormatError, "Mend the file"),
            (tmx(unit(("en", "a & b"), ("de", "b"))), FormatError, "&amp;"),
            (tmx(unit(("en", "a < b"), ("de", "b"))), FormatError, "&lt;"),
            (tmx(unit(("en", "für mich"), ("de", "b"))).encode("latin-1"), EncodingError, "ISO-8859-1"),
            ('<?xml version="1.0" encoding="nope"?><tmx/>', EncodingError, "UTF-8"),
        ],
    )
    def test_faults_of_form_are_no_faults_of_encoding(
        self, tmp_path: Path, content: str | bytes, kind: type[FormatError], remedy: str
    ) -> None:
        with pytest.raises(FormatError) as caught:
            list(read_bitext(put(tmp_path / "f", content), format="tmx"))
        assert type(caught.value) is kind
        assert remedy in (caught.value.remedy or "")

    @pytest.mark.parametrize("encoding", ["utf-16", "utf-8-sig", "latin-1"])
    def test_the_encoding_that_a_file_declares(self, tmp_path: Path, encoding: str) -> None:
        content = tmx(unit(("en", "für"), ("de", "b"))).replace("<?xml", "<?xml", 1)
        head = f'<?xml version="1.0" encoding="{"utf-8" if encoding == "utf-8-sig" else encoding}"?>'
        content = head + content.split("?>", 1)[-1]
        assert sides(put(tmp_path / "f", content.encode(encoding)))[0] == ("für", "b")

    def test_large_files_are_streamed(self, tmp_path: Path) -> None:
        import tracemalloc

        path = put(tmp_path / "f", tmx(*[unit(("en", "one two three"), ("de", "eins zwei drei"))] * 6_000))
        bitext = read_bitext(path)
        next(iter(bitext))
        tracemalloc.start()
        assert sum(1 for _ in bitext) == 6_000
        assert tracemalloc.get_traced_memory()[1] < 1_500_000
        tracemalloc.stop()


class TestDatasets:
    @pytest.fixture
    def folder(self, tmp_path: Path) -> Path:
        import datasets

        rows = {"translation": [{"de": f"a {k}", "en": f"b {k}"} for k in range(1500)], "id": list(range(1500))}
        one = datasets.Dataset.from_dict(rows)
        one.save_to_disk(tmp_path / "one")
        datasets.DatasetDict({"train": one, "test": one.select(range(3))}).save_to_disk(tmp_path / "two")
        datasets.DatasetDict({"test": one.select(range(3))}).save_to_disk(tmp_path / "three")
        return tmp_path

    def test_saved_folders(self, folder: Path) -> None:
        bitext = read_bitext(folder / "one", source_language="de")
        assert (bitext.format, len(bitext), bitext[1499].id) == ("datasets", 1500, "1499")
        assert sum(1 for _ in bitext) == 1500
        assert len(read_bitext(folder / "two", split="test")) == 3
        assert sides(folder / "three", source_language="en")[2] == ("b 2", "a 2")
        assert read_bitext(folder / "one", columns="id+id").format == "datasets"

    def test_faults(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        with pytest.raises(InputError, match=r"several splits.*one of: train, test"):
            len(read_bitext(folder / "two"))
        with pytest.raises(InputError, match="no split 'dev'"):
            len(read_bitext(folder / "two", split="dev"))
        with pytest.raises(FormatError, match="one:1: 'translation' has the languages de, en"):
            list(read_bitext(folder / "one"))
        with pytest.raises(FormatError, match="no column 'x'"):
            list(read_bitext(folder / "one", columns="x+y"))
        with pytest.raises(InputError, match="of the bitext format datasets is not streaming=yes"):
            read_bitext(folder / "one", streaming="maybe")
        monkeypatch.setenv("HF_HUB_OFFLINE", "1")
        with pytest.raises((MissingFileError, FormatError)):
            list(read_bitext(str(folder / "absent"), format="datasets"))

    def test_streamed_by_name(self, tmp_path: Path) -> None:
        (tmp_path / "data").mkdir()
        write_bitext(
            tmp_path / "data" / "train.jsonl", [SentencePair(str(k), ("a", "b"), ("c",)) for k in range(5)], "jsonl"
        )
        bitext = read_bitext(tmp_path / "data", format="datasets")
        assert (len(bitext), bitext[4].id, sum(1 for _ in bitext)) == (5, "4", 5)


class TestWriting:
    def test_what_a_format_cannot_hold(self, tmp_path: Path) -> None:
        def write(pair: SentencePair, format: str, **options: Any) -> None:
            write_bitext(tmp_path / "out", [pair], format, **options)

        spaced = SentencePair("p1", ("New York",), ("b",))
        languages = {"source_language": "en", "target_language": "de"}
        for format, options in (
            ("pipes", {}),
            ("tsv", {}),
            ("tmx", languages),
            ("parallel", {"target": tmp_path / "t"}),
        ):
            with pytest.raises(InputError, match=r"'New York' of sentence pair 'p1'"):
                write(spaced, format, **options)
        for word, format in (("|||", "pipes"), ("a\tb", "tsv"), ("a\nb", "pipes"), ("", "pipes"), ("\ufeffx", "tsv")):
            with pytest.raises(InputError):
                write(SentencePair("1", (word,), ("b",)), format)
        with pytest.raises(InputError, match=r"U\+0001, which XML cannot hold"):
            write(SentencePair("1", ("a\x01",), ("b",)), "tmx", **languages)
        with pytest.raises(InputError, match="names its languages"):
            write(SentencePair("1", ("a",), ("b",)), "tmx")
        for format in ("jsonl", "pipes", "parquet"):
            with pytest.raises(InputError):
                write(SentencePair("1", ("a\ud800",), ("b",)), format)
        with pytest.raises(InputError, match="can be read, not written"):
            write(SentencePair("1", ("a",), ("b",)), "datasets")
        assert list(tmp_path.iterdir()) == []

    def test_gold_is_not_lost_silently(self, tmp_path: Path) -> None:
        pair = SentencePair("1", ("a", "b"), ("c",), GOLD)
        with pytest.raises(InputError, match="cannot hold the gold links"):
            write_bitext(tmp_path / "f", [pair], "pipes")
        write_bitext(tmp_path / "f", [pair], "pipes", drop_gold=True)
        assert (tmp_path / "f").read_text() == "a b ||| c\n"
        with pytest.raises(InputError, match="'2' has no gold links, unlike the first"):
            write_bitext(tmp_path / "f", [pair, SentencePair("2", (), ())], "tsv")

    def test_wrong_arguments(self, tmp_path: Path) -> None:
        with pytest.raises(UnknownNameError, match="bitext format 'pipe'"):
            write_bitext(tmp_path / "f", [], "pipe")
        with pytest.raises(UnknownNameError, match="option of writing"):
            write_bitext(tmp_path / "f", [], "pipes", base=1)
        with pytest.raises(InputError, match="two files"):
            write_bitext(tmp_path / "f", [], "parallel")
        with pytest.raises(InputError, match="one file"):
            write_bitext(tmp_path / "f", [], "tsv", target=tmp_path / "g")
        with pytest.raises(InputError, match="two different files"):
            write_bitext(tmp_path / "f", [], "parallel", target=tmp_path / "f")
        with pytest.raises(OutputError, match="folder does not exist"):
            write_bitext(tmp_path / "no" / "f", [], "pipes")

    def test_compressed_output_is_read_again(self, tmp_path: Path) -> None:
        pairs = [SentencePair(str(k), ("a",) * k, ("b",)) for k in range(1, 50)]
        for suffix in (".gz", ".xz", ".zst"):
            path = tmp_path / f"f{suffix}"
            write_bitext(path, pairs, "pipes")
            assert list(read_bitext(path)) == pairs
            first = path.read_bytes()
            write_bitext(path, pairs, "pipes")
            assert path.read_bytes() == first
        with pytest.raises(InputError, match="compresses its own"):
            write_bitext(tmp_path / "f.gz", pairs, "parquet")

    def test_standard_output(self, capsysbinary: pytest.CaptureFixture[bytes]) -> None:
        write_bitext("-", [SentencePair("1", ("ä",), ("b",))], "pipes")
        assert capsysbinary.readouterr().out == "ä ||| b\n".encode()


# Properties -----------------------------------------------------------------------------------------------------------

WORD = st.text(
    st.characters(exclude_categories=("Cs", "Cc", "Cn", "Co"), exclude_characters=" \ufeff"), min_size=1, max_size=6
).filter(lambda w: w != "|||")
ANY_WORD = st.text(st.characters(exclude_categories=("Cs",)), min_size=1, max_size=6)


@st.composite
def pair_lists(draw: st.DrawFn, words: st.SearchStrategy[str] = WORD, gold: bool = True) -> list[SentencePair]:
    side = st.lists(words, max_size=5).map(tuple)
    with_gold = gold and draw(st.booleans())
    pairs = []
    for k in range(draw(st.integers(0, 6))):
        source, target = draw(side), draw(side)
        links = None
        if with_gold:
            cells = [(i, j) for i in range(len(source)) for j in range(len(target))]
            chosen = draw(st.lists(st.sampled_from(cells), max_size=6)) if cells else []
            sure = draw(st.lists(st.sampled_from(chosen), max_size=4)) if chosen else []
            links = GoldLinks(Links(sure), Links(chosen))
        pairs.append(SentencePair(str(k + 1), source, target, links))
    return pairs


@pytest.mark.parametrize("format", ["pipes", "tsv", "jsonl", "parquet", "tmx", "parallel"])
class TestEveryFormat:
    @QUICK
    @given(data=st.data())
    def test_reading_gives_back_what_was_written(self, tmp_path: Path, format: str, data: st.DataObject) -> None:
        lossless = format in ("jsonl", "parquet")
        pairs = data.draw(pair_lists(ANY_WORD if lossless else WORD, gold=format in ("tsv", "jsonl", "parquet")))
        languages = {"source_language": "en", "target_language": "de-AT"} if format == "tmx" else {}
        target = tmp_path / "target" if format == "parallel" else None
        write_bitext(tmp_path / "f", iter(pairs), format, target=target, **languages)
        bitext = read_bitext(tmp_path / "f", target, format=format, **languages)
        assert list(bitext) == list(bitext) == pairs
        assert len(bitext) == len(pairs)
        if pairs:
            assert read_bitext(tmp_path / "f", target, order="ts", format=format)[0] == pairs[0].reverse()

    @QUICK
    @given(data=st.data())
    @pytest.mark.filterwarnings("ignore::align_eval.errors.AlignEvalWarning")
    def test_any_bytes_give_pairs_or_a_typed_error(self, tmp_path: Path, format: str, data: st.DataObject) -> None:
        content = data.draw(st.one_of(st.binary(max_size=200), SNIPPETS))
        path = put(tmp_path / "f", content)
        target = put(tmp_path / "g", data.draw(st.binary(max_size=50))) if format == "parallel" else None
        for use in (list, len, lambda b: b.table):
            with contextlib.suppress(AlignEvalError):
                use(read_bitext(path, target, format=format))


_PIECES: list[bytes] = [
    b"a", b" ", b"\n", b"\r\n", b"\t", b" ||| ", b"0-0", b"1p0", b"{", b"}", b'"source"', b'"target"', b":", b",",
    b'"a"', b"[", b"]", b"0", b'"links"', b"PAR1", b"<tmx>", b"</tmx>", b"<tu>", b"</tu>",
    b'<tuv xml:lang="en">', b"</tuv>",
    b"<seg>", b"</seg>", b"\xff", b"\xef\xbb\xbf", b"\xff\xfe", "\u3000é".encode(), b"&lt;", b"&x;",
    b"<!DOCTYPE tmx [", b"]>",
    b'<!ENTITY x "y">', b"<?xml version='1.0' encoding='utf-16'?>", b"\x00", b'"id"', b"null", b'"\\ud800"',
]  # fmt: skip
SNIPPETS = st.lists(st.sampled_from(_PIECES), max_size=25).map(b"".join)


@QUICK
@given(content=st.one_of(st.binary(max_size=300), SNIPPETS))
@example(content=b"PAR1" + b"\x00" * 40 + b"\x10\x00\x00\x00PAR1")
@example(content=b'{"source": "a", "target": "b", "links": "0-0 99999999-0"}')
@pytest.mark.parametrize("suffix", ["", ".gz", ".xz", ".zst"])
@pytest.mark.filterwarnings("ignore::align_eval.errors.AlignEvalWarning")
def test_any_content_gives_pairs_or_a_typed_error(tmp_path: Path, suffix: str, content: bytes) -> None:
    path = put(tmp_path / f"f{suffix}", content)
    message = f"{path}: none"
    try:
        list(read_bitext(path))
    except AlignEvalError as error:
        message = str(error)
    assert message.startswith(str(path))
    assert "\n" not in message


@QUICK
@given(cut=st.integers(0, 2000), flip=st.integers(0, 2000), value=st.integers(0, 255))
def test_damaged_parquet(tmp_path: Path, cut: int, flip: int, value: int) -> None:
    path = tmp_path / "f"
    write_bitext(path, [SentencePair(str(k), ("a", "b"), ("c",), GOLD) for k in range(20)], "parquet")
    raw = bytearray(path.read_bytes())
    raw[flip % len(raw)] = value
    path.write_bytes(raw[: len(raw) - cut % len(raw)] if cut % 2 else raw)
    with contextlib.suppress(AlignEvalError):
        list(read_bitext(path, format="parquet"))


def lazy_lines(count: int) -> Iterator[SentencePair]:
    for k in range(count):
        yield SentencePair(str(k), ("a",), ("b",))


def test_nothing_is_left_of_a_writing_that_fails(tmp_path: Path) -> None:
    def pairs() -> Iterator[SentencePair]:
        yield from lazy_lines(10)
        raise RuntimeError("stop")

    old = put(tmp_path / "f", "old")
    for format in ("pipes", "jsonl", "parquet", "tsv"):
        with pytest.raises(RuntimeError):
            write_bitext(old, pairs(), format)
    assert [p.name for p in tmp_path.iterdir()] == ["f"]
    assert old.read_text() == "old"


@pytest.mark.parametrize("format", ["pipes", "jsonl", "tsv", "parquet", "parallel"])
def test_a_full_disk_is_an_output_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, format: str) -> None:
    def fail(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OutputError, match=r"No space left on device\. Free space"):
        write_bitext(tmp_path / "f", lazy_lines(10), format, target=tmp_path / "g" if format == "parallel" else None)
    assert list(tmp_path.iterdir()) == []
