"""How attention moves as more words are masked: small multiples over the mask ratio, with the baselines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from align_eval.errors import InputError, UnknownNameError
from align_eval.figures.style import (
    PALETTE,
    QUIET_COLOUR,
    TEXT_SIZE,
    TWO_COLUMNS,
    Width,
    axes_at,
    families,
    measure,
    new_figure,
    style,
    text_at,
    width_in_inches,
    wrap,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


Row = Mapping[str, Any]
Kinds = Mapping[str, Sequence[Row]]
Point = tuple[float, float]


@dataclass(frozen=True)
class Multiple:
    """One of the small multiples.

    Attributes:
        name: its title.
        unit: of the y axis.
        main: the key of the rows that the curves show, of masked words.
        beside: the key drawn thin beside it, and what it is called.
        null: the key within each baseline; empty: none is drawn.
        share: whether values are fractions, drawn as percent.
    """

    name: str
    unit: str
    main: str
    beside: tuple[str, str] = ("", "")
    null: str = ""
    share: bool = False

    def scaled(self, value: float) -> float:
        """A value in the unit of the y axis."""
        return 100.0 * float(value) if self.share else float(value)


MULTIPLES = {
    "gold peak": Multiple(
        "Argmax on a gold-aligned word", "% of rows", "accuracy_masked", ("accuracy_visible", "visible"),
        "accuracy_masked", True,
    ),
    "gold mass": Multiple(
        "Mass on gold-aligned words", "% of mass", "mass_masked", ("mass_visible", "visible"),
        "mass_masked", True,
    ),
    "entropy": Multiple("Entropy", "bits", "entropy_masked", ("entropy_full", "unmasked")),
    "divergence": Multiple("Divergence from the unmasked run", "bits", "divergence", ("divergence_visible", "visible")),
    "recovery": Multiple("Masked word predicted (top 1)", "% of words", "recovered", share=True),
}  # fmt: skip
DEFAULT = ("gold peak", "gold mass", "entropy", "recovery")
BASELINE_DASHES: dict[str, Any] = {
    "uniform": (0, (1, 1.3)),
    "position": (0, (4, 1.5)),
    "permuted": (0, (6, 1.5, 1, 1.5)),
}


DASHED = (0, (3.5, 1.5))
LEFT, LABELS, BELOW, ABOVE, EDGE = 0.46, 0.12, 0.42, 0.22, 0.06  # inches around each of the small multiples
LINE = 1.22


def redistribution_curves(
    rows: Sequence[Row],
    *,
    multiples: Sequence[str] = DEFAULT,
    model: str = "",
    head: str = "",
    rule: str = "",
    title: str = "",
    gold_name: str = "gold",
    width: Width | None = None,
    axes: Sequence[Axes] | None = None,
) -> Figure:
    """Draw measures of masked rows over the ratio of words that are masked, a curve for each masking strategy.

    A kind is a strategy without its settings: ``span:ratio=0.25`` and ``span:ratio=0.5`` are two points of the curve
    ``span``. Bands are the intervals of the rows. With one kind a thin line shows visible rows (or the same ones
    unmasked) and each baseline is a dashed line; with several a dashed line of the curve's colour shows the
    baseline that comes out highest at each point.

    Args:
        rows: what a corpus run gives (:meth:`align_eval.infilling.analysis.StrategyAnalysis.to_json`), one mapping a
            strategy: ``strategy``, ``mask_share`` (a fraction) and measures; ``ci`` maps measures to ``[low, high]``,
            ``baselines`` names to the same measures under each baseline. A missing measure, or ``None``, is left out.
        multiples: names of :data:`MULTIPLES`, in order.
        model, head, rule, title: stand above, as in :func:`~align_eval.figures.heatmap.paired_heatmaps`.
        gold_name: what the links are called, such as ``"silver"``.
        width: ``"one"`` or ``"two"`` columns of a paper; ``None``: as ``"two"``, where two multiples stand
            beside each other.
        axes: draw into these axes, one for each of the multiples; nothing stands above then.

    Raises:
        InputError: no rows, or another number of axes.
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
    found = [MULTIPLES[name] for name in multiples]
    chosen = [replace(multiple, name=multiple.name.replace("gold-", f"{gold_name}-")) for multiple in found]
    size = 7.0 if width == "one" else TEXT_SIZE
    if axes is not None:
        if len(axes) != len(chosen):
            raise InputError(f"{len(axes)} axes for {len(chosen)} curves")
        with style(size):
            for multiple, axis in zip(chosen, axes, strict=True):
                _draw(axis, multiple, kinds, size)
        return axes[0].figure  # type: ignore[return-value]
    notes = [model, head, rule and f"chosen: {rule}", *_notes(kinds, chosen)]
    inches = width_in_inches(width) or TWO_COLUMNS
    with style(size):
        return _placed(chosen, kinds, title, " · ".join(note for note in notes if note), inches, size)


