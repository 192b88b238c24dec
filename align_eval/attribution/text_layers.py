"""What each layer of a decoder-only model makes of the tokens of a text: attention, information flow, logit lens.

Logit lens: the state h_{t,l} after layer l is read through the model's own unembedding (nostalgebraist 2020):
p_{t,l} = softmax(W_U norm(h_{t,l})), norm the model's final norm. D_{t,l} = JSD(p_{t,L}, p_{t,l}) in bits, 0 to 1.
Column t is the distribution that PRODUCED token t, so its state stands at position t - 1. ``norm=False`` leaves the
final norm out, as where the hidden states of ``transformers`` are multiplied with W_U. The last layer is the model's
own output in both cases, so that D_{t,L} = 0.
"""

from __future__ import annotations

import contextlib
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from align_eval.attribution.predictions import log_softmax
from align_eval.attribution.text import PlainText, forward_text, require_decoder
from align_eval.attribution.text_flow import flow_at
from align_eval.errors import InputError, ModelError, NonFiniteError, nearest_names
from align_eval.models.attention import AttentionPass
from align_eval.models.double import keep_double
from align_eval.statistics import jensen_shannon

THRESHOLD = 0.5
"""Bits: a token has settled where the divergence is not above this in its layer and in all layers after it."""
Head = int | str
"""A head from 1, or ``"mean"``."""


def find_query(text: PlainText, query: str) -> int:
    """A position (0-based, in the whole text) from what a user names, else InputError.

    A number counts from the answer's first token, -1 is the last; a token is the last one of that name; ``text:13`` is
    a token that looks like a number.
    """
    size = len(text.ids) - text.start
    name = query.removeprefix("text:")
    if name == query and query.removeprefix("-").isdecimal():
        number = int(query)
        if not -size <= number < size:
            raise InputError(f"query {number} of {size} tokens", remedy=f"Choose from {-size} to {size - 1}")
        return text.start + number % size
    places = [k for k in range(text.start, len(text.ids)) if text.labels[k] == name]
    if not places:
        near = nearest_names(name, set(text.labels[text.start :]))
        raise InputError(
            f"no token {name!r}", remedy=f"Choose one of {', '.join(map(repr, near))}" if near else "See the tokens"
        )
    return places[-1]


def attention_row(model: Any, text: PlainText, query: int, *, head: Head = "mean") -> NDArray[np.float64]:
    """The attention weights of one position (0-based), ``(L, T)`` over all tokens of the text; each row sums to 1.

    Raises:
        ModelError: the model is not decoder-only, has no such head, or hands out no weights.
    """
    _check(model, head, "attention by layer and token")
    rows = []
    for _, weights in AttentionPass(
        model.model, dict(enumerate(model.sites, 1)), forward_text(model, text.ids), model.name
    ):
        row = weights[0, :, query].cpu().double()
        rows.append(row.mean(dim=0) if head == "mean" else row[int(head) - 1])
    return np.asarray(torch.stack(rows).numpy())


def flow_row(
    model: Any, text: PlainText, query: int, *, head: Head = "mean", rows: str = "own"
) -> tuple[NDArray[np.float64], int]:
    """The information flow for the token after one position, ``(L, T)`` over all tokens of the text, 0 after ``query``.

    The loss is the cross-entropy of the text's next token; at its end, of the one that the model finds most probable:
    its id is given too. Over heads it is | sum_h A_h * dL/dA_h | (Wang et al. 2023, equation 1), of one head
    | A_h * dL/dA_h |. ``rows``: ``"own"``: what the position itself attends to; ``"all"``: what all positions attend to
    for that prediction.

    Raises:
        ModelError: as :func:`attention_row`.
        NonFiniteError: a gradient is NaN or infinite.
    """
    _check(model, head, "saliency by layer and token")
    after = int(text.ids[query + 1]) if query + 1 < len(text.ids) else None
    signed, _, token = flow_at(model, model.sites, forward_text(model, text.ids[: query + 1]), query, after)
    one = np.abs(signed.sum(axis=1) if head == "mean" else signed[:, int(head) - 1])
    out = np.zeros((len(one), len(text.ids)))
    out[:, : query + 1] = one[:, query] if rows == "own" else one.sum(axis=1)
    return out, token


def _check(model: Any, head: Head, what: str) -> None:
    require_decoder(model, what)
    if head != "mean" and not (isinstance(head, int) and 1 <= head <= model.heads):
        raise ModelError(f"{model.name} has no head {head}", remedy=f"Choose mean, or from 1 to {model.heads}")


class LensDepth(NamedTuple):
    """The logit lens of each layer against the last one, at the T tokens that were produced.

    No score matrix: a map of layers by tokens has no second side, and three quantities.
    """

    tokens: tuple[str, ...]
    #: Where the first of the tokens stands in the text, 0-based.
    first: int
    #: ``(L, T)`` in bits, 0 to 1; the last row is 0 but for rounding.
    divergence: NDArray[np.float64]
    #: ``(L, T)``, what each layer gives to the token.
    probability: NDArray[np.float64]
    #: ``(L, T)``, whether the layer's most probable token is that of the last layer.
    agrees: NDArray[np.bool_]
    #: Whether the final norm was taken before the unembedding.
    norm: bool


