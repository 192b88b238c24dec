"""BERT and the models that kept the names of its modules: attention, sum and norm, GELU part, sum and norm."""

from __future__ import annotations

from align_eval.models.adapters import ADAPTERS, Adapter

KINDS = ("bert", "camembert", "roberta", "xlm-roberta")


@ADAPTERS.register(*KINDS)
class Bert(Adapter):
    """Its blocks may be computed without padding; each model is compared with its own forward pass besides."""

    bert_blocks = True
