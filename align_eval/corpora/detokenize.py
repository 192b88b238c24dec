"""Words back into running text, on request: what a translation model was trained on is seldom tokenised."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from align_eval.errors import InputError, UnknownNameError

#: Names of the ways: words joined by single spaces, or by the detokeniser of Moses (package sacremoses).
DETOKENIZERS = ("none", "moses")

Detokenizer = Callable[[Sequence[str]], str]


def load_detokenizer(name: str, language: str | None) -> Detokenizer:
    """The function from the words of a sentence to its text.

    Args:
        name: ``none`` joins words by single spaces; ``moses`` joins punctuation to its word (and resolves entities
            such as ``&quot;``) by the rules of Moses as the package ``sacremoses`` has them.
        language: ISO 639-1 code, for ``moses``.

    Raises:
        UnknownNameError: no such way.
        InputError: sacremoses is not installed, or it needs the language.
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
