"""The compiled functions against their twins in numpy and against sets; and what happens where there are none."""

from __future__ import annotations

import ctypes
import importlib
import shutil
import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from align_eval import native
from align_eval.corpora.link_formats._vector import _parse
from align_eval.corpora.raw_links import RawLinks
from align_eval.links import Links
from align_eval.links.table import LinkTable
from align_eval.native import Parsed, compiling
from align_eval.scoring import counts
from tests.scoring.reference import Corpus, corpora, gold_table, proposed_table, reference_counts

many = settings(max_examples=1500, deadline=None)

TOKENS = st.one_of(
    st.builds("{}{}{}{}".format, *[st.integers(0, 2000), st.sampled_from("-p?"), st.integers(0, 2000)],
              st.sampled_from(["", "", "", "S", "P", "-S", "-P"])),
    st.builds("{}-{}".format, st.integers(0, 10**10), st.integers(0, 10**10)),
    st.sampled_from(["0000000001-2", "000000001-2", "-1-2", "1-", "-", "S", "1-2SS", "1-2-", "é-1", "\t", "", "\r"]),
)  # fmt: skip
GAPS = st.sampled_from([" ", " ", " ", "\n", "\n", "\r\n", "  ", "\n\n", " \n ", "\t"])


def _same(found: Parsed | None, expected: RawLinks | None) -> None:
    assert (found is None) == (expected is None)
    if found is None or expected is None:
        return
    assert found.sentences == expected.sentences
    for name in ("sentence", "first", "second", "sure"):
        ours, theirs = getattr(found, name), getattr(expected, name)
        assert np.array_equal(ours, theirs), name
        assert ours.dtype == theirs.dtype
    rows = list(zip(found.sentence.tolist(), found.first.tolist(), found.second.tolist(), strict=True))
    assert found.ascending == all(a < b for a, b in pairwise(rows))
    assert found.least == min((min(row[1:]) for row in rows), default=2**31 - 1)


@given(tokens=st.lists(st.tuples(TOKENS, GAPS), max_size=30))
@many
def test_parsing_gives_what_numpy_gives(compiled: Any, tokens: list[tuple[str, str]]) -> None:
    text = "".join(token + gap for token, gap in tokens).encode() + b"\n"
    _same(native.parse(compiled, text), _parse(text, 1))


@given(text=st.binary(max_size=60) | st.text(st.sampled_from("0123456789-p?PS \n\r"), max_size=60).map(str.encode))
@many
def test_any_bytes_are_parsed_as_numpy_does(compiled: Any, text: bytes) -> None:
    _same(native.parse(compiled, text + b"\n"), _parse(text + b"\n", 1))


@pytest.mark.parametrize("length", range(8, 40))
def test_links_at_every_distance_from_the_end(compiled: Any, length: int) -> None:
    """The last bytes are read one by one, those before eight at once."""
    text = (b"1-2 34p5 678-901 23?456\n" * 3)[:length].rstrip(b" -p?\n") + b"\n"
    _same(native.parse(compiled, text), _parse(text, 1))


def test_the_shortest_links_fill_the_room(compiled: Any) -> None:
    found = native.parse(compiled, b"1-2\n" * 1000)
    assert found is not None
    assert len(found.sentence) == found.sentences == 1000


@settings(max_examples=200, deadline=None)
@given(corpora)
def test_counts_are_those_of_sets(compiled: Any, corpus: Corpus) -> None:
    gold, proposed = gold_table(corpus), proposed_table(corpus)
    out = np.full((gold.sentences, 4), -1, dtype=np.int32)
    left = gold.offsets, gold.source, gold.target, gold.sure
    native.count(compiled, 0, gold.sentences, left, (proposed.offsets, proposed.source, proposed.target), out)
    assert out.tolist() == reference_counts(corpus)


