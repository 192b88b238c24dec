"""Closed-class words, one file a language: what the strategies ``content`` and ``function`` go by.

The files are UTF-8 text: ``#`` begins a comment line, ``[...]`` names a word class, all else is words between spaces,
in lower case and with straight apostrophes. A word is looked up by its form alone: German ``sein`` counts as a function
word wherever it stands.
"""

from __future__ import annotations

import unicodedata
from functools import lru_cache
from pathlib import Path

from align_eval.corpora.words import plain_word
from align_eval.errors import UnknownNameError

_APOSTROPHES = str.maketrans(dict.fromkeys("’ʼ´`‘", "'"))


def list_languages() -> list[str]:
    """The languages that have a list, as ISO 639-1 codes, sorted."""
    return sorted(path.stem for path in Path(__file__).parent.glob("*.txt"))


@lru_cache(maxsize=8)
def function_words(language: str) -> frozenset[str]:
    """All closed-class words of a language (ISO 639-1; what follows a hyphen or underscore does not count: ``zh-CN``).

    Raises:
        UnknownNameError: a language without a list.

    >>> "zum" in function_words("de"), "du" in function_words("fr"), "laws" in function_words("en")
    (True, True, False)
    """
    code = language.lower().replace("_", "-").split("-")[0]
    known = list_languages()
    if code not in known:
        raise UnknownNameError("language with a list of function words", language, known)
    lines = (Path(__file__).parent / f"{code}.txt").read_text(encoding="utf-8").splitlines()
    words = " ".join(line for line in lines if not line.startswith(("#", "[")))
    return frozenset(unicodedata.normalize("NFC", words).split())


def is_function_word(word: str, language: str) -> bool:
    """Whether a word, in any case, with any apostrophe and also as an entity, is in the list of its language."""
    plain = plain_word(word).translate(_APOSTROPHES)
    listed = function_words(language)
    return plain.lower() in listed or plain.casefold() in listed
