"""Effects of a masking strategy on a corpus: means with intervals, tests against the unmasked run and baselines."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from align_eval.infilling.estimates import (
    Comparison,
    Estimate,
    compare,
    compare_groups,
    interval,
    mean,
    spearman,
)
from align_eval.infilling.measures import MEASURES, Bools, Floats
from align_eval.infilling.nulls import NULLS, expected
from align_eval.infilling.table import HiddenRows, RowTable
from align_eval.statistics import Resampling

SHARE_BANDS = (0.0, 0.25, 0.5, 0.75, 1.0)
"""Ends of the bands of the mask share that the correlation is also given within."""


@dataclass(frozen=True)
class Correlation:
    """Does attention tell where the answer is read from: weight on gold against log-probability of the hidden word.

    Attributes:
        all: Spearman's rank correlation over all hidden rows with a gold link.
        words: the same without hidden punctuation, which is easily told and sharply aligned.
        bands: the same within bands of the mask share: (above, up to, estimate).
    """

    all: Estimate
    words: Estimate
    bands: tuple[tuple[float, float, Estimate], ...]

    def to_json(self) -> dict[str, Any]:
        """Plain data: ``spearman``, ``ci``, ``rows``; ``without_punctuation``; ``by_mask_share``."""
        return {
            **_spearman(self.all),
            "without_punctuation": _spearman(self.words),
            "by_mask_share": [{"above": low, "to": high, **_spearman(found)} for low, high, found in self.bands],
        }


@dataclass(frozen=True)
class PlanAnalysis:
    """One masking strategy over a corpus, under one view.

    Attributes:
        plan: its spec.
        sentences: pairs that it applies to; ``without``: pairs that it does not apply to.
        variants: how many sets of hidden words.
        rows: ``masked`` and ``visible``, and of these ``gold_masked`` and ``gold_visible`` with a gold link.
        masked, visible: of hidden and of visible words each of :data:`~align_eval.infilling.measures.MEASURES`, with
            the words hidden (first) against the full run (second).
        after: for the same rows the means with the words hidden, with intervals, as ``(masked, visible)``.
        divergence: mean Jensen-Shannon divergence between both runs, ``(masked, visible)``.
        moved_more: that of hidden words against that of visible ones, within sentences.
        recovered: share of hidden words that are the model's first choice; ``log_probability``: their mean.
        median_rank: the middle rank of the hidden words.
        nulls: for each null model the gold peak and the gold mass of hidden rows (first) against it (second).
        correlation: weight on gold against log-probability.
    """

    plan: str
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
    nulls: dict[str, tuple[Comparison, Comparison]] = field(default_factory=dict)
    correlation: Correlation | None = None

    @property
    def mask_share(self) -> float:
        """Share of all rows that are hidden."""
        return self.rows["masked"] / max(self.rows["masked"] + self.rows["visible"], 1)

    def to_json(self) -> dict[str, Any]:
        """Plain data. Shares and weights are fractions, entropies and divergences bits; ``None``: nothing applies.

        ``_masked`` and ``_visible`` name the rows of hidden and of visible words with the words hidden, ``_full`` those
        of the hidden words in the full run. ``change`` has all measures: ``masked`` less ``full`` is ``difference``.
        """
        main = {
            "peak_gold_visible": self.after["peak_gold"][1],
            "peak_gold_masked": self.after["peak_gold"][0],
            "gold_mass_visible": self.after["gold_mass"][1],
            "gold_mass_masked": self.after["gold_mass"][0],
            "entropy_masked": self.after["entropy"][0],
            "divergence": self.divergence[0],
            "divergence_visible": self.divergence[1],
            "recovered": self.recovered,
            "log_probability": self.log_probability,
        }
        full = {f"{name}_full": self.masked[name].second for name in ("peak_gold", "gold_mass", "entropy")}
        found: dict[str, Any] = {
            "plan": self.plan,
            "mask_share": self.mask_share,
            "sentences": self.sentences,
            "sentences_without": self.without,
            "variants": self.variants,
            "rows_visible": self.rows["visible"],
            "rows_masked": self.rows["masked"],
            "gold_rows_visible": self.rows["gold_visible"],
            "gold_rows_masked": self.rows["gold_masked"],
            **{name: estimate.value for name, estimate in main.items()},
            **full,
            "median_rank": self.median_rank,
            "null": {name: _null(*tests) for name, tests in self.nulls.items()},
            "correlation": None if self.correlation is None else self.correlation.to_json(),
            "ci": {name: interval(estimate.low, estimate.high) for name, estimate in main.items()},
            "change": {
                "masked": {name: _change(test) for name, test in self.masked.items()},
                "visible": {name: _change(test) for name, test in self.visible.items()},
                "divergence": {
                    "masked": self.moved_more.first,
                    "visible": self.moved_more.second,
                    **self.moved_more.to_json(),
                    "sentences": self.moved_more.sentences,
                },
            },
        }
        return rounded(found)


def analyse(
    plan: str, table: RowTable, hidden: Sequence[HiddenRows], how: Resampling, *, without: int = 0
) -> PlanAnalysis:
    """Analyse the rows of one plan.

    Args:
        plan: its spec.
        table: the measured rows.
        hidden: the hidden rows, in the order of the table's.
        how: resamples and seed of intervals, tests and drawn nulls.
        without: pairs that the plan does not apply to.
    """
    masked, shown = table.hidden, ~table.hidden
    linked = np.isfinite(table.after["peak_gold"])
    pairs = np.unique(np.stack([table.sentence, table.variant]), axis=1).shape[1]
    rank = table.rank[masked]
    nulls = {}
    if linked[masked].any():
        for name, null in NULLS.items():
            peaks, masses = expected(null(hidden, how.seed), hidden)
            nulls[name] = (
                compare(table.after["peak_gold"][masked], peaks, table.sentence[masked], how),
                compare(table.after["gold_mass"][masked], masses, table.sentence[masked], how),
            )
    return PlanAnalysis(
        plan,
        len(np.unique(table.sentence)),
        without,
        pairs,
        {
            "masked": int(masked.sum()),
            "visible": int(shown.sum()),
            "gold_masked": int((masked & linked).sum()),
            "gold_visible": int((shown & linked).sum()),
        },
        _changes(table, masked, how),
        _changes(table, shown, how),
        {
            name: (
                _mean(values, table, masked, how, share=name != "entropy"),
                _mean(values, table, shown, how, share=name != "entropy"),
            )
            for name, values in table.after.items()
        },
        (
            _mean(table.divergence, table, masked, how, share=True),
            _mean(table.divergence, table, shown, how, share=True),
        ),
        compare_groups(table.divergence, masked, table.sentence, how),
        _mean(table.recovered, table, masked, how, share=True),
        _mean(table.log_probability, table, masked, how, share=False),
        float(np.median(rank)) if len(rank) else None,
        nulls,
        correlate(table, how) if linked[masked].any() else None,
    )


def correlate(table: RowTable, how: Resampling) -> Correlation:
    """Spearman's correlation of gold mass and log-probability over the hidden rows of a table, in all and in bands."""

    def over(rows: Bools) -> Estimate:
        return spearman(table.after["gold_mass"][rows], table.log_probability[rows], table.sentence[rows], how)

    rows = table.hidden & np.isfinite(table.after["gold_mass"])
    bands = []
    for low, high in itertools.pairwise(SHARE_BANDS):
        inside = rows & (table.share > low) & (table.share <= high)
        if inside.any():
            bands.append((low, high, over(inside)))
    return Correlation(over(rows), over(rows & ~table.punctuation), tuple(bands))


