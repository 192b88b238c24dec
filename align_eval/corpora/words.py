"""Text into words and back: tokenisers, the detokeniser, scripts without spaces, and the one rule of punctuation.

Without a tokeniser a word is what ASCII spaces separate, and nothing else: in Japanese text U+3000 can be a word.
"""

from __future__ import annotations

import html
import re
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from typing import Union, cast

from align_eval.errors import InputError, ModelError, UnknownNameError

Tokenizer = Callable[[str], Iterable[str]]
# None, a name, or a function from text to words; or two of those, for the source and the target.
Tokenize = Union[str, Tokenizer, "tuple[str | Tokenizer | None, str | Tokenizer | None]", None]
Detokenizer = Callable[[Sequence[str]], str]

_EXTRAS = {"ja-mecab": "sacrebleu[ja]", "ko-mecab": "sacrebleu[ko]"}
#: Words joined by single spaces, or by the detokeniser of Moses (package sacremoses).
DETOKENIZERS = ("none", "moses")
#: The rule, as results state it.
PUNCTUATION_RULE = (
    "a word without a letter, a digit, a currency sign or one of % & @ # + = ° is punctuation (entities such as &quot; "
    "are taken for what they stand for)"
)


def split_words(text: str) -> tuple[str, ...]:
    """The words of ``text``: what ASCII spaces separate; two spaces make no empty word.

    >>> split_words("a  \u3000 b ")
    ('a', '\\u3000', 'b')
    """
    words = text.split(" ")
    return tuple(words) if all(words) else tuple(word for word in words if word)


def tokenizer_names() -> list[str]:
    """All names that :func:`load_tokenizer` takes: ``whitespace`` and sacrebleu's."""
    from sacrebleu.metrics.bleu import BLEU

    return sorted({"whitespace", *BLEU.TOKENIZERS})


def load_tokenizer(name: str) -> Tokenizer:
    """The function from text to words that is called ``name``.

    ``whitespace`` splits at Unicode white space. The others are sacrebleu's (Post 2018): ``13a``, ``intl``, ``zh``,
    ``char``, ``ja-mecab``, ``ko-mecab``, ``flores101``, ``flores200``, ``spm``, ``none`` and what else it has; their
    output is split at ASCII spaces.
    """
    if name == "whitespace":
        return str.split
    names = tokenizer_names()
    if name not in names:
        raise UnknownNameError("tokeniser", name, [*names, "auto"])
    from sacrebleu.metrics.bleu import BLEU

    try:
        tokenizer = cast("Callable[[str], str]", BLEU(tokenize=name).tokenizer)
    except (ImportError, RuntimeError) as error:
        package = _EXTRAS.get(name, "sentencepiece")
        first = next((line.strip() for line in str(error).splitlines() if line.strip()), "")
        raise InputError(
            f"tokeniser {name!r} needs a package: {first}", remedy=f"Install it: pip install '{package}'"
        ) from None
    except (OSError, SystemExit, EOFError) as error:
        raise ModelError(
            f"the model of tokeniser {name!r} cannot be fetched: {error}", remedy="Connect to the network once"
        ) from None
    return lambda text: split_words(tokenizer(text))


def load_tokenizers(tokenize: Tokenize) -> tuple[Tokenizer | None, Tokenizer | None]:
    """The tokenisers of source and target, ``None`` where words are split at ASCII spaces."""
    both = tokenize if isinstance(tokenize, (tuple, list)) else (tokenize, tokenize)
    if len(both) != 2:
        raise InputError(f"{len(both)} tokenisers", remedy="Pass one, or two: for the source and the target")
    for one in both:
        if not (one is None or callable(one) or isinstance(one, str)):
            raise InputError(f"tokeniser {one!r} is neither a name nor a function")
    known = {one: load_tokenizer(one) for one in dict.fromkeys(one for one in both if isinstance(one, str))}
    first, second = (known[one] if isinstance(one, str) else one for one in both)
    return first, second


def load_detokenizer(name: str, language: str | None) -> Detokenizer:
    """The function from the words of a sentence to its text: ``none`` joins words by single spaces, ``moses`` joins
    punctuation to its word (and resolves entities such as ``&quot;``) by the rules of Moses for an ISO 639-1 code.
    """
    if name not in DETOKENIZERS:
        raise UnknownNameError("way to detokenise", name, DETOKENIZERS)
    if name == "none":
        return " ".join
    if not language:
        raise InputError(
            "detokenising needs the languages of the text", remedy="Give --source-language and --target-language"
        )
    try:
        from sacremoses import MosesDetokenizer  # type: ignore[import-untyped]
    except ImportError:
        raise InputError(
            "detokenising needs the package sacremoses", remedy="Install it: pip install 'align-eval[mt]'"
        ) from None
    moses = MosesDetokenizer(lang=language)
    return lambda words: str(moses.detokenize(list(words)))


def describe_detokenizer(name: str) -> str:
    """The way as results state it: ``none``, or ``moses`` with the version of its package."""
    if name == "none":
        return name
    from importlib.metadata import version

    return f"{name} (sacremoses {version('sacremoses')})"


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
#: The tokeniser of a language; ``13a`` for all others.
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


# Signs that are read aloud as words; currency signs (Unicode category Sc) are, too.
_READ_ALOUD = frozenset("%‰‱&@#§+=±×÷°№")
_BRACKETS = {"-lrb-": "(", "-rrb-": ")", "-lsb-": "[", "-rsb-": "]", "-lcb-": "{", "-rcb-": "}"}
_OLD_MOSES = {"&bar;": "|", "&bra;": "[", "&ket;": "]"}
_ENTITY = re.compile(r"&(?:#[0-9]{1,7}|#[xX][0-9a-fA-F]{1,6}|[A-Za-z][A-Za-z0-9]{1,31});")


def plain_word(word: str) -> str:
    """What a word of a tokeniser stands for: entities and ``@-@`` of Moses, brackets of the Penn Treebank; in NFC.

    >>> [plain_word(w) for w in ("&quot;", "&apos;s", "AT&amp;T", "&#124;", "&amp;apos;", "@-@", "-LRB-", "AT&T")]
    ['"', "'s", 'AT&T', '|', "'", '-', '(', 'AT&T']
    """
    for _ in range(2):  # text that was escaped twice is seen
        if "&" in word:
            word = _ENTITY.sub(lambda m: _OLD_MOSES.get(m[0]) or html.unescape(m[0]), word)
    if len(word) > 2 and word[0] == word[-1] == "@" and not any(c.isalnum() or c == "@" for c in word[1:-1]):
        word = word[1:-1]
    return unicodedata.normalize("NFC", _BRACKETS.get(word.lower(), word))


def is_punctuation(word: str) -> bool:
    """Whether a word is punctuation by :data:`PUNCTUATION_RULE`.

    >>> [is_punctuation(w) for w in (".", "¿", "。", "``", "&quot;", "|", "%", "€", "#", "4.2", "n't", "&amp;", "")]
    [True, True, True, True, True, True, False, False, False, False, False, False, False]
    """
    return bool(word) and not any(
        c in _READ_ALOUD or unicodedata.category(c)[0] in "LN" or unicodedata.category(c) == "Sc"
        for c in plain_word(word)
    )
