"""Corpus: laziness, slicing, length, streams; detection; two parallel files; tokenisation."""

from __future__ import annotations

import gzip
import io
import lzma
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from align_eval.corpora import Corpus, SentencePair, read_bitext
from align_eval.corpora.formats import FORMATS
from align_eval.corpora.inputs import Input
from align_eval.corpora.readers import format_of
from align_eval.corpora.words import load_tokenizer, tokenizer_names
from align_eval.errors import (
    AlignEvalError,
    EncodingError,
    FormatError,
    InputError,
    LengthMismatchError,
    LinkRangeError,
    MissingFileError,
    UnknownNameError,
)
from align_eval.links import GoldLinks, Links

LINES = [f"s{k} a ||| t{k} b c" for k in range(10)]


@pytest.fixture
def pipes(tmp_path: Path) -> Path:
    return put(tmp_path / "ten", "\n".join(LINES) + "\n")


def put(path: Path, content: str | bytes) -> Path:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def ids(bitext: Corpus) -> list[str]:
    return [pair.id for pair in bitext]


class TestBitext:
    def test_reads_anew_each_time(self, pipes: Path) -> None:
        bitext = read_bitext(pipes)
        assert ids(bitext) == ids(bitext) == [str(k) for k in range(1, 11)]
        put(pipes, "x ||| y\n")
        assert ids(bitext) == ["1"]

    def test_two_passes_at_once_do_not_disturb_each_other(self, pipes: Path) -> None:
        bitext = read_bitext(pipes)
        assert [(a.id, b.id) for a, b in zip(bitext, bitext, strict=True)] == [(str(k), str(k)) for k in range(1, 11)]

    @pytest.mark.parametrize(
        "part",
        [
            slice(None),
            slice(2, 5),
            slice(8, 20),
            slice(5, 2),
            slice(None, 3),
            slice(7, None),
            slice(1, 9, 3),
            slice(-3, None),
            slice(None, -2),
            slice(None, None, -1),
            slice(-1, 0, -2),
            slice(20, 30),
        ],
    )
    def test_slices_as_a_list_does(self, pipes: Path, part: slice) -> None:
        bitext = read_bitext(pipes)
        expected = [str(k) for k in range(1, 11)][part]
        assert ids(bitext[part]) == expected
        assert len(read_bitext(pipes)[part]) == len(expected)
        assert ids(bitext[part][1:3]) == expected[1:3]

    def test_index(self, pipes: Path) -> None:
        bitext = read_bitext(pipes)
        assert bitext[3].id == "4"
        assert bitext[-1].id == "10"
        for wrong in (10, -11):
            with pytest.raises(IndexError):
                bitext[wrong]

    def test_a_slice_reads_no_further_than_it_must(self) -> None:
        read = []

        def pairs() -> Iterator[SentencePair]:
            for k in range(1000):
                read.append(k)
                yield SentencePair(str(k), (), ())

        bitext = Corpus(pairs)
        assert len(bitext[3:6]) == 3
        assert ids(bitext[3:6]) == ["3", "4", "5"]
        assert bitext[2].id == "2"
        assert bool(bitext)
        assert max(read) == 5
        assert len(bitext) == 1000

    def test_pairs_stay_in_memory(self, pipes: Path) -> None:
        kept = read_bitext(pipes).part(range(10))
        pipes.unlink()
        assert len(kept) == len(kept.pairs) == 10
        assert kept[-1].target_text == "t9 b c"
        assert kept.format == "pipes"

    def test_a_million_lines_in_constant_memory(self, tmp_path: Path) -> None:
        path = put(tmp_path / "big", "a b c d ||| e f g h\n" * 300_000)
        script = (
            "import resource, sys\n"
            "from align_eval.corpora import read_bitext\n"
            "b = read_bitext(sys.argv[1])\n"
            "next(iter(b))\n"
            "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
            "assert sum(1 for _ in b) == len(b) == 300000\n"
            "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)\n"
        )
        done = subprocess.run([sys.executable, "-c", script, str(path)], capture_output=True, text=True, check=True)
        assert int(done.stdout) < 8 * 1024, "grew by more than 8 MiB"

    def test_pairs(self) -> None:
        pair = SentencePair("7", ("a", "b"), ("c",), GoldLinks(Links([(1, 0)])))
        assert (pair.source_text, pair.target_text) == ("a b", "c")
        assert pair.reverse().gold == GoldLinks(Links([(0, 1)]))
        assert pair.reverse().reverse() == pair
        with pytest.raises(AttributeError):
            pair.id = "8"  # type: ignore[misc]

    def test_from_texts(self) -> None:
        assert Corpus.from_texts(["a  b", ""], ["c", "d"])[0].source == ("a", "b")
        with pytest.raises(InputError):
            Corpus.from_texts(["a"], [])

    def test_gold_as_a_table(self, tmp_path: Path) -> None:
        table = read_bitext(put(tmp_path / "f", "a b\tc d\t0-0 1p1\na\tb\t\n")).table
        assert table is not None
        assert (table.sentences, table.links, table.sure_links, table.ids) == (2, 2, 1, ["1", "2"])
        assert read_bitext(put(tmp_path / "g", "a ||| b\n")).table is None
        mixed = '{"source": "a", "target": "b", "links": [[0, 0]]}\n{"source": "a", "target": "b"}\n'
        with pytest.raises(InputError, match="'2' has none"):
            _ = read_bitext(put(tmp_path / "h", mixed)).table


