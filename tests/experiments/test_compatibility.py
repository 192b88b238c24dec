"""docs/compatibility.md is what experiments/compatibility.py finds."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from typing import Any

import pytest

from tests.models import architectures

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def script() -> Any:
    spec = importlib.util.spec_from_file_location("compatibility", ROOT / "experiments" / "compatibility.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def stated(page: str, columns: tuple[str, ...]) -> dict[str, dict[str, str]]:
    """By architecture and column what the page says, reasons in place of their numbers."""
    found = {}
    for section in page.split("\n## ")[1:]:
        reasons = dict(re.findall(r"^(\d+)\. (.*)\.$", section, re.MULTILINE))
        for line in re.findall(r"^\| (.*) \|$", section, re.MULTILINE)[1:]:
            kind, *cells = line.split(" | ")
            found[kind] = {c: reasons.get(cell, cell) for c, cell in zip(columns, cells, strict=True)}
    return found


def test_the_page_is_what_the_script_finds(script: Any) -> None:
    page = stated(script.PAGE.read_text("utf-8"), script.COLUMNS)
    every = (*architectures.ENCODERS, *architectures.SEQ2SEQ, *architectures.DECODERS)
    assert sorted(page) == sorted(every)
    for kind in ("convbert", "longformer", "fsmt", "falcon", "phi"):
        found = {column: f"{value[0].upper()}{value[1:]}" if value != "yes" else value
                 for column, value in script.row(kind).items()}  # fmt: skip
        assert page[kind] == found, kind


def test_no_call_fails_without_a_word(script: Any) -> None:
    assert script.FAULT.strip().lower() not in script.PAGE.read_text("utf-8").lower()
