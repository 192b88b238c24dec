"""Maps for the tests of figures: plausible weights and labels in several scripts, without a model."""

from __future__ import annotations

import os

import numpy as np
import pytest

from align_eval.figures.labels import readable_labels
from align_eval.figures.panel import Panel
from align_eval.figures.style import covers

ENGLISH = ["What", "are", "the", "basic", "physical", "laws", "of", "the", "universe", "?"]
COLUMNS = {
    "de": ["▁Wie", "▁sind", "▁die", "▁grund", "leg", "enden", "▁phys", "ik", "alischen", "▁Gesetze", "▁?", "</s>"],
    "zh": ["▁宇宙", "的", "▁基本", "物理", "▁定律", "是", "什么", "▁？", "</s>"],
    "ar": ["▁ما", "▁هي", "▁القو", "انين", "▁الفيزيائية", "▁الأساسية", "▁للكون", "▁؟", "</s>"],
    "he": ["▁מהם", "▁חוקי", "▁הפיז", "יקה", "▁הבסיסיים", "▁של", "▁היקום", "▁?", "</s>"],
    "hi": ["▁ब्रह्मांड", "▁के", "▁मूल", "▁भौतिक", "▁नियम", "▁क्या", "▁हैं", "▁?", "</s>"],
    "mixed": ["▁物理", "▁ब्रह्मांड", "▁القوانين", "▁gypsy", "##ing", "▁Ψ", "▁🙂"[:1], "</s>"],
}


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


def panels(rows: list[str], columns: list[str], hidden: tuple[int, ...] = (1, 2)) -> tuple[Panel, Panel]:
    """A map with nothing hidden and one with rows hidden; gold along the diagonal, one cell only possible."""
    shape = (len(rows), len(columns))
    gold = np.zeros(shape, dtype=bool)
    gold[np.arange(shape[0]), np.arange(shape[0]) * (shape[1] - 1) // shape[0]] = True
    possible = np.zeros(shape, dtype=bool)
    possible[0, -1] = True
    names, heads = tuple(readable_labels(rows)), tuple(readable_labels(columns))
    shown = tuple("[MASK]" if k in hidden else name for k, name in enumerate(names))
    return (
        Panel(weights(*shape), names, heads, "Nothing hidden", (), gold, possible),
        Panel(weights(*shape, seed=1), shown, heads, "Two words hidden", hidden, gold, possible),
    )