class TestStreams:
    def test_standard_input_can_be_read_again(self, monkeypatch: pytest.MonkeyPatch) -> None:
        stdin = io.BytesIO("\n".join(LINES).encode())
        monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=stdin))
        bitext = read_bitext("-")
        assert bitext.format == "pipes"
        first = iter(bitext)
        assert next(first).id == "1"
        assert len(bitext) == 10
        assert [p.id for p in first] == [str(k) for k in range(2, 11)]
        assert ids(bitext[8:]) == ["9", "10"]

    def test_standard_input_is_not_waited_for(self, monkeypatch: pytest.MonkeyPatch) -> None:
        read_end, write_end = os.pipe()
        with open(read_end, "rb") as stdin, open(write_end, "wb", buffering=0) as pipe:
            monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=stdin))
            pipe.write(b"a ||| b\n")
            pairs = iter(read_bitext("-"))
            assert next(pairs).target == ("b",)
            pipe.write(b"c ||| d\n")
            assert next(pairs).target == ("d",)

    @pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
    def test_named_pipes_can_be_read_again(self, tmp_path: Path) -> None:
        paths = [tmp_path / "a", tmp_path / "b"]
        for path in paths:
            os.mkfifo(path)

        def feed() -> None:
            for path in paths:
                path.write_bytes(b"one two\nthree\n")

        thread = threading.Thread(target=feed)
        thread.start()
        bitext = read_bitext(*paths)
        assert len(bitext) == 2
        assert [p.source_text for p in bitext] == [p.target_text for p in bitext] == ["one two", "three"]
        thread.join()

    def test_standard_input_for_both_sides(self) -> None:
        with pytest.raises(InputError, match="cannot both"):
            read_bitext("-", "-")

    @pytest.mark.parametrize("suffix", [".gz", ".xz", ".zst"])
    def test_compressed(self, tmp_path: Path, suffix: str) -> None:
        import zstandard

        pack = {".gz": gzip.compress, ".xz": lzma.compress, ".zst": zstandard.ZstdCompressor().compress}[suffix]
        data = "\n".join(LINES * 500).encode()
        bitext = read_bitext(put(tmp_path / f"f{suffix}", pack(data)))
        assert (bitext.format, len(bitext), bitext[4999].source_text) == ("pipes", 5000, "s9 a")
        path = put(tmp_path / f"cut{suffix}", pack(data)[:-20])
        for use in (len, ids):
            with pytest.raises(EncodingError, match="damaged"):
                use(read_bitext(path, format="pipes"))


