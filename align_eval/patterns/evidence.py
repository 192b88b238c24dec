"""A pattern as sums that fits are read from: every fit is then the search of a greatest sum, without a look at cells.

The gain of a cell is +1 if it attends, -1 if it does not. A mask M has |P| - sum of the gains inside of M errors, where
|P| counts the cells that attend. So the parameters with the fewest errors are those with the greatest sum of gains,
and sums over diagonals, columns, rows and squares come from tables that are made once, in O(n^2).
"""

from __future__ import annotations

import math
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from align_eval.errors import InputError
from align_eval.patterns.base import distances

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from align_eval.patterns.base import BoolArray, IntArray


class Evidence:
    """A square pattern with its sums.

    Args:
        pattern: ``(n, n)`` bool, row = query.
        causal: judge the cells on and under the diagonal alone, as of a model that cannot look ahead; ``None``: so if
            no cell above the diagonal attends (and there is one).

    Attributes:
        n: the length; ``pattern``: as given.
        causal: whether only the cells on and under the diagonal are judged.
        cells: how many cells are judged; ``on``: how many of them attend.
        gain: ``(n, n)`` int64: 1 attends, -1 does not, 0 is not judged.

    Raises:
        InputError: it is not square, is empty, or attends above the diagonal although it is said to be causal.
    """

    def __init__(self, pattern: BoolArray, causal: bool | None = None) -> None:
        pattern = np.asarray(pattern, dtype=bool)
        if pattern.ndim != 2 or pattern.shape[0] != pattern.shape[1] or not pattern.size:
            raise InputError(
                f"a pattern of {' x '.join(map(str, pattern.shape))} cells: kinds of masks are of square patterns",
                remedy="Take self-attention, not cross-attention",
            )
        self.pattern = pattern
        self.n = len(pattern)
        above = bool(np.triu(pattern, 1).any())
        if causal and above:
            raise InputError("a causal pattern with cells above the diagonal that attend", remedy="Leave out causal")
        self.causal = not above if causal is None else causal
        lower = distances(self.n) >= 0
        self.gain: IntArray = np.where(pattern, 1, -1).astype(np.int64)
        if self.causal:
            self.gain[~lower] = 0
        self.cells = int(lower.sum()) if self.causal else pattern.size
        self.on = int(pattern.sum())
        self._squares: dict[tuple[int, bool], int] = {}

    @cached_property
    def lower(self) -> IntArray:
        """The gains on and under the diagonal, 0 above it."""
        return np.tril(self.gain)

    def gains(self, causal: bool) -> IntArray:
        """``(n, n)``: the gains that a mask of that direction can take."""
        return self.lower if causal else self.gain

    def by_distance(self, causal: bool) -> IntArray:
        """``(n,)``: the sum of the gains at each distance |i - j|, both sides of the diagonal if not causal."""
        return self._by_distance[0] if causal else self._by_distance[1]

    @cached_property
    def _by_distance(self) -> tuple[IntArray, IntArray]:
        apart = np.abs(distances(self.n)).ravel()
        lower, both = (
            np.bincount(apart, weights=gains.ravel(), minlength=self.n).astype(np.int64)
            for gains in (self.lower, self.gain)
        )
        return lower, both

    def area(self, causal: bool) -> IntArray:
        """``(n + 1, n + 1)``: item (i, j) is the sum of the gains of rows < i and columns < j."""
        return self._area[0] if causal else self._area[1]

    @cached_property
    def _area(self) -> tuple[IntArray, IntArray]:
        lower, both = (
            np.pad(gains.cumsum(axis=0).cumsum(axis=1), ((1, 0), (1, 0))) for gains in (self.lower, self.gain)
        )
        return lower, both

    def squares(self, size: int, causal: bool) -> int:
        """The sum of the gains of the squares of ``size`` along the diagonal, the last one cut off at the end."""
        if (size, causal) not in self._squares:
            edges = np.array([*range(0, self.n, size), self.n])
            a, b = edges[:-1], edges[1:]
            area = self.area(causal)
            self._squares[size, causal] = int((area[b, b] - area[a, b] - area[b, a] + area[a, a]).sum())
        return self._squares[size, causal]

    def union_table(self, first: IntArray, causal: bool) -> IntArray:
        """Sums of the unions of a band and a border.

        Args:
            first: ``(n, n)``, the number of each cell in the border's order (its column, say), 0 .. n - 1.

        Returns:
            ``(n + 1, n + 1)``: item (s, w) is the sum over the cells with ``first < s`` or ``|i - j| < w``.
        """
        n = self.n
        apart = np.abs(distances(n))
        flat = np.bincount((first * n + apart).ravel(), weights=self.gains(causal).ravel(), minlength=n * n)
        both = np.pad(flat.reshape(n, n).cumsum(axis=0).cumsum(axis=1), ((1, 0), (1, 0))).astype(np.int64)
        table: IntArray = both[:, -1:] + both[-1:, :] - both
        return table

    def errors(self, mask: BoolArray) -> int:
        """The cells judged where ``mask`` and pattern differ."""
        return self.on - int(self.gain[mask].sum())

    def residual_bits(self, gains: NDArray[np.integer] | int) -> NDArray[np.float64]:
        """The bits that the errors cost which masks leave over: N H(e / N), and N if e is over half of N.

        H is the entropy of a coin in bits, N the number of cells judged: it is the length of the errors under noise
        that flips each cell with the rate e / N.

        Args:
            gains: the sum of the gains inside of each mask.
        """
        rate = np.clip((self.on - np.asarray(gains)) / self.cells, 0.0, 0.5)
        with np.errstate(divide="ignore", invalid="ignore"):
            entropy = -rate * np.log2(rate) - (1 - rate) * np.log2(1 - rate)
        return self.cells * np.where(rate > 0, entropy, 0.0)

    @property
    def unstructured_bits(self) -> float:
        """The bits of the pattern as independent cells of one density: N H(|P| / N) + log2 (N + 1) for the density."""
        density = min(self.on, self.cells - self.on)
        return float(self.residual_bits(self.on - density)) + math.log2(self.cells + 1)
