"""The summary of a context pattern: which kind of mask it is, and what can be counted in it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np

from align_eval.report.summary import Cell, Summary, greatest

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from align_eval.patterns import Detection

SHORT = 16
"""Below this length few kinds can be told apart."""
CLOSE = 10.0
"""Bits by which the runner-up must be longer to be told apart: odds of about a thousand to one."""
SHOWN = 12
"""Rows or columns that a sentence names before it counts them only."""


def summarise_pattern(
    pattern: NDArray[np.bool_],
    detection: Detection | None,
    *,
    quantity: str,
    subject: Mapping[str, Any],
    strongest: Sequence[Cell] = (),
    keys: Sequence[str] | None = None,
) -> Summary:
    """The summary of a pattern ``(queries, keys)``; one that is not square has no kind, and no detection.

    ``strongest`` are the strongest cells of the weights behind it; ``keys`` texts of the columns, to name the sinks.
    """
    if detection is None:
        return _oblong(pattern, quantity, subject, strongest)
    found, best, second = detection.features, detection.best, detection.runner_up
    scope = "causal cells" if detection.causal else "cells"
    findings = [
        f"Best explained by {best.kind.describe()}: {best.agreement:.1%} of the {detection.cells:,} {scope} "
        f"(Jaccard {best.jaccard:.2f}), {detection.bits_saved:,.0f} bits fewer than its density alone takes.",
        f"Runner-up: {second.kind.describe()}, {second.agreement:.1%}, {second.bits - best.bits:,.0f} bits more.",
        _window(found.window, found.window_after, detection),
        _sinks(found.sinks, keys),
        _blocked(found.blocked_rows, found.period, found.offset),
        f"Sparsity {found.sparsity:.1%} of the square; against dense {'causal ' if detection.causal else ''}attention "
        f"{found.saved_compute:.1%} of the cells need no compute ({found.saved_tiles:.1%} of the 16 x 16 tiles); "
        f"{found.keys_per_row:.1f} keys a query on average.",
    ]
    starts = best.kind.parameters.get("starts", ())
    if starts and keys is not None and len(starts) <= SHOWN:
        findings.insert(1, f"After the first, segments begin at {', '.join(f'{s} {keys[s]!r}' for s in starts)}.")
    if not detection.structured:
        findings[0] = (
            f"Unstructured: no kind says much more of it than its density; nearest is {best.kind.describe()}, "
            f"{best.agreement:.1%} of the {detection.cells:,} {scope}, {abs(detection.bits_saved):,.0f} bits "
            f"{'fewer' if detection.bits_saved > 0 else 'more'}."
        )
    numbers = {
        "n": detection.n, "causal": detection.causal, "cells_judged": detection.cells,
        "kind": best.name, "spec": best.kind.spec, "parameters": best.kind.parameters,
        "explained": best.agreement, "jaccard": best.jaccard, "structured": detection.structured,
        "bits": best.bits, "unstructured_bits": detection.unstructured_bits,
        "runner_up": second.name, "runner_up_spec": second.kind.spec, "runner_up_explained": second.agreement,
        **asdict(found),
    }  # fmt: skip
    groups = [
        {
            "name": fit.name, "explained": fit.agreement, "jaccard": fit.jaccard, "bits": fit.bits,
            "with": fit.kind.describe(),
        }
        for fit in detection.fits
    ]  # fmt: skip
    anomalies = tuple(_anomalies(pattern, detection))
    return Summary(
        "context pattern", quantity, tuple(findings), tuple(strongest), subject, tuple(groups), anomalies, numbers
    )


def strongest_cells(
    weights: NDArray[np.floating], queries: Sequence[str], keys: Sequence[str], *, layer: int, head: int
) -> list[Cell]:
    """The five greatest weights of a head's map ``(queries, keys)`` as cells, descending."""
    return [Cell(float(weights[q, k]), layer, head, queries[q], keys[k], q, k) for q, k in greatest(weights, 5)]


def _oblong(
    pattern: NDArray[np.bool_], quantity: str, subject: Mapping[str, Any], strongest: Sequence[Cell]
) -> Summary:
    rows, columns = pattern.shape
    share, each = pattern.mean(axis=0), pattern.sum(axis=1)
    empty = int((~pattern.any(axis=0)).sum())
    most = int(share.argmax())
    unseen = "1 key" if empty == 1 else f"{empty} keys"
    findings = (
        f"{rows} queries and {columns} keys: {pattern.mean():.1%} of the cells attend, {each.mean():.1f} keys a query "
        "on average. Kinds of masks are of square patterns and are not named.",
        f"Key {most} is attended to by most queries, {share[most]:.1%} of them; {unseen} by none.",
    )
    numbers = {
        "queries": rows, "keys": columns, "sparsity": 1 - float(pattern.mean()), "keys_per_row": float(each.mean()),
        "keys_attended_by_none": empty,
    }  # fmt: skip
    return Summary("context pattern", quantity, findings, tuple(strongest), subject, numbers=numbers)


def _window(before: int, after: int, detection: Detection) -> str:
    if not before:
        return "No window: not even half of the queries attend to themselves."
    if before == detection.n:
        return "The window is the whole context: at each distance half of the queries or more attend."
    ahead = "" if detection.causal else f", and {after} after it"
    keys = "the query's own key" if before == 1 else f"{before} keys up to the query, its own counted"
    return f"Window: {keys}{ahead} (half of the queries or more at each distance)."


def _sinks(columns: Sequence[int], keys: Sequence[str] | None) -> str:
    if not columns:
        return "No sink columns."
    named = [str(c) if keys is None else f"{c} {keys[c]!r}" for c in columns]
    listed = ", ".join(named) if len(named) <= SHOWN else f"{len(named)} of them, the first {named[0]}"
    return f"Sink columns (80 % of the queries beyond the window or more): {listed}."


def _blocked(rows: Sequence[int], period: int | None, offset: int | None) -> str:
    if not rows:
        return "No blocked rows."
    listed = ", ".join(map(str, rows)) if len(rows) <= SHOWN else f"the first {rows[0]}, the last {rows[-1]}"
    again = f"; every {period} rows from row {offset}" if period is not None else "; no period"
    few = "1 row attends" if len(rows) == 1 else f"{len(rows)} rows attend"
    return f"Blocked rows: {few} to a third or less of what the mask gives ({listed}){again}."


def _anomalies(pattern: NDArray[np.bool_], detection: Detection) -> list[str]:
    found = []
    if detection.n < SHORT:
        found.append(f"{detection.n} tokens are too few to tell most kinds apart.")
    gap = detection.runner_up.bits - detection.best.bits
    if gap < CLOSE:
        found.append(
            f"{detection.best.name} and {detection.runner_up.name} are hardly to be told apart: {gap:.1f} bits."
        )
    empty = np.flatnonzero(~pattern.any(axis=1))
    if len(empty):
        found.append(f"{len(empty)} queries attend to nothing at all, the first is row {empty[0]}.")
    return found
