"""Words and names of others on a terminal, in Markdown, LaTeX, cells and figures: shown, never acted on."""

from __future__ import annotations

import unicodedata
import warnings
import xml.etree.ElementTree as ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from align_eval.corpora import SentencePair
from align_eval.errors import AlignEvalWarning, InputError
from align_eval.figures.pair import aligned_pair
from align_eval.figures.style import to_bytes
from align_eval.links import Links
from align_eval.report.summary import Cell, Summary
from align_eval.shown import cell, latex, markdown, markdown_code, one_line, shown
from align_eval.tables import TextTable, render_latex, render_text

BAD = [
    "\x1b[2Jx",
    "a\x0bb",
    "x\u202etxt.exe",
    "\u2066a\u2069",
    "a\nb",
    "\x00",
    "\x7f",
    "\x85",
    "\u2028",
    "\ufeffa",
    "\ud800",
]
GOOD = ["Haus", "می\u200cخواهم", "👩\u200d👩", "क्\u200dष", "物理", "e\u0301", "a b", "don’t", "\\"]


@pytest.mark.parametrize("text", BAD)
def test_what_does_not_show_is_escaped(text: str) -> None:
    out = shown(text)
    assert out != text
    assert not any(unicodedata.category(c) in ("Cc", "Cf", "Cs", "Zl", "Zp") for c in out)
    table = render_text([TextTable(text, [text], [[text]])]).replace("\n", "")
    for one in (markdown(text), markdown_code(text), latex(text), cell(text), table, str(AlignEvalWarning(text)),
                str(InputError("x", file=text))):  # fmt: skip
        assert not any(unicodedata.category(c) in ("Cc", "Cf", "Cs", "Zl", "Zp") for c in one), one


@pytest.mark.parametrize("text", GOOD)
def test_letters_of_all_scripts_stay(text: str) -> None:
    assert shown(text) == text


@given(st.text(max_size=20))
def test_escapes_are_one_line_for_every_text(text: str) -> None:
    assert len(shown(text).splitlines()) <= 1
    assert "\t" not in cell(text)
    assert len(one_line(text).split("\n")) == 1
    code = markdown_code(text)
    fence = len(code) - len(code.lstrip("`"))
    assert "`" * fence not in code[fence:-fence].replace("`" * (fence + 1), "")


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("``<img src=x onerror=alert(1)>", "```` ``<img src=x onerror=alert(1)> ````"),
        ("`a` and ```b", "```` `a` and ```b ````"),
        ("</code><script>", "`</code><script>`"),
    ],
)
def test_a_code_span_is_not_left(text: str, wanted: str) -> None:
    assert markdown_code(text) == (wanted if text[0] != "`" or "```" in text else f"``` {text} ```")
    page = Summary("f", "q", (text,), (Cell(0.5, 1, 2, text, "x"),), {"pair": text}).to_markdown()
    assert f"query {text!r}" in page
    assert not any(line.startswith("- <") for line in page.splitlines())


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("g\n\\input{x}\n%.talp", r"g\textbackslash{}n\textbackslash{}input\{x\}\textbackslash{}n\%.talp"),
        ("[b] a_b ^^M", r"{[}b] a\_b \textasciicircum{}\textasciicircum{}M"),
        ("* $x$ <a|b> ~#&", r"{*} \$x\$ $<$a$|$b$>$ \textasciitilde{}\#\&"),
    ],
)  # fmt: skip
def test_latex_prints_names_as_they_are(text: str, wanted: str) -> None:
    assert latex(text) == wanted
    out = render_latex([TextTable(text, ["system", "95% interval"], [[text, "1.00 - 2.00"]])], [text]).splitlines()
    assert out[0].startswith("% ")
    assert out[1].startswith("% ")
    assert out[6] == rf"{wanted} & 1.00--2.00 \\", "a row begins with no option of the line before"


@pytest.mark.parametrize("text", ["=cmd|' '!A0", "+1+cmd", "-2+3", "@SUM(A1)", "=1", "- Ja ."])
def test_a_cell_is_no_formula(text: str) -> None:
    assert cell(text) == f"'{text}"


@pytest.mark.parametrize("text", ["-0.5", "+3", "-", "-1e-05", ".5", "a=b", "12"])
def test_numbers_stay(text: str) -> None:
    assert cell(text) == text


@pytest.mark.parametrize("word", ["\x1b[2Jx", "a\x0bb", "\u202eb", "[\x1b]", "\x00"])
def test_a_figure_of_any_word_is_xml(word: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        figure = aligned_pair(
            SentencePair("1", (word, "x"), ("y", word)), None, Links([(0, 1)]), title=f"system {word}, pair 1"
        )
        svg = to_bytes(figure, "svg")
    ElementTree.fromstring(svg)
    assert "\u202e" not in svg.decode()
