"""The summary of a layer x token map: which tokens a band of layers holds, and where each token peaks or settles."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from align_eval.corpora.punctuation import is_punctuation, plain_word
from align_eval.errors import InputError
from align_eval.report.summary import Cell, Summary, bands_of, fraction, greatest

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from align_eval.signals.text_layers import LensDepth

TOP = 10


def summarise_layers(
    values: NDArray[np.floating],
    tokens: Sequence[str],
    *,
    quantity: str,
    first: int = 0,
    query: int | None = None,
    subject: Mapping[str, Any] | None = None,
    elsewhere: NDArray[np.floating] | None = None,
) -> Summary:
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
    """
    _check(values, tokens)
    layers = len(values)
    asked = None if query is None or not first <= query < first + len(tokens) else tokens[query - first]
    strongest = _strongest(values, tokens, first, query, asked)
    peaks = values.argmax(axis=0) + 1
    weight = values.sum(axis=0)
    bands = [_band(values, tokens, low, high, name) for low, high, name in bands_of(layers)]
    order = [int(k) for k in np.argsort(-weight, kind="stable")[:5] if weight[k] > 0]
    findings = []
    if strongest:
        findings.append(f"The strongest cell is {strongest[0]}.")
        held = ", ".join(f"{tokens[k]!r} {fraction(weight[k], weight.sum()):.0%}" for k in order)
        findings.append(f"Over all layers, these tokens hold most of what is drawn: {held}.")
    findings += [_band_sentence(band) for band in bands]
    if order:
        findings.append(
            "They are strongest in: " + ", ".join(f"{tokens[k]!r} layer {peaks[k]} of {layers}" for k in order) + "."
        )
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
            part = fraction(elsewhere.sum(), elsewhere.sum() + values.sum())
            anomalies.append(f"{part:.0%} of the whole lies on tokens in front of those drawn.")
    return Summary(
        figure="layer x token map",
        quantity=quantity,
        findings=tuple(findings),
        strongest=strongest,
        subject=dict(subject or {}),
        groups=tuple(bands),
        anomalies=tuple(anomalies),
        numbers=numbers,
    )


def summarise_depth(depth: LensDepth, *, threshold: float, subject: Mapping[str, Any] | None = None) -> Summary:
    """Say at which layer each token settles: the first from which its divergence is not above ``threshold`` bits."""
    from align_eval.signals.text_layers import settling_depth

    values, tokens = depth.divergence, depth.tokens
    _check(values, tokens)
    layers, count = values.shape
    settled = settling_depth(values, threshold)
    agrees = settling_depth(1.0 - depth.agrees, 0.5)
    bands = []
    for low, high, name in bands_of(layers):
        band = _band(values, tokens, low, high, name)
        inside = [k for k in range(count) if low <= settled[k] <= high]
        band["settle_here"], band["share_settle_here"] = len(inside), len(inside) / count
        bands.append(band)
    late = sorted(range(count), key=lambda k: (-int(settled[k]), k))
    early = sorted(range(count), key=lambda k: (int(settled[k]), k))
    kinds = _kinds(tokens, settled)
    findings = [
        f"Half of the {count} tokens have settled by layer {int(np.median(settled))} of {layers} (not above "
        f"{threshold} bits from there on); the mean is layer {settled.mean():.1f}.",
        "By band: " + ", ".join(f"{b['settle_here']} settle in {b['name']}" for b in bands) + ".",
        "Mean layer by kind: "
        + ", ".join(f"{name} {kind['mean_layer']:.1f} (n = {kind['tokens']})" for name, kind in kinds.items()) + ".",
        f"The last layer's most probable token is that of every later layer from layer {float(np.median(agrees)):g} on "
        "(median).",
        "Mean divergence: " + ", ".join(f"{b['mean']:.2f} bits in {b['name']}" for b in bands) + ".",
    ]  # fmt: skip
    if settled.min() < settled.max():
        last = ", ".join(f"{tokens[k]!r} ({settled[k]})" for k in late[:6])
        first = ", ".join(f"{tokens[k]!r} ({settled[k]})" for k in early[:4])
        findings.insert(2, f"The last to settle: {last}; the first: {first}.")
    steps = -np.diff(values.mean(axis=1))
    drop = int(steps[:-1].argmax()) if len(steps) > 1 else 0
    anomalies = []
    if len(steps) > 1 and steps[drop] > 0:
        findings.append(
            f"The mean falls most between layers {drop + 1} and {drop + 2}, by {steps[drop]:.2f} bits (the step to the "
            "last layer apart)."
        )
    at_end = int((settled == layers).sum())
    if at_end > count / 2:
        anomalies.append(
            f"{at_end} of {count} tokens settle in the last layer only: the lens "
            + ("" if depth.norm else "without the final norm ")
            + "does not speak the language of the unembedding before."
        )
    back = [k for k in range(count) if (values[: settled[k] - 1, k] <= threshold).any()]
    if back:
        anomalies.append(
            f"{len(back)} tokens had been below {threshold} bits and came back above it before they settled: "
            + ", ".join(repr(tokens[k]) for k in back[:8]) + "."
        )  # fmt: skip
    return Summary(
        figure="layer x token map",
        quantity="Jensen-Shannon divergence, bits, between the logit lens of each layer "
        + ("(final norm taken)" if depth.norm else "(final norm left out)")
        + " and the model's output; column t: the distribution that produced token t",
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


def _band(values: NDArray[np.floating], tokens: Sequence[str], low: int, high: int, name: str) -> dict[str, Any]:
    """The mean of a band, and the tokens that carry most of it."""
    mean = values[low - 1 : high].mean(axis=0)
    order = [int(k) for k in np.argsort(-mean, kind="stable")[:5] if mean[k] > 0]
    return {
        "name": name,
        "mean": float(mean.mean()),
        "tokens": [tokens[k] for k in order],
        "means": [float(f"{mean[k]:.4g}") for k in order],
        "share": fraction(values[low - 1 : high].sum(), values.sum()),
    }


def _band_sentence(band: Mapping[str, Any]) -> str:
    held = ", ".join(f"{t!r} {m:.2g}" for t, m in zip(band["tokens"][:3], band["means"][:3], strict=True))
    return f"In {band['name']} ({band['share']:.0%} of all that is drawn) most is on: {held or 'nothing'}."


def _strongest(
    values: NDArray[np.floating], tokens: Sequence[str], first: int, query: int | None, asked: str | None
) -> tuple[Cell, ...]:
    return tuple(
        Cell(float(values[row, k]), row + 1, None, asked, tokens[k], query, first + k)
        for row, k in greatest(values, TOP)
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


def _check(values: NDArray[np.floating], tokens: Sequence[str]) -> None:
    if values.ndim != 2 or values.shape[1] != len(tokens) or 0 in values.shape:
        raise InputError(f"a map of shape {values.shape} for {len(tokens)} tokens")
