"""Small parts of the sentences of readings: counts, shares, quoted words, series."""

from __future__ import annotations

from collections.abc import Sequence


def of(part: float, whole: int) -> str:
    """How many of how many; a part that ties made fractional keeps two digits.

    >>> of(4.0, 4), of(2.5, 4)
    ('4 of 4', '2.5 of 4')
    """
    return f"{part:.2f}".rstrip("0").rstrip(".") + f" of {whole}"


def share(value: float) -> str:
    """A fraction in percent with one digit; in full where that digit would hide it.

    >>> share(0.0813), share(0.00012), share(0.0)
    ('8.1 %', '0.012 %', '0 %')
    """
    percent = 100 * value
    if percent == 0:
        return "0 %"
    return f"{percent:.2g} %" if abs(percent) < 0.1 else f"{percent:.1f} %"


def quoted(word: str) -> str:
    """A word in single quotation marks, whatever marks it has itself.

    >>> quoted("don't")
    "‘don't’"
    """
    return f"‘{word}’"


def series(words: Sequence[str]) -> str:
    """Words as a sentence lists them.

    >>> series(["a"]), series(["a", "b"]), series(["a", "b", "c"])
    ('a', 'a and b', 'a, b and c')
    """
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}" if words else ""


def p_value(value: float | None) -> str:
    """A p-value as it is written: ``p = 0.013``, ``p < 0.001``.

    >>> p_value(0.0126), p_value(0.0004), p_value(None)
    ('p = 0.013', 'p < 0.001', 'not tested')
    """
    if value is None:
        return "not tested"
    return "p < 0.001" if value < 0.001 else f"p = {value:.2g}"
