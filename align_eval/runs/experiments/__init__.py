"""Experiment files: what is to be run, in TOML; running one writes ``results/NAME``.

``kind`` says what is done; the kinds are the modules here, each registered by itself:

- ``evaluate``: every method at every layer of an encoder, by similarity;
- ``sweep``: AER of every layer, head and mode of a model, and what selection gives on other sentences;
- ``infill``: words masked by strategies, what that does to attention, and what is filled in;
- ``signals``: all attribution methods of a model on test sets, beside aligners.

Every kind has the fields of :class:`Experiment`; see its module for the rest. What is there already and was made from
the same settings, test set, model and version is kept, so that an interrupted run goes on where it stopped.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from align_eval.corpora import Corpus, load_testset
from align_eval.corpora.corpus import REVERSE
from align_eval.corpora.testset_entries import get_entry, is_inner_path, parse_toml
from align_eval.errors import FormatError, MissingFileError, UnknownNameError
from align_eval.files import StrPath, atomic_writer, parse_json
from align_eval.registry import Registry
from align_eval.runs.results import environment, make_folder, write_json
from align_eval.version import __version__

Bar = Callable[[str, int], contextlib.AbstractContextManager[Callable[[int], None]]]
"""Given what is done and how much there is of it, a context that gives a function to call with each advance."""
Make = Callable[[], dict[str, Any]]
"""Makes a part of the results."""
Kept = Mapping[str, Mapping[str, Any]]
"""The parts that are there, by name."""


@dataclass(frozen=True)
class Watch:
    """What a run reports to: ``note`` gets a sentence as each part is done, ``bar`` shows progress."""

    note: Callable[[str], None] = lambda text: None
    bar: Bar = lambda what, total: contextlib.nullcontext(lambda advance: None)


@dataclass(frozen=True)
class Experiment(ABC):
    """What an experiment file says. Each kind adds fields of its own."""

    name: str  # of the experiment and of its folder in results/
    testsets: tuple[str, ...]
    kind: str = "evaluate"
    title: str = ""  # what the results page says above its tables
    text: str = ""
    model: str = "offline:e5-small"
    resamples: int = 1000  # of the intervals
    seed: int = 12345
    file: str = field(default="", compare=False)  # where it was read from

    @abstractmethod
    def check(self) -> None:
        """Raise an error for the first name in it that is wrong; needs no model."""

    def check_testsets(self) -> None:
        """Raise an error for the first test set that is unknown."""
        for name in self.testsets:
            get_entry(name.removesuffix(REVERSE))

    def load(self) -> list[Corpus]:
        """The test sets; those with ``:reverse`` behind their name with source and target swapped."""
        found = {name: load_testset(name.removesuffix(REVERSE)) for name in self.testsets}
        return [one.reverse() if name.endswith(REVERSE) else one for name, one in found.items()]

    @abstractmethod
    def parts(self, base: Path, watch: Watch, kept: Kept) -> Iterator[tuple[str, str, Make]]:
        """The parts of the results: name, fingerprint, and a function that makes it; ``kept`` has all those before."""

    @abstractmethod
    def said(self, cell: Mapping[str, Any]) -> str:
        """What is said of a part when it is there."""

    @abstractmethod
    def body(self, base: Path, kept: Kept) -> list[str]:
        """The lines of the results page for the parts that are there."""

    def run(self, base: Path, watch: Watch) -> None:
        """Make the parts that ``KIND.json`` in the folder ``base`` does not hold, and ``README.md`` after each."""
        cells = Cells(base / f"{self.kind}.json")
        kept: dict[str, dict[str, Any]] = {}
        for name, mark, make in self.parts(base, watch, kept):
            kept[name] = cells.get(name, mark) or cells.put(name, mark, make())
            watch.note(f"{name}: {self.said(kept[name])}")
            with atomic_writer(base / "README.md") as stream:
                stream.write(self.page(self.body(base, kept)))
        cells.keep_only(list(kept))

    def fingerprint(self, *made_from: str, without: Sequence[str] = ()) -> str:
        """Identifies what a part of the results was made from: the fields, and ``made_from`` (checksum, revision).

        ``without``: fields that it does not depend on, beside the texts of the page.
        """
        out = {"name", "title", "text", "file", "testsets", *without}
        return digest(
            [{f.name: getattr(self, f.name) for f in fields(self) if f.name not in out}, *made_from, __version__]
        )

    def page(self, body: Sequence[str]) -> str:
        """The results page as Markdown: title, text, command, then ``body``, then the environment."""
        lines = [f"# {self.title or self.name}", "", self.text.strip(), "", "Made by", ""]
        lines += [f"    align-eval run {self.file}", "", *body, ""]
        versions = ", ".join(f"{name} {version}" for name, version in environment().items())
        return "\n".join([*lines, f"Environment: {versions}.", ""])


KINDS: Registry[type[Experiment]] = Registry("kind of experiment", "align_eval.runs.experiments")


def read_experiment(path: StrPath) -> Experiment:
    """Read an experiment file; an error names the key that is missing, unknown or of the wrong type."""
    try:
        data = parse_toml(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise MissingFileError("no such file", file=path, remedy="Name a file of experiments/") from None
    except ValueError as error:
        raise FormatError(f"is not TOML: {error}", file=path, remedy="Mend that line") from None
    kind = KINDS.get(str(data.get("kind", "evaluate")))
    known = {f.name: str(f.type) for f in fields(kind) if f.name != "file"}
    for key, value in data.items():
        if key not in known:
            raise UnknownNameError(f"key of an experiment ({path})", key, known)
        data[key] = _typed(key, value, known[key], path)
    for key in ("name", "testsets"):
        if not data.get(key):
            raise FormatError(f"the key {key} is missing or empty", file=path, remedy=f"Add {key} = ...")
    if not is_inner_path(data["name"]) or "\0" in data["name"] or data["name"].startswith("."):
        raise FormatError(
            f"the name {data['name']!r} leads out of the folder of results", file=path,
            remedy="Give a name without .., without a drive and without a slash before it",
        )  # fmt: skip
    return kind(**data, file=Path(path).as_posix())


def _typed(key: str, value: Any, kind: str, path: StrPath) -> Any:
    """The value as its field has it: lists as tuples."""
    if kind == "tuple[str, ...]":
        if isinstance(value, list) and all(isinstance(item, str) for item in value):
            return tuple(value)
    elif type(value).__name__ == kind:
        return value
    elif kind == "float" and type(value) is int:
        return float(value)
    raise FormatError(f"{key} = {value!r} is not of the type {kind}", file=path, remedy="Mend its value")


def run_experiment(experiment: Experiment, folder: StrPath, *reports: Any) -> Path:
    """Run an experiment into ``folder``/NAME and return that folder; for the reports see :class:`Watch`."""
    experiment.check()
    base = make_folder(Path(folder) / experiment.name)
    experiment.run(base, Watch(*reports))
    return base


class Cells:
    """A JSON file of finished parts of an experiment by name, each with the fingerprint of what it was made from and a
    digest of what it holds; read if it is there, and written after each part, whole or not at all.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._cells: dict[str, dict[str, Any]] = {}
        if path.exists():
            try:
                cells = parse_json(path.read_text("utf-8"))["cells"]
                self._cells = {str(name): dict(cell) for name, cell in cells.items()}
            except (ValueError, KeyError, TypeError, AttributeError):
                raise FormatError(
                    "does not hold the results of an experiment", file=path, remedy="Move it away, or write elsewhere"
                ) from None

    def get(self, name: str, fingerprint: str) -> dict[str, Any] | None:
        """The part of that name if it has that fingerprint and is as it was written: what was damaged is made anew."""
        cell = self._cells.get(name, {})
        return cell if cell.get("fingerprint") == fingerprint and cell.get("digest") == _digest_of(cell) else None

    def put(self, name: str, fingerprint: str, data: dict[str, Any]) -> dict[str, Any]:
        """Add a part, and write the file."""
        cell = json.loads(json.dumps({"fingerprint": fingerprint, "environment": environment(), **data}))
        self._cells[name] = {"digest": _digest_of(cell), **cell}
        self._write()
        return self._cells[name]

    def keep_only(self, names: Sequence[str]) -> None:
        """Order the parts as ``names`` and drop those that are not among them."""
        ordered = {name: self._cells[name] for name in names if name in self._cells}
        if list(ordered) != list(self._cells):
            self._cells = ordered
            self._write()

    def _write(self) -> None:
        write_json(self.path, {"cells": self._cells})


def _digest_of(cell: dict[str, Any]) -> str:
    return digest({key: value for key, value in cell.items() if key != "digest"})


def digest(value: Any) -> str:
    """The first 16 hex digits of the sha256 over a value as JSON."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:16]


def table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """A table as lines of Markdown."""
    lines = ["| " + " | ".join(columns) + " |", "|---|" + "---|" * (len(columns) - 1)]
    return [*lines, *("| " + " | ".join(row) + " |" for row in rows)]
