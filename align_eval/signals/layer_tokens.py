"""What one position reads from each token, layer by layer: its attention, or its information flow."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from align_eval.errors import InputError, ModelError
from align_eval.signals.plain_text import PlainText, require_decoder

if TYPE_CHECKING:
    from torch import Tensor

Head = int | str
"""A head from 1, or ``"mean"``."""


def find_query(text: PlainText, query: str) -> int:
    """A position (0-based, in the whole text) from what a user names.

    Args:
        text: the text; positions count from the answer's first token.
        query: a number: 0 is the first token drawn, -1 the last; or a token, the last one of that name; ``text:13``
            for a token that looks like a number.

    Raises:
        InputError: there is no such position or token.
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
        from align_eval.errors import nearest_names

        near = nearest_names(name, set(text.labels[text.start :]))
        raise InputError(
            f"no token {name!r}", remedy=f"Choose one of {', '.join(map(repr, near))}" if near else "See the tokens"
        )
    return places[-1]


def attention_row(model: Any, text: PlainText, query: int, *, head: Head = "mean") -> NDArray[np.float64]:
    """The attention weights of one position, ``(L, T)`` over all tokens of the text; each row sums to 1.

    Args:
        model: a decoder-only model of :func:`align_eval.models.load_model`.
        text: what is read.
        query: the position, 0-based.
        head: one head, or the mean over all.

    Raises:
        ModelError: the model is not decoder-only, has no such head, or hands out no weights.
    """
    import torch

    from align_eval.models.attention import capture_attention

    require_decoder(model, "attention by layer and token")
    _check_head(model, head)
    rows: list[Tensor] = []

    def take(layer: int, weights: Tensor) -> None:
        row = weights[0, :, query].cpu().double()
        rows.append(row.mean(dim=0) if head == "mean" else row[int(head) - 1])

    ids = torch.from_numpy(text.ids)[None].to(model.device)
    capture_attention(
        model.model,
        dict(enumerate(model.sites, 1)),
        lambda: model.model(input_ids=ids, attention_mask=torch.ones_like(ids), use_cache=False),
        take,
        model.name,
    )
    return np.asarray(torch.stack(rows).cpu().numpy())


def flow_row(
    model: Any, text: PlainText, query: int, *, head: Head = "mean", rows: str = "own"
) -> tuple[NDArray[np.float64], int]:
    """The information flow for the token after one position, ``(L, T)`` over all tokens of the text.

    The loss is the cross-entropy of the text's next token; at its end, of the one that the model finds most probable.
    Over heads it is | sum_h A_h * dL/dA_h | (Wang et al. 2023, equation 1), of one head | A_h * dL/dA_h |.

    Args:
        model, text, query: see :func:`attention_row`.
        head: one head; ``"mean"``: all together, summed before the absolute value.
        rows: ``"own"``: what the position itself reads; ``"all"``: what all positions read for that prediction.

    Returns:
        the flow, 0 after ``query``; the id of the predicted token.

    Raises:
        ModelError: as :func:`attention_row`.
        NonFiniteError: a gradient is NaN or infinite.
    """
    import torch

    from align_eval.signals.text_flow import flow_at

    require_decoder(model, "saliency by layer and token")
    _check_head(model, head)
    ids = torch.from_numpy(text.ids[: query + 1])[None].to(model.device)
    after = int(text.ids[query + 1]) if query + 1 < len(text.ids) else None
    signed, _, token = flow_at(
        model,
        model.sites,
        lambda: model.model(input_ids=ids, attention_mask=torch.ones_like(ids), use_cache=False),
        query,
        after,
    )
    one = np.abs(signed.sum(axis=1) if head == "mean" else signed[:, int(head) - 1])
    row = one[:, query] if rows == "own" else one.sum(axis=1)
    out = np.zeros((len(row), len(text.ids)))
    out[:, : query + 1] = row
    return out, token


def _check_head(model: Any, head: Head) -> None:
    if head != "mean" and not (isinstance(head, int) and 1 <= head <= model.heads):
        raise ModelError(f"{model.name} has no head {head}", remedy=f"Choose mean, or from 1 to {model.heads}")