class TestParallel:
    def test_lines_correspond(self, tmp_path: Path) -> None:
        bitext = read_bitext(put(tmp_path / "a", "a b\n\nc"), put(tmp_path / "b", "x\ny\n\n"))
        assert [(p.source, p.target) for p in bitext] == [(("a", "b"), ("x",)), ((), ("y",)), (("c",), ())]
        assert (len(bitext), bitext.format) == (3, "parallel")

    @pytest.mark.parametrize(("left", "right"), [(3, 5), (5, 3), (0, 1)])
    def test_unequal_line_counts(self, tmp_path: Path, left: int, right: int) -> None:
        one, other = put(tmp_path / "one", "x\n" * left), put(tmp_path / "other", "x\n" * right)
        bitext = read_bitext(one, other)
        for use in (len, ids):
            with pytest.raises(LengthMismatchError) as caught:
                use(bitext)
            message = str(caught.value)
            assert str(one) in message
            assert str(other) in message
            assert f"has {max(left, right)} lines" in message
            assert f"has {min(left, right)}:" in message
            assert caught.value.line == min(left, right) + 1
            assert caught.value.remedy

    def test_the_pairs_before_the_end_are_given(self, tmp_path: Path) -> None:
        pairs = iter(read_bitext(put(tmp_path / "one", "x\ny\n"), put(tmp_path / "other", "x\ny\nz\n")))
        assert [next(pairs).id, next(pairs).id] == ["1", "2"]
        with pytest.raises(LengthMismatchError):
            next(pairs)

    def test_empty_files(self, tmp_path: Path) -> None:
        assert ids(read_bitext(put(tmp_path / "a", ""), put(tmp_path / "b", ""))) == []


class TestWords:
    def test_only_ascii_spaces_separate(self, tmp_path: Path) -> None:
        pair = read_bitext(put(tmp_path / "f", " a　 　  b\u00a0c   ||| d\u2003x  \n"), format="pipes")[0]
        assert pair.source == ("a　", "　", "b\u00a0c")
        assert pair.target == ("d\u2003x",)

    def test_whitespace_tokeniser(self, tmp_path: Path) -> None:
        path = put(tmp_path / "f", "a\u3000b ||| c\u00a0d\n")
        assert read_bitext(path, tokenize="whitespace")[0].source == ("a", "b")
        one_side = read_bitext(path, tokenize=(None, "whitespace"))[0]
        assert (one_side.source, one_side.target) == (("a\u3000b",), ("c", "d"))

    def test_sacrebleu_tokenisers(self, tmp_path: Path) -> None:
        path = put(tmp_path / "f", "Hello, world! ||| 你好，世界！\n")
        pair = read_bitext(path, tokenize=("13a", "zh"))[0]
        assert pair.source == ("Hello", ",", "world", "!")
        assert pair.target == ("你", "好", "，", "世", "界", "！")
        turned = read_bitext(path, tokenize=("zh", "13a"), order="ts")[0]
        assert turned.source == ("你", "好", "，", "世", "界", "！")
        assert read_bitext(path, tokenize=str.split)[0].source == ("Hello,", "world!")

    def test_agrees_with_sacrebleu_on_real_text(self, gold_folder: Path) -> None:
        from sacrebleu.metrics import BLEU

        reference = BLEU(tokenize="intl").tokenizer
        for pair, raw in zip(
            read_bitext(gold_folder / "deen-rwth" / "test.de-en", tokenize="intl")[:50],
            read_bitext(gold_folder / "deen-rwth" / "test.de-en")[:50],
            strict=True,
        ):
            assert pair.source_text == " ".join(w for w in reference(raw.source_text).split(" ") if w)

    def test_unknown_tokeniser(self, pipes: Path) -> None:
        with pytest.raises(UnknownNameError, match="Did you mean '13a'"):
            read_bitext(pipes, tokenize="13aa")
        assert {"whitespace", "13a", "intl", "zh", "ja-mecab", "flores200"} <= set(tokenizer_names())

    @pytest.mark.parametrize(("name", "module"), [("ja-mecab", "MeCab"), ("ko-mecab", "mecab_ko")])
    def test_missing_package(self, name: str, module: str, monkeypatch: pytest.MonkeyPatch) -> None:
        import importlib

        tokenizer = importlib.import_module(f"sacrebleu.tokenizers.tokenizer_{name.replace('-', '_')}")
        monkeypatch.setattr(tokenizer, "MeCab", None)
        with pytest.raises(InputError, match=r"pip install 'sacrebleu\["):
            load_tokenizer(name)

    @pytest.mark.parametrize("wrong", [3, ("13a",), ("13a", "zh", "zh")])
    def test_wrong_kind_of_tokeniser(self, pipes: Path, wrong: object) -> None:
        with pytest.raises(InputError):
            read_bitext(pipes, tokenize=wrong)  # type: ignore[arg-type]

    def test_words_are_not_tokenised_again(self, tmp_path: Path) -> None:
        bitext = read_bitext(put(tmp_path / "f", '{"source": ["a"], "target": "b"}\n'), tokenize="13a")
        with pytest.raises(InputError, match="words already"):
            ids(bitext)

    def test_gold_forbids_other_words(self, tmp_path: Path) -> None:
        path = put(tmp_path / "f", "a b\tc\t0-0\na, b\tc\t0-0\n")
        pairs = iter(read_bitext(path, tokenize="13a"))
        assert next(pairs).gold is not None
        with pytest.raises(InputError, match=":2: cannot be tokenised"):
            next(pairs)

    def test_order(self, tmp_path: Path) -> None:
        pair = read_bitext(put(tmp_path / "f", "a b\tc\t1-0\n"), order="ts")[0]
        assert (pair.source, pair.target, pair.gold) == (("c",), ("a", "b"), GoldLinks(Links([(0, 1)])))
        with pytest.raises(InputError, match="side order"):
            read_bitext(tmp_path / "f", order="xy")


