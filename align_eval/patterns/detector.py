"""The kind of mask that explains a pattern best, with its parameters, against all kinds.

Each kind is fitted, and the kinds are compared by the length of a description in bits (minimum description length,
Rissanen 1978; Grünwald 2007): the parameters, plus the cells that the mask gets wrong. With N cells judged, e of them
wrong, and H the entropy of a coin,

    bits = parameter bits + N H(e / N).

The second term falls as the share of cells explained, 1 - e / N, rises, so among masks of equally many parameters the
one that explains most cells is named. The first is the price of freedom: without it the most flexible kinds, which can
take any other's shape and some of the noise besides, are named too often (``results/pattern/detector.md`` compares
both, and balanced accuracy and Jaccard's index, on generated patterns).

A pattern is called unstructured if the kind named describes it in no fewer bits than its density alone does, or gets
less than two thirds of the cells right.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from align_eval.errors import InputError, NonFiniteError
from align_eval.patterns.base import MASK_KINDS, BoolArray, Evidence, Mask, MaskKind, distances

LEAST_EXPLAINED = 2 / 3
"""The share of cells that a kind must explain for the pattern to be called structured."""
ROUNDING = 1e-6
"""By how much the mass may fall short of what is asked for: the rounding of sums of float32 weights."""
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


def binarise(weights: ArrayLike, *, mass: float | None = None, weight: float | None = None) -> BoolArray:
    """Binarise weights by one of two rules.

    - ``mass``: of each row the smallest set of keys that carries the share p of the row's sum. Among equal weights the
      key that stands first is taken first, so that the set has no key more than it needs. A row without any weight
      attends to nothing.
    - ``weight``: the keys with a weight of c or more.

    Args:
        weights: ``(..., queries, keys)``, 0 or more; the pattern is bool of the same shape.
        mass: p, over 0 and up to 1; 1 takes every key with a weight over 0.
        weight: c, over 0.

    Raises:
        InputError: both rules or none, a value out of range, a negative weight.
        NonFiniteError: NaN or infinity.
    """
    values = np.asarray(weights, dtype=np.float64)
    if (mass is None) == (weight is None):
        raise InputError("attention is binarised by mass or by weight", remedy="Give one of the two")
    if not np.isfinite(values).all():
        raise NonFiniteError("attention weights with NaN or infinity", remedy="Load the model with --dtype float32")
    if (values < 0).any():
        raise InputError("negative weights have no mass", remedy="Take attention weights, or absolute values")
    if weight is not None:
        if not weight > 0:
            raise InputError(f"a weight of {weight}", remedy="Take the keys over a weight such as 0.02")
        return np.asarray(values >= weight)
    if mass is None or not 0 < mass <= 1:
        raise InputError(f"a mass of {mass}", remedy="Take a share over 0 and up to 1, such as 0.9")
    if mass == 1:
        return np.asarray(values > 0)
    order = np.argsort(-values, axis=-1, kind="stable")
    ordered = np.take_along_axis(values, order, axis=-1)
    before = ordered.cumsum(axis=-1) - ordered
    wanted = (mass - ROUNDING) * values.sum(axis=-1, keepdims=True)
    kept: BoolArray = np.zeros(values.shape, dtype=bool)
    np.put_along_axis(kept, order, (before < wanted) & (ordered > 0), axis=-1)
    return kept


def flipped(pattern: BoolArray, rate: float, rng: np.random.Generator, *, causal: bool = False) -> BoolArray:
    """The pattern ``(queries, keys)`` with each cell flipped with the probability ``rate``.

    ``causal`` leaves the cells above the diagonal as they are.

    Raises:
        InputError: a rate that is not from 0 to 1.
    """
    if not 0 <= rate <= 1:
        raise InputError(f"a flip rate of {rate}", remedy="Take a share from 0 to 1, such as 0.05")
    flips = rng.random(pattern.shape) < rate
    return np.asarray(pattern ^ (np.tril(flips) if causal else flips))


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


@dataclass(frozen=True)
class KindFit:
    """A kind with the parameters that explain a pattern best.

    Attributes:
        kind: the mask kind.
        errors: cells judged where mask and pattern differ.
        agreement: the share of cells explained, 1 - errors / cells.
        jaccard: cells that attend in both, over those that attend in either; 1 if none does.
        balanced: balanced accuracy, the mean of the shares explained of the cells that attend and of those that do not.
        parameter_bits: the length of the parameters; ``bits``: with that of the errors.
    """

    kind: Mask
    errors: int
    agreement: float
    jaccard: float
    balanced: float
    parameter_bits: float
    bits: float

    @property
    def name(self) -> str:
        """The kind's name."""
        return self.kind.name


