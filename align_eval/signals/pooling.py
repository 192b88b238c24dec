"""From tokens to words on both axes of a score matrix.

The default is that of ALTI and of Kobayashi et al. 2020: **sum over the tokens of a key word, mean over those of a
query word**. A row of weights that sums to 1 then still sums to 1.
"""

from __future__ import annotations

import torch
from torch import Tensor

from align_eval.errors import UnknownNameError

RULES = ("sum", "mean", "max", "first", "last")


def require_rule(rule: str) -> None:
    """Raise :class:`UnknownNameError` unless ``rule`` is one of :data:`RULES`."""
    if rule not in RULES:
        raise UnknownNameError("rule for sub-words", rule, RULES)


def pool_last_axis(values: Tensor, words: Tensor, count: int, rule: str) -> Tensor:
    """Pool the last axis of a batch of maps.

    Args:
        values: ``(B, ..., K)``.
        words: ``(B, K)`` int64, the word (0-based) of each position; -1 leaves the position out.
        count: words in the result.
        rule: ``"sum"``, ``"mean"``, ``"max"``, or ``"first"`` / ``"last"`` sub-word of the word.

    Returns:
        ``(B, ..., count)``; a word without a sub-word is 0.

    Raises:
        UnknownNameError: an unknown rule.
    """
    require_rule(rule)
    flat = values.flatten(1, -2) if values.ndim > 2 else values[:, None]
    if rule == "max":
        index = torch.where(words < 0, count, words)[:, None, :].expand_as(flat)
        out = flat.new_full((*flat.shape[:2], count + 1), -torch.inf)
        out = out.scatter_reduce_(2, index, flat, "amax")[..., :count]
        out = out.masked_fill(out == -torch.inf, 0)
    else:
        out = torch.bmm(flat, _weights(words, count, rule, values.dtype))
    return out.reshape(*values.shape[:-1], count)


def _weights(words: Tensor, count: int, rule: str, dtype: torch.dtype) -> Tensor:
    """``(B, K, count)``: what each position gives to each word."""
    member = words[:, :, None] == torch.arange(count, device=words.device)
    if rule == "first":
        member = member & (member.cumsum(dim=1) == 1)
    elif rule == "last":
        member = member & (member.flip(1).cumsum(dim=1).flip(1) == 1)
    out = member.to(dtype)
    if rule == "mean":
        out = out / out.sum(dim=1, keepdim=True).clamp(min=1)
    return out


def pool(
    values: Tensor,
    row_words: Tensor,
    column_words: Tensor,
    rows: int,
    columns: int,
    keys: str = "sum",
    queries: str = "mean",
) -> Tensor:
    """Pool both axes of a batch of maps: first the columns (keys), then the rows (queries).

    Args:
        values: ``(B, H, Q, K)``.
        row_words, column_words: ``(B, Q)`` and ``(B, K)`` int64; -1 is left out.
        rows, columns: words in the result.
        keys, queries: rules of the two axes, see :func:`pool_last_axis`.

    Returns:
        ``(B, H, rows, columns)``.

    Raises:
        UnknownNameError: an unknown rule.
    """
    by_key = pool_last_axis(values, column_words, columns, keys)
    return pool_last_axis(by_key.transpose(-1, -2), row_words, rows, queries).transpose(-1, -2)


def renormalise(values: Tensor) -> Tensor:
    """Divide each row (last axis) by its sum; rows that sum to 0 stay 0."""
    sums = values.sum(dim=-1, keepdim=True)
    return values / torch.where(sums == 0, torch.ones_like(sums), sums)
