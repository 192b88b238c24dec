"""What all mask plans share: a sentence pair in, the sets of target words to hide out.

A plan gives *variants* of a pair: each is a tuple of target words (0-based, ascending) that are hidden together. A plan
that does not apply to a pair (it has no aligned word, it is too short) gives none.
"""

from __future__ import annotations

import dataclasses
import zlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from align_eval.errors import InputError
from align_eval.options import Option, parse_options, split_spec
from align_eval.registry import Registry

if TYPE_CHECKING:
    from align_eval.corpora import SentencePair

Variants = list[tuple[int, ...]]
"""Sets of hidden target words, 0-based, ascending."""


@dataclasses.dataclass(frozen=True)
class MaskPlan(ABC):
    """A rule that says which target words are hidden. Its options are the fields of the dataclass.

    ``kinds`` says what the text of each option is turned into, and names the options that a spec can have.
    """

    name: ClassVar[str] = ""
    kinds: ClassVar[dict[str, Callable[[str], Any]]] = {}

    def __call__(self, pair: SentencePair, rng: np.random.Generator) -> Variants:
        """The variants of a pair; two that hide the same words are one.

        Args:
            pair: words, and gold links for the plans that ask for them.
            rng: what seeded plans draw from; the others leave it alone.

        Raises:
            InputError: the pair has no gold links and the plan needs them.
        """
        if not pair.target:
            return []
        found = self.variants(pair, rng)
        return list(dict.fromkeys(tuple(sorted(set(words))) for words in found if words))

    @abstractmethod
    def variants(self, pair: SentencePair, rng: np.random.Generator) -> Iterable[Sequence[int]]:
        """The plan itself, for a pair with at least one target word."""

    @property
    def spec(self) -> str:
        """The name with the options that differ from their defaults: ``span:share=0.3,draws=2``."""
        changed = [
            f"{f.name}={_text(getattr(self, f.name))}"
            for f in dataclasses.fields(self)
            if getattr(self, f.name) != f.default
        ]
        return self.name + (":" + ",".join(changed) if changed else "")

    @classmethod
    def from_options(cls, text: str) -> MaskPlan:
        """The plan from what follows the colon of its spec: ``share=0.3,draws=2``.

        Raises:
            UnknownNameError: an unknown option.
            InputError: a value of the wrong kind, an option given twice or without a name.
        """
        known = {key: Option(_KINDS.get(kind, str), example=_EXAMPLES[kind]) for key, kind in cls.kinds.items()}
        return cls(**parse_options(f"the mask plan {cls.name}", text, known))


PLANS: Registry[type[MaskPlan]] = Registry("mask plan", "align_eval.infilling.plans")


def make_plan(spec: str | MaskPlan, *, language: str | None = None) -> MaskPlan:
    """Build a mask plan from ``name`` or ``name:option=value,option=value``.

    Args:
        spec: a spec; a plan is given back as it is, but for its language.
        language: of the target side; used by the plans that have the option ``language`` and were not given one.

    Raises:
        UnknownNameError: an unknown plan or option; the message lists what exists.
        InputError: a value that cannot be.

    >>> make_plan("span:share=0.3,draws=2").spec
    'span:share=0.3,draws=2'
    """
    if isinstance(spec, MaskPlan):
        plan = spec
    else:
        name, tail = split_spec(spec)
        plan = PLANS.get(name).from_options(tail)
    if language is not None and getattr(plan, "language", language) == "":
        plan = dataclasses.replace(plan, language=language)  # type: ignore[call-arg]
    return plan


def masks_of(plan: MaskPlan, pairs: Iterable[SentencePair], seed: int) -> list[Variants]:
    """The variants of each pair. The draws of a pair hang on the seed, the plan, the pair's words and id alone.

    So a sentence keeps its masks when others are left out, and the plan gives the same wherever it stands in a list.
    """
    mark = zlib.crc32(plan.spec.encode())
    found = []
    for pair in pairs:
        own = zlib.crc32("\t".join((pair.id, pair.source_text, pair.target_text)).encode())
        found.append(plan(pair, np.random.default_rng([seed, mark, own])))
    return found


def yes_or_no(text: str) -> bool:
    """``yes`` and ``true`` are true, ``no`` and ``false`` are not; anything else is a ``ValueError``."""
    values = {"yes": True, "true": True, "1": True, "no": False, "false": False, "0": False}
    if text.strip().lower() not in values:
        raise ValueError(text)
    return values[text.strip().lower()]


_KINDS: dict[Any, type] = {int: int, float: float, yes_or_no: bool, str: str}
_EXAMPLES: dict[Any, str] = {int: "2", float: "0.5", yes_or_no: "yes", str: "de"}


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:g}" if isinstance(value, float) else str(value)


@dataclasses.dataclass(frozen=True)
class HowMany:
    """So many of the words, or such a share of them: what several plans ask for.

    A share is rounded to the nearest number of words (a half up) and is at least one word. With neither given, it is
    half of the words.
    """

    share: float | None
    count: int | None
    plan: str

    def __post_init__(self) -> None:
        if self.share is None and self.count is None:
            object.__setattr__(self, "share", 0.5)
        if self.share is not None and self.count is not None:
            raise InputError(
                f"the mask plan {self.plan} takes a share or a count, not both",
                remedy=f"Write {self.plan}:share=0.5 or {self.plan}:count=4",
            )
        if self.share is not None and not 0 < self.share <= 1:
            raise InputError(
                f"share={self.share:g} of the mask plan {self.plan} is not above 0 and up to 1",
                remedy=f"Write {self.plan}:share=0.5 for half of the words",
            )
        if self.count is not None and self.count < 1:
            raise InputError(
                f"count={self.count} of the mask plan {self.plan} is not at least 1", remedy="Hide at least one word"
            )

    def of(self, words: int) -> int:
        """How many of so many words; 0 if there are fewer than the count."""
        if self.share is None:
            count = self.count or 0
            return count if count <= words else 0
        return min(words, max(1, int(self.share * words + 0.5))) if words else 0


def check_draws(draws: int, plan: str) -> None:
    """Raise :class:`InputError` unless there is at least one draw."""
    if draws < 1:
        raise InputError(f"draws={draws} of the mask plan {plan} is not at least 1", remedy=f"Write {plan}:draws=2")
