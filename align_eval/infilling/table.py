"""The measured rows of a corpus in columns: one entry for each row of each variant, under one view and one plan."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from align_eval.corpora.punctuation import is_punctuation
from align_eval.errors import InputError
from align_eval.infilling.measures import (
    MEASURES,
    Bools,
    Floats,
    RowMeasures,
    distributions,
    gold_cells,
    punctuation_columns,
    row_measures,
)
from align_eval.infilling.results import InfillResult, Variant, WordRows
from align_eval.statistics import jensen_shannon

if TYPE_CHECKING:
    from align_eval.corpora import SentencePair

Ints = NDArray[np.int64]


@dataclass(frozen=True)
class RowTable:
    """R rows: what each target word's row was in the full run and is in a run with words hidden.

    Attributes:
        sentence: ``(R,)`` position of the pair in the corpus, 0-based.
        variant: ``(R,)`` number of the variant of that pair.
        word: ``(R,)`` target word, 0-based.
        hidden: ``(R,)`` whether that word itself is hidden.
        share: ``(R,)`` share of the pair's target words that the variant hides.
        punctuation: ``(R,)`` whether the word is punctuation.
        full, after: each of :data:`~align_eval.infilling.measures.MEASURES` ``(R,)``, of the run with nothing hidden
            and of the variant; NaN where a measure does not apply.
        divergence: ``(R,)`` Jensen-Shannon divergence in bits between the two.
        log_probability: ``(R,)`` of the hidden word, natural logarithm; NaN for visible words.
        rank: ``(R,)`` of the hidden word, 1 is the best; NaN for visible words.
    """

    sentence: Ints
    variant: Ints
    word: Ints
    hidden: Bools
    share: Floats
    punctuation: Bools
    full: dict[str, Floats]
    after: dict[str, Floats]
    divergence: Floats
    log_probability: Floats
    rank: Floats

    def __len__(self) -> int:
        return len(self.sentence)

    @property
    def recovered(self) -> Floats:
        """1 where the hidden word is the model's first choice, else 0; NaN for visible words."""
        return np.where(np.isnan(self.rank), np.nan, (self.rank == 1).astype(np.float64))


@dataclass(frozen=True)
class HiddenRows:
    """The rows of all hidden words of one pair, over all of its variants: what null models stand in for.

    Attributes:
        sentence: position of the pair in the corpus, 0-based.
        pair: the pair.
        word: ``(n,)`` target words, 0-based.
        values: ``(n, K)`` weight on each source word.
        gold: ``(n, K)`` gold cells; ``None`` without gold.
    """

    sentence: int
    pair: SentencePair
    word: Ints
    values: Floats
    gold: Bools | None

    @property
    def shape(self) -> tuple[int, int]:
        """Target words Q and source words K of the pair."""
        return len(self.pair.target), len(self.pair.source)


class RowCollector:
    """Gathers results pair by pair into a :class:`RowTable` and the hidden rows.

    Args:
        view: which of the views of the results.
    """

    def __init__(self, view: int = 0) -> None:
        self._view = view
        self._parts: list[RowTable] = []
        self._hidden: list[HiddenRows] = []

    def add(self, result: InfillResult, variants: Sequence[Variant] | None = None) -> None:
        """Add a pair with all of its variants, or with those given; a pair without any adds nothing.

        Raises:
            InputError: a variant that does not say what the model made of each hidden word.
        """
        chosen = result.variants if variants is None else variants
        if not chosen:
            return
        pair = result.pair
        gold, marks = gold_cells(pair), punctuation_columns(pair)
        full_rows = one_view(result.full, self._view)
        full = row_measures(full_rows, gold, marks)
        hidden_words: list[int] = []
        hidden_values: list[Floats] = []
        for number, variant in enumerate(chosen):
            rows = one_view(variant.rows, self._view)
            self._parts.append(_part(result.index, number, pair, full_rows, full, rows, variant, gold, marks))
            hidden_words.extend(variant.masked)
            hidden_values.append(rows.values[0, list(variant.masked)])
        words = np.array(hidden_words, dtype=np.int64)
        self._hidden.append(
            HiddenRows(result.index, pair, words, np.concatenate(hidden_values), None if gold is None else gold[words])
        )

    def table(self) -> RowTable:
        """All rows added so far, in the order in which they were added."""
        if not self._parts:
            none, ints, bools = np.zeros(0), np.zeros(0, dtype=np.int64), np.zeros(0, dtype=bool)
            measured = dict.fromkeys(MEASURES, none)
            return RowTable(ints, ints, ints, bools, none, bools, measured, measured, none, none, none)
        parts = self._parts
        return RowTable(
            np.concatenate([p.sentence for p in parts]),
            np.concatenate([p.variant for p in parts]),
            np.concatenate([p.word for p in parts]),
            np.concatenate([p.hidden for p in parts]),
            np.concatenate([p.share for p in parts]),
            np.concatenate([p.punctuation for p in parts]),
            {name: np.concatenate([p.full[name] for p in parts]) for name in MEASURES},
            {name: np.concatenate([p.after[name] for p in parts]) for name in MEASURES},
            np.concatenate([p.divergence for p in parts]),
            np.concatenate([p.log_probability for p in parts]),
            np.concatenate([p.rank for p in parts]),
        )

    def hidden(self) -> list[HiddenRows]:
        """The hidden rows, in the order of the hidden rows of :meth:`table`."""
        return list(self._hidden)


def one_view(rows: WordRows, view: int) -> WordRows:
    """The rows of one view, with V = 1."""
    part = slice(view, view + 1)
    return WordRows(rows.values[part], rows.end[part], rows.rest[part], rows.outside[part])


def _part(
    index: int, number: int, pair: SentencePair, full_rows: WordRows, full: RowMeasures, rows: WordRows,
    variant: Variant, gold: Bools | None, marks: Bools,
) -> RowTable:  # fmt: skip
    size = len(pair.target)
    after = row_measures(rows, gold, marks)
    hidden = np.zeros(size, dtype=bool)
    hidden[list(variant.masked)] = True
    log_probability, rank = np.full(size, np.nan), np.full(size, np.nan)
    for filled in variant.filled:
        log_probability[filled.word], rank[filled.word] = filled.log_probability, filled.rank
    if not np.array_equal(np.isfinite(rank), hidden):
        raise InputError(
            f"sentence pair {pair.id}: the words {[f.word for f in variant.filled]} are filled in, but "
            f"{list(variant.masked)} are hidden"
        )
    return RowTable(
        np.full(size, index),
        np.full(size, number),
        np.arange(size),
        hidden,
        np.full(size, len(variant.masked) / size),
        np.array([is_punctuation(word) for word in pair.target]),
        {name: getattr(full, name)[0] for name in MEASURES},
        {name: getattr(after, name)[0] for name in MEASURES},
        jensen_shannon(distributions(full_rows), distributions(rows))[0],
        log_probability,
        rank,
    )
