"""Masking strategies: which target words are masked; :func:`make_strategy` reads a spec such as ``span:ratio=0.5``.

A strategy gives *variants* of a pair: each is a tuple of target words (0-based, ascending) that are masked together. A
strategy that does not apply to a pair (it has no aligned word, it is too short) gives none.

Each is a function of a pair with at least one target word and a random generator; its further parameters are options of
:data:`OPTIONS`.
"""

from __future__ import annotations

import inspect
import re
import unicodedata
import zlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from align_eval.corpora.words import is_punctuation
from align_eval.errors import InputError, nearest_names
from align_eval.infilling.word_lists import is_function_word, list_languages
from align_eval.registry import Option, Registry, numbers_of, parse_options, split_spec

if TYPE_CHECKING:
    from align_eval.corpora import SentencePair

Variants = list[tuple[int, ...]]
"""Sets of masked target words, 0-based, ascending."""
Rng = np.random.Generator
STRATEGIES: Registry[Callable[..., Variants]] = Registry("masking strategy")
OPTIONS = {
    "ratio": Option(float, above=0, high=1, example="0.5"),  # of the words, rounded, a half up; at least one word
    "count": Option(int, low=1, example="4"),  # so many words instead; a pair that has fewer has no variant
    "draws": Option(int, 1, low=1),  # how many sets are drawn; those drawn twice count once
    "n": Option(int, 3),
    "offset": Option(int, 0),
    "language": Option(str, "", example="de"),  # of the target side, ISO 639-1
    "each": Option(bool, False, example="yes"),  # one variant a word instead of all together
}


@dataclass(frozen=True)
class MaskingStrategy:
    """A rule that says which target words are masked, with those of its options that are given."""

    name: str
    options: dict[str, Any] = field(default_factory=dict)

    def __call__(self, pair: SentencePair, rng: Rng) -> Variants:
        """The variants of a pair; two that mask the same words are one. Strategies that draw, draw from ``rng``."""
        found = STRATEGIES.get(self.name)(pair, rng, **self.options) if pair.target else []
        return list(dict.fromkeys(tuple(sorted(set(words))) for words in found if words))

    @property
    def spec(self) -> str:
        """The name with the options that differ from their defaults: ``span:ratio=0.3,draws=2``."""
        if self.name == "positions":
            return f"positions:{number_text(self.options['words'])}"
        given = [(key, self.options[key]) for key in OPTIONS if key in self.options]
        changed = [f"{key}={_text(value)}" for key, value in given if value != OPTIONS[key].default]
        return self.name + (":" + ",".join(changed) if changed else "")


def make_strategy(spec: str | MaskingStrategy, *, language: str | None = None) -> MaskingStrategy:
    """Build a masking strategy from ``name`` or ``name:option=value,option=value``.

    A strategy is given back as it is. ``language``, of the target side, is used by the strategies that have that option
    and were not given one. ``suffix:5`` is ``suffix:count=5``; ``positions:1,3,5-8`` counts from 1.

    Raises:
        UnknownNameError: an unknown strategy or option; the message lists what exists.
        InputError: a value that cannot be.

    >>> make_strategy("span:ratio=0.3,draws=2").spec, make_strategy("positions:5,6-8").spec
    ('span:ratio=0.3,draws=2', 'positions:5-8')
    """
    strategy = spec if isinstance(spec, MaskingStrategy) else _parsed(*split_spec(spec))
    takes = inspect.signature(STRATEGIES.get(strategy.name)).parameters
    if language is not None and "language" in takes and not strategy.options.get("language"):
        strategy = replace(strategy, options={**strategy.options, "language": language})
    return strategy


def _parsed(name: str, text: str) -> MaskingStrategy:
    takes = inspect.signature(STRATEGIES.get(name)).parameters
    if name == "positions":
        return MaskingStrategy(name, {"words": tuple(sorted(n - 1 for n in numbers_of(text)))})
    if name == "suffix" and text.strip().isdecimal():
        text = f"count={text}"
    known = {key: option for key, option in OPTIONS.items() if key in takes}
    options = parse_options(f"the masking strategy {name}", text, known)
    if "ratio" in takes and not {"ratio", "count"} & set(options):
        options["ratio"] = 0.5
    if {"ratio", "count"} <= set(options):
        raise InputError(
            f"the masking strategy {name} takes a ratio or a count, not both",
            remedy=f"Write {name}:ratio=0.5 or {name}:count=4",
        )
    n, offset = options.get("n", 3), options.get("offset", 0)
    if not 0 <= offset < n:
        raise InputError(
            f"n={n} with offset={offset} is no masking strategy",
            remedy="Write nth:n=3,offset=0, with an offset from 0 to n - 1",
        )
    return MaskingStrategy(name, options)


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


