"""A plain text as a model reads it: its tokens, one forward pass over them, and the scores of all heads."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from align_eval.attribution.matrix import ScoreMatrix, Side, View
from align_eval.errors import InputError, ModelError, SentenceTooLongError
from align_eval.models.tokens import IdArray, readable

_SHOWN = str.maketrans({"\n": "↵", "\t": "⇥", "\r": "←"})


@dataclass(frozen=True)
class PlainText:
    """A text in tokens."""

    #: What was read, a chat template and an answer included.
    text: str
    #: ``(T,)``.
    ids: IdArray
    #: Each token as a person reads it, see :func:`token_texts`.
    labels: tuple[str, ...]
    #: First and last + 1 character of each token in ``text``, ``(T, 2)``; see :func:`no_spans`.
    spans: IdArray
    #: The first token of the answer (0-based); 0 if the whole text is meant.
    start: int = 0


@dataclass(frozen=True)
class TextScores:
    """The scores of every layer and head of a model over one text, or over a source and its translation.

    Attributes:
        matrix: of one pair: what attends is its target, what is attended to its source; every token is a unit.
        kind: which attention: ``self``, ``cross``, ``decoder-self``, ``encoder-self``.
        causal: whether a row attends only to what stands before it.
    """

    matrix: ScoreMatrix
    kind: str
    causal: bool

    @property
    def model(self) -> str:
        """The name of the model."""
        return self.matrix.model

    @property
    def layers(self) -> tuple[int, ...]:
        """The layers kept, from 1."""
        return tuple(int(layer) for layer in self.matrix.layers)

    @property
    def queries(self) -> tuple[str, ...]:
        """The tokens of the rows; a row is named after its input."""
        return self.matrix.queries.units(0)

    @property
    def keys(self) -> tuple[str, ...]:
        """The tokens of the columns."""
        return self.matrix.keys.units(0)

    @property
    def values(self) -> NDArray[np.floating]:
        """``(layers, heads, queries, keys)``."""
        return np.asarray(self.matrix.by_head().numpy())

    @property
    def square(self) -> bool:
        """Whether rows and columns are the same tokens."""
        return self.kind != "cross"

    def head(self, layer: int, head: int) -> NDArray[np.floating]:
        """The scores ``(queries, keys)`` of a layer and a head, both from 1; InputError: not among those kept."""
        return np.asarray(self.matrix.select(layer, head).by_head()[0, 0].numpy())


def text_matrix(
    values: NDArray[np.floating], queries: Sequence[str], keys: Sequence[str], *, quantity: str, model: str,
    layers: Sequence[int] | None = None, distribution: bool = False,
) -> ScoreMatrix:  # fmt: skip
    """Scores ``(layers, heads, queries, keys)`` over one text as a matrix; ``layers``: their numbers, from 1."""
    source, target = (
        Side(torch.arange(len(units), device="cpu")[None], (len(units),), (len(units),), labels=(tuple(units),))
        for units in (keys, queries)
    )
    numbers = range(1, len(values) + 1) if layers is None else layers
    views = tuple(View(layer, head, "") for layer in numbers for head in range(1, values.shape[1] + 1))
    turned = torch.from_numpy(np.ascontiguousarray(values)).flatten(0, 1)[:, None].transpose(-1, -2)
    return ScoreMatrix(turned, source, target, views, quantity, distribution, model)


def forward_text(model: Any, ids: IdArray, network: Any = None) -> Callable[[], Any]:
    """A forward pass of an encoder or a decoder-only model over ids ``(T,)``; ``network``: if not ``model.model``."""
    given = torch.from_numpy(ids)[None].to(model.device)
    options = {"use_cache": False} if model.family == "decoder" else {}
    return lambda: (network or model.model)(input_ids=given, attention_mask=torch.ones_like(given), **options)


def token_texts(tokenizer: Any, ids: Any, *, target: bool = False) -> tuple[str, ...]:
    """Tokens without the mark of a word's beginning; white space is shown: ``␣``, ``↵``, ``⇥``.

    ``target``: of the target side of a tokenizer with two vocabularies.
    """
    bare = [label.replace("▁", " ").replace("Ġ", " ") for label in readable(tokenizer, ids, target=target)]
    return tuple((label.strip(" ") or "␣" * max(1, len(label))).translate(_SHOWN) for label in bare)


def no_spans(count: int) -> IdArray:
    """The spans ``(count, 2)`` of tokens that stand nowhere in the text (special or generated ones): -1."""
    return np.full((count, 2), -1, dtype=np.int64)


def encode(tokenizer: Any, text: str, *, specials: bool = True) -> tuple[IdArray, IdArray]:
    """Ids ``(T,)`` and character spans ``(T, 2)`` of a text, with the special tokens that stand in front of it only.

    Raises:
        ModelError: the tokenizer does not say where its tokens stand in the text.
    """
    if not getattr(tokenizer, "is_fast", False):
        raise ModelError(
            f"the tokenizer {type(tokenizer).__name__} does not say where its sub-words stand in the text",
            remedy="Choose a model with a fast tokenizer (tokenizer.json)",
        )
    backend = tokenizer.backend_tokenizer
    backend.no_truncation()
    backend.no_padding()
    bare = backend.encode(text, add_special_tokens=False)
    full = backend.encode(text, add_special_tokens=True).ids if specials else bare.ids
    size = len(bare.ids)
    front = next((k for k in range(len(full) - size + 1) if full[k : k + size] == bare.ids), 0)
    spans = np.array(bare.offsets, dtype=np.int64).reshape(-1, 2)
    return np.array([*full[:front], *bare.ids], dtype=np.int64), np.concatenate([no_spans(front), spans])


def continuation(tokenizer: Any, text: str, more: str) -> IdArray:
    """The ids of ``more`` where it goes on after ``text``; those of ``more`` alone if they share a token."""
    ids, both = encode(tokenizer, text)[0], encode(tokenizer, text + more)[0]
    if np.array_equal(both[: len(ids)], ids):
        return both[len(ids) :]
    return encode(tokenizer, more, specials=False)[0]


def read_text(model: Any, prompt: str, answer: str = "", *, chat: bool = False) -> PlainText:
    """A prompt and an answer as a decoder-only model reads them.

    Args:
        model: of :func:`align_eval.models.load_model`.
        prompt: what stands before the answer.
        answer: "" if the prompt is the whole text; it begins at :attr:`PlainText.start`.
        chat: write the prompt in the model's chat format, as the user's turn.

    Raises:
        InputError: there is no token to read.
        ModelError: the model has no chat format.
        SentenceTooLongError: the text does not fit the model's window.
    """
    tokenizer = model.tokenizer
    before = prompt
    if chat:
        if not getattr(tokenizer, "chat_template", None):
            raise ModelError(
                f"{model.name} has no chat format", remedy="Leave out --chat, or choose a model trained to answer"
            )
        turns = [{"role": "user", "content": prompt}]
        before = str(tokenizer.apply_chat_template(turns, add_generation_prompt=True, tokenize=False))
    ids, spans = encode(tokenizer, before, specials=not chat)
    more = continuation(tokenizer, before, answer) if answer else ids[:0]
    whole = np.concatenate([ids, more])
    spans = np.concatenate([spans, no_spans(len(more))])
    plain = PlainText(before + answer, whole, token_texts(tokenizer, whole), spans, len(ids) if answer else 0)
    return fitting(model, plain)


def fitting(model: Any, plain: PlainText) -> PlainText:
    """The text, if it has a token (else InputError) and fits the model's window (else SentenceTooLongError)."""
    if not len(plain.ids):
        raise InputError("the text has no sub-word", remedy="Give a text")
    if len(plain.ids) > model.max_length:
        raise SentenceTooLongError(
            f"the text has {len(plain.ids)} sub-words, the window of {model.name} is {model.max_length}",
            remedy="Shorten it",
        )
    return plain


