"""The residual connection and the layer norms around an attention module, and norms as the linear maps that they are.

Post-norm: ``y = LN(x + attention(x))``. Pre-norm: ``y = x + attention(LN(x))``, and Gemma 2 has one more norm, of the
attention's output: ``y = x + LN'(attention(LN(x)))``; OLMo 2 has that one alone. Where attention and feed-forward part
are added at once (GPT-J, Phi, Falcon), y is the stream with the attention alone.
:mod:`align_eval.models.anatomy` finds them.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING

from align_eval.errors import ModelError

if TYPE_CHECKING:
    import torch
    from torch import nn


@dataclass(frozen=True)
class Residual:
    """The surroundings of one attention module.

    Attributes:
        post: whether the norm comes after the residual is added.
        norm: that norm, or the one in front of the attention; ``None``: there is none in front.
        after: the norm of the attention's output, before the residual is added; ``None``: there is none.
    """

    post: bool
    norm: nn.Module | None
    after: nn.Module | None


@dataclass(frozen=True)
class LinearNorm:
    """A layer norm as the linear map that it is once its statistics are fixed: ``norm(u) = scale L(u) + bias``.

    Attributes:
        scale: 1 / standard deviation (or 1 / root mean square) of each vector, ``(..., 1)``.
        weight, bias: ``(d,)``; bias may be ``None``.
        centred: whether L takes the mean away (LayerNorm) or not (RMSNorm).
    """

    scale: torch.Tensor
    weight: torch.Tensor
    bias: torch.Tensor | None
    centred: bool

    def turn(self, vectors: torch.Tensor) -> torch.Tensor:
        """L(v) of vectors ``(..., d)``; without the scale."""
        if self.centred:
            vectors = vectors - vectors.mean(dim=-1, keepdim=True)
        return vectors * self.weight.to(vectors.dtype)


def linear_norm(norm: nn.Module, given: torch.Tensor, name: str) -> LinearNorm:
    """The linear map of a layer norm at ``given``, ``(..., d)``.

    Raises:
        ModelError: it is neither a LayerNorm nor an RMSNorm: its output is not that of the linear map.
    """
    import torch

    kind = type(norm).__name__
    weight: torch.Tensor | None = getattr(norm, "weight", None)
    bias: torch.Tensor | None = getattr(norm, "bias", None)
    dtype = given.dtype if weight is None else weight.dtype
    own = norm(given.to(dtype)).to(given.dtype)
    tolerance = {torch.float64: 1e-9, torch.float32: 1e-3}.get(dtype, 5e-2)
    scales = [torch.ones_like(given[0, 0])] if weight is None else [weight, weight + 1]  # Gemma: 1 + weight
    named = (getattr(norm, "eps", None), getattr(norm, "variance_epsilon", None), 1e-5, 1e-6, 1e-12)
    for centred, scale_by, eps in product((True, False), scales, dict.fromkeys(e for e in named if e is not None)):
        middle = given - given.mean(dim=-1, keepdim=True) if centred else given
        scale = torch.rsqrt(middle.pow(2).mean(dim=-1, keepdim=True) + float(eps))
        found = LinearNorm(scale, scale_by, bias, centred)
        built = scale * found.turn(given) + (0 if bias is None else bias.to(given.dtype))
        if bool(((own - built).abs() <= tolerance * (1 + own.abs())).all()):
            return found
    raise ModelError(
        f"{kind} of {name} is neither a LayerNorm nor an RMSNorm", remedy="Choose another attribution method"
    )
