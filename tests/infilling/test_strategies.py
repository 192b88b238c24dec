"""Which words each masking strategy masks, and what its specs say."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from align_eval.corpora.pair import SentencePair
from align_eval.corpora.words import is_punctuation
from align_eval.errors import InputError, UnknownNameError
from align_eval.infilling.strategies import STRATEGIES, MaskingStrategy, make_strategy, masks_of, number_text
from align_eval.infilling.word_lists import (
    function_words,
    is_function_word,
    list_languages,
)
from align_eval.links import GoldLinks, Links
from align_eval.registry import numbers_of

GERMAN = SentencePair(
    "1",
    ("She", "goes", "to", "the", "train", "."),
    ("Sie", "geht", "doch", "zum", "Zug", "."),
    GoldLinks(Links([(0, 0), (1, 1)]), Links([(2, 3), (3, 3), (4, 4), (5, 5)])),
)


def variants(spec: str, pair: SentencePair = GERMAN, seed: int = 1) -> list[tuple[int, ...]]:
    return masks_of(make_strategy(spec, language="de"), [pair], seed)[0]


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ("positions:2,4-5", [(1, 3, 4)]),
        ("positions:6-7", []),
        ("each", [(0,), (1,), (2,), (3,), (4,), (5,)]),
        ("suffix", [(3, 4, 5)]),
        ("suffix:2", [(4, 5)]),
        ("suffix:ratio=1", [(0, 1, 2, 3, 4, 5)]),
        ("suffix:count=7", []),
        ("span:count=6", [(0, 1, 2, 3, 4, 5)]),
        ("span:count=7,draws=3", []),
        ("nth", [(0, 3)]),
        ("nth:n=3,offset=2", [(2, 5)]),
        ("nth:n=9,offset=8", []),
        ("random:count=7", []),
        ("random:ratio=1,draws=3", [(0, 1, 2, 3, 4, 5)]),
        ("content", [(1, 4)]),
        ("content:each=yes", [(1,), (4,)]),
        ("function", [(0, 2, 3)]),
        ("aligned", [(0, 1, 3, 4, 5)]),
        ("unaligned", [(2,)]),
        ("unaligned:each=yes", [(2,)]),
    ],
)
def test_masked_words(spec: str, expected: list[tuple[int, ...]]) -> None:
    assert variants(spec) == expected


@settings(deadline=None)
@given(words=st.integers(1, 40), ratio=st.floats(0.01, 1), draws=st.integers(1, 4), seed=st.integers(0, 1000))
def test_strategies_that_draw_mask_the_ratio(words: int, ratio: float, draws: int, seed: int) -> None:
    pair = SentencePair("1", ("a",), tuple("w" * words))
    size = min(words, max(1, int(ratio * words + 0.5)))
    for name in ("span", "random"):
        found = masks_of(MaskingStrategy(name, {"ratio": ratio, "draws": draws}), [pair], seed)[0]
        assert 1 <= len(found) <= draws
        assert len(set(found)) == len(found)
        for mask in found:
            assert len(mask) == size
            assert list(mask) == sorted(set(mask))
            assert 0 <= mask[0] <= mask[-1] < words
            assert name == "random" or mask[-1] - mask[0] == size - 1


def test_every_place_of_a_span_is_drawn() -> None:
    pairs = [SentencePair(str(k), ("a",), tuple("wwww")) for k in range(400)]
    starts = np.bincount([m[0][0] for m in masks_of(make_strategy("span:count=2"), pairs, 5)], minlength=3)
    assert starts.sum() == 400
    assert starts.min() > 100


def test_draws_hang_on_the_pair_alone() -> None:
    pairs = [SentencePair(str(k), ("a",), tuple("abcdefghij")) for k in range(6)]
    strategy = make_strategy("random:ratio=0.3")
    whole = masks_of(strategy, pairs, 7)
    assert masks_of(strategy, pairs[3:], 7) == whole[3:]
    assert masks_of(strategy, pairs, 8) != whole
    assert len({m[0] for m in whole}) > 1


@pytest.mark.parametrize("name", STRATEGIES.names())
def test_an_empty_target_has_no_variant(name: str) -> None:
    strategy = make_strategy({"positions": "positions:1"}.get(name, name), language="de")
    assert strategy(SentencePair("1", ("a",), (), GoldLinks(Links())), np.random.default_rng(0)) == []


@pytest.mark.parametrize(
    "spec",
    ["positions:1,3,5-8", "span:ratio=0.3,draws=2", "suffix:count=5", "nth:n=2,offset=1",
     "content:language=fr,each=yes", "each", "random:count=3", "aligned:each=yes"],
)  # fmt: skip
def test_specs_read_back(spec: str) -> None:
    strategy = make_strategy(spec)
    assert strategy.spec == spec
    assert make_strategy(strategy.spec) == strategy
    assert make_strategy(strategy) is strategy


def test_defaults_are_spelled_out_where_a_reader_asks() -> None:
    assert make_strategy("span").spec == "span:ratio=0.5"
    assert make_strategy("suffix:5").spec == "suffix:count=5"
    assert make_strategy("content", language="de").spec == "content:language=de"
    assert make_strategy("content:language=fr", language="de").spec == "content:language=fr"


@pytest.mark.parametrize(
    ("spec", "error", "words"),
    [
        ("spann", UnknownNameError, "Did you mean 'span'"),
        ("span:rato=0.5", UnknownNameError, "Did you mean 'ratio'"),
        ("span:ratio=x", InputError, "Write for example span:ratio=0.5"),
        ("span:ratio", InputError, "Write for example span:ratio=0.5"),
        ("span:ratio=0", InputError, "above 0"),
        ("span:ratio=nan", InputError, "out of range. Give a number above 0"),
        ("span:ratio=0.5,count=2", InputError, "not both"),
        ("span:ratio=0.5,ratio=0.5", InputError, "twice"),
        ("random:draws=0", InputError, "at least 1"),
        ("suffix:count=-1", InputError, "at least 1"),
        ("nth:n=0", InputError, "offset from 0 to n - 1"),
        ("nth:n=2,offset=2", InputError, "offset from 0 to n - 1"),
        ("aligned:each=maybe", InputError, "aligned:each=yes"),
        ("positions", InputError, "counted from 1"),
        ("positions:0", InputError, "count from 1"),
        ("positions:5-3", InputError, "backwards"),
        ("positions:a", InputError, "5-8"),
    ],
)
def test_wrong_specs_name_the_remedy(spec: str, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        make_strategy(spec)


def test_what_a_strategy_needs_of_a_pair_is_named() -> None:
    bare = SentencePair("7", ("a",), ("b",))
    with pytest.raises(InputError, match="sentence pair 7 has none"):
        masks_of(make_strategy("aligned"), [bare], 1)
    with pytest.raises(InputError, match="language of the target"):
        masks_of(make_strategy("content"), [bare], 1)
    with pytest.raises(UnknownNameError, match="function words 'xx'"):
        masks_of(make_strategy("content", language="xx"), [bare], 1)


@settings(deadline=None)
@given(st.sets(st.integers(0, 60), min_size=1))
def test_numbers_read_back(words: set[int]) -> None:
    ordered = tuple(sorted(words))
    assert numbers_of(number_text(ordered)) == [word + 1 for word in ordered]
    assert make_strategy(f"positions:{number_text(ordered)}").options == {"words": ordered}


def test_word_lists() -> None:
    assert list_languages() == ["de", "en", "es", "fr", "zh"]
    some = {
        "de": "der zum im und nicht hätte sich dass worden ihm darauf",
        "en": "the of n't 's and would themselves although don't",
        "fr": "du au l' qu' ne pas -t-il auxquelles était lorsqu'",
        "es": "el al del que se había aunque conmigo no",
        "zh": "的 了 把 被 在 我们 虽然 个 吗 没有",
    }
    content = {"de": "Gesetze", "en": "laws", "fr": "lois", "es": "leyes", "zh": "定律"}
    for language, words in some.items():
        assert set(words.split()) <= function_words(language)
        assert not is_function_word(content[language], language)
        assert not any(is_punctuation(w) or w != w.lower() for w in function_words(language))
    assert is_function_word("Zum", "de")
    assert is_function_word("L’", "fr")
    assert is_function_word("在", "zh-CN")
