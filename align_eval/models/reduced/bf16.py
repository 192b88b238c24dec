"""``bf16``: matrix products in bfloat16 through torch; no further package.

The weights are rounded once, the inputs of each product as they come (8 significant bits instead of 24); the products
are summed in float32, on the matrix units of the processor where it has them (AMX). The stream of residual sums, the
norms and the similarity stay in float32, unlike with ``dtype="bfloat16"``, which rounds the stream in every block.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

import torch
from torch import Tensor

from align_eval.models.reduced.base import PRECISIONS, ReducedStates, require_bfloat16
from align_eval.models.reduced.blocks import run_blocks

if TYPE_CHECKING:
    from align_eval.models.encoder import Encoder


@PRECISIONS.register("bf16")
class BFloat16States(ReducedStates):
    """Products in bfloat16 by torch."""

    name: ClassVar[str] = "bf16"
    unpadded: ClassVar[bool] = True

    def __init__(self, encoder: Encoder) -> None:
        super().__init__(encoder)
        self.blocks = [block.to(torch.bfloat16) for block in self.blocks]

    @classmethod
    def require(cls) -> None:
        require_bfloat16(cls.name)

    def run(self, embedded: Tensor, mask: Tensor | None, layers: Sequence[int]) -> list[Tensor]:
        return run_blocks(self.blocks, self.heads, embedded, mask, layers)
