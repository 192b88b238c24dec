"""Sentences of words as tokens, each with the word that it belongs to, whatever the tokenizer.

A fast tokenizer traces tokens to words itself. Those of Marian, M2M100 and FSMT do not: there each word is segmented by
itself, which gives the same pieces as the whole sentence, because no piece crosses a space; others are refused.
"""

from __future__ import annotations

import re
import weakref
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from align_eval.errors import InputError, ModelError, nearest_names
from align_eval.models.loading_errors import first_sentence, is_failure

if TYPE_CHECKING:
    from tokenizers import Tokenizer

    from align_eval.models.adapters import Adapter

IdArray = NDArray[np.int64]
WordArray = NDArray[np.int32]

# Words that the tokeniser gets as one sentence: each answer of its takes time.
_TOGETHER = 64
# Languages: two letters, three letters as NLLB has them, name.
_TABLE = """
ar arb Arabic, bg bul Bulgarian, bn ben Bengali, cs ces Czech, da dan Danish, de deu German, el ell Greek, en eng
English, es spa Spanish, et est Estonian, fa pes Persian, fi fin Finnish, fr fra French, he heb Hebrew, hi hin Hindi,
hr hrv Croatian, hu hun Hungarian, id ind Indonesian, is isl Icelandic, it ita Italian, ja jpn Japanese, ko kor
Korean, lt lit Lithuanian, lv lvs Latvian, nl nld Dutch, no nob Norwegian, pl pol Polish, pt por Portuguese, ro ron
Romanian, ru rus Russian, sk slk Slovak, sl slv Slovenian, sr srp Serbian, sv swe Swedish, th tha Thai, tr tur
Turkish, uk ukr Ukrainian, ur urd Urdu, vi vie Vietnamese, zh zho Chinese
"""
_ROWS = [row.split() for row in _TABLE.split(",")]
ISO3 = {code: iso3 for code, iso3, _ in _ROWS}
NAMES = {code: name for code, _, name in _ROWS}


_MARK = "▁"
# Hiragana, katakana and ideographs, of which words are written without spaces.
_CJK = re.compile("[\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]")


@dataclass(frozen=True)
class Tokenized:
    """The sub-words of ``n`` sentences, special ones left out.

    Args:
        flat_ids: sub-word ids of all sentences, one after the other, ``(total,)``.
        flat_words: for each the index of its word in its sentence, 0-based, never falling within a sentence.
        offsets: sentence ``k`` is ``flat_*[offsets[k]:offsets[k + 1]]``; ``(n + 1,)``.
        word_counts: words of each sentence, ``(n,)``; a word without sub-words counts too.

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
        spans = list(pairwise(self.offsets.tolist()))
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
        return np.setdiff1d(np.arange(self.word_counts[sentence], dtype=np.int32), self.words[sentence])


def tokenize_words(backend: Tokenizer, sentences: Sequence[Sequence[str]]) -> Tokenized:
    """Sub-words of sentences that are split into words; each word is tokenised by itself, and only once.

    The same as ``tokenizer(sentences, is_split_into_words=True)`` gives, without the special ones and any truncation.

    Raises:
        InputError: a sentence is a string instead of a sequence of words, or a word is no string.
        ModelError: the tokenizer contradicts itself, such as by a text that it has no sub-word for.
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


def lone_mark(tokenizer: Any) -> int | None:
    """The token that is nothing but SentencePiece's mark of a word's start; ``None``: the tokenizer has none."""
    mark = tokenizer.convert_tokens_to_ids(_MARK)
    return None if mark is None or mark == tokenizer.unk_token_id else int(mark)


