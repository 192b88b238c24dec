"""A user's own test sets under a name: put into a registry file, and taken out of it."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from align_eval.corpora.testset_entries import (
    TestSetEntry,
    all_entries,
    get_entry,
    is_name,
    parse_registry,
    user_registry,
)
from align_eval.errors import InputError, UnknownNameError
from align_eval.files import StrPath, atomic_writer, output_errors, sha256_of
from align_eval.io.locks import alone

if TYPE_CHECKING:
    from align_eval.corpora.corpus import Corpus

_HEAD = re.compile(r'\s*\[+\s*(testset|source)\s*\.\s*("[^"]*"|[A-Za-z0-9_-]+)')


def add_testset(
    name: str,
    bitext: StrPath,
    gold: StrPath | None = None,
    *,
    target: StrPath | None = None,
    format: str = "auto",
    gold_format: str = "auto",
    gold_base: int | str = "auto",
    source_language: str = "",
    target_language: str = "",
    title: str = "",
    citation: tuple[str, ...] = (),
    licence: str = "",
    replace: bool = False,
) -> TestSetEntry:
    """Register a test set of your own: :func:`align_eval.load_testset` and every command then know it by ``name``.

    The files stay where they are and are named by their absolute paths. Counts and sha256 sums are made now, and each
    later use compares them.

    Args:
        name: letters, digits, ``.``, ``_`` and ``-``.
        bitext, gold, target, format, gold_format, gold_base, source_language, target_language: see
            :func:`align_eval.make_testset`; files.
        title, citation, licence: what is shown with the set; may be empty.
        replace: put it in the place of an own set of that name.

    Raises:
        InputError: a name that is taken or cannot be one.
        AlignEvalError: what reading the files raises, gold that does not fit the sentences included.
        OutputError: the registry cannot be written.
    """
    from align_eval.corpora.linkio import read_links_report
    from align_eval.corpora.plain import make_testset
    from align_eval.corpora.readers import read_bitext
    from align_eval.registry import split_spec

    if not is_name(name):
        raise InputError(
            f"{name!r} cannot be the name of a test set",
            remedy="Write letters, digits, '.', '_' and '-', beginning with a letter or digit",
        )
    if "-" in (bitext, target, gold):
        raise InputError("standard input is gone when the test set is used", remedy="Name files")
    registry = user_registry()
    known = all_entries(missing=True)
    if name in known and known[name].registry != registry:
        raise InputError(
            f"the test set {name!r} is registered already", file=known[name].registry, remedy="Give another name"
        )
    if name in known and not replace:
        raise InputError(f"the test set {name!r} is registered already", file=registry,
                         remedy="Give another name, or --replace (replace=True in Python)")  # fmt: skip
    made = make_testset(
        bitext, gold, target=target, format=format, gold_format=gold_format, gold_base=gold_base,
        source_language=source_language, target_language=target_language,
    )  # fmt: skip
    languages = (source_language or None, target_language or None)
    found = read_bitext(bitext, target, format=format, languages=languages).format
    written = split_spec(format)[1]
    told = f"{found}:{written}" if written else found
    files = (
        [("source", bitext, told), ("target", target, told)] if target is not None else [("sentences", bitext, told)]
    )
    if gold is not None:
        report = read_links_report(gold, format=gold_format, base=made.base, bitext=made.pairs)[1]
        files.append(("gold", gold, report.format))
    elif made.table is not None:
        files = [("sentences+gold", bitext, told)]
    values: dict[str, Any] = {
        "title": title or name, "source_language": source_language, "target_language": target_language,
        "citation": list(citation), "licence": licence, "version": "1", "base": made.base, "sentences": len(made),
        "sure": 0 if made.table is None else made.table.sure_links,
        "possible": 0 if made.table is None else made.table.links,
    }  # fmt: skip
    listed = [
        {"role": role, "path": os.path.abspath(path), "format": kind, "sha256": sha256_of(path)}
        for role, path, kind in files
        if path is not None
    ]
    _put(registry, name, entry_text(name, values, listed), replace)
    return get_entry(name)


def remove_testset(name: str) -> Path:
    """Take an own test set out of its registry; its files stay. Returns the registry.

    Raises:
        UnknownNameError: no such test set.
        InputError: it is one of the package, not of a user.
    """
    registry = user_registry()
    known = parse_registry(registry, registry.read_bytes()) if registry.is_file() else {}
    if name not in known:
        if name in all_entries(missing=True):
            raise InputError(
                f"the test set {name!r} is not one of yours: it is registered in {get_entry(name).registry}",
                remedy="Edit that file, or leave the set",
            )
        raise UnknownNameError("own test set", name, known)
    with output_errors(registry), alone(registry):
        _write(registry, _without(registry.read_text("utf-8"), name), {k for k in known if k != name})
    return registry


def keep_testset(testset: Corpus, folder: StrPath) -> None:
    """Put a test set of own data into a result folder, so that the results can be looked at wherever they go.

    It is written as ``testsets/NAME.jsonl`` and registered in ``testsets.toml`` of the folder. A registered set is left
    out: it is known by its name.

    Raises:
        OutputError: the folder cannot be written.
    """
    from align_eval.corpora.writers import write_bitext

    if testset.version:
        return
    base = Path(folder)
    stem = re.sub(r"[^\w.-]+", "-", testset.name).strip("-") or "own"
    inner = f"testsets/{stem}.jsonl"
    with output_errors(base):
        (base / "testsets").mkdir(parents=True, exist_ok=True)
    write_bitext(os.fspath(base / inner), testset.pairs, format="jsonl")
    values: dict[str, Any] = {
        "title": testset.title or testset.name, "source_language": testset.source_language,
        "target_language": testset.target_language, "version": "1", "base": 0, "sentences": len(testset),
        "sure": 0 if testset.table is None else testset.table.sure_links,
        "possible": 0 if testset.table is None else testset.table.links,
    }  # fmt: skip
    role = "sentences" if testset.table is None else "sentences+gold"
    file = {"role": role, "path": inner, "format": "jsonl", "sha256": sha256_of(base / inner)}
    _put(base / "testsets.toml", stem, entry_text(stem, values, [file]), replace=True)


def kept_testset(folder: StrPath, name: str) -> Corpus:
    """The test set ``name`` of a result folder: the one that :func:`keep_testset` put there, else the one registered.

    Raises:
        UnknownNameError, MissingFileError, ChecksumError, FormatError: as :func:`align_eval.load_testset`.
    """
    from dataclasses import replace

    from align_eval.corpora.testsets import load_entry, load_testset

    registry = Path(folder) / "testsets.toml"
    stem = re.sub(r"[^\w.-]+", "-", name).strip("-") or "own"
    kept = parse_registry(registry, registry.read_bytes()) if registry.is_file() else {}
    return replace(load_entry(kept[stem]), name=name) if stem in kept else load_testset(name)


def entry_text(name: str, values: dict[str, Any], files: list[dict[str, str]]) -> str:
    """An entry as TOML."""
    lines = [f"[testset.{_text(name)}]", *(f"{key} = {_text(value)}" for key, value in values.items())]
    for file in files:
        lines += ["", f"[[testset.{_text(name)}.files]]", *(f"{key} = {_text(value)}" for key, value in file.items())]
    return "\n".join(lines) + "\n"


def _text(value: Any) -> str:
    """A value as TOML, which writes texts, lists and numbers as JSON does, but for DEL."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def _put(registry: Path, name: str, entry: str, replace: bool) -> None:
    with output_errors(registry):
        registry.parent.mkdir(parents=True, exist_ok=True)
    with output_errors(registry), alone(registry):
        text = registry.read_text("utf-8") if registry.is_file() else ""
        known = set(parse_registry(registry, text.encode())) if text.strip() else set()
        if name in known and not replace:
            raise InputError(f"the test set {name!r} is registered already", file=registry, remedy="Give another name")
        text = _without(text, name) if name in known else text
        gap = "" if not text else "\n" if text.endswith("\n") else "\n\n"
        _write(registry, f"{text}{gap}{entry}", known | {name})


def _write(registry: Path, text: str, wanted: set[str]) -> None:
    """Write a registry that has been changed by text, if it holds what it should."""
    if set(parse_registry(registry, text.encode())) != wanted:
        raise InputError("the registry is not of the form that can be changed", file=registry, remedy="Edit it by hand")
    with atomic_writer(registry) as stream:
        stream.write(text)


def _without(text: str, name: str) -> str:
    """A registry without the tables of one test set; what else stands in it, comments included, stays."""
    kept, mine = [], False
    for line in text.splitlines(keepends=True):
        head = _HEAD.match(line)
        if head:
            mine = head[1] == "testset" and head[2].strip('"') == name
        if not mine:
            kept.append(line)
    return "".join(kept)
