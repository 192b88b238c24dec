"""Information flow of a plain text: what each weight of attention contributes to ONE prediction.

Wang et al. 2023 (arXiv:2305.14160, equation 1): S_{l,h} = | A_h * dL/dA_h |, weight by weight, L the cross-entropy of
one target sub-word at one position; see :mod:`align_eval.signals.information_flow`, which computes the product.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from align_eval.errors import InputError, ModelError, NonFiniteError, UnknownNameError
from align_eval.models.tokens import IdArray
from align_eval.signals.flow_map import TextFlow
from align_eval.signals.text import (
    PlainText,
    continuation,
    encode,
    forward_text,
    read_text,
    text_matrix,
    token_texts,
)

if TYPE_CHECKING:
    from torch import Tensor, nn

KINDS = {"encoder": ("self",), "decoder": ("self",), "seq2seq": ("cross", "decoder-self", "encoder-self")}


def text_flow(
    model: Any, text: str, predict: str | None = None, *, source: str | None = None, kind: str | None = None
) -> TextFlow:
    """The information flow for the cross-entropy of one sub-word.

    Decoder-only: the sub-word after ``text``. Masked language model (an encoder with a head for words): the sub-word
    at the mask of ``text``. Encoder-decoder: the sub-word that goes on after ``text``, a translation of ``source``
    that may be empty; where the decoder sees both sides (conditional masked language model), the one at its mask.

    Args:
        model: of :func:`align_eval.models.load_model`.
        text: what is read.
        predict: the target, one sub-word; ``None``: the one that the model finds most probable.
        source: of an encoder-decoder model, and needed there.
        kind: of :data:`KINDS`; ``None``: the first of the model's family.

    Raises:
        InputError: ``predict`` is not one sub-word, a source too many or too few, no mask or several.
        UnknownNameError: the model has no such attention.
        ModelError: the model predicts no words or hands out no attention weights.
        SentenceTooLongError: the text does not fit the model's window.
        NonFiniteError: a gradient is NaN or infinite.
    """
    kinds = KINDS[model.family]
    if kind is None:
        kind = kinds[0]
    if kind not in kinds:
        raise UnknownNameError(f"attention of the family {model.family}", kind, kinds)
    if (source is not None) != (model.family == "seq2seq"):
        lacking = "a source sentence" if source is None else "no source sentence"
        raise InputError(f"{model.name} is of the family {model.family} and takes {lacking}", remedy="See --source")
    case = {"decoder": _decoder, "encoder": _masked, "seq2seq": _seq2seq}[model.family]
    if getattr(model, "both_sides", False) and model.family == "seq2seq":
        case = _both_sides
    return case(model, text, predict, source or "", kind)


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
        position: the row that predicts.
        token: its target; ``None``: the most probable one.
        network: of ``transformers``, if it is not ``model.model``.

    Returns:
        ``(L, H, Q, K)``; log probabilities of all tokens at the position, ``(V,)``; the target.

    Raises:
        ModelError: no logits, no attention weights, or layers that differ in their number of heads.
        NonFiniteError: a gradient is NaN or infinite.
    """
    import torch

    from align_eval.signals.information_flow import attention_times_gradient

    seen: list[Tensor] = []
    target = token

    def loss() -> Tensor:
        nonlocal target
        logits = getattr(forward(), "logits", None)
        if not isinstance(logits, torch.Tensor):
            raise ModelError(
                f"{model.name} predicts no words: it gives out no logits",
                remedy="Choose a decoder-only model, a translation model, or a masked language model with its head",
            )
        row = logits[0, position]
        scores = row.to(torch.promote_types(row.dtype, torch.float32)).log_softmax(dim=-1)
        seen.append(scores.detach())
        if target is None:
            target = int(scores.argmax())
        return -scores[target]

    found = attention_times_gradient(network or model.model, dict(enumerate(sites, 1)), loss, model.name)
    wide = torch.float64 if model.dtype == torch.float64 else torch.float32
    maps = [found[layer][0].to(wide).cpu().numpy() for layer in sorted(found)]
    if len({values.shape for values in maps}) > 1:
        raise ModelError(f"the layers of {model.name} differ in their heads", remedy="Choose a model of equal layers")
    signed = np.stack(maps)
    if not np.isfinite(signed).all():
        raise NonFiniteError(
            f"the gradients of {model.name} have NaN or infinite values", remedy="Load the model with --dtype float32"
        )
    assert target is not None
    return signed, seen[0], target


def _decoder(model: Any, text: str, predict: str | None, source: str, kind: str) -> TextFlow:
    plain = read_text(model, text)
    token = None if predict is None else _one(model, predict, continuation(model.tokenizer, text, predict))
    signed, scores, target = flow_at(model, model.sites, forward_text(model, plain.ids), len(plain.ids) - 1, token)
    return _result(model, kind, plain.labels, plain, signed, len(plain.ids) - 1, scores, target)


