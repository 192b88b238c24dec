"""Which heads of a sweep to use: chosen on the dev split, scored on the disjoint test split.

A selection is a weighted sum of the word matrices of some views (layer, head, mode), which becomes links by the sweep's
own extraction method. Each way to select registers itself: ``best``, ``greedy`` and ``logistic``.
"""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from align_eval.aligners.heads import mode_name
from align_eval.errors import InputError
from align_eval.extraction import Extractor, make_extractor
from align_eval.registry import Registry
from align_eval.runs.sweep import BOUND, Sweep, WordMaps
from align_eval.scoring import Score, measures

SENTENCES = NDArray[np.int64]
Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

FEATURES = 64
"""Views that enter the regression at most: those with the lowest AER on the dev split."""
GRID = 8
"""Values of C: from twice the least that takes any view, in equal ratios over three and a half orders of magnitude."""
FOLDS = 5
"""Of the cross-validation that chooses C."""
ITERATIONS = 300
"""Rounds of coordinate descent at most; only with the weakest penalties and few cells does it need more."""


@dataclass(frozen=True)
class Selection:
    """A weighted sum of views."""

    name: str  # how it was chosen
    views: tuple[int, ...]  # their numbers in the sweep
    weights: tuple[float, ...]
    intercept: float | None = None  # None: the sum is taken as it is, else 1 / (1 + exp(-(intercept + sum)))
    aer: float = 0.0  # on the dev split it was chosen on, percent: too good by what choosing gains
    notes: dict[str, Any] = field(default_factory=dict)  # how it came about; "params" goes into the signature

    def combine(self, values: Tensor) -> Tensor:
        """One matrix ``(B, M, N)`` of the matrices ``(v, B, M, N)`` of its own views, in their order."""
        weights = torch.tensor(self.weights, dtype=values.dtype, device=values.device)
        total = torch.einsum("v,vbmn->bmn", weights, values)
        return total if self.intercept is None else torch.sigmoid(total + self.intercept)


# Of a sweep, the dev split, how many views greedy takes at most, and the seed of the folds of logistic.
Selector = Callable[[Sweep, SENTENCES, int, int], Selection]
SELECTORS: Registry[Selector] = Registry("selection")


@dataclass(frozen=True)
class Selected:
    """A selection and its score on sentences that it was not chosen on."""

    selection: Selection
    score: Score  # on the test split; its signature names selection and dev split
    development: int  # number of sentence pairs it was chosen on

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
            values = {getattr(view, name) for view in chosen}
            return values.pop() if len(values) == 1 else "several"

        return {
            "testset": found.testset.name, "model": found.model,
            "layer": common("layer"), "head": common("head"), "mode": mode_name(common("reading")),
            "signal": found.attribution, "method": found.method, "selection": self.selection.name, "part": "rest",
            "development_sentences": self.development, "development_aer": round(self.selection.aer, 6),
            "views": [
                {"layer": v.layer, "head": v.head, "mode": mode_name(v.reading), "weight": float(f"{weight:.6g}")}
                for v, weight in zip(chosen, self.selection.weights, strict=True)
            ],
            **self.selection.notes, **self.score.to_json(),
        }  # fmt: skip


def select(
    found: Sweep,
    name: str,
    parts: tuple[SENTENCES, SENTENCES],
    *,
    max_heads: int = 8,
    resamples: int = 1000,
    seed: int = 12345,
    confidence: float = 0.95,
) -> Selected:
    """Choose views of a sweep on one part of its sentences and score them on the other.

    Args:
        found: of :func:`align_eval.runs.sweep.sweep_testset`, given the same dev split (``best`` needs none).
        name: of :data:`SELECTORS`.
        parts: sentence numbers of the dev split and of the test split, see :func:`align_eval.runs.sweep.split`.
        max_heads: views that ``greedy`` takes at most.
        resamples, seed, confidence: of the intervals; the seed also of the folds of ``logistic``.

    Raises:
        UnknownNameError: no such selection.
        InputError: the dev split is too small for it.
    """
    development, rest = parts
    chosen = SELECTORS.get(name)(found, development, max_heads, seed)
    more = {"selection": f"{name}/{len(development) / (len(development) + len(rest)):.3g}"}
    if chosen.intercept is not None:
        readings = dict.fromkeys(found.views[v].reading for v in chosen.views)
        more |= {"layer": "several", "head": "several", "signal": f"{found.attribution}-{','.join(readings)}"}
    if "params" in chosen.notes:
        more["params"] = str(chosen.notes["params"])
    rows = _counts(found, chosen, rest)
    score = found.score_counts(rows, chosen.views, rest, more, resamples=resamples, seed=seed, confidence=confidence)
    return Selected(chosen, score, len(development))


