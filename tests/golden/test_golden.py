"""Output of the main commands stays what it was: JSON to five digits, links and text to the byte.

A change of output that is meant is frozen anew by ``python -m tests.golden.commands``; its commit says why.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest

from tests.golden.commands import COMMANDS, FROZEN, output, processor


def differences(frozen: Any, now: Any, where: str = "") -> list[str]:
    """Where two JSON values differ; numbers are equal if they agree to five digits."""
    if isinstance(frozen, dict) and isinstance(now, dict):
        keys = [f"{where}.{key}: in one alone" for key in frozen.keys() ^ now.keys()]
        return keys + [
            d for key in frozen.keys() & now.keys() for d in differences(frozen[key], now[key], f"{where}.{key}")
        ]
    if isinstance(frozen, list) and isinstance(now, list) and len(frozen) == len(now):
        return [
            d
            for k, (one, two) in enumerate(zip(frozen, now, strict=True))
            for d in differences(one, two, f"{where}[{k}]")
        ]
    numbers = all(isinstance(value, float | int) and not isinstance(value, bool) for value in (frozen, now))
    same = math.isclose(frozen, now, rel_tol=1e-5, abs_tol=1e-5) if numbers else frozen == now
    return [] if same else [f"{where}: {frozen!r} is now {now!r}"]


@pytest.mark.model
@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=[pytest.mark.shared] if c[0] else []) for n, c in COMMANDS.items()]
)
def test_output_is_what_it_was(name: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    if COMMANDS[name][0]:
        request.getfixturevalue("oracle_folder")
    frozen = json.loads(FROZEN.read_text(encoding="utf-8"))
    if processor() != frozen["processor"]:
        pytest.skip(f"output was frozen with {frozen['processor']} instructions, this processor has {processor()}")
    assert not differences(frozen[name], json.loads(json.dumps(output(name, tmp_path))))
