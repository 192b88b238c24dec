"""Text and gold in: sentence pairs, links, and the named test sets.

Every name is imported when it is first used, so that ``import align_eval.corpora`` costs nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from align_eval.corpora.corpus import Corpus
    from align_eval.corpora.linkio import read_links, write_links
    from align_eval.corpora.pair import SentencePair
    from align_eval.corpora.plain import make_testset
    from align_eval.corpora.readers import read_bitext
    from align_eval.corpora.testsets import load_testset, testset_names
    from align_eval.corpora.writers import write_bitext

_HOME = {
    "Corpus": "corpus", "SentencePair": "pair", "load_testset": "testsets", "make_testset": "plain",
    "read_bitext": "readers", "read_links": "linkio", "testset_names": "testsets", "write_bitext": "writers",
    "write_links": "linkio",
}  # fmt: skip

__all__ = [
    "Corpus", "SentencePair", "load_testset", "make_testset", "read_bitext", "read_links", "testset_names",
    "write_bitext", "write_links",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(importlib.import_module(f"align_eval.corpora.{_HOME[name]}"), name)
    raise AttributeError(f"module 'align_eval.corpora' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