def generate_text(model: Any, prompt: str, count: int, *, chat: bool = False) -> PlainText:
    """A prompt, see :func:`read_text`, and the answer of a decoder-only model: each time the most probable token.

    The answer has ``count`` tokens at most; the token that ends it is left out.

    Raises:
        InputError: ``count`` is less than 1, or the model ends its answer at once.
        ModelError: the model has no chat format.
        SentenceTooLongError: prompt and ``count`` do not fit the model's window.
    """
    if count < 1:
        raise InputError(f"an answer of {count} sub-words", remedy="Generate at least 1")
    if hasattr(model, "require_words_out"):
        model.require_words_out()
    given = read_text(model, prompt, chat=chat)
    if len(given.ids) + count > model.max_length:
        raise SentenceTooLongError(
            f"{len(given.ids)} sub-words and {count} more, the window of {model.name} is {model.max_length}",
            remedy="Generate fewer, or shorten the prompt",
        )
    ids = torch.from_numpy(given.ids)[None].to(model.device)
    with torch.inference_mode():
        out = model.model.generate(
            ids, attention_mask=torch.ones_like(ids), max_new_tokens=count, do_sample=False,
            pad_token_id=model.tokenizer.pad_token_id,
        )  # fmt: skip
    answer = out[0, len(given.ids) :].cpu().numpy()
    ends = {model.tokenizer.eos_token_id, *np.atleast_1d(model.model.generation_config.eos_token_id).tolist()}
    while len(answer) and int(answer[-1]) in ends:
        answer = answer[:-1]
    if not len(answer):
        raise InputError(f"{model.name} gives no answer to {prompt!r}", remedy="Ask otherwise, or with --chat")
    text = given.text + model.tokenizer.decode(answer.tolist())
    labels = (*given.labels, *token_texts(model.tokenizer, answer))
    spans = np.concatenate([given.spans, no_spans(len(answer))])
    return PlainText(text, np.concatenate([given.ids, answer]), labels, spans, len(given.ids))


def require_decoder(model: Any, what: str) -> None:
    """Check that a model is decoder-only, else ModelError."""
    if getattr(model, "family", None) != "decoder":
        raise ModelError(
            f"{what} is read from decoder-only models; {getattr(model, 'name', model)} is of the family "
            f"{getattr(model, 'family', type(model).__name__)}",
            remedy="Choose a decoder-only model, such as offline:smollm2-135m",
        )
