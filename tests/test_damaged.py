"""Files of the package that were damaged, and input that is built to take memory or time: typed errors, and soon."""

from __future__ import annotations

import contextlib
import gzip
import json
import lzma
import random
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from tokenizers import Tokenizer, models

import align_eval as ae
from align_eval import files
from align_eval.corpora import SentencePair, write_bitext
from align_eval.corpora.inputs import Input
from align_eval.corpora.pair import size_error
from align_eval.corpora.parquet import column_chunks
from align_eval.corpora.testset_entries import MOST_TOML, parse_toml, read_registry
from align_eval.errors import AlignEvalError, FormatError, InputError, ModelError, SentenceTooLongError
from align_eval.files import parse_json
from align_eval.io.resumable import Key, ResumableWriter
from align_eval.links import Links
from align_eval.models.families import read_config
from align_eval.models.loading_errors import loading_errors
from align_eval.models.offline import MODELS
from align_eval.models.store import MANIFEST, is_whole, read_sums
from align_eval.models.tokens import tokenize_words
from align_eval.models.translation import Decoding, Translator
from align_eval.runs.experiments import Cells, read_experiment
from align_eval.statistics import check_resampling
from tests.cli.test_score import run

DEEP = "[" * 100_000
DAMAGED = [DEEP, DEEP.replace("[", '{"a":'), "[1, 2", "\x00", '"a', "nul"]


@pytest.mark.parametrize("text", [*DAMAGED, b"\xff\xfe{}", '"\\ud800"', b'{"a": "\\udfff"}'])
def test_json(text: Any) -> None:
    with pytest.raises(ValueError):
        parse_json(text)


@pytest.mark.parametrize("text", [*DAMAGED, json.dumps({"systems": 3}), json.dumps({"files": [1]}), "[]", "{}"])
def test_files_of_the_package(tmp_path: Path, text: str) -> None:
    for name in (MANIFEST, "cells.json", "out.talp.part.jsonl"):
        (tmp_path / name).write_text(text, encoding="utf-8")
    (tmp_path / "out.talp.part").write_text("0-0\n", encoding="utf-8")
    assert not is_whole(tmp_path)
    with pytest.raises(FormatError, match=r"cells\.json"):
        Cells(tmp_path / "cells.json")
    with pytest.raises(InputError, match="--restart"):
        ResumableWriter(tmp_path / "out.talp", Key.of())


class PanicException(BaseException):
    """As libraries written in Rust raise it."""


@pytest.mark.parametrize("error", [IndexError(3), OverflowError("x"), TypeError("x"), PanicException("x")])
def test_a_damaged_file_of_an_offline_model(tmp_path: Path, error: BaseException) -> None:
    def convert(data: bytes, into: Path) -> None:
        raise error

    model: Any = MODELS.get("e5-small")
    with pytest.raises(FormatError, match="align-eval models add e5-small"):
        replace(model, convert=convert).make(b"", tmp_path)
    with pytest.raises(ModelError, match="cannot be loaded"), loading_errors("m"):
        raise error


@pytest.mark.parametrize(
    "said", [{"num_hidden_layers": 2**31}, {"model_type": "bart", "decoder": {"encoder_layers": 10**30}}]
)
def test_more_layers_than_a_model_has(tmp_path: Path, said: dict[str, Any]) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "bert", **said}), encoding="utf-8")
    with pytest.raises(ModelError, match="more than 10,000 layers"):
        read_config(str(tmp_path))


def test_a_tokenizer_that_fails() -> None:
    backend = Tokenizer(models.Unigram([("a", 0.0)], None))
    assert [ids.tolist() for ids in tokenize_words(backend, [["a"]]).ids] == [[0]]
    with pytest.raises(ModelError, match="tokenizer"):
        tokenize_words(backend, [["b"]])


def test_an_error_of_the_disk_stays_one(tmp_path: Path) -> None:
    def convert(data: bytes, into: Path) -> None:
        raise PanicException("No space left on device (os error 28)")

    model: Any = MODELS.get("e5-small")
    with pytest.raises(PanicException):
        replace(model, convert=convert).make(b"", tmp_path)


