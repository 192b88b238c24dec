"""The summary of a figure: findings computed from its numbers, as JSON and Markdown; and words for numbers."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from align_eval.errors import NonFiniteError
from align_eval.files import StrPath, atomic_writer
from align_eval.shown import markdown, markdown_code

if TYPE_CHECKING:
    from numpy.typing import NDArray

Number = int | str
"""A layer or head, counted from 1; a name such as ``"mean"`` where several have become one."""


@dataclass(frozen=True)
class Cell:
    """One cell of a figure."""

    value: float  # in the unit of the summary's quantity
    layer: Number | None = None  # None where the figure has no such axis
    head: Number | None = None
    query: str | None = None  # text of the row's token
    key: str | None = None  # and of the column's
    query_index: int | None = None  # its position, 0-based
    key_index: int | None = None
    note: str = ""  # what else is to be said, such as "gold-aligned"

    def to_json(self) -> dict[str, Any]:
        """What applies, and nothing else."""
        order = ("layer", "head", "query", "key", "query_index", "key_index", "value", "note")
        return {name: value for name in order if (value := getattr(self, name)) is not None and value != ""}

    def __str__(self) -> str:
        place = [f"{axis} {value}" for axis, value in (("layer", self.layer), ("head", self.head)) if value is not None]
        if self.query is not None:
            place.append(f"query {self.query!r}")
        if self.key is not None:
            place.append(f"key {self.key!r}")
        tail = f" ({self.note})" if self.note else ""
        return f"{', '.join(place)}: {self.value:.3g}{tail}"


@dataclass(frozen=True)
class Summary:
    """What a figure says; the one schema of all figures."""

    figure: str  # its kind, such as "paired heatmaps"
    quantity: str  # what is plotted, as the figure names it
    findings: tuple[str, ...]  # sentences with numbers, the main trend first
    strongest: tuple[Cell, ...] = ()  # the strongest cells, descending
    subject: Mapping[str, Any] = field(default_factory=dict)  # what it was drawn from, and how that was chosen
    groups: tuple[Mapping[str, Any], ...] = ()  # of tokens, layers or rows; each with its "name"
    anomalies: tuple[str, ...] = ()  # sentences about what does not fit the trend
    numbers: Mapping[str, Any] = field(default_factory=dict)  # every number behind the findings, by name

    def to_json(self) -> dict[str, Any]:
        """The summary as plain values; NonFiniteError for NaN or infinity, which JSON does not have."""
        return {
            "figure": self.figure,
            "quantity": self.quantity,
            "subject": plain(self.subject, "subject"),
            "findings": list(self.findings),
            "strongest": [plain(cell.to_json(), "strongest") for cell in self.strongest],
            "groups": [plain(group, "groups") for group in self.groups],
            "anomalies": list(self.anomalies),
            "numbers": plain(self.numbers, "numbers"),
        }

    def to_markdown(self) -> str:
        """The summary for people: findings, anomalies, strongest cells, groups, and what it was drawn from."""
        lines = [f"# {self.figure[:1].upper()}{self.figure[1:]}", "", f"Plotted: {self.quantity}.", ""]
        lines += [f"- {markdown(sentence)}" for sentence in self.findings]
        if self.anomalies:
            lines += ["", "## What stands out", "", *(f"- {markdown(sentence)}" for sentence in self.anomalies)]
        if self.strongest:
            lines += ["", "## Strongest cells", "", *(f"- {markdown_code(str(cell))}" for cell in self.strongest)]
        if self.groups:
            lines += ["", "## Groups", ""]
            for group in self.groups:
                rest = ", ".join(f"{k} {_short(v)}" for k, v in group.items() if k != "name")
                lines.append(f"- {markdown(str(group.get('name', '')))}: {markdown(rest)}")
        if self.subject:
            lines += ["", "## Drawn from", "", *(f"- {k}: {markdown_code(_short(v))}" for k, v in self.subject.items())]
        return "\n".join(lines) + "\n"

    def _repr_markdown_(self) -> str:
        return self.to_markdown()

    def write(self, folder: StrPath, stem: str) -> tuple[Path, Path]:
        """Write ``STEM.json`` and ``STEM.md`` into a folder, whole or not at all; returns both paths."""
        json_path, text_path = Path(folder) / f"{stem}.json", Path(folder) / f"{stem}.md"
        with atomic_writer(json_path) as stream:
            json.dump(self.to_json(), stream, indent=2, ensure_ascii=False)
            stream.write("\n")
        with atomic_writer(text_path) as stream:
            stream.write(self.to_markdown())
        return json_path, text_path


def greatest(values: NDArray[np.floating], count: int) -> list[tuple[int, ...]]:
    """Places of the ``count`` greatest values, descending; of equal ones the first. None of a value that is 0 or less.

    >>> greatest(np.array([[0.0, 2.0], [3.0, 2.0]]), 2)
    [(1, 0), (0, 1)]
    """
    flat = values.ravel()
    count = min(count, flat.size)
    (found,) = np.nonzero(flat >= max(np.partition(flat, -count)[-count], np.nextafter(0, 1)))
    order = found[np.argsort(-flat[found], kind="stable")][:count]
    return [tuple(map(int, place)) for place in zip(*np.unravel_index(order, values.shape), strict=True)]


def fraction(part: float, whole: float) -> float:
    """``part / whole``; 0 of nothing."""
    return float(part / whole) if whole > 0 else 0.0


def bands_of(layers: int, count: int = 3) -> list[tuple[int, int, str]]:
    """First and last layer (from 1) and name of ``count`` bands of about equal size; fewer where layers are fewer.

    >>> bands_of(30), bands_of(1)
    ([(1, 10, 'layers 1-10'), (11, 20, 'layers 11-20'), (21, 30, 'layers 21-30')], [(1, 1, 'layer 1')])
    """
    parts = [(int(part[0]), int(part[-1])) for part in np.array_split(np.arange(1, layers + 1), min(count, layers))]
    return [(low, high, f"layers {low}-{high}" if high > low else f"layer {low}") for low, high in parts]


def plain(value: Any, name: str = "value") -> Any:
    """``value`` with numpy and torch scalars, arrays, tuples and mappings as JSON has them; floats keep 6 digits."""
    if isinstance(value, Mapping):
        return {str(k): plain(v, f"{name}.{k}") for k, v in value.items()}
    if hasattr(value, "tolist"):
        value = value.tolist()
    if isinstance(value, (list, tuple)):
        return [plain(v, f"{name}[{k}]") for k, v in enumerate(value)]
    if isinstance(value, float):
        if not math.isfinite(value):
            raise NonFiniteError(f"{name} is {value}", remedy="Leave it out of the summary, or say why it is undefined")
        return float(f"{value:.6g}")
    return value


def _short(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.3g}"
    if isinstance(value, (list, tuple)):
        return " ".join(str(v) for v in value)
    return str(value)


def of(part: float, whole: int) -> str:
    """How many of how many; a part that ties made fractional keeps two digits.

    >>> of(4.0, 4), of(2.5, 4)
    ('4 of 4', '2.5 of 4')
    """
    return f"{part:.2f}".rstrip("0").rstrip(".") + f" of {whole}"


def share(value: float) -> str:
    """A fraction in percent with one digit; in full where that digit would hide it.

    >>> share(0.0813), share(0.00012), share(0.0)
    ('8.1 %', '0.012 %', '0 %')
    """
    percent = 100 * value
    if percent == 0:
        return "0 %"
    return f"{percent:.2g} %" if abs(percent) < 0.1 else f"{percent:.1f} %"


def quoted(word: str) -> str:
    """A word in single quotation marks, whatever marks it has itself.

    >>> quoted("don't")
    "‘don't’"
    """
    return f"‘{word}’"


def series(words: Sequence[str]) -> str:
    """Words as a sentence lists them.

    >>> series(["a"]), series(["a", "b"]), series(["a", "b", "c"])
    ('a', 'a and b', 'a, b and c')
    """
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}" if words else ""


def p_value(value: float | None) -> str:
    """A p-value as it is written: ``p = 0.013``, ``p < 0.001``.

    >>> p_value(0.0126), p_value(0.0004), p_value(None)
    ('p = 0.013', 'p < 0.001', 'not tested')
    """
    if value is None:
        return "not tested"
    return "p < 0.001" if value < 0.001 else f"p = {value:.2g}"