def _placed(chosen: Sequence[Multiple], kinds: Kinds, title: str, caption: str, inches: float, size: float) -> Figure:
    """The figure with its axes where the labels leave room."""
    ends = [_ends(multiple, kinds) for multiple in chosen]
    across = 1 if inches < 5 else min(2, len(chosen))
    label = max(float(measure([text for _, text, _ in found] or [""])[:, 0].max()) for found in ends) * size / 72
    room = (inches - 2 * EDGE) / across
    plot_width = room - LEFT - LABELS - label
    plot_height = max(1.25, max(len(found) for found in ends) * LINE * size / 72)
    head = [
        (line, points, colour)
        for text, points, colour in ((title, size, "#000000"), (caption, 0.875 * size, QUIET_COLOUR))
        if text
        for line in wrap(text, points, inches - 2 * EDGE)
    ]
    top = EDGE + sum(LINE * points / 72 for _, points, _ in head)
    lines = -(-len(chosen) // across)
    height = top + lines * (ABOVE + plot_height + BELOW)
    figure = new_figure(inches, height, placed=True)
    y = EDGE
    for line, points, colour in head:
        y += LINE * points / 72
        text_at(figure, EDGE, y, line, fontsize=points, color=colour)
    for k, multiple in enumerate(chosen):
        left = EDGE + (k % across) * room + LEFT
        down = top + (k // across) * (ABOVE + plot_height + BELOW) + ABOVE
        _draw(axes_at(figure, left, down, plot_width, plot_height), multiple, kinds, size)
    return figure


def _draw(axes: Axes, multiple: Multiple, kinds: Kinds, size: float) -> None:
    for colour, (_, rows) in zip(_colours(kinds), kinds.items(), strict=True):
        points = _points(rows, multiple, multiple.main)
        if not points:
            continue
        axes.plot(*zip(*points, strict=True), color=colour, lw=1.5, marker="o", ms=3.2, zorder=4)
        band = _band(rows, multiple)
        if len(band) > 1:
            x, low, high = zip(*band, strict=True)
            axes.fill_between(x, low, high, color=colour, alpha=0.2, lw=0, zorder=1)
        elif band:
            axes.plot([band[0][0]] * 2, band[0][1:], color=colour, lw=1.2, alpha=0.6, zorder=3)
        if len(kinds) > 1:
            baselines = _highest_baseline(rows, multiple)
            if len(baselines) > 1:
                axes.plot(*zip(*baselines, strict=True), color=colour, lw=0.9, ls=DASHED, zorder=2)
            elif baselines:
                axes.plot(*zip(*baselines, strict=True), color=colour, marker="_", ms=7, ls="none", zorder=2)
    if len(kinds) == 1:
        (rows,) = kinds.values()
        beside = _points(rows, multiple, multiple.beside[0])
        if beside:
            axes.plot(*zip(*beside, strict=True), color="#000000", lw=0.8, marker="o", ms=2.8, mfc="white", zorder=3)
        for name, dashes in BASELINE_DASHES.items():
            points = _baseline_points(rows, multiple, name)
            if points:
                alone = {"marker": "_", "ms": 7, "ls": "none"} if len(points) == 1 else {"ls": dashes}
                axes.plot(*zip(*points, strict=True), color=QUIET_COLOUR, lw=1.0, zorder=2, **alone)
    _finish(axes, multiple, kinds, size)


def _finish(axes: Axes, multiple: Multiple, kinds: Kinds, size: float) -> None:
    """Scales, title, and the labels at the right, each at the height of its curve's end or as near as there is room."""
    largest = max((100 * float(row["mask_share"]) for rows in kinds.values() for row in rows), default=100.0)
    axes.set_xlim(0, min(100.0, largest * 1.04 + 1))
    top = 100.0 if multiple.share else axes.get_ylim()[1]
    axes.set_ylim(0, top)
    axes.set_xlabel("masked words, %", fontsize=size, labelpad=2)
    axes.set_ylabel(multiple.unit, fontsize=size, labelpad=2)
    axes.set_title(multiple.name, loc="left", fontsize=size, pad=4)
    axes.tick_params(labelsize=0.9 * size, pad=2)
    axes.grid(axis="y", color="#E0E0E0", lw=0.5)
    axes.set_axisbelow(True)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    found = sorted(_ends(multiple, kinds), key=lambda end: end[0][1])
    if not found:
        axes.text(50, top / 2, "no gold links", ha="center", va="center", color=QUIET_COLOUR, fontsize=size)
        return
    inches = float(axes.get_position().height * axes.figure.get_size_inches()[1])  # type: ignore[union-attr]
    heights = spread([point[1] / top for point, _, _ in found], LINE * size / 72 / inches)
    right = axes.get_xlim()[1]
    for ((x, y), text, colour), height in zip(found, heights, strict=True):
        ends: dict[str, Any] = {"color": colour, "lw": 0.5, "alpha": 0.45, "clip_on": False, "zorder": 1, "ls": "-"}
        axes.plot([x, right, right * 1.035], [y, height * top, height * top], **ends)
        axes.text(
            right * 1.05, height * top, text,
            color=colour, fontsize=size, va="center", clip_on=False, family=families(text),
        )  # fmt: skip


def spread(heights: Sequence[float], gap: float) -> list[float]:
    """Ascending heights moved as little as need be so that neighbours are ``gap`` apart, within 0 and 1 if they fit.

    >>> [round(h, 2) for h in spread([0.5, 0.5, 0.9], 0.2)]
    [0.4, 0.6, 0.9]
    """
    groups: list[tuple[float, int]] = []  # (centre, members)
    for height in heights:
        groups.append((height, 1))
        while len(groups) > 1:
            (a, n), (b, m) = groups[-2:]
            if b - a >= gap * (n + m) / 2 - 1e-12:
                break
            groups[-2:] = [((a * n + b * m) / (n + m), n + m)]
    placed: list[float] = []
    for centre, members in groups:
        placed += [centre + (k - (members - 1) / 2) * gap for k in range(members)]
    for k in range(len(placed)):
        placed[k] = max(placed[k], 0.0 if k == 0 else placed[k - 1] + gap)
    for k in reversed(range(len(placed))):
        placed[k] = min(placed[k], 1.0 if k == len(placed) - 1 else placed[k + 1] - gap)
    return placed


def _ends(multiple: Multiple, kinds: Kinds) -> list[tuple[Point, str, str]]:
    """What is labelled: the last point, the text and the colour of each curve."""
    found: list[tuple[Point, str, str]] = []
    for colour, (kind, rows) in zip(_colours(kinds), kinds.items(), strict=True):
        points = _points(rows, multiple, multiple.main)
        if points:
            found.append((points[-1], kind if len(kinds) > 1 else "masked", colour))
    if len(kinds) == 1:
        (rows,) = kinds.values()
        beside = _points(rows, multiple, multiple.beside[0])
        if beside:
            found.append((beside[-1], multiple.beside[1], "#000000"))
        for name in BASELINE_DASHES:
            points = _baseline_points(rows, multiple, name)
            if points:
                found.append((points[-1], name, QUIET_COLOUR))
    return found


def _notes(kinds: Kinds, chosen: Sequence[Multiple]) -> list[str]:
    notes = [f"strategy: {next(iter(kinds))}"] if len(kinds) == 1 else []
    if any(_band(rows, multiple) for rows in kinds.values() for multiple in chosen):
        notes.append("bands: intervals over sentences")
    if any(_highest_baseline(rows, multiple) for rows in kinds.values() for multiple in chosen):
        notes.append("dashed: baselines" if len(kinds) == 1 else "dashed: the highest of the baselines")
    return notes


def _colours(kinds: Kinds) -> list[str]:
    return [PALETTE[k % len(PALETTE)] for k in range(len(kinds))]


def _points(rows: Sequence[Row], multiple: Multiple, key: str) -> list[Point]:
    return [(100 * float(row["mask_share"]), multiple.scaled(row[key])) for row in rows if row.get(key) is not None]


def _band(rows: Sequence[Row], multiple: Multiple) -> list[tuple[float, float, float]]:
    found = [(row["mask_share"], (row.get("ci") or {}).get(multiple.main)) for row in rows]
    return [(100 * float(x), multiple.scaled(ci[0]), multiple.scaled(ci[1])) for x, ci in found if ci]


def _baseline_points(rows: Sequence[Row], multiple: Multiple, name: str) -> list[Point]:
    baselines = [(row["mask_share"], ((row.get("baselines") or {}).get(name) or {}).get(multiple.null)) for row in rows]
    return [(100 * float(x), multiple.scaled(y)) for x, y in baselines if y is not None]


def _highest_baseline(rows: Sequence[Row], multiple: Multiple) -> list[Point]:
    found: dict[float, float] = {}
    for name in BASELINE_DASHES:
        for x, y in _baseline_points(rows, multiple, name):
            found[x] = max(found.get(x, y), y)
    return sorted(found.items())
