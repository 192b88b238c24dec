"""What all kinds of experiments share: the file, the finished parts with what they were made from, the results page."""

from __future__ import annotations

import contextlib
import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from align_eval.corpora.testset_entries import is_inner_path, parse_toml
from align_eval.errors import FormatError, MissingFileError, UnknownNameError
from align_eval.files import StrPath, atomic_writer
from align_eval.nested import parse_json
from align_eval.registry import Registry
from align_eval.runs.results import environment, make_folder
from align_eval.version import __version__

Bar = Callable[[str, int], contextlib.AbstractContextManager[Callable[[int], None]]]
"""Given what is done and how much there is of it, a context that gives a function to tell of each advance."""


def no_bar(what: str, total: int) -> contextlib.AbstractContextManager[Callable[[int], None]]:
    """A :data:`Bar` that shows nothing."""
    return contextlib.nullcontext(lambda advance: None)


@dataclass(frozen=True)
class Watch:
    """Who is told of a run.

    Attributes:
        parse_layers: reads the text of ``layers``, given the model's number of layers.
        note: told a sentence as each part is done.
        bar: shows progress.
    """

    parse_layers: Callable[[str, int], list[int]]
    note: Callable[[str], None] = lambda text: None
    bar: Bar = no_bar


@dataclass(frozen=True)
class Experiment(ABC):
    """What an experiment file says. Each kind adds fields of its own.

    Attributes:
        name: of the experiment and of its folder in ``results/``.
        testsets: names.
        kind: a name of :data:`KINDS`.
        title, text: what the results page says above its tables.
        model: name of a model.
        resamples, seed: of the intervals.
        file: where it was read from.
    """

    name: str
    testsets: tuple[str, ...]
    kind: str = "evaluate"
    title: str = ""
    text: str = ""
    model: str = "offline:e5-small"
    resamples: int = 1000
    seed: int = 12345
    file: str = field(default="", compare=False)

    @abstractmethod
    def check(self) -> None:
        """Find out what is wrong with the names in it; needs no model.

        Raises:
            UnknownNameError, InputError: of the first that is wrong.
        """

    @abstractmethod
    def run(self, base: Path, watch: Watch) -> None:
        """Make what is not there yet and write everything into the folder ``base``."""

    def fingerprint(self, *made_from: str, without: Sequence[str] = ()) -> str:
        """Identifies what a part of the results was made from.

        Args:
            made_from: what else it depends on: checksum of the test set, revision of the model.
            without: fields that it does not depend on, beside the texts of the page.
        """
        out = {"name", "title", "text", "file", "testsets", *without}
        parts = {f.name: getattr(self, f.name) for f in fields(self) if f.name not in out}
        text = json.dumps([parts, *made_from, __version__], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def page(self, body: Sequence[str]) -> str:
        """The results page as Markdown: title, text, command, then ``body``, then the environment."""
        lines = [f"# {self.title or self.name}", "", self.text.strip(), "", "Made by", ""]
        lines += [f"    align-eval run {self.file}", "", *body, ""]
        versions = ", ".join(f"{name} {version}" for name, version in environment().items())
        return "\n".join([*lines, f"Environment: {versions}.", ""])


KINDS: Registry[type[Experiment]] = Registry("kind of experiment", "align_eval.runs.experiments")


def read_experiment(path: StrPath) -> Experiment:
    """Read an experiment file.

    Raises:
        MissingFileError: no such file.
        FormatError: not TOML, a key missing, unknown or of the wrong type.
        UnknownNameError: an unknown kind or key.
    """
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
    """The value as its field has it: lists as tuples.

    Raises:
        FormatError: it is of another type.
    """
    if kind == "tuple[str, ...]":
        if isinstance(value, list) and all(isinstance(item, str) for item in value):
            return tuple(value)
    elif type(value).__name__ == kind:
        return value
    elif kind == "float" and type(value) is int:
        return float(value)
    raise FormatError(f"{key} = {value!r} is not of the type {kind}", file=path, remedy="Mend its value")


def run_experiment(
    experiment: Experiment,
    folder: StrPath,
    *,
    parse_layers: Callable[[str, int], list[int]],
    note: Callable[[str], None] = lambda text: None,
    bar: Bar = no_bar,
) -> Path:
    """Run an experiment into ``folder``/NAME and return that folder.

    Args:
        experiment: of :func:`read_experiment`.
        folder: usually ``results``.
        parse_layers, note, bar: see :class:`Watch`.

    Raises:
        UnknownNameError, InputError: a name in it is wrong; nothing has been run then.
        OutputError: the folder cannot be made or written.
    """
    experiment.check()
    base = make_folder(Path(folder) / experiment.name)
    experiment.run(base, Watch(parse_layers, note, bar))
    return base


WIDTH = 300  # characters that stay on one line of JSON


class Cells:
    """A JSON file of finished parts of an experiment by name, each with the fingerprint of what it was made from and a
    digest of what it holds; written after each one, whole or not at all.

    Args:
        path: the file; read if it is there.

    Raises:
        FormatError: it is there and is no such file.
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
        cell = self._cells.get(name)
        if cell is None or cell.get("fingerprint") != fingerprint or cell.get("digest") != digest_of_cell(cell):
            return None
        return cell

    def put(self, name: str, fingerprint: str, data: dict[str, Any]) -> dict[str, Any]:
        """Add a part, and write the file."""
        cell = json.loads(json.dumps({"fingerprint": fingerprint, "environment": environment(), **data}))
        self._cells[name] = {"digest": digest_of_cell(cell), **cell}
        self._write()
        return self._cells[name]

    def keep_only(self, names: Sequence[str]) -> None:
        """Order the parts as ``names`` and drop those that are not among them."""
        ordered = {name: self._cells[name] for name in names if name in self._cells}
        if list(ordered) != list(self._cells):
            self._cells = ordered
            self._write()

    def _write(self) -> None:
        with atomic_writer(self.path) as stream:
            stream.write(pretty({"cells": self._cells}) + "\n")


def digest_of_cell(cell: dict[str, Any]) -> str:
    """The first 16 hex digits of the sha256 over all that a part holds beside its digest."""
    held = {key: value for key, value in cell.items() if key != "digest"}
    return hashlib.sha256(json.dumps(held, sort_keys=True).encode()).hexdigest()[:16]


def pretty(value: Any, indent: int = 0) -> str:
    """JSON in which a mapping or list that fits on a line stands on one.

    >>> print(pretty({"a": [{"b": 1}, {"b": 2}]}))
    {"a": [{"b": 1}, {"b": 2}]}
    """
    flat = json.dumps(value, ensure_ascii=False)
    if not isinstance(value, (dict, list, tuple)) or len(flat) + indent <= WIDTH:
        return flat
    pad, end = " " * (indent + 1), " " * indent
    if isinstance(value, dict):
        items = [f"{pad}{json.dumps(str(k), ensure_ascii=False)}: {pretty(v, indent + 1)}" for k, v in value.items()]
        return "{\n" + ",\n".join(items) + f"\n{end}}}"
    return "[\n" + ",\n".join(pad + pretty(item, indent + 1) for item in value) + f"\n{end}]"
