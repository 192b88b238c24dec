"""Rows of attention over the source: of the unmasked run and with target words masked, and what is measured of them.

Numpy alone. Functions work on whole arrays, the last axis over the source; indices are 0-based, entropies and
divergences in bits. A row with NaN (a word without a token) gives NaN.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from align_eval.corpora.words import is_punctuation
from align_eval.errors import InputError
from align_eval.statistics import jensen_shannon

if TYPE_CHECKING:
    from align_eval.attribution.matrix import View
    from align_eval.corpora import SentencePair

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
Ints = NDArray[np.int64]

TIE = 1e-6
"""Source words whose weight is within this fraction of the highest count as equal: the rounding of float32."""


@dataclass(frozen=True)
class WordRows:
    """Rows of H heads between words, as distributions: Q target words (rows), K source words (columns).

    Of an encoder-decoder model ``values.sum(-1) + end + rest`` is 1: its rows are distributions over the source. Of an
    encoder the rows are divided by their mass on source words, so that ``values.sum(-1)`` is 1, ``end`` and ``rest``
    are 0, and ``outside`` is what lay elsewhere. A target word without a token has NaN in its row; a source word
    without one has 0 in its column.
    """

    values: Floats  # (H, Q, K) mass on each source word: summed over its tokens, mean over those of the target word
    end: Floats  # (H, Q) mass on the end-of-sentence token of the source
    rest: Floats  # (H, Q) mass on all other columns that are no word (a language code, a prefix)
    outside: Floats  # (H, Q) mass outside of the source before the rows were divided; 0 for encoder-decoder models

    def head(self, number: int) -> WordRows:
        """The rows of one head, by its 0-based number, with H = 1."""
        part = slice(number, number + 1)
        return WordRows(self.values[part], self.end[part], self.rest[part], self.outside[part])

    def distributions(self) -> Floats:
        """Rows over source words, end of sentence and the rest, ``(H, Q, K + 2)``; they sum to 1."""
        return np.concatenate([self.values, self.end[..., None], self.rest[..., None]], axis=-1)


@dataclass(frozen=True)
class Filled:
    """What the model predicts for one masked word."""

    word: int  # target word, 0-based
    text: str  # the masked word
    log_probability: float  # natural logarithm; of several tokens the sum (they are predicted in parallel)
    rank: int  # 1 if the model finds no other token more probable; of several tokens the worst of their ranks
    top: tuple[tuple[str, float], ...]  # most probable fillings, probabilities (product over tokens), descending


@dataclass(frozen=True)
class Variant:
    """A pair with some target words masked."""

    masked: tuple[int, ...]  # target words, 0-based, ascending
    rows: WordRows  # of all target words, masked or not
    filled: tuple[Filled, ...]  # one a masked word, in their order


@dataclass(frozen=True)
class InfillResult:
    """What a model gives for one pair, unmasked and with words masked."""

    index: int  # position of the pair in what was given, 0-based
    pair: SentencePair
    heads: tuple[View, ...]  # the H heads (layer, head, mode) of all rows
    full: WordRows  # of the unmasked run
    variants: tuple[Variant, ...]  # one a mask, in the order given


def entropy(rows: Floats) -> Floats:
    """Entropy of distributions ``(..., n)`` in bits, ``(...)``: 0 for one sharp peak, ``log2 n`` for a uniform row."""
    positive = np.where(rows > 0, rows, np.where(np.isnan(rows), np.nan, 1.0))
    return np.asarray(-(rows * np.log2(positive)).sum(axis=-1)) + 0.0


def gold_cells(pair: SentencePair) -> Bools | None:
    """``(Q, K)``: which source word a possible link, sure ones included, joins to which target word; ``None``: no gold.

    Target words without a link do not count in any measure of gold.
    """
    return None if pair.gold is None else pair.gold.possible.matrix(len(pair.source), len(pair.target)).T


def punctuation_columns(pair: SentencePair) -> Bools:
    """Which source words are punctuation, ``(K,)``."""
    return np.array([is_punctuation(word) for word in pair.source], dtype=bool)


def mass_on(values: Floats, cells: Bools) -> Floats:
    """Mass on the source words that ``cells`` names (``(K,)`` or ``(..., K)``), ``(...)``."""
    return np.asarray(np.where(cells, values, np.where(np.isnan(values), np.nan, 0.0)).sum(axis=-1))


def argmax_hit(values: Floats, cells: Bools) -> Floats:
    """Whether the highest source word of a row is among ``cells``: 1, 0, or the fraction of those that tie for highest.

    The argmax is over source words alone. Words within :data:`TIE` of the highest count as equal, so that a uniform
    row has (gold words) / (source words).
    """
    if values.shape[-1] == 0:
        return np.zeros(values.shape[:-1])
    top = values >= values.max(axis=-1, keepdims=True) * (1 - TIE)
    hits = (top & cells).sum(axis=-1) / np.maximum(top.sum(axis=-1), 1)
    return np.asarray(np.where(np.isnan(values).any(axis=-1), np.nan, hits))


def diagonal_distance(values: Floats) -> Floats:
    """Mean distance of a row's mass to the diagonal, in lengths of the source, ``(..., Q, K)`` -> ``(..., Q)``.

    Word k of K lies at (k + 1/2) / K, and the diagonal of row q of Q at (q + 1/2) / Q:
    sum_k a_qk |(k + 1/2) / K - (q + 1/2) / Q| / sum_k a_qk. A uniform row in the middle has 1/4, one at either end 1/2;
    a row without mass on words NaN.
    """
    rows, columns = values.shape[-2:]
    place, expected = (np.arange(columns) + 0.5) / max(columns, 1), (np.arange(rows) + 0.5) / max(rows, 1)
    weight = values.sum(axis=-1)
    with np.errstate(invalid="ignore", divide="ignore"):
        distance = (values * np.abs(place[None, :] - expected[:, None])).sum(axis=-1)
        return np.asarray(distance / np.where(weight > 0, weight, np.nan))


# Of each row: its entropy in bits, over source words, end of sentence and the rest; mass on gold-aligned source words,
# and whether the argmax is one (NaN without a gold link); mass on the end of the sentence and on punctuation; mean
# distance to the diagonal.
MEASURES = ("entropy", "mass", "accuracy", "end", "punctuation", "distance")
Measures = dict[str, Floats]


def row_measures(rows: WordRows, gold: Bools | None, punctuation: Bools) -> Measures:
    """Each of :data:`MEASURES` ``(H, Q)`` of all rows, with the pair's gold ``(Q, K)`` and punctuation ``(K,)``."""
    if gold is None:
        mass = accuracy = np.full(rows.values.shape[:2], np.nan)
    else:
        linked = gold.any(axis=1)
        mass = np.where(linked, mass_on(rows.values, gold), np.nan)
        accuracy = np.where(linked, argmax_hit(rows.values, gold), np.nan)
    return {
        "entropy": entropy(rows.distributions()), "mass": mass, "accuracy": accuracy, "end": rows.end,
        "punctuation": mass_on(rows.values, punctuation), "distance": diagonal_distance(rows.values),
    }  # fmt: skip


