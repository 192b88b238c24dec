"""Entropic optimal transport, batched and masked: the solvers behind ``transport``.

All take a cost ``(B, M, N)``, marginals ``a`` ``(B, M)`` and ``b`` ``(B, N)`` (zero in the padding) and ``eps``,
and give the plan ``(B, M, N)`` = u K v with the kernel K = exp(-cost / eps), in float64. With eps >= ``SMALLEST_EPS``
nothing can over- or underflow there, so that the plain scaling form is as exact as one in the log domain, and an
iteration is two matrix-vector products. Pairs leave the iteration as they converge.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

SMALLEST_EPS = 0.005
ITERATIONS = 1000
TOLERANCE = 1e-6
# Dykstra's steps get small long before they are over.
PARTIAL_TOLERANCE = 1e-9
CHECK_EVERY = 10


def _ratio(above: Tensor, below: Tensor) -> Tensor:
    """``above / below``, 0 where nothing is below (rows and columns of the padding)."""
    return torch.where(below > 0, above / torch.where(below > 0, below, 1.0), 0.0)


def _kernel(cost: Tensor, a: Tensor, b: Tensor, eps: float) -> Tensor:
    inside = (a > 0)[:, :, None] & (b > 0)[:, None, :]
    return torch.exp(-cost / eps).masked_fill(~inside, 0.0)


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
        going = error >= tolerance
        if number == ITERATIONS:
            going = torch.zeros_like(going)
        for kept, current in zip(done, state, strict=True):
            kept[live[~going]] = current[~going]
        if not bool(going.any()):
            break
        if not bool(going.all()):
            live = live[going]
            fixed = [f[going] for f in fixed]
            state = [s[going] for s in state]
    return done


def balanced(cost: Tensor, a: Tensor, b: Tensor, eps: float) -> Tensor:
    """The plan with the marginals ``a`` and ``b`` that minimises <P, C> - eps H(P) (Cuturi 2013, Sinkhorn-Knopp)."""
    kernel = _kernel(cost, a, b, eps)

    def step(tensors: list[Tensor]) -> Tensor:
        k, kt, a, b, u, v = tensors
        reached = _times(k, v)
        error = (u * reached - a).abs().sum(dim=1)
        u.copy_(_ratio(a, reached))
        v.copy_(_ratio(b, _times(kt, u)))
        return error

    transposed = kernel.transpose(1, 2).contiguous()
    u, v = _iterate(step, [kernel, transposed, a, b], [torch.zeros_like(a), (b > 0).to(b.dtype)])
    return u[:, :, None] * kernel * v[:, None, :]


def unbalanced(cost: Tensor, a: Tensor, b: Tensor, eps: float, tau: float) -> Tensor:
    """The plan that minimises <P, C> + eps KL(P | 1) + tau KL(P1 | a) + tau KL(P'1 | b) (Chizat et al. 2018)."""
    kernel = _kernel(cost, a, b, eps)
    power = tau / (tau + eps)

    def step(tensors: list[Tensor]) -> Tensor:
        k, kt, a, b, u, v = tensors
        fresh = _ratio(a, _times(k, v)).pow(power)
        error = (fresh - u).abs().amax(dim=1) / fresh.amax(dim=1).clamp(min=1.0)
        u.copy_(fresh)
        v.copy_(_ratio(b, _times(kt, u)).pow(power))
        return error

    transposed = kernel.transpose(1, 2).contiguous()
    u, v = _iterate(step, [kernel, transposed, a, b], [torch.zeros_like(a), (b > 0).to(b.dtype)])
    return u[:, :, None] * kernel * v[:, None, :]


def partial(cost: Tensor, a: Tensor, b: Tensor, eps: float, mass: Tensor) -> Tensor:
    """The plan of total ``mass`` ``(B,)`` with marginals at most ``a`` and ``b``, entropic (Benamou et al. 2015, 5).

    Dykstra's algorithm with Kullback-Leibler projections on three sets in turn: row sums <= a, column sums <= b,
    total = mass. Each projection scales whole rows, whole columns or everything, so that plan and corrections are
    vectors: before a projection its last correction is taken back, and the new one is what it did.
    """
    kernel = _kernel(cost, a, b, eps)

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
    transposed = kernel.transpose(1, 2).contiguous()
    state = [live_a, live_b, mass / kernel.sum(dim=(1, 2)), live_a.clone(), live_b.clone()]
    u, v, w, _, _ = _iterate(step, [kernel, transposed, a, b, mass], state, PARTIAL_TOLERANCE)
    return u[:, :, None] * kernel * v[:, None, :] * w[:, None, None]


def alternate(kernel: Tensor, iterations: int = 2) -> tuple[Tensor, Tensor]:
    """Normalise the columns, then the rows, of a non-negative kernel ``(B, M, N)``, ``iterations`` times.

    Returns:
        (last row-normalised kernel, last column-normalised kernel): pi and xi of Chi et al. 2021 (XLM-Align, equation
        3 and the published code). Zeros stay zero.
    """
    by_row = by_column = kernel
    for _ in range(iterations):
        by_column = by_row / by_row.sum(dim=1, keepdim=True).clamp(min=1e-300)
        by_row = by_column / by_column.sum(dim=2, keepdim=True).clamp(min=1e-300)
    return by_row, by_column
