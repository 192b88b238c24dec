"""Sinks and a window: the first keys, and the keys next to the query."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from align_eval.patterns.base import MASK_KINDS, MaskKind, direction, distances, whole

if TYPE_CHECKING:
    from align_eval.patterns.base import BoolArray
    from align_eval.patterns.evidence import Evidence


@MASK_KINDS.register("sink-window")
@dataclass(frozen=True)
class SinkWindow(MaskKind):
    """Query i attends to key j <= i iff j < sinks or i - j < window; in both directions ``|i - j|`` is taken.

    Xiao et al. 2023, *Efficient Streaming Language Models with Attention Sinks* (StreamingLLM), arXiv:2309.17453,
    section 3.2: the key-value cache keeps the first tokens (four in the paper) and the last ones. It is the A-shape of
    MInference (Jiang et al. 2024, arXiv:2407.02490).

    Args:
        sinks: first keys, which every query attends to.
        window: keys of a query on one side, its own counted.
        causal: no key after the query.
    """

    name: ClassVar[str] = "sink-window"
    sinks: int = whole(4, 1, "first keys, which every query attends to")
    window: int = whole(16, 1, "keys of a query on one side, its own counted")
    causal: bool = direction()

    def mask(self, n: int) -> BoolArray:
        apart = distances(n)
        kept = (np.abs(apart) < self.window) | (np.arange(n) < self.sinks)[None, :]
        return kept & ((apart >= 0) | (not self.causal))

    @classmethod
    def fit(cls, evidence: Evidence, causal: bool) -> Iterable[MaskKind]:
        n = evidence.n
        column = np.broadcast_to(np.arange(n), (n, n))
        table = evidence.union_table(column, causal)[1:, 1:]
        sinks, window = np.unravel_index(int(table.argmax()), table.shape)
        return [cls(int(sinks) + 1, int(window) + 1, causal)]

    @classmethod
    def draw(cls, rng: np.random.Generator, n: int, causal: bool) -> MaskKind:
        return cls(int(rng.integers(1, n // 8 + 1)), int(rng.integers(2, n // 4 + 1)), causal)
