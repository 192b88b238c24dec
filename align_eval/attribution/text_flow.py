"""Information flow of a plain text: what each weight of attention contributes to ONE prediction.

Wang et al. 2023 (arXiv:2305.14160, equation 1): S_{l,h} = | A_h * dL/dA_h |, weight by weight, L the cross-entropy of
one target token at one position; see :mod:`align_eval.attribution.information_flow`, which computes the product.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from align_eval.attribution.information_flow import attention_times_gradient
from align_eval.attribution.predictions import log_softmax, require_logits
from align_eval.attribution.text import (
    PlainText,
    TextScores,
    continuation,
    encode,
    fitting,
    forward_text,
    no_spans,
    read_text,
    text_matrix,
    token_texts,
)
from align_eval.corpora import SentencePair
from align_eval.errors import InputError, ModelError, NonFiniteError, UnknownNameError
from align_eval.models.attention import attention_sites
from align_eval.models.pairs import Layout
from align_eval.models.tokens import IdArray

KINDS = {"encoder": ("self",), "decoder": ("self",), "seq2seq": ("cross", "decoder-self", "encoder-self")}
SCALARS = {
    "max": "greatest saliency from one sub-word to another",
    "max-all": "greatest saliency, a sub-word's to itself counted",
    "sum": "saliency summed over the head's map",
    "flow": "saliency of the row that predicts, summed",
    "share": "share of the head's saliency that is in the row that predicts",
    "gate": "| sum of A * dL/dA |, the gradient of the head's gate",
}
"""What one number can stand for a head; Michel et al. 2019 (arXiv:1905.10650) for the gate."""


@dataclass(frozen=True)
class TextFlow(TextScores):
    """A * dL/dA of one prediction, in every head; below 0 where more weight would make it more probable. 1 nat of loss.

    Attributes:
        key_text, key_spans: the text of the columns and where each stands in it, ``(K, 2)``; -1 for special ones.
        position: the row that predicts, 0-based; ``None`` if no row does (the encoder of an encoder-decoder model).
        target: the token that is predicted.
        probability, rank: what the model gives it; rank 1 is the most probable.
        top: the most probable tokens with their probabilities, descending.
    """

    key_text: str
    key_spans: IdArray
    position: int | None
    target: str
    probability: float
    rank: int
    top: tuple[tuple[str, float], ...]

    @property
    def signed(self) -> NDArray[np.floating]:
        """A * dL/dA, ``(L, H, Q, K)``."""
        return self.values

    @property
    def saliency(self) -> NDArray[np.floating]:
        """| A * dL/dA |, ``(L, H, Q, K)``."""
        return np.abs(self.values)

    @property
    def between(self) -> NDArray[np.floating]:
        """The saliency from one token to another, ``(L, H, Q, K)``: 0 where row and column are the same token."""
        values = self.saliency
        if self.square:
            places = np.arange(len(self.keys))
            values[:, :, places, places] = 0
        return values

    def scalar(self, name: str) -> NDArray[np.floating]:
        """One number a head, ``(L, H)``, by a name of :data:`SCALARS`. A head without any flow has share 0.

        Raises:
            UnknownNameError: no such number.
            InputError: it needs the row that predicts, and no row does.
        """
        if name not in SCALARS:
            raise UnknownNameError("number of a head", name, SCALARS)
        if name == "max":
            return self.between.max(axis=(2, 3))
        if name == "max-all":
            return self.saliency.max(axis=(2, 3))
        if name == "gate":
            return np.abs(self.values.sum(axis=(2, 3)))
        total = self.saliency.sum(axis=(2, 3))
        if name == "sum":
            return total
        if self.position is None:
            raise InputError(f"{name!r} is of the row that predicts, which the encoder has not", remedy="Choose max")
        row = self.saliency[:, :, self.position].sum(axis=-1)
        return row if name == "flow" else np.divide(row, total, out=np.zeros_like(row), where=total > 0)


@dataclass(frozen=True)
class Group:
    """A span of tokens with a name: ``start`` to ``end`` - 1, 0-based."""

    name: str
    start: int
    end: int


def parse_group(text: str, flow: TextFlow) -> Group:
    """A span of columns from ``NAME=3:7`` (tokens 3 to 6, 0-based) or ``NAME=words as they stand in the text``.

    Raises:
        InputError: no name, an empty span, one outside of the text, or words that do not stand in it.
    """
    name, equals, where = text.partition("=")
    remedy = "Write NAME=FIRST:END (sub-words from 0, END left out) or NAME=words of the text"
    if not equals or not name or not where:
        raise InputError(f"{text!r} is no group", remedy=remedy)
    first, colon, end = where.partition(":")
    size = len(flow.keys)
    if colon and first.strip().isdecimal() and end.strip().isdecimal():
        group = Group(name, int(first), int(end))
        if not group.start < group.end <= size:
            raise InputError(f"group {name!r} is {where}; the text has {size} sub-words", remedy=remedy)
        return group
    place = flow.key_text.find(where.strip())
    begins, ends = flow.key_spans.T
    found = np.flatnonzero((ends > place) & (begins < place + len(where.strip())) & (ends > begins))
    if place < 0 or not len(found):
        raise InputError(f"group {name!r}: {where!r} does not stand in the text", remedy=remedy)
    return Group(name, int(found[0]), int(found[-1]) + 1)


def text_flow(
    model: Any, text: str, predict: str | None = None, *, source: str | None = None, kind: str | None = None
) -> TextFlow:
    """The information flow for the cross-entropy of one token.

    Decoder-only: the token after ``text``. Masked language model (an encoder with a head for words): the token at the
    mask of ``text``. Encoder-decoder: the token that goes on after ``text``, a translation of ``source`` that may be
    empty; where the decoder sees both sides (conditional masked language model), the one at its mask.

    Args:
        model: of :func:`align_eval.models.load_model`.
        text: what is read.
        predict: the target, one token; ``None``: the one that the model finds most probable.
        source: of an encoder-decoder model, and needed there.
        kind: ``self``; of an encoder-decoder model ``cross`` (default), ``decoder-self`` or ``encoder-self``.

    Raises:
        InputError: ``predict`` is not one token, a source too many or too few, no mask or several.
        UnknownNameError: the model has no such attention.
        ModelError: the model predicts no words or hands out no attention weights.
        SentenceTooLongError: the text does not fit the model's window.
        NonFiniteError: a gradient is NaN or infinite.
    """
    kinds = KINDS[model.family]
    kind = kinds[0] if kind is None else kind
    if kind not in kinds:
        raise UnknownNameError(f"attention of the family {model.family}", kind, kinds)
    if (source is not None) != (model.family == "seq2seq"):
        lacking = "a source sentence" if source is None else "no source sentence"
        raise InputError(f"{model.name} is of the family {model.family} and takes {lacking}", remedy="See --source")
    if source is not None:
        return (_both_sides if model.both_sides else _seq2seq)(model, text, predict, source, kind)
    if model.family == "encoder":
        return _masked(model, text, predict)
    plain = read_text(model, text)
    token = None if predict is None else _one(model, predict, continuation(model.tokenizer, text, predict))
    last = len(plain.ids) - 1
    return _result(model, kind, plain, flow_at(model, model.sites, forward_text(model, plain.ids), last, token), last)


def flow_at(
    model: Any,
    sites: list[nn.Module],
    forward: Callable[[], Any],
    position: int,
    token: int | None,
    network: Any = None,
) -> tuple[NDArray[np.floating], Tensor, int]:
    """A * dL/dA of all layers for the loss of ``token`` at ``position`` of a batch of one.

    Args:
        model: of the package; ``sites``: its attention modules, first layer first.
        forward: one forward pass, whose output has logits ``(1, T, V)``.
        position: the row that predicts; ``token``: its target, the most probable one if it is ``None``.
        network: of ``transformers``, if it is not ``model.model``.

    Returns:
        ``(L, H, Q, K)``; log probabilities of all tokens at the position, ``(V,)``; the target.

    Raises:
        ModelError: no logits, no attention weights, or layers that differ in their number of heads.
        NonFiniteError: a gradient is NaN or infinite.
    """
    scores: Tensor = torch.empty(0, device="cpu")
    target = token

    def loss() -> Tensor:
        nonlocal scores, target
        scores = log_softmax(require_logits(forward(), model.name)[0, position])
        target = int(scores.argmax()) if target is None else target
        return -scores[target]

    found = attention_times_gradient(network or model.model, dict(enumerate(sites, 1)), loss, model.name)
    wide = torch.float64 if model.dtype == torch.float64 else torch.float32
    maps = [values[0].to(wide).cpu().numpy() for values in found.values()]
    if len({values.shape for values in maps}) > 1:
        raise ModelError(f"the layers of {model.name} differ in their heads", remedy="Choose a model of equal layers")
    signed = np.stack(maps)
    if not np.isfinite(signed).all():
        raise NonFiniteError(
            f"the gradients of {model.name} have NaN or infinite values", remedy="Load the model with --dtype float32"
        )
    assert target is not None
    return signed, scores.detach(), target


def _masked(model: Any, text: str, predict: str | None) -> TextFlow:
    tokenizer, mask = model.tokenizer, model.tokenizer.mask_token
    if mask is None:
        raise ModelError(f"the tokenizer of {model.name} has no mask", remedy="Choose a masked language model")
    text = text.replace("[MASK]", mask)
    full = tokenizer.backend_tokenizer.encode(text, add_special_tokens=True)
    ids = np.array(full.ids, dtype=np.int64)
    special = np.array(full.special_tokens_mask, dtype=bool)[:, None]
    spans = np.where(special, -1, np.array(full.offsets, dtype=np.int64).reshape(-1, 2))
    plain = fitting(model, PlainText(text, ids, token_texts(tokenizer, ids), spans))
    places = np.flatnonzero(ids == tokenizer.mask_token_id)
    if len(places) != 1:
        raise InputError(
            f"the text has {len(places)} masks", remedy=f"Write {mask} in place of the one word to predict"
        )
    position, token = int(places[0]), None
    if predict is not None:
        whole = np.array(tokenizer.backend_tokenizer.encode(text.replace(mask, predict.strip())).ids, dtype=np.int64)
        fits = len(whole) == len(ids) and np.array_equal(np.delete(whole, position), np.delete(ids, position))
        token = _one(model, predict, whole[places] if fits else encode(tokenizer, predict, specials=False)[0])
    network = getattr(model, "masked_lm", None) or model.model
    sites = attention_sites(network, "self", model.name)
    found = flow_at(model, sites, forward_text(model, ids, network), position, token, network)
    return _result(model, "self", plain, found, position)


def _seq2seq(model: Any, text: str, predict: str | None, source: str, kind: str) -> TextFlow:
    given, both = (model.tokenize([tuple(t.split())], target=True).ids[0] for t in (text, text + (predict or "")))
    token = None
    if predict is not None:
        more = both[len(given) :] if np.array_equal(both[: len(given)], given) else both[:0]
        if predict in model.tokenizer.all_special_tokens:
            more = np.array([model.tokenizer.convert_tokens_to_ids(predict)])
        token = _one(model, predict, more)
    before, after = model.target_surroundings()
    position = len(before) + len(given)
    # What stands after the row that predicts is not seen by it; the end is needed where the shift takes it in front.
    labels = np.concatenate([before, given, [0 if token is None else token], after]).astype(np.int64)
    return _translated(model, text, source, kind, labels, position, token, position + 1)


def _both_sides(model: Any, text: str, predict: str | None, source: str, kind: str) -> TextFlow:
    """A decoder that sees its whole target: the token at the mask is predicted, in its own row."""
    words = ["[MASK]" if word == model.tokenizer.mask_token else word for word in text.split()]
    if words.count("[MASK]") != 1:
        raise InputError(f"the text has {words.count('[MASK]')} masks", remedy="Write [MASK] in place of one word")
    place = words.index("[MASK]")
    words[place] = (predict or "a").strip()
    tokens = model.tokenize([tuple(words)], target=True)
    ids, inside = tokens.ids[0], np.flatnonzero(tokens.words[0] == place)
    token = None if predict is None else _one(model, predict, ids[inside])
    before, after = model.target_surroundings()
    mask = [model.tokenizer.mask_token_id]
    labels = np.concatenate([before, ids[: inside[0]], mask, ids[inside[-1] + 1 :], after]).astype(np.int64)
    return _translated(model, text, source, kind, labels, len(before) + int(inside[0]), token, len(labels))


def _translated(
    model: Any, text: str, source: str, kind: str, labels: IdArray, position: int, token: int | None, rows: int
) -> TextFlow:
    """The flow of one prediction of an encoder-decoder model; only the first ``rows`` rows of its decoder are kept."""
    words = tuple(source.split())
    read = model.tokenize([words])
    before, after = model.source_surroundings()
    ids = np.concatenate([before, read.ids[0], after])
    layout = Layout(SentencePair("1", words, tuple(text.split())), (ids, labels), {})
    inputs = model.decoder_inputs([layout])[0][0, :rows].cpu().numpy()
    sites = model.sites if kind == "cross" else attention_sites(model.model, kind, model.name)
    signed, scores, target = flow_at(model, sites, lambda: model.forward([layout]), position, token)
    ends = np.cumsum([0, *(len(word) + 1 for word in words)])
    owner = np.concatenate([[-1] * len(before), read.words[0], [-1] * len(after)]).astype(np.int64)
    spans = np.where(owner[:, None] < 0, -1, np.stack([ends[owner], ends[owner + 1] - 1], axis=1))
    plain = PlainText(" ".join(words), ids, token_texts(model.tokenizer, ids), spans)
    if kind == "encoder-self":
        return _result(model, kind, plain, (signed, scores, target), None)
    queries = token_texts(model.tokenizer, inputs, target=True)
    if kind == "decoder-self":
        plain = PlainText(text, inputs, queries, no_spans(rows))
    return _result(model, kind, plain, (signed[:, :, :rows, : len(plain.ids)], scores, target), position, queries)


def _one(model: Any, predict: str, ids: IdArray) -> int:
    """The one id of what is predicted."""
    if len(ids) == 1:
        return int(ids[0])
    if not len(ids):
        raise InputError(f"{predict!r} is no sub-word of its own there", remedy="Begin a word with a space")
    pieces = token_texts(model.tokenizer, ids, target=model.family == "seq2seq")
    raise InputError(
        f"{predict!r} is {len(ids)} sub-words of {model.name} ({', '.join(map(repr, pieces))}); one is predicted",
        remedy="Predict the first, or put all but the last at the end of the text",
    )


def _result(
    model: Any, kind: str, keys: PlainText, flow: tuple[NDArray[np.floating], Tensor, int], position: int | None,
    queries: tuple[str, ...] | None = None,
) -> TextFlow:  # fmt: skip
    """What :func:`flow_at` gave, with names; ``queries``: the keys, if they are ``None``."""
    signed, scores, target = flow
    best = scores.topk(min(5, len(scores)))
    names = token_texts(model.tokenizer, [target, *best.indices.tolist()], target=model.family == "seq2seq")
    causal = kind == "decoder-self" or (kind == "self" and model.family == "decoder")
    quantity = "attention x gradient, nats"
    return TextFlow(
        text_matrix(signed, queries or keys.labels, keys.labels, quantity=quantity, model=model.name),
        kind, causal and not getattr(model, "both_sides", False), keys.text, keys.spans, position, names[0],
        float(scores[target].exp()), 1 + int((scores > scores[target]).sum()),
        tuple(zip(names[1:], best.values.exp().tolist(), strict=True)),
    )  # fmt: skip
