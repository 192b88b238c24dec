"""The page of a result folder: the links that its systems found, beside gold; no model is run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from align_eval.corpora import SentencePair, TestSet, read_links
from align_eval.corpora.own_registry import kept_testset
from align_eval.errors import InputError, UnknownNameError
from align_eval.files import StrPath
from align_eval.links.table import LinkTable
from align_eval.report.page import Axis, Entry, Page, shown_name
from align_eval.runs.results import links_file_of, read_systems


def explore_folder(folder: StrPath, testset: str | None = None, *, limit: int | None = None, title: str = "") -> Page:
    """The page of what ``align-eval evaluate -o FOLDER`` (or ``demo``) wrote, for one test set.

    The views are its systems: layers down and methods across, or one below the other if they are no full table of both.
    A cell of a map is 1, or the score of the link, where the system links the two words.

    Args:
        folder: with ``scores.json`` and ``links/``.
        testset: which one, if the folder has several.
        limit: take the first so many pairs.
        title: heads the page; "": model and test set.

    Raises:
        MissingFileError: the folder has no ``scores.json`` or no links.
        FormatError: a ``scores.json`` of another kind.
        UnknownNameError: no such test set in the folder.
        InputError: the folder has several test sets and none is named, or a limit below 1.
    """
    if limit is not None and limit < 1:
        raise InputError(f"a limit of {limit} sentence pairs", remedy="Give at least 1")
    systems = read_systems(folder)
    names = list(dict.fromkeys(str(system["testset"]) for system in systems))
    if testset is None and len(names) > 1:
        raise InputError(
            f"the folder has {len(names)} test sets", file=folder, remedy=f"Choose with --testset: {', '.join(names)}"
        )
    if testset is not None and testset not in names:
        raise UnknownNameError("test set in the folder", testset, names)
    loaded = kept_testset(folder, testset or names[0])
    own = [system for system in systems if system["testset"] == loaded.name]
    tables = [_links(Path(folder), system, loaded) for system in own]
    rows, columns, order = _grid(own)
    pairs = loaded.pairs[:limit]
    model = ", ".join(dict.fromkeys(shown_name(str(s["model"])) for s in own if s.get("model")))
    shown = len(pairs) if len(pairs) == len(loaded.pairs) else f"{len(pairs)} of {len(loaded.pairs)}"
    subject = {"model": model, "test set": loaded.name, "sentence pairs": shown, "folder": Path(folder).name}
    scored = any(table.scores is not None for table in tables)
    page = Page(
        title or f"{model or 'Links'} on {loaded.name}", "score of a link" if scored else "link (1) or none (0)",
        rows, columns, bits=8, subject=subject, distribution=False, method="the system",
    )  # fmt: skip
    for number, pair in enumerate(pairs):
        page.add(_entry(pair, number, [tables[k] for k in order], (len(rows.labels), len(columns.labels))))
    return page


def _links(folder: Path, system: dict[str, Any], testset: TestSet) -> LinkTable:
    return read_links(folder / "links" / links_file_of(system), format="pharaoh", base=0, bitext=testset.pairs)


def _grid(systems: list[dict[str, Any]]) -> tuple[Axis, Axis, list[int]]:
    """Layers x methods if every combination is there, else one column of systems; and the systems in that order."""
    keys = [(str(s["layer"]) if s["layer"] is not None else "none", str(s["method"])) for s in systems]
    layers, methods = (list(dict.fromkeys(key[axis] for key in keys)) for axis in (0, 1))
    if len(set(keys)) == len(keys) == len(layers) * len(methods):
        order = [keys.index((layer, method)) for layer in layers for method in methods]
        return Axis("layer", tuple(layers)), Axis("method", tuple(methods)), order
    names = tuple(str(s.get("system") or " ".join(key)) for s, key in zip(systems, keys, strict=True))
    return Axis("system", names), Axis("links", ("found",)), list(range(len(systems)))


def _entry(pair: SentencePair, number: int, tables: list[LinkTable], shape: tuple[int, int]) -> Entry:
    size = (len(pair.source), len(pair.target))
    values = np.zeros((len(tables), *size), dtype=np.float32)
    links = np.zeros((len(tables), *size), dtype=bool)
    for k, table in enumerate(tables):
        found = table[number]
        for place, (i, j) in enumerate(found):
            links[k, i, j] = True
            values[k, i, j] = 1 if found.scores is None else found.scores[place]
    gold = counts = None
    if pair.gold is not None:
        sure = set(pair.gold.sure)
        gold = tuple((i, j, (i, j) in sure) for i, j in pair.gold.possible)
        cells = {name: np.zeros(size, dtype=bool) for name in ("sure", "possible")}
        for i, j, is_sure in gold:
            cells["possible"][i, j] = True
            cells["sure"][i, j] = is_sure
        parts = [links, links & cells["sure"], links & cells["possible"]]
        counts = np.stack([part.sum(axis=(1, 2)) for part in parts], axis=-1).reshape(*shape, 3)
    return Entry(
        pair.id, values.reshape(*shape, *size), pair.source, pair.target, np.arange(size[0]), np.arange(size[1]),
        pair.source, pair.target, "source", gold=gold, counts=counts,
        words_only=True,
    )  # fmt: skip
