"""Effects of a masking strategy on a corpus: means with intervals, tests against the unmasked run and baselines."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np

from align_eval.infilling.estimates import BASELINES, Estimate, compare, compare_groups, expected, mean, spearman
from align_eval.infilling.measures import MEASURES, Bools, Floats, MaskedRows, RowTable
from align_eval.statistics import Resampling

RATIO_BANDS = (0.0, 0.25, 0.5, 0.75, 1.0)
"""Ends of the bands of the ratio of masked words that the correlation is also given within."""


def analyse(
    strategy: str, table: RowTable, masked_rows: Sequence[MaskedRows], how: Resampling, *, without: int = 0
) -> dict[str, Any]:
    """Analyse the rows of one strategy, with those of masked words in the order of the table's.

    ``how`` also seeds the baselines that draw; ``without``: pairs that the strategy does not apply to.

    Returns:
        plain data. Accuracies, masses and ratios are fractions, entropies and divergences bits; ``None``: none.
        ``_masked`` and ``_visible`` name the rows of masked and of visible words with words masked, ``_full`` those of
        the masked words in the unmasked run. ``change`` has all measures: ``masked`` less ``full`` is ``difference``;
        its ``divergence`` sets rows of masked words against visible ones, within sentences. ``baselines`` have the
        masked rows less each baseline.
    """
    masked, visible = table.masked, ~table.masked
    linked = np.isfinite(table.after["accuracy"])

    def average(values: Floats, rows: Bools, share: bool = True) -> Estimate:
        return mean(values[rows], table.sentence[rows], how, share=share)

    def change(rows: Bools) -> dict[str, Any]:
        out = {}
        for name in MEASURES:
            test = compare(table.after[name][rows], table.full[name][rows], table.sentence[rows], how)
            out[name] = {"masked": test.first, "full": test.second, **test.to_json(), "rows": test.rows}
        return out

    baselines = {}
    for name, baseline in BASELINES.items() if linked[masked].any() else ():
        accuracy, mass = (
            compare(table.after[measure][masked], values, table.sentence[masked], how)
            for measure, values in zip(
                ("accuracy", "mass"), expected(baseline(masked_rows, how.seed), masked_rows), strict=True
            )
        )
        baselines[name] = {
            "accuracy_masked": accuracy.second, **accuracy.to_json(),
            "mass_masked": mass.second, "mass": mass.to_json(),
        }  # fmt: skip
    changed = {"masked": change(masked), "visible": change(visible)}
    moved = compare_groups(table.divergence, masked, table.sentence, how)
    main = {
        "accuracy_visible": average(table.after["accuracy"], visible),
        "accuracy_masked": average(table.after["accuracy"], masked),
        "mass_visible": average(table.after["mass"], visible),
        "mass_masked": average(table.after["mass"], masked),
        "entropy_masked": average(table.after["entropy"], masked, share=False),
        "divergence": average(table.divergence, masked),
        "divergence_visible": average(table.divergence, visible),
        "recovered": average(table.recovered, masked),
        "log_probability": average(table.log_probability, masked, share=False),
    }
    return rounded({
        "strategy": strategy,
        "mask_share": int(masked.sum()) / max(len(masked), 1),
        "sentences": len(np.unique(table.sentence)),
        "sentences_without": without,
        "variants": np.unique(np.stack([table.sentence, table.variant]), axis=1).shape[1],
        "rows_visible": int(visible.sum()),
        "rows_masked": int(masked.sum()),
        "gold_rows_visible": int((visible & linked).sum()),
        "gold_rows_masked": int((masked & linked).sum()),
        **{name: estimate.value for name, estimate in main.items()},
        **{f"{name}_full": changed["masked"][name]["full"] for name in ("accuracy", "mass", "entropy")},
        "median_rank": float(np.median(table.rank[masked])) if masked.any() else None,
        "baselines": baselines,
        "correlation": correlate(table, how) if linked[masked].any() else None,
        "ci": {name: estimate.ci for name, estimate in main.items()},
        "change": {
            **changed,
            "divergence": {
                "masked": moved.first, "visible": moved.second, **moved.to_json(), "sentences": moved.sentences,
            },
        },
    })  # fmt: skip


def correlate(table: RowTable, how: Resampling) -> dict[str, Any]:
    """Spearman's rank correlation of mass on gold and log-probability, over the masked rows with a gold link.

    Plain data: ``spearman``, ``ci``, ``rows``, ``sentences``; the same ``without_punctuation``, which is easily
    predicted and sharply aligned; and ``by_mask_share``, within bands of the ratio of masked words.
    """

    def over(rows: Bools) -> dict[str, Any]:
        found = spearman(table.after["mass"][rows], table.log_probability[rows], table.sentence[rows], how)
        return {"spearman": found.value, "ci": found.ci, "rows": found.rows, "sentences": found.sentences}

    rows = table.masked & np.isfinite(table.after["mass"])
    bands = []
    for low, high in itertools.pairwise(RATIO_BANDS):
        inside = rows & (table.ratio > low) & (table.ratio <= high)
        if inside.any():
            bands.append({"above": low, "to": high, **over(inside)})
    return {**over(rows), "without_punctuation": over(rows & ~table.punctuation), "by_mask_share": bands}


def rounded(value: Any) -> Any:
    """Numbers in nested plain data to 6 decimals."""
    if isinstance(value, dict):
        return {key: rounded(part) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [rounded(part) for part in value]
    return round(float(value), 6) if isinstance(value, float) else value
