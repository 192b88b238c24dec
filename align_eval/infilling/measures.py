"""What is measured of a row of attention over the source, before and after words of the target are hidden.

All functions work on whole arrays: any axes before the last, the last one over the source. Indices are 0-based,
entropies and divergences in bits. A row with NaN (a word without any sub-word) gives NaN.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from align_eval.corpora.punctuation import is_punctuation
from align_eval.errors import InputError
from align_eval.infilling.results import WordRows

if TYPE_CHECKING:
    from align_eval.corpora import SentencePair

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

TIE = 1e-6
"""Source words whose weight is within this share of the highest one count as equal: the rounding of float32."""


def distributions(rows: WordRows) -> Floats:
    """Rows over source words, end of sentence and the rest, ``(V, Q, K + 2)``; they sum to 1."""
    return np.concatenate([rows.values, rows.end[..., None], rows.rest[..., None]], axis=-1)


def entropy(rows: Floats) -> Floats:
    """Entropy of distributions ``(..., n)`` in bits, ``(...)``: 0 for one sharp peak, ``log2 n`` for a uniform row."""
    positive = np.where(rows > 0, rows, np.where(np.isnan(rows), np.nan, 1.0))
    return np.asarray(-(rows * np.log2(positive)).sum(axis=-1)) + 0.0


def gold_cells(pair: SentencePair) -> Bools | None:
    """Which source word is gold for which target word, ``(Q, K)``: the possible links, sure ones included.

    ``None``: the pair has no gold links at hand. Rows of target words without a link are all false; they do not count
    in anything that is said of gold.
    """
    if pair.gold is None:
        return None
    return pair.gold.possible.matrix(len(pair.source), len(pair.target)).T


def punctuation_columns(pair: SentencePair) -> Bools:
    """Which source words are punctuation, ``(K,)``; see :func:`align_eval.corpora.punctuation.is_punctuation`."""
    return np.array([is_punctuation(word) for word in pair.source], dtype=bool)


def mass(values: Floats, cells: Bools) -> Floats:
    """Weight on the source words that ``cells`` names (``(K,)`` or ``(..., K)``), ``(...)``."""
    return np.asarray(np.where(cells, values, np.where(np.isnan(values), np.nan, 0.0)).sum(axis=-1))


def peak_hit(values: Floats, cells: Bools) -> Floats:
    """Whether the highest source word of a row is among ``cells``: 1, 0, or the share of those that tie for highest.

    The peak is taken over source words alone; weight on the end of sentence or elsewhere does not count. Words within
    :data:`TIE` of the highest count as equal, so that a uniform row has (gold words) / (source words).
    """
    if values.shape[-1] == 0:
        return np.zeros(values.shape[:-1])
    top = values >= values.max(axis=-1, keepdims=True) * (1 - TIE)
    hits = (top & cells).sum(axis=-1) / np.maximum(top.sum(axis=-1), 1)
    return np.asarray(np.where(np.isnan(values).any(axis=-1), np.nan, hits))


def diagonal_distance(values: Floats) -> Floats:
    """Mean distance of a row's weight to the diagonal, in lengths of the source, ``(..., Q, K)`` -> ``(..., Q)``.

    Word k of K lies at (k + 1/2) / K, and the diagonal of row q of Q at (q + 1/2) / Q:
    sum_k a_qk |(k + 1/2) / K - (q + 1/2) / Q| / sum_k a_qk. Weight that is on no word is left out. 0: all on the
    diagonal; a uniform row in the middle has 1/4, one at either end 1/2. A row without weight on words gives NaN.
    """
    rows, columns = values.shape[-2:]
    place, expected = (np.arange(columns) + 0.5) / max(columns, 1), (np.arange(rows) + 0.5) / max(rows, 1)
    distance = np.abs(place[None, :] - expected[:, None])
    weight = values.sum(axis=-1)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray((values * distance).sum(axis=-1) / np.where(weight > 0, weight, np.nan))


@dataclass(frozen=True)
class RowMeasures:
    """Measures of every row of every view, each ``(V, Q)``.

    Attributes:
        entropy: bits, over source words, end of sentence and the rest.
        gold_mass: weight on gold-aligned source words; NaN for rows without a gold link.
        peak_gold: whether the peak is gold-aligned (see :func:`peak_hit`); NaN for rows without a gold link.
        end: weight on the end of the sentence.
        punctuation: weight on source words that are punctuation.
        distance: mean distance to the diagonal, see :func:`diagonal_distance`.
    """

    entropy: Floats
    gold_mass: Floats
    peak_gold: Floats
    end: Floats
    punctuation: Floats
    distance: Floats


MEASURES = tuple(field.name for field in fields(RowMeasures))


def row_measures(rows: WordRows, gold: Bools | None, punctuation: Bools) -> RowMeasures:
    """Measure all rows of a pair.

    Args:
        rows: V views, Q target words, K source words.
        gold: of :func:`gold_cells`, ``(Q, K)``; ``None``: nothing is said of gold.
        punctuation: of :func:`punctuation_columns`, ``(K,)``.

    Raises:
        InputError: shapes that do not fit together.
    """
    shape = rows.values.shape
    if punctuation.shape != shape[2:] or (gold is not None and gold.shape != shape[1:]):
        raise InputError(
            f"rows {shape} with gold {None if gold is None else gold.shape} and punctuation {punctuation.shape}",
            remedy="Pass the gold and the words of the pair that the rows come from",
        )
    if gold is None:
        none = np.full(shape[:2], np.nan)
        gold_mass = peak_gold = none
    else:
        linked = gold.any(axis=1)
        gold_mass = np.where(linked, mass(rows.values, gold), np.nan)
        peak_gold = np.where(linked, peak_hit(rows.values, gold), np.nan)
    return RowMeasures(
        entropy(distributions(rows)),
        gold_mass,
        peak_gold,
        rows.end,
        mass(rows.values, punctuation),
        diagonal_distance(rows.values),
    )
