"""Cross-lingual alignment evaluation.

The same verbs as on the command line: :func:`load_testset`, :func:`load_model`, :func:`align`, :func:`score`.
Importing the package loads neither torch nor numpy; each name is imported when it is first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from align_eval.version import __version__

if TYPE_CHECKING:
    from align_eval.links import GoldLinks, Links, LinkTable

_LAZY = {
    "GoldLinks": "align_eval.links",
    "LinkTable": "align_eval.links",
    "Links": "align_eval.links",
}

__all__ = ["GoldLinks", "LinkTable", "Links", "__version__"]


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return getattr(importlib.import_module(_LAZY[name]), name)
    raise AttributeError(f"module 'align_eval' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
