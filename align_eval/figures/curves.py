"""How attention moves as more words are masked: small multiples over the mask ratio, with the baselines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from align_eval.errors import InputError, UnknownNameError
from align_eval.figures import style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Row = Mapping[str, Any]
Kinds = Mapping[str, Sequence[Row]]


class Multiple(NamedTuple):
    """One of the small multiples."""

    name: str  # its title
    unit: str  # of the y axis
    main: str  # the key of the rows that the curves show, of masked words
    beside: tuple[str, str] = ("", "")  # the key drawn thin beside it, and what it is called
    baseline: bool = False  # whether each baseline has the main measure, too
    ratio: bool = False  # whether values are fractions, drawn as percent


MULTIPLES = {
    "gold peak": Multiple(
        "Argmax on a gold-aligned word", "% of rows", "accuracy_masked", ("accuracy_visible", "visible"), True, True
    ),
    "gold mass": Multiple(
        "Mass on gold-aligned words", "% of mass", "mass_masked", ("mass_visible", "visible"), True, True
    ),
    "entropy": Multiple("Entropy", "bits", "entropy_masked", ("entropy_full", "unmasked")),
    "divergence": Multiple("Divergence from the unmasked run", "bits", "divergence", ("divergence_visible", "visible")),
    "recovery": Multiple("Masked word predicted (top 1)", "% of words", "recovered", ratio=True),
}
DEFAULT = ("gold peak", "gold mass", "entropy", "recovery")
BASELINE_DASHES: dict[str, Any] = {
    "uniform": (0, (1, 1.3)),
    "position": (0, (4, 1.5)),
    "permuted": (0, (6, 1.5, 1, 1.5)),
}
DASHED = (0, (3.5, 1.5))
LEFT, LABELS, BELOW, ABOVE, EDGE = 0.46, 0.12, 0.42, 0.22, 0.06  # inches around each of the small multiples
LINE = 1.22


class Curve(NamedTuple):
    """Points ``(n, 2)``, or ``(n, 3)`` of a band: percent masked, then values; the label at its end, if it has one."""

    points: np.ndarray
    label: str
    colour: str
    how: Mapping[str, Any]  # of matplotlib's plot


def redistribution_curves(
    rows: Sequence[Row], *, multiples: Sequence[str] = DEFAULT, model: str = "", head: str = "", rule: str = "",
    title: str = "", gold_name: str = "gold", width: style.Width | None = None,
) -> Figure:  # fmt: skip
    """Draw measures of masked rows over the ratio of words that are masked, a curve for each masking strategy.

    A kind is a strategy without its settings: ``span:ratio=0.25`` and ``span:ratio=0.5`` are two points of the curve
    ``span``. Bands are the intervals of the rows. With one kind a thin line shows visible rows (or the same ones
    unmasked) and each baseline is a dashed line; with several a dashed line of the curve's colour shows the
    baseline that comes out highest at each point.

    Args:
        rows: what a corpus run gives (:meth:`align_eval.runs.infill.Infilling.to_json`), one mapping a
            strategy: ``strategy``, ``mask_share`` (a fraction) and measures; ``ci`` maps measures to ``[low, high]``,
            ``baselines`` names to the same measures under each baseline. A missing measure, or ``None``, is left out.
        multiples: names of :data:`MULTIPLES`, in order.
        model, head, rule, title: stand above, as in :func:`~align_eval.figures.heatmap.paired_heatmaps`.
        gold_name: what the links are called, such as ``"silver"``.
        width: ``"one"`` or ``"two"`` columns of a paper; ``None``: as ``"two"``, where two multiples stand
            beside each other.

    Raises:
        InputError: no rows.
        UnknownNameError: another multiple or width.
    """
    if not rows or not multiples:
        raise InputError("there is nothing to draw: no rows, or no curves chosen")
    for name in multiples:
        if name not in MULTIPLES:
            raise UnknownNameError("curve", name, MULTIPLES)
    kinds: dict[str, list[Row]] = {}
    for row in sorted(rows, key=lambda row: float(row["mask_share"])):
        kinds.setdefault(str(row["strategy"]).split(":")[0], []).append(row)
    chosen = [MULTIPLES[name] for name in multiples]
    found = [_curves(multiple, kinds) for multiple in chosen]
    every = [curve for curves in found for curve in curves]
    notes = [model, head, rule and f"chosen: {rule}"]
    if len(kinds) == 1:
        notes.append(f"strategy: {next(iter(kinds))}")
    if any(curve.points.shape[1] == 3 for curve in every):
        notes.append("bands: intervals over sentences")
    if any(curve.how.get("zorder") == 2 for curve in every):
        notes.append("dashed: baselines" if len(kinds) == 1 else "dashed: the highest of the baselines")
    caption = " · ".join(note for note in notes if note)
    size = 7.0 if width == "one" else style.TEXT_SIZE
    inches = style.width_in_inches(width) or style.TWO_COLUMNS
    across = 1 if inches < 5 else min(2, len(chosen))
    room = (inches - 2 * EDGE) / across
    labels = [[curve.label for curve in curves if curve.label] for curves in found]
    with style.settings(size):
        label = max(float(style.measure(some or [""])[:, 0].max()) for some in labels) * size / 72
        plot_width = room - LEFT - LABELS - label
        plot_height = max(1.25, max(map(len, labels)) * LINE * size / 72)
        head_lines = [
            (line, points, colour)
            for text, points, colour in ((title, size, "#000000"), (caption, 0.875 * size, style.QUIET_COLOUR))
            if text
            for line in style.wrap(text, points, inches - 2 * EDGE)
        ]
        top = EDGE + sum(LINE * points / 72 for _, points, _ in head_lines)
        height = top + -(-len(chosen) // across) * (ABOVE + plot_height + BELOW)
        figure = style.new_figure(inches, height, placed=True)
        y = EDGE
        for line, points, colour in head_lines:
            y += LINE * points / 72
            style.text_at(figure, EDGE, y, line, fontsize=points, color=colour)
        largest = max(100 * float(row["mask_share"]) for row in rows)
        for k, (multiple, curves) in enumerate(zip(chosen, found, strict=True)):
            left = EDGE + (k % across) * room + LEFT
            down = top + (k // across) * (ABOVE + plot_height + BELOW) + ABOVE
            axes = style.axes_at(figure, left, down, plot_width, plot_height)
            axes.set_title(multiple.name.replace("gold-", f"{gold_name}-"), loc="left", fontsize=size, pad=4)
            _draw(axes, multiple, curves, size, largest)
    return figure


def _curves(multiple: Multiple, kinds: Kinds) -> list[Curve]:
    """All that is drawn of one of the multiples."""
    several, found = len(kinds) > 1, []
    for k, (kind, rows) in enumerate(kinds.items()):
        colour = style.PALETTE[k % len(style.PALETTE)]
        points = _points(rows, multiple, multiple.main)
        if not len(points):
            continue
        main = {"lw": 1.5, "marker": "o", "ms": 3.2, "zorder": 4}
        found.append(Curve(points, kind if several else "masked", colour, main))
        band = _points(rows, multiple, "ci", multiple.main)
        if len(band):
            found.append(Curve(band, "", colour, {}))
        baselines = [tuple(p) for name in BASELINE_DASHES for p in _baseline(rows, multiple, name).tolist()]
        if several and baselines:
            highest = np.array(sorted(dict(sorted(baselines)).items()))  # of equal ratios the last, the highest, stays
            how = {"lw": 0.9, "ls": DASHED} if len(highest) > 1 else {"marker": "_", "ms": 7, "ls": "none"}
            found.append(Curve(highest, "", colour, {**how, "zorder": 2}))
    if not several:
        (rows,) = kinds.values()
        points = _points(rows, multiple, multiple.beside[0])
        if len(points):
            thin = {"lw": 0.8, "marker": "o", "ms": 2.8, "mfc": "white", "zorder": 3}
            found.append(Curve(points, multiple.beside[1], "#000000", thin))
        for name, dashes in BASELINE_DASHES.items():
            points = _baseline(rows, multiple, name)
            if len(points):
                alone = {"marker": "_", "ms": 7, "ls": "none"} if len(points) == 1 else {"ls": dashes}
                found.append(Curve(points, name, style.QUIET_COLOUR, {"lw": 1.0, "zorder": 2, **alone}))
    return found


def _baseline(rows: Sequence[Row], multiple: Multiple, name: str) -> np.ndarray:
    return _points(rows, multiple, "baselines", name, multiple.main if multiple.baseline else "")


def _points(rows: Sequence[Row], multiple: Multiple, *keys: str) -> np.ndarray:
    """Percent masked and what stands under the keys of each row, one below the other; rows that lack it left out."""
    found = []
    for row in rows:
        value: Any = row
        for key in keys:
            value = (value or {}).get(key)
        if value is not None:
            factor = 100.0 if multiple.ratio else 1.0
            found.append([100 * float(row["mask_share"]), *(factor * np.atleast_1d(value).astype(float))])
    return np.array(found)


def _draw(axes: Axes, multiple: Multiple, curves: Sequence[Curve], size: float, largest: float) -> None:
    """Curves and scales, and the labels at the right: each at the height of its curve's end, or as near as fits."""
    for curve in curves:
        x, *y = curve.points.T
        if len(y) == 1:
            axes.plot(x, y[0], color=curve.colour, **curve.how)
        elif len(x) > 1:
            axes.fill_between(x, *y, color=curve.colour, alpha=0.2, lw=0, zorder=1)
        else:
            axes.plot([x[0]] * 2, [y[0][0], y[1][0]], color=curve.colour, lw=1.2, alpha=0.6, zorder=3)
    axes.set_xlim(0, min(100.0, largest * 1.04 + 1))
    top = 100.0 if multiple.ratio else axes.get_ylim()[1]
    axes.set_ylim(0, top)
    style.plain_axes(axes, "masked words, %", multiple.unit, size, grid="y")
    ends = sorted((curve for curve in curves if curve.label), key=lambda curve: curve.points[-1, 1])
    if not ends:
        axes.text(50, top / 2, "no gold links", ha="center", va="center", color=style.QUIET_COLOUR, fontsize=size)
        return
    inches = float(axes.get_position().height * axes.figure.get_size_inches()[1])  # type: ignore[union-attr]
    heights = spread([curve.points[-1, 1] / top for curve in ends], LINE * size / 72 / inches)
    right = axes.get_xlim()[1]
    for curve, height in zip(ends, heights, strict=True):
        x, y = curve.points[-1]
        line: dict[str, Any] = {"color": curve.colour, "lw": 0.5, "alpha": 0.45, "clip_on": False, "zorder": 1}
        axes.plot([x, right, right * 1.035], [y, height * top, height * top], ls="-", **line)
        axes.text(
            right * 1.05, height * top, curve.label,
            color=curve.colour, fontsize=size, va="center", clip_on=False, family=style.families(curve.label),
        )  # fmt: skip


def spread(heights: Sequence[float], gap: float) -> list[float]:
    """Ascending heights moved as little as need be so that neighbours are ``gap`` apart, within 0 and 1 if they fit.

    >>> [round(h, 2) for h in spread([0.5, 0.5, 0.9], 0.2)]
    [0.4, 0.6, 0.9]
    """
    from scipy.optimize import isotonic_regression

    steps = gap * np.arange(len(heights))
    placed = np.clip(isotonic_regression(np.asarray(heights) - steps).x, 0.0, 1.0 - gap * (len(heights) - 1))
    return (placed + steps).tolist()
