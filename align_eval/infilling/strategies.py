"""Masking strategies: which target words are masked; :func:`make_strategy` reads a spec such as ``span:share=0.5``.

A strategy gives *variants* of a pair: each is a tuple of target words (0-based, ascending) that are masked together. A
strategy that does not apply to a pair (it has no aligned word, it is too short) gives none.
"""

from __future__ import annotations

import dataclasses
import zlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from align_eval.corpora.punctuation import is_punctuation
from align_eval.errors import InputError
from align_eval.infilling.word_lists import is_function_word, list_languages
from align_eval.options import Option, parse_options, split_spec
from align_eval.registry import Registry

if TYPE_CHECKING:
    from align_eval.corpora import SentencePair

Variants = list[tuple[int, ...]]
"""Sets of masked target words, 0-based, ascending."""


@dataclass(frozen=True)
class MaskingStrategy(ABC):
    """A rule that says which target words are masked. Its options are the fields of the dataclass.

    ``kinds`` says what the text of each option is turned into, and names the options that a spec can have.
    """

    name: ClassVar[str] = ""
    kinds: ClassVar[dict[str, Callable[[str], Any]]] = {}

    def __call__(self, pair: SentencePair, rng: np.random.Generator) -> Variants:
        """The variants of a pair; two that mask the same words are one.

        Args:
            pair: words, and gold links for the strategies that ask for them.
            rng: what seeded strategies draw from; the others leave it alone.

        Raises:
            InputError: the pair has no gold links and the strategy needs them.
        """
        if not pair.target:
            return []
        found = self.variants(pair, rng)
        return list(dict.fromkeys(tuple(sorted(set(words))) for words in found if words))

    @abstractmethod
    def variants(self, pair: SentencePair, rng: np.random.Generator) -> Iterable[Sequence[int]]:
        """The strategy itself, for a pair with at least one target word."""

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
    def from_options(cls, text: str) -> MaskingStrategy:
        """The strategy from what follows the colon of its spec: ``share=0.3,draws=2``.

        Raises:
            UnknownNameError: an unknown option.
            InputError: a value of the wrong kind, an option given twice or without a name.
        """
        known = {key: Option(_KINDS.get(kind, str), example=_EXAMPLES[kind]) for key, kind in cls.kinds.items()}
        return cls(**parse_options(f"the masking strategy {cls.name}", text, known))


STRATEGIES: Registry[type[MaskingStrategy]] = Registry("masking strategy")


def make_strategy(spec: str | MaskingStrategy, *, language: str | None = None) -> MaskingStrategy:
    """Build a masking strategy from ``name`` or ``name:option=value,option=value``.

    Args:
        spec: a spec; a strategy is given back as it is, but for its language.
        language: of the target side; used by the strategies that have the option ``language`` and were not given one.

    Raises:
        UnknownNameError: an unknown strategy or option; the message lists what exists.
        InputError: a value that cannot be.

    >>> make_strategy("span:share=0.3,draws=2").spec
    'span:share=0.3,draws=2'
    """
    if isinstance(spec, MaskingStrategy):
        strategy = spec
    else:
        name, tail = split_spec(spec)
        strategy = STRATEGIES.get(name).from_options(tail)
    if language is not None and getattr(strategy, "language", language) == "":
        strategy = dataclasses.replace(strategy, language=language)  # type: ignore[call-arg]
    return strategy


def masks_of(strategy: MaskingStrategy, pairs: Iterable[SentencePair], seed: int) -> list[Variants]:
    """The variants of each pair. The draws of a pair hang on the seed, the strategy, the pair's words and id alone.

    So a sentence keeps its masks when others are left out, and a strategy gives the same wherever it is in a list.
    """
    mark = zlib.crc32(strategy.spec.encode())
    found = []
    for pair in pairs:
        own = zlib.crc32("\t".join((pair.id, pair.source_text, pair.target_text)).encode())
        found.append(strategy(pair, np.random.default_rng([seed, mark, own])))
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


@dataclass(frozen=True)
class HowMany:
    """So many of the words, or such a share of them: what several strategies ask for.

    A share is rounded to the nearest number of words (a half up) and is at least one word. With neither given, it is
    half of the words.
    """

    share: float | None
    count: int | None
    strategy: str

    def __post_init__(self) -> None:
        if self.share is None and self.count is None:
            object.__setattr__(self, "share", 0.5)
        if self.share is not None and self.count is not None:
            raise InputError(
                f"the masking strategy {self.strategy} takes a share or a count, not both",
                remedy=f"Write {self.strategy}:share=0.5 or {self.strategy}:count=4",
            )
        if self.share is not None and not 0 < self.share <= 1:
            raise InputError(
                f"share={self.share:g} of the masking strategy {self.strategy} is not above 0 and up to 1",
                remedy=f"Write {self.strategy}:share=0.5 for half of the words",
            )
        if self.count is not None and self.count < 1:
            raise InputError(
                f"count={self.count} of the masking strategy {self.strategy} is not at least 1",
                remedy="Mask at least one word",
            )

    def of(self, words: int) -> int:
        """How many of so many words; 0 if there are fewer than the count."""
        if self.share is None:
            count = self.count or 0
            return count if count <= words else 0
        return min(words, max(1, int(self.share * words + 0.5))) if words else 0