def lens_depth(model: Any, text: PlainText, *, norm: bool = True) -> LensDepth:
    """Put each layer of a decoder-only model through its unembedding, at the tokens of an answer.

    Of a text without an answer all tokens are taken but the first, which nothing produced. ``norm``: take the final
    norm before the unembedding.

    Raises:
        InputError: the text has a single token.
        ModelError: the model is not decoder-only, or its output is not W_U norm(h) of its last layer.
        NonFiniteError: a distribution has NaN.
    """
    require_decoder(model, "the logit lens")
    first = max(text.start, 1)
    if len(text.ids) <= first:
        raise InputError("nothing produced the only token of the text", remedy="Give a longer text, or an answer")
    with keep_double(model.dtype), torch.no_grad():
        states, final, own = _states(model, text, slice(first - 1, len(text.ids) - 1))
        last = log_softmax(own)
        produced = torch.from_numpy(text.ids[first:]).to(last.device)
        parts = []
        for layer, state in enumerate(states, 1):
            if layer == len(states):
                scores = log_softmax(_require_same(model, _logits(model, final(state)), own))
            else:
                scores = log_softmax(_logits(model, final(state) if norm else state))
            chances = scores.exp()
            same = scores.argmax(dim=-1) == last.argmax(dim=-1)
            parts.append((jensen_shannon(chances, last.exp()), chances.gather(-1, produced[:, None])[:, 0], same))
    divergence, probability, agrees = (torch.stack(part).cpu() for part in zip(*parts, strict=True))
    if not torch.isfinite(divergence).all():
        raise NonFiniteError(f"the logit lens of {model.name} has NaN", remedy="Load the model with --dtype float32")
    numbers = divergence.numpy().astype(np.float64), probability.numpy().astype(np.float64)
    return LensDepth(text.labels[first:], first, *numbers, agrees.numpy(), norm)


def settling_depth(divergence: NDArray[np.floating], threshold: float = THRESHOLD) -> NDArray[np.int64]:
    """The first layer (from 1) from which on the divergence is not above ``threshold``, ``(T,)``.

    L + 1 where even the last layer's is, which cannot be where it is compared with itself.

    >>> settling_depth(np.array([[0.9, 0.1], [0.2, 0.8], [0.0, 0.0]])).tolist()
    [2, 3]
    """
    above = divergence > threshold
    return np.where(above.any(axis=0), len(above) - above[::-1].argmax(axis=0) + 1, 1).astype(np.int64)


def _states(model: Any, text: PlainText, rows: slice) -> tuple[list[Tensor], nn.Module, Tensor]:
    """The states after each layer at ``rows``, before the final norm ``(T, d)``; that norm; the model's logits."""
    ids = torch.from_numpy(text.ids)[None].to(model.device)
    base = model.model.get_decoder() if hasattr(model.model, "get_decoder") else model.model.base_model
    norms = [module for module in base.children() if "norm" in type(module).__name__.lower()]
    model.require_words_out()
    seen: dict[nn.Module, tuple[Tensor, Tensor]] = {}
    given: list[Tensor] = []

    def hook(module: nn.Module, inputs: tuple[Any, ...], output: Tensor) -> None:
        seen[module] = (inputs[0], output)

    with contextlib.ExitStack() as hooks:
        for module in norms:
            hooks.enter_context(module.register_forward_hook(hook))
        head = model.model.get_output_embeddings()
        hooks.enter_context(head.register_forward_pre_hook(lambda module, inputs: given.append(inputs[0])))
        out = model.model(
            input_ids=ids, attention_mask=torch.ones_like(ids), output_hidden_states=True, use_cache=False
        )
    found = [norm for norm, (_, after) in seen.items() if given and torch.equal(after, given[-1])]
    if not found:
        raise ModelError(
            f"the norm in front of the unembedding of {model.name} is not found",
            remedy="Choose a model whose logits are W_U norm(h), such as Llama, Qwen, Gemma or GPT-2",
        )
    hidden = [state[0, rows] for state in out.hidden_states[1:-1]]
    return [*hidden, seen[found[-1]][0][0, rows]], found[-1], out.logits[0, rows]


def _logits(model: Any, state: Tensor) -> Tensor:
    """The unembedding of ``(T, d)``, with the cap that Gemma 2 puts on it."""
    logits: Tensor = model.model.get_output_embeddings()(state)
    cap = getattr(model.model.config.get_text_config(), "final_logit_softcapping", None)
    return logits if cap is None else cap * (logits / cap).tanh()


def _require_same(model: Any, lens: Tensor, own: Tensor) -> Tensor:
    """The model's own logits, if the lens gives the same for the last layer."""
    tolerance = {torch.float64: 1e-8, torch.float32: 1e-3}.get(own.dtype, 0.1)
    worst = float((lens - own).abs().max())
    if not worst <= tolerance * (1 + float(own.abs().max())):
        raise ModelError(
            f"the output of {model.name} is not W_U norm(h) of its last layer (they differ by {worst:.2g})",
            remedy="Choose a model without further steps after the unembedding",
        )
    return own
