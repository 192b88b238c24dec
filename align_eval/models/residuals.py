"""Where the residual connection and the layer norm of an attention layer stand, by architecture.

Post-norm: ``y = LN(x + attention(x))``. Pre-norm: ``y = x + attention(LN(x))``, and Gemma 2 has one more norm, of the
attention's output: ``y = x + LN'(attention(LN(x)))``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from align_eval.errors import ModelError
from align_eval.models.projections import module_path

if TYPE_CHECKING:
    import torch
    from torch import nn

# By model_type: the order, the norm beside the attention module ("{}": that module's own name), and the norm of the
# attention's output. Each is checked against the model's own hidden states by the tests.
_ORDERS: dict[str, tuple[str, str, str]] = {
    "bart": ("post", "{}_layer_norm", ""),
    "marian": ("post", "{}_layer_norm", ""),
    "bert": ("post", "output.LayerNorm", ""),
    "xlm-roberta": ("post", "output.LayerNorm", ""),
    "m2m_100": ("pre", "{}_layer_norm", ""),
    "mbart": ("pre", "{}_layer_norm", ""),
    "t5": ("pre", "layer_norm", ""),
    "mt5": ("pre", "layer_norm", ""),
    "gpt2": ("pre", "ln_1", ""),
    "llama": ("pre", "input_layernorm", ""),
    "qwen2": ("pre", "input_layernorm", ""),
    "qwen3": ("pre", "input_layernorm", ""),
    "gemma": ("pre", "input_layernorm", ""),
    "gemma2": ("pre", "input_layernorm", "post_attention_layernorm"),
}


@dataclass(frozen=True)
class Residual:
    """The surroundings of one attention module.

    Attributes:
        post: whether the norm comes after the residual is added.
        norm: that norm, or the one in front of the attention.
        after: the norm of the attention's output, before the residual is added; ``None``: there is none.
    """

    post: bool
    norm: nn.Module
    after: nn.Module | None


def residual(model: nn.Module, site: nn.Module, name: str) -> Residual:
    """Find the residual connection around an attention module.

    Raises:
        ModelError: it is not known of this architecture; the remedy names those of which it is.
    """
    kind = str(model.config.model_type)
    remedy = f"It is known of {', '.join(_ORDERS)}; choose such a model, or another signal"
    if kind not in _ORDERS:
        raise ModelError(f"where {name} ({kind}) adds its residual and takes its norm is not known", remedy=remedy)
    order, norm, after = _ORDERS[kind]
    around, _, own = module_path(model, site).rpartition(".")
    try:
        parent = model.get_submodule(around)
        return Residual(
            order == "post", parent.get_submodule(norm.format(own)), parent.get_submodule(after) if after else None
        )
    except AttributeError as error:
        raise ModelError(f"the layer norm of {name} ({kind}) is not where it should be", remedy=remedy) from error


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
    weight: torch.Tensor = norm.weight
    if kind.startswith("Gemma"):
        weight = weight + 1
    centred = isinstance(norm, torch.nn.LayerNorm)
    eps = float(getattr(norm, "eps", getattr(norm, "variance_epsilon", 0.0)))
    middle = given - given.mean(dim=-1, keepdim=True) if centred else given
    scale = torch.rsqrt(middle.pow(2).mean(dim=-1, keepdim=True) + eps)
    bias: torch.Tensor | None = getattr(norm, "bias", None)
    found = LinearNorm(scale, weight, bias, centred)
    own = norm(given.to(norm.weight.dtype)).to(given.dtype)
    built = scale * found.turn(given) + (0 if bias is None else bias.to(given.dtype))
    tolerance = {torch.float64: 1e-9, torch.float32: 1e-3}.get(norm.weight.dtype, 5e-2)
    if not bool(((own - built).abs() <= tolerance * (1 + own.abs())).all()):
        raise ModelError(f"{kind} of {name} is neither a LayerNorm nor an RMSNorm", remedy="Choose another signal")
    return found