@dataclass(frozen=True)
class RowTable:
    """R rows, one for each target word of each variant of a corpus, of one head; each field is ``(R,)``."""

    sentence: Ints  # position of the pair in the corpus, 0-based
    variant: Ints  # number of the variant of that pair
    masked: Bools  # whether the target word of the row is masked
    ratio: Floats  # fraction of the pair's target words that the variant masks
    punctuation: Bools  # whether the word is punctuation
    full: Measures  # each of MEASURES, of the unmasked run; NaN where a measure does not apply
    after: Measures  # of the variant
    divergence: Floats  # Jensen-Shannon divergence in bits between the two
    log_probability: Floats  # of the masked word, natural logarithm; NaN for visible words
    rank: Floats  # of the masked word, 1 is the best; NaN for visible words

    def __len__(self) -> int:
        return len(self.sentence)

    @property
    def recovered(self) -> Floats:
        """1 where the masked word is the model's first choice, else 0; NaN for visible words."""
        return np.where(np.isnan(self.rank), np.nan, (self.rank == 1).astype(np.float64))


def joined(tables: Sequence[RowTable]) -> RowTable:
    """The rows of tables as one."""

    def column(name: str) -> Any:
        parts = [getattr(table, name) for table in tables]
        if isinstance(parts[0], dict):
            return {measure: np.concatenate([part[measure] for part in parts]) for measure in MEASURES}
        return np.concatenate(parts)

    return RowTable(**{field.name: column(field.name) for field in fields(RowTable)})


