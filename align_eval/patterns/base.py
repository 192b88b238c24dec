"""Masks by construction, and the sums that fits read: a mask says which query (row) attends to which key (column).

A kind is one function, from a length and its parameters to a mask, in a row of the table of kinds: its parameters with
their ranges, and a function that finds those that explain a given pattern best.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import cached_property
from inspect import cleandoc
from typing import Any

import numpy as np
from numpy.typing import NDArray

from align_eval.errors import InputError
from align_eval.registry import Option, Registry, parse_options, split_spec

BoolArray = NDArray[np.bool_]
IntArray = NDArray[np.int64]
Parameters = dict[str, Any]
CAUSAL = Option(bool, True, help="yes: no query attends to a key after it")


@dataclass(frozen=True)
class MaskKind:
    """A row of the table of kinds.

    Attributes:
        cells: the mask ``(n, n)`` of a length and the parameters but ``causal``; cells above the diagonal are cleared
            of a causal one.
        fit: the parameters, but ``causal``, that explain the sums of a pattern best: one candidate, or a few of
            different freedom; none if none does.
        options: the parameters. A kind with one called ``causal`` has both directions.
        causal: the direction of a kind without that parameter.
        bits: the length of the parameters in bits, by length and parameters; ``None``: log2 n for each but ``causal``,
            as for whole numbers that are equally probable from 1 to n.
        words: kind and parameters in words; ``None``: their names and values.
        also: another name.
    """

    name: str
    cells: Callable[..., BoolArray]
    fit: Callable[[Sums], Iterable[Parameters]]
    options: dict[str, Option] = field(default_factory=dict)
    causal: bool = False
    bits: Callable[[int, Parameters], float] | None = None
    words: Callable[[Parameters], str] | None = None
    also: str = ""

    def __post_init__(self) -> None:
        MASK_KINDS.register(self.name, *([self.also] if self.also else []))(self)

    @property
    def directions(self) -> tuple[bool, ...]:
        """The values of ``causal`` that the kind has."""
        return (True, False) if "causal" in self.options else (self.causal,)

    @property
    def about(self) -> str:
        """What the kind is, in one paragraph."""
        return " ".join(cleandoc(self.cells.__doc__ or "").partition("\n\n")[0].split())

    def mask(self, given: Parameters) -> Mask:
        """The mask of some parameters, the others as they are by default."""
        return Mask(self, {key: option.default for key, option in self.options.items()} | given)


MASK_KINDS: Registry[MaskKind] = Registry("mask kind")


@dataclass(frozen=True)
class Mask:
    """A kind with all its parameters; call it with a length n for the ``(n, n)`` bool mask, queries down."""

    kind: MaskKind
    parameters: Parameters

    def __call__(self, n: int) -> BoolArray:
        """The mask of a context of ``n`` tokens: ``(n, n)`` bool, row = query, true where it attends.

        Raises:
            InputError: n is under 1, or the parameters ask for more tokens than n.
        """
        if n < 1:
            raise InputError(f"a mask of {n} tokens", remedy="Ask for 1 or more")
        mask = self.kind.cells(n, **self._own)
        return np.tril(mask) if self.parameters.get("causal", self.kind.causal) else mask

    @property
    def _own(self) -> Parameters:
        return {key: value for key, value in self.parameters.items() if key != "causal"}

    @property
    def name(self) -> str:
        """The kind's name."""
        return self.kind.name

    def bits(self, n: int) -> float:
        """The length of the parameters in bits, for a context of ``n``: what a fit pays for its freedom."""
        own = self._own
        return len(own) * math.log2(n) if self.kind.bits is None else self.kind.bits(n, own)

    @property
    def spec(self) -> str:
        """The name with the parameters that differ from their defaults: ``sink-window:sinks=2,window=8``."""
        default = self.kind.mask({}).parameters
        changed = [f"{key}={written(value)}" for key, value in self.parameters.items() if value != default[key]]
        return self.name + (":" + ",".join(changed) if changed else "")

    def describe(self) -> str:
        """The kind and its parameters in words."""
        both = "" if self.parameters.get("causal", True) else ", both directions"
        if self.kind.words is not None:
            return self.kind.words(self._own).removesuffix(")") + both + ")"
        parts = [f"{key} {written(value)}" for key, value in self._own.items()]
        return self.name.replace("-", " ") + (f" ({', '.join(parts)}{both})" if parts else "")


def make_mask_kind(spec: str | Mask) -> Mask:
    """Build a mask from ``name`` or ``name:parameter=value,parameter=value``; lists are written ``4+3+2``.

    Raises:
        UnknownNameError: unknown kind or parameter; the message lists what exists.
        InputError: a value of the wrong kind or out of range.

    >>> make_mask_kind("sink-window:sinks=2,window=8").spec
    'sink-window:sinks=2,window=8'
    """
    if isinstance(spec, Mask):
        return spec
    name, tail = split_spec(spec)
    kind = MASK_KINDS.get(name)
    parts = tail.split(",") if tail else []
    lists = {f"{key}=": key for key, option in kind.options.items() if option.many}
    none = {lists[part.strip()]: () for part in parts if part.strip() in lists}  # a list of nothing
    given = ",".join(part for part in parts if part.strip() not in lists)
    return kind.mask(none | parse_options(f"the mask {kind.name}", given, kind.options))


