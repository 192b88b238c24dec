"""Given words, by number or by their text."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import numpy as np

from align_eval.errors import InputError
from align_eval.infilling.plans.base import PLANS, MaskPlan, Variants

if TYPE_CHECKING:
    from align_eval.corpora import SentencePair


@PLANS.register("positions")
@dataclasses.dataclass(frozen=True)
class Positions(MaskPlan):
    """Hide the words at given positions, all together; a pair that lacks one of them has no variant.

    In a spec words count **from 1**, as in a text that a person reads: ``positions:5-8`` or ``positions:1,3,5-8``.

    Args:
        words: positions, 0-based.

    >>> Positions((4, 5, 6, 7)).spec
    'positions:5-8'
    """

    name = "positions"
    words: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        if not self.words or min(self.words) < 0:
            raise InputError(
                "the mask plan positions needs at least one position, counted from 1",
                remedy="Write for example positions:5-8 or positions:1,3",
            )
        object.__setattr__(self, "words", tuple(sorted(set(self.words))))

    def variants(self, pair: SentencePair, rng: np.random.Generator) -> Variants:
        return [self.words] if self.words[-1] < len(pair.target) else []

    @property
    def spec(self) -> str:
        """``positions:1,3,5-8``, counted from 1."""
        return "positions:" + number_text(self.words)

    @classmethod
    def from_options(cls, text: str) -> MaskPlan:
        return cls(parse_numbers(text))


def parse_numbers(text: str) -> tuple[int, ...]:
    """Positions, 0-based and ascending, from a list that counts from 1: ``5-8``, ``1,3,5-8``.

    Raises:
        InputError: anything else, a 0 among it.

    >>> parse_numbers("1,3,5-8")
    (0, 2, 4, 5, 6, 7)
    """
    found: set[int] = set()
    for part in text.split(","):
        low, dash, high = part.strip().partition("-")
        numbers = [low.strip(), high.strip()] if dash else [low.strip()]
        if not all(n.isascii() and n.isdigit() and len(n) < 7 for n in numbers):
            raise InputError(f"{text!r} is not a list of word numbers", remedy="Write 5-8 or 1,3,5-8, counted from 1")
        first, last = int(numbers[0]), int(numbers[-1])
        if first < 1 or last < first:
            what = "words count from 1" if first < 1 else f"{part.strip()!r} runs backwards"
            raise InputError(f"{text!r} is not a list of word numbers: {what}", remedy="Write 5-8 or 1,3,5-8")
        found.update(range(first - 1, last))
    return tuple(sorted(found))


def number_text(words: tuple[int, ...]) -> str:
    """The list that counts from 1 of 0-based ascending positions: ``1,3,5-8``."""
    runs: list[list[int]] = []
    for word in words:
        if runs and word == runs[-1][1] + 1:
            runs[-1][1] = word
        else:
            runs.append([word, word])
    return ",".join(f"{low + 1}" if low == high else f"{low + 1}-{high + 1}" for low, high in runs)