def number_text(words: tuple[int, ...]) -> str:
    """The list that counts from 1 of 0-based ascending positions: ``1,3,5-8``."""
    runs: list[list[int]] = []
    for word in words:
        if runs and word == runs[-1][1] + 1:
            runs[-1][1] = word
        else:
            runs.append([word, word])
    return ",".join(f"{low + 1}" if low == high else f"{low + 1}-{high + 1}" for low, high in runs)


@STRATEGIES.register("each")
def each_word(pair: SentencePair, rng: Rng) -> Variants:
    """One variant a word, with that word alone masked."""
    return [(word,) for word in range(len(pair.target))]


@STRATEGIES.register("nth")
def nth(pair: SentencePair, rng: Rng, n: int = 3, offset: int = 0) -> Variants:
    """Mask every n-th word (n = 3 masks one and leaves two), the first after ``offset`` words, 0 to n - 1."""
    return [tuple(range(offset, len(pair.target), n))]


@STRATEGIES.register("positions")
def positions(pair: SentencePair, rng: Rng, words: tuple[int, ...]) -> Variants:
    """Mask the words at given positions, all together; a pair that lacks one of them has no variant."""
    return [words] if words[-1] < len(pair.target) else []


def _size(pair: SentencePair, ratio: float | None, count: int | None) -> int:
    words = len(pair.target)
    if ratio is None:
        return count if count is not None and count <= words else 0
    return min(words, max(1, int(ratio * words + 0.5)))


@STRATEGIES.register("random")
def random(
    pair: SentencePair, rng: Rng, ratio: float | None = None, count: int | None = None, draws: int = 1
) -> Variants:
    """Mask words drawn without replacement."""
    words, size = len(pair.target), _size(pair, ratio, count)
    return [tuple(rng.permutation(words)[:size].tolist()) for _ in range(draws)]


@STRATEGIES.register("span")
def span(
    pair: SentencePair, rng: Rng, ratio: float | None = None, count: int | None = None, draws: int = 1
) -> Variants:
    """Mask one contiguous span, at a place that is drawn: every place is as likely."""
    words, size = len(pair.target), _size(pair, ratio, count)
    if not size:
        return []
    return [tuple(range(start, start + size)) for start in rng.integers(words - size + 1, size=draws).tolist()]


@STRATEGIES.register("suffix")
def suffix(pair: SentencePair, rng: Rng, ratio: float | None = None, count: int | None = None) -> Variants:
    """Mask the last words, as a model does that drafts several words at once (Xia et al. 2023)."""
    words = len(pair.target)
    return [tuple(range(words - _size(pair, ratio, count), words))]


def _listed(name: str, pair: SentencePair, language: str) -> list[bool]:
    """Which words are in the language's list of closed-class words."""
    if not language:
        raise InputError(
            f"the masking strategy {name} needs the language of the target side",
            remedy=f"Write {name}:language=de; there are lists for {', '.join(list_languages())}",
        )
    return [is_function_word(word, language) for word in pair.target]


@STRATEGIES.register("content")
def content(pair: SentencePair, rng: Rng, language: str = "", each: bool = False) -> Variants:
    """Mask the words that are neither in the language's list of closed-class words nor punctuation."""
    listed = zip(_listed("content", pair, language), pair.target, strict=True)
    return _together([not (found or is_punctuation(word)) for found, word in listed], each)


@STRATEGIES.register("function")
def function(pair: SentencePair, rng: Rng, language: str = "", each: bool = False) -> Variants:
    """Mask the words in the language's list of closed-class words: articles, pronouns, prepositions, auxiliaries ..."""
    return _together(_listed("function", pair, language), each)


def _linked(name: str, pair: SentencePair) -> list[bool]:
    """Which words have a gold link, sure or possible."""
    if pair.gold is None:
        raise InputError(
            f"the masking strategy {name} needs gold links, and the sentence pair {pair.id} has none",
            remedy="Name a test set, or give gold links with --gold",
        )
    linked = set(pair.gold.possible.pairs[:, 1].tolist())
    return [k in linked for k in range(len(pair.target))]


@STRATEGIES.register("aligned")
def aligned(pair: SentencePair, rng: Rng, each: bool = False) -> Variants:
    """Mask the words that have a gold link, sure or possible."""
    return _together(_linked("aligned", pair), each)


@STRATEGIES.register("unaligned")
def unaligned(pair: SentencePair, rng: Rng, each: bool = False) -> Variants:
    """Mask the words that have no gold link: entropy and top-1 accuracy are measured of them, not accuracy on gold."""
    return _together([not linked for linked in _linked("unaligned", pair)], each)


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
