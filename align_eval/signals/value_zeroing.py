"""Value zeroing: how much the output of a layer at row i changes without the value vector of key j.

Mohebbi et al. 2023, "Quantifying Context Mixing in Transformers" (EACL, arXiv:2301.12971):

    C_ij = 1 - cos(x~_i without v_j, x~_i)

x~_i is the output of the whole layer (feed-forward part, residual connections and layer norms included) at row i. The
value vector of j is 0 in all heads, the attention weights stay as they are, and so does all below the layer. Where
A_ij = 0 in all heads C_ij is 0. The paper divides each row by its sum; here that is the option ``normalised``.
For an encoder-decoder model the values are those of the cross-attention, and x~ is the decoder layer's output.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from align_eval.errors import ModelError
from align_eval.models.adapters.discovery import parts_of
from align_eval.models.double import keep_double, widest
from align_eval.models.linear import Projections
from align_eval.models.pairs import Layout
from align_eval.options import option
from align_eval.signals.base import Attribution
from align_eval.signals.pooling import renormalise


@dataclass(eq=False, repr=False)
class ValueZeroing(Attribution, method="value-zeroing"):
    """How far the output of each layer moves, as cosine distance, when the value of a key is zeroed.

    Args:
        normalised: whether each row is divided by its sum over all keys, as in the paper.
        token_budget: tokens in a batch of copies, padding counted; it changes speed and memory only.

    Raises:
        ModelError: the value projections are not found.
    """

    normalised: bool = False
    token_budget: int = option(4096, low=1)

    quantity = "value zeroing, cosine distance"
    distribution = False
    headless = True

    def __post_init__(self) -> None:
        super().__post_init__()
        self.values = [part.projections for part in parts_of(self.reader, self.sites)]
        self.blocks = [block_of(self.model, site, self.name) for site in self.sites]

    @torch.no_grad()
    def attention(self, layouts: Sequence[Layout], layers: Sequence[int] | None = None) -> Iterator[tuple[int, Tensor]]:
        wanted = self.wanted(layers)
        columns = max(len(block.column_words) for la in layouts for blocks in la.blocks.values() for block in blocks)
        size = len(layouts) * max(layout.size for layout in layouts)
        parts = torch.arange(columns, device=self.device).split(max(1, self.token_budget // size))
        maps: dict[int, Tensor] = {}

        def hook_for(layer: int) -> Any:
            def hook(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> None:
                whole = _hidden(output)
                batch = len(whole)
                found = []
                for some in parts:
                    copies = len(some)
                    with _zeroed(self.values[layer - 1], some.repeat(batch)):
                        again = module.forward(*_repeat(args, batch, copies), **_repeat(kwargs, batch, copies))
                    changed = _hidden(again).unflatten(0, (batch, copies))
                    found.append(cosine_distance(changed, whole[:, None]))  # (B, copies, Q)
                wide = torch.cat(found, dim=1).transpose(1, 2)[:, None]
                maps[layer] = wide.to(torch.promote_types(whole.dtype, torch.float32)).to(whole.device)

            return hook

        hooks = [(self.blocks[layer - 1], hook_for(layer)) for layer in wanted]
        handles = [block.register_forward_hook(hook, with_kwargs=True) for block, hook in hooks]
        try:
            with keep_double(self.dtype):
                self.forward(layouts)
        finally:
            for handle in handles:
                handle.remove()
        for layer in wanted:
            found = maps.pop(layer)
            yield layer, renormalise(found) if self.normalised else found


def cosine_distance(one: Tensor, other: Tensor) -> Tensor:
    """1 - cos over the last axis, in float64, and 0 where rounding makes it less."""
    a, b = (t / t.norm(dim=-1, keepdim=True).clamp(min=1e-300) for t in (widest(one), widest(other)))
    return (a - b).square().sum(dim=-1) / 2  # equal to 1 - a.b, exact where both are the same


def block_of(model: nn.Module, site: nn.Module, name: str) -> nn.Module:
    """The transformer layer that an attention module is in: the item of the outermost list of modules around it.

    Raises:
        ModelError: it is in no list.
    """
    for module in model.modules():
        if isinstance(module, torch.nn.ModuleList):
            for block in module:
                if block is not site and any(part is site for part in block.modules()):
                    return block
    raise ModelError(
        f"the layers of {name} are no modules of their own, which could run again without a value",
        remedy="Choose another model, or another attribution method",
    )


@contextlib.contextmanager
def _zeroed(projection: Projections, columns: Tensor) -> Iterator[None]:
    """Let copy n of a batch have the value vector 0 at key ``columns[n]``."""

    def hook(module: nn.Module, given: Any, output: Tensor) -> Tensor:
        out = output.clone()
        projection.form.part(out)[torch.arange(len(columns), device=out.device), columns] = 0
        return out

    handle = projection.value.register_forward_hook(hook)
    try:
        yield
    finally:
        handle.remove()


def _hidden(output: Any) -> Tensor:
    hidden: Tensor = output[0] if isinstance(output, (tuple, list)) else output
    return hidden


def _repeat(value: Any, batch: int, copies: int) -> Any:
    """Every tensor of B rows in a layer's arguments with each row ``copies`` times; tensors without a batch as is.

    Heads that lie in one axis with the batch (BLOOM's distances) stay together.
    """
    if isinstance(value, Tensor):
        if value.ndim > 2 and len(value) > batch and len(value) % batch == 0:
            return value.unflatten(0, (batch, -1)).repeat_interleave(copies, dim=0).flatten(0, 1)
        return value.repeat_interleave(copies, dim=0) if value.ndim > 1 and len(value) == batch else value
    if isinstance(value, (tuple, list)):
        return type(value)(_repeat(item, batch, copies) for item in value)
    if isinstance(value, dict):
        return {key: _repeat(item, batch, copies) for key, item in value.items()}
    return value
