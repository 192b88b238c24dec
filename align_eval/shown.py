"""Text of others (words, names of files) made safe to show: on a terminal, in Markdown, LaTeX and tab-separated cells.

Each writer of one of these forms goes through the function of its form here, and no other.
"""

from __future__ import annotations

import re
import unicodedata

# Format characters (Unicode category Cf) that letters need or that are seen: the joiners of Persian, Indic scripts and
# emoji, and the signs that stand over digits.
_NEEDED = frozenset(
    "\u200c\u200d\u0600\u0601\u0602\u0603\u0604\u0605\u06dd\u070f\u0890\u0891\u08e2\U000110bd\U000110cd"
)
_UNSEEN = ("Cc", "Cf", "Cs", "Zl", "Zp")


def shown(text: str) -> str:
    r"""One line of text that shows all that is in it: control characters, line ends and marks of direction as escapes.

    They are escaped as Python does it in ``repr``. Letters of every script stay, with their joiners.

    >>> print(shown("a\x1b[2J\nb\u202ec"))
    a\x1b[2J\nb\u202ec
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join(repr(c)[1:-1] if unicodedata.category(c) in _UNSEEN and c not in _NEEDED else c for c in text)


def one_line(text: str) -> str:
    """Text as a line of a text file: what readers take for the end of a line or of the text becomes a space."""
    return re.sub(r"\r\n|[\r\n\0]", " ", text)


def markdown(text: str) -> str:
    r"""Text in Markdown that reads as it is written: it marks nothing up and is no HTML, no link and no entity.

    >>> print(markdown("`a` [b](c) <img> &lt; opus_mt _x_"))
    \`a\` \[b\](c) \<img> \&lt; opus_mt \_x\_
    """
    text = re.sub(r"([\\`*<\[\]~|]|&(?=#?\w+;)|(?<!\w)_|_(?!\w))", r"\\\1", text)
    text = shown(text)  # a backslash before a letter stands for itself in Markdown
    return re.sub(r"^(#+|[+=-]+|>|[0-9]+(?=[.)]))([.)]?)(?=\s|(?<=>))", _not_a_block, text)


def _not_a_block(found: re.Match[str]) -> str:
    """What would begin a heading, a list or a quotation at the start of a line."""
    return f"{found[1]}\\{found[2]}" if found[2] else f"\\{found[1]}"


def markdown_code(text: str) -> str:
    """Text in a code span of Markdown, whatever marks it has in it.

    >>> markdown_code("a"), markdown_code("``x`")
    ('`a`', '``` ``x` ```')
    """
    text = shown(text)
    longest = max(map(len, re.findall("`+", text)), default=0)
    space = " " if longest or text.startswith(" ") or not text else ""
    return f"{'`' * (longest + 1)}{space}{text}{space}{'`' * (longest + 1)}"


_LATEX = str.maketrans({
    "\\": r"\textbackslash{}", "_": r"\_", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "{": r"\{", "}": r"\}",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "Δ": r"$\Delta$", "<": "$<$", ">": "$>$", "|": "$|$",
    '"': r"\textquotedbl{}", "`": r"\textasciigrave{}", "[": "{[}",  # at the start of a row it would be an option
    "*": "{*}",
})  # fmt: skip


def latex(text: str) -> str:
    r"""Text in LaTeX that prints as it is written.

    >>> print(latex("50% of \\input{x}"))
    50\% of \textbackslash{}input\{x\}
    """
    return shown(text).translate(_LATEX)


def cell(text: str) -> str:
    r"""Text as one cell of a tab-separated file: one line, without tabs, and no formula to a spreadsheet.

    What a spreadsheet would compute (it begins with ``=``, ``+``, ``-`` or ``@`` and is neither a number nor that sign
    alone) has an apostrophe before it, which spreadsheets do not show.

    >>> [cell(text) for text in ("=cmd|' '!A0", "-0.5", "-", "a\tb")]
    ["'=cmd|' '!A0", '-0.5', '-', 'a\\tb']
    """
    text = shown(text)
    formula = len(text) > 1 and text[0] in "=+-@" and not re.fullmatch(r"[+-]?[0-9]*\.?[0-9]+(e[+-]?[0-9]+)?", text)
    return f"'{text}" if formula else text
