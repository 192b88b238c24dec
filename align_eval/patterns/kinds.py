"""Mask kinds by numbers (windows, dilations, blocks, prefixes, sinks) and by lists (rows, segments, lines).

A kind with a field ``causal`` is defined in both directions: of a causal mask the cells above the diagonal are cleared.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from align_eval.errors import InputError
from align_eval.patterns.base import (
    BoolArray,
    Evidence,
    MaskKind,
    direction,
    distances,
    log2_choose,
    written,
)  # fmt: skip
from align_eval.registry import option

BOTH_WAYS, CAUSAL_ONLY = (False,), (True,)
WIDTH_HELP = "keys of a query on one side, its own counted"
MOST_KEPT = 16
"""The most keys of a masked row that the fit tries."""
PENALTIES = (0, 1, 2, 4, 8, 16)
"""Cells that a segment more must explain, in turn; which number of segments is right is decided by its bits."""


@dataclass(frozen=True)
class Full(MaskKind, name="full", also="bidirectional", directions=BOTH_WAYS):
    """All cells attend (Vaswani et al. 2017, arXiv:1706.03762, the encoder; Devlin et al. 2019, arXiv:1810.04805)."""

    def mask(self, n: int) -> BoolArray:
        return np.ones((n, n), dtype=bool)

    @classmethod
    def fit(cls, evidence: Evidence, causal: bool) -> Iterable[MaskKind]:
        return [cls()]


class Causal(Full, name="causal", directions=CAUSAL_ONLY):
    """Query i attends to key j iff j <= i (Vaswani et al. 2017, arXiv:1706.03762, section 3.2.3, the decoder)."""


@dataclass(frozen=True)
class Prefix(MaskKind, name="prefix", directions=BOTH_WAYS):
    """Query i attends to key j iff j <= i or j < length: PrefixLM.

    Raffel et al. 2020, arXiv:1910.10683, section 3.2.1 ("causal with prefix"); Dong et al. 2019, *UniLM*,
    arXiv:1905.03197 (sequence-to-sequence mask).
    """

    length: int = option(16, low=1, help="tokens that every query attends to")

    def mask(self, n: int) -> BoolArray:
        return (distances(n) >= 0) | (np.arange(n) < self.length)[None, :]

    @classmethod
    def fit(cls, evidence: Evidence, causal: bool) -> Iterable[MaskKind]:
        above = np.triu(evidence.gain, 1).sum(axis=0).cumsum()
        return [cls(int(above.argmax()) + 1)]

    @classmethod
    def draw(cls, rng: np.random.Generator, n: int, causal: bool) -> MaskKind:
        return cls(int(rng.integers(n // 4, 3 * n // 4 + 1)))


@dataclass(frozen=True)
class SlidingWindow(MaskKind, name="sliding-window", drawn={"width": (2, 2)}):
    """Query i attends to key j iff 0 <= i - j < width; in both directions iff ``|i - j|`` < width.

    Beltagy et al. 2020, *Longformer*, arXiv:2004.05150, section 3.1 (whose w is 2 width - 1 here); the causal form as
    in Mistral 7B (Jiang et al. 2023, arXiv:2310.06825, section 2), which counts the query's own key in the width.
    """

    width: int = option(16, low=1, help=WIDTH_HELP)
    causal: bool = direction()

    def mask(self, n: int) -> BoolArray:
        return np.abs(distances(n)) < self.width

    @classmethod
    def fit(cls, evidence: Evidence, causal: bool) -> Iterable[MaskKind]:
        return [cls(int(evidence.by_distance(causal).cumsum().argmax()) + 1, causal)]


@dataclass(frozen=True)
class Dilated(MaskKind, name="dilated"):
    """Query i attends to key j iff i - j is one of 0, d, 2d ... (width - 1) d, d the dilation.

    Beltagy et al. 2020, *Longformer*, arXiv:2004.05150, section 3.1 (after the dilated convolutions of van den Oord et
    al. 2016, arXiv:1609.03499). In both directions ``|i - j|`` is taken.
    """

    dilation: int = option(2, low=1, help="from one key to the next")
    width: int = option(8, low=1, help=WIDTH_HELP)
    causal: bool = direction()

    def mask(self, n: int) -> BoolArray:
        far = np.abs(distances(n))
        return (far % self.dilation == 0) & (far < self.dilation * self.width)

    @classmethod
    def fit(cls, evidence: Evidence, causal: bool) -> Iterable[MaskKind]:
        gains = evidence.by_distance(causal)
        sums = {d: gains[::d].cumsum() for d in range(2, evidence.n)}  # a dilation of 1 is a sliding window
        if not sums:
            return []
        dilation = max(sums, key=lambda d: int(sums[d].max()))
        return [cls(dilation, int(sums[dilation].argmax()) + 1, causal)]

    @classmethod
    def draw(cls, rng: np.random.Generator, n: int, causal: bool) -> MaskKind:
        dilation = int(rng.integers(2, max(3, n // 8) + 1))
        return cls(dilation, int(rng.integers(3, n // dilation + 1)), causal)


@dataclass(frozen=True)
class Strided(MaskKind, name="strided", drawn={"stride": (3, 3)}):
    """Query i attends to key j iff 0 <= i - j <= stride, or i - j >= 0 is a multiple of the stride.

    Child et al. 2019, *Generating Long Sequences with Sparse Transformers*, arXiv:1904.10509, section 4.3: the union of
    A(1) = {t .. i}, t = max(0, i - l), and A(2) = {j : (i - j) mod l = 0}. In both directions ``|i - j|`` is taken.
    """

    stride: int = option(8, low=1, help="length of the band, and step between the keys before it")
    causal: bool = direction()

    def mask(self, n: int) -> BoolArray:
        far = np.abs(distances(n))
        return (far <= self.stride) | (far % self.stride == 0)

    @classmethod
    def fit(cls, evidence: Evidence, causal: bool) -> Iterable[MaskKind]:
        gains = evidence.by_distance(causal)
        band = gains.cumsum()
        sums = [band[stride] + gains[2 * stride :: stride].sum() for stride in range(1, evidence.n)]
        return [cls(int(np.argmax(sums)) + 1, causal)] if sums else []


@dataclass(frozen=True)
class SinkWindow(MaskKind, name="sink-window", drawn={"sinks": (1, 8), "window": (2, 4)}):
    """Query i attends to key j <= i iff j < sinks or i - j < window; in both directions ``|i - j|`` is taken.

    Xiao et al. 2023, *Efficient Streaming Language Models with Attention Sinks* (StreamingLLM), arXiv:2309.17453,
    section 3.2: the key-value cache keeps the first tokens (four in the paper) and the last ones. It is the A-shape of
    MInference (Jiang et al. 2024, arXiv:2407.02490).
    """

    sinks: int = option(4, low=1, help="first keys, which every query attends to")
    window: int = option(16, low=1, help=WIDTH_HELP)
    causal: bool = direction()

    def mask(self, n: int) -> BoolArray:
        return (np.abs(distances(n)) < self.window) | (np.arange(n) < self.sinks)[None, :]

    @classmethod
    def fit(cls, evidence: Evidence, causal: bool) -> Iterable[MaskKind]:
        column = np.broadcast_to(np.arange(evidence.n), (evidence.n, evidence.n))
        return [cls(*evidence.best_union(column, causal), causal)]


@dataclass(frozen=True)
class GlobalWindow(MaskKind, name="global-window", directions=BOTH_WAYS, drawn={"tokens": (1, 8), "window": (2, 4)}):
    """Query i attends to key j iff i < tokens, j < tokens or ``|i - j|`` < window; both directions.

    Beltagy et al. 2020, *Longformer*, arXiv:2004.05150, section 3.1 (global attention is symmetric); the internal form
    of Zaheer et al. 2020, *BigBird*, arXiv:2007.14062, without its random keys. A causal model has sink-window instead.
    """

    tokens: int = option(2, low=1, help="first tokens, which attend to all and are attended to by all")
    window: int = option(8, low=1, help=WIDTH_HELP)

    def mask(self, n: int) -> BoolArray:
        return (np.abs(distances(n)) < self.window) | (_earlier(n) < self.tokens)

    @classmethod
    def fit(cls, evidence: Evidence, causal: bool) -> Iterable[MaskKind]:
        return [cls(*evidence.best_union(_earlier(evidence.n), causal))]


def _earlier(n: int) -> np.ndarray:
    """``(n, n)``: the first of each cell's query and key."""
    return np.minimum(np.arange(n)[:, None], np.arange(n)[None, :])


