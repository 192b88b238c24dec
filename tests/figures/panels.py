"""Maps for the tests of figures: plausible weights and labels in several scripts, without a model."""

from __future__ import annotations

import functools
import os
from typing import Any

import numpy as np
import pytest
from matplotlib import font_manager

from align_eval.figures.style import installed_fonts, readable_labels
from align_eval.links import GoldLinks, Links

ENGLISH = ["What", "are", "the", "basic", "physical", "laws", "of", "the", "universe", "?"]
COLUMNS = {
    "de": ["▁Wie", "▁sind", "▁die", "▁grund", "leg", "enden", "▁phys", "ik", "alischen", "▁Gesetze", "▁?", "</s>"],
    "zh": ["▁宇宙", "的", "▁基本", "物理", "▁定律", "是", "什么", "▁？", "</s>"],
    "ar": ["▁ما", "▁هي", "▁القو", "انين", "▁الفيزيائية", "▁الأساسية", "▁للكون", "▁؟", "</s>"],
    "he": ["▁מהם", "▁חוקי", "▁הפיז", "יקה", "▁הבסיסיים", "▁של", "▁היקום", "▁?", "</s>"],
    "hi": ["▁ब्रह्मांड", "▁के", "▁मूल", "▁भौतिक", "▁नियम", "▁क्या", "▁हैं", "▁?", "</s>"],
    "mixed": ["▁物理", "▁ब्रह्मांड", "▁القوانين", "▁gypsy", "##ing", "▁Ψ", "▁🙂"[:1], "</s>"],
}


@functools.cache
def _glyphs() -> frozenset[int]:
    properties = [font_manager.FontProperties(family=[name]) for name in installed_fonts()]
    return frozenset(
        letter for one in properties for letter in font_manager.get_font(font_manager.findfont(one)).get_charmap()
    )


def covers(text: str) -> bool:
    """Whether the installed fonts have a glyph for every letter of ``text``."""
    return all(ord(letter) in _glyphs() for letter in text)


def need_fonts(text: str) -> None:
    """Skip the test if no font has the letters of ``text``; fail instead where CI is true."""
    if not covers("".join(text.split())):
        message = f"no installed font has all letters of {text!r}: install fonts-noto-core and fonts-wqy-microhei"
        if os.environ.get("CI", "").lower() in ("true", "1"):
            pytest.fail(message)
        pytest.skip(message)


def weights(rows: int, columns: int, seed: int = 0) -> np.ndarray:
    """Rows that sum to 1, high along the diagonal."""
    scores = np.random.default_rng(seed).normal(0, 1, (rows, columns))
    scores[np.arange(rows), np.arange(rows) * (columns - 1) // rows] += 4
    raised = np.exp(scores)
    return raised / raised.sum(axis=1, keepdims=True)


GOLD = GoldLinks(
    Links([(k, k * 11 // 10) for k in range(10)]), Links([(k, k * 11 // 10) for k in range(10)] + [(0, 11)])
)
"""For ten rows and twelve columns: along the diagonal, one cell only possible."""


def maps(rows: list[str], columns: list[str], masked: tuple[int, ...] = (1, 2)) -> dict[str, Any]:
    """Arguments of :func:`paired_heatmaps`: an unmasked map and one with rows masked."""
    shape = (len(rows), len(columns))
    names, heads = tuple(readable_labels(rows)), tuple(readable_labels(columns))
    shown = tuple("[MASK]" if k in masked else name for k, name in enumerate(names))
    return {
        "full": (weights(*shape), names, heads), "masked": (weights(*shape, seed=1), shown, heads),
        "titles": ("Unmasked", "Two words masked"), "masked_words": ((), masked),
    }  # fmt: skip
