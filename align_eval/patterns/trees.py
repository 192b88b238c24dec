"""Trees of draft tokens, as speculative decoding verifies them in one pass: parents in, ancestors out, and back.

A tree is its parents: ``parents[i] < i`` is the node that node i continues, -1 if it continues the context. Nodes are
counted from 0.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from align_eval.errors import InputError

if TYPE_CHECKING:
    from align_eval.patterns.base import BoolArray, IntArray

BRANCHINGS = tuple(itertools.product(range(1, 6), range(1, 5), range(1, 4), range(1, 4)))
"""The regular trees that fits try: up to 5, 4, 3 and 3 children by level, the last one repeated."""


def ancestors(parents: Sequence[int]) -> BoolArray:
    """``(d, d)`` bool: whether node j is node i or one of its ancestors.

    Raises:
        InputError: a parent that is no earlier node and not -1.

    >>> ancestors([-1, 0, 0]).astype(int).tolist()
    [[1, 0, 0], [1, 1, 0], [1, 0, 1]]
    """
    found = np.eye(len(parents), dtype=bool)
    for node, parent in enumerate(parents):
        if not -1 <= parent < node:
            raise InputError(
                f"node {node} of a draft tree has the parent {parent}",
                remedy="A parent is an earlier node (counted from 0), or -1 for what continues the context",
            )
        if parent >= 0:
            found[node] |= found[parent]
    return found


def grown(branching: Sequence[int], nodes: int, order: str = "breadth") -> list[int]:
    """The parents of a tree whose nodes of one depth all have the same number of children, until it has ``nodes``.

    Args:
        branching: children of the context's end, of the first level, of the second, ...; the last one is repeated.
        nodes: where it ends; the deepest level may be incomplete.
        order: how nodes are numbered: ``"breadth"`` level by level (Medusa), ``"depth"`` branch by branch (SpecInfer).

    >>> grown((2, 2), 6), grown((2, 2), 6, "depth")
    ([-1, -1, 0, 0, 1, 1], [-1, 0, 0, -1, 3, 3])
    """
    parents: list[int] = []
    level = [-1]
    depth = 0
    while len(parents) < nodes:
        children = branching[min(depth, len(branching) - 1)]
        first = len(parents)
        parents += [node for node in level for _ in range(children)][: nodes - first]
        level = list(range(first, len(parents)))
        depth += 1
    if order == "breadth":
        return parents
    below: list[list[int]] = [[] for _ in parents]
    roots: list[int] = []
    for node, parent in enumerate(parents):
        (roots if parent < 0 else below[parent]).append(node)
    number: dict[int, int] = {}
    stack = roots[::-1]
    while stack:
        node = stack.pop()
        number[node] = len(number)
        stack += below[node][::-1]
    out = [-1] * nodes
    for node, parent in enumerate(parents):
        out[number[node]] = -1 if parent < 0 else number[parent]
    return out


def depths(parents: Sequence[int]) -> list[int]:
    """How deep each node lies, 1 for what continues the context."""
    found: list[int] = []
    for parent in parents:
        found.append(1 if parent < 0 else found[parent] + 1)
    return found


def fitted_parents(gain: IntArray) -> list[int]:
    """The tree that explains the square of draft tokens best, node by node.

    Given the ancestors of the nodes before it, each node takes the parent whose ancestors have the greatest sum of
    gains in the node's row, which is the one with the fewest errors there.

    Args:
        gain: ``(d, d)``, +1 where node i attends to node j, -1 where it does not.
    """
    size = len(gain)
    rows = gain.astype(np.float32)
    above = np.zeros((size, size), dtype=np.float32)
    parents: list[int] = []
    for node in range(size):
        parent = -1
        if node:
            sums = above[:node, :node] @ rows[node, :node]
            best = int(sums.argmax())
            if sums[best] > 0:
                parent = best
                above[node] = above[best]
        above[node, node] = 1
        parents.append(parent)
    return parents


def fitted_branching(gain: IntArray, order: str) -> tuple[int, ...]:
    """The branching of the regular tree that explains the square of draft tokens best, of :data:`BRANCHINGS`.

    Args:
        gain: ``(d, d)``, +1 where node i attends to node j, -1 where it does not.
        order: of :func:`grown`.
    """
    cells, starts = _regular_cells(len(gain), order)
    sums = np.add.reduceat(np.ascontiguousarray(gain).ravel()[cells], starts)
    best = list(BRANCHINGS[int(sums.argmax())])
    while len(best) > 1 and best[-1] == best[-2]:
        best.pop()
    return tuple(best)


@lru_cache(maxsize=64)
def _regular_cells(nodes: int, order: str) -> tuple[IntArray, IntArray]:
    """The cells (row * nodes + column) of all :data:`BRANCHINGS` one after another, and where each one's begin."""
    cells: list[int] = []
    starts: list[int] = []
    for branching in BRANCHINGS:
        starts.append(len(cells))
        lines: list[list[int]] = []  # of each node the columns it attends to
        for node, parent in enumerate(grown(branching, nodes, order)):
            line = [node] if parent < 0 else [*lines[parent], node]
            lines.append(line)
            cells += [node * nodes + column for column in line]
    return np.array(cells, dtype=np.int64), np.array(starts, dtype=np.int64)