@pytest.mark.parametrize("numbers", [{"lines": 999, "bytes": 0}, {"lines": 0, "bytes": 8}, {"lines": -1, "bytes": 8}])
def test_a_journal_whose_numbers_do_not_fit(tmp_path: Path, numbers: dict[str, int]) -> None:
    (tmp_path / "out.talp.part").write_text("0-0\n1-1\n", encoding="utf-8")
    (tmp_path / "out.talp.part.jsonl").write_text(json.dumps({"settings": {}, **numbers}), encoding="utf-8")
    with pytest.raises(InputError, match="--restart"):
        ResumableWriter(tmp_path / "out.talp", Key.of())


@pytest.mark.parametrize("text", ["a = " + DEEP, "a = " + "{b = " * 5000, "a = 1 #" + " " * MOST_TOML])
def test_toml(tmp_path: Path, text: str) -> None:
    path = tmp_path / "x.toml"
    path.write_text(text, encoding="utf-8")
    began = time.monotonic()
    for read in (read_experiment, read_registry):
        with pytest.raises(FormatError, match=r"x\.toml"):
            read(path)
    with pytest.raises(ValueError):
        parse_toml(text)
    assert time.monotonic() - began < 20


@pytest.mark.parametrize("name", ["../outside", "/tmp/outside", "a/../../b", "..", ".", "a\\b", "C:x", ".hidden", "a/"])
def test_the_name_of_an_experiment_stays_in_the_folder_of_results(tmp_path: Path, name: str) -> None:
    path = tmp_path / "e.toml"
    path.write_text(f"name = {json.dumps(name)}\ntestsets = ['mini-ende']\n", encoding="utf-8")
    with pytest.raises(FormatError, match="leads out of the folder of results"):
        read_experiment(path)


def test_checksums_that_are_no_text(tmp_path: Path) -> None:
    for content in (b"\xff\xfe\x00", b"", b"nothing\n"):
        (tmp_path / "SHA256SUMS").write_bytes(content)
        with pytest.raises(FormatError):
            read_sums(tmp_path / "SHA256SUMS")


@pytest.mark.parametrize("ending", ["", ".gz", ".xz"])
def test_a_line_that_fills_the_memory(tmp_path: Path, ending: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "MOST_LINE", 1 << 20)
    content = b"\n" + b"1" * (3 << 20) + b"\n"
    path = tmp_path / f"x{ending}"
    path.write_bytes({"": bytes, ".gz": gzip.compress, ".xz": lzma.compress}[ending](content))
    for read in (
        lambda: list(files.read_lines(path)),
        lambda: list(ae.read_bitext(path, format="jsonl")),
        lambda: ae.read_links(path, base=0),
    ):
        with pytest.raises(FormatError, match="bytes") as raised:
            read()
        assert raised.value.line == 2
    monkeypatch.setenv("ALIGN_EVAL_MAX_LINE", str(8 << 20))
    assert len(list(files.read_lines(path))) == 2


def test_a_long_line_is_unpacked_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    content = b"0-0\n" * (1 << 18) + b"1" * (1 << 16)
    path = tmp_path / "x.gz"
    path.write_bytes(gzip.compress(content, 1))
    file, plain = Input(path), Input.open
    opened: list[Input] = []
    monkeypatch.setattr(Input, "open", lambda self: opened.append(self) or plain(self))
    assert b"".join(file.line_blocks(1024)) == content
    assert len(opened) == 1
    monkeypatch.setattr(files, "MOST_LINE", 1 << 15)
    with pytest.raises(FormatError, match="bytes") as raised:
        list(file.line_blocks(1024))
    assert raised.value.line == (1 << 18) + 1
    assert len(opened) == 3


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (b"<x>" * 100_000 + b"<seg></seg>" * 20_000, "deep"),
        (b"<tuv xml:lang='de'><seg>a" + b"<b>" * 5000, "deep"),
        (b"<tuv xml:lang='" + b"a" * (12 << 20) + b"'/>", "MiB"),
        (b"<!-- " + b"a" * (12 << 20) + b"-->", "MiB"),
    ],
)
def test_tmx_that_takes_time(tmp_path: Path, content: bytes, what: str) -> None:
    path = tmp_path / "x.tmx"
    path.write_bytes(b"<tmx><body><tu>" + content)
    began = time.monotonic()
    with pytest.raises(FormatError, match=what):
        list(ae.read_bitext(path, format="tmx"))
    assert time.monotonic() - began < 20


