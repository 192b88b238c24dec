"""Mask kinds of one or two whole numbers: windows, dilations, blocks, prefixes, sinks."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from align_eval.patterns.base import MASK_KINDS, MaskKind, direction, distances, whole

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


@MASK_KINDS.register("causal")
@dataclass(frozen=True)
class Causal(MaskKind):
    """Query i attends to key j iff j <= i (Vaswani et al. 2017, arXiv:1706.03762, section 3.2.3, the decoder)."""

    name: ClassVar[str] = "causal"
    directions: ClassVar[tuple[bool, ...]] = (True,)

    def mask(self, n: int) -> BoolArray:
        return distances(n) >= 0

    @classmethod
    def fit(cls, evidence: Evidence, causal: bool) -> Iterable[MaskKind]:
        return [cls()]

    @classmethod
    def draw(cls, rng: np.random.Generator, n: int, causal: bool) -> MaskKind:
        return cls()


@MASK_KINDS.register("prefix")
@dataclass(frozen=True)
class Prefix(MaskKind):
    """Query i attends to key j iff j <= i or j < length: PrefixLM.

    Raffel et al. 2020, arXiv:1910.10683, section 3.2.1 ("causal with prefix"); Dong et al. 2019, *UniLM*,
    arXiv:1905.03197 (sequence-to-sequence mask).

    Args:
        length: tokens of the prefix.
    """

    name: ClassVar[str] = "prefix"
    directions: ClassVar[tuple[bool, ...]] = (False,)
    length: int = whole(16, 1, "tokens that every query attends to")

    def mask(self, n: int) -> BoolArray:
        return (distances(n) >= 0) | (np.arange(n) < self.length)[None, :]

    @classmethod
    def fit(cls, evidence: Evidence, causal: bool) -> Iterable[MaskKind]:
        above = np.triu(evidence.gain, 1).sum(axis=0).cumsum()
        return [cls(int(above.argmax()) + 1)]

    @classmethod
    def draw(cls, rng: np.random.Generator, n: int, causal: bool) -> MaskKind:
        return cls(int(rng.integers(n // 4, 3 * n // 4 + 1)))


@MASK_KINDS.register("sliding-window")
@dataclass(frozen=True)
class SlidingWindow(MaskKind):
    """Query i attends to key j iff 0 <= i - j < width; in both directions iff ``|i - j|`` < width.

    Beltagy et al. 2020, *Longformer*, arXiv:2004.05150, section 3.1 (whose w is 2 width - 1 here); the causal form as
    in Mistral 7B (Jiang et al. 2023, arXiv:2310.06825, section 2), which counts the query's own key in the width.

    Args:
        width: keys of a query on one side, its own counted.
        causal: no key after the query.
    """

    name: ClassVar[str] = "sliding-window"
    width: int = whole(16, 1, "keys of a query on one side, its own counted")
    causal: bool = direction()

    def mask(self, n: int) -> BoolArray:
        apart = distances(n)
        return (np.abs(apart) < self.width) & ((apart >= 0) | (not self.causal))

    @classmethod
    def fit(cls, evidence: Evidence, causal: bool) -> Iterable[MaskKind]:
        return [cls(int(evidence.by_distance(causal).cumsum().argmax()) + 1, causal)]

    @classmethod
    def draw(cls, rng: np.random.Generator, n: int, causal: bool) -> MaskKind:
        return cls(int(rng.integers(2, n // 2 + 1)), causal)


@MASK_KINDS.register("dilated")
@dataclass(frozen=True)
class Dilated(MaskKind):
    """Query i attends to key j iff i - j is one of 0, d, 2d ... (width - 1) d, d the dilation.

    Beltagy et al. 2020, *Longformer*, arXiv:2004.05150, section 3.1 (after the dilated convolutions of van den Oord et
    al. 2016, arXiv:1609.03499). In both directions ``|i - j|`` is taken.

    Args:
        dilation: from one key to the next.
        width: keys of a query on one side, its own counted.
        causal: no key after the query.
    """

    name: ClassVar[str] = "dilated"
    dilation: int = whole(2, 1, "from one key to the next")
    width: int = whole(8, 1, "keys of a query on one side, its own counted")
    causal: bool = direction()

    def mask(self, n: int) -> BoolArray:
        apart = distances(n)
        far = np.abs(apart)
        return (far % self.dilation == 0) & (far < self.dilation * self.width) & ((apart >= 0) | (not self.causal))

    @classmethod
    def fit(cls, evidence: Evidence, causal: bool) -> Iterable[MaskKind]:
        gains = evidence.by_distance(causal)
        best: tuple[int, int, int] | None = None
        for dilation in range(2, evidence.n):  # a dilation of 1 is a sliding window
            sums = gains[::dilation].cumsum()
            width = int(sums.argmax())
            if best is None or sums[width] > best[0]:
                best = int(sums[width]), dilation, width + 1
        return [] if best is None else [cls(best[1], best[2], causal)]

    @classmethod
    def draw(cls, rng: np.random.Generator, n: int, causal: bool) -> MaskKind:
        dilation = int(rng.integers(2, max(3, n // 8) + 1))
        return cls(dilation, int(rng.integers(3, n // dilation + 1)), causal)


@MASK_KINDS.register("strided")
@dataclass(frozen=True)
class Strided(MaskKind):
    """Query i attends to key j iff 0 <= i - j <= stride, or i - j >= 0 is a multiple of the stride.

    Child et al. 2019, *Generating Long Sequences with Sparse Transformers*, arXiv:1904.10509, section 4.3: the union of
    A(1) = {t .. i}, t = max(0, i - l), and A(2) = {j : (i - j) mod l = 0}. In both directions ``|i - j|`` is taken.

    Args:
        stride: l of the paper.
        causal: no key after the query.
    """

    name: ClassVar[str] = "strided"
    stride: int = whole(8, 1, "length of the band, and step between the keys before it")
    causal: bool = direction()

    def mask(self, n: int) -> BoolArray:
        apart = distances(n)
        far = np.abs(apart)
        return ((far <= self.stride) | (far % self.stride == 0)) & ((apart >= 0) | (not self.causal))

    @classmethod
    def fit(cls, evidence: Evidence, causal: bool) -> Iterable[MaskKind]:
        gains = evidence.by_distance(causal)
        band = gains.cumsum()
        sums = [band[stride] + gains[2 * stride :: stride].sum() for stride in range(1, evidence.n)]
        return [cls(int(np.argmax(sums)) + 1, causal)] if sums else []

    @classmethod
    def draw(cls, rng: np.random.Generator, n: int, causal: bool) -> MaskKind:
        return cls(int(rng.integers(3, n // 3 + 1)), causal)


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


@MASK_KINDS.register("block")
@dataclass(frozen=True)
class Block(MaskKind):
    """Query i attends to key j iff floor(i / size) = floor(j / size), and j <= i if causal.

    The block-diagonal permutation of Qiu et al. 2020, *Blockwise Self-Attention for Long Document Understanding*,
    arXiv:1911.02972; also documents of one length that are packed into one context.

    Args:
        size: tokens of a block; the last one may be shorter.
        causal: no key after the query.
    """

    name: ClassVar[str] = "block"
    size: int = whole(8, 1, "tokens of a block")
    causal: bool = direction()

    def mask(self, n: int) -> BoolArray:
        block = np.arange(n) // self.size
        return (block[:, None] == block[None, :]) & ((distances(n) >= 0) | (not self.causal))

    @classmethod
    def fit(cls, evidence: Evidence, causal: bool) -> Iterable[MaskKind]:
        sums = [evidence.squares(size, causal) for size in range(1, evidence.n + 1)]
        return [cls(int(np.argmax(sums)) + 1, causal)]

    @classmethod
    def draw(cls, rng: np.random.Generator, n: int, causal: bool) -> MaskKind:
        return cls(int(rng.integers(3, n // 2 + 1)), causal)


@MASK_KINDS.register("fixed")
@dataclass(frozen=True)
class Fixed(MaskKind):
    """Query i attends to key j <= i iff both are in one block, or j mod size >= size - summary.

    Child et al. 2019, *Generating Long Sequences with Sparse Transformers*, arXiv:1904.10509, section 4.3: the union of
    A(1) = {j : floor(j / l) = floor(i / l)} and A(2) = {j : j mod l in {t .. l - 1}}, t = l - c.

    Args:
        size: l of the paper, tokens of a block.
        summary: c of the paper, keys at the end of each block that all later queries attend to.

    Raises:
        InputError: ``summary`` is over ``size``.
    """

    name: ClassVar[str] = "fixed"
    directions: ClassVar[tuple[bool, ...]] = (True,)
    size: int = whole(8, 1, "tokens of a block")
    summary: int = whole(1, 1, "keys at the end of a block that all later queries attend to")

    def mask(self, n: int) -> BoolArray:
        place = np.arange(n)
        block = place // self.size
        kept = place % self.size >= self.size - self.summary
        return ((block[:, None] == block[None, :]) | kept[None, :]) & (distances(n) >= 0)

    @classmethod
    def fit(cls, evidence: Evidence, causal: bool) -> Iterable[MaskKind]:
        n, lower = evidence.n, evidence.lower
        below = np.pad(lower[::-1].cumsum(axis=0)[::-1], ((0, 1), (0, 0)))  # (n + 1, n): sum of rows >= i
        column = np.arange(n)
        best: tuple[int, int, int] | None = None
        for size in range(2, n):
            after = below[np.minimum((column // size + 1) * size, n), column]  # the column outside of its own block
            by_place = np.bincount(column % size, weights=after, minlength=size)[::-1].cumsum()[:-1]
            summary = int(by_place.argmax())
            total = evidence.squares(size, True) + int(by_place[summary])
            if best is None or total > best[0]:
                best = total, size, summary + 1
        return [] if best is None else [cls(best[1], best[2])]

    @classmethod
    def draw(cls, rng: np.random.Generator, n: int, causal: bool) -> MaskKind:
        size = int(rng.integers(4, n // 2 + 1))
        return cls(size, int(rng.integers(1, max(1, size // 4) + 1)))
