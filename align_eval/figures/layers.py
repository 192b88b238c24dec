"""Layer x token: one number for each layer, 1 to L down, at each token of an answer, across; and what the map says."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from align_eval.corpora.words import is_punctuation, plain_word
from align_eval.errors import InputError
from align_eval.figures import style
from align_eval.report.summary import Cell, Summary, bands_of, fraction, greatest

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    from align_eval.attribution.text_layers import LensDepth

LEFT, RIGHT, TOP, GAP = 0.46, 0.62, 0.26, 0.14  # inches around the map, and between its lines
STRONGEST = 10


def layer_token_map(
    values: NDArray[np.floating], tokens: Sequence[str], *, quantity: str, high: float | None = None, title: str = "",
    marks: Sequence[int] | None = None, marks_label: str = "", query: int | None = None,
) -> Figure:  # fmt: skip
    """Draw layers by tokens, dark at 0 and light at ``high``, as wide as two columns of a paper.

    More tokens than can be read in one line are continued in further lines below, on the same colour scale.

    Args:
        values: ``(L, T)``, not below 0.
        tokens: T labels.
        quantity: what the values are; it stands at the colour bar.
        high: the light end of the scale; ``None``: the greatest value.
        title: above the map.
        marks: T layers from 1: a blue line at the upper edge of that layer's cell, such as where a token has settled;
            a number above L draws none. ``marks_label`` says what they are.
        query: the column of the position that reads; a small triangle stands above it.

    Raises:
        InputError: a wrong shape.
        NonFiniteError: a value is NaN or infinite.
    """
    from matplotlib.lines import Line2D

    layers, count = _checked(values, tokens)
    if marks is not None and len(marks) != count:
        raise InputError(f"{len(marks)} marks for {count} tokens")
    limit = high if high is not None else float(values.max()) or 1.0
    with style.settings():
        free = style.TWO_COLUMNS - LEFT - RIGHT
        lines = math.ceil(count / int(free / (1.15 * style.MIN_TEXT_SIZE / 72)))
        width = math.ceil(count / lines)
        pitch = min(free / width, 0.3)
        size = min(7.0, max(style.MIN_TEXT_SIZE, 72 * pitch / 1.15))
        under = float(style.measure(tokens, columns=True)[:, 1].max()) * size / 72 + 0.08
        tall = min(max(0.075 * layers, 0.9), 2.6)
        above = TOP + (0.09 if query is not None else 0)
        height = above + lines * (tall + under) + (lines - 1) * GAP + (0.22 if marks is not None else 0.02)
        figure = style.new_figure(LEFT + pitch * width + RIGHT, height, placed=True)
        for number in range(lines):
            first, last = number * width, min((number + 1) * width, count)
            y = above + number * (tall + under + GAP)
            part = style.axes_at(figure, LEFT, y, pitch * (last - first), tall)
            _draw_line(part, values[:, first:last], tokens[first:last], first, limit, size, marks, query)
            if not number:
                part.set_title(title, loc="left", fontsize=7.5, pad=4 + (7 if query is not None else 0))
                beside = style.axes_at(figure, LEFT + pitch * width + 0.1, y, 0.1, tall)
                style.colour_bar(figure, part.images[0], quantity, style.SMALL_SIZE, cax=beside)
        if marks is not None:
            wide, y = figure.get_figwidth(), 0.1 / height
            figure.add_artist(Line2D([LEFT / wide, (LEFT + 0.2) / wide], [y, y], color=style.GOLD_ON_DARK, lw=1.6))
            style.text_at(figure, LEFT + 0.27, height - 0.1, marks_label, va="center", fontsize=style.SMALL_SIZE)
    return figure


def _draw_line(
    axes: Axes, values: NDArray[np.floating], tokens: Sequence[str], first: int, top: float, size: float,
    marks: Sequence[int] | None, query: int | None,
) -> None:  # fmt: skip
    """One line of tokens, of which ``first`` is the number of the first."""
    from matplotlib.patheffects import withStroke

    layers, count = values.shape
    axes.imshow(
        values, cmap=style.HEAT_MAP, vmin=0, vmax=top, extent=(-0.5, count - 0.5, layers + 0.5, 0.5), aspect="auto",
        interpolation="nearest",
    )  # fmt: skip
    axes.tick_params(pad=2)
    style.label_columns(axes, tokens, size)
    step = next(k for k in (1, 2, 5, 10, 20, 50, 1000) if layers / k <= 8)
    numbers = sorted({1, layers, *(k for k in range(step, layers + 1, step) if layers - k >= step / 2)})
    axes.set_yticks(numbers, [str(k) for k in numbers], fontsize=style.SMALL_SIZE)
    axes.set_ylabel("i-th layer", labelpad=2)
    if marks is not None:
        own = np.asarray(marks[first : first + count])
        (shown,) = np.nonzero(own <= layers)
        edge = [withStroke(linewidth=2.4, foreground="black")]
        axes.hlines(
            own[shown] - 0.5, shown - 0.42, shown + 0.42, color=style.GOLD_ON_DARK, lw=1.4, path_effects=edge, zorder=4
        )
    if query is not None and first <= query < first + count:
        axes.annotate(
            "▼", (query - first, 1), (0, 1), xycoords=("data", "axes fraction"), textcoords="offset points",
            ha="center", va="bottom", fontsize=5.5, color=style.QUIET_COLOUR,
        )  # fmt: skip


def summarise_layers(
    values: NDArray[np.floating], tokens: Sequence[str], *, quantity: str, first: int = 0, query: int | None = None,
    subject: Mapping[str, Any] | None = None, elsewhere: NDArray[np.floating] | None = None,
) -> Summary:  # fmt: skip
    """Say what a map of attention or saliency shows: where its mass lies, by band of layers and by token.

    Args:
        values: ``(L, T)``, not below 0.
        tokens: T labels.
        quantity: what the values are.
        first: number of the first token in the text, 0-based; the cells name positions in the text.
        query: the position in the text that reads, 0-based.
        subject: what it was drawn from.
        elsewhere: ``(L,)``, what lies on tokens that are not drawn (the prompt).

    Raises:
        InputError: a wrong shape.
        NonFiniteError: a value is NaN or infinite.
    """
    layers, count = _checked(values, tokens)
    asked = None if query is None or not first <= query < first + count else tokens[query - first]
    strongest = _strongest(values, tokens, first, query, asked)
    peaks = values.argmax(axis=0) + 1
    weight = values.sum(axis=0)
    bands = [_band(values, tokens, low, high, name) for low, high, name in bands_of(layers)]
    order = _most(weight)
    findings = []
    if strongest:
        held = ", ".join(f"{tokens[k]!r} {fraction(weight[k], weight.sum()):.0%}" for k in order)
        findings.append(f"The strongest cell is {strongest[0]}.")
        findings.append(f"Over all layers, these tokens hold most of what is drawn: {held}.")
    for band in bands:
        held = ", ".join(f"{t!r} {m:.2g}" for t, m in zip(band["tokens"][:3], band["means"][:3], strict=True))
        part = f"In {band['name']} ({band['share']:.0%} of all that is drawn)"
        findings.append(f"{part} most is on: {held or 'nothing'}.")
    if order:
        told = ", ".join(f"{tokens[k]!r} layer {peaks[k]} of {layers}" for k in order)
        findings.append(f"They are strongest in: {told}.")
    anomalies = []
    numbers: dict[str, Any] = {
        "peak_layer": [{"token": t, "layer": int(p)} for t, p, w in zip(tokens, peaks, weight, strict=True) if w > 0],
        "share_of_token": [fraction(w, weight.sum()) for w in weight],
        "share_of_layer": [fraction(v, values.sum()) for v in values.sum(axis=1)],
    }
    if elsewhere is not None:
        numbers["not_drawn"] = elsewhere
        numbers["mean_not_drawn"] = float(elsewhere.mean())
        if elsewhere.mean() > 0.3 * (elsewhere.mean() + values.sum(axis=1).mean()):
            outside = fraction(elsewhere.sum(), elsewhere.sum() + values.sum())
            anomalies.append(f"{outside:.0%} of the whole lies on tokens in front of those drawn.")
    return Summary(
        "layer x token map", quantity, tuple(findings), strongest, dict(subject or {}), tuple(bands), tuple(anomalies),
        numbers,
    )  # fmt: skip


def summarise_depth(depth: LensDepth, *, threshold: float, subject: Mapping[str, Any] | None = None) -> Summary:
    """Say at which layer each token settles: the first from which its divergence is not above ``threshold`` bits."""
    from align_eval.attribution.text_layers import settling_depth

    values, tokens = depth.divergence, depth.tokens
    layers, count = _checked(values, tokens)
    settled = settling_depth(values, threshold)
    agrees = settling_depth(1.0 - depth.agrees, 0.5)
    bands = []
    for low, high, name in bands_of(layers):
        here = int(((low <= settled) & (settled <= high)).sum())
        band = _band(values, tokens, low, high, name)
        bands.append({**band, "settle_here": here, "share_settle_here": here / count})
    kinds = _kinds(tokens, settled)
    told = ", ".join(f"{name} {kind['mean_layer']:.1f} (n = {kind['tokens']})" for name, kind in kinds.items())
    findings = [
        f"Half of the {count} tokens have settled by layer {int(np.median(settled))} of {layers} (not above "
        f"{threshold} bits from there on); the mean is layer {settled.mean():.1f}.",
        "By band: " + ", ".join(f"{b['settle_here']} settle in {b['name']}" for b in bands) + ".",
        f"Mean layer by kind: {told}.",
        f"The last layer's most probable token is that of every later layer from layer {float(np.median(agrees)):g} on "
        "(median).",
        "Mean divergence: " + ", ".join(f"{b['mean']:.2f} bits in {b['name']}" for b in bands) + ".",
    ]
    if settled.min() < settled.max():
        early = sorted(range(count), key=lambda k: (int(settled[k]), k))[:4]
        late = sorted(range(count), key=lambda k: (-int(settled[k]), k))[:6]
        first, last = (", ".join(f"{tokens[k]!r} ({settled[k]})" for k in some) for some in (early, late))
        findings.insert(2, f"The last to settle: {last}; the first: {first}.")
    steps = -np.diff(values.mean(axis=1))
    drop = int(steps[:-1].argmax()) if len(steps) > 1 else 0
    if len(steps) > 1 and steps[drop] > 0:
        findings.append(
            f"The mean falls most between layers {drop + 1} and {drop + 2}, by {steps[drop]:.2f} bits (the step to the "
            "last layer apart)."
        )
    anomalies = []
    at_end = int((settled == layers).sum())
    if at_end > count / 2:
        anomalies.append(
            f"{at_end} of {count} tokens settle in the last layer only: the lens "
            + ("" if depth.norm else "without the final norm ")
            + "does not speak the language of the unembedding before."
        )
    back = [k for k in range(count) if (values[: settled[k] - 1, k] <= threshold).any()]
    if back:
        named = ", ".join(repr(tokens[k]) for k in back[:8])
        anomalies.append(
            f"{len(back)} tokens had been below {threshold} bits and came back above it before they settled: {named}."
        )
    return Summary(
        figure="layer x token map",
        quantity="Jensen-Shannon divergence, bits, between the logit lens of each layer "
        f"(final norm {'taken' if depth.norm else 'left out'}) and the model's output; column t: the distribution that "
        "produced token t",
        findings=tuple(findings),
        strongest=_strongest(values, tokens, depth.first, None, None),
        subject=dict(subject or {}),
        groups=tuple(bands),
        anomalies=tuple(anomalies),
        numbers={
            "threshold": threshold,
            "settling_layer": [{"token": t, "layer": int(s)} for t, s in zip(tokens, settled, strict=True)],
            "mean_settling_layer": float(settled.mean()),
            "median_settling_layer": float(np.median(settled)),
            "settling_by_kind": kinds,
            "mean_divergence_of_layer": values.mean(axis=1),
            "probability_in_last_layer": depth.probability[-1],
            "agreeing_layer": agrees,
        },
    )


def _checked(values: NDArray[np.floating], tokens: Sequence[str]) -> tuple[int, int]:
    """The numbers of layers and tokens of a map that can be drawn."""
    style.check_map(values, len(values), len(tokens), f"{len(tokens)} tokens")
    return len(values), len(tokens)


def _most(weight: NDArray[np.floating]) -> list[int]:
    """The five greatest that are above 0, descending."""
    return [int(k) for k in np.argsort(-weight, kind="stable")[:5] if weight[k] > 0]


def _band(values: NDArray[np.floating], tokens: Sequence[str], low: int, high: int, name: str) -> dict[str, Any]:
    """The mean of a band, and the tokens that carry most of it."""
    mean = values[low - 1 : high].mean(axis=0)
    order = _most(mean)
    return {
        "name": name,
        "mean": float(mean.mean()),
        "tokens": [tokens[k] for k in order],
        "means": [float(f"{mean[k]:.4g}") for k in order],
        "share": fraction(values[low - 1 : high].sum(), values.sum()),
    }


def _strongest(
    values: NDArray[np.floating], tokens: Sequence[str], first: int, query: int | None, asked: str | None
) -> tuple[Cell, ...]:
    return tuple(
        Cell(float(values[row, k]), row + 1, None, asked, tokens[k], query, first + k)
        for row, k in greatest(values, STRONGEST)
    )


def _kinds(tokens: Sequence[str], settled: NDArray[np.int64]) -> dict[str, dict[str, Any]]:
    """The mean settling layer of words, numbers, and punctuation and spaces."""
    found: dict[str, list[int]] = {}
    for token, layer in zip(tokens, settled, strict=True):
        found.setdefault(kind_of(token), []).append(int(layer))
    return {name: {"tokens": len(found[name]), "mean_layer": float(np.mean(found[name]))} for name in sorted(found)}


def kind_of(token: str) -> str:
    """``"numbers"``, ``"words"``, or ``"punctuation and spaces"``.

    >>> kind_of("13"), kind_of("answer"), kind_of("$"), kind_of("↵")
    ('numbers', 'words', 'words', 'punctuation and spaces')
    """
    if any(letter.isdigit() for letter in plain_word(token)):
        return "numbers"
    return "punctuation and spaces" if is_punctuation(token) else "words"