def without_lone_marks(
    tokens: Tokenized, sentences: Sequence[Sequence[str]], tokenizer: Any, rule: str = "cjk"
) -> Tokenized:
    """Leave out the lone ``▁`` that SentencePiece puts before a word whose first character begins no longer piece.

    Nearly every Chinese and Japanese word has one where text is split into words; its vector says little of the word,
    and it is close to every other. A word that has no other token keeps it.

    Args:
        tokens: of ``sentences``, by ``tokenizer``; one without such a mark changes nothing.
        rule: ``cjk``: in words with Chinese characters or kana; ``drop``: in all words; ``keep``: nowhere.
    """
    mark = None if rule == "keep" else lone_mark(tokenizer)
    ids, words = tokens.flat_ids, tokens.flat_words
    if mark is None or len(ids) < 2:
        return tokens
    # A mark is a word's first token; the next one is of the same word of the same sentence, or the word has no other.
    lone = np.flatnonzero((ids[:-1] == mark) & (words[:-1] == words[1:]))
    sentence = np.searchsorted(tokens.offsets, lone, side="right") - 1
    inside = lone + 1 < tokens.offsets[sentence + 1]
    lone, sentence = lone[inside], sentence[inside]
    if rule == "cjk":
        cjk = [bool(_CJK.search(sentences[k][w])) for k, w in zip(sentence.tolist(), words[lone].tolist(), strict=True)]
        lone = lone[np.array(cjk, dtype=bool)]
    if not len(lone):
        return tokens
    kept = np.ones(len(ids), dtype=bool)
    kept[lone] = False
    offsets = np.concatenate([[0], np.cumsum(kept)])[tokens.offsets]
    return Tokenized(ids[kept], words[kept], offsets, tokens.word_counts)


def _check_sentences(sentences: Sequence[Sequence[str]]) -> None:
    for k, sentence in enumerate(sentences):
        if isinstance(sentence, str):
            raise InputError(f"sentence {k + 1} is a string", remedy="Give a sequence of words: text.split(' ')")


