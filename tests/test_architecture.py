"""The walks of ``docs/architecture.md`` name files and functions that exist, and no more of them than they may."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
MOST = {"Score a file": 9, "Align by an encoder": 10, "AER of every head": 10, "Heatmaps of a masked pair": 12}
WALKS = re.findall(
    r"^\*\*(.+?)\*\*.*?(\d+) files:\n\n((?:\d+\. .+\n)+)", (ROOT / "docs/architecture.md").read_text(), re.M
)


def test_the_walks_asked_for_are_there() -> None:
    assert len(WALKS) == 6
    for name, most in MOST.items():
        (stops,) = [stops for title, _, stops in WALKS if title.startswith(name)]
        assert len(stops.splitlines()) <= most


@pytest.mark.parametrize(("title", "count", "stops"), WALKS)
def test_each_stop_is_where_the_page_says(title: str, count: str, stops: str) -> None:
    lines = stops.splitlines()
    assert len(lines) == int(count)
    for line in lines:
        file = re.match(r"\d+\. `(.+?\.py)`", line)
        assert file is not None, line
        tree = ast.parse((ROOT / "align_eval" / file[1]).read_text(encoding="utf-8"))
        defined = {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}
        named = re.findall(r"`([a-z_]+)`", line[file.end() :])
        assert named, line
        assert set(named) <= defined, (line, set(named) - defined)


def test_every_folder_has_a_row() -> None:
    page = (ROOT / "docs/architecture.md").read_text(encoding="utf-8")
    folders = {path.parent.name for path in (ROOT / "align_eval").glob("*/__init__.py")}
    assert not {name for name in folders if f"`{name}/`" not in page}
