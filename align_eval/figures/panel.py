"""One map with everything that a figure says of it; figures draw panels, whatever they were made from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from align_eval.errors import InputError, NonFiniteError
from align_eval.figures.labels import readable_labels

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from align_eval.links import GoldLinks
    from align_eval.signals.matrix import ScoreMatrix

Number = int | str


@dataclass(frozen=True)
class Panel:
    """A map and its labels.

    Attributes:
        values: ``(Q, K)`` finite numbers.
        row_labels, column_labels: Q and K texts, as they are to be read (:func:`readable_labels`).
        title: above the map.
        marked_rows: rows that were hidden from the model, 0-based; they stand out.
        gold: ``(Q, K)`` bool, cells of sure gold links, or ``None``.
        possible: ``(Q, K)`` bool, cells of links that are possible but not sure, or ``None``.

    Raises:
        InputError: a part has another shape, or a row of ``marked_rows`` does not exist.
        NonFiniteError: a value is NaN or infinite.
    """

    values: NDArray[np.floating]
    row_labels: tuple[str, ...]
    column_labels: tuple[str, ...]
    title: str = ""
    marked_rows: tuple[int, ...] = ()
    gold: NDArray[np.bool_] | None = None
    possible: NDArray[np.bool_] | None = None

    def __post_init__(self) -> None:
        shape = (len(self.row_labels), len(self.column_labels))
        for name in ("values", "gold", "possible"):
            part = getattr(self, name)
            if part is not None and np.shape(part) != shape:
                raise InputError(f"{name} of shape {np.shape(part)} for {shape[0]} row and {shape[1]} column labels")
        if not all(shape):
            raise InputError(f"a map of {shape[0]} rows and {shape[1]} columns cannot be drawn")
        if any(not 0 <= row < shape[0] for row in self.marked_rows):
            raise InputError(f"marked rows {list(self.marked_rows)} of a map of {shape[0]} rows")
        if not np.isfinite(self.values).all():
            raise NonFiniteError(f"the map {self.title!r} has NaN or infinite values")


def panel_of(
    maps: ScoreMatrix,
    layer: Number | None = None,
    head: Number | None = None,
    *,
    title: str = "",
    masked: Sequence[int] = (),
    gold: GoldLinks | None = None,
) -> Panel:
    """One layer and head of the score matrix of a pair as a panel.

    Args:
        maps: between sub-words, or between words (``maps.words()``).
        layer, head: numbers from 1 or ``"mean"``; ``None`` if the maps have only one.
        title: above the map.
        masked: the query words that were hidden, 0-based; all their rows are marked.
        gold: links of the pair, source to target, 0-based; all cells of two linked words are framed.

    Raises:
        InputError: several layers or heads and none chosen, or one that the maps do not have.
    """
    layer = _only("layer", maps.layers) if layer is None else layer
    head = _only("head", maps.heads) if head is None else head
    values = np.asarray(maps.select(layer, head).by_head()[0, 0].detach().cpu().numpy(), dtype=np.float64)
    rows, columns = (side.words[0, : side.lengths[0]].cpu().numpy() for side in (maps.queries, maps.keys))
    frames: list[NDArray[np.bool_] | None] = [None, None]
    if gold is not None:
        turned = gold.reverse() if maps.attends == "target" else gold
        sure, possible = (_cells(set(links), rows, columns) for links in (turned.sure, turned.possible))
        frames = [sure, possible & ~sure]
    return Panel(
        values,
        tuple(readable_labels(maps.queries.units(0))),
        tuple(readable_labels(maps.keys.units(0))),
        title,
        tuple(int(row) for row in np.flatnonzero(np.isin(rows, list(masked)))),
        frames[0],
        frames[1],
    )


def _only(axis: str, numbers: tuple[Number, ...]) -> Number:
    if len(numbers) != 1:
        raise InputError(
            f"the maps have {len(numbers)} {axis}s", remedy=f"Choose one: {', '.join(str(n) for n in numbers)}"
        )
    return numbers[0]


def _cells(links: set[tuple[int, int]], rows: NDArray[np.int64], columns: NDArray[np.int64]) -> NDArray[np.bool_]:
    found = np.zeros((len(rows), len(columns)), dtype=bool)
    for row_word, column_word in links:
        found |= (rows == row_word)[:, None] & (columns == column_word)[None, :]
    return found
