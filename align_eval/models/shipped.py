"""Models whose files lie in the repository and in the package: a folder that ``transformers`` loads as it is.

``SHA256SUMS`` in the folder lists every file that loading reads, as ``sha256sum`` writes it; each is compared before a
load; a large one is read for that when it has changed (:mod:`align_eval.digests`).
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path

from align_eval import files
from align_eval.digests import digest_of
from align_eval.errors import ChecksumError, FormatError, ModelError
from align_eval.models import store
from align_eval.models.provider import OfflineModel

SUMS = "SHA256SUMS"
_LINE = re.compile(r"([0-9a-f]{64}) [ *]([^/\\]+)")


@dataclass(frozen=True, kw_only=True)
class ShippedModel(OfflineModel):
    """A model under ``data/`` of the repository, in the folder of its name."""

    @property
    def path(self) -> Path:
        return files.data_folder() / self.name

    @property
    def revision(self) -> str:
        """The first 12 hex digits of the sha256 of the list of checksums; empty if the folder is missing."""
        try:
            return hashlib.sha256((self.path / SUMS).read_bytes()).hexdigest()[:12]
        except OSError:
            return ""

    @property
    def place(self) -> str:
        return "shipped"

    @property
    def provenance(self) -> str:
        return "shipped with align-eval"

    def state(self) -> str:
        """``"ready"``, or ``"absent"`` if a file is missing. Nothing is read but the list."""
        try:
            listed = read_sums(self.path / SUMS)
        except (OSError, FormatError):
            return "absent"
        return "ready" if all((self.path / name).is_file() for name in listed) else "absent"

    def folder(self) -> Path:
        """The folder, each of its files compared with the list.

        Raises:
            ModelError: the folder or a file is missing.
            ChecksumError: a file is another one, or one that a load would read is not listed.
            FormatError: the list is damaged.
        """
        remedy = "Install align-eval again; in a checkout, the folder is made by experiments/train_tiny_deen/export.py"
        folder = self.path
        try:
            listed = read_sums(folder / SUMS)
        except OSError:
            raise ModelError(
                f"offline:{self.name} is shipped with align-eval, but its files are not here", file=folder,
                remedy=remedy,
            ) from None  # fmt: skip
        for name, wanted in listed.items():
            if not (folder / name).is_file():
                raise ModelError(f"a file of offline:{self.name} is missing", file=folder / name, remedy=remedy)
            found = digest_of(folder / name)
            if found != wanted:
                raise ChecksumError(f"sha256 is {found}, not {wanted}", file=folder / name, remedy=remedy)
        for path in store.unlisted(folder, listed):
            raise ChecksumError(f"the file is not listed in {SUMS}", file=path, remedy="Remove it")
        return folder

    def add(self) -> Path:
        """As :meth:`folder`: there is nothing to fetch."""
        return self.folder()


def read_sums(path: Path) -> dict[str, str]:
    """File name to sha256, from a list as ``sha256sum`` writes it.

    Raises:
        OSError: it cannot be read.
        FormatError: a line has another form, or there is none.
    """
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
    names = sorted(path.name for path in folder.iterdir() if path.suffix in store.LOADED)
    lines = [f"{files.sha256_of(folder / name)}  {name}\n" for name in names]
    (folder / SUMS).write_text("".join(lines), "utf-8")
