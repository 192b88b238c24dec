"""ALBERT: one block is used at every layer, so that its attention would be seen once and its layers not told apart."""

from __future__ import annotations

import copy
from typing import Any

from align_eval.models.adapters import ADAPTERS, Adapter


@ADAPTERS.register("albert")
class Albert(Adapter):
    """The block is put in a list as often as it is used, each a module of its own with the same parameters."""

    def prepare(self, model: Any) -> None:
        from torch import nn

        stack = next(m for m in model.modules() if isinstance(getattr(m, "albert_layer_groups", None), nn.ModuleList))
        config = stack.config
        layers, groups = int(config.num_hidden_layers), int(config.num_hidden_groups)
        if groups == layers:
            return
        shared: dict[int, Any] = {id(part): part for part in (*stack.parameters(), *stack.buffers())}
        shared |= {id(m.config): m.config for m in stack.modules() if hasattr(m, "config")}
        own = [stack.albert_layer_groups[int(k / (layers / groups))] for k in range(layers)]
        stack.albert_layer_groups = nn.ModuleList(copy.deepcopy(group, {**shared}) for group in own)
        config.num_hidden_groups = layers
