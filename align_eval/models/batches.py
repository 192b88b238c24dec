"""Sentences of like length together, under a budget of padded sub-words."""

from __future__ import annotations

from collections.abc import Sequence

from align_eval.errors import InputError


def buckets(lengths: Sequence[int], budget: int) -> list[list[int]]:
    """Group sentences so that ``members x longest member <= budget``; the longest sentences come first.

    Args:
        lengths: sub-words of each sentence, special ones counted.
        budget: sub-words in a batch, padding counted. A sentence longer than that is a batch of its own.

    Returns:
        Indices into ``lengths``; each appears once. Sentences of one length keep their order.

    Raises:
        InputError: the budget is not positive.

    >>> buckets([3, 9, 4, 4], 12)
    [[1], [2, 3, 0]]
    """
    if budget < 1:
        raise InputError(f"the token budget is {budget}", remedy="Give a positive number of sub-words")
    order = sorted(range(len(lengths)), key=lambda k: -lengths[k])
    groups: list[list[int]] = []
    start = 0
    while start < len(order):
        size = max(1, budget // max(1, lengths[order[start]]))
        groups.append(order[start : start + size])
        start += size
    return groups
