"""Words without a link: hand-computed pairs, punctuation, intervals, and what holds for any links."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from align_eval.corpora import SentencePair
from align_eval.errors import InputError, LengthMismatchError, LinkRangeError, UnknownNameError
from align_eval.links import Links
from align_eval.translation.coverage import coverage, coverage_tests, sentence_coverage

# "Der kleine Hund schläft heute ." - "The dog sleeps in bed ."
PAIR = SentencePair("1", ("Der", "kleine", "Hund", "schläft", "heute", "."), ("The", "dog", "sleeps", "in", "bed", "."))
LINKS = Links([(0, 0), (2, 1), (3, 2), (4, 5), (5, 5)])


def test_a_pair_by_hand() -> None:
    """kleine has no link; heute only one to the full stop; in and bed have none; the full stops do not count."""
    found = sentence_coverage(PAIR, LINKS)
    assert found.uncovered == (1, 4)
    assert found.unsupported == (3, 4)
    assert (found.source_words, found.target_words) == (5, 5)
    assert found.ratio == pytest.approx(4 / 10)


def test_a_pair_with_punctuation_counted() -> None:
    found = sentence_coverage(PAIR, LINKS, punctuation=True)
    assert found.uncovered == (1,)
    assert found.unsupported == (3, 4)
    assert (found.source_words, found.target_words) == (6, 6)


def test_a_text_by_hand() -> None:
    """Shares are of the words of the whole text, not means over sentences."""
    other = SentencePair("2", ("ja",), ())
    empty = SentencePair("3", (), ())
    found = coverage([PAIR, other, empty], [LINKS, Links(), Links()], resamples=200)
    assert found.uncovered_source == pytest.approx(100 * 3 / 6)
    assert found.unsupported_target == pytest.approx(100 * 2 / 5)
    assert found.worst(5) == [1, 0]  # "ja" is left out altogether
    assert found.worst(1) == [1]
    low, high = found.ci["uncovered_source"]
    assert 0 <= low <= 50 <= high <= 100
    told = found.to_json()
    assert (told["uncovered_source_words"], told["source_words"]) == (3, 6)
    assert (told["unsupported_target_words"], told["target_words"]) == (2, 5)
    assert coverage([empty], [Links()], resamples=10).uncovered_source is None
    assert coverage([PAIR], [LINKS], resamples=0).ci == {}


def test_what_is_refused() -> None:
    with pytest.raises(LinkRangeError, match="6-0"):
        sentence_coverage(PAIR, Links([(6, 0)]))
    with pytest.raises(LengthMismatchError, match="1 sentence pairs but links of 2"):
        coverage([PAIR], [LINKS, LINKS])


@given(st.sets(st.tuples(st.integers(0, 5), st.integers(0, 5))), st.booleans())
def test_more_links_never_leave_more_words(links: set[tuple[int, int]], punctuation: bool) -> None:
    fewer = sentence_coverage(PAIR, Links(sorted(links)[::2]), punctuation=punctuation)
    more = sentence_coverage(PAIR, Links(links), punctuation=punctuation)
    assert set(more.uncovered) <= set(fewer.uncovered)
    assert set(more.unsupported) <= set(fewer.unsupported)
    turned = sentence_coverage(PAIR.reverse(), Links(links).reverse(), punctuation=punctuation)
    assert (turned.uncovered, turned.unsupported) == (more.unsupported, more.uncovered)


LINKED = st.lists(st.sets(st.tuples(st.integers(0, 5), st.integers(0, 5))), min_size=3, max_size=3)


@given(LINKED, LINKED)
def test_tests_of_coverage(first: list[set[tuple[int, int]]], other: list[set[tuple[int, int]]]) -> None:
    made = [coverage([PAIR] * 3, [Links(one) for one in links], resamples=0) for links in (first, other)]
    for test, found in coverage_tests(made[0], made[1], tests=("bootstrap", "randomisation"), resamples=50).items():
        for name in ("uncovered_source", "unsupported_target"):
            difference = found.difference[name]
            assert difference == pytest.approx(getattr(made[1], name) - getattr(made[0], name))
            p_value = found.p_value[name]
            assert p_value is not None
            assert 0 < p_value <= 1
            if [s.uncovered for s in made[0].sentences] == [s.uncovered for s in made[1].sentences]:
                assert name != "uncovered_source" or p_value == 1
            assert (name in found.ci) == (test == "bootstrap")


def test_coverage_tests_that_cannot_be() -> None:
    one, empty = coverage([PAIR], [LINKS], resamples=0), coverage([SentencePair("0", (), ())], [Links()], resamples=0)
    assert coverage_tests(one, empty, resamples=5)["randomisation"].p_value["uncovered_source"] is None
    with pytest.raises(LengthMismatchError):
        coverage_tests(one, coverage([PAIR] * 2, [LINKS] * 2, resamples=0))
    with pytest.raises(InputError):
        coverage_tests(one, one, resamples=0)
    with pytest.raises(UnknownNameError):
        coverage_tests(one, one, tests=("t",))
