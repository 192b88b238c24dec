"""What can be written to name the words of one sentence."""

from __future__ import annotations

import pytest

from align_eval.corpora.pair import SentencePair
from align_eval.errors import InputError
from align_eval.infilling.strategies import masked_words

TEXT = "What are the basic physical laws of the universe , in 3 ?"
PAIR = SentencePair("1", ("x",), tuple(TEXT.split(" ")))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("laws,of", (5, 6)),
        ("laws of", (5, 6)),
        ("of, laws", (5, 6)),
        ("the", (2, 7)),
        (",", (9,)),
        ("3", (2,)),
        ("5-8", (4, 5, 6, 7)),
        ("1,13", (0, 12)),
        ("suffix:5", (8, 9, 10, 11, 12)),
        ("positions:3", (2,)),
        ("nth", (0, 3, 6, 9, 12)),
        ("function", (0, 1, 2, 6, 7, 10)),
    ],
)
def test_what_is_masked(text: str, expected: tuple[int, ...]) -> None:
    assert masked_words(text, PAIR, language="en") == expected


def test_a_drawn_strategy_hangs_on_the_seed() -> None:
    assert len(masked_words("span:count=4", PAIR)) == 4
    assert len({masked_words("span:count=4", PAIR, seed=s) for s in range(20)}) > 3


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("14", "no word 14 in a target of 13 words.*1:What 2:are"),
        ("law", "Did you mean 'laws'"),
        ("laws,fo", "'fo' is neither a word"),
        ("each", "gives 13 sets"),
        ("suffix:20", "gives 0 sets"),
        ("", "neither a word"),
    ],
)
def test_what_cannot_be_masked(text: str, words: str) -> None:
    with pytest.raises(InputError, match=words):
        masked_words(text, PAIR)
