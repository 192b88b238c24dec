"""JSON of files, where text that is nested too deeply is one more fault of its form: a ``ValueError``."""

from __future__ import annotations

import json
from typing import Any


def parse_json(text: str | bytes) -> Any:
    """``json.loads``; a ``ValueError`` also for what is nested too deeply, and for bytes that are not UTF-8."""
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("nested too deeply") from None
