"""Mask kinds by numbers (windows, dilations, blocks, prefixes, sinks) and by lists (rows, segments, lines).

Each is a function of the length n and its parameters, and under it what finds these in a pattern; the table of all
stands at the end. Masks are symmetric where they can be: of a causal mask the cells above the diagonal are cleared.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from align_eval.errors import InputError
from align_eval.patterns import tree
from align_eval.patterns.base import (
    CAUSAL,
    BoolArray,
    IntArray,
    MaskKind,
    Parameters,
    Sums,
    distances,
    log2_choose,
    written,
)
from align_eval.registry import Option

MOST_KEPT = 16
"""The most keys of a masked row that the fit tries."""
PENALTIES = (0, 1, 2, 4, 8, 16)
"""Cells that a segment more must explain, in turn; which number of segments is right is decided by its bits."""


def full(n: int) -> BoolArray:
    """All cells attend (Vaswani et al. 2017, arXiv:1706.03762, the encoder; Devlin et al. 2019, arXiv:1810.04805)."""
    return np.ones((n, n), dtype=bool)


def causal(n: int) -> BoolArray:
    """Query i attends to key j iff j <= i (Vaswani et al. 2017, arXiv:1706.03762, section 3.2.3, the decoder)."""
    return full(n)


def prefix(n: int, length: int) -> BoolArray:
    """Query i attends to key j iff j <= i or j < length: PrefixLM.

    Raffel et al. 2020, arXiv:1910.10683, section 3.2.1 ("causal with prefix"); Dong et al. 2019, *UniLM*,
    arXiv:1905.03197 (sequence-to-sequence mask).
    """
    return (distances(n) >= 0) | (np.arange(n) < length)[None, :]


def fit_prefix(sums: Sums) -> Iterator[Parameters]:
    yield {"length": int(np.triu(sums.gains, 1).sum(axis=0).cumsum().argmax()) + 1}


def sliding_window(n: int, width: int) -> BoolArray:
    """Query i attends to key j iff 0 <= i - j < width; in both directions iff ``|i - j|`` < width.

    Beltagy et al. 2020, *Longformer*, arXiv:2004.05150, section 3.1 (whose w is 2 width - 1 here); the causal form as
    in Mistral 7B (Jiang et al. 2023, arXiv:2310.06825, section 2), which counts the query's own key in the width.
    """
    return np.abs(distances(n)) < width


def fit_window(sums: Sums) -> Iterator[Parameters]:
    yield {"width": int(sums.by_distance.cumsum().argmax()) + 1}


def dilated(n: int, dilation: int, width: int) -> BoolArray:
    """Query i attends to key j iff i - j is one of 0, d, 2d ... (width - 1) d, d the dilation.

    Beltagy et al. 2020, *Longformer*, arXiv:2004.05150, section 3.1 (after the dilated convolutions of van den Oord et
    al. 2016, arXiv:1609.03499). In both directions ``|i - j|`` is taken.
    """
    far = np.abs(distances(n))
    return (far % dilation == 0) & (far < dilation * width)


def fit_dilated(sums: Sums) -> Iterator[Parameters]:
    by = {d: sums.by_distance[::d].cumsum() for d in range(2, sums.n)}  # a dilation of 1 is a sliding window
    if by:
        dilation = max(by, key=lambda d: int(by[d].max()))
        yield {"dilation": dilation, "width": int(by[dilation].argmax()) + 1}


def strided(n: int, stride: int) -> BoolArray:
    """Query i attends to key j iff 0 <= i - j <= stride, or i - j >= 0 is a multiple of the stride.

    Child et al. 2019, *Generating Long Sequences with Sparse Transformers*, arXiv:1904.10509, section 4.3: the union of
    A(1) = {t .. i}, t = max(0, i - l), and A(2) = {j : (i - j) mod l = 0}. In both directions ``|i - j|`` is taken.
    """
    far = np.abs(distances(n))
    return (far <= stride) | (far % stride == 0)


def fit_strided(sums: Sums) -> Iterator[Parameters]:
    gains, band = sums.by_distance, sums.by_distance.cumsum()
    found = [band[stride] + gains[2 * stride :: stride].sum() for stride in range(1, sums.n)]
    if found:
        yield {"stride": int(np.argmax(found)) + 1}


def sink_window(n: int, sinks: int, window: int) -> BoolArray:
    """Query i attends to key j <= i iff j < sinks or i - j < window; in both directions ``|i - j|`` is taken.

    Xiao et al. 2023, *Efficient Streaming Language Models with Attention Sinks* (StreamingLLM), arXiv:2309.17453,
    section 3.2: the key-value cache keeps the first tokens (four in the paper) and the last ones. It is the A-shape of
    MInference (Jiang et al. 2024, arXiv:2407.02490).
    """
    return (np.abs(distances(n)) < window) | (np.arange(n) < sinks)[None, :]


def fit_sinks(sums: Sums) -> Iterator[Parameters]:
    sinks, window = sums.best_union(np.broadcast_to(np.arange(sums.n), (sums.n, sums.n)))
    yield {"sinks": sinks, "window": window}


def global_window(n: int, tokens: int, window: int) -> BoolArray:
    """Query i attends to key j iff i < tokens, j < tokens or ``|i - j|`` < window; both directions.

    Beltagy et al. 2020, *Longformer*, arXiv:2004.05150, section 3.1 (global attention is symmetric); the internal form
    of Zaheer et al. 2020, *BigBird*, arXiv:2007.14062, without its random keys. A causal model has sink-window instead.
    """
    return (np.abs(distances(n)) < window) | (_earlier(n) < tokens)


def fit_global(sums: Sums) -> Iterator[Parameters]:
    tokens, window = sums.best_union(_earlier(sums.n))
    yield {"tokens": tokens, "window": window}


def _earlier(n: int) -> IntArray:
    """``(n, n)``: the first of each cell's query and key."""
    return np.minimum(np.arange(n)[:, None], np.arange(n)[None, :])


