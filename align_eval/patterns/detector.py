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
from typing import TYPE_CHECKING, Any

import numpy as np

from align_eval.patterns.base import MASK_KINDS, MaskKind
from align_eval.patterns.evidence import Evidence
from align_eval.patterns.features import Features, features

if TYPE_CHECKING:
    from align_eval.patterns.base import BoolArray

LEAST_EXPLAINED = 2 / 3
"""The share of cells that a kind must explain for the pattern to be called structured."""


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

    kind: MaskKind
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

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "kind": self.name, "spec": self.kind.spec, "explained": self.agreement, "jaccard": self.jaccard,
            "balanced_accuracy": self.balanced, "parameter_bits": self.parameter_bits, "bits": self.bits,
        }  # fmt: skip


@dataclass(frozen=True)
class Detection:
    """What a pattern is.

    Attributes:
        n: its length.
        causal: whether only the cells on and under the diagonal were judged; ``cells``: how many were.
        fits: one a kind, the shortest description first.
        unstructured_bits: the description of the pattern as independent cells of one density.
        features: see :class:`~align_eval.patterns.features.Features`.
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
    fits = sorted(
        (fit for _, kind in MASK_KINDS.items() if (fit := fit_kind(kind, evidence)) is not None),
        key=lambda fit: (fit.bits, fit.name),
    )
    expected = _base(fits[0].kind, evidence.n)
    return Detection(
        evidence.n, evidence.causal, evidence.cells, tuple(fits), evidence.unstructured_bits,
        features(evidence.pattern, expected, evidence.causal),
    )  # fmt: skip


def fit_kind(kind: type[MaskKind], evidence: Evidence) -> KindFit | None:
    """The kind with the parameters of its shortest description; ``None`` if it has none for this pattern."""
    found = [
        measure(candidate, evidence)
        for causal in kind.directions
        if causal or not evidence.causal
        for candidate in kind.fit(evidence, causal)
    ]
    return min(found, key=lambda fit: fit.bits, default=None)


def measure(kind: MaskKind, evidence: Evidence) -> KindFit:
    """How well one mask explains a pattern."""
    mask = kind(evidence.n)
    errors = evidence.errors(mask)
    judged = evidence.gain != 0
    given = int((mask & judged).sum())
    both = (given + evidence.on - errors) // 2
    union = given + evidence.on - both
    off = evidence.cells - evidence.on
    shares = [right / of for right, of in ((both, evidence.on), (evidence.cells - union, off)) if of]
    price = kind.bits(evidence.n)
    return KindFit(
        kind, errors, 1 - errors / evidence.cells, both / union if union else 1.0, sum(shares) / len(shares), price,
        price + float(evidence.residual_bits(evidence.on - errors)),
    )  # fmt: skip


def _base(kind: MaskKind, n: int) -> BoolArray:
    """What rows are blocked against: the kind's mask, without its own masked rows."""
    if kind.name == "masked-rows":
        whole: BoolArray = np.ones((n, n), dtype=bool)
        return np.tril(whole) if kind.parameters["causal"] else whole
    return kind(n)
