"""A sentence pair, and what it may have at most before a model or an aligner takes it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from align_eval.errors import SentenceTooLongError
from align_eval.files import raised_limit

if TYPE_CHECKING:
    from align_eval.links import GoldLinks

#: What a sentence may have at most before it goes into a model or an aligner: memory and time of a pair grow with the
#: product of its two lengths. The environment variable raises it.
MOST_WORDS = ("ALIGN_EVAL_MAX_WORDS", 5_000)
MOST_CHARACTERS = ("ALIGN_EVAL_MAX_WORD", 10_000)
MOST_SUBWORDS = ("ALIGN_EVAL_MAX_SUBWORDS", 10_000)


@dataclass(frozen=True, slots=True)
class SentencePair:
    """One sentence and its translation.

    Args:
        id: its name; the position in its file counted from 1 if the file gives none.
        source: the source words.
        target: the target words.
        gold: gold links, 0-based into ``source`` and ``target``, or ``None``.

    >>> SentencePair("1", ("the", "house"), ("das", "Haus")).source_text
    'the house'
    """

    id: str
    source: tuple[str, ...]
    target: tuple[str, ...]
    gold: GoldLinks | None = None

    @property
    def source_text(self) -> str:
        """The source words joined by single spaces."""
        return " ".join(self.source)

    @property
    def target_text(self) -> str:
        """The target words joined by single spaces."""
        return " ".join(self.target)

    def reverse(self) -> SentencePair:
        """The same pair seen from the other side: sides swapped, gold links turned round."""
        return SentencePair(self.id, self.target, self.source, None if self.gold is None else self.gold.reverse())


def check_sizes(pairs: Iterable[SentencePair]) -> None:
    """Raise :class:`SentenceTooLongError` for the first sentence that :func:`size_error` refuses."""
    for pair in pairs:
        error = pair_size_error(pair)
        if error is not None:
            raise error


def pair_size_error(pair: SentencePair, subwords: Sequence[int] = (0, 0)) -> SentenceTooLongError | None:
    """The error of a pair one side of which is too large (:func:`size_error`), or ``None``."""
    for side, words, number in (("source", pair.source, subwords[0]), ("target", pair.target, subwords[1])):
        error = size_error(f"the {side} sentence of pair {pair.id}", words, number)
        if error is not None:
            return error
    return None


def size_error(name: str, words: Sequence[str], subwords: int = 0) -> SentenceTooLongError | None:
    """The error of a sentence that is no sentence: base64, minified code, a whole file in a line; else ``None``."""
    for (variable, usual), size, what in (
        (MOST_WORDS, len(words), "words"),
        (MOST_SUBWORDS, subwords, "sub-words"),
        (MOST_CHARACTERS, max(map(len, words), default=0), "characters"),
    ):
        if size > usual and size > (most := raised_limit(variable, usual)):
            where = f"word {[len(w) for w in words].index(size) + 1} of {name}" if what == "characters" else name
            return SentenceTooLongError(
                f"{where} has {size:,} {what}, the limit is {most:,}",
                remedy=f"Leave it out (--on-long leave) or split it; {variable}={size} takes it, and memory grows with "
                "the product of both sides",
            )
    return None


# Reading builds a pair a line. The __init__ that dataclass writes for a frozen class looks up and calls
# object.__setattr__ four times; storing through the slots themselves takes half the time.
_set_id, _set_source, _set_target, _set_gold = (
    SentencePair.__dict__[name].__set__ for name in ("id", "source", "target", "gold")
)
_new = object.__new__


def make_pair(id: str, source: tuple[str, ...], target: tuple[str, ...], gold: GoldLinks | None) -> SentencePair:
    """``SentencePair(id, source, target, gold)``, faster; for readers."""
    pair = _new(SentencePair)
    _set_id(pair, id)
    _set_source(pair, source)
    _set_target(pair, target)
    _set_gold(pair, gold)
    return pair
