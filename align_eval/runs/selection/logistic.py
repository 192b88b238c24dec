"""L1-regularised logistic regression from the values of a cell to its being a gold link.

A cell (i, j) of a sentence pair has one feature a view v, the value x_v of that view's word map. With y = 1 where it
is a **sure** gold link and y = 0 where it is no gold link at all (links that are possible only are left out: they are
neither missed nor wrong for AER),

    p(link) = 1 / (1 + exp(-(b + sum_v w_v x_v / s_v))),
    w, b = argmin  sum_v |w_v| + C sum over cells of -log p(y | x)

s_v is the standard deviation of x_v over the cells that the fit is made on, so that the penalty does not depend on the
scale of a view; b is (as good as) not penalised. C is chosen within the development part by cross-validation over
sentences: the C whose links, extracted from p in the sentences left out, have the lowest AER (of equal ones the
smallest C, which has the fewest views). p is the soft map that links are made of.

Rao et al. 2021, "Transformer protein language models are unsupervised structure learners" (ICLR; checked by the
abstract and secondary sources), find contacts in proteins from attention maps by such a regression.
"""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from align_eval.errors import InputError
from align_eval.extraction import Extractor, make_extractor
from align_eval.runs.selection import SELECTORS, SENTENCES, Selection, Settings, candidates
from align_eval.runs.word_maps import WordMaps
from align_eval.scoring import measures

if TYPE_CHECKING:
    from align_eval.runs.sweep import Sweep

FEATURES = 64
"""Views that enter the regression at most: those with the lowest AER on the development part."""
GRID = 8
"""Values of C: from twice the least that takes any view, in equal ratios over three and a half orders of magnitude."""
ITERATIONS = 300
"""Rounds of coordinate descent at most; only with the weakest penalties and few cells does it need more."""

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]


@dataclass(frozen=True)
class Fit:
    """Weights ``(v,)`` on the features as they are, not standardised, the intercept, and whether it converged."""

    weights: Floats
    intercept: float
    converged: bool = True


@SELECTORS.register("logistic")
def logistic(found: Sweep, development: SENTENCES, settings: Settings) -> Selection:
    """Weights by logistic regression on the development part; the penalty by cross-validation within it.

    Raises:
        InputError: fewer than two sentence pairs, or no sure link among them, or nothing but sure links.
    """
    views = candidates(found, development, FEATURES)
    batches = list(found.maps.batches(development, views))
    features, labels, sentences = _cells(batches)
    if len(np.unique(sentences)) < 2 or labels.all() or not labels.any():
        raise InputError(
            f"a logistic regression cannot be fitted on {len(development)} sentence pairs with {int(labels.sum())} "
            f"sure links among {len(labels)} cells",
            remedy="Take a larger development part",
        )
    grid = _grid(features, labels)
    present = np.unique(sentences)
    fold_of = np.random.default_rng(settings.seed).permutation(len(present)) % min(settings.folds, len(present))
    extractor = make_extractor(found.method)
    sums = np.zeros((len(grid), 4), dtype=np.int64)
    for fold in range(int(fold_of.max()) + 1):
        out = present[fold_of == fold]
        train = ~np.isin(sentences, out)
        if labels[train].any() and not labels[train].all():
            for number, penalty in enumerate(grid):
                fit = _fit(features[train], labels[train], penalty, settings.seed)
                sums[number] += _sums(batches, fit, out, extractor)
    sums[:, 1] = int(found.sure()[development].sum())
    errors = np.asarray(measures(sums)["aer"])
    penalty = float(grid[int(errors.argmin())])
    fit = _fit(features, labels, penalty, settings.seed)
    kept = np.flatnonzero(fit.weights) if fit.weights.any() else np.array([0])
    chosen = [views[k] for k in kept]
    final = _sums(batches, fit, development, extractor)
    final[1] = sums[0, 1]
    return Selection(
        "logistic",
        tuple(chosen),
        tuple(fit.weights[kept].tolist()),
        fit.intercept,
        aer=float(measures(final)["aer"]),
        notes={
            "penalty": float(f"{penalty:.4g}"),
            "intercept": float(f"{fit.intercept:.6g}"),
            "candidates": len(views),
            "converged": fit.converged,
            "cross_validation": [
                {"penalty": float(f"{c:.4g}"), "aer": round(float(e), 6)} for c, e in zip(grid, errors, strict=True)
            ],
            "params": f"C={penalty:.4g},views={len(chosen)}",
        },
    )


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


def _fit(features: Floats, labels: Bools, penalty: float, seed: int) -> Fit:
    """Fit on standardised features; give weights and intercept for features as they are."""
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
    return Fit(weights, float(model.intercept_[0] - weights @ mean), int(model.n_iter_[0]) < ITERATIONS)


def _sums(batches: Sequence[WordMaps], fit: Fit, part: SENTENCES, extractor: Extractor) -> NDArray[np.int64]:
    """|A|, 0, |A∩S|, |A∩P| summed over some sentence pairs, ``(4,)``."""
    wanted = set(part.tolist())
    weights = Selection("", tuple(range(len(fit.weights))), tuple(fit.weights.tolist()), fit.intercept)
    out = np.zeros(4, dtype=np.int64)
    for maps in batches:
        some = [b for b, k in enumerate(maps.matrix.indices) if k in wanted]
        if some:
            picked = maps.pick(some)
            out += picked.count(extractor, weights.combine(picked.matrix.values)[None])[0].sum(axis=0, dtype=np.int64)
    return out