def _masked(model: Any, text: str, predict: str | None, source: str, kind: str) -> TextFlow:
    from align_eval.models.attention import attention_sites

    tokenizer, mask = model.tokenizer, model.tokenizer.mask_token
    if mask is None:
        raise ModelError(f"the tokenizer of {model.name} has no mask", remedy="Choose a masked language model")
    text = text.replace("[MASK]", mask)
    full = tokenizer.backend_tokenizer.encode(text, add_special_tokens=True)
    ids = np.array(full.ids, dtype=np.int64)
    spans = np.array(
        [(-1, -1) if special else pair for special, pair in zip(full.special_tokens_mask, full.offsets, strict=True)],
        dtype=np.int64,
    ).reshape(-1, 2)
    places = np.flatnonzero(ids == tokenizer.mask_token_id)
    if len(places) != 1:
        raise InputError(
            f"the text has {len(places)} masks", remedy=f"Write {mask} in place of the one word to predict"
        )
    if len(ids) > model.max_length:
        raise InputError(f"the text has {len(ids)} sub-words, the window is {model.max_length}", remedy="Shorten it")
    token = None
    if predict is not None:
        whole = np.array(tokenizer.backend_tokenizer.encode(text.replace(mask, predict.strip())).ids, dtype=np.int64)
        rest = np.delete(ids, places[0])
        fits = len(whole) == len(ids) and np.array_equal(np.delete(whole, places[0]), rest)
        token = _one(model, predict, whole[places] if fits else encode(tokenizer, predict, specials=False)[0])
    plain = PlainText(text, ids, token_texts(tokenizer, ids), spans)
    network = getattr(model, "masked_lm", None) or model.model
    sites = attention_sites(network, "self", model.name)
    signed, scores, target = flow_at(model, sites, forward_text(model, ids, network), int(places[0]), token, network)
    return _result(model, kind, plain.labels, plain, signed, int(places[0]), scores, target)


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
    """A decoder that sees its whole target: the sub-word at the mask is predicted, in its own row."""
    words = ["[MASK]" if word == model.tokenizer.mask_token else word for word in text.split()]
    if words.count("[MASK]") != 1:
        raise InputError(f"the text has {words.count('[MASK]')} masks", remedy="Write [MASK] in place of one word")
    place = words.index("[MASK]")
    words[place] = (predict or "a").strip()
    tokens = model.tokenize([tuple(words)], target=True)
    ids, inside = tokens.ids[0], np.flatnonzero(tokens.words[0] == place)
    token = None if predict is None else _one(model, predict, ids[inside])
    ids = np.concatenate([ids[: inside[0]], [model.tokenizer.mask_token_id], ids[inside[-1] + 1 :]])
    before, after = model.target_surroundings()
    labels = np.concatenate([before, ids, after]).astype(np.int64)
    return _translated(model, text, source, kind, labels, len(before) + int(inside[0]), token, len(labels))


def _translated(
    model: Any, text: str, source: str, kind: str, labels: IdArray, position: int, token: int | None, rows: int
) -> TextFlow:
    """The flow of one prediction of an encoder-decoder model; only the first ``rows`` rows of its decoder are kept."""
    from align_eval.corpora import SentencePair
    from align_eval.models.attention import attention_sites
    from align_eval.models.pairs import Layout

    words = tuple(source.split())
    read = model.tokenize([words])
    before, after = model.source_surroundings()
    ids = np.concatenate([before, read.ids[0], after])
    layout = Layout(SentencePair("1", words, tuple(text.split())), (ids, labels), {})
    inputs = model.decoder_inputs([layout])[0][0, :rows].cpu().numpy()
    sites = model.sites if kind == "cross" else attention_sites(model.model, kind, model.name)
    signed, scores, target = flow_at(model, sites, lambda: model.forward([layout]), position, token)
    queries = token_texts(model.tokenizer, inputs, target=True)
    ends = np.cumsum([0, *(len(word) + 1 for word in words)])
    owner = np.concatenate([[-1] * len(before), read.words[0], [-1] * len(after)]).astype(np.int64)
    spans = np.stack([np.where(owner < 0, -1, ends[owner]), np.where(owner < 0, -1, ends[owner + 1] - 1)], axis=1)
    plain = PlainText(" ".join(words), ids, token_texts(model.tokenizer, ids), spans)
    if kind == "encoder-self":
        return _result(model, kind, plain.labels, plain, signed, None, scores, target)
    signed = signed[:, :, :rows]
    if kind == "decoder-self":
        signed = signed[..., :rows]
        plain = PlainText(text, inputs, queries, np.full((rows, 2), -1, dtype=np.int64))
    return _result(model, kind, queries, plain, signed, position, scores, target)


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
    model: Any, kind: str, queries: tuple[str, ...], keys: PlainText, signed: NDArray[np.floating],
    position: int | None, scores: Tensor, target: int,
) -> TextFlow:  # fmt: skip
    best = scores.topk(min(5, len(scores)))
    names = token_texts(model.tokenizer, [target, *best.indices.tolist()], target=model.family == "seq2seq")
    matrix = text_matrix(signed, queries, keys.labels, quantity="attention x gradient, nats", model=model.name)
    causal = kind == "decoder-self" or (kind == "self" and model.family == "decoder")
    return TextFlow(
        matrix,
        kind,
        causal and not getattr(model, "both_sides", False),
        keys.text,
        keys.spans,
        position,
        names[0],
        float(scores[target].exp()),
        1 + int((scores > scores[target]).sum()),
        tuple(zip(names[1:], best.values.exp().tolist(), strict=True)),
    )
