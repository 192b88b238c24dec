"""The registry of named test sets: ``testsets.toml`` of this package, and files of the same form that a user adds.

``align-eval testsets add`` writes a user's own sets to :func:`user_registry`, and ``ALIGN_EVAL_TESTSETS`` names further
registry files (several are joined as in ``PATH``). The files of such sets may lie beside the registry file, or anywhere
by their absolute path. A registry file has two kinds of tables::

    [source.KEY]                    # optional: what several sets have in common
    citation = ["..."]              # one string a reference
    licence = "..."                 # as the origin states it
    notice = "..."                  # optional: what a user must know before using the set

    [testset.NAME]
    source = "KEY"                  # or, of a set by itself, citation, licence and notice, which may be left out
    title = "..."
    source_language = "de"          # of the first sentence of a pair; may be left out
    target_language = "en"
    version = "1"                   # raised when a file or the way it is read changes
    base = 1                        # index base of the links: 0 or 1
    sentences = 508
    sure = 9613
    possible = 10534                # all of P, the sure links included
    origin = "packaged"             # optional: the files come with align-eval

    [[testset.NAME.files]]          # in the order that the checksum of the set is made in
    role = "gold"                   # or "sentences"; "source" and "target"; "sentences+gold"; a set may have no gold
    path = "deen-rwth/deen.talp"    # below a data folder
    format = "talp"                 # a link format for "gold", a bitext format (tsv:header=yes) for the others
    url = "https://..."             # optional
    sha256 = "..."
"""

from __future__ import annotations

import functools
import hashlib
import json
import os
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, ClassVar

from align_eval.errors import FormatError, InputError, MissingFileError, UnknownNameError
from align_eval.files import atomic_writer, config_folder, output_errors
from align_eval.io.locks import alone

#: The registry file of the package.
REGISTRY_FILE = Path(__file__).with_name("testsets.toml")

_LAYOUTS = [
    ["gold", "sentences"], ["gold", "source", "target"], ["sentences+gold"], ["sentences"], ["source", "target"],
]  # fmt: skip
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_HEAD = re.compile(r'\s*\[+\s*(testset|source)\s*\.\s*("[^"]*"|[A-Za-z0-9_-]+)')


@dataclass(frozen=True)
class FileEntry:
    """One file of a test set.

    Attributes:
        role: ``"sentences"``, ``"source"``, ``"target"``, ``"gold"`` or ``"sentences+gold"``.
        path: where it lies below a data folder: relative, ``/`` between the parts; or, in a user's registry, absolute.
        format: name of the bitext format or, with role ``"gold"``, of the link format.
        sha256: of its bytes, 64 hex digits.
        url: where it can be fetched, or ``None``.
    """

    role: str
    path: str
    format: str
    sha256: str
    url: str | None = None


@dataclass(frozen=True)
class TestSetEntry:
    """What the registry says of one test set. Counts are what its files must hold; ``possible`` is all of P."""

    __test__: ClassVar[bool] = False

    name: str
    title: str
    source_language: str
    target_language: str
    citation: tuple[str, ...]
    licence: str
    version: str
    base: int
    sentences: int
    sure: int
    possible: int
    files: tuple[FileEntry, ...]
    registry: Path
    notice: str = ""
    packaged: bool = False

    @property
    def checksum(self) -> str:
        """The sha256 (hex) of the files' sha256 sums in order: ``sha256sum FILE... | cut -c1-64 | sha256sum``."""
        return hashlib.sha256("".join(f"{f.sha256}\n" for f in self.files).encode()).hexdigest()

    @property
    def fetchable(self) -> bool:
        """Whether every file has a URL."""
        return all(f.url is not None for f in self.files)

    @property
    def own(self) -> bool:
        """Whether it is a user's, and not of the registry of the package."""
        return self.registry != REGISTRY_FILE

    def file(self, *roles: str) -> FileEntry | None:
        """The file with one of ``roles``, or ``None``."""
        return next((f for f in self.files if f.role in roles), None)


def all_entries(*, missing: bool = False) -> dict[str, TestSetEntry]:
    """The entries of all test sets by name, in the order of the registry files.

    Args:
        missing: leave out registry files that do not exist, which are errors otherwise.
    """
    entries = dict(_packaged_entries())
    for path in registries():
        if missing and not path.is_file():
            continue
        for key, entry in read_registry(path).items():
            if key in entries:
                raise FormatError(
                    f"the test set {key!r} is already registered in {entries[key].registry}", file=path,
                    remedy="Give it another name",
                )  # fmt: skip
            entries[key] = entry
    return entries


def registries() -> list[Path]:
    """The registry files beside that of the package: the user's if it exists, those of ``ALIGN_EVAL_TESTSETS``."""
    named = [Path(name).expanduser() for name in os.environ.get("ALIGN_EVAL_TESTSETS", "").split(os.pathsep) if name]
    try:
        own = config_folder() / "testsets.toml"
    except MissingFileError:  # without a home nothing can be there
        return named
    return [own, *named] if own.is_file() else named


