"""Precision over recall by the scores of links, and how often links of a score are right."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from align_eval.figures.style import PALETTE, TWO_COLUMNS, settings
from align_eval.shown import shown

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from align_eval.scoring.link_scores import LinkScores

MARKS = "osD^vPX"


def scores_figure(systems: Mapping[str, LinkScores]) -> Figure:
    """Two panels: precision over recall as the threshold falls, and a reliability diagram (scores within 0..1 alone).

    Args:
        systems: by their names, as the legend has them.
    """
    from matplotlib.figure import Figure as Empty

    with settings():
        figure = Empty(figsize=(TWO_COLUMNS, 0.48 * TWO_COLUMNS), layout="constrained")
        left, right = figure.subplots(1, 2)
        right.plot([0, 1], [0, 1], color="0.6", linewidth=0.8, linestyle="--")
        for k, (name, found) in enumerate(systems.items()):
            colour, mark = PALETTE[k % len(PALETTE)], MARKS[k % len(MARKS)]
            places = [row["recall"] for row in found.curve], [row["precision"] for row in found.curve]
            left.plot(*places, color=colour, linewidth=1.2, label=shown(name))
            chosen = min(found.curve, key=lambda row: abs(row["threshold"] - found.threshold))
            left.plot([chosen["recall"]], [chosen["precision"]], color=colour, marker=mark, markersize=5)
            places = [row["score"] for row in found.reliability], [row["right"] for row in found.reliability]
            right.plot(*places, color=colour, marker=mark, markersize=4, linewidth=1.2)
        left.set(xlabel="recall of sure links, %", ylabel="precision, %")
        right.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), xlabel="score of a link", ylabel="share that are right")
        figure.legend(loc="outside lower center", ncols=min(3, len(systems)), frameon=False)
    return figure
