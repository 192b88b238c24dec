"""Tree verification: draft tokens that see the context and their own ancestors."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from align_eval.errors import InputError
from align_eval.patterns.base import MASK_KINDS, MaskKind, choice, distances, numbers, whole
from align_eval.patterns.trees import ancestors, depths, fitted_branching, fitted_parents, grown

if TYPE_CHECKING:
    from align_eval.patterns.base import BoolArray
    from align_eval.patterns.evidence import Evidence

ORDERS = ("breadth", "depth")
FEW = 128
"""Up to this length regular trees are tried behind several ends of the context."""


@MASK_KINDS.register("tree", "speculative")
@dataclass(frozen=True)
class Tree(MaskKind):
    """Of n tokens the last ``drafts`` are a tree of guesses, each seeing the context, its ancestors and itself.

    Miao et al. 2024, *SpecInfer*, arXiv:2305.09781, section 4.2 (topology-aware causal mask, branch by branch); Cai et
    al. 2024, *Medusa*, arXiv:2401.10774, section 2.2 (tree attention over 64 candidates, level by level). The context,
    of n - drafts tokens, is causal.

    Args:
        drafts: nodes of the tree.
        branching: children of the context's end, of each node of the first level, of the second, ...; the last one is
            repeated until there are ``drafts`` nodes. 4+3+2+1 gives 4, 12, 24 and 24 nodes: 64.
        order: how the nodes are numbered: ``breadth``, level by level, or ``depth``, branch by branch.
        parents: the tree itself in place of the three above: for each draft the draft that it continues, counted from
            0 and earlier than itself, or -1 for the context.

    Raises:
        InputError: a parent that is no earlier draft; more drafts than tokens.
    """

    name: ClassVar[str] = "tree"
    directions: ClassVar[tuple[bool, ...]] = (True,)
    drafts: int = whole(64, 1, "draft tokens at the end of the context")
    branching: tuple[int, ...] = numbers((4, 3, 2, 1), 1, "children by depth, the last one repeated")
    order: str = choice("breadth", ORDERS, "numbering of the drafts")
    parents: tuple[int, ...] = numbers((), -1, "the parent of each draft, -1 for the context; in place of the others")

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.branching:
            raise InputError("a draft tree without a branching", remedy="Write for example tree:branching=4+3+2+1")
        ancestors(self.parents)

    @property
    def tree(self) -> tuple[int, ...]:
        """The parent of each draft, -1 for the context."""
        return self.parents or tuple(grown(self.branching, self.drafts, self.order))

    def mask(self, n: int) -> BoolArray:
        tree = self.tree
        context = n - len(tree)
        if context < 0:
            raise InputError(
                f"a tree of {len(tree)} drafts does not fit {n} tokens",
                remedy=f"Ask for {len(tree)} tokens or more, or for fewer drafts (tree:drafts={n})",
            )
        mask = distances(n) >= 0
        mask[context:, context:] = ancestors(tree)
        return mask

    def bits(self, n: int) -> float:
        """log2 n for the drafts, and log2 (i + 1) for the parent of draft i, or log2 n for each level's branching."""
        if self.parents:
            return math.log2(n) + sum(math.log2(i + 1) for i in range(len(self.parents)))
        return 1 + (2 + len(self.branching)) * math.log2(n)

    def describe(self) -> str:
        tree = self.tree
        return f"tree of {len(tree)} drafts ({sum(p < 0 for p in tree)} roots, depth {max(depths(tree))})"

    @classmethod
    def fit(cls, evidence: Evidence, causal: bool) -> Iterator[MaskKind]:
        n = evidence.n
        # The longer the context, the more columns are full; behind its end few are.
        columns = np.concatenate([[0], evidence.lower.sum(axis=0).cumsum()])
        end = int(columns[: max(1, n - 1)].argmax())
        best: tuple[float, int, Tree] | None = None
        contexts = [c for c in sorted({0, *range(max(0, end - 3), end + 1)}) if n - c >= 2]
        for context in contexts:
            gain = evidence.lower[context:, context:]
            kind = cls(parents=tuple(fitted_parents(gain)))
            total = int(columns[context]) + int(gain[ancestors(kind.parents)].sum())
            bits = kind.bits(n) + float(evidence.residual_bits(total))
            if best is None or bits < best[0]:
                best = bits, context, kind
        if best is None:
            return
        bits, context, kind = best
        yield kind
        # A regular tree has fewer parameters, but hardly fewer errors: is it worth the search?
        hoped = bits - kind.bits(n) + 3 * math.log2(n)
        window = float(evidence.residual_bits(int(evidence.by_distance(True).cumsum().max()))) + math.log2(n)
        if hoped < min(window, evidence.unstructured_bits):
            near = contexts if n <= FEW else [context]
            for context, order in itertools.product(near, ORDERS):
                yield cls(n - context, fitted_branching(evidence.lower[context:, context:], order), order)

    @classmethod
    def draw(cls, rng: np.random.Generator, n: int, causal: bool) -> MaskKind:
        drafts = int(rng.integers(n // 2, n + 1))
        if rng.random() < 0.5:
            parents = (-1, -1, *(int(rng.integers(-1, node)) for node in range(2, drafts)))
            return cls(parents=parents)
        branching = (int(rng.integers(2, 5)), *(int(b) for b in rng.integers(1, 4, size=3)))
        return cls(drafts, branching, ORDERS[int(rng.integers(2))])
