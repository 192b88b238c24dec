"""SmoothGrad: the mean of a gradient signal over noisy copies of the source.

Smilkov et al. 2017 (arXiv:1706.03825), used for alignments by Ding, Xu & Koehn 2019 (arXiv:1906.10282; checked by
secondary sources):

    S_ij = 1/n sum_k M_ij(e + z_k),   z_k ~ N(0, (sigma (max e - min e))^2)

with M the saliency (the norm of the gradient), or input x gradient. Maximum and minimum are over all numbers in the
embeddings of the sentence. The noise of a sentence depends on the seed and on its length alone, not on its batch.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from align_eval.errors import InputError, UnknownNameError
from align_eval.signals.input_gradients import NORMS, InputReader, reduced, require_norm
from align_eval.signals.registry import SIGNALS
from align_eval.signals.steps import TOKEN_BUDGET, Step

SMOOTHED = ("saliency", "input-x-gradient")


@SIGNALS.register("smoothgrad")
class SmoothGrad(InputReader):
    """The mean of a gradient signal over noisy inputs.

    Args:
        model, token_budget: see :class:`~align_eval.signals.steps.StepReader`.
        samples: noisy copies, n.
        sigma: standard deviation of the noise, as a share of the range of the embeddings.
        seed: of the noise.
        smoothed: ``"saliency"`` or ``"input-x-gradient"`` (signed; e is the noisy one).
        norm: of the saliency, see :class:`~align_eval.signals.saliency.Saliency`.

    Raises:
        InputError: no copy, or a negative sigma.
        UnknownNameError: no such norm or signal to smooth.
        ModelError: the model predicts no words.
    """

    quantity = "smoothed gradient"
    limits: ClassVar[dict[str, dict[str, Any]]] = {
        **InputReader.limits, "samples": {"low": 1}, "sigma": {"low": 0}, "seed": {"low": 0},
        "smoothed": {"choices": SMOOTHED}, "norm": {"choices": NORMS},
    }  # fmt: skip

    def __init__(
        self, model: Any, *, samples: int = 20, sigma: float = 0.15, seed: int = 1, smoothed: str = "saliency",
        norm: str = "l2", token_budget: int = TOKEN_BUDGET,
    ) -> None:  # fmt: skip
        super().__init__(model, token_budget=token_budget)
        if samples < 1 or not 0 <= sigma < float("inf"):
            raise InputError(
                f"{samples} noisy copies with a deviation of {sigma} are asked for",
                remedy="Take at least 1 copy, and a deviation of 0 or more",
            )
        if smoothed not in SMOOTHED:
            raise UnknownNameError("signal to smooth", smoothed, SMOOTHED)
        require_norm(norm)
        self.samples, self.sigma, self.seed, self.smoothed, self.norm = samples, sigma, seed, smoothed, norm

    def noisy(self, embeddings: Tensor, lengths: Sequence[int], sample: int) -> Tensor:
        """``embeddings`` ``(R, K, d)`` with the noise of one sample; rows of one length have the same draws."""
        shape = tuple(embeddings.shape[1:])
        draws = np.random.default_rng((self.seed, sample)).standard_normal(shape)
        noise = torch.from_numpy(draws).to(embeddings.device, embeddings.dtype)
        within = (
            torch.arange(shape[0], device=embeddings.device) < torch.tensor(lengths, device=embeddings.device)[:, None]
        )
        outside = ~within[:, :, None]
        greatest = embeddings.masked_fill(outside, -torch.inf).amax(dim=(1, 2))
        least = embeddings.masked_fill(outside, torch.inf).amin(dim=(1, 2))
        return embeddings + self.sigma * (greatest - least)[:, None, None] * noise

    def attribute(self, steps: Sequence[Step]) -> Tensor:
        total: Tensor | None = None
        for sample in range(self.samples):

            def at(embeddings: Tensor, lengths: Sequence[int], number: int = sample) -> Tensor:
                return self.noisy(embeddings, lengths, number)

            embeddings, gradient, _ = self.gradient(steps, at)
            if self.smoothed == "saliency":
                part = reduced(gradient, self.norm)
            else:
                part = (at(embeddings, self.read(steps)) * gradient).sum(dim=-1)
            total = part if total is None else total + part
        assert total is not None
        return total / self.samples
