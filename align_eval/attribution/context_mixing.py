"""How a layer mixes tokens, beyond its plain weights: attention rollout, vector norms, value zeroing.

``rollout``: Abnar & Zuidema 2020, "Quantifying Attention Flow in Transformers" (ACL, arXiv:2005.00928). With A_l the
mean of the heads of layer l and I the identity, for the residual connection: At_l = (A_l + I) / row sum,
R_l = At_l R_{l-1}, R_0 = I. The paper has no encoder-decoder model; here the matrix of decoder layer l is the head mean
of its cross-attention times R of the whole encoder, so that its columns are source tokens and not the encoder's last
states. What passes through the decoder itself is not followed (ALTI+ does that).

``norms``: Kobayashi et al. 2020, "Attention is Not Only a Weight: Analyzing Transformers with Vector Norms" (EMNLP,
arXiv:2004.10102). With f(x) = (x W_V + b_V) W_O for each head and x_j the input of key j, of a head ||A_ij f(x_j)||_2 =
A_ij ||f(x_j)||_2; of a layer ||sum_h A^h_ij f^h(x_j)||_2. The bias of the output projection, the residual connection
and the layer norm are left out, as there. Where query heads share key-value heads (Llama, Qwen, Gemma), f^h has the
value of h's group and the rows of W_O of h itself. What lies on columns that are no word is a sum of norms.

``value-zeroing``: Mohebbi et al. 2023, "Quantifying Context Mixing in Transformers" (EACL, arXiv:2301.12971):
C_ij = 1 - cos(x~_i without v_j, x~_i). x~_i is the output of the whole layer (feed-forward part, residual connections
and layer norms included) at row i. The value vector of j is 0 in all heads, the attention weights stay as they are, and
so does all below the layer. Where A_ij = 0 in all heads C_ij is 0. The paper divides each row by its sum; here that is
the option ``normalised``. Of an encoder-decoder model the values are those of the cross-attention, and x~ is the
decoder layer's output.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from align_eval.attribution import Attribution, not_this_model
from align_eval.attribution.matrix import at_least_float32, renormalise
from align_eval.models.attention import AttentionPass, attention_sites, check_rows
from align_eval.models.double import keep_double, widest
from align_eval.models.linear import Projections, parts_of, watched
from align_eval.models.pairs import Layout
from align_eval.registry import option

CELLS = 1 << 22
"""Numbers that may be held at once for the vectors of cells, ``(B, rows of a chunk, K, d)``."""


@dataclass(eq=False, repr=False)
class Rollout(Attribution, method="rollout"):
    """Attention followed from the first layer up to each layer, residual connections counted; rows sum to 1."""

    quantity = "attention rollout"
    headless = True

    @torch.no_grad()
    def attention(self, layouts: Sequence[Layout], layers: Sequence[int] | None = None) -> Iterator[tuple[int, Tensor]]:
        wanted = self.wanted(layers)
        both = self.family == "seq2seq"
        followed = attention_sites(self.model, "encoder-self", self.name) if both else self.sites[: wanted[-1]]
        depth = len(followed)  # of an encoder-decoder model the decoder's layers are numbered from depth + 1 on
        sites = dict(enumerate(followed, start=1)) | ({depth + k: self.sites[k - 1] for k in wanted} if both else {})
        names = [layout.pair.id for layout in layouts]
        inside = [self.positions(layouts, side) for side in ((0, 1) if both else (0,))]
        rolled: Tensor | None = None
        for number, weights in AttentionPass(self.model, sites, lambda: self.forward(layouts), self.name):
            cross = number > depth
            # the rows of a rollout sum to 1 whatever is missing from a distribution
            rows = inside[cross][:, None].expand(weights.shape[:3])
            check_rows(weights, number - depth if cross else number, self.name, rows=rows, pairs=names)
            if cross and rolled is not None:
                yield number - depth, (at_least_float32(weights).mean(dim=1) @ rolled)[:, None]
                continue
            rolled = roll(weights, rolled)
            if not both and number in wanted:
                yield number, rolled[:, None]


def roll(weights: Tensor, before: Tensor | None = None) -> Tensor:
    """One step: R_l from A_l ``(B, heads, T, T)`` and R_{l-1} ``(B, T, T)``; ``None``: the identity."""
    mean = at_least_float32(weights).mean(dim=1)
    step = mean + torch.eye(mean.shape[-1], dtype=mean.dtype, device=mean.device)
    step = step / step.sum(dim=-1, keepdim=True)
    return step if before is None else step @ before


@dataclass(eq=False, repr=False)
class Norms(Attribution, method="norms"):
    """The length of the vector that each head moves from key to query, ||A_ij f(x_j)||_2.

    Of the cross-attention of an encoder-decoder model, of the self-attention of an encoder or a decoder-only model.
    """

    quantity = "norm of the weighted value"
    distribution = False

    def __post_init__(self) -> None:
        super().__post_init__()
        self.projections = [part.projections for part in parts_of(self.reader, self.sites)]

    @torch.no_grad()
    def attention(self, layouts: Sequence[Layout], layers: Sequence[int] | None = None) -> Iterator[tuple[int, Tensor]]:
        wanted = self.wanted(layers)
        modules = {key: module for layer in wanted for key, module in self.projections[layer - 1].watch(layer).items()}
        with watched(modules) as kept:
            for layer, weights in self.reader.attention(layouts, wanted):
                own = self.projections[layer - 1]
                with keep_double(self.dtype):
                    values = own.taken(kept, layer, weights, self.name)
                    norms = self.norms(weights.to(values.dtype), own.transformed(values))
                yield layer, norms

    def norms(self, weights: Tensor, moved: Tensor) -> Tensor:
        """The scores of a layer, ``(B, heads, Q, K)``, from its weights and f(x_j), ``(B, heads, K, d)``."""
        return weights * moved.norm(dim=-1)[:, :, None, :]


@dataclass(eq=False, repr=False)
class LayerNorms(Norms, method="norms-layer"):
    """The same of all heads of a layer together, ||sum_h A^h_ij f^h(x_j)||_2."""

    quantity = "norm of the sum of the weighted values"
    headless = True

    def norms(self, weights: Tensor, moved: Tensor) -> Tensor:
        return torch.cat([vectors.norm(dim=-1) for _, vectors in cells(weights, moved)], dim=1)[:, None]


def cells(weights: Tensor, moved: Tensor, limit: int | None = None) -> Iterator[tuple[slice, Tensor]]:
    """sum_h A^h_ij f^h(x_j) for all i and j, some rows at a time: the rows, a slice of 0..Q, and ``(B, rows, K, d)``.

    ``weights``: A, ``(B, heads, Q, K)``; ``moved``: f(x_j), ``(B, heads, K, d)``; ``limit``: numbers in a chunk,
    ``None``: :data:`CELLS`.
    """
    by_key = moved.transpose(1, 2)  # (B, K, heads, d)
    step = max((CELLS if limit is None else limit) // max(by_key[:, :, 0].numel(), 1), 1)
    for start in range(0, weights.shape[2], step):
        rows = slice(start, min(start + step, weights.shape[2]))
        chunk = weights[:, :, rows].permute(0, 3, 2, 1)  # (B, K, rows, heads)
        yield rows, (chunk @ by_key).transpose(1, 2)


@dataclass(eq=False, repr=False)
class ValueZeroing(Attribution, method="value-zeroing"):
    """How far the output of each layer moves, as cosine distance, when the value of a key is zeroed.

    Args:
        normalised: whether each row is divided by its sum over all keys, as in the paper.
        token_budget: tokens in a batch of copies, padding counted; it changes speed and memory only.
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

        with contextlib.ExitStack() as hooks, keep_double(self.dtype):
            for layer in wanted:
                hooks.enter_context(self.blocks[layer - 1].register_forward_hook(hook_for(layer), with_kwargs=True))
            self.forward(layouts)
        for layer in wanted:
            found = maps.pop(layer)
            yield layer, renormalise(found) if self.normalised else found


def cosine_distance(one: Tensor, other: Tensor) -> Tensor:
    """1 - cos over the last axis, in float64, and 0 where rounding makes it less."""
    a, b = (t / t.norm(dim=-1, keepdim=True).clamp(min=1e-300) for t in (widest(one), widest(other)))
    return (a - b).square().sum(dim=-1) / 2  # equal to 1 - a.b, exact where both are the same


def block_of(model: nn.Module, site: nn.Module, name: str) -> nn.Module:
    """The transformer layer of an attention module: the item of the outermost list of modules around it."""
    for module in model.modules():
        if isinstance(module, torch.nn.ModuleList):
            for block in module:
                if block is not site and any(part is site for part in block.modules()):
                    return block
    raise not_this_model(f"the layers of {name} are no modules of their own, which could run again without a value")


@contextlib.contextmanager
def _zeroed(projection: Projections, columns: Tensor) -> Iterator[None]:
    """Let copy n of a batch have the value vector 0 at key ``columns[n]``."""

    def hook(module: nn.Module, given: Any, output: Tensor) -> Tensor:
        out = output.clone()
        projection.form.part(out)[torch.arange(len(columns), device=out.device), columns] = 0
        return out

    with projection.value.register_forward_hook(hook):
        yield


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