def _counts(found: Sweep, chosen: Selection, part: SENTENCES) -> NDArray[np.int32]:
    """|A|, |S|, |A∩S|, |A∩P| of each sentence pair of a part, ``(n, 4)``, by the links of a selection.

    Those of one view are the sweep's own; else the word matrices are taken from memory, or computed once more.
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

    All, or the ``at_most`` with the lowest AER on the dev split, and no more than fit in memory with their matrices.
    """
    fit = max(1, BOUND // max(1, found.maps.cells(development)))
    size = min(len(found.views), fit, at_most or len(found.views))
    order: list[int] = np.argsort(found.aer(development), kind="stable")[:size].tolist()
    return sorted(order)


@SELECTORS.register("best")
def best(found: Sweep, development: SENTENCES, max_heads: int, seed: int) -> Selection:
    """The view with the lowest AER on the dev split; of equal ones the first."""
    view = found.best(development)
    return Selection("best", (view,), (1.0,), aer=float(found.aer(development)[view]))


@SELECTORS.register("greedy")
def greedy(found: Sweep, development: SENTENCES, max_heads: int, seed: int) -> Selection:
    """Views added one by one, their matrices averaged without weights, while AER on the dev split falls.

        C_0 = {},   C_k = C_{k-1} + argmin over views v of AER(links of the mean matrix of C_{k-1} + {v})

    Of equal ones the first is added, and none twice. (Forward stepwise selection, Hastie et al. 2009, The Elements of
    Statistical Learning, section 3.3.2, with AER as the criterion.)
    """
    if max_heads < 1:
        raise InputError(f"{max_heads} heads are asked for at most", remedy="Allow at least 1")
    extractor = make_extractor(found.method)
    views = candidates(found, development)
    batches = list(found.maps.batches(development, views))
    sure = int(found.sure()[development].sum())
    totals: list[Tensor] = []
    chosen: list[int] = []
    path: list[float] = []
    while len(chosen) < min(max_heads, len(views)):
        sums = np.zeros((len(views), 4), dtype=np.int64)
        for number, maps in enumerate(batches):
            values = (totals[number] + maps.matrix.values) / (len(chosen) + 1) if chosen else maps.matrix.values
            sums += maps.count(extractor, values).sum(axis=1, dtype=np.int64)
        sums[:, 1] = sure
        aer = np.asarray(measures(sums)["aer"])
        aer[chosen] = np.inf
        view = int(aer.argmin())
        if path and aer[view] >= path[-1]:
            break
        chosen.append(view)
        path.append(float(aer[view]))
        added = [maps.matrix.values[view] for maps in batches]
        totals = [total + more for total, more in zip(totals, added, strict=True)] if totals else added
    weights = (1 / len(chosen),) * len(chosen)
    notes = {"development_path": [round(value, 6) for value in path]}
    return Selection("greedy", tuple(views[k] for k in chosen), weights, aer=path[-1], notes=notes)


@SELECTORS.register("logistic")
def logistic(found: Sweep, development: SENTENCES, max_heads: int, seed: int) -> Selection:
    """L1-regularised logistic regression from the values of a cell to its being a gold link.

    A cell (i, j) of a sentence pair has one feature a view v, the value x_v of its word matrix. With y = 1 where it is
    a **sure** gold link and y = 0 where it is no gold link at all (links that are possible only are left out: they are
    neither missed nor wrong for AER),

        p(link) = 1 / (1 + exp(-(b + sum_v w_v x_v / s_v))),
        w, b = argmin  sum_v |w_v| + C sum over cells of -log p(y | x)

    s_v is the standard deviation of x_v over the cells of the fit, so that the penalty does not depend on the scale of
    a view; b is (as good as) not penalised. C is chosen within the dev split by cross-validation over sentences: the C
    whose links, extracted from p in the sentences left out, have the lowest AER (of equal ones the smallest C, which
    has the fewest views). p is the score matrix that links are made of.

    Rao et al. 2021, "Transformer protein language models are unsupervised structure learners" (ICLR; checked by the
    abstract and secondary sources), find contacts in proteins from attention maps by such a regression.
    """
    views = candidates(found, development, FEATURES)
    batches = list(found.maps.batches(development, views))
    features, labels, sentences = _cells(batches)
    present = np.unique(sentences)
    if len(present) < 2 or labels.all() or not labels.any():
        raise InputError(
            f"a logistic regression cannot be fitted on {len(development)} sentence pairs with {int(labels.sum())} "
            f"sure links among {len(labels)} cells",
            remedy="Take a larger dev split",
        )
    grid = _grid(features, labels)
    fold_of = np.random.default_rng(seed).permutation(len(present)) % min(FOLDS, len(present))
    extractor = make_extractor(found.method)
    sums = np.zeros((len(grid), 4), dtype=np.int64)
    for fold in range(int(fold_of.max()) + 1):
        out = present[fold_of == fold]
        train = ~np.isin(sentences, out)
        if labels[train].any() and not labels[train].all():
            for number, penalty in enumerate(grid):
                fit = _fit(features[train], labels[train], penalty, seed)
                sums[number] += _sums(batches, fit, out, extractor)
    sums[:, 1] = int(found.sure()[development].sum())
    errors = np.asarray(measures(sums)["aer"])
    penalty = float(grid[int(errors.argmin())])
    fit = _fit(features, labels, penalty, seed)
    kept = [k for k, weight in enumerate(fit.weights) if weight] or [0]
    final = _sums(batches, fit, development, extractor)
    final[1] = sums[0, 1]
    notes = {
        "penalty": float(f"{penalty:.4g}"),
        "intercept": float(f"{fit.intercept:.6g}"),
        "candidates": len(views),
        **fit.notes,
        "cross_validation": [
            {"penalty": float(f"{c:.4g}"), "aer": round(float(e), 6)} for c, e in zip(grid, errors, strict=True)
        ],
        "params": f"C={penalty:.4g},views={len(kept)}",
    }
    chosen, weights = tuple(views[k] for k in kept), tuple(fit.weights[k] for k in kept)
    return Selection("logistic", chosen, weights, fit.intercept, float(measures(final)["aer"]), notes)


def _cells(batches: Sequence[WordMaps]) -> tuple[Floats, Bools, NDArray[np.int64]]:
    """Features ``(cells, v)``, labels and sentence numbers ``(cells,)``; cells of possible links only are left out."""
    features, labels, sentences = [], [], []
    for maps in batches:
        used = maps.matrix.mask & (maps.sure | ~maps.possible)
        features.append(maps.matrix.values[:, used].T.cpu().numpy().astype(np.float64))
        labels.append(maps.sure[used].cpu().numpy())
        numbers = np.array(maps.matrix.indices, dtype=np.int64)[:, None, None]
        sentences.append(np.broadcast_to(numbers, used.shape)[used.cpu().numpy()])
    return np.concatenate(features), np.concatenate(labels), np.concatenate(sentences)


def _grid(features: Floats, labels: Bools) -> Floats:
    """Values of C. The least that takes any view is 1 / max_v |sum over cells of x_v (y - mean y)|."""
    scale = features.std(axis=0)
    slope = (np.abs(features.T @ (labels - labels.mean())) / np.where(scale == 0, np.inf, scale)).max()
    return np.asarray(2 / max(float(slope), 1e-12) * np.geomspace(1, 10**3.5, GRID))


def _fit(features: Floats, labels: Bools, penalty: float, seed: int) -> Selection:
    """Fit on standardised features; give weights (of all columns) and intercept for features as they are."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    mean, scale = features.mean(axis=0), features.std(axis=0)
    scale[scale == 0] = 1
    # scikit-learn 1.8 replaced penalty="l1" by l1_ratio=1.
    new = inspect.signature(LogisticRegression).parameters["penalty"].default == "deprecated"
    kind: dict[str, Any] = {"l1_ratio": 1.0} if new else {"penalty": "l1"}
    # The intercept is the weight of a constant feature of 10, so that it bears a tenth of the penalty.
    model = LogisticRegression(
        **kind, C=penalty, solver="liblinear", intercept_scaling=10.0, tol=1e-4, max_iter=ITERATIONS, random_state=seed
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # stands in the notes of the selection
        model.fit((features - mean) / scale, labels)
    weights = np.asarray(model.coef_[0] / scale, dtype=np.float64)
    notes = {"converged": int(model.n_iter_[0]) < ITERATIONS}
    intercept = float(model.intercept_[0] - weights @ mean)
    return Selection("logistic", tuple(range(len(weights))), tuple(weights.tolist()), intercept, notes=notes)


def _sums(batches: Sequence[WordMaps], fit: Selection, part: SENTENCES, extractor: Extractor) -> NDArray[np.int64]:
    """|A|, 0, |A∩S|, |A∩P| summed over some sentence pairs, ``(4,)``."""
    wanted = set(part.tolist())
    out = np.zeros(4, dtype=np.int64)
    for maps in batches:
        if some := [b for b, k in enumerate(maps.matrix.indices) if k in wanted]:
            picked = maps.pick(some)
            out += picked.count(extractor, fit.combine(picked.matrix.values)[None])[0].sum(axis=0, dtype=np.int64)
    return out