@pytest.mark.parametrize("resamples", [10**9, 10**7, 1_000_001])
def test_resamples_that_fill_the_memory(resamples: int) -> None:
    with pytest.raises(InputError, match="1,000,000"):
        check_resampling(resamples, 1, 0.95)


def test_parquet_that_unfolds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pa = pytest.importorskip("pyarrow")
    pq = pytest.importorskip("pyarrow.parquet")
    word = pa.DictionaryArray.from_arrays(pa.array([0] * 4000, pa.int32()), pa.array(["w " * 500_000]))
    link = pa.array([[[0, 0]]] * 4000, pa.list_(pa.list_(pa.int32())))
    words = pa.ListArray.from_arrays(pa.array(range(4001), pa.int32()), word)
    texts, names, lists, many = (tmp_path / name for name in ("texts", "names", "lists", "many"))
    pq.write_table(pa.table({"source": word, "target": word}), texts, compression="zstd")
    pq.write_table(pa.table({"source": words, "target": words}), lists, compression="zstd")
    pq.write_table(pa.table({"id": word, "links": link}), names, compression="zstd")
    pq.write_table(pa.table({"links": link}), many)
    for path, read in ((texts, ae.read_bitext), (lists, ae.read_bitext), (names, ae.read_links)):
        assert path.stat().st_size < 20_000
        with pytest.raises(FormatError, match=r"would unpack to .*ALIGN_EVAL_MAX_UNPACKED"):
            list(read(path, format="parquet"))  # type: ignore[operator]
    assert len(ae.read_links(many, base=0)) == 4000
    monkeypatch.setattr("align_eval.corpora.parquet.MOST_UNPACKED", ("ALIGN_EVAL_MAX_UNPACKED", 1000))
    with pytest.raises(FormatError, match="row group 1"):
        ae.read_links(many)
    monkeypatch.setenv("ALIGN_EVAL_MAX_UNPACKED", str(1 << 20))
    assert len(ae.read_links(many)) == 4000


HUGE = ("YWJj" * 2501, " ".join(["ab"] * 5001))


