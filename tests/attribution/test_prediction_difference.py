"""Prediction difference against the two probabilities computed by another way."""

from __future__ import annotations

import pytest
import torch

from align_eval.attribution.predictions import PredictionDifference
from align_eval.errors import ModelError
from tests.attribution.forced import KINDS, double, forced, only_map, require_batched_is_single, require_nothing_after
from tests.models import families


@pytest.mark.parametrize("kind", [*KINDS, "t5"])
def test_the_equation(kind: str) -> None:
    reader = PredictionDifference(double(kind))
    found, logarithmic = only_map(reader), only_map(PredictionDifference(double(kind), log=True))
    _, embeddings, log_p = forced(reader)
    assert found.shape[1] == len(embeddings)
    with torch.no_grad():
        whole = log_p(embeddings)
        for column in range(len(embeddings)):
            without = embeddings.clone()
            without[column] = 0
            rest = log_p(without)
            assert float((found[:, column] - (whole.exp() - rest.exp())).abs().max()) < 1e-9
            assert float((logarithmic[:, column] - (whole - rest)).abs().max()) < 1e-9


@pytest.mark.parametrize("kind", ["marian", "llama"])
def test_batched_is_single(kind: str) -> None:
    require_batched_is_single(PredictionDifference(double(kind)))


@pytest.mark.parametrize("kind", ["gpt2", "llama"])
def test_nothing_after_the_prediction(kind: str) -> None:
    require_nothing_after(PredictionDifference(double(kind), log=True))


def test_no_encoder() -> None:
    model = families.build("xlm-roberta", layers=1)
    model.tokenizer.mask_token = "<unk>"
    with pytest.raises(ModelError, match="does not predict a target word by word"):
        PredictionDifference(model)
