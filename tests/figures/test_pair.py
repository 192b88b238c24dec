"""The picture of an aligned pair: what is drawn, how it is written, what is refused."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pytest

from align_eval.corpora import SentencePair
from align_eval.errors import AlignEvalWarning, InputError
from align_eval.figures.pair import aligned_pair
from align_eval.figures.style import save
from align_eval.links import GoldLinks, Links

PAIR = SentencePair(
    "1", ("the", "red", "house"), ("das", "Haus", ",", "rot"), GoldLinks(Links([(0, 0), (2, 1)]), Links([(1, 3)]))
)
VALUES = np.arange(12, dtype=np.float32).reshape(3, 4) / 12
LINKS = Links([(0, 0), (1, 3)])


def test_words_links_and_gold_are_drawn() -> None:
    axes = aligned_pair(PAIR, VALUES, LINKS).axes[0]
    assert [t.get_text() for t in axes.get_yticklabels()] == list(PAIR.source)
    assert [t.get_text() for t in axes.get_xticklabels()] == list(PAIR.target)
    assert np.array_equal(axes.collections[0].get_array(), VALUES)
    assert axes.collections[1].get_offsets().tolist() == [[0, 0], [3, 1]], "a dot at column, row of each link"
    frames = [(round(p.get_x() + 0.44), round(p.get_y() + 0.44), p.get_linestyle()) for p in axes.patches]
    assert [f[:2] for f in frames] == [(0, 0), (3, 1), (1, 2)]
    assert [f[2] == "-" for f in frames] == [True, False, True], "sure links have full frames, possible ones dashed"


@pytest.mark.parametrize("ending", ["png", "svg", "pdf"])
def test_files_are_whole_and_repeatable(tmp_path: Path, ending: str) -> None:
    paths = [tmp_path / f"{k}.{ending}" for k in range(2)]
    for path in paths:
        save(aligned_pair(PAIR, VALUES, LINKS), path)
    first, second = (path.read_bytes() for path in paths)
    assert first == second
    assert first.startswith({"png": b"\x89PNG", "svg": b"<?xml", "pdf": b"%PDF"}[ending])
    assert [p.name for p in sorted(tmp_path.iterdir())] == [f"0.{ending}", f"1.{ending}"]


def test_refusals(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="3 source and 4 target"):
        aligned_pair(PAIR, VALUES.T, LINKS)
    with pytest.raises(InputError, match="png, svg, pdf"):
        save(aligned_pair(PAIR, VALUES, LINKS), tmp_path / "x.jpg")
    assert not list(tmp_path.iterdir())


def test_a_script_without_a_font_warns(tmp_path: Path) -> None:
    pair = SentencePair("1", ("\U0001e900",), ("\U0001e901",))  # Adlam: in none of the fonts that are tried
    with pytest.warns(AlignEvalWarning, match="no glyph"):
        save(aligned_pair(pair, np.ones((1, 1)), Links()), tmp_path / "x.png")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        save(aligned_pair(PAIR, VALUES, LINKS), tmp_path / "y.png")
