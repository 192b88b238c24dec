"""Logit lens depth: how far each layer's prediction of a token is from that of the last layer.

The state h_{t,l} after layer l is read through the model's own unembedding (logit lens: nostalgebraist 2020):
p_{t,l} = softmax(W_U norm(h_{t,l})), norm the model's final norm. D_{t,l} = JSD(p_{t,L}, p_{t,l}) in bits, 0 to 1.
Column t is the distribution that PRODUCED token t, so its state stands at position t - 1.

``norm=False`` leaves the final norm out, as where the hidden states of ``transformers`` are multiplied with W_U. The
last layer is the model's own output in both cases, so that D_{t,L} = 0.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from align_eval.errors import InputError, ModelError, NonFiniteError
from align_eval.signals.plain_text import PlainText, require_decoder
from align_eval.statistics import jensen_shannon

if TYPE_CHECKING:
    from torch import Tensor, nn

THRESHOLD = 0.5
"""Bits: a token has settled where the divergence is not above this in its layer and in all layers after it."""


@dataclass(frozen=True)
class LensDepth:
    """The logit lens of each layer against the last one, at the tokens of an answer.

    Attributes:
        model: name of the model.
        tokens: the T tokens that were produced.
        first: where the first of them stands in the text, 0-based.
        divergence: ``(L, T)`` in bits, 0 to 1; the last row is 0 but for rounding.
        probability: ``(L, T)``, what each layer gives to the token.
        agrees: ``(L, T)`` bool, whether the layer's most probable token is that of the last layer.
        norm: whether the final norm was taken before the unembedding.
    """

    model: str
    tokens: tuple[str, ...]
    first: int
    divergence: NDArray[np.float64]
    probability: NDArray[np.float64]
    agrees: NDArray[np.bool_]
    norm: bool


def lens_depth(model: Any, text: PlainText, *, norm: bool = True) -> LensDepth:
    """Read each layer of a decoder-only model through its unembedding, at the tokens of an answer.

    Args:
        model: of :func:`align_eval.models.load_model`.
        text: of :mod:`align_eval.signals.plain_text`; of a text without an answer, all tokens but the first, which
            nothing produced.
        norm: take the final norm before the unembedding.

    Raises:
        InputError: the text has a single token.
        ModelError: the model is not decoder-only, or its output is not W_U norm(h) of its last layer.
        NonFiniteError: a distribution has NaN.
    """
    import torch

    from align_eval.models.double import keep_double

    require_decoder(model, "the logit lens")
    first = max(text.start, 1)
    if len(text.ids) <= first:
        raise InputError("nothing produced the only token of the text", remedy="Give a longer text, or an answer")
    rows = slice(first - 1, len(text.ids) - 1)
    with keep_double(model.dtype), torch.no_grad():
        states, final, own = _states(model, text, rows)
        last = _log_softmax(own)
        produced = torch.from_numpy(text.ids[first:]).to(last.device)
        divergence, probability, agrees = [], [], []
        for layer, state in enumerate(states, 1):
            if layer == len(states):
                scores = _log_softmax(_require_same(model, _logits(model, final(state)), own))
            else:
                scores = _log_softmax(_logits(model, final(state) if norm else state))
            divergence.append(jensen_shannon(scores.exp(), last.exp()))
            probability.append(scores.gather(-1, produced[:, None])[:, 0].exp())
            agrees.append(scores.argmax(dim=-1) == last.argmax(dim=-1))
    values = torch.stack(divergence).cpu().double().numpy()
    if not np.isfinite(values).all():
        raise NonFiniteError(f"the logit lens of {model.name} has NaN", remedy="Load the model with --dtype float32")
    return LensDepth(
        model.name,
        text.labels[first:],
        first,
        values,
        torch.stack(probability).cpu().double().numpy(),
        torch.stack(agrees).cpu().numpy(),
        norm,
    )


def settling_depth(divergence: NDArray[np.floating], threshold: float = THRESHOLD) -> NDArray[np.int64]:
    """The first layer (from 1) from which on the divergence is not above ``threshold``, ``(T,)``.

    L + 1 where even the last layer's is, which cannot be where it is compared with itself.

    >>> settling_depth(np.array([[0.9, 0.1], [0.2, 0.8], [0.0, 0.0]])).tolist()
    [2, 3]
    """
    above = divergence > threshold
    layers = len(above)
    last = layers - above[::-1].argmax(axis=0)
    return np.where(above.any(axis=0), last + 1, 1).astype(np.int64)


def _states(model: Any, text: PlainText, rows: slice) -> tuple[list[Tensor], nn.Module, Tensor]:
    """The states after each layer at ``rows``, before the final norm ``(T, d)``; that norm; the model's logits."""
    import torch

    ids = torch.from_numpy(text.ids)[None].to(model.device)
    base = model.model.get_decoder() if hasattr(model.model, "get_decoder") else model.model.base_model
    norms = [module for module in base.children() if "norm" in type(module).__name__.lower()]
    model.require_words_out()
    seen: dict[int, tuple[Tensor, Tensor]] = {}
    given: list[Tensor] = []

    def keep(place: int) -> Any:
        def hook(module: nn.Module, inputs: tuple[Any, ...], output: Tensor) -> None:
            seen[place] = (inputs[0], output)

        return hook

    handles = [module.register_forward_hook(keep(k)) for k, module in enumerate(norms)]
    head = model.model.get_output_embeddings()
    handles.append(head.register_forward_pre_hook(lambda module, inputs: given.append(inputs[0])))
    try:
        out = model.model(
            input_ids=ids, attention_mask=torch.ones_like(ids), output_hidden_states=True, use_cache=False
        )
    finally:
        for handle in handles:
            handle.remove()
    found = [k for k, (_, after) in seen.items() if given and after.shape == given[-1].shape and after.equal(given[-1])]
    if not found:
        raise ModelError(
            f"the norm in front of the unembedding of {model.name} is not found",
            remedy="Choose a model whose logits are W_U norm(h), such as Llama, Qwen, Gemma or GPT-2",
        )
    hidden = [state[0, rows] for state in out.hidden_states[1:-1]]
    return [*hidden, seen[found[-1]][0][0, rows]], norms[found[-1]], out.logits[0, rows]


def _logits(model: Any, state: Tensor) -> Tensor:
    """The unembedding of ``(T, d)``, with the cap that Gemma 2 puts on it."""
    logits: Tensor = model.model.get_output_embeddings()(state)
    cap = getattr(model.model.config.get_text_config(), "final_logit_softcapping", None)
    return logits if cap is None else cap * (logits / cap).tanh()


def _require_same(model: Any, lens: Tensor, own: Tensor) -> Tensor:
    """The model's own logits, if the lens gives the same for the last layer."""
    import torch

    tolerance = {torch.float64: 1e-8, torch.float32: 1e-3}.get(own.dtype, 0.1)
    worst = float((lens - own).abs().max())
    if not worst <= tolerance * (1 + float(own.abs().max())):
        raise ModelError(
            f"the output of {model.name} is not W_U norm(h) of its last layer (they differ by {worst:.2g})",
            remedy="Choose a model without further steps after the unembedding",
        )
    return own


def _log_softmax(logits: Tensor) -> Tensor:
    import torch

    return logits.to(torch.promote_types(logits.dtype, torch.float32)).log_softmax(dim=-1)
