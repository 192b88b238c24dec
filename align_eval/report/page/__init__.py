"""One offline HTML page to explore score matrices: every layer and head, gold beside them, a list of all pairs.

:class:`Page` takes :class:`Entry` by :class:`Entry`, packs each at once and writes one HTML file that fetches nothing.

Data stands in ``<script>`` elements that no browser runs. ``<``, ``>`` and ``&`` in them are written as JSON escapes,
so that no text can end its element; entries are base64. The page's own script puts text into the document as text nodes
only. Its Content-Security-Policy allows the two scripts and the style sheet of this package by their sha256, pictures
that the page makes itself, and nothing else: no address can be reached from it.
"""

from __future__ import annotations

import base64
import hashlib
import html
import json
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from importlib.resources import files
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from align_eval.errors import InputError
from align_eval.files import StrPath, atomic_writer
from align_eval.report.page.entry import Entry, pack
from align_eval.version import __version__

__all__ = ["Axis", "Entry", "Page", "number_axis", "shown_name"]

NOTEBOOK_LIMIT = 32_000_000  # characters of the largest page that is put into a notebook
NOTEBOOK_HEIGHT = 820
SCRIPTS = ("colours", "unpack", "model", "heads", "option", "map", "sentences", "corpus", "controls", "main")
"""Files of ``assets/`` that make up the page's script, in order; they share one scope."""

_ESCAPES = {ord(c): f"\\u{ord(c):04x}" for c in "<>&\u2028\u2029"}


class Axis(NamedTuple):
    """One axis of the grid of views: its name, such as ``"layer"``, and the labels of its rows or columns."""

    name: str
    labels: tuple[str, ...]


class Page:
    """A page to explore maps, one HTML file without any need of a network.

    Args:
        title: heads the page.
        quantity: what the values are, such as ``"attention weight"``.
        rows, columns: the views that one chooses from: layers and heads as a rule.
        subject: what it was drawn from (model, test set, method ...), shown at the foot; texts or numbers.
        bits: of a stored value, 8 or 16.
        rules: how subwords become words: keys, queries; see :mod:`align_eval.attribution.matrix`.
        distribution: whether rows sum to 1 over all columns.
        method: how links were found; they are called after it.
        left_out: sentence pairs that are not on the page; ``subject`` says why.
    """

    def __init__(
        self, title: str, quantity: str, rows: Axis, columns: Axis, *, subject: Mapping[str, Any] | None = None,
        bits: int = 16, rules: tuple[str, str] = ("sum", "mean"), distribution: bool = True, method: str = "",
        left_out: int = 0,
    ) -> None:  # fmt: skip
        self.title, self.quantity, self.rows, self.columns = title, quantity, rows, columns
        self.subject = dict(subject or {})
        self.bits, self.rules, self.distribution, self.method = bits, rules, distribution, method
        self.left_out = left_out
        self.error = 0.0
        self._entries: list[dict[str, Any]] = []
        self._packed: list[str] = []
        self._counts: list[NDArray[np.integer[Any]] | None] = []

    def __len__(self) -> int:
        """The number of entries."""
        return len(self._entries)

    def __repr__(self) -> str:
        return f"Page({self.title!r}, {len(self)} entries, {len(self.rows.labels)} x {len(self.columns.labels)} views)"

    def add(self, entry: Entry) -> None:
        """Add an entry, of the same views as the page; its maps are packed and not kept."""
        views = (len(self.rows.labels), len(self.columns.labels))
        if entry.values.shape[:2] != views:
            raise InputError(f"entry {entry.id} has {entry.values.shape[:2]} views, the page {views}")
        if self._counts and (entry.counts is None) != (self._counts[0] is None):
            raise InputError(f"entry {entry.id} and the entries before it do not all have counts")
        packed, error = entry.packed(self.bits)
        self._packed.append(packed)
        self._entries.append(entry.summary())
        self._counts.append(entry.counts)
        self.error = max(self.error, error)

    def index(self) -> dict[str, Any]:
        """What the page reads first: titles, axes and the texts of all entries, as plain values."""
        subject = {str(k): v if isinstance(v, (int, float)) else str(v) for k, v in self.subject.items()}
        return {
            "format": 1, "title": self.title, "quantity": self.quantity, "rows": self.rows._asdict(),
            "columns": self.columns._asdict(), "rules": {"keys": self.rules[0], "queries": self.rules[1]},
            "distribution": self.distribution, "method": self.method, "bits": self.bits,
            "error": float(f"{self.error:.3g}"), "subject": subject, "version": __version__, "entries": self._entries,
        }  # fmt: skip

    def parts(self) -> Iterator[str]:
        """The whole file, part by part."""
        if not self._entries:
            raise InputError("a page without any entry", remedy="Give a pair, a text or a test set")
        assets = _assets()
        yield (
            '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
            f'<meta http-equiv="Content-Security-Policy" content="{html.escape(policy())}">\n'
            '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
            '<meta name="referrer" content="no-referrer">\n<link rel="icon" href="data:,">\n'
            f"<title>{html.escape(self.title)}</title>\n<style>{assets['style']}</style>\n</head>\n"
        )
        yield assets["body"].rstrip("\n") + "\n"
        yield _block("json", "licences", escaped_json(assets["licences"]))
        yield _block("json", "index", escaped_json(self.index()))
        counts = [count for count in self._counts if count is not None]
        if counts:
            table = np.stack(counts, axis=2).reshape(-1, len(counts), 3)  # (R * C, N, 3)
            wide = np.uint8 if table.max(initial=0) < 256 else np.uint16
            if table.max(initial=0) > 65535:
                raise InputError(f"{int(table.max())} links in one sentence are too many for the page")
            yield _block("octet-stream", "counts", pack({}, {"counts": table.astype(wide)}))
        for number, packed in enumerate(self._packed):
            yield _block("octet-stream", f"entry-{number}", packed)
        yield f"<script>{assets['library']}</script>\n<script>{assets['script']}</script>\n</body>\n</html>\n"

    def html(self) -> str:
        """The whole file as one text."""
        return "".join(self.parts())

    def write(self, path: StrPath) -> int:
        """Write the file, whole or not at all; returns its size in bytes."""
        size = 0
        with atomic_writer(path) as stream:
            for part in self.parts():
                stream.write(part)
                size += len(part.encode())
        return size

    def _repr_html_(self) -> str:
        """The page in a notebook: a frame of its own, which can neither read the notebook nor the network."""
        length = sum(map(len, self._packed))
        if length > NOTEBOOK_LIMIT:
            return (
                f"<p>{html.escape(repr(self))} is {length / 1e6:.0f} MB: write it with <code>.write(path)</code>.</p>"
            )
        return (
            f'<iframe title="{html.escape(self.title)}" sandbox="allow-scripts allow-downloads allow-popups" '
            f'style="width:100%;height:{NOTEBOOK_HEIGHT}px;border:0" srcdoc="{html.escape(self.html())}"></iframe>'
        )


