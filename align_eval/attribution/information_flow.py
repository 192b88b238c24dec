"""Information flow: attention x gradient, what each weight of attention contributes to one prediction.

Wang et al. 2023, "Label Words are Anchors: An Information Flow Perspective for Understanding In-Context Learning"
(EMNLP, arXiv:2305.14160, equation 1): I_l = | sum_h A_h * dL/dA_h |, the product taken weight by weight; of one head
S_{l,h} = | A_h * dL/dA_h |. L is the cross-entropy of ONE target token at one position, -log p(y_i).

A_h * dL/dA_h is the gradient at a tensor of ones that the weights after softmax are multiplied with, so its sum over
queries and keys is the gradient at the gate of a head in Michel et al. 2019 (arXiv:1905.10650). What a prediction
does not attend to has gradient 0: in a causal model all above the diagonal and all rows after the one that predicts.

As an alignment, row i is the flow for the loss of target token i: from the source to the row that gives y_i out
(``rows="own"``), or from the source to all rows together (``rows="all"``), the absolute value taken before the sum.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from align_eval.attribution import not_this_model
from align_eval.attribution.predictions import ByPrediction, Prediction, SharedPass, place_rows, step_gradients
from align_eval.models.attention import eager, weights_of
from align_eval.models.double import keep_double
from align_eval.models.pairs import Layout
from align_eval.registry import option


@contextlib.contextmanager
def attention_graph(model: Any, sites: Mapping[int, nn.Module], name: str) -> Iterator[Callable[[], list[Tensor]]]:
    """While it lasts gradients are on; what it gives returns the attention weights of ``sites`` after a forward pass.

    Raises:
        ModelError: the ``transformers`` model cannot be switched to a kernel that returns weights, or returns none.
    """
    weights: dict[int, Tensor] = {}

    def hook_for(layer: int) -> Any:
        def hook(module: nn.Module, given: tuple[Any, ...], output: Any) -> None:
            found = weights_of(output)
            if found is not None and found.requires_grad:
                weights[layer] = found

        return hook

    def taken() -> list[Tensor]:
        missing = sorted(set(sites) - set(weights))
        if missing:
            layers = ", ".join(map(str, missing))
            raise not_this_model(f"layer {layers} of {name} returns no attention weights with a gradient")
        return [weights[layer] for layer in sites]

    with contextlib.ExitStack() as until, eager(model, name), keep_double(model.dtype), torch.enable_grad():
        for layer, site in sites.items():
            until.enter_context(site.register_forward_hook(hook_for(layer)))
            for parameter in site.parameters():  # a frozen model: the graph begins at its attention
                if not parameter.requires_grad:
                    until.callback(parameter.requires_grad_, False)
                    parameter.requires_grad_(True)
        yield taken


def attention_times_gradient(
    model: Any, sites: Mapping[int, nn.Module], loss: Callable[[], Tensor], name: str = "the model"
) -> dict[int, Tensor]:
    """A * dL/dA of chosen layers, with its sign, of any transformer.

    The losses of different rows of a batch are independent: give their sum, and each row has its own gradient.

    Args:
        model: a ``transformers`` model; ``name``: its name, for messages.
        sites: the attention module of each layer, see :func:`align_eval.models.attention.attention_sites`.
        loss: runs the model once and gives the loss, a scalar.

    Returns:
        by layer ``(B, heads, queries, keys)``; 0 for a layer that the loss does not depend on.

    Raises:
        ModelError: a layer returns no weights, or the model is not switched to a kernel that does.
    """
    with attention_graph(model, sites, name) as taken:
        total = loss()
        weights = taken()
        gradients = torch.autograd.grad(total, weights, allow_unused=True)
    plain = [one.detach() for one in weights]
    found = [torch.zeros_like(a) if g is None else a * g for a, g in zip(plain, gradients, strict=True)]
    return dict(zip(sites, found, strict=True))


@dataclass(eq=False, repr=False)
class HeadFlow(ByPrediction, method="information-flow-heads"):
    """Attention times gradient of each head, | A_h * dL/dA_h |.

    Of the cross-attention of an encoder-decoder model, of the self-attention of the others.

    Args:
        rows: ``"own"``: the row that predicts; ``"all"``: the sum over all query rows.
    """

    rows: str = option("own", choices=("own", "all"))

    quantity = "attention x gradient"

    def flow(self, steps: Sequence[Prediction], layers: Sequence[int] | None = None) -> dict[int, Tensor]:
        """The whole signed matrices A * dL/dA by layer, ``(R, heads, queries, keys)``: one loss a step.

        What stands in the padding has no meaning.
        """
        sites = {layer: self.sites[layer - 1] for layer in self.wanted(layers)}
        shared = SharedPass.of(steps, self.device)
        with attention_graph(self.model, sites, self.name) as taken:
            gradients, _ = step_gradients(self.reader, shared, taken)
        out = {}
        plain = taken()
        for layer in sites:
            out[layer] = gradients.pop(0).mul_(plain.pop(0).detach()[shared.which]).neg_()  # L = -log p
        return out

    def attention(self, layouts: Sequence[Layout], layers: Sequence[int] | None = None) -> Iterator[tuple[int, Tensor]]:
        maps = {layer: self.empty(layouts, self.heads) for layer in self.wanted(layers)}
        for chunk in self.chunks(self.predictions(layouts)):
            for layer, signed in self.flow(chunk, list(maps)).items():
                place_rows(maps[layer], chunk, self._row(self.combined(signed), chunk))
        for layer in list(maps):
            yield layer, maps.pop(layer)

    def combined(self, signed: Tensor) -> Tensor:
        """From ``(R, all heads, queries, keys)`` to the absolute maps ``(R, heads, queries, keys)``."""
        return signed.abs()

    def _row(self, maps: Tensor, steps: Sequence[Prediction]) -> Tensor:
        """``(R, heads, keys)``: the row that predicts, or the sum over the rows that are no padding."""
        number = torch.arange(len(steps), device=maps.device)
        if self.rows == "own":
            return maps[number, :, torch.tensor([step.row for step in steps], device=maps.device)]
        lengths = torch.tensor([len(step.layout.inputs[-1]) for step in steps], device=maps.device)
        inside = torch.arange(maps.shape[2], device=maps.device) < lengths[:, None]
        return torch.einsum("rhqk,rq->rhk", maps, inside.to(maps.dtype))


@dataclass(eq=False, repr=False)
class LayerFlow(HeadFlow, method="information-flow"):
    """Attention times gradient of each layer, | sum_h A_h * dL/dA_h |."""

    headless = True

    def combined(self, signed: Tensor) -> Tensor:
        return signed.sum(dim=1, keepdim=True).abs()
