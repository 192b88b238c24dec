"""Labels: the marks of sub-words, upright and downward text, measured sizes."""

from __future__ import annotations

import numpy as np
import pytest

from align_eval.figures.style import (
    column_label,
    families,
    is_special,
    measure,
    needs_shaping,
    readable_labels,
    shapes_text,
    visible,
    wrap,
)
from tests.figures.panels import covers, need_fonts


@pytest.mark.parametrize(
    ("pieces", "labels"),
    [
        (["▁phys", "ik", "▁", "grund", "legend", "</s>"], ["phys", "·ik", "␣", "grund", "·legend", "[EOS]"]),
        (["[CLS]", "phys", "##ik", "##"], ["[CLS]", "phys", "·ik", "##"]),
        (["phys@@", "ik", "Gesetze"], ["phys", "·ik", "Gesetze"]),
        (["ĠThe", "ory", "<mask>"], ["The", "·ory", "[MASK]"]),
        (["die", "Physik", "?"], ["die", "Physik", "?"]),
        ([">>de<<", "▁<", "a\tb", "▁$x$"], [">>de<<", "<", "·a␉b", "$x$"]),
        ([], []),
    ],
)
def test_every_tokenizers_marks_become_one(pieces: list[str], labels: list[str]) -> None:
    assert readable_labels(pieces) == labels


def test_only_what_is_marked_is_special() -> None:
    assert [is_special(p) for p in ("[MASK]", "<pad>", "__de__", "[", "<", "[]", "a]")] == [True] * 3 + [False] * 4


def test_control_characters_show() -> None:
    assert visible("a\u2028b\x7f \x00") == "a␤b␡␣␀"


def test_columns_of_han_letters_run_downwards() -> None:
    assert column_label("·物理") == ("·\n物\n理", 0.0)
    assert column_label("한국") == ("한\n국", 0.0)
    assert column_label("A4版") == ("A4版", 90.0)


def test_sizes_are_of_the_text_as_it_is_drawn() -> None:
    beside, below = measure(["iiii", "WWWW"]), measure(["iiii", "WWWW"], columns=True)
    assert beside[1, 0] > 2 * beside[0, 0]
    assert np.allclose(below, beside[:, ::-1], atol=0.03), "a turned label is as tall as it was wide"
    assert measure(["MASK"], bold=(0,))[0, 0] > measure(["MASK"])[0, 0]
    assert measure(["$x_1$"])[0, 0] > measure(["x1"])[0, 0], "a dollar sign starts no formula"


def test_lines_break_at_spaces_where_they_are_full() -> None:
    text = "one two three four five six seven"
    lines = wrap(text, 8, 1.0)
    assert " ".join(lines) == text
    assert len(lines) > 1
    assert (measure(lines)[:, 0] * 8 / 72 <= 1.02).all()
    assert wrap("incomprehensibilities", 8, 0.1) == ["incomprehensibilities"]


def test_joined_letters_take_less_room_than_single_ones() -> None:
    need_fonts("القوانين हैं")
    assert shapes_text()
    joined, apart = measure(["القوانين", " ".join("القوانين").replace(" ", "\u200c")])[:, 0]
    assert joined < apart
    assert measure(["क्ष"])[0, 0] < measure(["क"])[0, 0] + measure(["ष"])[0, 0]


def test_scripts_get_their_fonts() -> None:
    need_fonts("אב عر हि 物")
    assert families("دار")[0] == "Noto Sans Arabic"
    assert families("בית")[0] == "Noto Sans Hebrew"
    assert families("घर")[0] in ("Noto Sans Devanagari", "Lohit Devanagari")
    assert families("house") == ["DejaVu Sans"]
    assert not covers("\U0001e900")
    assert [needs_shaping(text) for text in ("دار", "घर", "house", "物理", "дом")] == [True, True, False, False, False]