def check_draws(draws: int, strategy: str) -> None:
    """Raise :class:`InputError` unless there is at least one draw."""
    if draws < 1:
        raise InputError(
            f"draws={draws} of the masking strategy {strategy} is not at least 1", remedy=f"Write {strategy}:draws=2"
        )


@STRATEGIES.register("each")
@dataclass(frozen=True)
class Each(MaskingStrategy):
    """One variant a word, with that word alone masked."""

    name = "each"

    def variants(self, pair: SentencePair, rng: np.random.Generator) -> Variants:
        return [(word,) for word in range(len(pair.target))]


@STRATEGIES.register("nth")
@dataclass(frozen=True)
class Nth(MaskingStrategy):
    """Mask every n-th word.

    Args:
        n: 3 masks one word and leaves two.
        offset: how many words stand before the first masked one, 0 to n - 1.
    """

    name = "nth"
    kinds: ClassVar[dict[str, Any]] = {"n": int, "offset": int}
    n: int = 3
    offset: int = 0

    def __post_init__(self) -> None:
        if self.n < 1 or not 0 <= self.offset < self.n:
            raise InputError(
                f"n={self.n} with offset={self.offset} is no masking strategy",
                remedy="Write nth:n=3,offset=0, with an offset from 0 to n - 1",
            )

    def variants(self, pair: SentencePair, rng: np.random.Generator) -> Variants:
        return [tuple(range(self.offset, len(pair.target), self.n))]