def user_registry() -> Path:
    """Where ``align-eval testsets add`` writes: the first file of ``ALIGN_EVAL_TESTSETS``, else the user's."""
    named = os.environ.get("ALIGN_EVAL_TESTSETS", "").split(os.pathsep)[0]
    return Path(named).expanduser() if named else config_folder() / "testsets.toml"


def get_entry(name: str) -> TestSetEntry:
    """The entry of the test set ``name``; the error of a name that is unknown lists the nearest ones."""
    entries = all_entries()
    if name not in entries:
        raise UnknownNameError("test set", name, entries)
    return entries[name]


@functools.lru_cache(maxsize=1)
def _packaged_entries() -> Mapping[str, TestSetEntry]:
    return read_registry(REGISTRY_FILE)


def read_registry(path: Path) -> dict[str, TestSetEntry]:
    """The entries of one registry file; an entry that lacks something or has what cannot be is named by the error."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise MissingFileError(
            f"the registry of test sets cannot be opened: {error.strerror}", file=path,
            remedy="Check ALIGN_EVAL_TESTSETS",
        ) from None  # fmt: skip
    return parse_registry(path, data)


def parse_registry(path: Path, data: bytes) -> dict[str, TestSetEntry]:
    """The entries of the content ``data`` of the registry file ``path``."""
    try:
        tables = parse_toml(data.decode("utf-8"))
    except ValueError as error:
        raise FormatError(f"not a TOML file: {error}", file=path, remedy="Correct the registry file") from None
    if not tables.get("testset"):
        return {}
    sources = _Table(path, "", tables).table("source") if "source" in tables else _Table(path, "source", {})
    sets = _Table(path, "", tables).table("testset")
    return {name: _entry(path, name, sets.table(name), sources) for name in sets.values}


#: Characters of a TOML file: a registry of a thousand sets has about as many. The reader's time may grow faster.
MOST_TOML = 1 << 20


def parse_toml(text: str) -> dict[str, Any]:
    """The tables of a TOML text; a ``ValueError`` (``TOMLDecodeError``) names the line of what is not TOML."""
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib  # type: ignore[import-not-found, unused-ignore]
    if len(text) > MOST_TOML:
        raise ValueError(f"{len(text):,} characters; {MOST_TOML:,} are taken")
    try:
        tables: dict[str, Any] = tomllib.loads(text)
    except RecursionError:
        raise ValueError("nested too deeply") from None
    return tables


class _Table:
    """A TOML table that is read with checks; errors name the file and the table."""

    def __init__(self, path: Path, where: str, values: Mapping[str, Any]) -> None:
        self.path, self.where, self.values = path, where, values

    def wrong(self, message: str) -> FormatError:
        return FormatError(
            f"[{self.where}]: {message}" if self.where else message, file=self.path,
            remedy="See align_eval/corpora/testset_entries.py for the form of an entry",
        )  # fmt: skip

    def table(self, key: str) -> _Table:
        value = self.values.get(key)
        if not isinstance(value, dict):
            raise self.wrong(f"the table {key!r} is missing" if value is None else f"{key!r} is not a table")
        return _Table(self.path, f"{self.where}.{key}" if self.where else key, value)

    def text(self, key: str, default: str | None = None) -> str:
        value = self.values.get(key, default)
        if not isinstance(value, str) or (default is None and not value.strip()):
            raise self.wrong(f"{key!r} is missing" if value is None else f"{key!r} has to be a text")
        return value

    def number(self, key: str, high: int = 2**31 - 1) -> int:
        value = self.values.get(key)
        if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= high:
            raise self.wrong(f"{key!r} is missing" if value is None else f"{key!r} has to be a number from 0 to {high}")
        return value

    def listed(self, key: str) -> list[Any]:
        value = self.values.get(key)
        if not isinstance(value, list) or not value:
            raise self.wrong(f"{key!r} has to be a list of one or more")
        return value

    def only(self, *known: str) -> None:
        for key in self.values:
            if key not in known:
                raise self.wrong(f"unknown key {key!r}")


def _entry(path: Path, name: str, table: _Table, sources: _Table) -> TestSetEntry:
    table.only(
        "source", "title", "source_language", "target_language", "version", "base", "sentences", "sure", "possible",
        "origin", "files", *(() if "source" in table.values else ("citation", "licence", "notice")),
    )  # fmt: skip
    if not is_name(name):
        raise table.wrong("a name is made of letters, digits, '.', '_' and '-', and begins with a letter or digit")
    if "source" in table.values:
        source = sources.table(table.text("source"))
        source.only("citation", "licence", "notice")
        citation, licence = source.listed("citation"), source.text("licence")
    else:
        source, licence = table, table.text("licence", "")
        citation = table.listed("citation") if table.values.get("citation") else []
    if not all(isinstance(c, str) for c in citation):
        raise source.wrong("'citation' has to be a list of texts")
    sure, possible = table.number("sure"), table.number("possible")
    if possible < sure:
        raise table.wrong(f"'possible' ({possible}) counts all of P and cannot be less than 'sure' ({sure})")
    origin = table.text("origin", "")
    if origin not in ("", "packaged"):
        raise table.wrong(f"unknown origin {origin!r}; known: packaged")
    files = tuple(_file(table, value) for value in table.listed("files"))
    roles = sorted(f.role for f in files)
    if roles not in _LAYOUTS:
        layouts = "; ".join(" and ".join(layout) for layout in _LAYOUTS)
        raise table.wrong(f"files with the roles {', '.join(roles)}; accepted: {layouts}")
    return TestSetEntry(
        name, table.text("title", "") or name, table.text("source_language", ""), table.text("target_language", ""),
        tuple(citation), licence, table.text("version"), table.number("base", 1), table.number("sentences"), sure,
        possible, files, path, source.text("notice", ""), origin == "packaged",
    )  # fmt: skip


def _file(owner: _Table, value: object) -> FileEntry:
    if not isinstance(value, dict):
        raise owner.wrong("'files' has to be a list of tables")
    table = _Table(owner.path, f"{owner.where}.files", value)
    table.only("role", "path", "format", "sha256", "url")
    entry = FileEntry(
        table.text("role"), table.text("path"), table.text("format"), table.text("sha256"),
        table.text("url", "") or None,
    )  # fmt: skip
    absolute = os.path.isabs(entry.path) and entry.url is None and owner.path != REGISTRY_FILE
    if not absolute and not is_inner_path(entry.path):
        raise table.wrong(f"the path {entry.path!r} leaves its folder: it has to be relative, without '..'")
    if not _SHA256.fullmatch(entry.sha256):
        raise table.wrong(f"the sha256 of {entry.path!r} is not 64 hex digits in lower case")
    if entry.url is not None and not re.fullmatch(r"https?://[^\s]+", entry.url):
        raise table.wrong(f"the address of {entry.path!r} does not begin with https:// or http://")
    return entry


def is_name(name: str) -> bool:
    """Whether ``name`` can name a test set."""
    return _NAME.fullmatch(name) is not None


def is_inner_path(path: str) -> bool:
    """Whether ``path`` (parts between ``/``) is relative and stays below the folder that it is put into.

    >>> is_inner_path("a/b.txt"), is_inner_path("../b.txt"), is_inner_path("/b.txt"), is_inner_path("a/../../b.txt")
    (True, False, False, False)
    """
    if not path or "\\" in path or ":" in path or "\0" in path or path.endswith("/"):
        return False
    return not PurePosixPath(path).is_absolute() and all(part not in ("", ".", "..") for part in path.split("/"))


def entry_text(name: str, values: dict[str, Any], files: list[dict[str, str]]) -> str:
    """An entry as TOML."""
    lines = [f"[testset.{toml_text(name)}]", *(f"{key} = {toml_text(value)}" for key, value in values.items())]
    for file in files:
        lines += [
            "",
            f"[[testset.{toml_text(name)}.files]]",
            *(f"{key} = {toml_text(value)}" for key, value in file.items()),
        ]
    return "\n".join(lines) + "\n"


def toml_text(value: Any) -> str:
    """A value as TOML, which writes texts, lists and numbers as JSON does, but for DEL."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def put_entry(registry: Path, name: str, entry: str, replace: bool) -> None:
    """Add an entry to a registry file, or put it in the place of the one of that name."""
    with output_errors(registry):
        registry.parent.mkdir(parents=True, exist_ok=True)
    with output_errors(registry), alone(registry):
        text = registry.read_text("utf-8") if registry.is_file() else ""
        known = set(parse_registry(registry, text.encode())) if text.strip() else set()
        if name in known and not replace:
            raise InputError(f"the test set {name!r} is registered already", file=registry, remedy="Give another name")
        text = without_entry(text, name) if name in known else text
        gap = "" if not text else "\n" if text.endswith("\n") else "\n\n"
        write_registry(registry, f"{text}{gap}{entry}", known | {name})


def write_registry(registry: Path, text: str, wanted: set[str]) -> None:
    """Write a registry that was changed as text, if it holds the sets that it should."""
    if set(parse_registry(registry, text.encode())) != wanted:
        raise InputError("the registry is not of the form that can be changed", file=registry, remedy="Edit it by hand")
    with atomic_writer(registry) as stream:
        stream.write(text)


def without_entry(text: str, name: str) -> str:
    """A registry without the tables of one test set; what else stands in it, comments included, stays."""
    kept, mine = [], False
    for line in text.splitlines(keepends=True):
        head = _HEAD.match(line)
        if head:
            mine = head[1] == "testset" and head[2].strip('"') == name
        if not mine:
            kept.append(line)
    return "".join(kept)
