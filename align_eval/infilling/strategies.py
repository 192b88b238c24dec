"""Masking strategies: which target words are masked; :func:`make_strategy` reads a spec such as ``span:ratio=0.5``.

A strategy gives *variants* of a pair: each is a tuple of target words (0-based, ascending) that are masked together. A
strategy that does not apply to a pair (it has no aligned word, it is too short) gives none.
"""

from __future__ import annotations

import dataclasses
import re
import unicodedata
import zlib
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from align_eval.corpora.words import is_punctuation
from align_eval.errors import InputError, nearest_names
from align_eval.infilling.word_lists import is_function_word, list_languages
from align_eval.registry import Registry, check_fields, numbers_of, option, options_of, parse_options, split_spec

if TYPE_CHECKING:
    from align_eval.corpora import SentencePair

Variants = list[tuple[int, ...]]
"""Sets of masked target words, 0-based, ascending."""


STRATEGIES: Registry[type[MaskingStrategy]] = Registry("masking strategy")


@dataclass(frozen=True)
class MaskingStrategy(ABC):
    """A rule that says which target words are masked. Its options are the fields; a ``name`` registers a subclass."""

    name: ClassVar[str] = ""

    def __init_subclass__(cls, *, name: str = "") -> None:
        cls.name = name
        if name:
            STRATEGIES.register(name)(cls)

    def __post_init__(self) -> None:
        check_fields(self, f"the masking strategy {self.name}")

    def __call__(self, pair: SentencePair, rng: np.random.Generator) -> Variants:
        """The variants of a pair; two that mask the same words are one. Strategies that draw, draw from ``rng``."""
        if not pair.target:
            return []
        found = self.variants(pair, rng)
        return list(dict.fromkeys(tuple(sorted(set(words))) for words in found if words))

    @abstractmethod
    def variants(self, pair: SentencePair, rng: np.random.Generator) -> Variants:
        """The strategy itself, for a pair with at least one target word."""

    @property
    def spec(self) -> str:
        """The name with the options that differ from their defaults: ``span:ratio=0.3,draws=2``."""
        values = ((f.name, getattr(self, f.name), f.default) for f in dataclasses.fields(self))
        changed = [f"{name}={_text(value)}" for name, value, default in values if value != default]
        return self.name + (":" + ",".join(changed) if changed else "")

    @classmethod
    def from_options(cls, text: str) -> MaskingStrategy:
        """The strategy from what follows the colon of its spec: ``ratio=0.3,draws=2``."""
        return cls(**parse_options(f"the masking strategy {cls.name}", text, options_of(cls)))


