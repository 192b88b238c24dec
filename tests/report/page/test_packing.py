"""Packing, escaping and assembly of the page, without a browser."""

from __future__ import annotations

import base64
import hashlib
import html
import json
import re
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from align_eval.errors import InputError, NonFiniteError
from align_eval.report.page import Entry, Page, escaped_json, number_axis, policy, shown_name
from align_eval.report.page.entry import pack, quantisation_error, quantise
from tests.report.page.samples import ENTRIES, EVIL, EVIL_TOO, sample_page, unpack

maps = arrays.arrays(
    np.float64, st.tuples(*[st.integers(1, 3)] * 3, st.integers(1, 5)), elements=st.floats(-1e3, 1e3, width=32)
)


def restored(whole: np.ndarray, limits: np.ndarray, bits: int) -> Any:
    """What the page's script computes."""
    low, high = (limits[..., k, None, None].astype(np.float64) for k in (0, 1))
    return low + whole.astype(np.float64) / (2**bits - 1) * (high - low)


@given(maps, st.sampled_from([8, 16]))
@settings(max_examples=60, deadline=None)
def test_values_come_back_within_the_stated_error(values: np.ndarray, bits: int) -> None:
    whole, limits = quantise(values, bits)
    header, unpacked = unpack(pack({"a": 1}, {"w": whole, "l": limits}))
    assert header == {"a": 1}
    assert np.array_equal(unpacked["w"], whole)
    back = restored(unpacked["w"], unpacked["l"], bits)
    assert np.abs(back - values).max() <= quantisation_error(limits, bits) + 1e-12


def test_zero_stays_zero_and_the_greatest_value_is_exact() -> None:
    values = np.array([[[[0.0, 0.25], [0.5, 0.1]], [[0.0, 0.0], [0.0, 0.0]]]], dtype=np.float32)
    whole, limits = quantise(values, 8)
    back = restored(whole, limits, 8)
    assert back[0, 0, 0, 0] == 0.0
    assert back[0, 0, 1, 0] == 0.5
    assert (back[0, 1] == 0).all()
    assert quantisation_error(limits, 8) == pytest.approx(0.5 / 255 / 2, rel=1e-5)


def test_a_map_without_cells_is_packed() -> None:
    whole, limits = quantise(np.zeros((1, 2, 0, 3)), 16)
    assert (whole.shape, limits.shape) == ((1, 2, 0, 3), (1, 2, 2))


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_is_refused(bad: float) -> None:
    with pytest.raises(NonFiniteError):
        quantise(np.array([[[[0.1, bad]]]]), 8)


def test_bits_and_types_that_are_not_offered() -> None:
    with pytest.raises(InputError, match="8 or 16"):
        quantise(np.zeros((1, 1, 1, 1)), 12)
    with pytest.raises(InputError, match="int64"):
        pack({}, {"a": np.zeros(2, dtype=np.int64)})


@given(st.text())
@settings(max_examples=100, deadline=None)
def test_json_holds_no_mark_that_html_reads_and_comes_back(text: str) -> None:
    written = escaped_json({"t": text.encode("utf-8", "replace").decode("utf-8")})
    assert not set(written) & set("<>&\u2028\u2029")
    assert json.loads(written) == {"t": text.encode("utf-8", "replace").decode("utf-8")}


def test_texts_never_stand_in_the_file_as_marks() -> None:
    page = sample_page().html()
    assert EVIL not in page
    assert EVIL_TOO not in page
    assert "A <b>model</b>" not in page
    # Scripts: 3 blocks of JSON or licences, one packed block an entry, the library and the page's own script.
    assert page.count("<script") == page.count("</script") == 2 + 1 + len(ENTRIES) + 2
    assert "A &lt;b&gt;model&lt;/b&gt; on samples" in page


def test_the_policy_names_the_hashes_of_what_is_in_the_file() -> None:
    page = sample_page(ENTRIES[:1]).html()
    given_policy = html.unescape(re.search(r'Content-Security-Policy" content="([^"]*)"', page).group(1))  # type: ignore[union-attr]
    assert given_policy == policy()
    assert given_policy.startswith("default-src 'none'; ")
    assert "unsafe" not in given_policy
    parts = [*re.findall(r"<script>(.*?)</script>", page, re.S), *re.findall(r"<style>(.*?)</style>", page, re.S)]
    assert len(parts) == 3
    for part in parts:
        assert f"'sha256-{base64.b64encode(hashlib.sha256(part.encode()).digest()).decode()}'" in given_policy


def test_the_page_names_no_address_that_a_browser_would_fetch() -> None:
    page = re.sub(r"<script.*?</script>", "", sample_page(ENTRIES[:1]).html(), flags=re.S)
    assert re.findall(r'(?:src|href|action)="([^"]*)"', page) == ["data:,"]
    assert "url(" not in page
    assert "@import" not in page


def test_the_library_is_the_one_that_is_written_down() -> None:
    vendor = files("align_eval.report.page") / "vendor"
    data = (vendor / "echarts.min.js").read_bytes()
    readme = (vendor / "README.md").read_text(encoding="utf-8")
    assert f"{hashlib.sha256(data).hexdigest()}  echarts.min.js ({len(data):,} bytes)" in readme
    assert b"</script" not in data.lower()
    assert len(data) < 1_500_000


def test_the_same_entries_give_the_same_file(tmp_path: Path) -> None:
    size = sample_page().write(tmp_path / "a.html")
    sample_page().write(tmp_path / "b.html")
    assert (tmp_path / "a.html").read_bytes() == (tmp_path / "b.html").read_bytes()
    assert (tmp_path / "a.html").stat().st_size == size


def test_a_notebook_shows_a_frame_that_is_shut_in() -> None:
    page = sample_page(ENTRIES[:1])
    shown = page._repr_html_()
    assert shown.startswith("<iframe ")
    assert 'sandbox="allow-scripts' in shown
    assert "allow-same-origin" not in shown
    inner = html.unescape(re.search(r'srcdoc="([^"]*)"', shown).group(1))  # type: ignore[union-attr]
    assert inner == page.html()


def test_a_page_too_large_for_a_notebook_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("align_eval.report.page.NOTEBOOK_LIMIT", 10)
    assert ".write(path)" in sample_page(ENTRIES[:1])._repr_html_()


def test_what_does_not_fit_is_refused() -> None:
    one = ENTRIES[0]
    same = {name: getattr(one, name) for name in one.__dataclass_fields__}
    page = Page("t", "q", number_axis("layer", [1]), number_axis("head", [1, 2]))
    with pytest.raises(InputError, match="without any entry"):
        page.html()
    with pytest.raises(InputError, match="views"):
        page.add(one)
    full = sample_page(ENTRIES[:1])
    with pytest.raises(InputError, match="counts"):
        full.add(Entry(**{**same, "counts": None}))


def test_a_model_in_a_folder_is_called_by_the_folder(tmp_path: Path) -> None:
    (tmp_path / "own-model").mkdir()
    assert shown_name(str(tmp_path / "own-model")) == "own-model"
    assert shown_name("offline:e5-small") == "offline:e5-small"