class TestDetection:
    @pytest.mark.parametrize(
        ("content", "name"),
        [
            ("a ||| b\n", "pipes"),
            ("a ||| b", "pipes"),
            ("||| b\n", "pipes"),
            ("\ufeffa ||| b\r\n", "pipes"),
            ("a ||| b\n" * 9 + "broken\n", "pipes"),
            ("a\tb\n", "tsv"),
            ("a\tb\t0-0 1p1\n", "tsv"),
            ("a ||| b\tc ||| d\n" + "a\tb\n" * 3, "tsv"),
            ('{"source": "a ||| b", "target": "c\\td"}\n', "jsonl"),
            ('{"source": "' + "a ||| " * 20_000 + '", "target": "c"}\n', "jsonl"),
            ('<?xml version="1.0"?>\n<!DOCTYPE tmx SYSTEM "tmx14.dtd">\n<tmx version="1.4">', "tmx"),
            (b"PAR1 a ||| b\n", "parquet"),
            ("a" * 100_000 + " ||| b\n", "pipes"),
        ],
    )
    def test_by_content(self, tmp_path: Path, content: str | bytes, name: str) -> None:
        assert format_of(Input(put(tmp_path / "any.txt", content)), {}) == name

    @pytest.mark.parametrize(
        "content",
        ["plain text\n", "{ text\n", "a ||| b\tc\n", "", "\n\n"],
    )
    def test_undecidable(self, tmp_path: Path, content: str) -> None:
        with pytest.raises(FormatError, match=r"Pass --bitext-format .*, one of: csv, datasets, jsonl, parallel"):
            read_bitext(put(tmp_path / "f", content))

    def test_the_extension_does_not_decide(self, tmp_path: Path) -> None:
        assert read_bitext(put(tmp_path / "f.jsonl", "a ||| b\n")).format == "pipes"

    @pytest.mark.parametrize("name", ["pipes", "tsv", "jsonl"])
    def test_an_empty_file_has_no_pairs(self, tmp_path: Path, name: str) -> None:
        bitext = read_bitext(put(tmp_path / "f", ""), format=name)
        assert (len(bitext), ids(bitext), bool(bitext)) == (0, [], False)

    def test_names(self) -> None:
        assert FORMATS.names() == [
            "csv",
            "datasets",
            "jsonl",
            "parallel",
            "parquet",
            "pipes",
            "tmx",
            "transread",
            "tsv",
        ]
        assert all(reader.summary for _, reader in FORMATS.items())

    def test_wrong_arguments(self, tmp_path: Path, pipes: Path) -> None:
        with pytest.raises(UnknownNameError, match="Did you mean 'pipes'"):
            read_bitext(pipes, format="pipe")
        with pytest.raises(UnknownNameError, match="option of the bitext format pipes"):
            read_bitext(pipes, split="train")
        with pytest.raises(InputError, match="takes one file"):
            read_bitext(pipes, pipes, format="tsv")
        with pytest.raises(InputError, match="two files"):
            read_bitext(pipes, format="parallel")
        with pytest.raises(MissingFileError, match="no such file"):
            read_bitext(tmp_path / "none")
        with pytest.raises(MissingFileError, match="no such file"):
            read_bitext(pipes, tmp_path / "none")
        for form in ("auto", "pipes"):
            with pytest.raises(AlignEvalError, match="is a folder"):
                read_bitext(tmp_path, format=form)