@dataclass(frozen=True)
class MaskedRows:
    """The rows of all masked words of one pair, over all of its variants: what baselines stand in for."""

    sentence: int  # position of the pair in the corpus, 0-based
    pair: SentencePair
    word: Ints  # (n,) target words, 0-based
    values: Floats  # (n, K) mass on each source word
    gold: Bools | None  # (n, K) gold cells; None without gold

    @property
    def shape(self) -> tuple[int, int]:
        """Target words Q and source words K of the pair."""
        return len(self.pair.target), len(self.pair.source)


class RowCollector:
    """Gathers results pair by pair: ``masked`` holds the masked rows, in the order of those of :meth:`table`."""

    def __init__(self) -> None:
        none, ints, bools = np.zeros(0), np.zeros(0, dtype=np.int64), np.zeros(0, dtype=bool)
        measured = dict.fromkeys(MEASURES, none)
        self._parts = [RowTable(ints, ints, bools, none, bools, measured, measured, none, none, none)]
        self.masked: list[MaskedRows] = []

    def add(self, result: InfillResult, variants: Sequence[Variant] | None = None) -> None:
        """Add the first head of a pair with all of its variants, or with those given; without any it adds nothing."""
        chosen = result.variants if variants is None else variants
        if not chosen:
            return
        pair, full_rows = result.pair, result.full.head(0)
        gold, marks = gold_cells(pair), punctuation_columns(pair)
        full = {name: values[0] for name, values in row_measures(full_rows, gold, marks).items()}
        size = len(pair.target)
        punctuation = np.array([is_punctuation(word) for word in pair.target])
        for number, variant in enumerate(chosen):
            rows = variant.rows.head(0)
            after = {name: values[0] for name, values in row_measures(rows, gold, marks).items()}
            masked = np.isin(np.arange(size), variant.masked)
            log_probability, rank = np.full(size, np.nan), np.full(size, np.nan)
            for filled in variant.filled:
                log_probability[filled.word], rank[filled.word] = filled.log_probability, filled.rank
            if not np.array_equal(np.isfinite(rank), masked):
                raise InputError(
                    f"sentence pair {pair.id}: the words {[f.word for f in variant.filled]} are filled in, but "
                    f"{list(variant.masked)} are masked"
                )
            self._parts.append(
                RowTable(
                    np.full(size, result.index), np.full(size, number), masked,
                    np.full(size, len(variant.masked) / size), punctuation, full, after,
                    jensen_shannon(full_rows.distributions(), rows.distributions())[0], log_probability, rank,
                )
            )  # fmt: skip
        words = np.array([word for variant in chosen for word in variant.masked], dtype=np.int64)
        values = np.concatenate([variant.rows.values[0, list(variant.masked)] for variant in chosen])
        self.masked.append(MaskedRows(result.index, pair, words, values, None if gold is None else gold[words]))

    def table(self) -> RowTable:
        """All rows added so far, in the order in which they were added."""
        return joined(self._parts)
