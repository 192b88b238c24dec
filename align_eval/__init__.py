"""Cross-lingual alignment evaluation.

The same verbs as on the command line: :func:`load_testset`, :func:`load_model`, :func:`align`, :func:`score`,
:func:`evaluate`. The names of ``__all__`` are the public API; all else may change. Importing the package loads neither
torch nor numpy; each name is imported when it is first used.

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
    from align_eval import patterns
    from align_eval.attribution import make_attribution
    from align_eval.attribution.collect import attention_maps
    from align_eval.attribution.matrix import ScoreMatrix
    from align_eval.attribution.text_flow import text_flow
    from align_eval.corpora import (
        Corpus,
        SentencePair,
        load_testset,
        make_testset,
        read_bitext,
        read_links,
        testset_names,
        write_bitext,
        write_links,
    )  # fmt: skip
    from align_eval.errors import AlignEvalError, AlignEvalWarning
    from align_eval.extraction import links_from_matrix
    from align_eval.figures.heatmap import heatmap, paired_heatmaps
    from align_eval.figures.style import save as save_figure
    from align_eval.infilling.probe import infill
    from align_eval.links import GoldLinks, Links
    from align_eval.links.table import LinkTable
    from align_eval.models import load_model
    from align_eval.runs.api import agree, align, evaluate, score, score_links, symmetrize
    from align_eval.runs.explore import explore_links, explore_page, explore_text
    from align_eval.runs.infill import infill_testset
    from align_eval.runs.infill_pair import infill_pair
    from align_eval.runs.selection import select
    from align_eval.runs.sweep import split, sweep_testset
    from align_eval.runs.train import train
    from align_eval.scoring import Score, Signature

# Module -> its public names.
_HOME = {
    "corpora": "Corpus SentencePair load_testset make_testset read_bitext read_links testset_names "
    "write_bitext write_links",
    "errors": "AlignEvalError AlignEvalWarning",
    "extraction": "links_from_matrix",
    "figures.heatmap": "heatmap paired_heatmaps",
    "infilling.probe": "infill",
    "links.table": "LinkTable",
    "links": "GoldLinks Links",
    "models": "load_model",
    "runs.api": "agree align evaluate score score_links symmetrize",
    "runs.explore": "explore_links explore_page explore_text",
    "runs.infill": "infill_testset",
    "runs.infill_pair": "infill_pair",
    "runs.selection": "select",
    "runs.sweep": "split sweep_testset",
    "runs.train": "train",
    "scoring": "Score Signature",
    "attribution": "make_attribution",
    "attribution.collect": "attention_maps",
    "attribution.matrix": "ScoreMatrix",
    "attribution.text_flow": "text_flow",
}
_MODULE_OF = {name: module for module, names in _HOME.items() for name in names.split()}

__all__ = [
    "AlignEvalError", "AlignEvalWarning", "Corpus", "GoldLinks", "LinkTable", "Links", "Score", "ScoreMatrix",
    "SentencePair", "Signature", "__version__", "agree", "align", "attention_maps", "evaluate", "explore_links",
    "explore_page", "explore_text", "heatmap", "infill", "infill_pair", "infill_testset",
    "links_from_matrix", "load_model", "load_testset", "make_attribution", "make_testset", "paired_heatmaps",
    "patterns", "read_bitext", "read_links", "save_figure", "score", "score_links", "select", "split", "sweep_testset",
    "symmetrize", "testset_names", "text_flow", "train", "write_bitext", "write_links",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    if name in _MODULE_OF:
        return getattr(importlib.import_module(f"align_eval.{_MODULE_OF[name]}"), name)
    if name == "patterns":
        return importlib.import_module("align_eval.patterns")
    if name == "save_figure":
        return importlib.import_module("align_eval.figures.style").save
    raise AttributeError(f"module 'align_eval' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
