"""Tree verification: draft tokens that see the context and their own ancestors, verified in one pass.

A tree is its parents: ``parents[i] < i`` is the node that node i continues, -1 if it continues the context. Nodes are
counted from 0.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from functools import lru_cache

import numpy as np

from align_eval.errors import InputError
from align_eval.patterns.base import BoolArray, IntArray, Parameters, Sums

ORDERS = ("breadth", "depth")
FEW = 128
"""Up to this length regular trees are tried behind several ends of the context."""


def speculative(n: int, drafts: int, branching: tuple[int, ...], order: str, parents: tuple[int, ...]) -> BoolArray:
    """Of n tokens the last ``drafts`` are a tree of guesses, each seeing the context, its ancestors and itself.

    Miao et al. 2024, *SpecInfer*, arXiv:2305.09781, section 4.2 (topology-aware causal mask, branch by branch); Cai et
    al. 2024, *Medusa*, arXiv:2401.10774, section 2.2 (tree attention over 64 candidates, level by level). The context,
    of n - drafts tokens, is causal. ``branching`` has the children of the context's end, of each node of the first
    level, of the second, ...; the last one is repeated until there are ``drafts`` nodes. 4+3+2+1 gives 4, 12, 24 and 24
    nodes: 64. Nodes are numbered in ``order`` level by level (``breadth``) or branch by branch (``depth``).
    ``parents`` gives the tree itself instead: for each draft the earlier draft that it continues, counted from 0.

    Raises:
        InputError: a parent that is no earlier draft; no branching; more drafts than tokens.
    """
    tree = parents or tuple(grown(branching, drafts, order))
    context = n - len(tree)
    if context < 0:
        raise InputError(
            f"a tree of {len(tree)} drafts does not fit {n} tokens",
            remedy=f"Ask for {len(tree)} tokens or more, or for fewer drafts (tree:drafts={n})",
        )
    mask = np.ones((n, n), dtype=bool)
    mask[context:, context:] = ancestors(tree)
    return mask


def bits(n: int, given: Parameters) -> float:
    """log2 n for the drafts, and log2 (i + 1) for the parent of draft i, or log2 n for each level's branching."""
    if given["parents"]:
        return math.log2(n) + sum(math.log2(i + 1) for i in range(len(given["parents"])))
    return 1 + (2 + len(given["branching"])) * math.log2(n)


def words(given: Parameters) -> str:
    tree = given["parents"] or grown(given["branching"], given["drafts"], given["order"])
    return f"tree of {len(tree)} drafts ({sum(p < 0 for p in tree)} roots, depth {max(depths(tree))})"


def fit(sums: Sums) -> Iterator[Parameters]:
    """The tree of any parents with the fewest bits, and regular ones where they might be worth the search."""
    n = sums.n
    # The longer the context, the more columns are full; behind its end few are.
    columns = np.concatenate([[0], sums.gains.sum(axis=0).cumsum()])
    end = int(columns[: max(1, n - 1)].argmax())
    contexts = [c for c in sorted({0, *range(max(0, end - 3), end + 1)}) if n - c >= 2]
    found = []
    for context in contexts:
        gain = sums.gains[context:, context:]
        parents = tuple(fitted_parents(gain))
        errors = float(sums.residual_bits(int(columns[context]) + int(gain[ancestors(parents)].sum())))
        found.append((bits(n, {"parents": parents}) + errors, errors, context, parents))
    if not found:
        return
    _, errors, context, parents = min(found, key=lambda one: one[0])
    yield {"parents": parents}
    # A regular tree has fewer parameters, but hardly fewer errors: is it worth the search?
    window = float(sums.residual_bits(int(sums.by_distance.cumsum().max()))) + math.log2(n)
    if errors + 3 * math.log2(n) < min(window, sums.unstructured_bits):
        near = contexts if n <= FEW else [context]
        for context, order in itertools.product(near, ORDERS):
            branching = fitted_branching(sums.gains[context:, context:], order)
            yield {"drafts": n - context, "branching": branching, "order": order}


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

    The deepest level may be incomplete. ``order`` numbers nodes level by level (``"breadth"``, Medusa) or branch by
    branch (``"depth"``, SpecInfer).

    >>> grown((2, 2), 6), grown((2, 2), 6, "depth")
    ([-1, -1, 0, 0, 1, 1], [-1, 0, 0, -1, 3, 3])
    """
    if not branching:
        raise InputError("a draft tree without a branching", remedy="Write for example tree:branching=4+3+2+1")
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
    gains ``(d, d)`` in the node's row, which is the one with the fewest errors there.
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
    """The branching, of :data:`BRANCHINGS`, of the regular tree that explains the gains ``(d, d)`` of drafts best."""
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
