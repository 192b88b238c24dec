"""Which side comes first in the links of the reverse direction? Told by how far both directions agree.

Both directions of an aligner have most of their links in common if both are read in the right order; read in the wrong
one they have few, but for those beside the diagonal's own: on published output of fast_align and GIZA++ 276 against
3783 and 110 against 2838 links off the diagonal. Links ``i-i`` are the same in both orders and say nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from align_eval.links.table import LinkTable

ORDER_NAMES = {"st": "source-target", "ts": "target-source"}

# Sentence pairs that are looked at: more would change nothing.
_ENOUGH = 1 << 13
# One order is clear if it has at least _TIMES the common links of the other one, and _MORE besides.
_TIMES, _MORE = 3, 5


@dataclass(frozen=True)
class Agreement:
    """Links off the diagonal that both directions have, if the second one is read as it is, and with sides swapped.

    Attributes:
        same, swapped: numbers of common links.
        links: links off the diagonal of the second direction; without any, its order makes no difference.
    """

    same: int
    swapped: int
    links: int

    @property
    def swap(self) -> bool | None:
        """Whether the sides of the second direction are to be swapped; ``None``: unclear."""
        if not self.links or self.same >= _TIMES * self.swapped + _MORE:
            return False
        return True if self.swapped >= _TIMES * self.same + _MORE else None


def agreement(forward: LinkTable, reverse: LinkTable) -> Agreement:
    """How far two directions, of the same sentence pairs in the same order, agree in both orders of the second one."""
    one, other = _cells(forward), _cells(reverse)
    mirrored = {(k, j, i) for k, i, j in other}
    return Agreement(len(one & other), len(one & mirrored), len(other))


def _cells(table: LinkTable) -> set[tuple[int, int, int]]:
    rows = slice(int(table.offsets[min(_ENOUGH, table.sentences)]))
    off = table.source[rows] != table.target[rows]
    columns = np.stack([table.sentence[rows], table.source[rows], table.target[rows]])[:, off]
    return set(map(tuple, columns.T.tolist()))
