"""Gradients at the source embeddings, under teacher forcing: four methods from the same two tensors.

With e the embeddings of what the model reads first (the source of an encoder-decoder model, the whole context of the
others), S_ij is what the prediction of target token y_i owes to e_j. Saliency: Simonyan et al. 2013 (arXiv:1312.6034)
and Li et al. 2016 (arXiv:1506.01066) for the gradient's absolute value; Ding, Xu & Koehn 2019, "Saliency-driven Word
Alignment Interpretation for Neural Machine Translation" (WMT, arXiv:1906.10282; checked by the abstract and secondary
sources) for alignments by it and by SmoothGrad.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from align_eval.attribution.predictions import (
    ByPrediction,
    Prediction,
    SharedPass,
    changed_embeddings,
    first_embeddings,
    place_rows,
    step_gradients,
)
from align_eval.errors import InputError
from align_eval.models.pairs import Layout
from align_eval.registry import option

NORMS = ("l2", "l1", "mean")
Point = Callable[[Tensor, Sequence[int]], Tensor]


@dataclass(eq=False, repr=False)
class InputGradient(ByPrediction):
    """The base of methods at the source embeddings: one matrix a model, called layer 1, of no one head."""

    headless = True

    def __post_init__(self) -> None:
        super().__post_init__()
        self.layers = 1

    def attention(self, layouts: Sequence[Layout], layers: Sequence[int] | None = None) -> Iterator[tuple[int, Tensor]]:
        self.wanted(layers)
        maps = self.empty(layouts)
        for chunk in self.chunks(self.predictions(layouts)):
            place_rows(maps, chunk, self.attribute(chunk)[:, None])
        yield 1, maps

    @abstractmethod
    def attribute(self, steps: Sequence[Prediction]) -> Tensor:
        """What each prediction owes to each source token, ``(R, K)``; what stands in the padding has no meaning."""

    def gradient(self, steps: Sequence[Prediction], at: Point | None = None) -> tuple[Tensor, Tensor, Tensor]:
        """The embeddings e and d log p(y_i) / d e, ``(R, K, d)``, and log p ``(R,)``, of R predictions.

        Those with the same layout object share one forward pass. ``at``: from e and the tokens that each text has to
        the point where the gradient is taken, the same for all predictions of a text; ``None``: e itself.
        """
        shared = SharedPass.of(steps, self.device)
        lengths = [len(layout.inputs[0]) for layout in shared.layouts]
        held: list[Tensor] = []

        def leaf(embeddings: Tensor) -> Tensor:
            plain = embeddings.detach()
            point = (plain if at is None else at(plain, lengths)).clone().requires_grad_()
            held.extend((plain, point))
            return point

        with torch.enable_grad(), changed_embeddings(self.reader, leaf):
            (gradient,), scores = step_gradients(self.reader, shared, lambda: held[1:])
        return held[0][shared.which], gradient, scores


def reduced(values: Tensor, norm: str) -> Tensor:
    """The last axis as one number: ``"l2"``, ``"l1"`` (sum of absolute values) or ``"mean"`` (of absolute values)."""
    if norm == "l2":
        return values.norm(dim=-1)
    return values.abs().sum(dim=-1) if norm == "l1" else values.abs().mean(dim=-1)


@dataclass(eq=False, repr=False)
class Saliency(InputGradient, method="saliency"):
    """How much the prediction of each target token changes with each source embedding.

    S_ij = || d log p(y_i | y_<i, x) / d e(x_j) ||.

    Args:
        norm: ``"l2"``, ``"l1"`` or ``"mean"``, over the embedding.
    """

    norm: str = option("l2", choices=NORMS)

    quantity = "saliency"

    def attribute(self, steps: Sequence[Prediction]) -> Tensor:
        _, gradient, _ = self.gradient(steps)
        return reduced(gradient, self.norm)


@dataclass(eq=False, repr=False)
class InputXGradient(InputGradient, method="input-x-gradient"):
    """The first-order share of each source token in the log-probability of each target token; signed.

    S_ij = e(x_j) . d log p(y_i | y_<i, x) / d e(x_j).
    Shrikumar et al. 2016, "Not Just a Black Box" (arXiv:1605.01713); Denil et al. 2014 for words. A source word
    can speak against a target word. It is the derivative by a factor on e(x_j), at 1.

    Args:
        absolute: whether the sign is left out (after the sum over the embedding).
    """

    absolute: bool = False

    quantity = "input x gradient"

    def attribute(self, steps: Sequence[Prediction]) -> Tensor:
        embeddings, gradient, _ = self.gradient(steps)
        values = (embeddings * gradient).sum(dim=-1)
        return values.abs() if self.absolute else values


@dataclass(eq=False, repr=False)
class IntegratedGradients(InputGradient, method="integrated-gradients"):
    """Gradients integrated on the straight way from a baseline to the source embeddings; signed.

    Sundararajan, Taly & Yan 2017, "Axiomatic Attribution for Deep Networks" (ICML, arXiv:1703.01365):

        S_ij = (e_j - b_j) . integral over a from 0 to 1 of  d log p(y_i | y_<i, b + a (e - b)) / d e_j

    Completeness: sum_j S_ij = log p(y_i | e) - log p(y_i | b). The integral is taken by the Gauss-Legendre rule, which
    has no point at either end and is exact for polynomials of degree 2 n - 1 in a. How many points are needed is a
    matter of the model: completeness tells. A model that normalises its embeddings by their root mean square before
    anything is added to them (Llama, Qwen, Gemma) is the same along almost all of the way from 0 and jumps at its
    beginning, where no rule finds it: take the baseline ``pad`` there.

    Args:
        steps: points of the integral.
        baseline: ``"zero"``, or ``"pad"``: the embedding of padding in every place. It stands for all that the model
            reads first (the source with its special tokens; the whole context of a decoder-only model).
        absolute: whether the sign is left out (after the sum over the embedding).

    Raises:
        InputError: the model has no padding.
    """

    steps: int = option(20, low=1)
    baseline: str = option("zero", choices=("zero", "pad"))
    absolute: bool = False

    quantity = "integrated gradient"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.baseline == "pad" and self.tokenizer.pad_token_id is None:
            raise InputError(f"the tokenizer of {self.name} has no padding", remedy="Take the baseline zero")

    def base(self, embeddings: Tensor) -> Tensor:
        """The baseline for ``embeddings`` ``(R, K, d)``, of the same shape."""
        if self.baseline == "zero":
            return torch.zeros_like(embeddings)
        with torch.no_grad():
            pad: Tensor = first_embeddings(self)(torch.tensor([self.tokenizer.pad_token_id], device=self.device))
        return pad.expand_as(embeddings)

    def attribute(self, steps: Sequence[Prediction]) -> Tensor:
        places, weights = np.polynomial.legendre.leggauss(self.steps)
        total: Any = 0
        for place, weight in zip(((places + 1) / 2).tolist(), (weights / 2).tolist(), strict=True):

            def at(embeddings: Tensor, lengths: Sequence[int], place: float = place) -> Tensor:
                base = self.base(embeddings)
                return base + place * (embeddings - base)

            embeddings, gradient, _ = self.gradient(steps, at)
            total = total + weight * ((embeddings - self.base(embeddings)) * gradient).sum(dim=-1)
        return total.abs() if self.absolute else total


@dataclass(eq=False, repr=False)
class SmoothGrad(InputGradient, method="smoothgrad"):
    """The mean of `saliency` or `input-x-gradient` over noisy copies of the source.

    Smilkov et al. 2017 (arXiv:1706.03825):

        S_ij = 1/n sum_k M_ij(e + z_k),   z_k ~ N(0, (sigma (max e - min e))^2)

    Maximum and minimum are over all numbers in the embeddings of the sentence. The noise of a sentence depends on the
    seed and on its length alone, not on its batch.

    Args:
        samples: noisy copies, n.
        sigma: standard deviation of the noise, as a share of the range of the embeddings.
        seed: of the noise.
        smoothed: M, ``"saliency"`` or ``"input-x-gradient"`` (signed; e is the noisy one).
        norm: of the saliency.
    """

    samples: int = option(20, low=1)
    sigma: float = option(0.15, low=0)
    seed: int = option(1, low=0)
    smoothed: str = option("saliency", choices=("saliency", "input-x-gradient"))
    norm: str = option("l2", choices=NORMS)

    quantity = "smoothed gradient"

    def noisy(self, embeddings: Tensor, lengths: Sequence[int], sample: int) -> Tensor:
        """``embeddings`` ``(R, K, d)`` with the noise of one sample; rows of one length have the same draws."""
        shape = tuple(embeddings.shape[1:])
        draws = np.random.default_rng((self.seed, sample)).standard_normal(shape)
        noise = torch.from_numpy(draws).to(embeddings.device, embeddings.dtype)
        places = torch.arange(shape[0], device=embeddings.device)
        outside = (places >= torch.tensor(lengths, device=embeddings.device)[:, None])[:, :, None]
        greatest = embeddings.masked_fill(outside, -torch.inf).amax(dim=(1, 2))
        least = embeddings.masked_fill(outside, torch.inf).amin(dim=(1, 2))
        return embeddings + self.sigma * (greatest - least)[:, None, None] * noise

    def attribute(self, steps: Sequence[Prediction]) -> Tensor:
        lengths = [len(step.layout.inputs[0]) for step in steps]
        total: Any = 0
        for sample in range(self.samples):
            at = partial(self.noisy, sample=sample)
            embeddings, gradient, _ = self.gradient(steps, at)
            if self.smoothed == "saliency":
                total = total + reduced(gradient, self.norm)
            else:
                total = total + (at(embeddings, lengths) * gradient).sum(dim=-1)
        return total / self.samples