@dataclass(frozen=True)
class Block(MaskKind, name="block", drawn={"size": (3, 2)}):
    """Query i attends to key j iff floor(i / size) = floor(j / size), and j <= i if causal.

    The block-diagonal permutation of Qiu et al. 2020, *Blockwise Self-Attention for Long Document Understanding*,
    arXiv:1911.02972; also documents of one length that are packed into one context.
    """

    size: int = option(8, low=1, help="tokens of a block")
    causal: bool = direction()

    def mask(self, n: int) -> BoolArray:
        return _same(np.arange(n) // self.size)

    @classmethod
    def fit(cls, evidence: Evidence, causal: bool) -> Iterable[MaskKind]:
        sums = [evidence.squares(size, causal) for size in range(1, evidence.n + 1)]
        return [cls(int(np.argmax(sums)) + 1, causal)]


def _same(part: np.ndarray) -> BoolArray:
    """``(n, n)``: whether query and key are in the same part."""
    return np.asarray(part[:, None] == part[None, :])


@dataclass(frozen=True)
class Fixed(MaskKind, name="fixed", directions=CAUSAL_ONLY):
    """Query i attends to key j <= i iff both are in one block, or j mod size >= size - summary.

    Child et al. 2019, *Generating Long Sequences with Sparse Transformers*, arXiv:1904.10509, section 4.3: the union of
    A(1) = {j : floor(j / l) = floor(i / l)} and A(2) = {j : j mod l in {t .. l - 1}}, t = l - c, for ``size`` l and
    ``summary`` c.
    """

    size: int = option(8, low=1, help="tokens of a block")
    summary: int = option(1, low=1, help="keys at the end of a block that all later queries attend to")

    def mask(self, n: int) -> BoolArray:
        place = np.arange(n)
        return _same(place // self.size) | (place % self.size >= self.size - self.summary)[None, :]

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
        return [] if best is None else [cls(*best[1:])]

    @classmethod
    def draw(cls, rng: np.random.Generator, n: int, causal: bool) -> MaskKind:
        size = int(rng.integers(4, n // 2 + 1))
        return cls(size, int(rng.integers(1, max(1, size // 4) + 1)))


@dataclass(frozen=True)
class MaskedRows(MaskKind, name="masked-rows"):
    """Masked rows attend to their last ``keep`` keys, themselves counted; the others are causal, or see everything.

    The rows of queries that are cut off from their context, as padded or masked tokens are, or the tokens of an
    intervention that blocks attention out of chosen positions (Geva et al. 2023, *Dissecting Recall of Factual
    Associations in Auto-Regressive Language Models*, arXiv:2304.14767, section 4, attention knockout). Row i is masked
    iff i and ``offset`` leave the same rest by ``period``, or, with ``rows``, if it is one of them.

    Raises:
        InputError: a row outside of the context.
    """

    period: int = option(8, low=2, help="from one masked row to the next")
    offset: int = option(-1, low=-1, help="the first masked row, counted from 0; -1: the last one of each period")
    rows: tuple[int, ...] = option((), kind=int, low=0, help="the masked rows, counted from 0, in place of a period")
    keep: int = option(1, low=0, help="keys that a masked row attends to, its own counted")
    causal: bool = direction()

    def mask(self, n: int) -> BoolArray:
        if self.rows and max(self.rows) >= n:
            raise InputError(f"row {max(self.rows)} of {n}", remedy=f"Rows are counted from 0 to {n - 1}")
        place, apart = np.arange(n), distances(n)
        masked = np.isin(place, self.rows) if self.rows else (place - self.offset) % self.period == 0
        return ~masked[:, None] | ((apart >= 0) & (apart < self.keep))

    def bits(self, n: int) -> float:
        """log2 n each for what is kept and for period and offset, or for the number of rows and their choice."""
        return 2 * math.log2(n) + log2_choose(n, len(set(self.rows))) if self.rows else 3 * math.log2(n)

    def describe(self) -> str:
        which = f"every {self.period} from row {self.offset % self.period}"
        if self.rows:
            which = f"{len(set(self.rows))} of them"
        return f"masked rows ({which}, {self.keep} key{'' if self.keep == 1 else 's'} kept{_both(self.causal)})"

    @classmethod
    def fit(cls, evidence: Evidence, causal: bool) -> Iterator[MaskKind]:
        n, gains = evidence.n, evidence.gains(causal)
        plain = gains.sum(axis=1)
        kept = np.zeros((min(MOST_KEPT, n) + 1, n), dtype=np.int64)
        for keep in range(1, len(kept)):
            kept[keep] = kept[keep - 1]
            kept[keep, keep - 1 :] += np.diagonal(gains, -(keep - 1))
        better = kept - plain  # (keep, row): what masking that row gains
        best: tuple[int, int, int, int] | None = None
        for period in range(2, n // 2 + 1):
            padded = np.pad(better, ((0, 0), (0, -n % period)))
            sums = padded.reshape(len(kept), -1, period).sum(axis=1)
            kept_keys, offset = divmod(int(sums.argmax()), period)
            if best is None or sums[kept_keys, offset] > best[0]:
                best = int(sums[kept_keys, offset]), period, offset, kept_keys
        if best is not None:
            yield cls(best[1], -1 if best[2] == best[1] - 1 else best[2], (), best[3], causal)
        most = n // 2  # more would be another kind, with some rows let free
        if not most:
            return
        order = np.argsort(-better, axis=1, kind="stable")[:, :most]
        sums = np.take_along_axis(better, order, axis=1).cumsum(axis=1) + plain.sum()
        price = np.array([log2_choose(n, count) for count in range(1, most + 1)])
        kept_keys, last = divmod(int((evidence.residual_bits(sums) + price).argmin()), most)
        yield cls(rows=tuple(sorted(order[kept_keys, : last + 1].tolist())), keep=kept_keys, causal=causal)

    @classmethod
    def draw(cls, rng: np.random.Generator, n: int, causal: bool) -> MaskKind:
        keep = int(rng.integers(0, 3))
        if rng.random() < 0.5:
            rows = rng.choice(np.arange(n // 4, n), size=max(3, n // 10), replace=False)
            return cls(rows=tuple(sorted(rows.tolist())), keep=keep, causal=causal)
        period = int(rng.integers(3, n // 4 + 1))
        return cls(period, int(rng.integers(-1, period - 1)), (), keep, causal)


@dataclass(frozen=True)
class Segments(MaskKind, name="segments", also="documents"):
    """Query i attends to key j iff no segment begins after the one and up to the other, and j <= i if causal.

    Documents packed into one context that do not see each other (Krell et al. 2021, *Efficient Sequence Packing without
    Cross-contamination*, arXiv:2107.02027, section 3.2.2); also heads that stay within a sentence. The first segment
    begins at 0.

    Raises:
        InputError: a segment that begins outside of the context.
    """

    starts: tuple[int, ...] = option((8, 24, 40), low=1, help="where the second segment begins, the third ...")
    causal: bool = direction()

    def mask(self, n: int) -> BoolArray:
        if max(self.starts, default=0) >= n:
            raise InputError(
                f"a segment that begins at {max(self.starts)} of {n}",
                remedy=f"Segments begin from 1 to {n - 1}; write for example segments:starts={max(1, n // 2)}",
            )
        return _same(np.searchsorted(np.unique(self.starts), np.arange(n), side="right"))

    def bits(self, n: int) -> float:
        """log2 n for the number of segments, and log2 of the ways to choose where they begin."""
        return math.log2(n) + log2_choose(n - 1, len(set(self.starts)))

    def describe(self) -> str:
        starts = sorted(set(self.starts))
        where = f" from {', '.join(map(str, starts))}" if 0 < len(starts) <= 6 else ""
        return f"segments ({len(starts) + 1} of them{where}{_both(self.causal)})"

    @classmethod
    def fit(cls, evidence: Evidence, causal: bool) -> Iterator[MaskKind]:
        """The best segments by dynamic programming over their ends, one candidate a penalty."""
        n, area = evidence.n, evidence.area(causal)
        corner = area.diagonal()
        found: set[tuple[int, ...]] = set()
        for penalty in PENALTIES:
            best = np.zeros(n + 1, dtype=np.int64)  # of the tokens before each place
            begin = np.zeros(n + 1, dtype=np.int64)  # where the last segment before it begins
            for end in range(1, n + 1):
                square = corner[end] - area[:end, end] - area[end, :end] + corner[:end]
                totals = best[:end] + square - penalty
                begin[end] = int(totals.argmax())
                best[end] = totals[begin[end]]
            starts = []
            place = int(begin[n])
            while place:
                starts.append(place)
                place = int(begin[place])
            found.add(tuple(reversed(starts)))
        for segments in sorted(found):
            yield cls(segments, causal)

    @classmethod
    def draw(cls, rng: np.random.Generator, n: int, causal: bool) -> MaskKind:
        count = int(rng.integers(2, max(3, min(6, n // 8)) + 1))
        while True:
            starts = np.sort(rng.choice(np.arange(2, n - 1), size=count - 1, replace=False))
            lengths = np.diff([0, *starts, n])
            if lengths.min() > 1 and (np.ptp(lengths[:-1]) or lengths[-1] > lengths[0]):  # not blocks of one size
                return cls(tuple(starts.tolist()), causal)


@dataclass(frozen=True)
class VerticalSlash(MaskKind, name="vertical-slash"):
    """Query i attends to key j iff j is one of ``columns``, or i - j one of ``slashes``; j <= i if causal.

    Jiang et al. 2024, *MInference 1.0*, arXiv:2407.02490, section 3.1, which finds it in most heads of long-context
    models. It is the most flexible kind here: windows, sinks and dilations are special cases, so a fit pays for every
    line. In both directions ``|i - j|`` is taken.

    Raises:
        InputError: a line outside of the context.
    """

    columns: tuple[int, ...] = option((0,), low=0, help="keys that every query attends to, counted from 0")
    slashes: tuple[int, ...] = option((0, 1), low=0, help="distances from query to key")
    causal: bool = direction()

    def mask(self, n: int) -> BoolArray:
        last = max((*self.columns, *self.slashes), default=0)
        if last >= n:
            raise InputError(f"line {last} of {n}", remedy=f"Columns and slashes are counted from 0 to {n - 1}")
        return np.isin(np.abs(distances(n)), self.slashes) | np.isin(np.arange(n), self.columns)[None, :]

    def bits(self, n: int) -> float:
        """log2 n for each of the two numbers of lines, and log2 of the ways to choose the lines."""
        lines = log2_choose(n, len(set(self.columns))) + log2_choose(n, len(set(self.slashes)))
        return 2 * math.log2(n) + lines

    def describe(self) -> str:
        lines = f"{_lines(self.columns, 'column', 'columns')}, {_lines(self.slashes, 'slash', 'slashes')}"
        return f"vertical slash ({lines}{_both(self.causal)})"

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
        return cls(tuple(sorted(columns.tolist())), (0, *sorted(slashes.tolist())), causal)


def _lines(places: tuple[int, ...], one: str, many: str) -> str:
    if not places:
        return f"no {one}"
    return f"{len(places)} {many}" if len(places) > 6 else f"{one if len(places) == 1 else many} {written(places)}"


def _both(causal: bool) -> str:
    return "" if causal else ", both directions"