def check_words(sentences: Sequence[Sequence[str]]) -> None:
    """Raise :class:`InputError` for a sentence that is a string, or a word that is none."""
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
    try:
        encodings = list(backend.encode_batch(groups, is_pretokenized=True, add_special_tokens=False))
    except TypeError:
        raise
    except BaseException as error:
        if not is_failure(error):
            raise
        raise ModelError(
            f"the tokenizer of the model fails: {first_sentence(str(error))}", remedy="Copy its files again"
        ) from error
    ids: list[int] = []
    bounds = np.zeros(len(words) + 1, dtype=np.int64)
    for k, encoding in enumerate(encodings):
        ids += encoding.ids
        sizes = np.bincount(np.array(encoding.word_ids, dtype=np.int64), minlength=len(groups[k]))
        bounds[1 + k * _TOGETHER :][: len(sizes)] = sizes
    return np.array(ids, dtype=np.int64), bounds.cumsum()


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
    """The word of each sub-word of ``text``, -1 for those outside of ``spans``.

    A sub-word that is nothing but the space in front of a word belongs to it, as where the mark of a word's
    beginning is a sub-word of its own. One that belongs to two words is a :class:`ModelError`.

    Args:
        offsets: where each sub-word stands in ``text``, ``(T, 2)`` in characters.
        spans: where each word stands.
        what, model: for messages: what the text is of, and the model's name.
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


class Segmenter:
    """Sub-words of one side of a tokenizer (Marian has a model for each); one without word boundaries is refused."""

    def __init__(self, tokenizer: Any, adapter: Adapter, *, target: bool = False, name: str = "the model") -> None:
        self.tokenizer = tokenizer
        self._known: dict[str, list[int]] = {}
        self._backend: Any = tokenizer.backend_tokenizer if getattr(tokenizer, "is_fast", False) else None
        if self._backend is not None:
            self._backend.no_truncation()
            self._backend.no_padding()
            start_words_with_space(self._backend)
            return
        self._segment, self._ids = adapter.segmentation(tokenizer, target=target)
        apart, together, *each = self._segment(["a b", "ab", "a", "b"])
        if apart == together or apart != [piece for pieces in each for piece in pieces]:
            raise ModelError(
                f"the tokenizer of {name} ({type(tokenizer).__name__}) keeps no boundaries between words",
                remedy="Choose a model with a fast tokenizer (tokenizer.json), or one of Marian, M2M100 or FSMT",
            )
        self._unknown = int(self._ids[tokenizer.unk_token])

    def __call__(self, sentences: Sequence[Sequence[str]]) -> Tokenized:
        """The sub-words of sentences of words, special ones left out, with the word of each."""
        if self._backend is not None:
            return tokenize_words(self._backend, sentences)
        check_words(sentences)
        fresh = sorted({word for sentence in sentences for word in sentence} - self._known.keys())
        if len(self._known) + len(fresh) > 200_000:
            fresh = sorted({word for sentence in sentences for word in sentence})
            self._known.clear()
        for word, pieces in zip(fresh, self._segment(fresh) if fresh else [], strict=True):
            self._known[word] = [int(self._ids.get(piece, self._unknown)) for piece in pieces]
        ids: list[int] = []
        words: list[int] = []
        offsets = [0]
        for sentence in sentences:
            for number, word in enumerate(sentence):
                ids += self._known[word]
                words += [number] * len(self._known[word])
            offsets.append(len(ids))
        counts = np.array([len(sentence) for sentence in sentences], dtype=np.int32)
        return Tokenized(np.array(ids, np.int64), np.array(words, np.int32), np.array(offsets, np.int64), counts)


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


def readable(tokenizer: Any, ids: Iterable[int], *, target: bool = False) -> tuple[str, ...]:
    """The sub-words of ``ids`` as strings, the start of a word marked as the tokenizer marks it.

    Byte-level sub-words (GPT-2, BART, RoBERTa) are turned back from their stand-in letters into text, with a space
    shown as ``▁``; bytes that are no whole letter are shown as U+FFFD. ``target``: the target side of a tokenizer that
    has two vocabularies (Marian).
    """
    names = _names_of_side(tokenizer, target)
    if names is not None:
        return tuple(str(names.get(int(number), tokenizer.unk_token)) for number in ids)
    pieces: list[str] = [str(piece) for piece in tokenizer.convert_ids_to_tokens([int(number) for number in ids])]
    decoder = getattr(getattr(tokenizer, "backend_tokenizer", None), "decoder", None)
    if decoder is None or b'"ByteLevel"' not in decoder.__getstate__():
        return tuple(pieces)
    from tokenizers.decoders import ByteLevel

    special, own = set(tokenizer.all_special_tokens), ByteLevel()
    return tuple(piece if piece in special else own.decode([piece]).replace(" ", "▁") for piece in pieces)


_NAMES: weakref.WeakKeyDictionary[Any, dict[int, str]] = weakref.WeakKeyDictionary()


def _names_of_side(tokenizer: Any, target: bool) -> dict[int, str] | None:
    """The vocabulary of one side by number, where the tokenizer's own conversion is that of the other; else ``None``.

    It is turned once a tokenizer (a vocabulary of 58,000 takes 16 ms).
    """
    if target and getattr(tokenizer, "separate_vocabs", False):  # Marian
        vocabulary = tokenizer.target_encoder
    elif not target and hasattr(tokenizer, "get_src_vocab"):  # FSMT
        vocabulary = None if tokenizer in _NAMES else tokenizer.get_src_vocab()
    else:
        return None
    names = _NAMES.get(tokenizer)
    if names is None or (vocabulary is not None and len(names) != len(vocabulary)):
        names = _NAMES[tokenizer] = {number: piece for piece, number in vocabulary.items()}
    return names


def resolve_code(codes: dict[str, str], wanted: str | None, side: str, model: str) -> str:
    """The code among ``codes`` that ``wanted`` means: itself, or the one that begins with it (``de``: ``de_DE``).

    ``codes`` are of :meth:`align_eval.models.adapters.Adapter.language_codes`; ``side`` is ``"source"`` or
    ``"target"``. Raises :class:`InputError` if none is named, none fits, or several do; the remedy lists the nearest.
    """
    option = f"{side}_language (--{side}-language)"
    if not wanted:
        some = ", ".join(sorted(codes)[:6])
        raise InputError(
            f"{model} translates between several languages and the {side} language is not named",
            remedy=f"Give {option}: one of {some}{', ...' if len(codes) > 6 else ''} ({len(codes)} in all)",
        )
    plain = wanted.removeprefix(">>").removesuffix("<<").strip("_") if wanted not in codes else wanted
    if plain in codes:
        return plain
    lower = plain.lower().replace("-", "_")
    fit = [code for code in codes if code.lower() == lower]
    for start in (lower, ISO3.get(lower, lower)):
        fit = fit or [code for code in sorted(codes) if code.lower().startswith(start + "_")]
    if not fit and ISO3.get(lower, "") in codes:
        fit = [ISO3[lower]]
    if len(fit) == 1:
        return fit[0]
    if fit:
        raise InputError(
            f"the {side} language {wanted!r} means several codes of {model}",
            remedy=f"Give {option}: one of {', '.join(fit)}",
        )
    near = dict.fromkeys([*nearest_names(plain, codes), *(c for c in sorted(codes) if c[:2].lower() == lower[:2])])
    listed = [*near][:5] or sorted(codes)[:5]
    raise InputError(
        f"{model} has no language code {wanted!r} for the {side} side",
        remedy=f"Give {option}: one of {len(codes)} codes; the nearest are {', '.join(listed)}",
    )
