"""The score of one system: measures in percent, counts, intervals, signature."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from align_eval.errors import EmptyGoldError
from align_eval.links.table import LinkTable
from align_eval.scoring.measures import MEASURES, counts, fractions, known, measures
from align_eval.scoring.signature import Signature
from align_eval.statistics import check_resampling, studentise
from align_eval.tables import frame
from align_eval.version import __version__

if TYPE_CHECKING:
    import pandas

#: Decimals of percentages in JSON.
DECIMALS = 6


@dataclass(frozen=True)
class Score:
    """Scores of one system on one corpus.

    Attributes:
        aer, precision, recall, f1, f_alpha: percent; ``None`` where undefined: precision without links, recall
            without sure links, F without one of them. See :func:`align_eval.scoring.measures.measures`.
        links: |A|, the links proposed.
        sure: |S|.
        possible: |P|, the sure ones included.
        sentences: number of sentence pairs.
        ci: for each measure the (low, high) ends of its interval in percent; empty without resamples.
        left_out: of how many resamples a measure is undefined (no sure link drawn, for example), where there are any.
            They are left out of its interval.
        alpha: weight of precision in ``f_alpha``.
        confidence: level of the intervals, a fraction.
        signature: what makes the number citable.
    """

    aer: float
    precision: float | None
    recall: float | None
    f1: float | None
    f_alpha: float | None
    links: int
    sure: int
    possible: int
    sentences: int
    ci: dict[str, tuple[float, float]] = field(default_factory=dict)
    alpha: float = 0.5
    confidence: float = 0.95
    signature: Signature = field(default_factory=Signature)
    left_out: dict[str, int] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """The score as plain data for ``json.dumps``; percentages rounded to 6 decimals, ``None`` where undefined."""
        return {
            **{name: rounded(getattr(self, name)) for name in MEASURES},
            "alpha": self.alpha,
            "links": self.links,
            "sure": self.sure,
            "possible": self.possible,
            "sentences": self.sentences,
            "ci": rounded_ends(self.ci),
            "confidence": self.confidence,
            **({"left_out": self.left_out} if self.left_out else {}),
            "signature": str(self.signature),
        }

    def to_frame(self) -> pandas.DataFrame:
        """One row: measures in percent with the ends of their intervals, counts, signature."""
        return frame([self.to_json()])


def score(gold: LinkTable, hypothesis: LinkTable, **options: Any) -> Score:
    """Score the links of one system against gold; ``options`` are those of :func:`score_counts`.

    Args:
        gold: sure and possible links, 0-based; an error without any.
        hypothesis: proposed links, 0-based, of the same sentence pairs.

    >>> from align_eval.links import GoldLinks, Links
    >>> gold = LinkTable.from_links([GoldLinks(Links([(0, 0), (1, 1)]), Links([(1, 2)]))])
    >>> round(score(gold, LinkTable.from_links([Links([(0, 0), (1, 2), (2, 2)])]), resamples=0).aer, 1)
    40.0
    """
    check_gold(gold.sentences, gold.links)
    return score_counts(counts(gold, hypothesis), gold.links, **options)


def score_counts(
    rows: NDArray[np.integer[Any]],
    possible: int,
    *,
    resamples: int = 1000,
    seed: int = 12345,
    alpha: float = 0.5,
    confidence: float = 0.95,
    signature: Signature | None = None,
) -> Score:
    """The score of a corpus: counts are summed over sentence pairs first (the mean of their AERs is another number).

    Args:
        rows: |A|, |S|, |A∩S|, |A∩P| of the sentence pairs ``(sentence pairs, 4)``; ``possible``: |P|.
        resamples: how many bootstrap resamples the intervals come from; 0: no intervals.
        seed: of the resamples.
        alpha: weight of precision in ``f_alpha``.
        confidence: level of the intervals (:mod:`align_eval.statistics`), between 0 and 1.
        signature: what is known of where the links come from; sentences, resamples, seed and version are filled in.

    Raises:
        EmptyGoldError: no sentence pair or no gold link.
        InputError: a parameter out of its range.
    """
    check_gold(len(rows), possible)
    check_resampling(resamples, seed, confidence)
    sums = rows.sum(axis=0, dtype=np.int64)
    values = {name: known(float(value)) for name, value in measures(sums, alpha).items()}
    ci, left_out = {}, {}
    if resamples:
        for name, found in studentise(rows, lambda sums: fractions(sums, alpha), resamples, seed).items():
            if len(found.sample):
                low, high = found.interval(confidence)
                ci[name] = 100 * low, 100 * high
            if values[name] is not None and found.undefined:
                left_out[name] = found.undefined
    return Score(
        **values,  # type: ignore[arg-type]  # AER is never None
        links=int(sums[0]),
        sure=int(sums[1]),
        possible=int(possible),
        sentences=len(rows),
        ci=ci,
        alpha=alpha,
        confidence=confidence,
        left_out=left_out,
        signature=(signature or Signature()).extend(
            sentences=len(rows),
            alpha=None if alpha == 0.5 else alpha,
            conf=None if confidence == 0.95 or not resamples else confidence,
            bs=resamples,
            ci="studentised" if resamples else None,
            seed=seed,
            version=__version__,
        ),
    )


def rounded(value: float | None) -> float | None:
    """``value`` with :data:`DECIMALS` decimals; ``None`` stays."""
    return None if value is None else round(value, DECIMALS)


def rounded_ends(ci: Mapping[str, tuple[float, float]]) -> dict[str, list[float]]:
    """Intervals as JSON has them, their ends with :data:`DECIMALS` decimals."""
    return {name: [round(low, DECIMALS), round(high, DECIMALS)] for name, (low, high) in ci.items()}


def check_gold(sentences: int, links: int, file: str | None = None) -> None:
    """Raise :class:`EmptyGoldError` for gold without sentence pairs or links."""
    if not sentences:
        raise EmptyGoldError("the gold has no sentence pairs", file=file, remedy="Give a file of gold links")
    if not links:
        raise EmptyGoldError(
            f"the gold has {sentences} sentence pairs but not a single link",
            file=file,
            remedy="Give a file of gold links; nothing can be scored against none",
        )
