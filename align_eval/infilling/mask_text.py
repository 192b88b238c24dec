"""What a person writes to say which words of one sentence are to be hidden: numbers, words, or a plan."""

from __future__ import annotations

import re
import unicodedata
from typing import TYPE_CHECKING

from align_eval.errors import InputError, nearest_names
from align_eval.infilling.strategies import STRATEGIES, make_strategy, masks_of, parse_numbers

if TYPE_CHECKING:
    from align_eval.corpora import SentencePair


def masked_words(text: str, pair: SentencePair, *, language: str = "", seed: int = 12345) -> tuple[int, ...]:
    """The target words that a text names, 0-based and ascending.

    Tried in this order:

    * numbers, counted from 1: ``5-8``, ``1,3,5-8``.
    * a word of the target, or several between commas or spaces: ``laws,of``. A word that occurs several times is hidden
      everywhere; numbers pick one place.
    * a masking strategy: ``suffix:5``, ``span:share=0.5``, ``content``. It must give one set of words.

    Args:
        text: one of these.
        pair: the pair.
        language: of the target side, for the plans that ask for it.
        seed: for the plans that draw.

    Raises:
        InputError: a number or a word that the target does not have, or a plan that gives none or several sets.
        UnknownNameError: an unknown option of a plan.

    >>> from align_eval.corpora import SentencePair
    >>> pair = SentencePair("1", ("das", "Haus"), ("the", "old", "house", "."))
    >>> masked_words("old,house", pair), masked_words("2-3", pair), masked_words("suffix:2", pair)
    ((1, 2), (1, 2), (2, 3))
    """
    if re.fullmatch(r"\s*[0-9]+(\s*[-,]\s*[0-9]+)*\s*", text):
        words = parse_numbers(text)
        if words[-1] >= len(pair.target):
            raise InputError(
                f"there is no word {words[-1] + 1} in a target of {len(pair.target)} words",
                remedy=f"Words count from 1: {_numbered(pair.target)}",
            )
        return words
    named = _by_text(_nfc(text), tuple(map(_nfc, pair.target)))
    if named:
        return named
    name = text.strip().partition(":")[0].strip()
    if ":" not in text and name not in STRATEGIES:
        raise _unknown(_nfc(text), tuple(map(_nfc, pair.target)))
    variants = masks_of(make_strategy(text, language=language or None), [pair], seed)[0]
    if len(variants) != 1:
        raise InputError(
            f"the masking strategy {text} gives {len(variants)} sets of words for this target of "
            f"{len(pair.target)} words",
            remedy="Name one set: numbers such as 5-8, words such as laws,of, or a strategy such as suffix:5",
        )
    return variants[0]


def _by_text(text: str, target: tuple[str, ...]) -> tuple[int, ...]:
    """The places of the words that a text lists; none unless all of them occur."""
    for wanted in ([text.strip()], text.split(), re.split(r"[,\s]+", text.strip().strip(","))):
        if wanted and set(wanted) <= set(target):
            return tuple(k for k, word in enumerate(target) if word in wanted)
    return ()


def _nfc(text: str) -> str:
    """Composed and decomposed letters (``ü`` as one character or as two) are the same word."""
    return unicodedata.normalize("NFC", text)


def _unknown(text: str, target: tuple[str, ...]) -> InputError:
    missing = [word for word in re.split(r"[,\s]+", text.strip()) if word and word not in target]
    near = nearest_names(missing[0], [*target, *STRATEGIES.names()]) if missing else []
    hint = f"Did you mean {' or '.join(map(repr, near))}? " if near else ""
    return InputError(
        f"{missing[0] if missing else text!r} is neither a word of the target nor a masking strategy",
        remedy=f"{hint}Words: {_numbered(target)}. Plans: {', '.join(STRATEGIES.names())}",
    )


def _numbered(target: tuple[str, ...]) -> str:
    return " ".join(f"{k}:{word}" for k, word in enumerate(target, start=1))
