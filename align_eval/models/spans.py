"""Where words stand in a text, and which word each token of the text belongs to."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from align_eval.errors import ModelError
from align_eval.models.tokenized import IdArray

Span = tuple[int, int]


def word_spans(words: Sequence[str], start: int) -> tuple[Span, ...]:
    """Character spans of words that are joined by single spaces, the first at ``start``.

    >>> word_spans(["ab", "c"], 3)
    ((3, 5), (6, 7))
    """
    out = []
    for word in words:
        out.append((start, start + len(word)))
        start += len(word) + 1
    return tuple(out)


def span_owners(offsets: IdArray, spans: Sequence[Span], text: str, what: str, model: str) -> IdArray:
    """The word of each sub-word, -1 for those outside of ``spans``.

    A sub-word that is nothing but the space in front of a word belongs to it, as where the mark of a word's
    beginning is a sub-word of its own.

    Args:
        offsets: where each sub-word stands in ``text``, ``(T, 2)`` in characters.
        spans: where each word stands.
        text: the whole.
        what: what the text is of, for messages; ``model``: the model's name.

    Raises:
        ModelError: a sub-word belongs to two words.
    """
    owner = np.full(len(offsets), -1, dtype=np.int64)
    words = np.array([k for k, (start, end) in enumerate(spans) if end > start], dtype=np.int64)
    if not len(words):
        return owner
    starts, ends = np.array(spans, dtype=np.int64)[words].T
    blank = np.array([text[a:b].isspace() for a, b in offsets.tolist()], dtype=bool)
    next_word = np.minimum(np.searchsorted(starts, offsets[:, 1]), len(starts) - 1)
    lead = blank & (starts[next_word] == offsets[:, 1]) & (offsets[:, 1] - offsets[:, 0] == 1)
    # First word that ends after the sub-word begins, last word that begins before it ends.
    first = np.searchsorted(ends, offsets[:, 0], side="right")
    last = np.searchsorted(starts, offsets[:, 1], side="left") - 1
    filled = offsets[:, 1] > offsets[:, 0]
    crossing = np.flatnonzero((last > first) & filled)
    if len(crossing):
        begin, end = offsets[crossing[0]]
        raise ModelError(
            f"the tokenizer of {model} makes one sub-word of several words of {what}: {text[begin:end]!r}",
            remedy="Choose a model whose sub-words keep to the boundaries of words",
        )
    inside = (first == last) & filled
    owner[inside] = words[first[inside]]
    owner[lead] = words[next_word[lead]]
    return owner
