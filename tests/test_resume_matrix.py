"""Three cells of the resume matrix; `make test-reliability` runs all."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.reliability_resume import one


@pytest.mark.model
@pytest.mark.filterwarnings("ignore::align_eval.errors.AlignEvalWarning")
@pytest.mark.parametrize(
    ("writer", "what", "outcome"),
    [("align in shards", "nothing", "continued"), ("align", "tokenizer", "refused"), ("run", "weights", "anew")],
)
def test_cell(writer: str, what: str, outcome: str, tmp_path: Path) -> None:
    assert one(writer, what, tmp_path) == (outcome, None)
