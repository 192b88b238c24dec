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
from align_eval.errors import AlignEvalWarning
from align_eval.scoring import Signature
from align_eval.scoring.provenance import KEYS, SUFFIX, read_provenance
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
    assert [key.name for key in SIGNATURE_KEYS if key.name in KEYS] == list(KEYS)


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
    with pytest.warns(AlignEvalWarning, match=r"system\.links: was changed since it was aligned; .*meta\.json is left"):
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
    with pytest.warns(AlignEvalWarning, match=r"meta\.json: is not what align-eval align writes"):
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
    assert {key: value for key, value in first.items() if key not in ORIGIN} == {
        key: value for key, value in second.items() if key != "ar"
    }
    assert (
        err
        == f"align-eval: {changed}: was changed since it was aligned; {changed}{SUFFIX} is left out of the signature\n"
    )
