"""What single architectures need before the package reads them; one file an architecture, named by its ``model_type``.

Most need none: their attention modules, projections, norms and residual connections are found in the modules themselves
and verified on a forward pass (:mod:`align_eval.models.attention`, :mod:`align_eval.models.adapters.discovery`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from align_eval.registry import Registry

ADAPTERS: Registry[Callable[[Any], None]] = Registry("architecture", "align_eval.models.adapters")
"""By ``model_type``: called once with a freshly loaded model of ``transformers``, which it may change in place."""


def prepare(model: Any) -> None:
    """Let the adapter of the model's architecture, if it has one, make it readable. What it computes stays the same."""
    kind = str(model.config.model_type)
    if kind in ADAPTERS:
        ADAPTERS.get(kind)(model)