class TestLines:
    @pytest.mark.parametrize(
        ("line", "message"),
        [
            ("no separator", "no separator"),
            ("", "an empty line"),
            ("a ||| b ||| c", "2 separators"),
            ("a ||| ||| c", "2 separators"),
            ("a|||b", "no separator"),
        ],
    )
    def test_pipes(self, tmp_path: Path, line: str, message: str) -> None:
        path = put(tmp_path / "f", f"a ||| b\nc ||| d\n{line}\n")
        with pytest.raises(FormatError, match=message) as caught:
            ids(read_bitext(path, format="pipes"))
        assert (caught.value.file, caught.value.line) == (str(path), 3)
        assert caught.value.remedy

    def test_bars_within_words_are_text(self, tmp_path: Path) -> None:
        pair = read_bitext(put(tmp_path / "f", "x|||y ||| z|||\n"))[0]
        assert (pair.source, pair.target) == (("x|||y",), ("z|||",))

    @pytest.mark.parametrize("line", ["||| b", " ||| b", "a |||", "a ||| ", "|||"])
    def test_empty_sides(self, tmp_path: Path, line: str) -> None:
        pair = read_bitext(put(tmp_path / "f", line + "\n"))[0]
        assert pair.source + pair.target == tuple(w for w in line.split(" ") if w not in ("", "|||"))

    @pytest.mark.parametrize(
        ("line", "message"),
        [
            ("a", "1 tab-separated column"),
            ("a\tb", "2 tab-separated columns where 3, as in line 1"),
            ("a\tb\tc\td", "4 tab"),
            ("a\tb\t0-0 x", "'x' is not a link"),
            ("a\tb\t-1-0", "is not a link"),
        ],
    )
    def test_tsv(self, tmp_path: Path, line: str, message: str) -> None:
        path = put(tmp_path / "f", f"a\tb\t0-0\n{line}\n")
        with pytest.raises(FormatError, match=message) as caught:
            ids(read_bitext(path, format="tsv"))
        assert (caught.value.file, caught.value.line) == (str(path), 2)

    def test_tsv_link_out_of_range(self, tmp_path: Path) -> None:
        path = put(tmp_path / "f", "a b\tc\t1-0\na b\tc\t2-1\n")
        with pytest.raises(LinkRangeError, match=r"link 2-1 .* 2 source and 1 target") as caught:
            ids(read_bitext(path))
        assert (caught.value.file, caught.value.line) == (str(path), 2)
        shifted = read_bitext(put(tmp_path / "g", "a b\tc\t2-1\n"), base=1)[0]
        assert shifted.gold == GoldLinks(Links([(1, 0)]))
        with pytest.raises(FormatError, match="index base is 1"):
            ids(read_bitext(put(tmp_path / "h", "a b\tc\t0-1\n"), base=1))
        with pytest.raises(InputError, match="base=2 of the bitext format tsv"):
            read_bitext(path, base=2)

    def test_tsv_header(self, tmp_path: Path) -> None:
        path = put(tmp_path / "f", "source\ttarget\tlinks\na\tb\t0-0\n")
        with pytest.raises(FormatError, match="tsv:header=yes"):
            ids(read_bitext(path, format="tsv", header=False))
        bitext = read_bitext(path, format="tsv", header=True)
        assert (len(bitext), ids(bitext)) == (1, ["1"])

    def test_undecodable_bytes(self, tmp_path: Path) -> None:
        path = put(tmp_path / "f", b"a ||| b\nc\xff ||| d\n")
        with pytest.raises(EncodingError, match="0xff at column 2") as caught:
            ids(read_bitext(path))
        assert (caught.value.file, caught.value.line) == (str(path), 2)


