"""Text and gold in: sentence pairs, links, and the named test sets.

Every name is imported when it is first used, so that ``import align_eval.corpora`` costs nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from align_eval.corpora.linkio import read_links, write_links
    from align_eval.corpora.own_testset import make_testset
    from align_eval.corpora.pair import Bitext, SentencePair
    from align_eval.corpora.readers import read_bitext
    from align_eval.corpora.testset import TestSet
    from align_eval.corpora.testsets import load_testset, testset_names
    from align_eval.corpora.writers import write_bitext

_LAZY = {
    "Bitext": "align_eval.corpora.pair",
    "SentencePair": "align_eval.corpora.pair",
    "TestSet": "align_eval.corpora.testset",
    "load_testset": "align_eval.corpora.testsets",
    "make_testset": "align_eval.corpora.own_testset",
    "read_bitext": "align_eval.corpora.readers",
    "read_links": "align_eval.corpora.linkio",
    "testset_names": "align_eval.corpora.testsets",
    "write_bitext": "align_eval.corpora.writers",
    "write_links": "align_eval.corpora.linkio",
}

__all__ = [
    "Bitext",
    "SentencePair",
    "TestSet",
    "load_testset",
    "make_testset",
    "read_bitext",
    "read_links",
    "testset_names",
    "write_bitext",
    "write_links",
]


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return getattr(importlib.import_module(_LAZY[name]), name)
    raise AttributeError(f"module 'align_eval.corpora' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
