"""Full: every query attends to every key."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from align_eval.patterns.base import MASK_KINDS, MaskKind

if TYPE_CHECKING:
    from align_eval.patterns.base import BoolArray
    from align_eval.patterns.evidence import Evidence


@MASK_KINDS.register("full", "bidirectional")
@dataclass(frozen=True)
class Full(MaskKind):
    """All cells attend (Vaswani et al. 2017, arXiv:1706.03762, the encoder; Devlin et al. 2019, arXiv:1810.04805)."""

    name: ClassVar[str] = "full"
    directions: ClassVar[tuple[bool, ...]] = (False,)

    def mask(self, n: int) -> BoolArray:
        return np.ones((n, n), dtype=bool)

    @classmethod
    def fit(cls, evidence: Evidence, causal: bool) -> Iterable[MaskKind]:
        return [cls()]

    @classmethod
    def draw(cls, rng: np.random.Generator, n: int, causal: bool) -> MaskKind:
        return cls()
