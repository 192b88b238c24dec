"""Effects of a masking strategy on a corpus: means with intervals, tests against the unmasked run and baselines."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from align_eval.infilling.estimates import (
    BASELINES,
    Comparison,
    Estimate,
    compare,
    compare_groups,
    expected,
    mean,
    spearman,
)  # fmt: skip
from align_eval.infilling.measures import MEASURES, Bools, Floats, MaskedRows, RowTable
from align_eval.statistics import Resampling

RATIO_BANDS = (0.0, 0.25, 0.5, 0.75, 1.0)
"""Ends of the bands of the ratio of masked words that the correlation is also given within."""


@dataclass(frozen=True)
class Correlation:
    """Spearman's rank correlation of mass on gold and log-probability of the masked word.

    Attributes:
        all: over all masked rows with a gold link.
        words: the same without masked punctuation, which is easily predicted and sharply aligned.
        bands: the same within bands of the ratio of masked words: (above, up to, estimate).
    """

    all: Estimate
    words: Estimate
    bands: tuple[tuple[float, float, Estimate], ...]

    def to_json(self) -> dict[str, Any]:
        """Plain data: ``spearman``, ``ci``, ``rows``; ``without_punctuation``; ``by_mask_share``."""

        def one(found: Estimate) -> dict[str, Any]:
            return {"spearman": found.value, "ci": found.ci, "rows": found.rows, "sentences": found.sentences}

        return {
            **one(self.all),
            "without_punctuation": one(self.words),
            "by_mask_share": [{"above": low, "to": high, **one(found)} for low, high, found in self.bands],
        }


@dataclass(frozen=True)
class StrategyAnalysis:
    """One masking strategy over a corpus, under one head.

    Attributes:
        strategy: its spec.
        sentences: pairs that it applies to; ``without``: pairs that it does not apply to.
        variants: how many sets of masked words.
        rows: ``masked`` and ``visible``, and of these ``gold_masked`` and ``gold_visible`` with a gold link.
        masked, visible: of masked and of visible words each of :data:`~align_eval.infilling.measures.MEASURES`, with
            words masked (first) against the unmasked run (second).
        after: for the same rows the means with words masked, with intervals, as ``(masked, visible)``.
        divergence: mean Jensen-Shannon divergence between both runs, ``(masked, visible)``.
        moved_more: that of masked words against that of visible ones, within sentences.
        recovered: top-1 accuracy on masked words; ``log_probability``: their mean.
        median_rank: the middle rank of the masked words.
        baselines: for each the accuracy and the mass on gold of masked rows (first) against it (second).
        correlation: mass on gold against log-probability.
    """

    strategy: str
    sentences: int
    without: int
    variants: int
    rows: dict[str, int]
    masked: dict[str, Comparison]
    visible: dict[str, Comparison]
    after: dict[str, tuple[Estimate, Estimate]]
    divergence: tuple[Estimate, Estimate]
    moved_more: Comparison
    recovered: Estimate
    log_probability: Estimate
    median_rank: float | None
    baselines: dict[str, tuple[Comparison, Comparison]] = field(default_factory=dict)
    correlation: Correlation | None = None

    def to_json(self) -> dict[str, Any]:
        """Plain data. Accuracies, masses and ratios are fractions, entropies and divergences bits; ``None``: none.

        ``_masked`` and ``_visible`` name the rows of masked and of visible words with words masked, ``_full`` those of
        the masked words in the unmasked run. ``change`` has all measures: ``masked`` less ``full`` is ``difference``.
        """
        main = {
            "accuracy_visible": self.after["accuracy"][1],
            "accuracy_masked": self.after["accuracy"][0],
            "mass_visible": self.after["mass"][1],
            "mass_masked": self.after["mass"][0],
            "entropy_masked": self.after["entropy"][0],
            "divergence": self.divergence[0],
            "divergence_visible": self.divergence[1],
            "recovered": self.recovered,
            "log_probability": self.log_probability,
        }

        def change(test: Comparison) -> dict[str, Any]:
            return {"masked": test.first, "full": test.second, **test.to_json(), "rows": test.rows}

        moved = self.moved_more
        return rounded({
            "strategy": self.strategy,
            "mask_share": self.rows["masked"] / max(self.rows["masked"] + self.rows["visible"], 1),
            "sentences": self.sentences,
            "sentences_without": self.without,
            "variants": self.variants,
            "rows_visible": self.rows["visible"],
            "rows_masked": self.rows["masked"],
            "gold_rows_visible": self.rows["gold_visible"],
            "gold_rows_masked": self.rows["gold_masked"],
            **{name: estimate.value for name, estimate in main.items()},
            **{f"{name}_full": self.masked[name].second for name in ("accuracy", "mass", "entropy")},
            "median_rank": self.median_rank,
            "baselines": {
                name: {
                    "accuracy_masked": accuracy.second, **accuracy.to_json(),
                    "mass_masked": mass.second, "mass": mass.to_json(),
                }
                for name, (accuracy, mass) in self.baselines.items()
            },
            "correlation": None if self.correlation is None else self.correlation.to_json(),
            "ci": {name: estimate.ci for name, estimate in main.items()},
            "change": {
                "masked": {name: change(test) for name, test in self.masked.items()},
                "visible": {name: change(test) for name, test in self.visible.items()},
                "divergence": {
                    "masked": moved.first, "visible": moved.second, **moved.to_json(), "sentences": moved.sentences,
                },
            },
        })  # fmt: skip


def analyse(
    strategy: str, table: RowTable, masked_rows: Sequence[MaskedRows], how: Resampling, *, without: int = 0
) -> StrategyAnalysis:
    """Analyse the rows of one strategy, with those of masked words in the order of the table's.

    ``how`` also seeds the baselines that draw; ``without``: pairs that the strategy does not apply to.
    """
    masked, visible = table.masked, ~table.masked
    linked = np.isfinite(table.after["accuracy"])
    rank = table.rank[masked]
    baselines = {}
    if linked[masked].any():
        for name, baseline in BASELINES.items():
            accuracy, mass = expected(baseline(masked_rows, how.seed), masked_rows)
            baselines[name] = (
                compare(table.after["accuracy"][masked], accuracy, table.sentence[masked], how),
                compare(table.after["mass"][masked], mass, table.sentence[masked], how),
            )

    def average(values: Floats, rows: Bools, share: bool = True) -> Estimate:
        return mean(values[rows], table.sentence[rows], how, share=share)

    def changes(rows: Bools) -> dict[str, Comparison]:
        both = ((name, table.after[name][rows], table.full[name][rows]) for name in MEASURES)
        return {name: compare(after, full, table.sentence[rows], how) for name, after, full in both}

    return StrategyAnalysis(
        strategy,
        len(np.unique(table.sentence)),
        without,
        np.unique(np.stack([table.sentence, table.variant]), axis=1).shape[1],
        {
            "masked": int(masked.sum()), "visible": int(visible.sum()),
            "gold_masked": int((masked & linked).sum()), "gold_visible": int((visible & linked).sum()),
        },
        changes(masked),
        changes(visible),
        {
            name: (average(values, masked, name != "entropy"), average(values, visible, name != "entropy"))
            for name, values in table.after.items()
        },
        (average(table.divergence, masked), average(table.divergence, visible)),
        compare_groups(table.divergence, masked, table.sentence, how),
        average(table.recovered, masked),
        average(table.log_probability, masked, share=False),
        float(np.median(rank)) if len(rank) else None,
        baselines,
        correlate(table, how) if linked[masked].any() else None,
    )  # fmt: skip


def correlate(table: RowTable, how: Resampling) -> Correlation:
    """The correlation over the masked rows of a table, in all and in bands."""

    def over(rows: Bools) -> Estimate:
        return spearman(table.after["mass"][rows], table.log_probability[rows], table.sentence[rows], how)

    rows = table.masked & np.isfinite(table.after["mass"])
    bands = []
    for low, high in itertools.pairwise(RATIO_BANDS):
        inside = rows & (table.ratio > low) & (table.ratio <= high)
        if inside.any():
            bands.append((low, high, over(inside)))
    return Correlation(over(rows), over(rows & ~table.punctuation), tuple(bands))


def rounded(value: Any) -> Any:
    """Numbers in nested plain data to 6 decimals."""
    if isinstance(value, dict):
        return {key: rounded(part) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [rounded(part) for part in value]
    return round(float(value), 6) if isinstance(value, float) else value
