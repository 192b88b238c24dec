"""Models that are shipped as they are: their files, their checksums, and what is said when they are not there."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from align_eval import files
from align_eval.errors import ChecksumError, FormatError, ModelError
from align_eval.models.offline import MODELS, TINY_DEEN, TINY_DEEN_MASK
from align_eval.models.store import SUMS, read_sums, write_sums

NAMES = {"config.json": b"{}", "model.safetensors": b"weights", "README.md": b"a card"}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of data with a tiny-deen in it."""
    monkeypatch.setattr(files, "data_folder", lambda: tmp_path)
    made = tmp_path / "tiny-deen"
    made.mkdir()
    for name, content in NAMES.items():
        (made / name).write_bytes(content)
    write_sums(made)
    return made


def test_registered() -> None:
    assert MODELS.get("tiny-deen") is TINY_DEEN
    assert MODELS.get("tiny-deen-mask") is TINY_DEEN_MASK
    assert TINY_DEEN.place == "shipped"


def test_whole(folder: Path) -> None:
    assert TINY_DEEN.state() == "ready"
    assert TINY_DEEN.folder() == TINY_DEEN.add() == TINY_DEEN.path == folder
    assert sorted(read_sums(folder / SUMS)) == ["config.json", "model.safetensors"]
    assert len(TINY_DEEN.revision) == 12
    (folder / "README.md").write_text("another card", "utf-8")
    assert TINY_DEEN.folder() == folder


def test_revision_follows_the_files(folder: Path) -> None:
    before = TINY_DEEN.revision
    (folder / "model.safetensors").write_bytes(b"other weights")
    write_sums(folder)
    assert TINY_DEEN.revision != before


def test_missing(folder: Path) -> None:
    (folder / "config.json").unlink()
    assert TINY_DEEN.state() == "absent"
    with pytest.raises(
        ModelError, match=r"config.json: a file of offline:tiny-deen is missing.*Install align-eval again"
    ):
        TINY_DEEN.folder()
    shutil.rmtree(folder)
    assert (TINY_DEEN.state(), TINY_DEEN.revision) == ("absent", "")
    with pytest.raises(ModelError, match=r"its files are not here.*export.py"):
        TINY_DEEN.add()


def test_changed(folder: Path) -> None:
    (folder / "model.safetensors").write_bytes(b"weighty")
    with pytest.raises(ChecksumError, match=r"model.safetensors: sha256 is"):
        TINY_DEEN.folder()


def test_unlisted(folder: Path) -> None:
    (folder / "added_tokens.json").write_text("{}", "utf-8")
    with pytest.raises(ChecksumError, match="not listed"):
        TINY_DEEN.folder()


@pytest.mark.parametrize("text", ["", "abc  config.json\n", "0" * 64 + "  ../config.json\n"])
def test_damaged_list(folder: Path, text: str) -> None:
    (folder / SUMS).write_text(text, "utf-8")
    assert TINY_DEEN.state() == "absent"
    with pytest.raises(FormatError, match=SUMS):
        TINY_DEEN.folder()


@pytest.mark.model
@pytest.mark.parametrize("model", [TINY_DEEN, TINY_DEEN_MASK])
def test_the_shipped_folder_loads(model: object) -> None:
    """As the configuration says, in float32 and half the size on disk, by align-eval and by transformers alone."""
    from align_eval.models import load_model
    from align_eval.models.offline import ShippedModel

    assert isinstance(model, ShippedModel)
    if model.state() == "absent":
        pytest.skip(f"the folder of {model.name} is not made yet")
    loaded = load_model(f"offline:{model.name}", target_language="en")
    assert (loaded.layers, loaded.heads, loaded.hidden_size) == (model.layers, model.heads, model.hidden_size)
    assert loaded.max_length == model.max_length
    assert str(loaded.dtype) == "torch.float32"
    assert loaded.revision == model.revision
    assert loaded.infill_reading == ("own" if model is TINY_DEEN_MASK else "")
    guided = loaded.model.config.guided_attention
    assert guided["reading"] in loaded.readings
    from transformers import MarianMTModel, MarianTokenizer

    assert MarianMTModel.from_pretrained(model.path).config.d_model == model.hidden_size
    assert MarianTokenizer.from_pretrained(model.path).encoder[">>en<<"] > 0
