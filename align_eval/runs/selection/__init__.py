"""Which views of a sweep to use: chosen on a development part, scored on the disjoint rest.

A selection is a weighted sum of the word maps of some views, which becomes links by the sweep's own extraction method.
Each way to select registers itself:

- ``best``: the single view with the lowest AER;
- ``greedy``: views added one by one, their maps averaged, while AER falls;
- ``logistic``: L1-regularised logistic regression from a cell's values to its being a gold link.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from align_eval.aligners.heads import mode_name
from align_eval.extraction import make_extractor
from align_eval.registry import Registry
from align_eval.runs.word_maps import BOUND
from align_eval.scoring import Score

if TYPE_CHECKING:
    from align_eval.runs.sweep import Sweep

SENTENCES = NDArray[np.int64]


@dataclass(frozen=True)
class Settings:
    """What the ways to select can be told.

    Attributes:
        max_heads: views that ``greedy`` takes at most.
        folds: parts of the cross-validation of ``logistic``.
        seed: of the folds.
    """

    max_heads: int = 8
    folds: int = 5
    seed: int = 12345


@dataclass(frozen=True)
class Selection:
    """A weighted sum of views.

    Attributes:
        name: how it was chosen.
        views: numbers of the views in the sweep.
        weights: one a view.
        intercept: is added to the sum; ``None``: the sum is taken as it is, else its logistic function
            1 / (1 + exp(-(intercept + sum))).
        aer: on the development part it was chosen on, percent: too good by what choosing gains.
        notes: how it came about, as plain values; ``params`` of the signature come from here.
    """

    name: str
    views: tuple[int, ...]
    weights: tuple[float, ...]
    intercept: float | None = None
    aer: float = 0.0
    notes: dict[str, Any] = field(default_factory=dict)

    def combine(self, values: Tensor) -> Tensor:
        """One map ``(B, M, N)`` of the maps ``(v, B, M, N)`` of its own views, in their order."""
        weights = torch.tensor(self.weights, dtype=values.dtype, device=values.device)
        total = torch.einsum("v,vbmn->bmn", weights, values)
        return total if self.intercept is None else torch.sigmoid(total + self.intercept)


Selector = Callable[["Sweep", SENTENCES, Settings], Selection]
SELECTORS: Registry[Selector] = Registry("selection", "align_eval.runs.selection")


@dataclass(frozen=True)
class Selected:
    """A selection and its score on sentences that it was not chosen on.

    Attributes:
        selection: what was chosen.
        score: on the rest; its signature names selection and development part.
        development: number of sentence pairs it was chosen on.
    """

    selection: Selection
    score: Score
    development: int

    def describe(self, found: Sweep, at_most: int = 8) -> str:
        """The views in a few words, the heaviest first: ``layer 6, head 1, both``; several with their weights."""
        order = np.argsort([-abs(weight) for weight in self.selection.weights], kind="stable")
        views = [found.views[self.selection.views[k]] for k in order]
        if len(views) == 1:
            return f"layer {views[0].layer}, head {views[0].head}, {mode_name(views[0].reading)}"
        even = len({round(weight, 9) for weight in self.selection.weights}) == 1
        parts = [
            f"{view.layer}.{view.head} {mode_name(view.reading)}"
            + ("" if even else f" ({self.selection.weights[k]:+.3g})")
            for k, view in zip(order, views, strict=True)
        ]
        rest = f" and {len(parts) - at_most} more" if len(parts) > at_most else ""
        return f"{len(parts)} views (layer.head): {', '.join(parts[:at_most])}{rest}"

    def to_json(self, found: Sweep) -> dict[str, Any]:
        """A row like those of :meth:`align_eval.runs.sweep.Sweep.to_json`, with ``selection``, ``views`` and intervals.

        ``layer``, ``head`` and ``mode`` are those of the view, or ``several``.
        """
        chosen = [found.views[v] for v in self.selection.views]

        def common(name: str) -> Any:
            values = list(dict.fromkeys(getattr(view, name) for view in chosen))
            return values[0] if len(values) == 1 else "several"

        views = [
            {"layer": view.layer, "head": view.head, "mode": mode_name(view.reading), "weight": float(f"{weight:.6g}")}
            for view, weight in zip(chosen, self.selection.weights, strict=True)
        ]
        return {
            "testset": found.testset.name, "model": found.model,
            "layer": common("layer"), "head": common("head"), "mode": mode_name(common("reading")),
            "signal": found.signal, "method": found.method, "selection": self.selection.name, "part": "rest",
            "development_sentences": self.development, "development_aer": round(self.selection.aer, 6),
            "views": views, **self.selection.notes, **self.score.to_json(),
        }  # fmt: skip


def select(
    found: Sweep,
    name: str,
    parts: tuple[SENTENCES, SENTENCES],
    *,
    settings: Settings | None = None,
    resamples: int = 1000,
    seed: int = 12345,
    confidence: float = 0.95,
) -> Selected:
    """Choose views of a sweep on one part of its sentences and score them on the other.

    Args:
        found: of :func:`align_eval.runs.sweep.sweep_testset`, given the same development part (``best`` needs none).
        name: of :data:`SELECTORS`.
        parts: sentence numbers of the development part and of the rest, see :func:`align_eval.runs.sweep.split`.
        settings: of the selection.
        resamples, seed, confidence: of the intervals.

    Raises:
        UnknownNameError: no such selection.
        InputError: the development part is too small for it.
    """
    development, rest = parts
    chosen = SELECTORS.get(name)(found, development, settings or Settings())
    share = f"{len(development) / (len(development) + len(rest)):.3g}"
    more = {"selection": f"{name}/{share}"}
    if chosen.intercept is not None:
        readings = dict.fromkeys(found.views[v].reading for v in chosen.views)
        more |= {"layer": "several", "head": "several", "signal": f"{found.signal}-{','.join(readings)}"}
    if "params" in chosen.notes:
        more["params"] = str(chosen.notes["params"])
    score = found.score_counts(
        selection_counts(found, chosen, rest), chosen.views, rest, more, resamples=resamples, seed=seed,
        confidence=confidence,
    )  # fmt: skip
    return Selected(chosen, score, len(development))


def selection_counts(found: Sweep, chosen: Selection, part: SENTENCES) -> NDArray[np.int32]:
    """|A|, |S|, |A∩S|, |A∩P| of each sentence pair of a part, ``(n, 4)``, by the links of a selection.

    A selection of one view without an intercept is read off the sweep's own counts; else the word maps of its views
    are taken from memory, or read once more.
    """
    if len(chosen.views) == 1 and chosen.intercept is None and chosen.weights[0] > 0:
        return np.asarray(found.counts[chosen.views[0], part])
    extractor = make_extractor(found.method)
    rows = {int(k): row for row, k in enumerate(part)}
    out = np.zeros((len(rows), 4), dtype=np.int32)
    for maps in found.maps.batches(part, chosen.views):
        combined = chosen.combine(maps.matrix.values)[None]
        out[[rows[k] for k in maps.matrix.indices]] = maps.count(extractor, combined)[0]
    out[:, 1] = found.sure()[part]
    return out


def candidates(found: Sweep, development: SENTENCES, at_most: int | None = None) -> list[int]:
    """The views that a combination is chosen from, ascending by number.

    All of them; or, where their maps of the development part are more than :data:`align_eval.runs.word_maps.BOUND`
    numbers, or more than ``at_most``, as many as fit: those with the lowest AER on the development part.
    """
    fit = max(1, BOUND // max(1, found.maps.cells([int(k) for k in development])))
    size = min(len(found.views), fit, at_most or len(found.views))
    order: Sequence[int] = np.argsort(found.aer(development), kind="stable")[:size].tolist()
    return sorted(order)


@SELECTORS.register("best")
def best(found: Sweep, development: SENTENCES, settings: Settings) -> Selection:
    """The view with the lowest AER on the development part; of equal ones the first."""
    view = found.best(development)
    return Selection("best", (view,), (1.0,), aer=float(found.aer(development)[view]))
