"""From data to one HTML file: what is text stays text, and nothing can be fetched.

Data stands in ``<script>`` elements that no browser runs. ``<``, ``>`` and ``&`` in them are written as JSON escapes,
so that no text can end its element; entries are base64. The page's own script puts text into the document as text nodes
only. Its Content-Security-Policy allows the two scripts and the style sheet of this package by their sha256, pictures
that the page makes itself, and nothing else: no address can be reached from it.
"""

from __future__ import annotations

import base64
import hashlib
import html
import json
from collections.abc import Iterable, Iterator
from functools import lru_cache
from importlib.resources import files
from typing import Any

SCRIPTS = ("colours", "unpack", "model", "heads", "option", "map", "sentences", "corpus", "controls", "main")
"""Files of ``assets/`` that make up the page's script, in order; they share one scope."""

_ESCAPES = {ord(c): f"\\u{ord(c):04x}" for c in "<>&\u2028\u2029"}


def escaped_json(value: Any) -> str:
    """JSON that can stand in a ``<script>`` element whatever texts it has: ``< > &`` and U+2028/9 as ``\\uXXXX``."""
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":")).translate(_ESCAPES)


def json_block(name: str, value: Any) -> str:
    """A ``<script type="application/json">`` element."""
    return f'<script type="application/json" id="{html.escape(name)}">{escaped_json(value)}</script>\n'


def data_block(name: str, text: str) -> str:
    """A ``<script>`` element of base64 text."""
    return f'<script type="application/octet-stream" id="{html.escape(name)}">{text}</script>\n'


@lru_cache(maxsize=1)
def _assets() -> dict[str, str]:
    """The package's own files: library, script, style sheet, body, licences; checked to be safe in their element."""
    here = files("align_eval.report.page")
    read = {
        "library": (here / "vendor" / "echarts.min.js").read_text(encoding="utf-8"),
        "licences": (here / "vendor" / "LICENSES.txt").read_text(encoding="utf-8"),
        "style": (here / "assets" / "page.css").read_text(encoding="utf-8"),
        "body": (here / "assets" / "body.html").read_text(encoding="utf-8"),
    }
    parts = [(here / "assets" / f"{name}.js").read_text(encoding="utf-8") for name in SCRIPTS]
    read["script"] = '(() => {\n"use strict";\n' + "\n".join(parts) + "\n})();\n"
    return {name: text.replace("\r\n", "\n") for name, text in read.items()}


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def policy() -> str:
    """The Content-Security-Policy of the page."""
    assets = _assets()
    return "; ".join(
        (
            "default-src 'none'",
            f"script-src {_hash(assets['library'])} {_hash(assets['script'])}",
            f"style-src {_hash(assets['style'])}",
            "img-src data: blob:",
            "base-uri 'none'",
            "form-action 'none'",
        )
    )


def document(title: str, blocks: Iterable[str]) -> Iterator[str]:
    """The HTML file, part by part.

    Args:
        title: of the document.
        blocks: the data elements.
    """
    assets = _assets()
    yield (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{html.escape(policy())}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="referrer" content="no-referrer">\n<link rel="icon" href="data:,">\n'
        f"<title>{html.escape(title)}</title>\n<style>{assets['style']}</style>\n</head>\n"
    )
    yield assets["body"].rstrip("\n") + "\n"
    yield json_block("licences", assets["licences"])
    yield from blocks
    yield f"<script>{assets['library']}</script>\n<script>{assets['script']}</script>\n</body>\n</html>\n"
