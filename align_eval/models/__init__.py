"""A transformer in: loading by name, sub-words with their words, vectors of any layer.

``load_model("offline:e5-small")``, ``load_model("xlm-roberta-base")`` or ``load_model("path/to/folder")`` give an
:class:`Encoder`, a :class:`Seq2Seq` or a :class:`Decoder`, whichever the model is. Importing this package imports
neither torch nor transformers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from align_eval.models.decoder import Decoder, PromptTemplate
    from align_eval.models.encoder import Encoder, PairEncoder
    from align_eval.models.families import ModelInformation, describe_model
    from align_eval.models.loading import load_model
    from align_eval.models.masked import MaskedEncoder, MaskedSeq2Seq
    from align_eval.models.pairs import PairModel
    from align_eval.models.provider import MODELS, OfflineModel
    from align_eval.models.seq2seq import Seq2Seq
    from align_eval.models.tokens import Tokenized

_HOME = {
    "Decoder": "decoder",
    "Encoder": "encoder",
    "MODELS": "provider",
    "MaskedEncoder": "masked",
    "MaskedSeq2Seq": "masked",
    "ModelInformation": "families",
    "OfflineModel": "provider",
    "PairEncoder": "encoder",
    "PairModel": "pairs",
    "PromptTemplate": "decoder",
    "Seq2Seq": "seq2seq",
    "Tokenized": "tokens",
    "describe_model": "families",
    "load_model": "loading",
}

__all__ = [
    "MODELS", "Decoder", "Encoder", "MaskedEncoder", "MaskedSeq2Seq", "ModelInformation", "OfflineModel", "PairEncoder",
    "PairModel", "PromptTemplate", "Seq2Seq", "Tokenized", "describe_model", "load_model",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
