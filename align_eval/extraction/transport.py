"""Optimal transport: links where a transport plan between the words carries weight, and the solvers.

The solvers are batched and masked. They take a cost ``(B, M, N)``, marginals ``a`` ``(B, M)`` and ``b`` ``(B, N)``
(zero in the padding) and ``eps``, and give the plan ``(B, M, N)`` = u K v with the kernel K = exp(-cost / eps), in
float64. With eps >= ``SMALLEST_EPS`` nothing can over- or underflow there, so that the plain scaling form is as exact
as one in the log domain, and an iteration is two matrix-vector products. Pairs leave the iteration as they converge.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from align_eval.extraction import Extraction, Extractor, column_maxima, row_maxima
from align_eval.models.double import widest
from align_eval.registry import option

KINDS = ("balanced", "partial", "unbalanced", "xlm-align")
SMALLEST_EPS = 0.005
ITERATIONS = 1000
TOLERANCE = 1e-6
# Dykstra's steps get small long before they are over.
PARTIAL_TOLERANCE = 1e-9
CHECK_EVERY = 10


@dataclass(frozen=True)
class Transport(Extractor, name="transport"):
    """Link (i, j) iff the min-max scaled transport plan P_ij > threshold.

    ``balanced``, ``partial`` and ``unbalanced``: Arase, Bao & Yokoi 2023, *Unbalanced Optimal Transport for Unbalanced
    Word Alignment*: entropic transport on the cost 1 - minmax(S), uniform marginals. ``xlm-align``: Chi et al. 2021,
    *XLM-Align*, two Sinkhorn iterations on K = max(h_i . h_j, 1e-6), then mutual argmax (no threshold). The score of a
    link is its cell of the scaled plan (``xlm-align``: geometric mean of the row- and the column-normalised kernel).

    Args:
        kind: which transport.
        threshold: of the min-max scaled plan, 0..1. The paper tunes it on development data; 0.4 is
            best on four XL-WA development sets (``experiments/transport-threshold.toml``).
        eps: entropic regularisation, 0.1 in the paper.
        mass: of ``partial``: ratio of the mass that is moved, 0..1.
        tau: of ``unbalanced``: weight of the marginals' Kullback-Leibler terms.
    """

    kind: str = option("balanced", choices=KINDS)
    threshold: float = option(0.4, low=0, high=1)
    eps: float = option(0.1, low=SMALLEST_EPS)
    mass: float = option(0.8, above=0, high=1)
    tau: float = option(0.5, above=0)

    @property
    def needs(self) -> str:  # type: ignore[override]
        return "dot" if self.kind == "xlm-align" else "similarity"

    def extract(self, scores: Tensor, mask: Tensor) -> Extraction:
        if self.kind == "xlm-align":
            wide = widest(scores)
            inside = mask.to(wide.device)
            by_row, by_column = alternate(wide.clamp(min=1e-6) * inside)
            links = row_maxima(by_row, inside) & column_maxima(by_column, inside)
            product = (by_row * by_column).sqrt().to(scores.dtype).to(scores.device)
            return Extraction(links.to(scores.device), product)
        plan = self.plan(scores, mask)
        scaled = _minmax(plan, mask.to(plan.device))
        return Extraction((scaled > self.threshold).to(mask.device) & mask, scaled.to(scores.dtype).to(scores.device))

    def plan(self, scores: Tensor, mask: Tensor) -> Tensor:
        """The entropic transport plan ``(B, M, N)`` in float64; zero in the padding. Not for ``xlm-align``."""
        wide = widest(scores)
        mask = mask.to(wide.device)
        cost = 1 - _minmax(wide, mask)
        rows, columns = mask.any(dim=2).to(wide.dtype), mask.any(dim=1).to(wide.dtype)
        a = rows / rows.sum(dim=1, keepdim=True).clamp(min=1)
        b = columns / columns.sum(dim=1, keepdim=True).clamp(min=1)
        if self.kind == "partial":
            return partial(cost, a, b, self.eps, torch.full_like(a[:, 0], self.mass))
        return scaled(cost, a, b, self.eps, self.tau if self.kind == "unbalanced" else None)


def _minmax(values: Tensor, mask: Tensor) -> Tensor:
    """Scale every pair's cells to 0..1; 0 in the padding.

    A pair whose cells are all equal (to a millionth, so that rounding is not blown up) becomes all 1.
    """
    low = values.masked_fill(~mask, torch.inf).amin(dim=(1, 2), keepdim=True)
    high = values.masked_fill(~mask, -torch.inf).amax(dim=(1, 2), keepdim=True)
    flat = high - low <= 1e-6 * high.abs()
    scaled = (values - low) / (high - low).masked_fill(flat, 1.0)
    return torch.where(flat, torch.ones_like(scaled), scaled).masked_fill(~mask, 0.0)


def _ratio(above: Tensor, below: Tensor) -> Tensor:
    """``above / below``, 0 where nothing is below (rows and columns of the padding)."""
    return torch.where(below > 0, above / torch.where(below > 0, below, 1.0), 0.0)


def _kernels(cost: Tensor, a: Tensor, b: Tensor, eps: float) -> list[Tensor]:
    """exp(-cost / eps), 0 in the padding, and its transpose."""
    inside = (a > 0)[:, :, None] & (b > 0)[:, None, :]
    kernel = torch.exp(-cost / eps).masked_fill(~inside, 0.0)
    return [kernel, kernel.transpose(1, 2).contiguous()]


def _times(kernel: Tensor, v: Tensor) -> Tensor:
    return (kernel @ v[:, :, None]).squeeze(2)


def _iterate(
    step: Callable[[list[Tensor]], Tensor], fixed: list[Tensor], state: list[Tensor], tolerance: float = TOLERANCE
) -> list[Tensor]:
    """Repeat ``step`` on ``fixed + state`` until each pair's error is below the tolerance.

    ``step`` changes the tensors of ``state`` in place and returns an error a pair, ``(B,)``. Pairs that have converged
    are put aside; the rest goes on.
    """
    done = [s.clone() for s in state]
    live = torch.arange(len(state[0]), device=state[0].device)
    for number in range(1, ITERATIONS + 1):
        error = step(fixed + state)
        if number % CHECK_EVERY and number != ITERATIONS:
            continue
        going = error >= tolerance if number < ITERATIONS else torch.zeros_like(error, dtype=torch.bool)
        for kept, current in zip(done, state, strict=True):
            kept[live[~going]] = current[~going]
        left = int(going.sum())  # the one number that is fetched from the device, every CHECK_EVERY iterations
        if not left:
            break
        if left < len(going):
            live = live[going]
            fixed = [f[going] for f in fixed]
            state = [s[going] for s in state]
    return done


def scaled(cost: Tensor, a: Tensor, b: Tensor, eps: float, tau: float | None = None) -> Tensor:
    """Entropic transport by scaling: balanced (``tau`` is ``None``) or unbalanced.

    Balanced: the plan with the marginals ``a`` and ``b`` that minimises <P, C> - eps H(P) (Cuturi 2013,
    Sinkhorn-Knopp). Unbalanced: the plan that minimises <P, C> + eps KL(P | 1) + tau KL(P1 | a) + tau KL(P'1 | b)
    (Chizat et al. 2018).
    """
    kernels = _kernels(cost, a, b, eps)

    def step(tensors: list[Tensor]) -> Tensor:
        k, kt, a, b, u, v = tensors
        reached = _times(k, v)
        fresh = _ratio(a, reached)
        if tau is None:
            error = (u * reached - a).abs().sum(dim=1)
            v.copy_(_ratio(b, _times(kt, u.copy_(fresh))))
        else:
            fresh = fresh.pow(tau / (tau + eps))
            error = (fresh - u).abs().amax(dim=1) / fresh.amax(dim=1).clamp(min=1.0)
            v.copy_(_ratio(b, _times(kt, u.copy_(fresh))).pow(tau / (tau + eps)))
        return error

    u, v = _iterate(step, [*kernels, a, b], [torch.zeros_like(a), (b > 0).to(b.dtype)])
    return u[:, :, None] * kernels[0] * v[:, None, :]


def partial(cost: Tensor, a: Tensor, b: Tensor, eps: float, mass: Tensor) -> Tensor:
    """The plan of total ``mass`` ``(B,)`` with marginals at most ``a`` and ``b``, entropic (Benamou et al. 2015, 5).

    Dykstra's algorithm with Kullback-Leibler projections on three sets in turn: row sums <= a, column sums <= b,
    total = mass. Each projection scales whole rows, whole columns or everything, so that plan and corrections are
    vectors: before a projection its last correction is taken back, and the new one is what it did.
    """
    kernels = _kernels(cost, a, b, eps)

    def step(tensors: list[Tensor]) -> Tensor:
        k, kt, a, b, mass, u, v, w, rows, columns = tensors
        before_u, before_v, before_w = u.clone(), v.clone(), w.clone()
        u.mul_(rows)
        shrink = _ratio(a, u * _times(k, v) * w[:, None]).clamp(max=1.0)
        u.mul_(shrink)
        rows.copy_(_ratio(torch.ones_like(shrink), shrink))
        v.mul_(columns)
        shrink = _ratio(b, v * _times(kt, u) * w[:, None]).clamp(max=1.0)
        v.mul_(shrink)
        columns.copy_(_ratio(torch.ones_like(shrink), shrink))
        # The correction of the total is taken back and set anew in one step: the total becomes mass.
        w.copy_(mass / (u * _times(k, v)).sum(dim=1))
        growth = [_ratio(u * w[:, None], before_u * before_w[:, None]), _ratio(v, before_v)]
        return torch.stack([((g - 1) * (g > 0)).abs().amax(dim=1) for g in growth]).amax(dim=0)

    live_a, live_b = (a > 0).to(a.dtype), (b > 0).to(b.dtype)
    state = [live_a, live_b, mass / kernels[0].sum(dim=(1, 2)), live_a.clone(), live_b.clone()]
    u, v, w, _, _ = _iterate(step, [*kernels, a, b, mass], state, PARTIAL_TOLERANCE)
    return u[:, :, None] * kernels[0] * v[:, None, :] * w[:, None, None]


def alternate(kernel: Tensor) -> tuple[Tensor, Tensor]:
    """Normalise the columns, then the rows, of a non-negative kernel ``(B, M, N)``, twice; zeros stay zero.

    The last row-normalised and the last column-normalised kernel: pi and xi of Chi et al. 2021 (XLM-Align, equation 3
    and the published code).
    """
    by_row = by_column = kernel
    for _ in range(2):
        by_column = by_row / by_row.sum(dim=1, keepdim=True).clamp(min=1e-300)
        by_row = by_column / by_column.sum(dim=2, keepdim=True).clamp(min=1e-300)
    return by_row, by_column
