"""What can be counted in a pattern whatever kind of mask it is: window, sinks, blocked rows, sparsity."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from align_eval.patterns.base import distances

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from align_eval.patterns.base import BoolArray

HALF = 0.5
"""A diagonal belongs to the window if at least this share of its cells attends."""
SINK = 0.8
"""A column is a sink if at least this share of the rows beyond the window attends to it, and most columns are none."""
LITTLE = 1 / 3
"""A row is blocked if it attends to at most this share of the keys that the mask would give it."""
LEAST_KEYS = 4
"""Rows that the mask gives fewer keys are too short to be called blocked."""
TILE = 16
"""Side of the tiles that block-sparse kernels leave out."""


@dataclass(frozen=True)
class Features:
    """Counts of a square pattern of n tokens.

    Attributes:
        window: consecutive distances i - j from 0 on whose diagonals attend in half of their cells or more; 0: not
            even the diagonal itself. ``window_after``: the same for the keys after the query, from 1 on.
        sinks: columns that at least 80 % of the rows beyond the window attend to (among 4 rows or more), counted
            from 0; none where half of the columns or more would be.
        blocked_rows: rows that attend to at most a third of the keys that the mask would give them (4 or more).
        period, offset: if at least two thirds of the gaps between three or more blocked rows are equal, the gap, and
            the rest that most of the rows leave; else ``None``.
        sparsity: the share of the square's cells that do not attend.
        saved_compute: the share of the cells of dense attention that do not attend: of the cells on and under the
            diagonal if causal, else of the square.
        saved_tiles: the share of the 16 x 16 tiles of dense attention without a cell that attends: what a kernel that
            leaves out whole tiles saves.
        keys_per_row: mean number of keys that a query attends to.
    """

    window: int
    window_after: int
    sinks: tuple[int, ...]
    blocked_rows: tuple[int, ...]
    period: int | None
    offset: int | None
    sparsity: float
    saved_compute: float
    saved_tiles: float
    keys_per_row: float

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


def features(pattern: BoolArray, expected: BoolArray, causal: bool) -> Features:
    """Count what :class:`Features` says.

    Args:
        pattern: ``(n, n)`` bool, row = query.
        expected: ``(n, n)`` bool, the mask that blocked rows are blocked against.
        causal: whether dense attention would be the cells on and under the diagonal alone.
    """
    n = len(pattern)
    apart = distances(n)
    each = np.bincount((apart + n - 1).ravel(), weights=pattern.ravel(), minlength=2 * n - 1)
    share = each / (n - np.abs(np.arange(1 - n, n)))  # by distance, from 1 - n (the last key) to n - 1
    window = _run(share[n - 1 :])
    after = 0 if causal else _run(share[: n - 1][::-1])
    blocked = _blocked(pattern, expected)
    period, offset = period_of(blocked)
    dense = apart >= 0 if causal else np.ones((n, n), dtype=bool)
    tiles_dense, tiles_used = _tiles(dense), _tiles(pattern & dense)
    return Features(
        window, after, _sinks(pattern, window, after, causal), blocked, period, offset,
        1 - float(pattern.mean()), 1 - float(pattern[dense].mean()), 1 - tiles_used / tiles_dense,
        float(pattern.sum(axis=1).mean()),
    )  # fmt: skip


def _run(shares: NDArray[np.float64]) -> int:
    """How many shares from the first on are at least a half."""
    return int(np.append(shares < HALF, True).argmax())


def _sinks(pattern: BoolArray, window: int, after: int, causal: bool) -> tuple[int, ...]:
    n = len(pattern)
    apart = distances(n)
    beyond = apart >= max(window, 1)
    if not causal:
        beyond |= apart <= -(after + 1)
    rows = beyond.sum(axis=0)
    enough = rows >= LEAST_KEYS
    share = (pattern & beyond).sum(axis=0) / np.maximum(rows, 1)
    found = np.flatnonzero(enough & (share >= SINK))
    if 2 * len(found) >= max(1, int(enough.sum())):
        return ()
    return tuple(int(column) for column in found)


def _blocked(pattern: BoolArray, expected: BoolArray) -> tuple[int, ...]:
    given = expected.sum(axis=1)
    used = (pattern & expected).sum(axis=1)
    return tuple(int(row) for row in np.flatnonzero((given >= LEAST_KEYS) & (used <= LITTLE * given)))


def period_of(rows: tuple[int, ...]) -> tuple[int | None, int | None]:
    """The period of rows (ascending), and the rest that most of them leave by it; ``None`` if there is none.

    A period is a gap that at least two thirds of the gaps between three or more rows have, and is 2 or more.

    >>> period_of((7, 15, 23, 31))
    (8, 7)
    >>> period_of((3, 4, 9))
    (None, None)
    """
    if len(rows) < 3:
        return None, None
    gaps = np.diff(rows)
    counts = np.bincount(gaps)
    period = int(counts.argmax())
    if period < 2 or 3 * counts[period] < 2 * len(gaps):
        return None, None
    return period, int(np.bincount(np.asarray(rows) % period).argmax())


def _tiles(cells: BoolArray) -> int:
    """How many tiles have a cell that is true."""
    side = -(-len(cells) // TILE) * TILE
    padded = np.zeros((side, side), dtype=bool)
    padded[: len(cells), : len(cells)] = cells
    tiles = padded.reshape(side // TILE, TILE, side // TILE, TILE)
    return int(tiles.any(axis=(1, 3)).sum())
