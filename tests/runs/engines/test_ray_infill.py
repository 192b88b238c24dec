"""Hidden words on a Ray cluster: the numbers of a run in this process."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest

from align_eval.corpora import load_testset
from align_eval.errors import InputError
from align_eval.models import load_model
from align_eval.runs.engines import Engine
from align_eval.runs.infill import infill_testset
from tests.infilling.models import marian_folder

pytestmark = [pytest.mark.ray, pytest.mark.xdist_group("ray"), pytest.mark.filterwarnings("ignore::DeprecationWarning")]


@pytest.fixture
def one_thread() -> Iterator[None]:
    """As an actor with one CPU computes: other numbers of threads may round differently."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def test_equal_numbers(engine: Engine, one_thread: None) -> None:
    found = load_testset("mini-ende")
    short = [k for k, p in enumerate(found) if len(p.source_text) < 60 and len(p.target_text) < 60]
    corpus = found.part(short[:6])
    model = partial(load_model, str(marian_folder(decoder_mode="masked")), target_language="en")
    told: dict[str, list[int]] = {"local": [], "ray": []}
    options: Any = {"resamples": 20, "token_budget": 128, "development": 0.3}
    strategies = ["span:ratio=0.5", "each"]
    here = infill_testset(corpus, model, strategies, progress=told["local"].append, **options)
    there = infill_testset(corpus, model, strategies, progress=told["ray"].append, engine=engine, **options)
    assert json.dumps(there.summary()) == json.dumps(here.summary())
    assert there.chosen.development
    assert told["ray"] == told["local"]
    with pytest.raises(InputError, match="no head 9"):
        infill_testset(corpus, model, strategies, head=(1, 9), engine=engine)
