"""AER, precision, recall, F1 and F_alpha from sums of the four counts, for one corpus or for many resamples at once."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from align_eval.errors import InputError

#: The measures in the order in which they are shown.
MEASURES = ("aer", "precision", "recall", "f1", "f_alpha")
#: Measures of which less is better.
LOWER_IS_BETTER = frozenset({"aer"})

Floats = NDArray[np.float64]

# Rows at a time, of many: they stay in the processor's caches.
_PART = 1 << 13


def measures(sums: NDArray[np.number], alpha: float = 0.5, nothing: float = 0.0) -> dict[str, Floats]:
    """Measures in percent.

    With A the links proposed, S the sure and P the possible gold links (S ⊆ P), summed over the corpus:

    * AER = 1 - (|A∩S| + |A∩P|) / (|A| + |S|), precision = |A∩P| / |A|, recall = |A∩S| / |S| (Och & Ney 2003,
      section 5);
    * F_alpha = 1 / (alpha / precision + (1 - alpha) / recall), 0 where both are 0 (Fraser & Marcu 2007); F1 = F_0.5;
      F_1 is precision and F_0 is recall.

    A measure with nothing below the line is undefined, NaN:

    * nothing proposed: precision, and F, which needs it; AER is 100 if there are sure links;
    * no sure link: recall, and F, which needs it; AER then is 1 - precision;
    * nothing proposed and no sure link: all but AER. Nothing against nothing is AER 0 by convention, for nothing is
      wrong; it adds nothing to the sums of a corpus.

    Args:
        sums: ``(..., 4)`` numbers |A|, |S|, |A∩S|, |A∩P|.
        alpha: weight of precision, 0 to 1.
        nothing: AER of nothing against nothing, in percent.

    Returns:
        One float array ``(...)`` for each of :data:`MEASURES`.

    Raises:
        InputError: ``alpha`` is not within 0 to 1.

    >>> {name: round(float(value), 2) for name, value in measures(np.array([4, 3, 2, 3])).items()}
    {'aer': 28.57, 'precision': 75.0, 'recall': 66.67, 'f1': 70.59, 'f_alpha': 70.59}
    """
    check_alpha(alpha)
    sums = np.asarray(sums)
    if sums.ndim == 2 and len(sums) > _PART:
        out = np.empty((len(MEASURES), len(sums)))
        for begin in range(0, len(sums), _PART):
            out[:, begin : begin + _PART] = list(measures(sums[begin : begin + _PART], alpha, nothing).values())
        return dict(zip(MEASURES, out, strict=True))
    a, s, a_s, a_p = np.array(np.moveaxis(sums, -1, 0), dtype=np.float64, order="C")
    precision, recall = _ratio(a_p, a), _ratio(a_s, s)
    f1 = _f(precision, recall, 0.5)
    values = {
        "aer": 1 - _ratio(a_s + a_p, a + s, 1 - nothing / 100),
        "precision": precision,
        "recall": recall,
        "f1": f1,
        "f_alpha": f1 if alpha == 0.5 else _f(precision, recall, alpha),
    }
    return {name: 100 * value for name, value in values.items()}


def fractions(sums: NDArray[np.number], alpha: float = 0.5) -> dict[str, Floats]:
    """:func:`measures` as fractions of 0 to 1, NaN where undefined, AER of nothing against nothing too."""
    return {name: value / 100 for name, value in measures(sums, alpha, np.nan).items()}


def check_alpha(alpha: float) -> None:
    """Raise :class:`InputError` if ``alpha`` is not within 0 to 1."""
    if not 0 <= alpha <= 1:
        raise InputError(f"alpha must be between 0 and 1, got {alpha}")


def known(value: float) -> float | None:
    """``value``, or ``None`` for NaN: an undefined measure is ``null`` in JSON."""
    return None if np.isnan(value) else float(value)


def live(sample: Floats) -> Floats:
    """The defined values of a measure over resamples, ``(n,)`` to ``(defined,)``."""
    undefined = np.isnan(sample)
    return sample[~undefined] if undefined.any() else sample


def _ratio(above: Floats, below: Floats, otherwise: float = np.nan) -> Floats:
    """``above / below``, and ``otherwise`` where ``below`` is 0."""
    defined = below > 0
    if defined.all():
        return above / below
    return np.divide(above, below, out=np.full_like(below, otherwise), where=defined)


def _f(precision: Floats, recall: Floats, alpha: float) -> Floats:
    """Weighted harmonic mean: 0 where both are 0, undefined where one that has a weight is."""
    if alpha in (0, 1):
        return precision if alpha else recall
    below = alpha * recall + (1 - alpha) * precision
    return np.where(np.isnan(below), np.nan, _ratio(precision * recall, below, 0.0))
