"""Two maps on one colour scale: what is drawn, that every label can be read, and what is refused."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from align_eval.attribution.matrix import ScoreMatrix, Side, View
from align_eval.errors import AlignEvalWarning, InputError, LinkRangeError, NonFiniteError, UnknownNameError
from align_eval.figures.heatmap import heatmap, paired_heatmaps
from align_eval.figures.layout import round_top
from align_eval.figures.style import DIFFERENCE_MAP, HEAT_MAP, new_figure, save, settings, texts_of
from align_eval.links import GoldLinks, Links
from tests.figures.panels import COLUMNS, ENGLISH, GOLD, maps, need_fonts

LONG = ["internationalisation" if k % 7 == 0 else "gypsy" for k in range(70)]
ABOUT = {"quantity": "cross-attention weight", "model": "tiny", "head": "layer 2, head 1", "rule": "lowest AER"}


def _maps(figure: Any) -> list[Any]:
    return [axes for axes in figure.axes if axes.get_yticklabels() and axes.get_label() != "<colorbar>" and _mesh(axes)]


def _mesh(axes: Any) -> Any:
    found = [c for c in axes.collections if type(c).__name__ == "QuadMesh" and c.get_array().ndim == 2]
    return found[0] if found and axes.get_xlim()[0] == -0.5 else None


def _boxes(texts: list[Any]) -> list[Any]:
    renderer = texts[0].get_figure().canvas.get_renderer()
    return [text.get_window_extent(renderer) for text in texts if text.get_text()]


def _assert_readable(figure: Any, smallest: float = 5.0) -> None:
    """No label touches another or a map; none leaves the figure; none is too small."""
    figure.dpi = 200  # as it is saved
    with settings():
        _check_places(figure, smallest)


def _check_places(figure: Any, smallest: float) -> None:
    figure.canvas.draw()
    page = figure.bbox
    for axes in _maps(figure):
        rows, columns = axes.get_yticklabels(), axes.get_xticklabels()
        for labels in (rows, columns):
            boxes = _boxes(labels)
            for a, b in itertools.pairwise(boxes):
                assert not a.shrunk(0.98, 0.98).overlaps(b.shrunk(0.98, 0.98)), "two labels touch"
            for box in boxes:
                assert page.x0 <= box.x0
                assert box.x1 <= page.x1
                assert page.y0 <= box.y0
                assert box.y1 <= page.y1
                assert not box.shrunk(0.95, 0.95).overlaps(axes.bbox), "a label lies on the map"
            assert all(text.get_fontsize() >= smallest - 1e-6 for text in labels)
    for text, box in zip(figure.texts, _boxes(figure.texts), strict=True):
        assert page.x0 <= box.x0, text.get_text()
        assert box.x1 <= page.x1 + 1, text.get_text()
        assert text.get_fontsize() >= smallest - 1e-6
        for axes in _maps(figure):
            assert not box.shrunk(0.95, 0.95).overlaps(axes.bbox), f"{text.get_text()!r} lies on a map"


def test_both_maps_share_one_scale_and_one_bar() -> None:
    given = maps(ENGLISH, COLUMNS["de"])
    first, second = given["full"], given["masked"]
    figure = paired_heatmaps(**given, **ABOUT)
    top, bottom = _maps(figure)
    assert len(figure.axes) == 3, "two maps and one colour bar"
    for axes, (values, labels, _) in ((top, first), (bottom, second)):
        assert np.array_equal(_mesh(axes).get_array(), values)
        assert _mesh(axes).get_clim() == (0.0, round_top(max(first[0].max(), second[0].max())))
        assert _mesh(axes).get_cmap().name == HEAT_MAP
        assert [t.get_text() for t in axes.get_yticklabels()] == list(labels)
    assert [t.get_text() for t in bottom.get_xticklabels()][-1] == "[EOS]"
    (bar,) = [axes for axes in figure.axes if axes not in (top, bottom)]
    place = bar.get_position()
    assert place.x0 > top.get_position().x1, "the bar stands at the right"
    assert place.y1 == pytest.approx(top.get_position().y1), "it spans the height of both"
    assert place.y0 == pytest.approx(bottom.get_position().y0)
    assert bar.get_ylabel() == ABOUT["quantity"]
    assert [t for t in bar.get_yticks() if -0.01 < t < 0.81] == pytest.approx([0.0, 0.2, 0.4, 0.6, 0.8])
    text = " ".join(texts_of(figure))
    for part in ABOUT.values():
        assert part in text
    assert _mesh(top).get_array().shape == (10, 12)
    boxes = [axes.get_position() for axes in (top, bottom)]
    assert boxes[0].y0 > boxes[1].y1, "full above masked"
    width, height = boxes[0].size * figure.get_size_inches()
    assert width / 12 == pytest.approx(height / 10), "cells are square"


def test_hidden_rows_stand_out() -> None:
    _, bottom = _maps(paired_heatmaps(**maps(ENGLISH, COLUMNS["de"], masked=(5, 6, 7))))
    weights = [t.get_fontweight() for t in bottom.get_yticklabels()]
    assert [k for k, weight in enumerate(weights) if weight == "bold"] == [5, 6, 7]
    assert sorted(round(p.get_y() + 0.5) for p in bottom.patches if p.get_height() == 1) == [5, 6, 7]


def test_gold_is_framed_on_request() -> None:
    given = maps(ENGLISH, COLUMNS["de"])
    plain, framed = paired_heatmaps(**given), paired_heatmaps(**given, gold=GOLD)
    assert not [c for axes in _maps(plain) for c in axes.collections if type(c).__name__ == "LineCollection"]
    for axes in _maps(framed):
        lines = [c for c in axes.collections if type(c).__name__ == "LineCollection"]
        assert [len(c.get_segments()) for c in lines] == [4, 40 - 2 * 0], "one possible cell, ten sure ones apart"
    assert "framed: gold links (dashed: possible)" in " ".join(texts_of(framed)).replace("\n", " ")
    one, sure = (np.full((2, 3), 0.3), ("a", "b"), ("x", "y", "z")), Links([(0, 0), (0, 1)])
    axes = _maps(heatmap(one, gold=GoldLinks(sure, sure)))[0]
    _, lines = [c for c in axes.collections if type(c).__name__ == "LineCollection"]
    assert len(lines.get_segments()) == 6, "cells that touch are framed together"


@pytest.mark.parametrize("arrangement", ["stacked", "side by side"])
def test_the_difference_has_its_own_scale_around_zero(arrangement: Any) -> None:
    given = maps(ENGLISH, COLUMNS["de"])
    figure = paired_heatmaps(**given, difference=True, arrangement=arrangement, **ABOUT)
    drawn = _maps(figure)
    assert len(drawn) == 3
    assert len(figure.axes) == 5
    low, high = _mesh(drawn[2]).get_clim()
    assert low == -high
    assert _mesh(drawn[2]).get_cmap().name == DIFFERENCE_MAP
    assert np.allclose(_mesh(drawn[2]).get_array(), given["masked"][0] - given["full"][0])
    _assert_readable(figure)


@pytest.mark.parametrize(
    ("columns", "width"),
    [
        ("de", None),
        ("de", "one"),
        ("de", "two"),
        ("zh", "one"),
        ("ar", None),
        ("he", "one"),
        ("hi", "two"),
        ("mixed", "one"),
    ],
)
def test_labels_of_every_script_can_be_read(columns: str, width: Any) -> None:
    if columns != "de":
        need_fonts("".join(COLUMNS[columns]).replace("</s>", ""))
    for rows, heads in ((ENGLISH, COLUMNS[columns]), (COLUMNS[columns], ENGLISH)):
        figure = paired_heatmaps(**maps(rows, heads), width=width, rows="English", columns="Others", **ABOUT)
        _assert_readable(figure)
        if width is not None:
            assert figure.get_size_inches()[0] == pytest.approx({"one": 3.3, "two": 6.9}[width])


@pytest.mark.parametrize("width", [None, "two"])
def test_long_sentences_grow_the_figure_and_not_the_clutter(width: Any) -> None:
    _assert_readable(paired_heatmaps(**maps(LONG[:60], LONG), gold=GOLD, width=width, **ABOUT))


def test_a_sentence_too_long_for_the_width_says_so() -> None:
    with pytest.warns(AlignEvalWarning, match="70 columns do not fit 3.3 inches"):
        figure = paired_heatmaps(**maps(LONG[:60], LONG), width="one")
    assert figure.get_size_inches()[0] > 3.3
    _assert_readable(figure)


def test_one_word_and_one_column() -> None:
    one = (np.ones((1, 1)), ("a",), ("b",))
    _assert_readable(paired_heatmaps(one, one, title="A title that is longer than the map", **ABOUT))


def test_it_draws_into_given_axes() -> None:
    figure = new_figure(6, 8)
    axes = list(figure.subplots(2, 1))
    assert paired_heatmaps(**maps(ENGLISH, COLUMNS["de"]), axes=axes, **ABOUT) is figure
    assert all(_mesh(a) is not None for a in axes)
    assert ABOUT["rule"] in axes[0].get_title(loc="left")
    with pytest.raises(InputError, match="2 axes for 3"):
        paired_heatmaps(**maps(ENGLISH, COLUMNS["de"]), difference=True, axes=axes)


@pytest.mark.parametrize("ending", ["png", "svg", "pdf"])
def test_files_are_repeatable_and_exactly_as_wide_as_asked_for(tmp_path: Path, ending: str) -> None:
    paths = [tmp_path / f"{k}.{ending}" for k in range(2)]
    for path in paths:
        save(paired_heatmaps(**maps(ENGLISH, COLUMNS["de"]), gold=GOLD, width="one", **ABOUT), path)
    assert paths[0].read_bytes() == paths[1].read_bytes()
    if ending == "png":
        width = int.from_bytes(paths[0].read_bytes()[16:20], "big")
        assert width == round(3.3 * 200)
    if ending == "svg":
        text = paths[0].read_text("utf-8")
        assert "·alischen" in text, "text stays text"
        assert "<image" not in text.split("</defs>")[-1] or text.count("<image") <= 1, "cells are vectors"


def test_what_cannot_be_paired_is_refused() -> None:
    given = maps(ENGLISH, COLUMNS["de"])
    full, (values, rows, columns) = given["full"], given["masked"]
    with pytest.raises(InputError, match="12 and 3 columns"):
        paired_heatmaps(full, (values[:, :3], rows, columns[:3]))
    with pytest.raises(InputError, match=r"column 12 of the maps is '\[EOS\]' in one and '\[BOS\]' in the other"):
        paired_heatmaps(full, (values, rows, (*columns[:-1], "[BOS]")))
    fewer = (values[:4], rows[:4], columns)
    assert len(_maps(paired_heatmaps(full, fewer))) == 2, "other rows can be paired"
    with pytest.raises(InputError, match="10 and 4 rows"):
        paired_heatmaps(full, fewer, difference=True)
    with pytest.raises(UnknownNameError, match="stacked"):
        paired_heatmaps(**given, arrangement="beside")  # type: ignore[arg-type]
    with pytest.raises(UnknownNameError, match="figure width"):
        paired_heatmaps(**given, width="three")  # type: ignore[arg-type]


def test_what_cannot_be_drawn_is_refused() -> None:
    with pytest.raises(InputError, match=r"a map of shape \(2, 3\) for 1 row and 3 column"):
        heatmap((np.zeros((2, 3)), ("a",), ("x", "y", "z")))
    with pytest.raises(InputError, match=r"masked words \[1\] of 1"):
        heatmap((np.zeros((1, 1)), ("a",), ("x",)), masked=[1])
    with pytest.raises(InputError, match="cannot be drawn"):
        heatmap((np.zeros((0, 1)), (), ("x",)))
    for bad in (np.zeros(3), [[1.0], [1.0, 2.0]], "text", (np.zeros((1, 1)), ("a",))):
        with pytest.raises(InputError, match="rows x columns"):
            heatmap(bad)  # type: ignore[arg-type]
    with pytest.raises(NonFiniteError):
        heatmap(np.full((1, 1), np.nan))
    with pytest.raises(LinkRangeError):
        heatmap((Links([(0, 1)]), ("a",), ("x",)))
    with pytest.raises(LinkRangeError):
        heatmap(np.ones((1, 1)), gold=GoldLinks(Links([(0, 1)]), Links([(0, 1)])))


def test_arrays_and_links_go_in_as_they_are() -> None:
    figure = new_figure(3, 3)
    axes = figure.add_subplot()
    values = np.arange(6.0).reshape(2, 3)
    assert heatmap(values, ax=axes) is figure
    assert np.array_equal(_mesh(axes).get_array(), values)
    assert [t.get_text() for t in axes.get_xticklabels()] == ["0", "1", "2"]
    linked = heatmap((Links([(0, 0), (2, 1)]), ("a", "b", "c"), ("x", "y")), title="links").axes[0]
    assert _mesh(linked).get_array().tolist() == [[1, 0], [0, 0], [0, 1]]
    assert [t.get_text() for t in linked.get_yticklabels()] == ["a", "b", "c"]
    listed = heatmap([[0.1, 0.2]], masked=[0])
    assert _mesh(heatmap(torch.tensor([[0.1, 0.2]], requires_grad=True)).axes[0]).get_array().shape == (1, 2)
    assert _mesh(listed.axes[0]).get_array().tolist() == [[0.1, 0.2]]
    scored = heatmap(Links([(0, 1)], [0.25])).axes[0]
    assert _mesh(scored).get_array().tolist() == [[0, 0.25]]


def test_gold_and_masks_of_words_reach_all_their_subwords() -> None:
    values = torch.tensor([[0.6, 0.3, 0.1]] * 2).T.expand(2, 1, 3, 2)
    source = Side(torch.tensor([[0, 0, -1]]), (3,), (1,), labels=(("▁Ge", "setze", "</s>"),))
    target = Side(torch.tensor([[0, 1]]), (2,), (2,), labels=(("▁laws", "▁?"),))
    views = (View(1, "mean", "awi"), View(2, "mean", "awi"))
    matrix = ScoreMatrix(values, source, target, views, "attention weight")
    figure = heatmap(matrix.select(2), masked=(0,), gold=GoldLinks(Links([]), Links([(0, 0)])), title="t")
    axes, bar = figure.axes
    assert [t.get_text() for t in axes.get_xticklabels()] == ["Ge", "·setze", "[EOS]"]
    assert [t.get_fontweight() for t in axes.get_yticklabels()] == ["bold", "normal"]
    assert bar.get_ylabel() == "attention weight"
    possible, sure = [c for c in axes.collections if type(c).__name__ == "LineCollection"]
    assert len(sure.get_segments()) == 0
    assert len(possible.get_segments()) == 6, "both subwords of the word, framed together"
    with pytest.raises(InputError, match="2 heads"):
        heatmap(matrix)
    with pytest.raises(InputError, match="2 sentence pairs"):
        heatmap(matrix.pick([0, 0]))
