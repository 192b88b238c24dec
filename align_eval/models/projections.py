"""The value and output projections of an attention module, in whatever way its architecture writes them.

Each head's output is ``sum_j A_ij f(x_j)`` with ``f(x) = (x W_V + b_V) W_O``; the layer's is their sum plus ``b_O``.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from align_eval.errors import ModelError

if TYPE_CHECKING:
    import torch
    from torch import nn

# Names of the projections within the attention module; BERT's output projection is in the module beside it.
_FORMS = (
    ("q_proj", "v_proj", "out_proj"),  # BART, Marian, M2M100, NLLB, mBART
    ("q_proj", "v_proj", "o_proj"),  # Llama, Qwen, Gemma
    ("q", "v", "o"),  # T5, mT5
    ("query", "value", "../output.dense"),  # BERT, XLM-R
    ("c_attn", "c_attn", "c_proj"),  # GPT-2
)

# The greatest difference, relative to the greatest number, that rounding explains.
TOLERANCE = {"torch.float64": 1e-9, "torch.float32": 1e-3, "torch.float16": 2e-2, "torch.bfloat16": 1e-1}


@dataclass(frozen=True)
class Projections:
    """The projections of one attention module.

    Attributes:
        query, value, output: the modules; ``query`` is ``value`` where one module computes all three.
        weight: W_O, ``(d_value, d)``, d_value = heads x width of a head's value.
        bias: b_O, ``(d,)``, or ``None``.
        fused: whether ``value`` gives query, key and value side by side.
        site: the attention module.
    """

    query: nn.Module
    value: nn.Module
    output: nn.Module
    weight: torch.Tensor
    bias: torch.Tensor | None
    fused: bool
    site: nn.Module

    def split(self, values: torch.Tensor, heads: int) -> torch.Tensor:
        """x W_V + b_V of every head.

        Args:
            values: what ``value`` gave out, ``(B, K, ...)``; key-value heads side by side.
            heads: query heads. Where they share key-value heads, each group of neighbours has the same value.

        Returns:
            ``(B, heads, K, width)``.
        """
        if self.fused:
            values = values[..., -self.weight.shape[0] :]
        by_head = values.unflatten(-1, (-1, self.weight.shape[0] // heads)).transpose(1, 2)
        return by_head.repeat_interleave(heads // by_head.shape[1], dim=1)

    def transformed(self, values: torch.Tensor, heads: int) -> torch.Tensor:
        """f(x_j) of every head, ``(B, heads, K, d)``; arguments as for :meth:`split`."""
        split = self.split(values, heads)
        out: torch.Tensor = split @ self.weight.to(values.dtype).unflatten(0, (heads, split.shape[-1]))
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
        found = (weights.to(values.dtype) @ self.split(values, weights.shape[1])).transpose(1, 2).flatten(2)
        if bool(((found - mixed.reshape(found.shape)).abs() > tolerance * (1 + mixed.abs().max())).any()):
            raise ModelError(
                f"the attention of {name} is more than a weighted sum of values (a gate, or a norm of the heads)",
                remedy="Choose a model with plain attention, or another signal",
            )
        return values


def projections(model: nn.Module, site: nn.Module, name: str) -> Projections:
    """Find the projections of an attention module.

    Args:
        model: the model that ``site`` is a part of.
        site: of :func:`align_eval.models.attention_sites.attention_sites`.
        name: the model's name, for messages.

    Raises:
        ModelError: they are written in a way that is not known.
    """
    path = module_path(model, site)
    for query, value, output in _FORMS:
        if not (hasattr(site, query) and hasattr(site, value)):
            continue
        with contextlib.suppress(AttributeError):
            where = f"{path}.{output}" if not output.startswith("../") else f"{path.rpartition('.')[0]}.{output[3:]}"
            found: Any = model.get_submodule(where.strip("."))
            weight: torch.Tensor = found.weight if type(found).__name__ == "Conv1D" else found.weight.T
            bias: torch.Tensor | None = getattr(found, "bias", None)
            value_module = getattr(site, value)
            return Projections(getattr(site, query), value_module, found, weight, bias, query == value, site)
    raise ModelError(
        f"the value and output projections of {name} ({model.config.model_type}) are written in a way that is not "
        "known",
        remedy="Choose a Marian, BART, M2M100, NLLB, mBART, T5, BERT, XLM-R, GPT-2, Llama, Qwen or Gemma model, or "
        "another signal",
    )


def module_path(model: nn.Module, module: nn.Module) -> str:
    """The dotted name of a module within a model.

    Raises:
        ModelError: it is not in it.
    """
    for path, candidate in model.named_modules():
        if candidate is module:
            return path
    raise ModelError(f"{type(module).__name__} is no part of {type(model).__name__}")


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
        def hook(module: nn.Module, arguments: tuple[Any, ...], output: Any) -> None:
            kept[key] = arguments[0] if key[1].endswith("-in") else output

        return hook

    handles = [module.register_forward_hook(hook_for(key)) for key, module in modules.items()]
    try:
        yield kept
    finally:
        for handle in handles:
            handle.remove()