@pytest.mark.parametrize("text", HUGE)
def test_pairs_over_the_limits(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from align_eval.aligners import AlignerSettings, make_aligner
    from align_eval.aligners.heads import AttentionSettings, Head
    from align_eval.attribution.collect import lay_out_fitting

    pair, good = SentencePair("7", tuple(text.split()), ("a",)), SentencePair("8", ("ja",), ("yes",))
    limit = "10,004 characters, the limit is 10,000" if len(pair.source) == 1 else "5,001 words, the limit is 5,000"
    model = ae.load_model("offline:e5-small")
    for attention in (None, AttentionSettings(Head(1, 1))):
        for rule in ("window", "raise"):
            with pytest.raises(SentenceTooLongError, match=rf"of pair 7 has {limit}.*ALIGN_EVAL_MAX_WORD"):
                make_aligner(AlignerSettings(model, on_long=rule, attention=attention)).align_all([good, pair])
        aligner = make_aligner(AlignerSettings(model, on_long="leave", attention=attention))
        (found,) = aligner.align_all(aligner.ready([good, pair])).values()
        assert [len(links) > 0 for links in found] == [True, False]
        assert aligner.take_long() == {"left_out": 1}
    for method in ("fast_align", "eflomal"):
        with pytest.raises(SentenceTooLongError, match=rf"{limit}|7 has 1 and 5001 words, {method} takes 1024"):
            make_aligner(AlignerSettings(methods=(method,))).align_all([good, pair.reverse()])
    translator = ae.load_model("offline:tiny-deen", source_language="de", target_language="en")
    assert lay_out_fitting(translator, [pair, good])[0] is None
    with pytest.raises(SentenceTooLongError, match=limit):
        Translator(translator).translate([text])
    assert [t.left for t in Translator(translator, Decoding(on_long="leave")).translate([text, "ja"])] == [True, False]
    monkeypatch.setenv("ALIGN_EVAL_MAX_WORD", "20000")
    monkeypatch.setenv("ALIGN_EVAL_MAX_WORDS", "20000")
    assert size_error("x", pair.source) is None
    assert "has 30,000 sub-words" in str(size_error("x", pair.source, 30_000))


def test_a_figure_of_too_many_words(tmp_path: Path) -> None:
    from align_eval.figures.pair import aligned_pair

    pair = SentencePair("3", ("w",) * 501, ("v",))
    with pytest.raises(InputError, match="pair 3 has 501 source and 1 target words"):
        aligned_pair(pair, None, Links())
    figure = aligned_pair(SentencePair("1", ("w",) * 40, ("v",) * 40), None, Links())
    assert not figure.axes[0].images  # their resampling takes gigabytes in a figure of 300 x 300 words


@pytest.mark.parametrize("marks", ["-", "-p"])
def test_blocks_and_whole_files_give_the_same_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], marks: str
) -> None:
    draw = random.Random(5)
    lines = [[(draw.randrange(9), draw.randrange(9), draw.choice(marks)) for _ in range(k % 5)] for k in range(60)]
    one, other = tmp_path / "one.talp", tmp_path / "other.talp"
    one.write_text("".join(" ".join(f"{i}{m}{j}" for i, j, m in line) + "\n" for line in lines))
    other.write_text("".join(" ".join(f"{j}{m}{i}" for i, j, m in line[1:]) + "\n" for line in lines))

    def done(*words: object) -> tuple[str, str]:
        code, *told = run(capsys, *words)
        assert code == 0, told
        return told[0], told[1]

    found = {}
    for size in (7, 1 << 14, 0):
        monkeypatch.setattr("align_eval.corpora.linkio.BLOCK", size)
        monkeypatch.setattr("align_eval.runs.symmetrize_file.BLOCK", size)
        if not size:
            monkeypatch.setattr("align_eval.corpora.link_formats.pharaoh.Pharaoh.writes_in_blocks", False)
            monkeypatch.setattr("align_eval.corpora.link_formats.rows.Jsonl.writes_in_blocks", False)
        made: list[Any] = []
        for ending, base in (("talp", "1"), ("pharaoh", "0"), ("jsonl", "0")):
            out = tmp_path / f"out.{size}.{ending}"
            told = done("convert", one, out, "--base-in", "0", "--base-out", base)
            back = done("convert", out, "-", "--base-in", base, "--to", "talp")
            sym = tmp_path / f"sym.{size}.{ending}"
            made.append(
                done("symmetrize", one, other, "--reverse-order", "ts", "-o", sym, "--base", "0", "--base-out", base)
            )
            notes = [Path(f"{path}.meta.json") for path in (out, sym)]
            made += [told, back, out.read_bytes(), sym.read_bytes()]
            made += [note.read_text() if note.exists() else "" for note in notes]
        found[size] = made
    assert found[7] == found[1 << 14] == found[0]


def test_a_model_whose_files_contradict_each_other() -> None:
    from transformers import BertConfig, BertModel

    from align_eval.models.vectors import HiddenStates

    model = BertModel(
        BertConfig(vocab_size=64, hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=8)
    ).eval()
    states = HiddenStates(model)
    model.embeddings.word_embeddings.weight.data = model.embeddings.word_embeddings.weight.data[:3]
    with pytest.raises(ModelError, match=r"cannot compute.*config\.json"):
        states(torch.tensor([[1, 2, 40]]), None, [1])


def test_a_damaged_parquet_footer(tmp_path: Path) -> None:
    pq = pytest.importorskip("pyarrow.parquet")
    path, draw = tmp_path / "x.parquet", random.Random(3)
    write_bitext(path, ae.load_testset("mini-ende").pairs, "parquet")
    whole = path.read_bytes()
    meta = pq.ParquetFile(path).metadata
    for k, chunk in enumerate(column_chunks(path, meta.serialized_size, meta.num_columns, "x")[0]):
        told = meta.row_group(0).column(k)
        assert (chunk[5], chunk[6]) == (told.num_values, told.total_uncompressed_size)
        assert (11 in chunk) == told.has_dictionary_page
    for _ in range(300):  # asked by pyarrow for such footers, the process would end for some
        content = bytearray(whole)
        content[draw.randrange(len(whole) - 8 - meta.serialized_size, len(whole))] = draw.randrange(256)
        path.write_bytes(content)
        with contextlib.suppress(AlignEvalError):
            list(ae.read_bitext(path, format="parquet"))
