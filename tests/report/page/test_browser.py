"""The page in headless Chromium: what is clicked, shown, sorted, saved, and that nothing leaves the file."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from align_eval.report.page import Entry, Page, number_axis
from tests.report.page.conftest import Screen
from tests.report.page.samples import ENTRIES, EVIL, EVIL_TOO, HEADS, LAYERS, rows_that_sum_to_1, word_values

pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("browser")]

TOLERANCE = 0.51e-4  # 4 digits are shown, and 16 bits are finer than that


def number(text: str) -> float:
    return float(text.replace("\u2212", "-"))


def head(row: int, column: int) -> str:
    return f'#heads button[data-row="{row}"][data-column="{column}"]'


def text(screen: Screen, selector: str) -> str:
    return str(screen.page.text_content(selector))


def aer(counts: np.ndarray, sure: int) -> float | None:
    links, links_sure, links_possible = counts.tolist()
    return None if links + sure == 0 else 100 * (1 - (links_sure + links_possible) / (links + sure))


def sure_of(entry: Entry) -> int:
    return sum(sure for *_, sure in entry.gold or ())


def test_the_corpus_page_gives_scores_of_the_chosen_head(screen: Screen) -> None:
    screen.open()
    assert text(screen, "#title") == "A <b>model</b> on samples"
    sums = np.sum([e.counts for e in ENTRIES], axis=0)
    sure = sum(map(sure_of, ENTRIES))
    grid = np.array([[aer(sums[r, c], sure) for c in range(HEADS)] for r in range(LAYERS)])
    assert screen.page.locator("#heads [role=gridcell]").count() == LAYERS * HEADS
    # It opens at the head with the lowest AER.
    best = np.unravel_index(grid.argmin(), grid.shape)
    assert text(screen, "#corpus-scores").startswith(f"AER {grid.min():.2f} ")
    assert screen.page.get_attribute(head(*best), "aria-selected") == "true"
    screen.click(head(2, 1))
    assert text(screen, "#corpus-scores strong") == f"AER {grid[2, 1]:.2f}"
    assert screen.page.get_attribute(head(2, 1), "aria-label") == f"layer 3, head 2: {grid[2, 1]:.1f}"
    shown = screen.page.eval_on_selector_all(
        "#rows tr", "rows => rows.map(r => [r.dataset.entry, r.children[3].textContent])"
    )
    assert shown == [[str(k), f"{aer(e.counts[2, 1], sure_of(e)):.1f}"] for k, e in enumerate(ENTRIES)]  # type: ignore[index]


def test_the_list_is_sorted_filtered_and_leads_to_a_pair_and_back(screen: Screen) -> None:
    screen.open("#layer=2&head=3")
    order = "rows => rows.map(r => Number(r.dataset.entry))"
    scores = [aer(e.counts[1, 2], sure_of(e)) for e in ENTRIES]  # type: ignore[index]
    screen.click("th[data-key=aer] button")
    assert screen.page.get_attribute("th[data-key=aer]", "aria-sort") == "descending"
    worst_first = sorted(range(len(ENTRIES)), key=lambda k: (-(scores[k] or 0), k))
    assert screen.page.eval_on_selector_all("#rows tr", order) == worst_first
    screen.click("th[data-key=aer] button")
    best_first = sorted(range(len(ENTRIES)), key=lambda k: (scores[k] or 0, k))
    assert screen.page.eval_on_selector_all("#rows tr", order) == best_first
    screen.press("/")
    screen.page.keyboard.type("haus")
    screen.settle()
    assert screen.page.eval_on_selector_all("#rows tr", order) == [0]
    screen.page.fill("#filter", "nothing of the kind")
    screen.settle()
    assert screen.page.is_visible("#none-found")
    screen.page.fill("#filter", "")
    screen.click("#rows tr:nth-child(2) a")
    assert screen.hash() == f"#pair={best_first[1] + 1}&layer=2&head=3"
    assert text(screen, "#place") == f"s{best_first[1]} ({best_first[1] + 1} of 5)"
    screen.press("n")  # next in the order of the list
    assert screen.hash().startswith(f"#pair={best_first[2] + 1}&")
    screen.press("p", "b")
    assert screen.hash() == "#layer=2&head=3"
    assert screen.page.is_visible("#corpus")
    screen.page.go_back()
    screen.settle()
    assert screen.page.is_visible("#pair")
    screen.click("#back")
    assert screen.page.is_visible("#corpus")
    screen.click("th[data-key=number] button")


def test_clicking_the_grid_shows_the_values_of_that_head(screen: Screen) -> None:
    screen.open("#pair=1&layer=1&head=1")
    for row, column in ((1, 2), (2, 0)):
        screen.click(head(row, column))
        assert text(screen, "#map-title") == f"layer {row + 1}, head {column + 1}"
        assert screen.hash() == f"#pair=1&layer={row + 1}&head={column + 1}"
        for q, k in ((0, 0), (2, 3), (7, 6)):
            card = screen.hover(q, k)
            assert number(card["value"]) == pytest.approx(ENTRIES[0].values[row, column, q, k], abs=TOLERANCE)
            assert (card["query"], card["key"]) == (ENTRIES[0].query_labels[q], ENTRIES[0].key_labels[k])
    assert screen.hover(2, 2)["gold"] == "sure link"  # the sub-words of Haus and house
    assert screen.hover(2, 2)["query word"] == "Haus"
    assert screen.hover(0, 2)["gold"] == "no link"
    assert screen.hover(5, 5)["gold"] == "possible link"
    assert "gold" not in screen.hover(7, 2)  # the end of the sentence is no word


def test_words_are_sub_words_pooled_by_rule(screen: Screen) -> None:
    screen.open("#pair=1&layer=2&head=4")
    screen.click('#level [data-value="word"]')
    one = ENTRIES[0]
    expected = word_values(one.values, one.query_words, one.key_words, 5, 4)[1, 3]
    assert text(screen, "#map-size") == "5 × 4"
    for q in range(5):
        for k in range(4):
            card = screen.hover(q, k)
            assert number(card["value"]) == pytest.approx(expected[q, k], abs=2 * TOLERANCE)
            assert card["found"] == ("link" if one.links[1, 3, q, k] else "no link")  # type: ignore[index]
    assert float(card["row mass on no word"]) == pytest.approx(1 - expected[4].sum(), abs=0.0051)
    screen.press("w")
    assert text(screen, "#map-size") == "8 × 7"
    assert "level" not in screen.hash()


def test_full_masked_and_difference(screen: Screen) -> None:
    screen.open("#pair=1&layer=3&head=2")
    one = ENTRIES[0]
    assert one.changed is not None
    full, masked = one.values[2, 1, 3, 2], one.changed[2, 1, 3, 2]
    assert screen.hover(3, 2)["value"] == f"{full:.4f}"
    screen.press("m")
    card = screen.hover(3, 2)
    assert (card["value"], card["full"], card["query"]) == (f"{masked:.4f}", f"{full:.4f}", "[MASK]")
    screen.click('#variant [data-value="difference"]')
    assert number(screen.hover(3, 2)["value"]) == pytest.approx(masked - full, abs=TOLERANCE)
    assert text(screen, "#map-quantity") == "attention weight, masked less full"
    assert screen.page.eval_on_selector_all("#colours option", "all => all.map(o => o.value)") == ["RdBu", "PuOr"]
    assert screen.page.eval_on_selector_all(".word.changed", "all => all.map(e => e.textContent)") == ["Haus", "klein"]
    # Another pair has no masked map: the choice is gone, and the full map is shown.
    screen.press("n")
    assert not screen.page.is_visible("#variant-line")
    assert screen.hover(0, 0)["value"] == f"{ENTRIES[1].values[2, 1, 0, 0]:.4f}"


def test_keys_move_in_the_grid_and_toggle(screen: Screen) -> None:
    screen.open("#pair=1&layer=1&head=1")
    screen.press("ArrowRight", "ArrowDown", "ArrowDown", "ArrowDown")
    assert screen.hash() == "#pair=1&layer=3&head=2"  # the last layer is the last
    focused = "() => [document.activeElement.dataset.row, document.activeElement.dataset.column]"
    assert screen.page.evaluate(focused) == ["2", "1"]
    assert screen.page.evaluate("() => getComputedStyle(document.activeElement).outlineStyle") == "solid"
    screen.press("Home")
    assert screen.hash() == "#pair=1&layer=3&head=1"
    for key, box in (("g", "#gold"), ("l", "#links"), ("v", "#numbers")):
        before = screen.page.is_checked(box)
        screen.press(key)
        assert screen.page.is_checked(box) is not before
        screen.press(key)
    before = screen.page.input_value("#colours")
    screen.press("c")
    assert screen.page.input_value("#colours") != before
    screen.press("s")
    assert screen.page.get_attribute('#scale [data-value="all"]', "aria-checked") == "true"
    screen.press("?")
    assert screen.page.is_visible("#help-box")
    screen.press("Escape")
    assert not screen.page.is_visible("#help-box")
    assert screen.page.is_visible("#pair")


def test_the_map_is_read_by_keys(screen: Screen) -> None:
    screen.open("#pair=1&layer=1&head=2")
    assert "Map of attention weight, layer 1, head 2: 8 rows, 7 columns." in str(
        screen.page.get_attribute("#map-frame", "aria-label")
    )
    screen.page.focus("#map-frame")
    screen.press("ArrowRight", "ArrowRight", "ArrowDown")
    assert screen.card()["value"] == f"{ENTRIES[0].values[0, 1, 1, 1]:.4f}"
    assert text(screen, "#spoken").startswith(f"{ENTRIES[0].values[0, 1, 1, 1]:.4f}, query s, key e")
    screen.press("End")
    assert screen.card()["key"] == "</s>"
    assert screen.hash() == "#pair=1&layer=1&head=2"  # the grid has not moved


def test_the_colour_scale(screen: Screen) -> None:
    screen.open("#pair=1&layer=1&head=1")
    values = ENTRIES[0].values
    screen.click('#scale [data-value="own"]')
    top = values.max()
    assert text(screen, "#high-value") == f"{top:.2f}"
    screen.page.fill("#high", "0.5")
    screen.settle()
    assert text(screen, "#high-value") == f"{top / 2:.2f}"
    screen.page.fill("#low", "0.8")  # the two ends do not cross
    screen.settle()
    assert screen.page.input_value("#high") == "0.81"
    screen.click('#scale [data-value="map"]')
    assert not screen.page.is_visible("#range")


def test_light_and_dark(screen: Screen) -> None:
    theme = "() => [document.documentElement.dataset.theme, getComputedStyle(document.body).backgroundColor]"
    screen.page.emulate_media(color_scheme="dark")
    try:
        screen.open("#pair=1")
        dark = screen.page.evaluate(theme)
        screen.press("d")
        light = screen.page.evaluate(theme)
    finally:
        screen.page.emulate_media(color_scheme="light")
    assert [dark[0], light[0]] == ["dark", "light"]
    assert dark[1] != light[1]
    assert screen.open().page.evaluate(theme) == light


def test_texts_stay_texts(screen: Screen) -> None:
    screen.open("#pair=2&layer=1&head=1&level=word")
    assert screen.page.evaluate("() => window.hurt") is None
    assert screen.page.locator("img").count() == 0
    words = screen.page.eval_on_selector_all(".word", "all => all.map(e => e.textContent)")
    assert words == ["my", EVIL, "&amp;", '"x"', "mein", EVIL_TOO, r"\u2028", "ende"]
    card = screen.hover(1, 1)
    assert (card["query"], card["key"]) == (EVIL_TOO, EVIL)
    screen.press("b")
    assert EVIL in text(screen, "#rows tr:nth-child(2) a")


def test_right_to_left_and_chinese_letters(screen: Screen) -> None:
    screen.open("#pair=3&layer=1&head=1&level=word")
    directions = screen.page.eval_on_selector_all(".sentence p", "all => all.map(e => e.matches(':dir(rtl)'))")
    assert directions == [False, True]
    card = screen.hover(2, 3)
    assert (card["query"], card["key"]) == ("القوانين", "物理法則")


def saved(screen: Screen, button: str, folder: Path) -> Path:
    with screen.page.expect_download() as waiting:
        screen.page.click(button)
    path = folder / waiting.value.suggested_filename
    waiting.value.save_as(path)
    return path


def test_svg_has_frames_on_the_gold_cells(screen: Screen, tmp_path: Path) -> None:
    screen.open("#pair=1&layer=2&head=3")
    root = ET.parse(saved(screen, "#save-svg", tmp_path)).getroot()
    assert root.tag.endswith("svg")
    paths = [e.attrib for e in root.iter() if e.tag.endswith("}path")]
    frames = [p for p in paths if p.get("stroke") == "#005f9e"]
    assert len(frames) == 4
    assert sum("stroke-dasharray" in p for p in frames) == 1  # one possible link
    cells = [p for p in paths if p.get("fill", "").startswith("rgb") or p.get("fill", "").startswith("#")]
    assert len(cells) >= 8 * 7
    # das (2 sub-words) to the (2), Haus to house likewise, ist to is, klein to small: places in cells.
    cell = float(screen.page.locator("#map-frame").evaluate("e => e.dataset.cell"))
    boxes = np.array([box_of(p["d"]) for p in frames])
    assert boxes[:, 2].tolist() == boxes[:, 3].tolist() == [2 * cell - 4, 2 * cell - 4, cell - 4, cell - 4]
    assert np.round((boxes[:, :2] - boxes[0, :2]) / cell).tolist() == [[0, 0], [2, 2], [4, 4], [5, 5]]
    texts = [e.text for e in root.iter() if e.tag.endswith("}text")]
    assert "A <b>model</b> on samples" in texts
    assert any(t and "layer 2, head 3" in t for t in texts)
    screen.press("g")
    root = ET.parse(saved(screen, "#save-svg", tmp_path)).getroot()
    assert not [e for e in root.iter() if e.attrib.get("stroke") == "#005f9e"]


def box_of(path: str) -> list[float]:
    """Left, top, width and height of a rectangle as ECharts writes it: ``M73 122l72 0l0 72l-72 0Z``."""
    found = re.fullmatch(r"M([\d.]+) ([\d.]+)l([\d.]+) 0l0 ([\d.]+)l-[\d.]+ 0Z", path)
    assert found, path
    return [float(value) for value in found.groups()]


def test_an_svg_of_awkward_texts_is_well_formed(screen: Screen, tmp_path: Path) -> None:
    screen.open("#pair=2&layer=1&head=1&level=word")
    path = saved(screen, "#save-svg", tmp_path)
    texts = [e.text or "" for e in ET.parse(path).getroot().iter() if e.tag.endswith("}text")]
    assert any(t.startswith("<script>") for t in texts)
    assert not [e for e in ET.parse(path).getroot().iter() if e.tag.lower().endswith("script")]


def test_png_and_values(screen: Screen, tmp_path: Path) -> None:
    screen.open("#pair=1&layer=2&head=3")
    from PIL import Image

    with Image.open(saved(screen, "#save-png", tmp_path)) as picture:
        assert picture.format == "PNG"
        assert min(picture.size) > 600
        assert len(set(picture.convert("RGB").resize((60, 60)).get_flattened_data())) > 20
    path = saved(screen, "#save-tsv", tmp_path)
    assert path.name == "A-b-model-b-on-samples-s0-layer-2-head-3.tsv"
    lines = [line.split("\t") for line in path.read_text("utf-8").splitlines()]
    assert lines[0] == ["", *ENTRIES[0].key_labels]
    assert [line[0] for line in lines[1:]] == list(ENTRIES[0].query_labels)
    values = np.array([[float(v) for v in line[1:]] for line in lines[1:]])
    assert np.abs(values - ENTRIES[0].values[1, 2]).max() < 1e-5


def test_the_list_is_saved(screen: Screen, tmp_path: Path) -> None:
    screen.open("#layer=1&head=4")
    lines = [line.split("\t") for line in saved(screen, "#save-scores", tmp_path).read_text("utf-8").splitlines()]
    assert len(lines) == 1 + len(ENTRIES)  # U+2028 in a text does not end a line
    assert lines[0][:5] == ["id", "number", "text", "size", "aer"]
    found = [float(line[4]) if line[4] else None for line in lines[1:]]
    assert found == pytest.approx([aer(e.counts[0, 3], sure_of(e)) for e in ENTRIES])  # type: ignore[index]


def test_nothing_can_be_fetched_from_the_page(screen: Screen) -> None:
    screen.open()
    tried = """async () => {
        const caught = [];
        for (const url of ["https://example.org/a", "http://127.0.0.1:9/b", "file:///etc/hostname"])
            await fetch(url).catch(e => caught.push(e.name));
        const script = document.createElement("script");
        script.textContent = "window.hurt = 3";
        document.body.append(script);
        return [caught, window.hurt === undefined];
    }"""
    assert screen.page.evaluate(tried) == [["TypeError"] * 3, True]
    blocked = [line for line in screen.logged if "Content Security Policy" in line]
    assert len(blocked) >= 4
    screen.logged.clear()  # what was tried here is logged, as it should be
    screen.requests[:] = [url for url in screen.requests if "example.org" not in url and "127.0.0.1" not in url]


def other_page(chromium: Any, page: Page, file: Path, hash_: str = "") -> Screen:
    page.write(file)
    return Screen(chromium.new_page(), file).open(hash_)


def plain_entry(values: np.ndarray, rows: tuple[str, ...], columns: tuple[str, ...], **more: Any) -> Entry:
    words = np.arange(len(rows)), np.arange(len(columns))
    return Entry("1", values, rows, columns, *words, rows, columns, more.pop("side", "target"), **more)


def test_a_large_map_is_drawn_as_one_picture(chromium: Any, tmp_path: Path) -> None:
    size = 130
    values = rows_that_sum_to_1(5, 1, 2, size, size)
    names = tuple(f"w{k}" for k in range(size))
    page = Page("large", "attention weight", number_axis("layer", [1]), number_axis("head", [1, 2]))
    page.add(plain_entry(values, names, names, side="text"))
    screen = other_page(chromium, page, tmp_path / "large.html", "#head=2")
    assert not screen.page.is_visible("#back")
    for q, k in ((3, 2), (90, 40)):
        card = screen.hover(q, k)
        assert float(card["value"]) == pytest.approx(values[0, 1, q, k], abs=TOLERANCE)
        assert (card["query"], card["key"]) == (f"w{q}", f"w{k}")
    assert saved(screen, "#save-svg", tmp_path).read_text("utf-8").count("<image") == 1
    assert screen.logged == []
    screen.page.close()


def test_8_bits_are_within_the_stated_error_and_show_fewer_digits(chromium: Any, tmp_path: Path) -> None:
    values = rows_that_sum_to_1(6, 2, 2, 4, 9)
    page = Page("8", "attention weight", number_axis("layer", [7, 9]), number_axis("head", [1, 2]), bits=8)
    page.add(plain_entry(values, tuple("abcd"), tuple("efghijklm")))
    assert 0 < page.error < 0.5 / 255 + 1e-6
    screen = other_page(chromium, page, tmp_path / "8.html", "#layer=9&head=1")
    assert text(screen, "#map-title") == "layer 9, head 1"
    for k in range(9):
        shown = screen.hover(2, k)["value"]
        assert len(shown) == 4  # 0.12
        assert float(shown) == pytest.approx(values[1, 0, 2, k], abs=page.error + 0.0051)
    assert "off by at most" in text(screen, "#facts")
    assert screen.logged == []
    screen.page.close()


def test_a_page_of_one_pair_without_gold_or_links(chromium: Any, tmp_path: Path) -> None:
    page = Page("one", "score", number_axis("layer", [1]), number_axis("head", [1]))
    page.add(plain_entry(-rows_that_sum_to_1(6, 1, 1, 2, 3), ("a", "b"), ("c", "d", "e"), words_only=True))
    screen = other_page(chromium, page, tmp_path / "one.html")
    for hidden in (
        "#back",
        "#steps",
        "#gold-line",
        "#links-line",
        "#level-line",
        "#variant-line",
        "#pair-scores:not(:empty)",
    ):
        assert not screen.page.is_visible(hidden)
    assert number(screen.hover(1, 2)["value"]) < 0
    screen.press("g", "w", "m", "n", "b", "ArrowDown")
    assert screen.page.is_visible("#pair")
    assert screen.logged == []
    screen.page.close()


def test_a_notebook_frame_works(chromium: Any, tmp_path: Path) -> None:
    page = Page("framed", "attention weight", number_axis("layer", [1, 2]), number_axis("head", [1, 2]))
    values = rows_that_sum_to_1(8, 2, 2, 2, 3)
    page.add(plain_entry(values, ("a", "b"), ("c", "d", "e")))
    file = tmp_path / "notebook.html"
    file.write_text(f"<!doctype html><meta charset=utf-8><title>n</title>{page._repr_html_()}", "utf-8")
    screen = Screen(chromium.new_page(), file)
    screen.page.goto(file.as_uri())
    frame = screen.page.frame_locator("iframe")
    frame.locator("body[data-drawn]").wait_for()
    frame.locator('#heads button[data-row="1"][data-column="0"]').click()
    frame.locator("#map-title", has_text="layer 2, head 1").wait_for()
    assert screen.logged == []
    screen.page.close()


def test_narrow_screens_do_not_scroll_sideways(screen: Screen) -> None:
    screen.page.set_viewport_size({"width": 400, "height": 800})
    try:
        for hash_ in ("#layer=1&head=1", "#pair=2&layer=1&head=1", "#pair=4&layer=1&head=1&level=word"):
            screen.open(hash_)
            assert screen.page.evaluate("() => document.documentElement.scrollWidth") <= 400
    finally:
        screen.page.set_viewport_size({"width": 1200, "height": 900})