def written(value: Any) -> str:
    """The value of a parameter as a spec writes it."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "+".join(map(str, value)) if isinstance(value, tuple) else str(value)


def distances(n: int) -> IntArray:
    """``(n, n)``: how far each key (column) lies before its query (row); negative after it."""
    place = np.arange(n)
    return place[:, None] - place[None, :]


def log2_choose(n: int, k: int) -> float:
    """log2 of the number of ways to choose k of n; 0 at the ends."""
    if not 0 < k < n:
        return 0.0
    return (math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)) / math.log(2)


class Sums:
    """Sums of the gains of cells, which fits are read from: every fit is the search of a greatest sum.

    The gain of a cell is +1 if it attends, -1 if it does not. A mask M has |P| - sum of the gains inside of M errors,
    where |P| counts the cells that attend. So the parameters with the fewest errors are those with the greatest sum of
    gains, and sums over diagonals, columns, rows and squares come from tables that are made once, in O(n^2).

    Args:
        gains: ``(n, n)`` int64: 1 attends, -1 does not, 0 cannot be in the mask or is not judged.
        cells: how many cells are judged; ``on``: how many of them attend.
    """

    def __init__(self, gains: IntArray, cells: int, on: int) -> None:
        self.gains, self.n, self.cells, self.on = gains, len(gains), cells, on

    @cached_property
    def by_distance(self) -> IntArray:
        """``(n,)``: the sum of the gains at each distance |i - j|."""
        apart = np.abs(distances(self.n)).ravel()
        return np.bincount(apart, weights=self.gains.ravel(), minlength=self.n).astype(np.int64)

    @cached_property
    def area(self) -> IntArray:
        """``(n + 1, n + 1)``: item (i, j) is the sum of the gains of rows < i and columns < j."""
        return np.pad(self.gains.cumsum(axis=0).cumsum(axis=1), ((1, 0), (1, 0)))

    @cached_property
    def squares(self) -> list[int]:
        """Item s is the sum of the gains of the squares of size s along the diagonal, the last one cut off."""
        area, found = self.area, [0]
        for size in range(1, self.n + 1):
            edges = np.array([*range(0, self.n, size), self.n])
            a, b = edges[:-1], edges[1:]
            found.append(int((area[b, b] - area[a, b] - area[b, a] + area[a, a]).sum()))
        return found

    def best_union(self, first: IntArray) -> tuple[int, int]:
        """The border s and the band w, from 1, whose cells with ``first < s`` or ``|i - j| < w`` have the greatest sum.

        ``first`` ``(n, n)`` is the number of each cell in the border's order (its column, say), 0 to n - 1.
        """
        n = self.n
        flat = np.bincount((first * n + np.abs(distances(n))).ravel(), weights=self.gains.ravel(), minlength=n * n)
        both = np.pad(flat.reshape(n, n).cumsum(axis=0).cumsum(axis=1), ((1, 0), (1, 0))).astype(np.int64)
        table = (both[:, -1:] + both[-1:, :] - both)[1:, 1:]
        border, band = np.unravel_index(int(table.argmax()), table.shape)
        return int(border) + 1, int(band) + 1

    def residual_bits(self, gains: NDArray[np.integer] | int) -> NDArray[np.float64]:
        """The bits of the errors that masks leave over: N H(e / N), and N if e is over half of N.

        H is the entropy of a coin in bits, N the number of cells judged: the length of the errors under noise that
        flips each cell with the rate e / N. ``gains`` are the sums of the gains inside of each mask.
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


class Evidence(Sums):
    """A square pattern ``(n, n)``, row = query, as the sums that fits are read from.

    ``causal``: judge the cells on and under the diagonal alone, as of a model that cannot look ahead; ``None``: so if
    no cell above the diagonal attends.

    Attributes:
        directed: by whether a mask is causal, the sums of the cells that it can have.

    Raises:
        InputError: it is not square, is empty, or attends above the diagonal although ``causal``.
    """

    def __init__(self, pattern: BoolArray, causal: bool | None = None) -> None:
        pattern = np.asarray(pattern, dtype=bool)
        if pattern.ndim != 2 or pattern.shape[0] != pattern.shape[1] or not pattern.size:
            raise InputError(
                f"a pattern of {' x '.join(map(str, pattern.shape))} cells: kinds of masks are of square patterns",
                remedy="Take self-attention, not cross-attention",
            )
        above = bool(np.triu(pattern, 1).any())
        if causal and above:
            raise InputError("a causal pattern with cells above the diagonal that attend", remedy="Leave out causal")
        self.pattern, self.causal = pattern, not above if causal is None else causal
        gains, n, on = np.where(pattern, 1, -1).astype(np.int64), len(pattern), int(pattern.sum())
        lower = np.tril(gains)
        super().__init__(lower if self.causal else gains, n * (n + 1) // 2 if self.causal else n * n, on)
        self.directed = {False: self, True: self if self.causal else Sums(lower, self.cells, on)}
