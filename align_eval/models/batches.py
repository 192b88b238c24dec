"""Sentences of like length together, under a budget of padded sub-words."""

from __future__ import annotations

from collections.abc import Sequence

from align_eval.errors import InputError


def buckets(lengths: Sequence[int], budget: int, overhead: int = 0) -> list[list[int]]:
    """Group sentences so that ``members x longest member <= budget`` with little padding.

    Sentences are sorted by length and cut where the sum over batches of ``members x longest member + overhead`` is
    least (dynamic programming over the distinct lengths); runs above the budget are then split.

    Args:
        lengths: sub-words of each sentence, special ones counted.
        budget: sub-words in a batch, padding counted. A sentence longer than that is a batch of its own.
        overhead: cost of one more batch, in sub-words: 0 allows no padding at all.

    Returns:
        Indices into ``lengths``, longest sentences first; each appears once; those of one length keep their order.

    Raises:
        InputError: the budget is not positive.

    >>> buckets([3, 9, 4, 4], 12, overhead=10)
    [[1], [2, 3, 0]]
    """
    if budget < 1:
        raise InputError(f"the token budget is {budget}", remedy="Give a positive number of sub-words")
    order = sorted(range(len(lengths)), key=lambda k: -lengths[k])
    # Place of the first sentence of each distinct length in the order, and the end.
    starts = [k for k, at in enumerate(order) if k == 0 or lengths[at] != lengths[order[k - 1]]] + [len(order)]
    least = [0] * len(starts)  # least[b]: cost of the sentences from starts[b] on
    cut = [0] * len(starts)
    for a in range(len(starts) - 2, -1, -1):
        longest = lengths[order[starts[a]]]
        size = max(1, budget // max(1, longest))
        best = -1
        for b in range(a + 1, len(starts)):
            members = starts[b] - starts[a]
            cost = members * longest + overhead * -(-members // size) + least[b]
            if best < 0 or cost < best:
                best, cut[a] = cost, b
            if members > 2 * size:
                break
        least[a] = best
    groups: list[list[int]] = []
    a = 0
    while a < len(starts) - 1:
        start, end = starts[a], starts[cut[a]]
        while start < end:
            size = max(1, budget // max(1, lengths[order[start]]))
            groups.append(order[start : min(end, start + size)])
            start += size
        a = cut[a]
    return groups