def joined(tables: Sequence[RowTable]) -> RowTable:
    """The rows of several plans as one table; their variants are numbered on, so that none is taken for another."""
    parts = []
    start = 0
    for table in tables:
        parts.append((table, start))
        start += int(table.variant.max(initial=-1)) + 1

    def column(name: str) -> Any:
        return np.concatenate([getattr(table, name) for table, _ in parts])

    def measured(which: str) -> dict[str, Floats]:
        return {name: np.concatenate([getattr(table, which)[name] for table, _ in parts]) for name in MEASURES}

    return RowTable(
        column("sentence"), np.concatenate([table.variant + first for table, first in parts]), column("word"),
        column("hidden"), column("share"), column("punctuation"), measured("full"), measured("after"),
        column("divergence"), column("log_probability"), column("rank"),
    )  # fmt: skip


def rounded(value: Any) -> Any:
    """Numbers in nested plain data to 6 decimals."""
    if isinstance(value, dict):
        return {key: rounded(part) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [rounded(part) for part in value]
    return round(float(value), 6) if isinstance(value, float) else value


def _mean(values: Floats, table: RowTable, rows: Bools, how: Resampling, *, share: bool) -> Estimate:
    return mean(values[rows], table.sentence[rows], how, share=share)


def _changes(table: RowTable, rows: Bools, how: Resampling) -> dict[str, Comparison]:
    return {
        name: compare(table.after[name][rows], table.full[name][rows], table.sentence[rows], how) for name in MEASURES
    }


def _change(test: Comparison) -> dict[str, Any]:
    return {"masked": test.first, "full": test.second, **test.to_json(), "rows": test.rows}


def _null(peak: Comparison, weight: Comparison) -> dict[str, Any]:
    return {
        "peak_gold_masked": peak.second,
        **peak.to_json(),
        "gold_mass_masked": weight.second,
        "gold_mass": weight.to_json(),
    }


def _spearman(found: Estimate) -> dict[str, Any]:
    return {
        "spearman": found.value,
        "ci": interval(found.low, found.high),
        "rows": found.rows,
        "sentences": found.sentences,
    }
