"""The simpler simple recurrent unit (SSRU), which Marian's students have in place of a decoder's self-attention.

Kim et al. 2019, arXiv:1910.14075: ``f_t = sigmoid(W_f x_t + b_f)``, ``c_t = f_t * c_(t-1) + (1 - f_t) * W x_t``,
``o_t = relu(c_t)``; ``c_0 = 0``.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn


class SSRU(nn.Module):
    """Takes the place of ``self_attn`` in a decoder layer of ``transformers``, with the same arguments and results."""

    def __init__(self, width: int, layer: int = 0) -> None:
        super().__init__()
        self.value = nn.Linear(width, width, bias=False)
        self.forget = nn.Linear(width, width)
        self.layer_idx = layer

    def forward(self, hidden_states: Tensor, past_key_values: Any = None, **unused: Any) -> tuple[Tensor, None]:
        """``(B, T, width)`` to ``(B, T, width)``. A cache holds gates and values of all steps, and is reordered as keys
        and values of an attention are."""
        values, gates = self.value(hidden_states), torch.sigmoid(self.forget(hidden_states))
        if past_key_values is not None:
            cache = getattr(past_key_values, "self_attention_cache", past_key_values)
            values, gates = (part[:, 0] for part in cache.update(values[:, None], gates[:, None], self.layer_idx))
        state = torch.zeros_like(values[:, 0])
        states = []
        for t in range(values.shape[1]):
            state = gates[:, t] * state + (1 - gates[:, t]) * values[:, t]
            states.append(state)
        return torch.relu(torch.stack(states, dim=1))[:, -hidden_states.shape[1] :], None
