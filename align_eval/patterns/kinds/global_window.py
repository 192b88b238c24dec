"""Global tokens and a window: the first tokens attend to all and are attended to by all."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from align_eval.patterns.base import MASK_KINDS, MaskKind, distances, whole

if TYPE_CHECKING:
    from align_eval.patterns.base import BoolArray
    from align_eval.patterns.evidence import Evidence


@MASK_KINDS.register("global-window")
@dataclass(frozen=True)
class GlobalWindow(MaskKind):
    """Query i attends to key j iff i < tokens, j < tokens or ``|i - j|`` < window; both directions.

    Beltagy et al. 2020, *Longformer*, arXiv:2004.05150, section 3.1 (global attention is symmetric); the internal form
    of Zaheer et al. 2020, *BigBird*, arXiv:2007.14062, without its random keys. A causal model has sink-window instead.

    Args:
        tokens: first tokens, which attend to all and are attended to by all.
        window: keys of a query on one side, its own counted.
    """

    name: ClassVar[str] = "global-window"
    directions: ClassVar[tuple[bool, ...]] = (False,)
    tokens: int = whole(2, 1, "first tokens, which attend to all and are attended to by all")
    window: int = whole(8, 1, "keys of a query on one side, its own counted")

    def mask(self, n: int) -> BoolArray:
        place = np.arange(n)
        first = np.minimum(place[:, None], place[None, :])
        return (np.abs(distances(n)) < self.window) | (first < self.tokens)

    @classmethod
    def fit(cls, evidence: Evidence, causal: bool) -> Iterable[MaskKind]:
        place = np.arange(evidence.n)
        table = evidence.union_table(np.minimum(place[:, None], place[None, :]), causal)[1:, 1:]
        tokens, window = np.unravel_index(int(table.argmax()), table.shape)
        return [cls(int(tokens) + 1, int(window) + 1)]

    @classmethod
    def draw(cls, rng: np.random.Generator, n: int, causal: bool) -> MaskKind:
        return cls(int(rng.integers(1, n // 8 + 1)), int(rng.integers(2, n // 4 + 1)))
