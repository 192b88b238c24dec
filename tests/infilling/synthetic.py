"""Results of a probe that are made up: a corpus whose rows are known, without a model."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from align_eval.corpora.pair import SentencePair
from align_eval.infilling.measures import Filled, InfillResult, Variant, WordRows
from align_eval.links import GoldLinks, Links

RowsOf = Callable[[SentencePair, tuple[int, ...]], NDArray[np.float64]]


def word_rows(values: NDArray[np.float64], end: NDArray[np.float64] | float = 0.0) -> WordRows:
    """One view of rows ``(Q, K)`` and weight on the end of the sentence."""
    values = np.asarray(values, dtype=np.float64)[None]
    ends = np.broadcast_to(np.asarray(end, dtype=np.float64), values.shape[1:2])[None]
    none = np.zeros(values.shape[:2])
    return WordRows(values, np.array(ends), 1 - values.sum(axis=-1) - ends, none)


def result(
    index: int, pair: SentencePair, masks: Sequence[tuple[int, ...]], rows_of: RowsOf, filled: Callable[[int], Filled]
) -> InfillResult:
    """A result whose rows are ``rows_of(pair, masked)``."""
    variants = tuple(Variant(m, word_rows(rows_of(pair, m)), tuple(filled(w) for w in m)) for m in masks)
    return InfillResult(index, pair, (), word_rows(rows_of(pair, ())), variants)


def fill(word: int) -> Filled:
    """Every masked word is the model's first choice."""
    return Filled(word, f"t{word}", -0.5, 1, ((f"t{word}", 0.6),))


def corpus(sentences: int, seed: int, *, low: int = 4, high: int = 12, shuffled: bool = True) -> list[SentencePair]:
    """Pairs as long on both sides; each target word has one sure link, at a random place or on the diagonal."""
    rng = np.random.default_rng(seed)
    pairs = []
    for k in range(sentences):
        size = int(rng.integers(low, high + 1))
        places = rng.permutation(size) if shuffled else np.arange(size)
        gold = GoldLinks(Links([(int(s), t) for t, s in enumerate(places)]))
        pairs.append(
            SentencePair(str(k), tuple(f"s{k}.{i}" for i in range(size)), tuple(f"t{i}" for i in range(size)), gold)
        )
    return pairs


def gold_map(pair: SentencePair, sharp: float = 0.8) -> NDArray[np.float64]:
    """Rows with ``sharp`` of their weight on the gold word, and the rest spread over all."""
    assert pair.gold is not None
    size = len(pair.source)
    matrix = pair.gold.possible.matrix(size, len(pair.target)).T.astype(np.float64)
    return np.asarray(sharp * matrix / matrix.sum(axis=1, keepdims=True) + (1 - sharp) / size)
