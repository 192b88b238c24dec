"""Which words are punctuation: the one rule of the package, for masked words, attention and coverage alike."""

from __future__ import annotations

import html
import re
import unicodedata

#: The rule, as results state it.
PUNCTUATION_RULE = (
    "a word without a letter, a digit, a currency sign or one of % & @ # + = ° is punctuation (entities such as &quot; "
    "are taken for what they stand for)"
)
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
