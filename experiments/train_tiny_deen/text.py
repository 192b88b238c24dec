"""Plain text helpers: two writing styles (raw, tokenised) of a sentence, and the key by which they are compared."""

from __future__ import annotations

import re
import unicodedata

_SPLIT = re.compile(r"([!?;:\"„“”«»()\[\]…]|(?<!\d),|,(?!\d)|(?<=\s)[-–—](?=\s))")
_FINAL_STOP = re.compile(r"(?<=[^\s.])\.(?=\s*(?:[\"“”«»)']\s*)*$)")
_CLITIC = re.compile(r"(?<=[A-Za-z])(n't|'s|'re|'ve|'ll|'d|'m|'S|N'T)(?![A-Za-z])")
_SPACES = re.compile(r" +")


def key(text: str) -> str:
    """Letters and digits alone, lower case, NFKC: two sentences are the same when their keys are equal."""
    return "".join(c for c in unicodedata.normalize("NFKC", text).lower() if c.isalnum())


def clean(text: str) -> str:
    """NFC, typographic apostrophes made plain, white space made single ASCII spaces."""
    text = unicodedata.normalize("NFC", text).replace("’", "'").replace("´", "'")
    return " ".join(text.split())


def tokenise(text: str, language: str) -> str:
    """Split punctuation and (English) clitics off by spaces; only spaces are inserted, no character changes."""
    out = _SPLIT.sub(r" \1 ", text)
    out = _FINAL_STOP.sub(" .", out)
    if language == "en":
        out = _CLITIC.sub(r" \1", out)
    return _SPACES.sub(" ", out).strip()


def detokenise(text: str, language: str) -> str:
    """Join punctuation and clitics of tokenised text to their word; only spaces are removed."""
    out = re.sub(r" ([.,!?;:…)\]]+)(?= |$)", r"\1", text)
    out = re.sub(r"([(\[„]) ", r"\1", out)
    if language == "en":
        out = re.sub(r" (n't|'s|'re|'ve|'ll|'d|'m)(?![A-Za-z])", r"\1", out)
        out = re.sub(r"(?<=[A-Za-z]) ' (s|t|re|ve|ll|d|m)(?![A-Za-z])", r"'\1", out)
        out = re.sub(r"\" ([^\"]*) \"", r'"\1"', out)
    else:
        out = re.sub(r" “", "“", out)
        out = re.sub(r"\" ([^\"]*) \"", r'"\1"', out)
    return out