def block(n: int, size: int) -> BoolArray:
    """Query i attends to key j iff floor(i / size) = floor(j / size), and j <= i if causal.

    The block-diagonal permutation of Qiu et al. 2020, *Blockwise Self-Attention for Long Document Understanding*,
    arXiv:1911.02972; also documents of one length that are packed into one context.
    """
    return _same(np.arange(n) // size)


def fit_block(sums: Sums) -> Iterator[Parameters]:
    yield {"size": int(np.argmax(sums.squares[1:])) + 1}


def _same(part: IntArray) -> BoolArray:
    """``(n, n)``: whether query and key are in the same part."""
    return np.asarray(part[:, None] == part[None, :])


def fixed(n: int, size: int, summary: int) -> BoolArray:
    """Query i attends to key j <= i iff both are in one block, or j mod size >= size - summary.

    Child et al. 2019, *Generating Long Sequences with Sparse Transformers*, arXiv:1904.10509, section 4.3: the union of
    A(1) = {j : floor(j / l) = floor(i / l)} and A(2) = {j : j mod l in {t .. l - 1}}, t = l - c, for ``size`` l and
    ``summary`` c.
    """
    place = np.arange(n)
    return _same(place // size) | (place % size >= size - summary)[None, :]


def fit_fixed(sums: Sums) -> Iterator[Parameters]:
    n, column = sums.n, np.arange(sums.n)
    below = np.pad(sums.gains[::-1].cumsum(axis=0)[::-1], ((0, 1), (0, 0)))  # (n + 1, n): sum of rows >= i
    found = []
    for size in range(2, n):
        after = below[np.minimum((column // size + 1) * size, n), column]  # the column outside of its own block
        by_place = np.bincount(column % size, weights=after, minlength=size)[::-1].cumsum()[:-1]
        summary = int(by_place.argmax())
        found.append((sums.squares[size] + int(by_place[summary]), size, summary + 1))
    if found:
        _, size, summary = max(found, key=lambda one: one[0])
        yield {"size": size, "summary": summary}


def masked_rows(n: int, period: int, offset: int, rows: tuple[int, ...], keep: int) -> BoolArray:
    """Masked rows attend to their last ``keep`` keys, themselves counted; the others are causal, or see everything.

    The rows of queries that are cut off from their context, as padded or masked tokens are, or the tokens of an
    intervention that blocks attention out of chosen positions (Geva et al. 2023, *Dissecting Recall of Factual
    Associations in Auto-Regressive Language Models*, arXiv:2304.14767, section 4, attention knockout). Row i is masked
    iff i and ``offset`` leave the same rest by ``period``, or, with ``rows``, if it is one of them.
    """
    if rows and max(rows) >= n:
        raise InputError(f"row {max(rows)} of {n}", remedy=f"Rows are counted from 0 to {n - 1}")
    place, apart = np.arange(n), distances(n)
    masked = np.isin(place, rows) if rows else (place - offset) % period == 0
    return ~masked[:, None] | ((apart >= 0) & (apart < keep))


def bits_of_rows(n: int, given: Parameters) -> float:
    """log2 n each for what is kept and for period and offset, or for the number of rows and their choice."""
    rows = given["rows"]
    return 2 * math.log2(n) + log2_choose(n, len(set(rows))) if rows else 3 * math.log2(n)


def words_of_rows(given: Parameters) -> str:
    period, rows, keep = given["period"], given["rows"], given["keep"]
    which = f"{len(set(rows))} of them" if rows else f"every {period} from row {given['offset'] % period}"
    return f"masked rows ({which}, {keep} key{'' if keep == 1 else 's'} kept)"


def fit_rows(sums: Sums) -> Iterator[Parameters]:
    n, plain = sums.n, sums.gains.sum(axis=1)
    kept = np.zeros((min(MOST_KEPT, n) + 1, n), dtype=np.int64)
    for keep in range(1, len(kept)):
        kept[keep] = kept[keep - 1]
        kept[keep, keep - 1 :] += np.diagonal(sums.gains, -(keep - 1))
    better = kept - plain  # (keep, row): what masking that row gains
    most = n // 2  # more rows would be another kind, with some rows let free
    found = []
    for period in range(2, most + 1):
        padded = np.pad(better, ((0, 0), (0, -n % period)))
        gained = padded.reshape(len(kept), -1, period).sum(axis=1)
        keep, offset = divmod(int(gained.argmax()), period)
        found.append((int(gained[keep, offset]), period, offset, keep))
    if found:
        _, period, offset, keep = max(found, key=lambda one: one[0])
        yield {"period": period, "offset": -1 if offset == period - 1 else offset, "keep": keep}
    if not most:
        return
    order = np.argsort(-better, axis=1, kind="stable")[:, :most]
    gained = np.take_along_axis(better, order, axis=1).cumsum(axis=1) + plain.sum()
    price = np.array([log2_choose(n, count) for count in range(1, most + 1)])
    keep, last = divmod(int((sums.residual_bits(gained) + price).argmin()), most)
    yield {"rows": tuple(sorted(order[keep, : last + 1].tolist())), "keep": keep}


def segments(n: int, starts: tuple[int, ...]) -> BoolArray:
    """Query i attends to key j iff no segment begins after the one and up to the other, and j <= i if causal.

    Documents packed into one context that do not see each other (Krell et al. 2021, *Efficient Sequence Packing without
    Cross-contamination*, arXiv:2107.02027, section 3.2.2); also heads that stay within a sentence. The first segment
    begins at 0.
    """
    if max(starts, default=0) >= n:
        raise InputError(
            f"a segment that begins at {max(starts)} of {n}",
            remedy=f"Segments begin from 1 to {n - 1}; write for example segments:starts={max(1, n // 2)}",
        )
    return _same(np.searchsorted(np.unique(starts), np.arange(n), side="right"))


def bits_of_segments(n: int, given: Parameters) -> float:
    """log2 n for the number of segments, and log2 of the ways to choose where they begin."""
    return math.log2(n) + log2_choose(n - 1, len(set(given["starts"])))


def words_of_segments(given: Parameters) -> str:
    starts = sorted(set(given["starts"]))
    where = f" from {', '.join(map(str, starts))}" if 0 < len(starts) <= 6 else ""
    return f"segments ({len(starts) + 1} of them{where})"


def fit_segments(sums: Sums) -> Iterator[Parameters]:
    """The best segments by dynamic programming over their ends, one candidate a penalty."""
    n, area = sums.n, sums.area
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
        starts: list[int] = []
        place = int(begin[n])
        while place:
            starts.insert(0, place)
            place = int(begin[place])
        found.add(tuple(starts))
    for chosen in sorted(found):
        yield {"starts": chosen}


def vertical_slash(n: int, columns: tuple[int, ...], slashes: tuple[int, ...]) -> BoolArray:
    """Query i attends to key j iff j is one of ``columns``, or i - j one of ``slashes``; j <= i if causal.

    Jiang et al. 2024, *MInference 1.0*, arXiv:2407.02490, section 3.1, which finds it in most heads of long-context
    models. It is the most flexible kind here: windows, sinks and dilations are special cases, so a fit pays for every
    line. In both directions ``|i - j|`` is taken.
    """
    last = max((*columns, *slashes), default=0)
    if last >= n:
        raise InputError(f"line {last} of {n}", remedy=f"Columns and slashes are counted from 0 to {n - 1}")
    return np.isin(np.abs(distances(n)), slashes) | np.isin(np.arange(n), columns)[None, :]


def bits_of_lines(n: int, given: Parameters) -> float:
    """log2 n for each of the two numbers of lines, and log2 of the ways to choose the lines."""
    return sum(math.log2(n) + log2_choose(n, len(set(given[key]))) for key in ("columns", "slashes"))


def words_of_lines(given: Parameters) -> str:
    lines = f"{_lines(given['columns'], 'column', 'columns')}, {_lines(given['slashes'], 'slash', 'slashes')}"
    return f"vertical slash ({lines})"


def _lines(places: tuple[int, ...], one: str, many: str) -> str:
    if not places:
        return f"no {one}"
    return f"{len(places)} {many}" if len(places) > 6 else f"{one if len(places) == 1 else many} {written(places)}"


def fit_lines(sums: Sums) -> Iterator[Parameters]:
    """One line after another, that which gains most first; as many as pay for themselves."""
    n, free = sums.n, sums.gains.copy()
    place, far = np.arange(n), np.abs(distances(n))
    by_column, by_slash = free.sum(axis=0), sums.by_distance.copy()
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
            if slash:  # of a causal mask nothing is left to gain after the diagonal
                rows, cols = np.concatenate([rows, cols]), np.concatenate([cols, rows])
        taken = free[rows, cols]
        np.subtract.at(by_column, cols, taken)
        np.subtract.at(by_slash, far[rows, cols], taken)
        free[rows, cols] = 0
        lines = log2_choose(n, len(columns)) + log2_choose(n, len(slashes))
        bits = float(sums.residual_bits(total)) + lines
        if bits < best[0]:
            best = bits, len(columns), len(slashes)
    columns, slashes = columns[: best[1]], slashes[: best[2]]
    if columns or slashes:
        yield {"columns": tuple(sorted(columns)), "slashes": tuple(sorted(slashes))}


def _number(default: int, about: str, low: int = 1) -> Option:
    return Option(int, default, low=low, help=about)


def _several(default: tuple[int, ...], about: str, low: int = 0) -> Option:
    return Option(int, default, low=low, many="+", help=about)


WIDTH = Option(int, 8, low=1, help="keys of a query on one side, its own counted")
WIDE = replace(WIDTH, default=16)
MaskKind("full", full, lambda sums: [{}], also="bidirectional")
MaskKind("causal", causal, lambda sums: [{}], causal=True)
MaskKind("prefix", prefix, fit_prefix, {"length": _number(16, "tokens that every query attends to")})
MaskKind("sliding-window", sliding_window, fit_window, {"width": WIDE, "causal": CAUSAL})
MaskKind(
    "dilated", dilated, fit_dilated,
    {"dilation": _number(2, "from one key to the next"), "width": WIDTH, "causal": CAUSAL},
)  # fmt: skip
MaskKind(
    "strided", strided, fit_strided,
    {"stride": _number(8, "length of the band, and step between the keys before it"), "causal": CAUSAL},
)  # fmt: skip
MaskKind(
    "sink-window", sink_window, fit_sinks,
    {"sinks": _number(4, "first keys, which every query attends to"), "window": WIDE, "causal": CAUSAL},
)  # fmt: skip
MaskKind(
    "global-window", global_window, fit_global,
    {"tokens": _number(2, "first tokens, which attend to all and are attended to by all"), "window": WIDTH},
)  # fmt: skip
MaskKind("block", block, fit_block, {"size": _number(8, "tokens of a block"), "causal": CAUSAL})
MaskKind(
    "fixed", fixed, fit_fixed,
    {
        "size": _number(8, "tokens of a block"),
        "summary": _number(1, "keys at the end of a block that all later queries attend to"),
    },
    causal=True,
)  # fmt: skip
MaskKind(
    "masked-rows", masked_rows, fit_rows,
    {
        "period": _number(8, "from one masked row to the next", 2),
        "offset": _number(-1, "the first masked row, counted from 0; -1: the last one of each period", -1),
        "rows": _several((), "the masked rows, counted from 0, in place of a period"),
        "keep": _number(1, "keys that a masked row attends to, its own counted", 0),
        "causal": CAUSAL,
    },
    bits=bits_of_rows, words=words_of_rows,
)  # fmt: skip
MaskKind(
    "segments", segments, fit_segments,
    {"starts": _several((8, 24, 40), "where the second segment begins, the third ...", 1), "causal": CAUSAL},
    bits=bits_of_segments, words=words_of_segments, also="documents",
)  # fmt: skip
MaskKind(
    "vertical-slash", vertical_slash, fit_lines,
    {
        "columns": _several((0,), "keys that every query attends to, counted from 0"),
        "slashes": _several((0, 1), "distances from query to key"),
        "causal": CAUSAL,
    },
    bits=bits_of_lines, words=words_of_lines,
)  # fmt: skip
MaskKind(
    "tree", tree.speculative, tree.fit,
    {
        "drafts": _number(64, "draft tokens at the end of the context"),
        "branching": _several((4, 3, 2, 1), "children by depth, the last one repeated", 1),
        "order": Option(str, "breadth", choices=tree.ORDERS, help="numbering of the drafts"),
        "parents": _several((), "the parent of each draft, -1 for the context; in place of the others", -1),
    },
    causal=True, bits=tree.bits, words=tree.words, also="speculative",
)  # fmt: skip
