"""JSON of files, where text that is nested too deeply is one more fault of its form: a ``ValueError``."""

from __future__ import annotations

import json
from typing import Any


def parse_json(text: str | bytes) -> Any:
    """``json.loads``; a ``ValueError`` also for what is nested too deeply, is not UTF-8, or could not be written so."""
    try:
        value = json.loads(text)
        if (b"\\" in text) if isinstance(text, bytes) else ("\\" in text):  # half a surrogate pair, as an escape
            json.dumps(value, ensure_ascii=False).encode()
        return value
    except UnicodeEncodeError as error:
        half = ord(error.object[error.start])
        raise UnicodeError(f"half of a surrogate pair (U+{half:04X}), which is no character") from None
    except RecursionError:
        raise ValueError("nested too deeply") from None