def make_strategy(spec: str | MaskingStrategy, *, language: str | None = None) -> MaskingStrategy:
    """Build a masking strategy from ``name`` or ``name:option=value,option=value``.

    A strategy is given back as it is. ``language``, of the target side, is used by the strategies that have that option
    and were not given one.

    Raises:
        UnknownNameError: an unknown strategy or option; the message lists what exists.
        InputError: a value that cannot be.

    >>> make_strategy("span:ratio=0.3,draws=2").spec
    'span:ratio=0.3,draws=2'
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
    mark = zlib.crc32(strategy.spec.replace("ratio=", "share=").encode())  # its first name: draws stay what they were
    found = []
    for pair in pairs:
        own = zlib.crc32("\t".join((pair.id, pair.source_text, pair.target_text)).encode())
        found.append(strategy(pair, np.random.default_rng([seed, mark, own])))
    return found


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:g}" if isinstance(value, float) else str(value)


@dataclass(frozen=True)
class Each(MaskingStrategy, name="each"):
    """One variant a word, with that word alone masked."""

    def variants(self, pair: SentencePair, rng: np.random.Generator) -> Variants:
        return [(word,) for word in range(len(pair.target))]


@dataclass(frozen=True)
class Nth(MaskingStrategy, name="nth"):
    """Mask every n-th word (n = 3 masks one and leaves two), the first after ``offset`` words, 0 to n - 1."""

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


@dataclass(frozen=True)
class Positions(MaskingStrategy, name="positions"):
    """Mask the words at given positions, all together; a pair that lacks one of them has no variant.

    In a spec words count **from 1**, as in a text that a person reads: ``positions:5-8`` or ``positions:1,3,5-8``;
    ``words`` are 0-based.

    >>> Positions((4, 5, 6, 7)).spec
    'positions:5-8'
    """

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
        return cls(tuple(n - 1 for n in numbers_of(text)))


def number_text(words: tuple[int, ...]) -> str:
    """The list that counts from 1 of 0-based ascending positions: ``1,3,5-8``."""
    runs: list[list[int]] = []
    for word in words:
        if runs and word == runs[-1][1] + 1:
            runs[-1][1] = word
        else:
            runs.append([word, word])
    return ",".join(f"{low + 1}" if low == high else f"{low + 1}-{high + 1}" for low, high in runs)


@dataclass(frozen=True)
class _Part(MaskingStrategy):
    """So many of the words (``count``; a shorter pair has no variant), or a ``ratio`` of them, by default half."""

    ratio: float | None = option(None, kind=float, above=0, high=1, example="0.5")
    count: int | None = option(None, kind=int, low=1, example="4")

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.ratio is None and self.count is None:
            object.__setattr__(self, "ratio", 0.5)
        if self.ratio is not None and self.count is not None:
            raise InputError(
                f"the masking strategy {self.name} takes a ratio or a count, not both",
                remedy=f"Write {self.name}:ratio=0.5 or {self.name}:count=4",
            )

    def size(self, pair: SentencePair) -> int:
        """How many words: the ratio rounded (a half up), at least one; 0 of a pair that has fewer than the count."""
        words = len(pair.target)
        if self.ratio is None:
            return self.count if self.count is not None and self.count <= words else 0
        return min(words, max(1, int(self.ratio * words + 0.5)))


@dataclass(frozen=True)
class Random(_Part, name="random"):
    """Mask words drawn without replacement: ``draws`` sets; those drawn twice count once."""

    draws: int = option(1, low=1)

    def variants(self, pair: SentencePair, rng: np.random.Generator) -> Variants:
        words, size = len(pair.target), self.size(pair)
        return [tuple(sorted(rng.permutation(words)[:size].tolist())) for _ in range(self.draws)]


class Span(Random, name="span"):
    """Mask one contiguous span, at a place that is drawn: every place is as likely."""

    def variants(self, pair: SentencePair, rng: np.random.Generator) -> Variants:
        words, size = len(pair.target), self.size(pair)
        if not size:
            return []
        starts = rng.integers(words - size + 1, size=self.draws).tolist()
        return [tuple(range(start, start + size)) for start in starts]


class Suffix(_Part, name="suffix"):
    """Mask the last words, as a model does that drafts several words at once (Xia et al. 2023).

    ``suffix:5`` is ``suffix:count=5``.
    """

    def variants(self, pair: SentencePair, rng: np.random.Generator) -> Variants:
        words = len(pair.target)
        return [tuple(range(words - self.size(pair), words))]

    @classmethod
    def from_options(cls, text: str) -> MaskingStrategy:
        return super().from_options(f"count={text}" if text.strip().isdecimal() else text)


@dataclass(frozen=True)
class Content(MaskingStrategy, name="content"):
    """Mask the words that are neither in the language's list of closed-class words nor punctuation.

    ``language``: of the target side, ISO 639-1; see :func:`align_eval.infilling.word_lists.list_languages`. ``each``:
    one variant a word instead of all together.

    Raises:
        InputError: no language, once it is applied; UnknownNameError: one without a list.
    """

    language: str = option("", example="de")
    each: bool = option(False, example="yes")

    def variants(self, pair: SentencePair, rng: np.random.Generator) -> Variants:
        if not self.language:
            raise InputError(
                f"the masking strategy {self.name} needs the language of the target side",
                remedy=f"Write {self.name}:language=de; there are lists for {', '.join(list_languages())}",
            )
        listed = [is_function_word(word, self.language) for word in pair.target]
        if self.name == "content":
            listed = [not (found or is_punctuation(word)) for found, word in zip(listed, pair.target, strict=True)]
        return _together(listed, self.each)


class Function(Content, name="function"):
    """Mask the words in the language's list of closed-class words: articles, pronouns, prepositions, auxiliaries ..."""


