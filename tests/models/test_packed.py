"""Sentences laid end to end get the states that each gets by itself."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from align_eval.errors import InputError, NonFiniteError
from align_eval.models import Encoder, load_model
from align_eval.models.cpu.unpadded import PackedStates, pack, runs_of
from align_eval.models.vectors import HiddenStates
from tests.models.tiny import KINDS, write_model


@pytest.fixture(scope="module", params=KINDS)
def encoder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Encoder:
    return load_model(str(write_model(tmp_path_factory.mktemp(request.param), request.param)))


def test_kinds_that_are_packed(encoder: Encoder) -> None:
    assert (encoder._packed is not None) == (encoder.model.config.model_type in ("bert", "roberta", "xlm-roberta"))


@pytest.mark.parametrize("budget", [1, 9, 25, 2048])
def test_equals_the_padded_form(encoder: Encoder, budget: int) -> None:
    rng = np.random.default_rng(3)
    ids = [rng.integers(5, 30, size=n) for n in (3, 1, 7, 3, 0, 12, 7, 2, 12)]
    packed = encoder.encode(ids, [4, 0, 2, -1], token_budget=budget)
    kept, encoder._packed = encoder._packed, None
    try:
        padded = encoder.encode(ids, [4, 0, 2, -1], token_budget=budget)
    finally:
        encoder._packed = kept
    for a, b in zip(packed, padded, strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-5)


def test_changed_weights_count(tmp_path: Path) -> None:
    encoder = load_model(str(write_model(tmp_path, "bert")))
    (before,) = encoder.encode([np.array([5, 6, 7])], [2])
    with torch.no_grad():
        encoder.model.encoder.layer[1].attention.self.value.weight.mul_(-1)
    (after,) = encoder.encode([np.array([5, 6, 7])], [2])
    assert float((before - after).abs().max()) > 1e-3


def test_a_sentence_that_is_not_finite_is_named(tmp_path: Path) -> None:
    encoder = load_model(str(write_model(tmp_path, "bert")))
    assert encoder._packed is not None
    with torch.no_grad():
        encoder.model.embeddings.word_embeddings.weight[9] = torch.nan
    encoder.encode([np.array([5, 6]), np.array([7, 8])], [1])
    with pytest.raises(NonFiniteError, match="for sentence 2"):
        encoder.encode([np.array([5, 6]), np.array([9, 8])], [1])


def test_other_blocks_are_refused(tmp_path: Path) -> None:
    model = load_model(str(write_model(tmp_path, "bert"))).model
    states = HiddenStates(model)
    assert PackedStates.of(states) is not None
    model.encoder.layer[2].register_forward_hook(lambda module, given, out: out + 1)  # a whole block alone has it
    assert PackedStates.of(states) is None


@settings(deadline=None)
@given(st.lists(st.integers(1, 40), max_size=40), st.integers(1, 60))
def test_batches_hold_each_sentence_once(lengths: list[int], budget: int) -> None:
    batches = pack(lengths, budget)
    assert sorted(k for batch in batches for k in batch) == list(range(len(lengths)))
    for batch in batches:
        assert sum(lengths[k] for k in batch) <= budget or len(batch) == 1
        runs = runs_of(batch, lengths)
        assert [k for run in runs for k in run] == batch
        assert all(len({lengths[k] for k in run}) == 1 for run in runs)
        assert len({lengths[k] for k in batch}) == len(runs)


def test_no_budget() -> None:
    with pytest.raises(InputError, match="token budget is 0"):
        pack([3], 0)
