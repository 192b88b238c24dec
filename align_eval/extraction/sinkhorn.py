"""Entropic optimal transport, batched, masked and in the log domain: the solvers behind ``transport``.

All take a cost ``(B, M, N)``, marginals ``a`` ``(B, M)`` and ``b`` ``(B, N)`` (zero in the padding) and ``eps`` > 0,
and give the plan ``(B, M, N)``. They work in float64 and stop when every pair of the batch has converged.
"""

from __future__ import annotations

import torch
from torch import Tensor


def _log(weights: Tensor) -> Tensor:
    return torch.where(weights > 0, weights, 1).log().masked_fill(weights <= 0, -torch.inf)


def _finite(values: Tensor) -> Tensor:
    """Replace the infinities that empty rows give by 0, so that they do not spread as NaN."""
    return torch.where(torch.isfinite(values), values, 0)


def balanced(cost: Tensor, a: Tensor, b: Tensor, eps: float, iterations: int = 1000, tolerance: float = 1e-6) -> Tensor:
    """The plan with the marginals ``a`` and ``b`` that minimises <P, C> - eps H(P) (Cuturi 2013, Sinkhorn-Knopp)."""
    kernel = -cost / eps
    log_a, log_b = _log(a), _log(b)
    kernel = kernel.masked_fill((a <= 0)[:, :, None] | (b <= 0)[:, None, :], -torch.inf)
    g = torch.zeros_like(b)
    f = torch.zeros_like(a)
    for step in range(iterations):
        f = _finite(log_a - torch.logsumexp(kernel + g[:, None, :], dim=2))
        g = _finite(log_b - torch.logsumexp(kernel + f[:, :, None], dim=1))
        if step % 10 == 9:
            error = (torch.exp(torch.logsumexp(kernel + f[:, :, None] + g[:, None, :], dim=2)) - a).abs().sum(dim=1)
            if bool((error < tolerance).all()):
                break
    return torch.exp(kernel + f[:, :, None] + g[:, None, :])


def unbalanced(
    cost: Tensor, a: Tensor, b: Tensor, eps: float, tau: float, iterations: int = 1000, tolerance: float = 1e-6
) -> Tensor:
    """The plan that minimises <P, C> + eps KL(P | 1) + tau KL(P1 | a) + tau KL(P'1 | b) (Chizat et al. 2018)."""
    kernel = (-cost / eps).masked_fill((a <= 0)[:, :, None] | (b <= 0)[:, None, :], -torch.inf)
    log_a, log_b = _log(a), _log(b)
    power = tau / (tau + eps)
    f, g = torch.zeros_like(a), torch.zeros_like(b)
    for _ in range(iterations):
        before = f
        f = _finite(power * (log_a - torch.logsumexp(kernel + g[:, None, :], dim=2)))
        g = _finite(power * (log_b - torch.logsumexp(kernel + f[:, :, None], dim=1)))
        if bool(((f - before).abs() < tolerance).all()):
            break
    return torch.exp(kernel + f[:, :, None] + g[:, None, :])


def partial(
    cost: Tensor,
    a: Tensor,
    b: Tensor,
    eps: float,
    mass: Tensor,
    iterations: int = 1000,
    tolerance: float = 1e-6,
) -> Tensor:
    """The plan of total ``mass`` ``(B,)`` with marginals at most ``a`` and ``b``, entropic (Benamou et al. 2015, 5).

    Dykstra's algorithm with Kullback-Leibler projections on three sets in turn: row sums <= a, column sums <= b,
    total = mass. Kept in the log domain: the correction of a set is a vector, since each projection scales whole rows,
    whole columns or everything.
    """
    plan = (-cost / eps).masked_fill((a <= 0)[:, :, None] | (b <= 0)[:, None, :], -torch.inf)
    log_a, log_b, log_mass = _log(a), _log(b), mass.log()
    plan = plan + (log_mass - torch.logsumexp(plan.flatten(1), dim=1))[:, None, None]
    rows, columns = torch.zeros_like(a), torch.zeros_like(b)
    total = torch.zeros_like(mass)
    for step in range(iterations):
        before = plan
        plan = plan + rows[:, :, None]
        change = _finite(log_a - torch.logsumexp(plan, dim=2)).clamp(max=0)
        plan, rows = plan + change[:, :, None], -change
        plan = plan + columns[:, None, :]
        change = _finite(log_b - torch.logsumexp(plan, dim=1)).clamp(max=0)
        plan, columns = plan + change[:, None, :], -change
        plan = plan + total[:, None, None]
        shift = log_mass - torch.logsumexp(plan.flatten(1), dim=1)
        plan, total = plan + shift[:, None, None], -shift
        if step % 10 == 9:
            error = (plan.exp() - before.exp()).flatten(1).norm(dim=1)
            if bool((error < tolerance).all()):
                break
    return plan.exp()


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
