"""Scores of links: reliability diagram, precision over recall, and AER by threshold, side by side."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from align_eval.errors import InputError
from align_eval.figures import style
from align_eval.shown import shown

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from align_eval.scoring.link_scores import LinkScores

HEIGHT = 2.35  # inches
DASHES = ("-", (0, (4, 1.5)), (0, (1, 1.3)), (0, (6, 1.5, 1, 1.5)))
MARKERS = ("o", "s", "^", "D")


def scores_figure(systems: Sequence[LinkScores], *, title: str = "") -> Figure:
    """Draw what :func:`align_eval.scoring.link_scores.link_scores` found, as wide as two columns of a paper.

    Left: of the links of each bin, the share that is correct over their mean score; on the diagonal a score is a
    probability. Areas of the points are as the numbers of links. Middle: precision over recall. Right: AER of the links
    above each threshold; a ring marks the threshold chosen on the dev split.

    Args:
        systems: at most four; colour and dash tell them apart.
        title: above.

    Raises:
        InputError: no system, or more than four.
    """
    if not 1 <= len(systems) <= len(DASHES):
        raise InputError(f"{len(systems)} systems in one figure of scores", remedy=f"Give 1 to {len(DASHES)}")
    with style.settings():
        figure = style.new_figure(style.TWO_COLUMNS, HEIGHT + 0.16 * len(systems) + (0.2 if title else 0.0))
        left, middle, right = figure.subplots(1, 3)
        left.plot([0, 1], [0, 1], color=style.QUIET_COLOUR, lw=0.8, zorder=1)
        for k, one in enumerate(systems):
            colour, how = style.PALETTE[k % len(style.PALETTE)], {"lw": 1.2, "ls": DASHES[k]}
            bins = [b for b in one.calibration.bins if b.count]
            x, y = [b.score for b in bins], [b.accuracy for b in bins]
            left.plot(x, y, color=colour, zorder=2, **how)
            sizes = [8 + 90 * b.count / one.links for b in bins]
            left.scatter(x, y, s=sizes, color=colour, marker=MARKERS[k], lw=0, alpha=0.75, zorder=3, clip_on=False)
            curve = [c for c in one.curve if c.precision is not None and c.recall is not None]
            middle.plot([c.recall for c in curve], [c.precision for c in curve], color=colour, **how)
            right.plot([c.threshold for c in one.curve], [c.aer for c in one.curve], color=colour, **how)
            ece = "" if one.calibration.ece is None else f"   ECE {one.calibration.ece:.3f}"
            precise = "" if one.average_precision is None else f"   average precision {one.average_precision:.3f}"
            auc = "" if one.auc is None else f"   AUC {one.auc:.3f}"
            ring = ""
            if one.chosen is not None:
                thresholds = np.array([c.threshold for c in one.curve])
                if len(thresholds):
                    at = one.curve[int(np.abs(thresholds - one.chosen.threshold).argmin())]
                    right.plot([at.threshold], [at.aer], "o", ms=7, mfc="none", mec=colour, mew=1.0, clip_on=False)
                ring = f"   threshold {one.chosen.threshold:.2f}"
            left.plot(
                [], [], color=colour, marker=MARKERS[k], label=f"{shown(one.name)}{ece}{precise}{auc}{ring}", **how
            )
        for axes, name, x_name, y_name in (
            (left, "Reliability", "mean score of a bin", "share correct"),
            (middle, "Precision over recall", "recall, %", "precision, %"),
            (right, "AER by threshold", "links scored at least", "AER, %"),
        ):
            axes.set_title(name, loc="left", fontsize=style.TEXT_SIZE, pad=4)
            style.plain_axes(axes, x_name, y_name)
        left.set(xlim=(0, 1), ylim=(0, 1))
        right.set_xlim(0, 1)
        lowest = max((min(c.aer for c in one.curve) for one in systems if one.curve), default=100.0)
        right.set_ylim(0, min(100.0, max(20.0, 5 * lowest)))  # near 1 all are at 100, which would hide the rest
        figure.legend(
            *left.get_legend_handles_labels(), loc="outside lower left", frameon=False, fontsize=style.TEXT_SIZE,
            handlelength=2.6,
        )  # fmt: skip
        if title:
            figure.suptitle(title, x=0.01, ha="left", fontsize=style.TEXT_SIZE, family=style.families(title))
    return figure
