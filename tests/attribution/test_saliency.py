"""Saliency against finite differences and against a gradient taken by another way."""

from __future__ import annotations

import pytest
import torch

from align_eval.attribution import ATTRIBUTIONS
from align_eval.attribution.gradients import Saliency
from align_eval.errors import InputError, ModelError
from tests.attribution.forced import (
    KINDS,
    double,
    forced,
    jacobian,
    only_map,
    require_batched_is_single,
    require_nothing_after,
)
from tests.models import families


@pytest.mark.parametrize("kind", ["bart", "gpt2"])
def test_finite_differences(kind: str) -> None:
    reader = Saliency(double(kind))
    _, embeddings, log_p = forced(reader)
    column, step = 1, 1e-5
    gradient = []
    with torch.no_grad():
        for k in range(embeddings.shape[1]):
            change = torch.zeros_like(embeddings)
            change[column, k] = step
            gradient.append((log_p(embeddings + change) - log_p(embeddings - change)) / (2 * step))
    expected = torch.stack(gradient, dim=1)  # (n, d)
    for norm, values in (("l2", expected.norm(dim=1)), ("l1", expected.abs().sum(1)), ("mean", expected.abs().mean(1))):
        found = only_map(Saliency(double(kind), norm=norm))[:, column]
        assert torch.allclose(found, values, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("kind", [*KINDS, "t5", "gemma2"])
def test_another_way_to_the_gradient(kind: str) -> None:
    reader = Saliency(double(kind))
    _, embeddings, log_p = forced(reader)
    found = only_map(reader)
    expected = jacobian(log_p, embeddings).norm(dim=-1)
    if kind == "gemma2":  # its factor on the embeddings comes with the table, not after it
        expected = expected / expected.max() * found.max()
    assert float((found - expected).abs().max()) < 1e-9


@pytest.mark.parametrize("kind", ["bart", "gpt2"])
def test_batched_is_single(kind: str) -> None:
    require_batched_is_single(Saliency(double(kind)))


@pytest.mark.parametrize("kind", ["gpt2", "llama"])
def test_nothing_after_the_prediction(kind: str) -> None:
    require_nothing_after(Saliency(double(kind)))


def test_a_frozen_model() -> None:
    model = families.build("marian", dtype="float64", layers=1)
    before = only_map(Saliency(model))
    model.model.requires_grad_(False)
    assert torch.equal(only_map(Saliency(model)), before)


def test_errors() -> None:
    assert ATTRIBUTIONS.get("saliency") is Saliency
    with pytest.raises(InputError, match=r"option norm=l3 .*Known: l2, l1, mean"):
        Saliency(double("bart"), norm="l3")
    with pytest.raises(ModelError, match="has no mask"):
        Saliency(families.build("bert", layers=1))
    with pytest.raises(ModelError, match=r"has no reading 'awi'. Choose one of awo$"):
        only_map(Saliency(double("bart")), reading="awi")
