"""Files of the package that were damaged, and input that is built to take memory or time: typed errors, and soon."""

from __future__ import annotations

import gzip
import json
import lzma
import os
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tokenizers import Tokenizer, models

import align_eval as ae
from align_eval import files
from align_eval.corpora.testset_entries import MOST_TOML, parse_toml, read_registry
from align_eval.errors import AlignEvalError, FormatError, InputError, ModelError
from align_eval.models.information import read_config
from align_eval.models.loading_errors import loading_errors
from align_eval.models.provider import MODELS
from align_eval.models.store import MANIFEST, is_whole, read_sums
from align_eval.models.tokenized import tokenize_words
from align_eval.nested import parse_json
from align_eval.runs.align_file import _identity
from align_eval.runs.experiments.base import read_experiment
from align_eval.runs.experiments.cells import Cells
from align_eval.runs.experiments.evaluate import COLUMNS, _read_table
from align_eval.runs.explore_folder import explore_folder
from align_eval.runs.pair_figures import sets_of_folder
from align_eval.runs.resumable import ResumableOutput
from align_eval.statistical.eflomal import _table
from align_eval.statistical.text import TrainingText
from align_eval.statistics import check_resampling

DEEP = "[" * 100_000
DAMAGED = [DEEP, DEEP.replace("[", '{"a":'), "[1, 2", "\x00", '"a', "nul"]


@pytest.mark.parametrize("text", [*DAMAGED, b"\xff\xfe{}", '"\\ud800"', b'{"a": "\\udfff"}'])
def test_json(text: Any) -> None:
    with pytest.raises(ValueError):
        parse_json(text)


@pytest.mark.parametrize("text", [*DAMAGED, json.dumps({"systems": 3}), json.dumps({"files": [1]}), "[]", "{}"])
def test_files_of_the_package(tmp_path: Path, text: str) -> None:
    for name in (MANIFEST, "scores.json", "cells.json", "out.talp.part.json"):
        (tmp_path / name).write_text(text, encoding="utf-8")
    (tmp_path / "out.talp.part").write_text("0-0\n", encoding="utf-8")
    assert not is_whole(tmp_path)
    with pytest.raises(AlignEvalError):
        explore_folder(tmp_path)
    with pytest.raises(FormatError, match=r"cells\.json"):
        Cells(tmp_path / "cells.json")
    with pytest.raises(InputError, match="--restart"):
        ResumableOutput(tmp_path / "out.talp", {})


@pytest.mark.parametrize(
    "row",
    [
        {}, [], None, {"testset": [], "method": "argmax", "layer": 7},
        {"testset": "mini-ende", "method": 1, "layer": 7},
        {"testset": "mini-ende", "method": "argmax", "layer": "7"}, {"testset": "mini-ende", "method": "argmax"},
        {"testset": "mini-ende", "method": "argmax", "layer": 7, "model": ["m"]},
    ],
)  # fmt: skip
def test_systems_of_a_result_folder(tmp_path: Path, row: Any) -> None:
    (tmp_path / "scores.json").write_text(json.dumps({"systems": [row]}), encoding="utf-8")
    for read in (explore_folder, sets_of_folder):
        with pytest.raises(FormatError, match=r"scores\.json"):
            read(tmp_path)


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


@pytest.mark.parametrize("content", [b"0-0 1\xff-0\n", b"0-0 1-\n", b"0-0-0\n", b"0-0\n0-0\n", b""])
def test_links_of_eflomal(tmp_path: Path, content: bytes) -> None:
    text = TrainingText([ae.SentencePair("1", ("a",), ("b",))], (), False, 100, "eflomal")
    (tmp_path / "links").write_bytes(content)
    with pytest.raises(ModelError, match="eflomal"):
        _table(text, tmp_path / "links")


@pytest.mark.parametrize("numbers", [{"lines": 999, "bytes": 0}, {"lines": 0, "bytes": 8}, {"lines": -1, "bytes": 8}])
def test_a_journal_whose_numbers_do_not_fit(tmp_path: Path, numbers: dict[str, int]) -> None:
    (tmp_path / "out.talp.part").write_text("0-0\n1-1\n", encoding="utf-8")
    (tmp_path / "out.talp.part.json").write_text(json.dumps({"settings": {}, **numbers}), encoding="utf-8")
    with pytest.raises(InputError, match="--restart"):
        ResumableOutput(tmp_path / "out.talp", {})


ROW = "\t".join(["1", "argmax", "5.0", "4.0", "6.0", "95.0", "95.0", "95.0", "100"])
HEAD = ["# fingerprint x", "# best s", "\t".join(COLUMNS)]


@pytest.mark.parametrize(
    "lines",
    [
        [*HEAD, ROW[:9]], [*HEAD, ROW, ""], [*HEAD, ROW.replace("5.0", "five", 1)], [*HEAD, ROW + "\t1"], HEAD,
        ["# fingerprint x", "#", *HEAD[2:], ROW],
    ],
)  # fmt: skip
def test_a_damaged_table_of_results_is_made_anew(tmp_path: Path, lines: list[str]) -> None:
    path = tmp_path / "x.tsv"
    path.write_text("\n".join([*HEAD, ROW]) + "\n", encoding="utf-8")
    assert _read_table(path, "x") is not None
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    assert _read_table(path, "x") is None
    path.write_bytes("\n".join([*HEAD, ROW]).encode() + b"\xff\n")
    assert _read_table(path, "x") is None


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


def _copied(path: Path, times: tuple[int, int]) -> None:
    other = path.with_name("other")
    other.write_bytes(b"c ||| d\n")
    os.utime(other, ns=times)
    os.replace(other, path)


def _rewritten(path: Path, times: tuple[int, int]) -> None:
    path.write_bytes(b"c ||| d\n")
    os.utime(path, ns=times)


def _mapped(path: Path, times: tuple[int, int]) -> None:
    with open(path, "r+b") as stream:
        stream.write(b"c")
    os.utime(path, ns=times)


@pytest.mark.skipif(os.name == "nt", reason="the time of the inode is that of its making there")
@pytest.mark.parametrize("change", [_copied, _rewritten, _mapped])
def test_input_of_the_same_size_and_time_is_another_input(
    tmp_path: Path, change: Callable[[Path, tuple[int, int]], None]
) -> None:
    path = tmp_path / "in.pipes"
    path.write_bytes(b"a ||| b\n")
    before, times = _identity(path), (path.stat().st_atime_ns, path.stat().st_mtime_ns)
    time.sleep(0.02)  # the clock of a file system is coarse
    change(path, times)
    assert path.stat().st_mtime_ns == times[1]
    assert _identity(path) != before
