"""Sub-words of sentences of words for the tokenizers of translation models, fast ones and others.

A fast tokenizer traces sub-words to words itself. Those of Marian and M2M100 (SentencePiece) and of FSMT do not:
there each word is segmented by itself, which gives the same pieces as the whole sentence, because no piece crosses a
space; a tokenizer of which this is not so is refused.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from align_eval.errors import ModelError
from align_eval.models.tokenized import IdArray, Tokenized, check_words, start_words_with_space, tokenize_words


class Segmenter:
    """Sub-words of one side of a tokenizer.

    Args:
        tokenizer: of ``transformers``.
        target: the target side (Marian has a model for each).
        name: of the model, for messages.

    Raises:
        ModelError: the tokenizer keeps no boundaries between words.
    """

    def __init__(self, tokenizer: Any, *, target: bool = False, name: str = "the model") -> None:
        self.tokenizer = tokenizer
        self._backend: Any = None
        self._pieces: Any = None
        self._known: dict[str, list[int]] = {}
        if getattr(tokenizer, "is_fast", False):
            self._backend = tokenizer.backend_tokenizer
            self._backend.no_truncation()
            self._backend.no_padding()
            start_words_with_space(self._backend)
            return
        if hasattr(tokenizer, "spm_source"):
            self._pieces = tokenizer.spm_target if target else tokenizer.spm_source
            separate = target and getattr(tokenizer, "separate_vocabs", False)
            self._ids: Any = tokenizer.target_encoder if separate else tokenizer.encoder
        elif hasattr(tokenizer, "sp_model") and hasattr(tokenizer, "encoder"):
            self._pieces, self._ids = tokenizer.sp_model, tokenizer.encoder
        else:
            self._pieces, self._ids = _WordByWord(tokenizer), tokenizer.get_vocab()
            if target and hasattr(tokenizer, "get_tgt_vocab"):  # FSMT, which has the target's pieces by number
                self._ids = {piece: number for number, piece in tokenizer.decoder.items()}
        apart, together, *each = self._pieces.encode(["a b", "ab", "a", "b"], out_type=str)
        if apart == together or apart != [piece for pieces in each for piece in pieces]:
            raise ModelError(
                f"the tokenizer of {name} ({type(tokenizer).__name__}) keeps no boundaries between words",
                remedy="Choose a model with a fast tokenizer (tokenizer.json), or one of Marian, M2M100 or FSMT",
            )
        self._unknown = int(self._ids[tokenizer.unk_token])

    def __call__(self, sentences: Sequence[Sequence[str]]) -> Tokenized:
        """The sub-words of sentences of words, special ones left out, with the word of each.

        Raises:
            InputError: a sentence is a string instead of a sequence of words, or a word is no string.
        """
        if self._backend is not None:
            return tokenize_words(self._backend, sentences)
        check_words(sentences)
        fresh = sorted({word for sentence in sentences for word in sentence} - self._known.keys())
        if len(self._known) + len(fresh) > 200_000:
            fresh = sorted({word for sentence in sentences for word in sentence})
            self._known.clear()
        for word, pieces in zip(fresh, self._pieces.encode(fresh, out_type=str) if fresh else [], strict=True):
            self._known[word] = [int(self._ids.get(piece, self._unknown)) for piece in pieces]
        ids: list[int] = []
        words: list[int] = []
        offsets = np.zeros(len(sentences) + 1, dtype=np.int64)
        for k, sentence in enumerate(sentences):
            for number, word in enumerate(sentence):
                ids += self._known[word]
                words += [number] * len(self._known[word])
            offsets[k + 1] = len(ids)
        counts = np.array([len(sentence) for sentence in sentences], dtype=np.int32)
        return Tokenized(np.array(ids, dtype=np.int64), np.array(words, dtype=np.int32), offsets, counts)


class _WordByWord:
    """A tokenizer of Python's as a SentencePiece processor is called (FSMT, ProphetNet)."""

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer

    def encode(self, texts: Sequence[str], out_type: type = str) -> list[list[str]]:
        """The pieces of each text."""
        return [[str(piece) for piece in self._tokenizer.tokenize(text)] for text in texts]


def surroundings(tokenizer: Any) -> tuple[IdArray, IdArray]:
    """The special ids that a tokenizer, in the mode it is in, puts before and after one sentence."""
    if not getattr(tokenizer, "is_fast", False):
        around = np.array(tokenizer.build_inputs_with_special_tokens([-1]), dtype=np.int64)
        middle = int(np.flatnonzero(around == -1)[0])
        return around[:middle], around[middle + 1 :]
    encoding = tokenizer.backend_tokenizer.encode(["a"], is_pretokenized=True, add_special_tokens=True)
    words = np.array([-1 if word is None else word for word in encoding.word_ids])
    special = np.array(encoding.special_tokens_mask, dtype=bool) | (words < 0)
    ids = np.array(encoding.ids, dtype=np.int64)
    text = np.flatnonzero(~special)
    if not len(text):
        raise ModelError("the tokenizer gives no sub-word for the letter a", remedy="Check its vocabulary")
    return ids[: text[0]], ids[text[-1] + 1 :]
