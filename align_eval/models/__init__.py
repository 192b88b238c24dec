"""A transformer in: loading by name, sub-words with their words, vectors of any layer.

``load_model("offline:e5-small")``, ``load_model("xlm-roberta-base")`` or ``load_model("path/to/folder")`` give an
:class:`Encoder`, a :class:`Seq2Seq` or a :class:`Decoder`, whichever the model is. Importing this package imports
neither torch nor transformers.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from align_eval.models.encoder import Encoder
    from align_eval.models.families import describe_model
    from align_eval.models.loading import load_model
    from align_eval.models.offline import MODELS

__all__ = ["MODELS", "Encoder", "describe_model", "load_model"]
_HOME = {"MODELS": "offline", "Encoder": "encoder", "describe_model": "families", "load_model": "loading"}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
