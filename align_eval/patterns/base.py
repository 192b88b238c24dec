"""What all mask kinds share: a mask says which query (row) attends to which key (column); and the sums that fits read.

A kind is a frozen dataclass whose fields are its parameters. Called with a length it gives the mask; ``fit`` finds the
parameters that explain a given pattern best; ``draw`` makes a random mask, for tests of the detector.
"""

from __future__ import annotations

import dataclasses
import math
from abc import ABC, abstractmethod
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from align_eval.errors import InputError
from align_eval.registry import Registry, check_fields, option, options_of, parse_options, split_spec

if TYPE_CHECKING:
    from collections.abc import Iterable

BoolArray = NDArray[np.bool_]
IntArray = NDArray[np.int64]
CAUSAL_HELP = "yes: no query attends to a key after it"


MASK_KINDS: Registry[type[MaskKind]] = Registry("mask kind")


@dataclasses.dataclass(frozen=True)
class MaskKind(ABC):
    """A kind of mask with its parameters; call it with a length n for the ``(n, n)`` bool mask, queries down.

    Keywords of a subclass, which registers itself (``also``: under this name, too):
        name: of the kind.
        directions: the values of ``causal`` that the kind has; ``fit`` and ``draw`` are asked for these alone.
        drawn: of parameters that ``draw`` draws the least value, and the divisor of n that gives the greatest.

    Raises:
        InputError: a parameter that is out of its range.
    """

    name: ClassVar[str] = ""
    directions: ClassVar[tuple[bool, ...]] = (True, False)
    drawn: ClassVar[dict[str, tuple[int, int]]] = {}

    def __init_subclass__(
        cls, *, name: str, also: str = "", directions: tuple[bool, ...] = (True, False),
        drawn: dict[str, tuple[int, int]] | None = None,
    ) -> None:  # fmt: skip
        cls.name, cls.directions, cls.drawn = name, directions, drawn or {}
        MASK_KINDS.register(name, *([also] if also else []))(cls)

    def __post_init__(self) -> None:
        check_fields(self, f"the mask {self.name}")

    def __call__(self, n: int) -> BoolArray:
        """The mask of a context of ``n`` tokens: ``(n, n)`` bool, row = query, true where it attends.

        Raises:
            InputError: n is under 1, or the parameters ask for more tokens than n.
        """
        if n < 1:
            raise InputError(f"a mask of {n} tokens", remedy="Ask for 1 or more")
        mask = self.mask(n)
        return np.tril(mask) if getattr(self, "causal", self.directions[0]) else mask

    @abstractmethod
    def mask(self, n: int) -> BoolArray:
        """The mask itself; cells above the diagonal are cleared of a causal one."""

    def bits(self, n: int) -> float:
        """The length of the parameters in bits, for a context of ``n``: what a fit pays for its freedom.

        By default log2 n for each field but ``causal``, as for whole numbers that are equally probable from 1 to n.
        """
        return sum(math.log2(n) for field in dataclasses.fields(self) if field.name != "causal")

    @classmethod
    @abstractmethod
    def fit(cls, evidence: Evidence, causal: bool) -> Iterable[MaskKind]:
        """The parameters that explain a pattern best: one candidate, or a few of different freedom; none if none does.

        ``causal`` is the direction of the candidates, one of ``directions``.
        """

    @classmethod
    def draw(cls, rng: np.random.Generator, n: int, causal: bool) -> MaskKind:
        """A random mask of this kind, of parameters under which it is no other kind; n is 16 or more."""
        drawn: dict[str, Any] = {name: int(rng.integers(low, n // part + 1)) for name, (low, part) in cls.drawn.items()}
        if len(cls.directions) > 1:
            drawn["causal"] = causal
        return cls(**drawn)

    @property
    def spec(self) -> str:
        """The name with the parameters that differ from their defaults: ``sink-window:sinks=2,window=8``."""
        values = ((f.name, getattr(self, f.name), f.default) for f in dataclasses.fields(self))
        changed = [f"{name}={written(value)}" for name, value, default in values if value != default]
        return self.name + (":" + ",".join(changed) if changed else "")

    @property
    def parameters(self) -> dict[str, Any]:
        """All parameters by name."""
        return {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}

    def describe(self) -> str:
        """The kind and its parameters in words."""
        parts = [f"{k} {written(v)}" for k, v in self.parameters.items() if k != "causal" and v != ()]
        if not self.parameters.get("causal", True):
            parts.append("both directions")
        return self.name.replace("-", " ") + (f" ({', '.join(parts)})" if parts else "")


def make_mask_kind(spec: str | MaskKind) -> MaskKind:
    """Build a mask kind from ``name`` or ``name:parameter=value,parameter=value``; lists are written ``4+3+2``.

    Raises:
        UnknownNameError: unknown kind or parameter; the message lists what exists.
        InputError: a value of the wrong kind or out of range.

    >>> make_mask_kind("sink-window:sinks=2,window=8").spec
    'sink-window:sinks=2,window=8'
    """
    if isinstance(spec, MaskKind):
        return spec
    name, tail = split_spec(spec)
    kind = MASK_KINDS.get(name)
    known = options_of(kind)
    parts = tail.split(",") if tail else []
    empty = {key for part in parts if (key := part.strip().removesuffix("=")) in known and part.strip().endswith("=")}
    none: dict[str, Any] = {key: () for key in empty if known[key].many}  # a list of nothing
    given = ",".join(part for part in parts if part.strip().removesuffix("=") not in none)
    return kind(**none, **parse_options(f"the mask {kind.name}", given, known))


def written(value: Any) -> str:
    """The value of a parameter as a spec writes it."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "+".join(map(str, value)) if isinstance(value, tuple) else str(value)


def direction() -> Any:
    """The field ``causal``: whether no query attends to a key after it."""
    return option(True, help=CAUSAL_HELP)


def distances(n: int) -> IntArray:
    """``(n, n)``: how far each key (column) lies before its query (row); negative after it."""
    place = np.arange(n)
    return place[:, None] - place[None, :]


def log2_choose(n: int, k: int) -> float:
    """log2 of the number of ways to choose k of n; 0 at the ends."""
    if not 0 < k < n:
        return 0.0
    return (math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)) / math.log(2)


class Evidence:
    """A square pattern as sums that fits are read from: every fit is the search of a greatest sum.

    The gain of a cell is +1 if it attends, -1 if it does not. A mask M has |P| - sum of the gains inside of M errors,
    where |P| counts the cells that attend. So the parameters with the fewest errors are those with the greatest sum of
    gains, and sums over diagonals, columns, rows and squares come from tables that are made once, in O(n^2).

    Args:
        pattern: ``(n, n)`` bool, row = query.
        causal: judge the cells on and under the diagonal alone, as of a model that cannot look ahead; ``None``: so if
            no cell above the diagonal attends.

    Attributes:
        n: the length; ``pattern``: as given.
        causal: whether only the cells on and under the diagonal are judged.
        cells: how many cells are judged; ``on``: how many of them attend.
        gain: ``(n, n)`` int64: 1 attends, -1 does not, 0 is not judged.
        lower: the same on and under the diagonal, 0 above it.

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
        self.pattern, self.n = pattern, len(pattern)
        above = bool(np.triu(pattern, 1).any())
        if causal and above:
            raise InputError("a causal pattern with cells above the diagonal that attend", remedy="Leave out causal")
        self.causal = not above if causal is None else causal
        gain: IntArray = np.where(pattern, 1, -1).astype(np.int64)
        self.lower: IntArray = np.tril(gain)
        self.gain = self.lower if self.causal else gain
        self.cells = self.n * (self.n + 1) // 2 if self.causal else pattern.size
        self.on = int(pattern.sum())
        self._squares: dict[tuple[int, bool], int] = {}

    def gains(self, causal: bool) -> IntArray:
        """``(n, n)``: the gains that a mask of that direction can take."""
        return self.lower if causal else self.gain

    def by_distance(self, causal: bool) -> IntArray:
        """``(n,)``: the sum of the gains at each distance |i - j|, both sides of the diagonal if not causal."""
        return self._by_distance[not causal]

    @cached_property
    def _by_distance(self) -> list[IntArray]:
        apart = np.abs(distances(self.n)).ravel()
        return [
            np.bincount(apart, weights=gains.ravel(), minlength=self.n).astype(np.int64)
            for gains in (self.lower, self.gain)
        ]

    def area(self, causal: bool) -> IntArray:
        """``(n + 1, n + 1)``: item (i, j) is the sum of the gains of rows < i and columns < j."""
        return self._area[not causal]

    @cached_property
    def _area(self) -> list[IntArray]:
        return [np.pad(gains.cumsum(axis=0).cumsum(axis=1), ((1, 0), (1, 0))) for gains in (self.lower, self.gain)]

    def squares(self, size: int, causal: bool) -> int:
        """The sum of the gains of the squares of ``size`` along the diagonal, the last one cut off at the end."""
        if (size, causal) not in self._squares:
            edges = np.array([*range(0, self.n, size), self.n])
            a, b = edges[:-1], edges[1:]
            area = self.area(causal)
            self._squares[size, causal] = int((area[b, b] - area[a, b] - area[b, a] + area[a, a]).sum())
        return self._squares[size, causal]

    def best_union(self, first: IntArray, causal: bool) -> tuple[int, int]:
        """The border s and the band w, from 1, whose cells with ``first < s`` or ``|i - j| < w`` have the greatest sum.

        ``first`` ``(n, n)`` is the number of each cell in the border's order (its column, say), 0 to n - 1.
        """
        n = self.n
        flat = np.bincount(
            (first * n + np.abs(distances(n))).ravel(), weights=self.gains(causal).ravel(), minlength=n * n
        )
        both = np.pad(flat.reshape(n, n).cumsum(axis=0).cumsum(axis=1), ((1, 0), (1, 0))).astype(np.int64)
        table = (both[:, -1:] + both[-1:, :] - both)[1:, 1:]
        border, band = np.unravel_index(int(table.argmax()), table.shape)
        return int(border) + 1, int(band) + 1

    def errors(self, mask: BoolArray) -> int:
        """The cells judged where ``mask`` and pattern differ."""
        return self.on - int(self.gain[mask].sum())

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
