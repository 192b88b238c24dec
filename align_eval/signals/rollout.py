"""Attention rollout: attention followed through the layers, back to the tokens that went in.

Abnar & Zuidema 2020, "Quantifying Attention Flow in Transformers" (ACL, arXiv:2005.00928). With A_l the mean of the
heads of layer l and I the identity, for the residual connection:

    At_l = (A_l + I) / row sum,    R_l = At_l R_{l-1},    R_0 = I.

Encoder and decoder-only models: R_l of their self-attention. The paper has no encoder-decoder model; here the matrix of
decoder layer l is the head mean of its cross-attention times R of the whole encoder, so that its columns are source
tokens and not the encoder's last states. What passes through the decoder itself is not followed (ALTI+ does that).
Rows sum to 1.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from align_eval.models.attention import AttentionPass, attention_sites, check_rows
from align_eval.models.pairs import Layout
from align_eval.signals.base import Attribution
from align_eval.signals.matrix import at_least_float32


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
            # roll would hide what is missing from a distribution
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
