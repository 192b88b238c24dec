"""Proof of the index base (0 or 1) and of the side order (source-target or target-source) of a file of links.

A wrong base gives believable wrong numbers: 43.7 AER where 4.1 is right. So the base is never guessed. The rule, over
the whole file:

* ``0-0`` proves base 0: in a file that counts from 1 it would join nothing with nothing;
* an index equal to the number of words of its side proves base 1;
* an index 0 beside another number proves nothing: it is a word where indices count from 0, and the mark of a null link
  where they count from 1 (GIZA++, the Hansards gold of the Berkeley aligner);
* both proofs at once contradict each other; neither is no proof. Both are errors that say what to pass.

A format that counts from 1 by its definition (NAACL) counts from 1 unless a ``0 0`` proves the other. ``0-0``
contradicts a stated base 1 (:mod:`align_eval.corpora.raw_links`).

The side order is proven when exactly one order keeps every link inside its sentence pair.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from align_eval.corpora.raw_links import Lengths, RawLinks, Shower
from align_eval.errors import IndexBaseError, InputError, LinkRangeError

BASE_REMEDY = "Pass the base: 0 or 1 (--gold-base, --hyp-base, --base or --base-in; base= in Python)"
ORDER_REMEDY = (
    "Pass the order: st or ts (--hyp-order, --order-in, --forward-order or --reverse-order; order= in Python)"
)

_ORDER_NAMES = {"st": "source-target", "ts": "target-source"}


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


@dataclass(frozen=True)
class Witness:
    """A link that proves something: its line, how it is written, and its pair's numbers of words, where known."""

    line: int
    shown: str
    source_length: int | None = None
    target_length: int | None = None

    def __str__(self) -> str:
        where = f"link {self.shown} in line {self.line}"
        if self.source_length is None:
            return where
        return f"{where} ({self.source_length} source and {self.target_length} target words)"


@dataclass
class _OrderEvidence:
    """What was seen if the file is read in one order: the first index equal to, and beyond, its side's length."""

    end: Witness | None = None
    beyond: Witness | None = None