def number_axis(name: str, numbers: Sequence[int | str]) -> Axis:
    """An axis of numbers (from 1) or names."""
    return Axis(name, tuple(str(number) for number in numbers))


def shown_name(name: str) -> str:
    """A model's name; of one in a folder the folder's own name, since a page may be sent to others."""
    return Path(name).resolve().name if Path(name).is_dir() else name


def escaped_json(value: Any) -> str:
    """JSON that can stand in a ``<script>`` element whatever texts it has: ``< > &`` and U+2028/9 as ``\\uXXXX``."""
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":")).translate(_ESCAPES)


def _block(kind: str, name: str, text: str) -> str:
    """A ``<script>`` element that no browser runs: of :func:`escaped_json`, or of base64 (``octet-stream``)."""
    return f'<script type="application/{kind}" id="{name}">{text}</script>\n'


@lru_cache(maxsize=1)
def _assets() -> dict[str, str]:
    """The package's own files: library, script, style sheet, body, licences."""
    here = files("align_eval.report.page")
    names = {
        "library": "vendor/echarts.min.js", "licences": "vendor/LICENSES.txt", "style": "assets/page.css",
        "body": "assets/body.html",
    }  # fmt: skip
    read = {name: (here / path).read_text(encoding="utf-8") for name, path in names.items()}
    parts = [(here / "assets" / f"{name}.js").read_text(encoding="utf-8") for name in SCRIPTS]
    read["script"] = '(() => {\n"use strict";\n' + "\n".join(parts) + "\n})();\n"
    return {name: text.replace("\r\n", "\n") for name, text in read.items()}


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def policy() -> str:
    """The Content-Security-Policy of the page."""
    assets = _assets()
    return (
        f"default-src 'none'; script-src {_hash(assets['library'])} {_hash(assets['script'])}; "
        f"style-src {_hash(assets['style'])}; img-src data: blob:; base-uri 'none'; form-action 'none'"
    )