@STRATEGIES.register("positions")
@dataclass(frozen=True)
class Positions(MaskingStrategy):
    """Mask the words at given positions, all together; a pair that lacks one of them has no variant.

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
                "the masking strategy positions needs at least one position, counted from 1",
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
    def from_options(cls, text: str) -> MaskingStrategy:
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


@STRATEGIES.register("random")
@dataclass(frozen=True)
class Random(MaskingStrategy):
    """Mask words drawn without replacement.

    Args:
        share: of the words that are masked, above 0 and up to 1; 0.5 if neither is given.
        count: so many words instead; a pair that is shorter has no variant.
        draws: how many sets are drawn; those drawn twice count once.
    """

    name = "random"
    kinds: ClassVar[dict[str, Any]] = {"share": float, "count": int, "draws": int}
    share: float | None = None
    count: int | None = None
    draws: int = 1

    def __post_init__(self) -> None:
        object.__setattr__(self, "share", HowMany(self.share, self.count, self.name).share)
        check_draws(self.draws, self.name)

    def variants(self, pair: SentencePair, rng: np.random.Generator) -> Variants:
        words = len(pair.target)
        size = HowMany(self.share, self.count, self.name).of(words)
        return [tuple(sorted(rng.permutation(words)[:size].tolist())) for _ in range(self.draws)]


@STRATEGIES.register("span")
@dataclass(frozen=True)
class Span(MaskingStrategy):
    """Mask one contiguous span, at a place that is drawn: every place is as likely.

    Args:
        share: of the words that are masked, above 0 and up to 1; 0.5 if neither is given.
        count: so many words instead; a pair that is shorter has no variant.
        draws: how many spans are drawn; those drawn twice count once.
    """

    name = "span"
    kinds: ClassVar[dict[str, Any]] = {"share": float, "count": int, "draws": int}
    share: float | None = None
    count: int | None = None
    draws: int = 1

    def __post_init__(self) -> None:
        object.__setattr__(self, "share", HowMany(self.share, self.count, self.name).share)
        check_draws(self.draws, self.name)

    def variants(self, pair: SentencePair, rng: np.random.Generator) -> Variants:
        words = len(pair.target)
        size = HowMany(self.share, self.count, self.name).of(words)
        if not size:
            return []
        starts = rng.integers(words - size + 1, size=self.draws).tolist()
        return [tuple(range(start, start + size)) for start in starts]


@STRATEGIES.register("suffix")
@dataclass(frozen=True)
class Suffix(MaskingStrategy):
    """Mask the last words, as a model does that drafts several words at once (Xia et al. 2023).

    Args:
        share: of the words that are masked, above 0 and up to 1; 0.5 if neither is given.
        count: so many words instead; a pair that is shorter has no variant. ``suffix:5`` is ``suffix:count=5``.
    """

    name = "suffix"
    kinds: ClassVar[dict[str, Any]] = {"share": float, "count": int}
    share: float | None = None
    count: int | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "share", HowMany(self.share, self.count, self.name).share)

    def variants(self, pair: SentencePair, rng: np.random.Generator) -> Variants:
        words = len(pair.target)
        return [tuple(range(words - HowMany(self.share, self.count, self.name).of(words), words))]

    @classmethod
    def from_options(cls, text: str) -> MaskingStrategy:
        return super().from_options(f"count={text}" if text.strip().isdecimal() else text)


@STRATEGIES.register("content")
@dataclass(frozen=True)
class Content(MaskingStrategy):
    """Mask the words that are neither in the language's list of closed-class words nor punctuation.

    Args:
        language: of the target side, ISO 639-1; see :func:`align_eval.infilling.word_lists.list_languages`.
        each: one variant a word instead of all together.
    """

    name = "content"
    kinds: ClassVar[dict[str, Any]] = {"language": str, "each": yes_or_no}
    language: str = ""
    each: bool = False

    def variants(self, pair: SentencePair, rng: np.random.Generator) -> Variants:
        return by_class(pair, self.language, self.name, function=False, each=self.each)


@STRATEGIES.register("function")
@dataclass(frozen=True)
class Function(MaskingStrategy):
    """Mask the words in the language's list of closed-class words: articles, pronouns, prepositions, auxiliaries ...

    Args:
        language: of the target side, ISO 639-1; see :func:`align_eval.infilling.word_lists.list_languages`.
        each: one variant a word instead of all together.
    """

    name = "function"
    kinds: ClassVar[dict[str, Any]] = {"language": str, "each": yes_or_no}
    language: str = ""
    each: bool = False

    def variants(self, pair: SentencePair, rng: np.random.Generator) -> Variants:
        return by_class(pair, self.language, self.name, function=True, each=self.each)


@STRATEGIES.register("aligned")
@dataclass(frozen=True)
class Aligned(MaskingStrategy):
    """Mask the words that have a gold link, sure or possible.

    Args:
        each: one variant a word instead of all together.
    """

    name = "aligned"
    kinds: ClassVar[dict[str, Any]] = {"each": yes_or_no}
    each: bool = False

    def variants(self, pair: SentencePair, rng: np.random.Generator) -> Variants:
        return by_gold(pair, self.name, aligned=True, each=self.each)


@STRATEGIES.register("unaligned")
@dataclass(frozen=True)
class Unaligned(MaskingStrategy):
    """Mask the words that have no gold link. No row of theirs has a gold peak to hit; entropy and recovery remain.

    Args:
        each: one variant a word instead of all together.
    """

    name = "unaligned"
    kinds: ClassVar[dict[str, Any]] = {"each": yes_or_no}
    each: bool = False

    def variants(self, pair: SentencePair, rng: np.random.Generator) -> Variants:
        return by_gold(pair, self.name, aligned=False, each=self.each)


def by_class(pair: SentencePair, language: str, strategy: str, *, function: bool, each: bool) -> Variants:
    """The function words of the target side, or those that are neither function words nor punctuation.

    Raises:
        InputError: no language.
        UnknownNameError: a language without a list.
    """
    if not language:
        raise InputError(
            f"the masking strategy {strategy} needs the language of the target side",
            remedy=f"Write {strategy}:language=de; there are lists for {', '.join(list_languages())}",
        )
    listed = [is_function_word(word, language) for word in pair.target]
    words = [
        k for k, word in enumerate(pair.target) if listed[k] == function and (function or not is_punctuation(word))
    ]
    return one_by_one(words, each)


def by_gold(pair: SentencePair, strategy: str, *, aligned: bool, each: bool) -> Variants:
    """The target words with a gold link, sure or possible, or those without.

    Raises:
        InputError: the pair has no gold links at hand.
    """
    if pair.gold is None:
        raise InputError(
            f"the masking strategy {strategy} needs gold links, and the sentence pair {pair.id} has none",
            remedy="Name a test set, or give gold links with --gold",
        )
    linked = set(pair.gold.possible.pairs[:, 1].tolist())
    return one_by_one([k for k in range(len(pair.target)) if (k in linked) == aligned], each)


def one_by_one(words: Sequence[int], each: bool) -> Variants:
    """The words as one variant, or as one variant each; none if there is no word."""
    if not words:
        return []
    return [(word,) for word in words] if each else [tuple(words)]
