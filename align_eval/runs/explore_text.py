"""The page of one text: the self-attention of a decoder-only model or an encoder over it, every layer and head."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from align_eval.corpora import SentencePair
from align_eval.errors import InputError, ModelError, NonFiniteError, SentenceTooLongError
from align_eval.models.pairs import Layout
from align_eval.report.page import Entry, Page, number_axis, shown_name
from align_eval.signals.base import pair_model
from align_eval.signals.text import read_text, token_texts

if TYPE_CHECKING:
    from align_eval.models.pairs import PairModel
    from align_eval.models.tokens import IdArray


def explore_text(
    model: Any, text: str, *, layers: Any = "all", bits: int = 16, title: str = "", keys: str = "sum",
    queries: str = "mean",
) -> Page:  # fmt: skip
    """The page of a text: queries and keys are its sub-words, special ones included.

    Args:
        model: of :func:`align_eval.load_model`, an encoder or a decoder-only model.
        text: words are what white space separates.
        layers: numbers from 1, or ``"all"``.
        bits: 8 or 16 bits a stored value.
        title: heads the page; "": the model's name.
        keys, queries: how sub-words become words, see :mod:`align_eval.signals.pooling`.

    Raises:
        InputError: a text without a word.
        ModelError: an encoder-decoder model, or a layer that the model does not have.
        SentenceTooLongError: the text does not fit the model.
        NonFiniteError: NaN or infinity.
    """
    reader = pair_model(model)
    if not text.split():
        raise InputError("the text has no word", remedy="Give a text")
    if reader.family == "seq2seq":
        raise ModelError(
            f"{reader.name} is an encoder-decoder model, which reads pairs",
            remedy="Give source and target, or choose an encoder or a decoder-only model",
        )
    ids, spans, labels = _tokens(reader, text)
    words = _words(text, spans)
    chosen = list(range(1, reader.layers + 1)) if layers == "all" else [int(layer) for layer in layers]
    layout = Layout(SentencePair("text", tuple(text.split()), ()), (ids,), {}, (np.zeros_like(ids),))
    kept = {layer: weights[0].float().cpu().numpy() for layer, weights in reader.attention([layout], chosen)}
    values = np.stack(list(kept.values()))
    if not np.isfinite(values).all():
        raise NonFiniteError(f"{reader.name} returned NaN or infinity", remedy="Load the model with --dtype float32")
    name = shown_name(reader.name)
    rule = f"{keys} over keys, {queries} over queries"
    page = Page(
        title or f"{name}: self-attention of a text", "attention weight", number_axis("layer", sorted(kept)),
        number_axis("head", range(1, values.shape[1] + 1)), bits=bits, rules=(keys, queries),
        subject={"model": name, "sub-words": len(ids), "sub-words to words": rule},
    )  # fmt: skip
    page.add(Entry("text", values, labels, labels, words, words, tuple(text.split()), tuple(text.split()), "text"))
    return page


def _tokens(reader: PairModel, text: str) -> tuple[IdArray, IdArray, tuple[str, ...]]:
    """Ids ``(T,)``, character spans ``(T, 2)`` (-1 for special sub-words) and labels of a text."""
    if reader.family == "decoder":
        plain = read_text(reader, text)
        return plain.ids, plain.spans, plain.labels
    encoding = reader.tokenizer.backend_tokenizer.encode(text, add_special_tokens=True)
    ids = np.array(encoding.ids, dtype=np.int64)
    if len(ids) > reader.max_length:  # type: ignore[attr-defined]
        raise SentenceTooLongError(
            f"the text has {len(ids)} sub-words, the window of {reader.name} is {reader.max_length}",  # type: ignore[attr-defined]
            remedy="Shorten it",
        )
    spans = np.array(encoding.offsets, dtype=np.int64).reshape(-1, 2)
    spans[np.array(encoding.special_tokens_mask, dtype=bool)] = -1
    return ids, spans, token_texts(reader.tokenizer, ids)


def _words(text: str, spans: IdArray) -> IdArray:
    """The word (0-based) of the first letter of each sub-word; -1 for special ones and white space alone."""
    owner = np.full(len(text) + 1, -1, dtype=np.int64)
    place = 0
    for number, word in enumerate(text.split()):
        place = text.index(word, place)
        owner[place : place + len(word)] = number
        place += len(word)
    out = np.full(len(spans), -1, dtype=np.int64)
    for k, (start, end) in enumerate(spans.tolist()):
        found = owner[max(start, 0) : max(end, 0)]
        found = found[found >= 0]
        if len(found):
            out[k] = found[0]
    return out