@pytest.mark.parametrize("highest", [5, 255, 256, 70_000, 2**31 - 1])
@pytest.mark.usefixtures("compiled")
def test_many_sentence_pairs_with_indices_low_and_high(highest: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """More pairs than a table numbers (127), a high index in one of them."""
    chance = np.random.default_rng(3)
    corpus: Corpus = []
    for _ in range(500):
        drawn = [{(int(i), int(j)) for i, j in chance.integers(0, 7, (n, 2))} for n in chance.integers(0, 9, 3)]
        corpus.append((drawn[0], drawn[0] | drawn[1], drawn[2]))
    sure, possible, links = corpus[200]
    corpus[200] = (sure, possible | {(highest, 3), (1, highest % 30_000)}, links | {(highest, 3), (highest - 1, 3)})
    expected = reference_counts(corpus)
    gold, proposed = gold_table(corpus), proposed_table(corpus)
    assert counts(gold, proposed).tolist() == expected
    monkeypatch.setattr(importlib.import_module("align_eval.scoring.measures"), "_HUGE", 0)
    monkeypatch.setattr("os.cpu_count", lambda: 2)
    assert counts(gold, proposed).tolist() == expected


def test_columns_that_are_cut_from_others_are_counted(compiled: Any) -> None:
    every = np.arange(12, dtype=np.int32)
    table = LinkTable(np.zeros(6, dtype=np.int32), every[::2], every[1::2], 1)
    assert counts(table, table).tolist() == [[6, 6, 6, 6]]
    out = np.zeros((1, 4), dtype=np.int32)
    hypothesis = table.offsets, every[::2], every[1::2]
    assert native.count(compiled, 0, 1, (table.offsets, every[::2], every[1::2], table.sure), hypothesis, out)
    assert out.tolist() == [[6, 6, 6, 6]]


class TestLoading:
    @pytest.fixture(autouse=True)
    def fresh(self) -> Any:
        """What is loaded is asked for again, before and after."""
        native.library.cache_clear()
        yield
        native.library.cache_clear()

    def test_none_if_not_wanted(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("ALIGN_EVAL_NATIVE", "0")
        assert native.library() is None

    def test_none_without_a_library(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(native, "library_path", lambda: tmp_path / "compiled.so")
        assert native.library() is None

    def test_none_where_the_file_is_no_library(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        (tmp_path / "compiled.so").write_bytes(b"not a library")
        monkeypatch.setattr(native, "library_path", lambda: tmp_path / "compiled.so")
        assert native.library() is None

    def test_none_of_another_version(self, compiled: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        assert isinstance(compiled, ctypes.CDLL)
        monkeypatch.setattr(native, "_INTERFACE", -1)
        assert native.library() is None

    def test_scores_are_the_same_without(self, compiled: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        from align_eval.corpora import read_links

        path = tmp_path / "links.talp"
        path.write_text("0-0 2-1 1p1\n\n3-3-P 1-1\n", encoding="utf-8")
        found = read_links(path, base=0)
        native.library.cache_clear()
        monkeypatch.setenv("ALIGN_EVAL_NATIVE", "0")
        assert read_links(path, base=0) == found
        assert found.sentences == 3
        assert found[0] == Links([(0, 0), (1, 1), (2, 1)])


FILES = ["blocks.h", "encoder.c", "floats.c", "integers.c", "lanes.h", "links.c"]


class TestCompiling:
    @pytest.fixture
    def copy(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        """A folder with the sources alone."""
        for header in compiling.HEADERS:
            shutil.copy(header, tmp_path)
        copies = tuple(Path(shutil.copy(source, tmp_path)) for source in compiling.SOURCES)
        monkeypatch.setattr(compiling, "_FOLDER", tmp_path)
        monkeypatch.setattr(compiling, "SOURCES", copies)
        return tmp_path

    def test_compiles_without_a_warning_and_leaves_nothing_else(
        self, compiled: Any, copy: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(compiling, "_FLAGS", (*compiling._FLAGS, "-Wall", "-Wextra", "-Wconversion", "-Werror"))
        path = compiling.compile_library()
        assert sorted(file.name for file in copy.iterdir()) == sorted([path.name, *FILES])
        assert ctypes.CDLL(str(path)).align_eval_interface() == native._INTERFACE

    def test_says_what_the_compiler_said(self, compiled: Any, copy: Path) -> None:
        (copy / "links.c").write_text("int f(void) { return undefined_name; }", encoding="utf-8")
        with pytest.raises(compiling.CompilingError, match=r"failed:(.|\n)*undefined_name"):
            compiling.compile_library()
        assert sorted(file.name for file in copy.iterdir()) == FILES

    def test_no_compiler(self, copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(shutil, "which", lambda name: None)
        with pytest.raises(compiling.CompilingError, match="no C compiler"):
            compiling.compile_library()

    def test_a_compiler_that_cannot_be_started(self, copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        broken = copy / "cc"
        broken.write_text("no program", encoding="utf-8")
        broken.chmod(0o755)
        monkeypatch.setenv("CC", str(broken))
        with pytest.raises(compiling.CompilingError, match="failed"):
            compiling.compile_library()

    def test_the_command_says_which_are_used(self, compiled: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        command = [sys.executable, "-m", "align_eval.native"]
        done = subprocess.run(command, capture_output=True, text=True)
        assert done.returncode == 0
        assert done.stdout == f"the compiled functions are used: {compiling.library_path()}\n"
        monkeypatch.setenv("ALIGN_EVAL_NATIVE", "0")
        done = subprocess.run(command, capture_output=True, text=True)
        assert done.returncode == 1
        assert done.stderr == "ALIGN_EVAL_NATIVE=0: numpy is used\n"

    def test_the_command_replaces_a_library_of_another_version(self, compiled: Any, tmp_path: Path) -> None:
        """Also where the old one has been loaded already, and the loader would give it again under its name."""
        package = tmp_path / "align_eval"
        shutil.copytree(compiling._FOLDER, package / "native")
        shutil.copy(compiling._FOLDER.parent / "processes.py", package)
        (package / "__init__.py").touch()
        links = package / "native" / "links.c"
        now = links.read_text(encoding="utf-8")
        links.write_text(now.replace(f"#define INTERFACE {native._INTERFACE}", "#define INTERFACE 1"), encoding="utf-8")
        old = package / "native" / compiling.library_path().name
        command = [*(compiling.compiler() or []), *compiling._FLAGS, "-o", str(old), str(links)]
        subprocess.run(command, check=True)
        assert ctypes.CDLL(str(old)).align_eval_interface() == 1
        links.write_text(now, encoding="utf-8")
        for _ in range(2):
            done = subprocess.run(
                [sys.executable, "-m", "align_eval.native"], capture_output=True, text=True, cwd=tmp_path
            )
            assert (done.returncode, done.stdout) == (0, f"the compiled functions are used: {old}\n")
