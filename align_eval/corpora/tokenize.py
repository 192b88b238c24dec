"""Raw text into words, on request: sacrebleu's tokenisers, or Unicode white space.

Without a tokeniser a word is what ASCII spaces separate, and nothing else: in Japanese text U+3000 can be a word.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Union, cast

from align_eval.errors import InputError, ModelError, UnknownNameError

Tokenizer = Callable[[str], Iterable[str]]
# None, a name, or a function from text to words; or two of those, for the source and the target.
Tokenize = Union[str, Tokenizer, "tuple[str | Tokenizer | None, str | Tokenizer | None]", None]

_EXTRAS = {"ja-mecab": "sacrebleu[ja]", "ko-mecab": "sacrebleu[ko]"}


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
    """Return the function from text to words that is called ``name``.

    ``whitespace`` splits at Unicode white space. The others are sacrebleu's (Post 2018): ``13a``, ``intl``, ``zh``,
    ``char``, ``ja-mecab``, ``ko-mecab``, ``flores101``, ``flores200``, ``spm``, ``none`` and what else it has; their
    output is split at ASCII spaces.

    Raises:
        UnknownNameError: no such tokeniser.
        InputError: it needs a package that is not installed.
        ModelError: its model cannot be fetched.
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
    """The tokenisers of source and target, ``None`` where words are split at ASCII spaces.

    Raises:
        InputError: neither a name, a function, nor two of those; or what :func:`load_tokenizer` raises.
    """
    both = tokenize if isinstance(tokenize, (tuple, list)) else (tokenize, tokenize)
    if len(both) != 2:
        raise InputError(f"{len(both)} tokenisers", remedy="Pass one, or two: for the source and the target")
    known: dict[str, Tokenizer] = {}
    out: list[Tokenizer | None] = []
    for one in both:
        if one is None or callable(one):
            out.append(one)
        elif isinstance(one, str):
            if one not in known:
                known[one] = load_tokenizer(one)
            out.append(known[one])
        else:
            raise InputError(f"tokeniser {one!r} is neither a name nor a function")
    return out[0], out[1]
