"""The note beside a file of links: read, refused, and shown in a signature."""

from __future__ import annotations

import hashlib
import json
import os
import warnings
from pathlib import Path
from typing import Any

import pytest

from align_eval.cli import main
from align_eval.corpora.linkio import read_links, write_links
from align_eval.corpora.sidecar import KEYS, SUFFIX, read_provenance
from align_eval.errors import AlignEvalWarning, IndexBaseError
from align_eval.links import Links
from align_eval.links.table import LinkTable
from align_eval.scoring import Signature
from align_eval.scoring.signature import SIGNATURE_KEYS

ORIGIN = {
    "model": "offline:e5-small",
    "revision": "1571fc98",
    "dtype": "float32",
    "layer": "7",
    "signal": "similarity",
    "method": "softmax",
    "params": "threshold=0.01",
    "subword": "any",
    "long": "window",
}


@pytest.fixture
def links(tmp_path: Path) -> Path:
    path = tmp_path / "system.links"
    path.write_text("0-0 1-1\n0-0\n")
    return path


def note(links: Path, signature: Any = ORIGIN, **values: Any) -> Path:
    """Write a note as ``align-eval align`` does."""
    digest = hashlib.sha256(links.read_bytes()).hexdigest()
    path = links.with_name(links.name + SUFFIX)
    path.write_text(json.dumps({"signature": signature, "lines": 2, "sha256": digest, **values}))
    return path


def test_keys_are_those_of_a_signature_in_its_order() -> None:
    assert [key for key in SIGNATURE_KEYS if key in KEYS] == list(KEYS)


def test_a_note_that_counts(links: Path) -> None:
    assert read_provenance(links) == {}
    note(links, {**ORIGIN, "layer": 7, "version": "0.0.1", "set": "other", "head": None, "new-key": []})
    assert read_provenance(links) == ORIGIN
    assert read_provenance("-") == {}


def test_a_pipe_is_not_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / f"pipe{SUFFIX}").write_text("{}")
    assert read_provenance(tmp_path / "pipe") == {}


def test_a_changed_file(links: Path) -> None:
    note(links)
    links.write_text("0-0\n0-0\n")
    with pytest.warns(
        AlignEvalWarning, match=r"system\.links: was changed since .*meta\.json was written, which is left"
    ):
        assert read_provenance(links) == {}


@pytest.mark.parametrize(
    "content",
    [
        b"", b"{", b"[]", b"null", b"{}", b"\xff\xfe", b"[" * 100_000,
        b'{"signature": {}}', b'{"signature": [], "sha256": "' + b"0" * 64 + b'"}',
        b'{"signature": {}, "sha256": "abc"}', b'{"signature": {}, "sha256": 1}',
        b'{"signature": {"model": ["a"]}, "sha256": "' + b"0" * 64 + b'"}',
        b'{"signature": {"model": ""}, "sha256": "' + b"0" * 64 + b'"}',
    ],
)  # fmt: skip
def test_a_damaged_note(content: bytes, links: Path) -> None:
    note(links).write_bytes(content)
    with pytest.warns(AlignEvalWarning, match=r"meta\.json: is not what align-eval writes beside links"):
        assert read_provenance(links) == {}


def test_a_note_that_is_a_folder(links: Path) -> None:
    links.with_name(links.name + SUFFIX).mkdir()
    with pytest.warns(AlignEvalWarning, match=r"meta\.json: cannot be opened"):
        assert read_provenance(links) == {}


