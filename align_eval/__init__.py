"""Cross-lingual alignment evaluation.

The same verbs as on the command line: :func:`load_testset`, :func:`load_model`, :func:`align`, :func:`score`,
:func:`evaluate`. Importing the package loads neither torch nor numpy; each name is imported when it is first used.

>>> import align_eval as ae
>>> testset = ae.load_testset("mini-ende")
>>> links = ae.align(testset, model="offline:e5-small", method="argmax", layer=7)  # doctest: +SKIP
>>> ae.score(testset, links).aer  # doctest: +SKIP
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from align_eval.version import __version__

if TYPE_CHECKING:
    from align_eval.corpora import (
        Bitext,
        SentencePair,
        TestSet,
        load_testset,
        make_testset,
        read_bitext,
        read_links,
        testset_names,
        write_links,
    )  # fmt: skip
    from align_eval.extraction.matrices import links_from_matrix
    from align_eval.link_table import LinkTable
    from align_eval.links import GoldLinks, Links
    from align_eval.models import Encoder, load_model
    from align_eval.runs.api import align, evaluate, score, symmetrize
    from align_eval.runs.explore import explore_page
    from align_eval.runs.explore_folder import explore_folder
    from align_eval.runs.explore_text import explore_text
    from align_eval.runs.infill import infill_testset
    from align_eval.runs.infill_pair import infill_pair
    from align_eval.scoring import Score, Signature

_HOME = {
    "Bitext": "corpora", "SentencePair": "corpora", "TestSet": "corpora", "load_testset": "corpora",
    "make_testset": "corpora",
    "read_bitext": "corpora", "read_links": "corpora", "testset_names": "corpora", "write_links": "corpora",
    "links_from_matrix": "extraction.matrices",
    "GoldLinks": "links", "LinkTable": "link_table", "Links": "links",
    "Encoder": "models", "load_model": "models",
    "align": "runs.api", "evaluate": "runs.api", "score": "runs.api",
    "explore_folder": "runs.explore_folder", "explore_page": "runs.explore", "explore_text": "runs.explore_text",
    "infill_pair": "runs.infill_pair", "infill_testset": "runs.infill",
    "Score": "scoring", "Signature": "scoring", "symmetrize": "runs.api",
}  # fmt: skip

__all__ = [
    "Bitext", "Encoder", "GoldLinks", "LinkTable", "Links", "Score", "SentencePair", "Signature", "TestSet",
    "__version__", "align", "evaluate", "explore_folder", "explore_page", "explore_text", "infill_pair",
    "infill_testset", "links_from_matrix", "load_model", "load_testset", "make_testset", "read_bitext",
    "read_links", "score", "symmetrize", "testset_names", "write_links",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(importlib.import_module(f"align_eval.{_HOME[name]}"), name)
    raise AttributeError(f"module 'align_eval' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
