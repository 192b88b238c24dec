"""What the probe of hidden words gives: word rows of chosen views, and what the model says of each hidden word.

Numpy alone, so that plans, measures and null models work on it without torch.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from align_eval.models.pairs import MASK_LABEL

__all__ = ["MASK_LABEL", "Filled", "InfillResult", "Variant", "WordRows"]

if TYPE_CHECKING:
    from align_eval.corpora import SentencePair
    from align_eval.signals.matrix import View


@dataclass(frozen=True)
class WordRows:
    """Rows of chosen views between words, as distributions. V views, Q target words (rows), K source words (columns).

    Of an encoder-decoder model ``values.sum(-1) + end + rest`` is 1: its rows are distributions over the source. Of an
    encoder the rows are divided by their mass on source words, so that ``values.sum(-1)`` is 1, ``end`` and ``rest``
    are 0, and ``outside`` is what lay elsewhere before. A word without any sub-word has NaN in its row; a source word
    without any has 0 in its column.

    Attributes:
        values: ``(V, Q, K)`` float64, mass on each source word: summed over its sub-words, mean over the sub-words of
            the target word.
        end: ``(V, Q)``, mass on the end-of-sentence sub-word of the source.
        rest: ``(V, Q)``, mass on all other columns that are no word (a language code, a prefix).
        outside: ``(V, Q)``, mass outside of the source before the rows were divided; 0 for encoder-decoder models.
    """

    values: NDArray[np.float64]
    end: NDArray[np.float64]
    rest: NDArray[np.float64]
    outside: NDArray[np.float64]


@dataclass(frozen=True)
class Filled:
    """What the model says of one hidden word.

    Attributes:
        word: the target word, 0-based.
        text: the hidden word.
        log_probability: natural logarithm; of a word of several sub-words the sum (they are predicted in parallel,
            none sees another).
        rank: 1 if the model finds no other sub-word more probable; of several sub-words the worst of their ranks.
        top: the most probable fillings with their probabilities (product over sub-words), descending.
    """

    word: int
    text: str
    log_probability: float
    rank: int
    top: tuple[tuple[str, float], ...]


@dataclass(frozen=True)
class Variant:
    """A pair with some target words hidden.

    Attributes:
        masked: the hidden target words, 0-based, ascending.
        rows: the rows of all target words, hidden or not.
        filled: one a hidden word, in the order of ``masked``.
    """

    masked: tuple[int, ...]
    rows: WordRows
    filled: tuple[Filled, ...]


@dataclass(frozen=True)
class InfillResult:
    """One pair as the model reads it, whole and with words hidden.

    Attributes:
        index: position of the pair in what was given, 0-based.
        pair: the pair.
        views: the V views (layer, head, reading) of all rows.
        full: nothing hidden.
        variants: one a mask, in the order given.
    """

    index: int
    pair: SentencePair
    views: tuple[View, ...]
    full: WordRows
    variants: tuple[Variant, ...]