def test_score_shows_it(links: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    gold, other, changed = tmp_path / "gold", tmp_path / "other.links", tmp_path / "changed.links"
    for path in (gold, other, changed):
        path.write_text("0-0 1-1\n0-0\n")
    note(links)
    note(changed)
    changed.write_text("0-0\n0-0\n")
    with pytest.raises(SystemExit) as left, warnings.catch_warnings():
        main(["score", *map(str, (gold, links, other, changed)), "--json"])
    out, err = capsys.readouterr()
    assert not left.value.code
    first, second, third = (Signature.parse(row["signature"]) for row in json.loads(out))
    assert {key: first[key] for key in ORIGIN} == ORIGIN
    assert not set(ORIGIN) & {*second, *third}
    assert first["sym"] == "unknown"
    assert {key: value for key, value in first.items() if key not in ORIGIN} == {
        key: value for key, value in second.items() if key != "ar"
    }
    said = f"{changed}: was changed since {changed}{SUFFIX} was written, which is left out of the signature"
    assert err == f"align-eval: {said}\n"


def test_links_that_are_written_take_their_origin_along(tmp_path: Path) -> None:
    """Written, read, converted and combined: what is known goes with the links."""
    table = LinkTable.from_links([Links([(0, 0)]), Links(), Links([(1, 1)])])
    write_links(tmp_path / "bare.talp", table)
    assert not (tmp_path / f"bare.talp{SUFFIX}").exists()
    table.provenance = {**ORIGIN, "sym": "none", "version": "0"}
    write_links(tmp_path / "a.talp.gz", table)
    assert read_links(tmp_path / "a.talp.gz").provenance == {**ORIGIN, "sym": "none"}
    for name in ("b.jsonl", "c.parquet", "d.wpt", "e.talp"):
        with pytest.raises(SystemExit) as left:
            main(["convert", str(tmp_path / "a.talp.gz"), str(tmp_path / name), "--order-out", "ts"])
        assert not left.value.code
        assert read_links(tmp_path / name, order="ts").provenance == {**ORIGIN, "sym": "none"}
        assert read_links(tmp_path / name, order="ts") == table
    write_links(tmp_path / "a.talp.gz", LinkTable.from_links([Links([(0, 0)])]))  # no stale note stays
    assert read_provenance(tmp_path / "a.talp.gz") == {}


@pytest.mark.parametrize(
    ("links", "ids"),
    [
        ([[(0, 0)], [], [(1, 1)]], None),
        ([[], [(0, 0)], []], None),
        ([[], []], ["0026", "0030"]),
        ([[(0, 0)], [], []], ["7", "9", "100"]),
    ],
)
def test_naacl_keeps_sentence_pairs_without_links(
    links: list[list[tuple[int, int]]], ids: list[str] | None, tmp_path: Path
) -> None:
    """The format has no line for them; the note beside it names them."""
    table = LinkTable.from_links([Links(pairs) for pairs in links], ids)
    path = tmp_path / "x.wpt"
    write_links(path, table, format="naacl")
    back = read_links(path, format="naacl")
    assert back == table
    assert back.ids == (ids or [str(k + 1) for k in range(len(links))])
    if ids is None:
        write_links(tmp_path / "back.talp", back)
        assert len((tmp_path / "back.talp").read_text().splitlines()) == len(links)
    lines = path.read_text().splitlines(keepends=True)
    if len(lines) > 1:
        path.write_text("".join(lines[1:]))  # the note does not count for another file
        with pytest.warns(AlignEvalWarning, match="was changed"):
            assert len(read_links(path)) < len(links)


@pytest.mark.parametrize(
    ("base", "text", "pairs"),
    [(0, "1-0\n", [(1, 0)]), (1, "2-1\n", [(1, 0)]), (1, "1-1 2-0\n", [(0, 0)])],
)
def test_the_note_says_the_base(tmp_path: Path, base: int, text: str, pairs: list[tuple[int, int]]) -> None:
    """Without it these files prove none."""
    path = tmp_path / "l.talp"
    path.write_text(text)
    with pytest.raises(IndexBaseError, match="cannot be proven"):
        read_links(path)
    note(path, base=base)
    assert list(read_links(path)[0]) == pairs
    note(path, base="1")
    with pytest.raises(IndexBaseError, match="cannot be proven"):
        read_links(path)


def test_a_note_against_the_data(links: Path) -> None:
    note(links, base=1)
    with pytest.raises(IndexBaseError, match="0-0 joins nothing with nothing"):
        read_links(links)


@pytest.mark.parametrize("base", [0, 1])
def test_what_is_written_is_read_in_its_base(tmp_path: Path, base: int) -> None:
    table = LinkTable.from_links([Links([(1, 2)]), Links([])])
    table.provenance = {"sym": "union/both"}
    write_links(tmp_path / "l.talp", table, base=base)
    assert list(read_links(tmp_path / "l.talp")[0]) == [(1, 2)]