@dataclass
class Proof:
    """Gathers evidence block by block and then gives the base and the order.

    Args:
        file: for messages.
        base: 0 or 1 if given, ``None`` to prove it.
        order: ``"st"`` or ``"ts"`` if given, ``None`` to prove it.
        show: gives a link as the file writes it.
        base_from: where a given base comes from: ``"given"``, ``"format"`` or the note beside the file.
        default: the base of a format, which holds unless the links prove another.
    """

    file: str
    base: int | None
    order: str | None
    show: Shower
    base_from: str = "given"
    default: int | None = None
    links: int = 0
    lengths_known: bool = False
    zero: Witness | None = None
    half_zero: Witness | None = None
    orders: dict[str, _OrderEvidence] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.orders = {order: _OrderEvidence() for order in ([self.order] if self.order else ["st", "ts"])}

    @property
    def settled(self) -> bool:
        """Whether more evidence changes nothing: base and order are given, or 0-0 is seen and no length contradicts."""
        given = self.base is not None or (self.zero is not None and not self.lengths_known)
        return given and self.order is not None

    def add(self, raw: RawLinks, lengths: Lengths | None, own: bool = False) -> None:
        """Take the evidence of one block; ``lengths`` are numbers of (source, target) words, if sentences are at hand.

        ``own``: the lengths are those of the file itself, of its (first, second) side: no evidence about the order.

        Shapes: the columns of ``raw`` are ``(rows,)``, each of ``lengths`` is ``(sentences of the block,)``.
        """
        self.lengths_known = self.lengths_known or lengths is not None
        if not len(raw.first):
            return
        low = min(int(raw.first.min()), int(raw.second.min()))
        floor = self.base or 0
        real = None if low >= floor else (raw.first >= floor) & (raw.second >= floor)
        self.links += len(raw.first) if real is None else int(real.sum())
        if self.zero is None and self.base is None and low <= 0:
            first, second = raw.first == 0, raw.second == 0
            zero, half = first & second, first ^ second
            if real is not None:
                half &= real
            if zero.any():
                self.zero = self._witness(raw, int(zero.argmax()), lengths)
            if self.half_zero is None and half.any():
                self.half_zero = self._witness(raw, int(half.argmax()), lengths)
        if lengths is None:
            return
        for order, evidence in self.orders.items():
            if evidence.end is not None and evidence.beyond is not None:
                continue
            first, second = lengths if order == "st" or own else lengths[::-1]
            over = np.maximum(raw.first - first[raw.sentence], raw.second - second[raw.sentence])
            if real is not None:
                over[~real] = -1
            if evidence.end is None and (over == 0).any():
                evidence.end = self._witness(raw, int((over == 0).argmax()), lengths)
            if evidence.beyond is None and (over > 0).any():
                evidence.beyond = self._witness(raw, int((over > 0).argmax()), lengths)

    def _witness(self, raw: RawLinks, row: int, lengths: Lengths | None) -> Witness:
        shown = self.show(int(raw.first[row]), int(raw.second[row]), raw.is_sure(row))
        k = int(raw.sentence[row])
        sizes = (None, None) if lengths is None else (int(lengths[0][k]), int(lengths[1][k]))
        return Witness(raw.line_of(row), shown, *sizes)

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
                "the side order cannot be proven without the sentences",
                file=self.file,
                remedy=f"{ORDER_REMEDY}, or give the sentences",
            )
        return self._prove_both()

    def _prove_base(self, order: str) -> tuple[int, str]:
        evidence = self.orders[order]
        if self.zero is not None and evidence.end is not None:
            raise IndexBaseError(
                f"contradictory index base: {self.zero} proves base 0, but {evidence.end}, read as "
                f"{_ORDER_NAMES[order]}, has an index equal to a sentence length, which proves base 1",
                file=self.file,
                line=evidence.end.line,
                remedy="Check the side order (st or ts), and that the links and the sentences belong together. "
                f"{BASE_REMEDY}",
            )
        if self.zero is not None:
            return 0, f"{self.zero}: nothing joined with nothing if indices counted from 1"
        if self.default is not None:
            return self.default, "format"
        if evidence.end is not None:
            return 1, f"{evidence.end}: an index equal to a sentence length, and no 0-0"
        if evidence.beyond is not None:
            raise LinkRangeError(
                f"{evidence.beyond} is outside its sentence pair whether indices count from 0 or from 1",
                file=self.file,
                line=evidence.beyond.line,
                remedy="Check the side order (st or ts) and that these are the right sentences",
            )
        missing = "no index is equal to a sentence length" if self.lengths_known else "sentence lengths are not at hand"
        half = ""
        if self.half_zero is not None:
            half = f" (the index 0 of {self.half_zero} is a word in base 0 and the mark of a null link in base 1)"
        remedy = BASE_REMEDY if self.lengths_known else f"{BASE_REMEDY}, or give the sentences"
        raise IndexBaseError(
            f"the index base cannot be proven: there is no link 0-0 and {missing}{half}", file=self.file, remedy=remedy
        )

    def _prove_both(self) -> tuple[int, str, str, str]:
        bases = [0, 1]
        if self.base is not None:
            bases = [self.base]
        elif self.zero is not None:
            bases = [0]
        elif self.default is not None:
            bases = [self.default]
        fits = [(b, o) for o in ("st", "ts") for b in bases if self._fits(b, o)]
        orders = sorted({order for _, order in fits})
        if len(orders) == 2:
            raise IndexBaseError(
                "the side order cannot be proven: every link is inside its sentence pair in either order",
                file=self.file,
                remedy=ORDER_REMEDY,
            )
        if not orders:
            seen = [f"read as {_ORDER_NAMES[o]}, {self._misfit(o, bases)} is outside" for o in ("st", "ts")]
            raise IndexBaseError(
                f"the side order cannot be proven, for links are outside their sentence pairs in either: "
                f"{'; '.join(seen)}",
                file=self.file,
                remedy=f"Check that these are the right sentences and the base. {ORDER_REMEDY}",
            )
        order = orders[0]
        other = self._misfit("ts" if order == "st" else "st", bases)
        order_from = f"{other} is outside its sentence pair in the other order"
        if self.base is not None:
            return self.base, order, self.base_from, order_from
        base, base_from = self._prove_base(order)
        return base, order, base_from, order_from

    def _fits(self, base: int, order: str) -> bool:
        evidence = self.orders[order]
        return evidence.beyond is None and (base == 1 or evidence.end is None)

    def _misfit(self, order: str, bases: list[int]) -> Witness | None:
        evidence = self.orders[order]
        return evidence.beyond or (evidence.end if 0 in bases else None)
