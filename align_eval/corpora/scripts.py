"""Scripts that put no space between words: which a text is in, whether it was split, and what splits it."""

from __future__ import annotations

import re
from collections.abc import Iterable

#: Characters of each language's script. Kana tells Japanese from Chinese, which share the ideographs.
_SCRIPTS = {
    "ja": re.compile("[\u3041-\u30ff\u31f0-\u31ff\uff66-\uff9f]"),
    "zh": re.compile("[\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]"),
    "th": re.compile("[\u0e01-\u0e4e]"),
    "lo": re.compile("[\u0e81-\u0edf]"),
    "my": re.compile("[\u1000-\u109f\uaa60-\uaa7f]"),
    "km": re.compile("[\u1780-\u17d3]"),
}
NAMES = {"ja": "Japanese", "zh": "Chinese", "th": "Thai", "lo": "Lao", "my": "Burmese", "km": "Khmer"}
#: The tokeniser of :mod:`align_eval.corpora.tokenize` for a language; ``13a`` for all others.
TOKENIZERS = {"zh": "zh", "yue": "zh", "ja": "ja-mecab", "th": "flores200", "lo": "flores200", "my": "flores200"} | {
    "km": "flores200"
}
_LONG = 5  # characters of such a script: fewer may well be one word
_VERY_LONG = 20  # no word of any of these languages has as many
_CODES = {"zho": "zh", "cmn": "zh", "chi": "zh", "jpn": "ja", "tha": "th", "lao": "lo", "mya": "my", "khm": "km"}


def script_of(text: str) -> str | None:
    """The language whose script without spaces most of ``text`` is in, ``None`` if it is in another one.

    >>> script_of("これは本です"), script_of("这是一本书"), script_of("a book"), script_of("นี่คือหนังสือ")
    ('ja', 'zh', None, 'th')
    """
    if text.isascii():
        return None
    counts = {code: len(form.findall(text)) for code, form in _SCRIPTS.items()}
    letters = sum(character.isalpha() for character in text)
    if counts["ja"] * 10 > counts["zh"] and counts["ja"]:  # a tenth of kana is Japanese
        counts["ja"], counts["zh"] = counts["ja"] + counts["zh"], 0
    best = max(counts, key=lambda code: counts[code])
    return best if counts[best] and counts[best] * 2 >= letters else None


def unsplit(words: tuple[str, ...]) -> str | None:
    """The language of a sentence that was not split into words (one long word, or a very long one), else ``None``.

    >>> unsplit(("这是一本书",)), unsplit(("这", "是", "一", "本", "书")), unsplit(("Haus",))
    ('zh', None, None)
    """
    if not words:
        return None
    longest = max(words, key=len)
    least = _LONG if len(words) == 1 else _VERY_LONG
    if len(longest) < least or (found := script_of(longest)) is None:
        return None
    return found if sum(len(form.findall(longest)) for form in _SCRIPTS.values()) >= least else None


def tokenizer_for(language: str | None, texts: Iterable[str]) -> tuple[str, str]:
    """The tokeniser of a side, and why: by its language's code, else by the script of its ``texts``."""
    if language:
        code = re.split("[-_]", language.strip("<>_").lower())[0]
        code = _CODES.get(code, code)
        return TOKENIZERS.get(code, "13a"), f"language {language}"
    found = script_of("".join(texts))
    return (TOKENIZERS[found], f"{NAMES[found]} text") if found else ("13a", "text with spaces")
