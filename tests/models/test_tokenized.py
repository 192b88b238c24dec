"""Sub-words and the words they belong to."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from align_eval.errors import InputError
from align_eval.models.tokens import start_words_with_space, tokenize_words
from tests.models.tiny import byte_level, unigram, wordpiece, write_model


def test_numbers_of_words() -> None:
    backend = wordpiece()[0]
    tokens = tokenize_words(backend, [["the", "haus", "klein!"], [], ["xyz"]])
    assert [words.tolist() for words in tokens.words] == [[0, 1, 2, 2], [], [0, 0, 0]]
    assert tokens.offsets.tolist() == [0, 4, 4, 7]
    assert tokens.word_counts.tolist() == [3, 0, 1]
    assert tokens.lengths.tolist() == [4, 0, 3]
    assert len(tokens) == 3


def test_words_without_sub_words_keep_their_number() -> None:
    backend = wordpiece()[0]
    tokens = tokenize_words(backend, [["\u200b", "the", "", "\x07", "haus", "\u00ad"]])
    assert tokens.words[0].tolist() == [1, 4]
    assert tokens.silent_words(0).tolist() == [0, 2, 3, 5]


def test_a_string_is_not_a_sentence() -> None:
    with pytest.raises(InputError, match="sentence 2 is a string"):
        tokenize_words(wordpiece()[0], [["the"], "the house"])


@pytest.mark.parametrize("word", [3, None, ["house"]])
def test_a_word_is_a_string(word: Any) -> None:
    with pytest.raises(InputError, match="word 2 of sentence 2 is no string but"):
        tokenize_words(wordpiece()[0], [["the"], ["the", word]])


def test_byte_level_words_start_with_a_space() -> None:
    backend, _ = byte_level()
    assert backend.encode(["a", "the"], is_pretokenized=True).tokens[1:-1] == ["a", "the"]
    start_words_with_space(backend)
    assert backend.encode(["a", "the"], is_pretokenized=True).tokens[1:-1] == ["Ġa", "Ġ", "the"]


@settings(max_examples=100, deadline=None)
@given(st.lists(st.lists(st.text(max_size=6), max_size=6), max_size=4))
def test_any_words(sentences: list[list[str]]) -> None:
    for backend, _ in (wordpiece(), unigram(), byte_level()):
        tokens = tokenize_words(backend, sentences)
        for k, sentence in enumerate(sentences):
            words = tokens.words[k].tolist()
            assert words == sorted(words)
            assert len(words) == len(tokens.ids[k])
            assert set(words) | set(tokens.silent_words(k).tolist()) == set(range(len(sentence)))
            alone = tokenize_words(backend, [[word] for word in sentence])
            assert tokens.ids[k].tolist() == alone.flat_ids.tolist()
            whole = backend.encode(sentence, is_pretokenized=True, add_special_tokens=False)
            assert (tokens.ids[k].tolist(), words) == (whole.ids, whole.word_ids)


def test_many_words_that_come_again() -> None:
    backend = unigram()[0]
    letters = "thehausklein\u200bxyz"
    words = [letters[a:b] for a in range(len(letters)) for b in range(a, len(letters))]
    sentences = [words, words[::-3], [], words[40:90] * 2]
    tokens = tokenize_words(backend, sentences)
    for k, sentence in enumerate(sentences):
        whole = backend.encode(sentence, is_pretokenized=True, add_special_tokens=False)
        assert tokens.ids[k].tolist() == whole.ids
        assert tokens.words[k].tolist() == whole.word_ids


def check_against_simalign(encoder: Any, sentences: list[list[str]]) -> None:
    """simalign 0.4 tokenises word by word and embeds ``is_split_into_words=True``: both must be our sub-words."""
    tokenizer = encoder.tokenizer
    tokens = encoder.tokenize(sentences)
    for k, sentence in enumerate(sentences):
        by_word = [tokenizer.tokenize(word) for word in sentence]
        assert tokens.words[k].tolist() == [i for i, parts in enumerate(by_word) for _ in parts]
        assert tokens.ids[k].tolist() == [i for parts in by_word for i in tokenizer.convert_tokens_to_ids(parts)]
        split = tokenizer(sentence, is_split_into_words=True)["input_ids"]
        assert split == [*encoder.prefix, *tokens.ids[k].tolist(), *encoder.suffix]


@pytest.mark.parametrize("kind", ["bert", "xlm-roberta", "roberta"])
def test_as_simalign(tmp_path: Path, kind: str) -> None:
    from align_eval.models import load_model

    encoder = load_model(str(write_model(tmp_path, kind)))
    check_against_simalign(encoder, [["the", "Haus", "xä!", "klein"], ["words"]])


@pytest.mark.model
@pytest.mark.shared
def test_e5_as_simalign(e5: Any, sentences: list[str]) -> None:
    words = [[word for word in sentence.split(" ") if word] for sentence in sentences[::5]]
    check_against_simalign(e5, [*words, ["\u3000", "a\u200bb", "\x07", "c"]])