@dataclass(frozen=True)
class Detection:
    """What a pattern is.

    Attributes:
        n: its length.
        causal: whether only the cells on and under the diagonal were judged; ``cells``: how many were.
        fits: one a kind, the shortest description first.
        unstructured_bits: the description of the pattern as independent cells of one density.
        features: see :class:`Features`.
    """

    n: int
    causal: bool
    cells: int
    fits: tuple[KindFit, ...]
    unstructured_bits: float
    features: Features

    @property
    def best(self) -> KindFit:
        """The kind that explains the pattern best."""
        return self.fits[0]

    @property
    def runner_up(self) -> KindFit:
        """The kind that comes next."""
        return self.fits[1]

    @property
    def bits_saved(self) -> float:
        """By how many bits the best kind's description is shorter than that of independent cells of one density."""
        return self.unstructured_bits - self.best.bits

    @property
    def structured(self) -> bool:
        """Whether the best kind says more of the pattern than its density does, and explains two thirds of it."""
        return self.bits_saved > 0 and self.best.agreement >= LEAST_EXPLAINED


def detect(pattern: BoolArray, *, causal: bool | None = None) -> Detection:
    """Name the kind of mask that explains a pattern best, and count its features.

    Args:
        pattern: ``(n, n)`` bool, row = query, n at least 2.
        causal: judge only the cells on and under the diagonal, as of a model that cannot look ahead; ``None``: so if
            no cell above it attends.

    Raises:
        InputError: it is not square, is empty, or is said to be causal and is not.
    """
    evidence = Evidence(pattern, causal)
    found = (fit_kind(kind, evidence) for _, kind in MASK_KINDS.items())
    fits = sorted((fit for fit in found if fit is not None), key=lambda fit: (fit.bits, fit.name))
    best, n = fits[0].kind, evidence.n
    expected = best(n)
    if best.name == "masked-rows":  # rows are blocked against the mask without its own masked rows
        expected = np.tri(n, dtype=bool) if best.parameters["causal"] else np.ones((n, n), dtype=bool)
    return Detection(
        evidence.n, evidence.causal, evidence.cells, tuple(fits), evidence.unstructured_bits,
        features(evidence.pattern, expected, evidence.causal),
    )  # fmt: skip


def fit_kind(kind: MaskKind, evidence: Evidence) -> KindFit | None:
    """The kind with the parameters of its shortest description; ``None`` if it has none for this pattern."""
    found = [
        measure(kind.mask(given | ({"causal": causal} if "causal" in kind.options else {})), evidence)
        for causal in kind.directions
        if causal or not evidence.causal
        for given in kind.fit(evidence.directed[causal])
    ]
    return min(found, key=lambda fit: fit.bits, default=None)


def measure(kind: Mask, evidence: Evidence) -> KindFit:
    """How well one mask explains a pattern."""
    mask = kind(evidence.n) & (evidence.gains != 0)
    errors = evidence.on - int(evidence.gains[mask].sum())
    given = int(mask.sum())
    both = (given + evidence.on - errors) // 2
    union = given + evidence.on - both
    off = evidence.cells - evidence.on
    shares = [right / of for right, of in ((both, evidence.on), (evidence.cells - union, off)) if of]
    price = kind.bits(evidence.n)
    return KindFit(
        kind, errors, 1 - errors / evidence.cells, both / union if union else 1.0, sum(shares) / len(shares), price,
        price + float(evidence.residual_bits(evidence.on - errors)),
    )  # fmt: skip


def features(pattern: BoolArray, expected: BoolArray, causal: bool) -> Features:
    """The features of a pattern ``(n, n)``; blocked rows are blocked against the mask ``expected``.

    ``causal``: dense attention would be the cells on and under the diagonal alone.
    """
    n = len(pattern)
    apart = distances(n)
    each = np.bincount((apart + n - 1).ravel(), weights=pattern.ravel(), minlength=2 * n - 1)
    share = each / (n - np.abs(np.arange(1 - n, n)))  # by distance, from 1 - n (the last key) to n - 1
    # How many shares from the first on are at least a half.
    window = int(np.append(share[n - 1 :] < HALF, True).argmax())
    after = 0 if causal else int(np.append(share[: n - 1][::-1] < HALF, True).argmax())
    given, used = expected.sum(axis=1), (pattern & expected).sum(axis=1)
    blocked = tuple(np.flatnonzero((given >= LEAST_KEYS) & (used <= LITTLE * given)).tolist())
    period, offset = period_of(blocked)
    dense = apart >= 0 if causal else np.ones((n, n), dtype=bool)
    tiles_dense, tiles_used = _tiles(dense), _tiles(pattern & dense)
    return Features(
        window, after, _sinks(pattern, window, after, causal), blocked, period, offset,
        1 - float(pattern.mean()), 1 - float(pattern[dense].mean()), 1 - tiles_used / tiles_dense,
        float(pattern.sum(axis=1).mean()),
    )  # fmt: skip


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
    return tuple(found.tolist())


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
    tiles = np.pad(cells, (0, -len(cells) % TILE))
    side = len(tiles) // TILE
    return int(tiles.reshape(side, TILE, side, TILE).any(axis=(1, 3)).sum())