@dataclass(frozen=True)
class Aligned(MaskingStrategy, name="aligned"):
    """Mask the words that have a gold link, sure or possible; ``each``: one variant a word."""

    each: bool = option(False, example="yes")

    def variants(self, pair: SentencePair, rng: np.random.Generator) -> Variants:
        if pair.gold is None:
            raise InputError(
                f"the masking strategy {self.name} needs gold links, and the sentence pair {pair.id} has none",
                remedy="Name a test set, or give gold links with --gold",
            )
        linked = set(pair.gold.possible.pairs[:, 1].tolist())
        return _together([(k in linked) == (self.name == "aligned") for k in range(len(pair.target))], self.each)


class Unaligned(Aligned, name="unaligned"):
    """Mask the words that have no gold link: entropy and top-1 accuracy are measured of them, not accuracy on gold."""


def _together(chosen: Sequence[bool], each: bool) -> Variants:
    """The chosen words as one variant, or as one variant each; none if there is no word."""
    words = tuple(k for k, some in enumerate(chosen) if some)
    return [(word,) for word in words] if each else [words] if words else []


def masked_words(text: str, pair: SentencePair, *, language: str = "", seed: int = 12345) -> tuple[int, ...]:
    """The target words that a text names, 0-based and ascending.

    Tried in this order:

    * numbers, counted from 1: ``5-8``, ``1,3,5-8``.
    * a word of the target, or several between commas or spaces: ``laws,of``. A word that occurs several times is masked
      everywhere; numbers pick one place. Composed and decomposed letters are the same.
    * a masking strategy that gives one set of words: ``suffix:5``, ``span:ratio=0.5``, ``content``.

    ``language`` is that of the target side, for the strategies that ask for it; ``seed`` for those that draw.

    Raises:
        InputError: a number or a word that the target does not have, or a strategy that gives none or several sets.
        UnknownNameError: an unknown option of a strategy.

    >>> from align_eval.corpora import SentencePair
    >>> pair = SentencePair("1", ("das", "Haus"), ("the", "old", "house", "."))
    >>> masked_words("old,house", pair), masked_words("2-3", pair), masked_words("suffix:2", pair)
    ((1, 2), (1, 2), (2, 3))
    """
    numbered = " ".join(f"{k}:{unicodedata.normalize('NFC', word)}" for k, word in enumerate(pair.target, start=1))
    if re.fullmatch(r"\s*[0-9]+(\s*[-,]\s*[0-9]+)*\s*", text):
        words = tuple(sorted(n - 1 for n in numbers_of(text)))
        if words[-1] >= len(pair.target):
            raise InputError(
                f"there is no word {words[-1] + 1} in a target of {len(pair.target)} words",
                remedy=f"Words count from 1: {numbered}",
            )
        return words
    plain, *target = (unicodedata.normalize("NFC", part) for part in (text, *pair.target))
    listed = re.split(r"[,\s]+", plain.strip())
    for wanted in ([plain.strip()], plain.split(), [word for word in listed if word]):
        if wanted and set(wanted) <= set(target):
            return tuple(k for k, word in enumerate(target) if word in wanted)
    if ":" not in text and text.strip() not in STRATEGIES:
        missing = [word for word in listed if word and word not in target]
        near = nearest_names(missing[0], [*target, *STRATEGIES.names()]) if missing else []
        hint = f"Did you mean {' or '.join(map(repr, near))}? " if near else ""
        raise InputError(
            f"{missing[0] if missing else plain!r} is neither a word of the target nor a masking strategy",
            remedy=f"{hint}Words: {numbered}. Strategies: {', '.join(STRATEGIES.names())}",
        )
    variants = masks_of(make_strategy(text, language=language or None), [pair], seed)[0]
    if len(variants) != 1:
        raise InputError(
            f"the masking strategy {text} gives {len(variants)} sets of words for this target of "
            f"{len(pair.target)} words",
            remedy="Name one set: numbers such as 5-8, words such as laws,of, or a strategy such as suffix:5",
        )
    return variants[0]
