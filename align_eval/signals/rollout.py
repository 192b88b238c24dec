"""Attention rollout: attention followed through the layers, back to the sub-words that went in.

Abnar & Zuidema 2020, "Quantifying Attention Flow in Transformers" (ACL, arXiv:2005.00928). With A_l the mean of the
heads of layer l and I the identity, for the residual connection:

    At_l = (A_l + I) / row sum,    R_l = At_l R_{l-1},    R_0 = I.

Encoder and decoder-only models: R_l of their self-attention. The paper has no encoder-decoder model; here the map of
decoder layer l is the head mean of its cross-attention times R of the whole encoder, so that its columns are source
sub-words and not the encoder's last states. What passes through the decoder itself is not followed (ALTI+ does that).
Rows sum to 1.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from align_eval.models.attention import attention_sites, capture_attention, check_rows
from align_eval.models.pairs import Layout
from align_eval.signals.reader import SignalReader
from align_eval.signals.registry import SIGNALS
from align_eval.signals.similarity import at_least_float32

if TYPE_CHECKING:
    from torch import Tensor

    from align_eval.models.attention import Take


@SIGNALS.register("rollout")
class RolloutReader(SignalReader):
    """One map a layer: the rollout from the first layer up to it.

    Args:
        model: of :func:`align_eval.models.load_model`, of any family.
    """

    quantity = "attention rollout"
    headless = True

    def __init__(self, model: Any) -> None:
        super().__init__(model)
        self.encoder_sites = attention_sites(self.model, "encoder-self", self.name) if self.family == "seq2seq" else []

    def attend(self, layouts: Sequence[Layout], layers: Sequence[int], take: Take) -> None:
        wanted = self.require_layers(layers)
        if self.encoder_sites:
            self._cross(layouts, wanted, take)
            return
        rolled: Tensor | None = None

        def follow(layer: int, weights: Tensor) -> None:
            nonlocal rolled
            self._check(weights, layer, layouts, 0)
            rolled = roll(weights, rolled)
            if layer in wanted:
                take(layer, rolled[:, None])

        self.reader.attend(layouts, range(1, wanted[-1] + 1), follow)

    def _cross(self, layouts: Sequence[Layout], wanted: Sequence[int], take: Take) -> None:
        """The encoder's layers are numbered 1 to E, those of the decoder from E + 1 on."""
        depth = len(self.encoder_sites)
        sites = dict(enumerate(self.encoder_sites, start=1)) | {depth + k: self.sites[k - 1] for k in wanted}
        rolled: Tensor | None = None

        def follow(number: int, weights: Tensor) -> None:
            nonlocal rolled
            if number <= depth:
                self._check(weights, number, layouts, 0)
                rolled = roll(weights, rolled)
            elif rolled is not None:
                self._check(weights, number - depth, layouts, 1)
                take(number - depth, (at_least_float32(weights).mean(dim=1) @ rolled)[:, None])

        capture_attention(self.model, sites, lambda: self.forward(layouts), follow, self.name)

    def _check(self, weights: Tensor, layer: int, layouts: Sequence[Layout], side: int) -> None:
        """Weights ``(B, heads, queries, keys)`` must be a distribution: :func:`roll` would hide what is missing."""
        import torch

        counts = torch.tensor([len(layout.inputs[side]) for layout in layouts], device=weights.device)
        rows = torch.arange(weights.shape[2], device=weights.device) < counts[:, None]
        names = [layout.pair.id for layout in layouts]
        check_rows(weights, layer, self.name, rows=rows[:, None].expand(weights.shape[:3]), pairs=names)


def roll(weights: Tensor, before: Tensor | None = None) -> Tensor:
    """One step: R_l from A_l ``(B, heads, T, T)`` and R_{l-1} ``(B, T, T)``; ``None``: the identity."""
    import torch

    mean = at_least_float32(weights).mean(dim=1)
    step = mean + torch.eye(mean.shape[-1], dtype=mean.dtype, device=mean.device)
    step = step / step.sum(dim=-1, keepdim=True)
    return step if before is None else step @ before
