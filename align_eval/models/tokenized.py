"""Sentences of words as ragged sub-words, each with the word it belongs to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from align_eval.errors import InputError, ModelError
from align_eval.models.loading_errors import first_sentence, is_failure

if TYPE_CHECKING:
    from tokenizers import Tokenizer

IdArray = NDArray[np.int64]
WordArray = NDArray[np.int32]

# Words that the tokeniser gets as one sentence: each answer of its takes time.
_TOGETHER = 64


@dataclass(frozen=True)
class Tokenized:
    """The sub-words of ``n`` sentences, special ones left out.

    Args:
        flat_ids: sub-word ids of all sentences, one after the other, ``(total,)``.
        flat_words: for each the index of its word in its sentence, 0-based, never falling within a sentence.
        offsets: sentence ``k`` is ``flat_*[offsets[k]:offsets[k + 1]]``; ``(n + 1,)``.
        word_counts: words of each sentence, ``(n,)``; a word that has no sub-word counts too.

    ``ids[k]`` and ``words[k]`` are views of sentence ``k``. A word may have no sub-word (an empty string, or one that
    the model's normalisation removes, such as a lone control character): its index then is in no ``words[k]``, those
    after it keep theirs, and nothing can ever link it.
    """

    flat_ids: IdArray
    flat_words: WordArray
    offsets: NDArray[np.int64]
    word_counts: WordArray
    ids: list[IdArray] = field(init=False, repr=False)
    words: list[WordArray] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        bounds = self.offsets.tolist()
        spans = list(pairwise(bounds))
        object.__setattr__(self, "ids", [self.flat_ids[a:b] for a, b in spans])
        object.__setattr__(self, "words", [self.flat_words[a:b] for a, b in spans])

    def __len__(self) -> int:
        """The number of sentences."""
        return len(self.word_counts)

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Sub-words of each sentence, ``(n,)``."""
        return np.diff(self.offsets)

    def silent_words(self, sentence: int) -> WordArray:
        """The words of a sentence that have no sub-word, ascending."""
        every = np.arange(self.word_counts[sentence], dtype=np.int32)
        return every[~np.isin(every, self.words[sentence])]


def tokenize_words(backend: Tokenizer, sentences: Sequence[Sequence[str]]) -> Tokenized:
    """Sub-words of sentences that are split into words; each word is tokenised by itself, and only once.

    The same sub-words as ``tokenizer(sentences, is_split_into_words=True)`` gives, without the special ones, and as
    ``tokenizer.tokenize(word)`` word by word. Nothing is truncated.

    Raises:
        InputError: a sentence is a string instead of a sequence of words, or a word is no string.
    """
    _check_sentences(sentences)
    counts = np.fromiter(map(len, sentences), np.int32, len(sentences))
    first = np.zeros(len(sentences) + 1, dtype=np.int64)  # word that sentence k begins with; the end
    np.cumsum(counts, out=first[1:])
    numbers: dict[str, int] = {}
    kinds = (numbers.setdefault(word, len(numbers)) for sentence in sentences for word in sentence)
    try:
        which = np.fromiter(kinds, np.int64, int(first[-1]))
        ids, bounds = _of_each(backend, list(numbers))
    except TypeError:  # a list as a word, or one that the tokeniser refuses
        check_words(sentences)
        raise
    sizes = np.diff(bounds)[which]
    ends = np.zeros(len(which) + 1, dtype=np.int64)
    np.cumsum(sizes, out=ends[1:])
    flat = np.repeat(bounds[which] - ends[:-1], sizes) + np.arange(ends[-1])
    places = np.arange(len(which)) - np.repeat(first[:-1], counts)
    return Tokenized(ids[flat], np.repeat(places, sizes).astype(np.int32), ends[first], counts)


def _check_sentences(sentences: Sequence[Sequence[str]]) -> None:
    for k, sentence in enumerate(sentences):
        if isinstance(sentence, str):
            raise InputError(f"sentence {k + 1} is a string", remedy="Give a sequence of words: text.split(' ')")


def check_words(sentences: Sequence[Sequence[str]]) -> None:
    """Check that sentences are sequences of strings.

    Raises:
        InputError: a sentence is a string, or a word is none.
    """
    _check_sentences(sentences)
    for k, sentence in enumerate(sentences):
        for i, word in enumerate(sentence):
            if not isinstance(word, str):
                raise InputError(
                    f"word {i + 1} of sentence {k + 1} is no string but {word!r}",
                    remedy="Give strings: str(word), and '' for a missing one",
                ) from None


def _of_each(backend: Tokenizer, words: list[str]) -> tuple[IdArray, NDArray[np.int64]]:
    """Ids of words, one after the other; those of word ``k`` are ``ids[bounds[k]:bounds[k + 1]]``."""
    groups = [words[start : start + _TOGETHER] for start in range(0, len(words), _TOGETHER)]
    ids: list[int] = []
    bounds = np.zeros(len(words) + 1, dtype=np.int64)
    for k, encoding in enumerate(_encodings(backend, groups)):
        ids += encoding.ids
        sizes = np.bincount(np.array(encoding.word_ids, dtype=np.int64), minlength=len(groups[k]))
        bounds[1 + k * _TOGETHER :][: len(sizes)] = sizes
    return np.array(ids, dtype=np.int64), bounds.cumsum()


def _encodings(backend: Tokenizer, groups: list[list[str]]) -> list[Any]:
    """What the tokeniser makes of each group of words.

    Raises:
        ModelError: it contradicts itself, such as by a text that it has no sub-word for, and none for the unknown.
        TypeError: a word is no text.
    """
    try:
        return list(backend.encode_batch(groups, is_pretokenized=True, add_special_tokens=False))
    except TypeError:
        raise
    except BaseException as error:
        if not is_failure(error):
            raise
        raise ModelError(
            f"the tokenizer of the model fails: {first_sentence(str(error))}", remedy="Copy its files again"
        ) from error


def start_words_with_space(backend: Tokenizer) -> None:
    """Make byte-level tokenisers (RoBERTa, ModernBERT) treat each word as one that follows a space.

    Without it ``["a", "b"]`` would be read as ``"ab"``. Others are left alone.
    """
    import json

    from tokenizers import Tokenizer as Backend

    if backend.pre_tokenizer is None:
        return
    state = json.loads(backend.pre_tokenizer.__getstate__())

    def change(part: Any) -> bool:
        if part.get("type") == "ByteLevel" and not part.get("add_prefix_space"):
            part["add_prefix_space"] = True
            return True
        return any(change(inner) for inner in part.get("pretokenizers", ())[:1])

    if change(state):
        model = {"type": "WordLevel", "vocab": {"a": 0}, "unk_token": "a"}
        backend.pre_tokenizer = Backend.from_str(json.dumps({"model": model, "pre_tokenizer": state})).pre_tokenizer
