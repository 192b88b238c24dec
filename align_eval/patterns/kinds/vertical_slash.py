"""Verticals and slashes: chosen keys that all attend to, and chosen distances."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from align_eval.errors import InputError
from align_eval.patterns.base import MASK_KINDS, MaskKind, direction, distances, log2_choose, numbers

if TYPE_CHECKING:
    from align_eval.patterns.base import BoolArray
    from align_eval.patterns.evidence import Evidence


@MASK_KINDS.register("vertical-slash")
@dataclass(frozen=True)
class VerticalSlash(MaskKind):
    """Query i attends to key j iff j is one of ``columns``, or i - j one of ``slashes``; j <= i if causal.

    Jiang et al. 2024, *MInference 1.0*, arXiv:2407.02490, section 3.1, which finds it in most heads of long-context
    models. It is the most flexible kind here: windows, sinks and dilations are special cases, so a fit pays for every
    line.

    Args:
        columns: keys that every query attends to, counted from 0.
        slashes: distances i - j, 0 or more; in both directions ``|i - j|`` is taken.
        causal: no key after the query.

    Raises:
        InputError: a line outside of the context.
    """

    name: ClassVar[str] = "vertical-slash"
    columns: tuple[int, ...] = numbers((0,), 0, "keys that every query attends to, counted from 0")
    slashes: tuple[int, ...] = numbers((0, 1), 0, "distances from query to key")
    causal: bool = direction()

    def mask(self, n: int) -> BoolArray:
        last = max((*self.columns, *self.slashes), default=0)
        if last >= n:
            raise InputError(f"line {last} of {n}", remedy=f"Columns and slashes are counted from 0 to {n - 1}")
        apart = distances(n)
        lines = np.isin(np.abs(apart), self.slashes) | np.isin(np.arange(n), self.columns)[None, :]
        return lines & ((apart >= 0) | (not self.causal))

    def bits(self, n: int) -> float:
        """log2 n for each of the two numbers of lines, and log2 of the ways to choose the lines."""
        lines = log2_choose(n, len(set(self.columns))) + log2_choose(n, len(set(self.slashes)))
        return 2 * math.log2(n) + lines

    def describe(self) -> str:
        both = "" if self.causal else ", both directions"
        return f"vertical slash ({_lines(self.columns, 'column')}, {_lines(self.slashes, 'slash')}{both})"

    @classmethod
    def fit(cls, evidence: Evidence, causal: bool) -> Iterator[MaskKind]:
        """One line after another, that which gains most first; as many as pay for themselves."""
        n = evidence.n
        free = evidence.gains(causal).copy()
        place = np.arange(n)
        far = np.abs(distances(n))
        by_column, by_slash = free.sum(axis=0), evidence.by_distance(causal).copy()
        columns: list[int] = []
        slashes: list[int] = []
        total, best = 0, (math.inf, 0, 0)
        while True:
            column, slash = int(by_column.argmax()), int(by_slash.argmax())
            vertical = by_column[column] >= by_slash[slash]
            gained = int(by_column[column] if vertical else by_slash[slash])
            if gained <= 0:
                break
            total += gained
            if vertical:
                columns.append(column)
                rows, cols = place, np.full(n, column)
            else:
                slashes.append(slash)
                rows, cols = place[slash:], place[: n - slash]
                if slash and not causal:
                    rows, cols = np.concatenate([rows, cols]), np.concatenate([cols, rows])
            taken = free[rows, cols]
            np.subtract.at(by_column, cols, taken)
            np.subtract.at(by_slash, far[rows, cols], taken)
            free[rows, cols] = 0
            lines = log2_choose(n, len(columns)) + log2_choose(n, len(slashes))
            bits = float(evidence.residual_bits(total)) + lines
            if bits < best[0]:
                best = bits, len(columns), len(slashes)
        columns, slashes = columns[: best[1]], slashes[: best[2]]
        if columns or slashes:
            yield cls(tuple(sorted(columns)), tuple(sorted(slashes)), causal)

    @classmethod
    def draw(cls, rng: np.random.Generator, n: int, causal: bool) -> MaskKind:
        lines = np.arange(2, n // 2)
        columns = rng.choice(lines, size=int(rng.integers(1, 5)), replace=False)
        slashes = rng.choice(lines, size=int(rng.integers(1, 5)), replace=False)
        return cls(tuple(sorted(int(c) for c in columns)), (0, *sorted(int(s) for s in slashes)), causal)


def _lines(places: tuple[int, ...], what: str) -> str:
    plural = f"{what}es" if what.endswith("sh") else f"{what}s"
    if len(places) > 6:
        return f"{len(places)} {plural}"
    return f"{what if len(places) == 1 else plural} {'+'.join(map(str, places))}" if places else f"no {what}"
