"""A model in the languages of a text, where it takes languages that are not chosen yet."""

from __future__ import annotations

from dataclasses import replace
from typing import Any


def in_languages(model: Any, source: str | None, target: str | None) -> Any:
    """The model for a direction; what it was loaded with goes first.

    An encoder-decoder model of several languages translates from ``source`` to ``target``; a decoder-only model's
    prompt names them. Other models are given back as they are.

    Args:
        model: of :func:`align_eval.models.load_model`.
        source, target: language codes; ``None``: not known.

    Raises:
        InputError: an encoder-decoder model that does not have these languages, or translates into another one.
    """
    from align_eval.models.decoder import Decoder
    from align_eval.models.seq2seq import Seq2Seq

    if isinstance(model, Seq2Seq):
        named = (model.source_language or source, model.target_language or target)
        return model.with_languages(*named, source_prefix=model._asked_prefix)
    if isinstance(model, Decoder):
        unnamed = type(model.template)()
        template = model.template
        if source and template.source_language == unnamed.source_language:
            template = replace(template, source_language=source)
        if target and template.target_language == unnamed.target_language:
            template = replace(template, target_language=target)
        return model.with_template(template)
    return model
