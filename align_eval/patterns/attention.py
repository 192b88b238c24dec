"""The attention of a model over a text, to be binarised into patterns: any family, any layer and head."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

import numpy as np

from align_eval.attribution.matrix import at_least_float32
from align_eval.attribution.text import TextScores, encode, forward_text, text_matrix, token_texts
from align_eval.errors import InputError, SentenceTooLongError, UnknownNameError
from align_eval.models.attention import AttentionPass, attention_sites, check_rows
from align_eval.patterns.base import MASK_KINDS, BoolArray, Evidence
from align_eval.patterns.detector import Detection, binarise, detect, fit_kind

PARTS = {"encoder": ("self",), "decoder": ("self",), "seq2seq": ("encoder-self", "cross", "decoder-self")}
"""The kinds of attention of each family of models."""
# A forward pass to be run, its queries and keys, whether it is causal, and how many tokens the text has.
_Pass = tuple[Callable[[], Any], tuple[str, ...], tuple[str, ...], bool, int]


@dataclass(frozen=True)
class TextAttention(TextScores):
    """The attention of one text; rows sum to 1. ``kind`` is one of :data:`PARTS`.

    Attributes:
        read, of: how many tokens were read, of how many that the text has.
    """

    read: int
    of: int


@dataclass(frozen=True)
class HeadPattern:
    """What the detector says of one head: ``layer`` and ``head`` from 1, its pattern, and the detection."""

    layer: int
    head: int
    pattern: BoolArray
    detection: Detection


def text_attention(
    model: Any,
    text: str,
    *,
    layers: Sequence[int] | None = None,
    target: str | None = None,
    part: str | None = None,
    tokens: int | None = None,
) -> TextAttention:
    """Run a model over a text and keep its attention.

    Args:
        model: of :func:`align_eval.models.load_model`.
        text: what is read; the source of an encoder-decoder model.
        layers: numbers from 1; ``None``: all.
        target: the translation, of an encoder-decoder model alone; needed for ``cross`` and ``decoder-self``.
        part: of :data:`PARTS`; ``None``: the first of the family, ``cross`` if a target is given.
        tokens: read only so many sub-words of the text, special ones counted (not of an encoder-decoder model).

    Raises:
        UnknownNameError: the model has no such attention.
        InputError: no such layer, a target too many or too few, fewer sub-words than ``tokens``.
        SentenceTooLongError: the text does not fit the model's window.
        ModelError, NonFiniteError: see :func:`align_eval.models.attention.check_rows`.
    """
    parts = PARTS[model.family]
    if part is None:
        part = "cross" if target is not None and model.family == "seq2seq" else parts[0]
    if part not in parts:
        raise UnknownNameError(f"attention of the family {model.family}", part, parts)
    if model.family == "seq2seq":
        run, queries, keys, causal, of = _seq2seq(model, text, target, part, tokens)
    else:
        run, queries, keys, causal, of = _plain(model, text, target, tokens)
    sites = attention_sites(model.model, part, model.name)
    wanted = sorted(set(range(1, len(sites) + 1) if layers is None else layers))
    for layer in wanted:
        if not 1 <= layer <= len(sites):
            raise InputError(f"{model.name} has no layer {layer}", remedy=f"Choose from 1 to {len(sites)}")
    if not wanted:
        raise InputError("no layer is asked for", remedy=f"Choose from 1 to {len(sites)}")
    found = []
    chosen = {layer: sites[layer - 1] for layer in wanted}
    for layer, weights in AttentionPass(model.model, chosen, run, model.name):
        wide = at_least_float32(weights)
        check_rows(wide, layer, model.name, model.dtype)
        found.append(wide[0].cpu().numpy())
    matrix = text_matrix(
        np.stack(found), queries, keys, quantity="attention weight", model=model.name, layers=wanted,
        distribution=True,
    )  # fmt: skip
    return TextAttention(matrix, part, causal, len(keys), of)


def scan_heads(
    attention: TextAttention, *, mass: float | None = None, weight: float | None = None
) -> Iterator[HeadPattern]:
    """The detector's word on every head, layer by layer; see :func:`~align_eval.patterns.detector.binarise`.

    Heads with equal patterns are detected once: with a mass of 1, which shows the mask, those of a layer are equal.

    Raises:
        InputError: cross-attention, whose patterns are not square; a bad rule.
    """
    known: dict[bytes, Detection] = {}
    for layer, head, pattern in _patterns(attention, mass, weight):
        key = sha256(np.packbits(pattern).tobytes()).digest()
        if key not in known:
            known[key] = detect(pattern, causal=attention.causal or None)
        yield HeadPattern(layer, head, pattern, known[key])


def _patterns(
    attention: TextAttention, mass: float | None, weight: float | None
) -> Iterator[tuple[int, int, BoolArray]]:
    """Layer, head and binarised attention of each head."""
    if not attention.square:
        raise InputError(
            f"{attention.kind} attention of {attention.model}: kinds of masks are of square patterns",
            remedy="Take self-attention, not cross-attention",
        )
    for layer, values in zip(attention.layers, attention.values, strict=True):
        for head, pattern in enumerate(binarise(values, mass=mass, weight=weight), 1):
            yield int(layer), head, pattern


def clearest(
    attention: TextAttention, kind: str, *, mass: float | None = None, weight: float | None = None
) -> HeadPattern:
    """The head that a kind explains most clearly.

    Of the heads whose best kind it is, the one whose description it shortens most, in bits, against independent cells
    of one density (:attr:`~align_eval.patterns.detector.Detection.bits_saved`): a rule that asks for much structure,
    and does not prefer heads that attend to next to nothing, which any mask of few cells explains. All heads are
    fitted by the kind alone, and those that it shortens most are given to the detector in turn.

    Args:
        attention: of square maps.
        kind: its name.
        mass, weight: see :func:`~align_eval.patterns.detector.binarise`.

    Raises:
        UnknownNameError: no such kind.
        InputError: no head is of that kind; cross-attention; a bad rule.
    """
    wanted = MASK_KINDS.get(kind)
    saved: list[tuple[float, int, int, BoolArray]] = []
    for layer, head, pattern in _patterns(attention, mass, weight):
        evidence = Evidence(pattern, attention.causal or None)
        fit = fit_kind(wanted, evidence)
        if fit is not None and fit.bits < evidence.unstructured_bits:
            saved.append((fit.bits - evidence.unstructured_bits, layer, head, pattern))
    for _, layer, head, pattern in sorted(saved, key=lambda item: item[:3]):
        detection = detect(pattern, causal=attention.causal or None)
        if detection.best.name == wanted.name:
            return HeadPattern(layer, head, pattern, detection)
    raise InputError(
        f"no head of {attention.model} is best explained by {kind}", remedy="Name another kind, or another text"
    )


def _plain(model: Any, text: str, target: str | None, tokens: int | None) -> _Pass:
    """An encoder or a decoder-only model over one text."""
    if target is not None:
        raise InputError(f"{model.name} is of the family {model.family} and takes no target", remedy="Leave it out")
    decoder = model.family == "decoder"
    if decoder:
        before, body, after = np.zeros(0, dtype=np.int64), encode(model.tokenizer, text)[0], np.zeros(0, dtype=np.int64)
    else:
        before, body, after = model.prefix, model.tokenize([text.split()]).ids[0], model.suffix
    of = len(before) + len(body) + len(after)
    if not len(body):
        raise InputError("the text has no sub-word", remedy="Give a text")
    if tokens is not None:
        least = len(before) + len(after) + 1
        if not least <= tokens <= of:
            raise InputError(f"{tokens} of the text's {of} sub-words", remedy=f"Ask for {least} to {of}, or give more")
        body = body[: tokens - len(before) - len(after)]
    ids = np.concatenate([before, body, after])
    if len(ids) > model.max_length:
        raise SentenceTooLongError(
            f"the text has {len(ids)} sub-words, the window of {model.name} is {model.max_length}",
            remedy=f"Shorten it, or read a part (--n {model.max_length})",
        )
    labels = token_texts(model.tokenizer, ids)
    return forward_text(model, ids), labels, labels, decoder, of


def _seq2seq(model: Any, text: str, target: str | None, part: str, tokens: int | None) -> _Pass:
    """An encoder-decoder model over a source and its translation."""
    from align_eval.corpora import SentencePair

    if tokens is not None:
        raise InputError(f"{model.name} reads whole sentences", remedy="Leave out --n, or shorten the text")
    if target is None and part != "encoder-self":
        raise InputError(f"{part} attention of {model.name} needs a target", remedy="Give the translation (--target)")
    words = tuple(text.split())
    if not words:
        raise InputError("the text has no sub-word", remedy="Give a text")
    # The encoder is done before the decoder begins: what the target is does not matter to it.
    (layout,) = model.lay_out([SentencePair("1", words, words if target is None else tuple(target.split()))])
    source = token_texts(model.tokenizer, layout.inputs[0])
    rows = layout.blocks[model.readings[0]][0].row_labels
    if len(rows) == len(layout.inputs[1]):  # rows are named after what they give out
        rows = token_texts(model.tokenizer, layout.inputs[1], target=True)
    if part == "decoder-self":
        rows = token_texts(model.tokenizer, model.decoder_inputs([layout])[0][0].cpu().numpy(), target=True)
    queries = source if part == "encoder-self" else rows
    keys = rows if part == "decoder-self" else source
    causal = part == "decoder-self" and "awi" in model.readings
    return (lambda: model.forward([layout])), queries, keys, causal, len(keys)
