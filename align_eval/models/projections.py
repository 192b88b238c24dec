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


@dataclass(frozen=True)
class Projections:
    """The projections of one attention module.

    Attributes:
        query, value, output: the modules; ``query`` is ``value`` where one module computes all three.
        weight: W_O, ``(d_value, d)``, d_value = heads x width of a head's value.
        bias: b_O, ``(d,)``, or ``None``.
        fused: whether ``value`` gives query, key and value side by side.
    """

    query: nn.Module
    value: nn.Module
    output: nn.Module
    weight: torch.Tensor
    bias: torch.Tensor | None
    fused: bool

    def transformed(self, values: torch.Tensor, heads: int) -> torch.Tensor:
        """f(x_j) of every head.

        Args:
            values: what ``value`` gave out, ``(B, K, ...)``; x W_V + b_V, key-value heads side by side.
            heads: query heads. Where they share key-value heads, each group of neighbours has the same value.

        Returns:
            ``(B, heads, K, d)``.
        """
        if self.fused:
            values = values[..., -self.weight.shape[0] :]
        width = self.weight.shape[0] // heads
        split = values.unflatten(-1, (-1, width)).transpose(1, 2)  # (B, key-value heads, K, width)
        split = split.repeat_interleave(heads // split.shape[1], dim=1)
        out: torch.Tensor = split @ self.weight.to(values.dtype).unflatten(0, (heads, width))
        return out


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
            return Projections(getattr(site, query), value_module, found, weight, bias, query == value)
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
def watched(modules: Mapping[tuple[int, str], nn.Module], inputs: tuple[str, ...] = ()) -> Iterator[dict[Any, Any]]:
    """Keep what modules give out (or take in) during a forward pass.

    Args:
        modules: by layer and role.
        inputs: the roles whose first input is kept and not the output.

    Yields:
        a dictionary by layer and role, filled as the modules run; pop what is done with.
    """
    kept: dict[Any, Any] = {}

    def hook_for(key: tuple[int, str]) -> Any:
        def hook(module: nn.Module, arguments: tuple[Any, ...], output: Any) -> None:
            kept[key] = arguments[0] if key[1] in inputs else output

        return hook

    handles = [module.register_forward_hook(hook_for(key)) for key, module in modules.items()]
    try:
        yield kept
    finally:
        for handle in handles:
            handle.remove()
