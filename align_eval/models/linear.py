"""What an attention layer adds up: value and output projections, the residual connection, and norms as linear maps.

Each head's output is ``sum_j A_ij f(x_j)`` with ``f(x) = (x W_V + b_V) W_O``; the layer's is their sum plus ``b_O``.
Post-norm: ``y = LN(x + attention(x))``. Pre-norm: ``y = x + attention(LN(x))``, and Gemma 2 has one more norm, of the
attention's output: ``y = x + LN'(attention(LN(x)))``; OLMo 2 has that one alone. Where attention and feed-forward part
are added at once (GPT-J, Phi, Falcon), y is the stream with the attention alone.
:mod:`align_eval.models.adapters.discovery` finds them.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING, Any

from align_eval.errors import ModelError

if TYPE_CHECKING:
    import torch
    from torch import nn

# The greatest difference, relative to the greatest number, that rounding explains.
TOLERANCE = {"torch.float64": 1e-9, "torch.float32": 1e-3, "torch.float16": 2e-2, "torch.bfloat16": 1e-1}


@dataclass(frozen=True)
class Form:
    """Where the values of the heads stand in what a projection gives out.

    Attributes:
        heads, shared: query heads, and key-value heads, each of which serves ``heads / shared`` neighbours.
        width: of a head's value.
        order: ``"alone"``: values only; ``"last"``: all queries, all keys, all values; ``"grouped"``: for each
            key-value head its queries, its key, its value.
    """

    heads: int
    shared: int
    width: int
    order: str

    def part(self, given: torch.Tensor) -> torch.Tensor:
        """The values in ``given`` ``(..., n)``, ``(..., shared, width)``; a view of it."""
        if self.order == "grouped":
            return given.unflatten(-1, (self.shared, -1, self.width))[..., -1, :]
        return given[..., -self.shared * self.width :].unflatten(-1, (self.shared, self.width))

    def split(self, given: torch.Tensor) -> torch.Tensor:
        """x W_V + b_V of every query head, ``(B, heads, K, width)``, of ``given`` ``(B, K, n)``."""
        return self.part(given).transpose(1, 2).repeat_interleave(self.heads // self.shared, dim=1)


def forms(size: int, heads: int, width: int) -> Iterator[Form]:
    """All ways in which ``size`` numbers may hold the values of ``heads`` heads of ``width``."""
    groups, rest = divmod(size, width)
    if rest:
        return
    if groups <= heads and heads % groups == 0:
        yield Form(heads, groups, width, "alone")
    shared, rest = divmod(groups - heads, 2)
    if shared > 0 and not rest and heads % shared == 0:
        yield Form(heads, shared, width, "last")
        yield Form(heads, shared, width, "grouped")


@dataclass(frozen=True)
class Projections:
    """The projections of one attention module.

    Attributes:
        value, output: the modules; ``value`` may give out queries and keys too.
        weight: W_O, ``(d_value, d)``, d_value = heads x width of a head's value.
        bias: b_O, ``(d,)``, or ``None``.
        form: where the values stand in what ``value`` gives out.
        site: the attention module.
    """

    value: nn.Module
    output: nn.Module
    weight: torch.Tensor
    bias: torch.Tensor | None
    form: Form
    site: nn.Module

    def transformed(self, values: torch.Tensor) -> torch.Tensor:
        """f(x_j) of every head, ``(B, heads, K, d)``, of what ``value`` gave out, ``(B, K, ...)``."""
        split = self.form.split(values)
        out: torch.Tensor = split @ self.weight.to(values.dtype).unflatten(0, (self.form.heads, self.form.width))
        return out

    def watch(self, number: int) -> dict[tuple[int, str], nn.Module]:
        """What :meth:`taken` needs of a forward pass, for :func:`watched`."""
        inside = any(module is self.output for module in self.site.modules())
        mixed = {(number, "mixed-in"): self.output} if inside else {(number, "mixed-out"): self.site}
        return {(number, "value"): self.value, **mixed}

    def taken(self, kept: dict[Any, Any], number: int, weights: torch.Tensor, name: str) -> torch.Tensor:
        """The values of a layer, once it is clear that the model mixes them by ``weights`` and does nothing else.

        Args:
            kept: what :func:`watched` kept; the layer's part of it is taken out.
            number: the layer's, in ``kept``.
            weights: ``(B, heads, Q, K)``.
            name: the model's, for messages.

        Returns:
            what ``value`` gave out, in float32 or float64.

        Raises:
            ModelError: what goes into the output projection is not sum_j A_ij (x_j W_V + b_V) (a gate, a norm).
        """
        import torch

        values: torch.Tensor = kept.pop((number, "value"))
        mixed = kept.pop((number, "mixed-in")) if (number, "mixed-in") in kept else kept.pop((number, "mixed-out"))[0]
        tolerance = TOLERANCE.get(str(values.dtype), 1e-3)
        wide = torch.promote_types(values.dtype, torch.float32)
        values, mixed = values.to(wide), mixed.to(wide)
        found = (weights.to(values.dtype) @ self.form.split(values)).transpose(1, 2).flatten(2)
        if bool(((found - mixed.reshape(found.shape)).abs() > tolerance * (1 + mixed.abs().max())).any()):
            raise ModelError(
                f"the attention of {name} is more than a weighted sum of values (a gate, or a norm of the heads)",
                remedy="Choose a model with plain attention, or another attribution method",
            )
        return values


@contextlib.contextmanager
def watched(modules: Mapping[tuple[int, str], nn.Module]) -> Iterator[dict[Any, Any]]:
    """Keep what modules give out during a forward pass, or take in if their role ends in ``-in``.

    Args:
        modules: by layer and role.

    Yields:
        a dictionary by layer and role, filled as the modules run; pop what is done with.
    """
    kept: dict[Any, Any] = {}

    def hook_for(key: tuple[int, str]) -> Any:
        def hook(module: nn.Module, arguments: tuple[Any, ...], named: dict[str, Any], output: Any) -> None:
            kept[key] = (arguments[0] if arguments else named["hidden_states"]) if key[1].endswith("-in") else output

        return hook

    handles = [module.register_forward_hook(hook_for(key), with_kwargs=True) for key, module in modules.items()]
    try:
        yield kept
    finally:
        for handle in handles:
            handle.remove()


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
