"""Proof of the index base (0 or 1) and of the side order (source-target or target-source) of a file of links.

A wrong base gives believable wrong numbers: 43.7 AER where 4.1 is right. So the base is never guessed. The rule, over
the whole file:

* ``0-0`` proves base 0: in a file that counts from 1 it would join nothing with nothing;
* an index equal to the number of words of its side proves base 1;
* an index 0 beside another number proves nothing: it is a word where indices count from 0, and the mark of a null link
  where they count from 1 (GIZA++, the Hansards gold of the Berkeley aligner);
* both proofs at once contradict each other; neither is no proof. Both are errors that say what to pass.

A format that counts from 1 by its definition (NAACL) counts from 1 unless a ``0 0`` proves the other. ``0-0``
contradicts a stated base 1 too.

The side order is proven when exactly one order keeps every link inside its sentence pair.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from align_eval.corpora.raw_links import Lengths, RawLinks, Shower
from align_eval.errors import IndexBaseError, InputError, LinkRangeError
from align_eval.links import BoolArray
from align_eval.links.symmetrization import ORDER_NAMES

BASE_OPTIONS = "(--gold-base, --hyp-base, --base or --base-in; base= in Python)"
BASE_REMEDY = f"Pass the base: 0 or 1 {BASE_OPTIONS}"
ORDER_REMEDY = (
    "Pass the order: st or ts (--hyp-order, --order-in, --forward-order or --reverse-order; order= in Python)"
)


def parse_base(base: int | str) -> int | None:
    """0 or 1, or ``None`` for ``"auto"``."""
    known: dict[object, int | None] = {0: 0, 1: 1, "0": 0, "1": 1, "auto": None}
    if isinstance(base, bool) or base not in known:
        raise InputError(f"unknown index base {base!r}", remedy="Known: 0, 1, auto")
    return known[base]


def parse_order(order: str) -> str | None:
    """``"st"`` or ``"ts"``, or ``None`` for ``"auto"``."""
    if order not in ("st", "ts", "auto"):
        raise InputError(f"unknown side order {order!r}", remedy="Known: st (source-target), ts (target-source), auto")
    return None if order == "auto" else order


class Witness(NamedTuple):
    """A link that proves something: its line, and what is said of it."""

    line: int
    text: str

    def __str__(self) -> str:
        return self.text


@dataclass
class Proof:
    """Gathers evidence block by block and then gives the base and the order; what is given need not be proven.

    ``base_from`` says where a given base comes from: ``"given"``, ``"format"`` or the note beside the file. The base
    ``default`` of a format holds unless the links prove another. ``seen`` are the first link 0-0 (``zero``), with one 0
    (``half``), and for each side order with an index equal to (``end st``) and beyond (``beyond st``) a side's length.
    """

    file: str
    base: int | None
    order: str | None
    show: Shower
    base_from: str = "given"
    default: int | None = None
    links: int = 0
    lengths_known: bool = False
    seen: dict[str, Witness] = field(default_factory=dict)

    @property
    def settled(self) -> bool:
        """Whether more evidence changes nothing: base and order are given, or 0-0 is seen and no length contradicts."""
        given = self.base is not None or ("zero" in self.seen and not self.lengths_known)
        return given and self.order is not None

    def add(self, raw: RawLinks, lengths: Lengths | None, own: bool = False) -> None:
        """Take the evidence of one block; ``lengths`` are numbers of (source, target) words, if sentences are at hand.

        ``own``: the lengths are those of the file itself, of its (first, second) side: no evidence about the order.
        """
        self.lengths_known = self.lengths_known or lengths is not None
        if not len(raw.first):
            return
        low = min(int(raw.first.min()), int(raw.second.min()))
        floor = self.base or 0
        real = None if low >= floor else (raw.first >= floor) & (raw.second >= floor)
        self.links += len(raw.first) if real is None else int(real.sum())
        if "zero" not in self.seen and self.base is None and low <= 0:
            first, second = raw.first == 0, raw.second == 0
            self._see("zero", first & second, raw, lengths)
            self._see("half", (first ^ second) if real is None else (first ^ second) & real, raw, lengths)
        if lengths is None:
            return
        for order in ("st", "ts") if self.order is None else (self.order,):
            if f"end {order}" not in self.seen or f"beyond {order}" not in self.seen:
                first, second = lengths if order == "st" or own else lengths[::-1]
                over = np.maximum(raw.first - first[raw.sentence], raw.second - second[raw.sentence])
                if real is not None:
                    over[~real] = -1
                self._see(f"end {order}", over == 0, raw, lengths)
                self._see(f"beyond {order}", over > 0, raw, lengths)

    def _see(self, what: str, rows: BoolArray, raw: RawLinks, lengths: Lengths | None) -> None:
        """Keep the first link that is true in ``rows``, if none is kept yet."""
        if what in self.seen or not rows.any():
            return
        row = int(rows.argmax())
        k, line = int(raw.sentence[row]), raw.line_of(row)
        text = f"link {self.show(int(raw.first[row]), int(raw.second[row]), raw.is_sure(row))} in line {line}"
        if lengths is not None:
            text += f" ({int(lengths[0][k])} source and {int(lengths[1][k])} target words)"
        self.seen[what] = Witness(line, text)

    def conclude(self) -> tuple[int, str, str, str]:
        """``(base, order, where the base comes from, where the order comes from)``."""
        if self.base is not None and self.order is not None:
            return self.base, self.order, self.base_from, "given"
        if not self.links:
            nothing = "no links"
            base_from = self.base_from if self.base is not None else nothing
            return self.base or 0, self.order or "st", base_from, "given" if self.order else nothing
        if self.order is not None:
            base, base_from = self._prove_base(self.order)
            return base, self.order, base_from, "given"
        if not self.lengths_known:
            raise IndexBaseError(
                "the side order cannot be proven without the sentences", file=self.file,
                remedy=f"{ORDER_REMEDY}, or give the sentences",
            )  # fmt: skip
        return self._prove_both()

    def _prove_base(self, order: str) -> tuple[int, str]:
        zero, half, end, beyond = map(self.seen.get, ("zero", "half", f"end {order}", f"beyond {order}"))
        if zero is not None and end is not None:
            raise IndexBaseError(
                f"contradictory index base: {zero} proves base 0, but {end}, read as "
                f"{ORDER_NAMES[order]}, has an index equal to a sentence length, which proves base 1",
                file=self.file, line=end.line,
                remedy="Check the side order (st or ts), and that the links and the sentences belong together. "
                f"{BASE_REMEDY}",
            )  # fmt: skip
        if zero is not None:
            return 0, f"{zero}: nothing joined with nothing if indices counted from 1"
        if self.default is not None:
            return self.default, "format"
        if end is not None:
            return 1, f"{end}: an index equal to a sentence length, and no 0-0"
        if beyond is not None:
            raise LinkRangeError(
                f"{beyond} is outside its sentence pair whether indices count from 0 or from 1",
                file=self.file, line=beyond.line,
                remedy="Check the side order (st or ts) and that these are the right sentences",
            )  # fmt: skip
        missing = "no index is equal to a sentence length" if self.lengths_known else "sentence lengths are not at hand"
        why = ""
        if half is not None:
            why = f" (the index 0 of {half} is a word in base 0 and the mark of a null link in base 1)"
        remedy = BASE_REMEDY if self.lengths_known else f"{BASE_REMEDY}, or give the sentences"
        raise IndexBaseError(
            f"the index base cannot be proven: there is no link 0-0 and {missing}{why}", file=self.file, remedy=remedy
        )

    def _prove_both(self) -> tuple[int, str, str, str]:
        proven = 0 if "zero" in self.seen else self.default
        known = proven if self.base is None else self.base
        bases = [0, 1] if known is None else [known]
        orders = [order for order in ("st", "ts") if self._misfit(order, bases[-1:]) is None]
        if len(orders) == 2:
            raise IndexBaseError(
                "the side order cannot be proven: every link is inside its sentence pair in either order",
                file=self.file, remedy=ORDER_REMEDY,
            )  # fmt: skip
        if not orders:
            seen = [f"read as {ORDER_NAMES[o]}, {self._misfit(o, bases)} is outside" for o in ("st", "ts")]
            raise IndexBaseError(
                f"the side order cannot be proven, for links are outside their sentence pairs in either: "
                f"{'; '.join(seen)}",
                file=self.file, remedy=f"Check that these are the right sentences and the base. {ORDER_REMEDY}",
            )  # fmt: skip
        order = orders[0]
        other = self._misfit("ts" if order == "st" else "st", bases)
        order_from = f"{other} is outside its sentence pair in the other order"
        if self.base is not None:
            return self.base, order, self.base_from, order_from
        base, base_from = self._prove_base(order)
        return base, order, base_from, order_from

    def _misfit(self, order: str, bases: list[int]) -> Witness | None:
        """The link that is outside its sentence pair in this order, whichever of the bases holds."""
        return self.seen.get(f"beyond {order}") or (self.seen.get(f"end {order}") if 0 in bases else None)
