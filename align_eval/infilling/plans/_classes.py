"""What content and function words, and aligned and unaligned words, have in common."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from align_eval.corpora.punctuation import is_punctuation
from align_eval.errors import InputError
from align_eval.infilling.plans.base import Variants
from align_eval.infilling.word_lists import is_function_word, list_languages

if TYPE_CHECKING:
    from align_eval.corpora import SentencePair


def by_class(pair: SentencePair, language: str, plan: str, *, function: bool, each: bool) -> Variants:
    """The function words of the target side, or those that are neither function words nor punctuation.

    Raises:
        InputError: no language.
        UnknownNameError: a language without a list.
    """
    if not language:
        raise InputError(
            f"the mask plan {plan} needs the language of the target side",
            remedy=f"Write {plan}:language=de; there are lists for {', '.join(list_languages())}",
        )
    listed = [is_function_word(word, language) for word in pair.target]
    words = [
        k for k, word in enumerate(pair.target) if listed[k] == function and (function or not is_punctuation(word))
    ]
    return one_by_one(words, each)


def by_gold(pair: SentencePair, plan: str, *, aligned: bool, each: bool) -> Variants:
    """The target words with a gold link, sure or possible, or those without.

    Raises:
        InputError: the pair has no gold links at hand.
    """
    if pair.gold is None:
        raise InputError(
            f"the mask plan {plan} needs gold links, and the sentence pair {pair.id} has none",
            remedy="Name a test set, or give gold links with --gold",
        )
    linked = set(pair.gold.possible.pairs[:, 1].tolist())
    return one_by_one([k for k in range(len(pair.target)) if (k in linked) == aligned], each)


def one_by_one(words: Sequence[int], each: bool) -> Variants:
    """The words as one variant, or as one variant each; none if there is no word."""
    if not words:
        return []
    return [(word,) for word in words] if each else [tuple(words)]