SETS = [
    ("deen-rwth/test.de-en", 508),
    ("enfr-wpt/enfr.src-tgt", 447),
    ("roen-wpt/roen.src-tgt", 248),
    ("jaen-kftt/test.ja-en", 582),
    ("zhen-tsinghua/zhen.src-tgt", 450),
]
XL_WA = {"it": (103, 243), "ru": (90, 210)} | dict.fromkeys(
    ["bg", "da", "es", "et", "hu", "nl", "pt", "sl"], (105, 245)
)


@pytest.mark.shared
class TestPublishedSets:
    @pytest.mark.parametrize(("path", "pairs"), SETS)
    def test_counts(self, gold_folder: Path, path: str, pairs: int) -> None:
        bitext = read_bitext(gold_folder / path)
        assert (bitext.format, len(bitext), sum(1 for _ in bitext)) == ("pipes", pairs, pairs)
        assert all(pair.source and pair.target for pair in bitext)

    @pytest.mark.parametrize(("language", "pairs"), XL_WA.items())
    def test_xl_wa(self, gold_folder: Path, language: str, pairs: tuple[int, int]) -> None:
        for split, count in zip(("dev", "test"), pairs, strict=True):
            bitext = read_bitext(gold_folder / "xl-wa" / "data" / language / f"{split}.tsv")
            table = bitext.table
            assert table is not None
            assert (bitext.format, len(bitext), table.sentences) == ("tsv", count, count)
            assert table.sure_links == table.links > count

    @pytest.mark.parametrize(
        ("name", "sides", "pairs"), [("roen-wpt05", ("ro", "en"), 199), ("enhi-wpt05", ("en", "hi"), 90)]
    )
    def test_parallel(self, gold_folder: Path, name: str, sides: tuple[str, str], pairs: int) -> None:
        source, target = (gold_folder / name / f"test.{side}" for side in sides)
        assert len(read_bitext(source, target)) == pairs

    def test_ideographic_space_is_a_word(self, gold_folder: Path) -> None:
        assert any("　" in pair.source for pair in read_bitext(gold_folder / "jaen-kftt" / "test.ja-en"))

    def test_doubly_encoded_text_is_text(self, gold_folder: Path) -> None:
        # Seven lines of this copy went through Latin-1 once: valid UTF-8 with control characters such as U+0093 in it,
        # which must neither end a line nor separate words.
        copy = read_bitext(gold_folder / "jaen-kftt" / "jaen.src-tgt")
        lengths = [
            [(len(pair.source), len(pair.target)) for pair in bitext]
            for bitext in (copy, read_bitext(gold_folder / "jaen-kftt" / "test.ja-en"))
        ]
        assert len(copy) == 582
        assert lengths[0] == lengths[1]


def test_reading_text_imports_nothing_heavy(tmp_path: Path) -> None:
    path = put(tmp_path / "f", "a ||| b\n")
    script = (
        "import sys\n"
        "from align_eval.corpora import read_bitext\n"
        "assert len(list(read_bitext(sys.argv[1]))) == 1\n"
        "print({'numpy', 'torch', 'pyarrow', 'datasets', 'sacrebleu', 'scipy'} & set(sys.modules))\n"
    )
    done = subprocess.run([sys.executable, "-c", script, str(path)], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"


def test_the_package_gives_its_names() -> None:
    import align_eval.corpora as corpora

    assert {"Corpus", "read_bitext", "write_bitext", "read_links", "load_testset"} <= set(dir(corpora))
    assert corpora.read_bitext is read_bitext
    with pytest.raises(AttributeError):
        corpora.nothing  # noqa: B018
