"""The summary of a layer x head grid: which heads carry one prediction, how few they are, and from where."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from align_eval.errors import InputError
from align_eval.report.summary import Cell, Summary, bands_of, fraction, greatest

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from align_eval.signals.text_flow import Group, TextFlow

TOP = 10
SUPPORTS, OPPOSES = "supports the prediction", "opposes the prediction"
"""More weight in the cell would lower the loss (A * dL/dA < 0), or raise it."""


def summarise_heads(
    flow: TextFlow,
    cell: tuple[int, int] | None = None,
    *,
    scalar: str = "max",
    groups: Sequence[Group] = (),
    chosen: str = "",
) -> Summary:
    """Say what the grid and the zoomed head show.

    Args:
        flow: of :func:`align_eval.signals.text_flow.text_flow`.
        cell: layer and head that are zoomed, from 1; ``None``: :func:`strongest_head`.
        scalar: what a cell of the grid is, of :data:`align_eval.signals.text_flow.SCALARS`.
        groups: spans of columns.
        chosen: how the head was chosen, for the record.

    Returns:
        the strongest cells are those from one subword to another, in all heads; in a map between the same subwords
        the diagonal is told of apart.

    Raises:
        InputError: no such head.
        UnknownNameError: no such scalar.
    """
    layers, heads = flow.signed.shape[:2]
    layer, head = strongest_head(flow, scalar) if cell is None else cell
    if not (1 <= layer <= layers and 1 <= head <= heads):
        raise InputError(f"no layer {layer}, head {head}", remedy=f"Choose from {layers} layers of {heads} heads")
    values, between = flow.scalar(scalar), flow.between
    strongest = _cells(flow, between, TOP)
    own = between[layer - 1, head - 1]
    zoom = _zoom(flow, layer - 1, head - 1, groups)
    spread = sparsity(values)
    bands = _bands(flow)
    from align_eval.signals.text_flow import SCALARS

    findings = [
        f"The model gives {flow.target!r} probability {flow.probability:.3f} (rank {flow.rank}).",
        f"The strongest cell is {strongest[0]}." if strongest else "No head has any flow.",
        f"{spread['above_half']} of {layers * heads} heads ({spread['share_above_half']:.1%}) exceed half of the "
        f"greatest value; the Gini coefficient over heads is {spread['gini']:.2f} (0: all alike, 1: one has all).",
        "Of all flow, " + ", ".join(f"{share:.0%} is in {name}" for name, share in bands.items()) + ".",
        _zoom_sentence(flow, layer, head, zoom, own),
    ]
    if zoom["groups"] and flow.position is not None:
        shares = ", ".join(f"{g['name']} {g['share_to_prediction']:.0%}" for g in zoom["groups"])
        findings.append(f"Of what that head brings to the predicting position, this is from: {shares}.")
    order = np.argsort(-values, axis=None, kind="stable")[:TOP]
    tops = [divmod(int(k), heads) for k in order]
    return Summary(
        figure="layer x head grid",
        quantity=f"saliency | A * dL/dA |, L the cross-entropy of {flow.target!r}; one cell of the grid: "
        f"{SCALARS[scalar]}",
        findings=tuple(findings),
        strongest=strongest,
        subject={
            "model": flow.model,
            "attention": flow.kind,
            "text": flow.key_text,
            "predicted": flow.target,
            "layer": layer,
            "head": head,
            "chosen": chosen or f"greatest: {SCALARS[scalar]}",
        },
        groups=tuple(zoom["groups"]),
        anomalies=tuple(_anomalies(flow, strongest)),
        numbers={
            "probability": flow.probability,
            "rank": flow.rank,
            "top_predictions": [{"token": token, "probability": p} for token, p in flow.top],
            "top_heads": [{"layer": a + 1, "head": b + 1, scalar: values[a, b]} for a, b in tops],
            "sparsity": spread,
            "share_of_flow_by_layers": bands,
            "zoomed_head": {k: v for k, v in zoom.items() if k != "groups"},
        },
    )


def strongest_head(flow: TextFlow, scalar: str = "max") -> tuple[int, int]:
    """Layer and head, from 1, of the greatest value; of equal ones the first. A share is replaced by ``max``.

    (Every head of the last layer has all its flow in the row that predicts: the share has no single greatest head.)
    """
    values = flow.scalar("max" if scalar == "share" else scalar)
    layer, head = divmod(int(values.argmax()), values.shape[1])
    return layer + 1, head + 1


def sparsity(values: NDArray[np.floating]) -> dict[str, Any]:
    """How few heads have what there is: Gini coefficient, heads above half of the maximum, share of the top ten.

    Gini = sum_ij |x_i - x_j| / (2 n^2 mean(x)); 0 if all are equal, near 1 if one has all.

    >>> sparsity(np.array([[0.0, 0.0], [0.0, 1.0]]))["gini"]
    0.75
    """
    flat = np.sort(np.asarray(values, dtype=np.float64), axis=None)
    total, n = float(flat.sum()), len(flat)
    gini = float(((2 * np.arange(1, n + 1) - n - 1) * flat).sum() / (n * total)) if total > 0 else 0.0
    above = int((flat > flat[-1] / 2).sum()) if total > 0 else 0
    top = float(flat[-10:].sum() / total) if total > 0 else 0.0
    return {"gini": gini, "above_half": above, "share_above_half": above / n, "share_of_top_ten": top}


def _cells(flow: TextFlow, values: NDArray[np.floating], count: int) -> tuple[Cell, ...]:
    """The greatest cells of ``(L, H, Q, K)``, descending; none that is 0."""
    out = []
    for a, b, q, key in greatest(values, count):
        note = SUPPORTS if flow.signed[a, b, q, key] < 0 else OPPOSES
        out.append(Cell(float(values[a, b, q, key]), a + 1, b + 1, flow.queries[q], flow.keys[key], q, key, note))
    return tuple(out)


def _zoom(flow: TextFlow, layer: int, head: int, groups: Sequence[Group]) -> dict[str, Any]:
    """What is said of one head, numbers from 0."""
    values = flow.saliency[layer, head]
    total = float(values.sum())
    out: dict[str, Any] = {
        "total": total,
        "gate": float(flow.signed[layer, head].sum()),
        "share_in_strongest_cell": fraction(values.max(), total),
        "groups": [],
    }
    if flow.square:
        out["share_to_itself"] = fraction(np.trace(values), total)
        out["share_from_first"] = fraction(values[1:, 0].sum(), total)
    row = None if flow.position is None else values[flow.position]
    if row is not None:
        out["share_to_prediction"] = fraction(row.sum(), total)
    everywhere = flow.saliency
    for group in groups:
        part = slice(group.start, group.end)
        entry: dict[str, Any] = {
            "name": group.name,
            "tokens": " ".join(flow.keys[part]),
            "first": group.start,
            "last": group.end - 1,
            "share_of_head": fraction(values[:, part].sum(), total),
        }
        if row is not None and flow.position is not None:
            entry["share_to_prediction"] = fraction(float(row[part].sum()), float(row.sum()))
            into = everywhere[:, :, flow.position]
            entry["share_to_prediction_all_heads"] = fraction(float(into[..., part].sum()), float(into.sum()))
        out["groups"].append(entry)
    return out


def _zoom_sentence(flow: TextFlow, layer: int, head: int, zoom: dict[str, Any], own: NDArray[np.floating]) -> str:
    q, key = (int(x) for x in np.unravel_index(int(own.argmax()), own.shape))
    parts = [
        f"layer {layer}, head {head}: {zoom['share_in_strongest_cell']:.0%} of its flow is in one cell"
        if flow.saliency[layer - 1, head - 1].max() == own.max()
        else f"layer {layer}, head {head}",
        f"its strongest is from query {flow.queries[q]!r} to key {flow.keys[key]!r}, {own[q, key]:.3g}",
    ]
    if "share_to_prediction" in zoom:
        parts.append(f"{zoom['share_to_prediction']:.0%} is in the row that predicts")
    if flow.square:
        parts.append(f"{zoom['share_to_itself']:.0%} is of subwords to themselves")
    return f"Of {'; '.join(parts)}."


def _bands(flow: TextFlow) -> dict[str, float]:
    """The share of all flow in the lower, middle and upper third of the layers."""
    by_layer = flow.scalar("sum").sum(axis=1)
    total = float(by_layer.sum())
    return {name: fraction(by_layer[low - 1 : high].sum(), total) for low, high, name in bands_of(len(by_layer))}


def _anomalies(flow: TextFlow, strongest: Sequence[Cell]) -> list[str]:
    out = []
    if flow.rank > 1:
        out.append(
            f"{flow.target!r} is not what the model predicts: that is {flow.top[0][0]!r} ({flow.top[0][1]:.3f})."
        )
    if flow.square:
        diagonal = flow.saliency - flow.between
        cells = _cells(flow, diagonal, 1)
        if cells and strongest and cells[0].value > strongest[0].value:
            out.append(
                f"A subword's attention to itself is stronger than the strongest cell between two: layer "
                f"{cells[0].layer}, head {cells[0].head}, {cells[0].query!r}, {cells[0].value:.3g}."
            )
        share = fraction(float(diagonal.sum()), float(flow.saliency.sum()))
        if share > 0.25:
            out.append(f"{share:.0%} of all flow is of subwords to themselves.")
        first = fraction(float(flow.between[..., 0].sum()), float(flow.between.sum()))
        if len(flow.keys) > 2 and first > 0.4:
            out.append(f"{first:.0%} of the flow between subwords comes from the first one, {flow.keys[0]!r}.")
    against = [cell for cell in strongest if cell.note == OPPOSES]
    if against:
        out.append(
            f"{len(against)} of the {len(strongest)} strongest cells oppose the prediction (more weight there would "
            f"raise the loss); the first is layer {against[0].layer}, head {against[0].head}, {against[0].query!r} to "
            f"{against[0].key!r}."
        )
    return out
