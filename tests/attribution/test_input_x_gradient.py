"""Input x gradient is the derivative by a factor on each embedding."""

from __future__ import annotations

import pytest
import torch

from align_eval.attribution.gradients import InputXGradient
from tests.attribution.forced import KINDS, double, forced, jacobian, only_map, require_batched_is_single


@pytest.mark.parametrize("kind", ["marian", "llama"])
def test_a_factor_on_the_embedding(kind: str) -> None:
    reader = InputXGradient(double(kind))
    _, embeddings, log_p = forced(reader)
    found, step = only_map(reader), 1e-5
    for column in range(0, len(embeddings), 3):
        factor = torch.zeros(len(embeddings), 1, dtype=torch.float64)
        factor[column] = step
        with torch.no_grad():
            expected = (log_p(embeddings * (1 + factor)) - log_p(embeddings * (1 - factor))) / (2 * step)
        assert torch.allclose(found[:, column], expected, rtol=1e-6, atol=1e-8)
    assert float(found.min()) < 0 < float(found.max())


@pytest.mark.parametrize("kind", KINDS)
def test_the_equation(kind: str) -> None:
    reader = InputXGradient(double(kind))
    _, embeddings, log_p = forced(reader)
    expected = (jacobian(log_p, embeddings) * embeddings).sum(dim=-1)
    assert float((only_map(reader) - expected).abs().max()) < 1e-9
    assert float((only_map(InputXGradient(double(kind), absolute=True)) - expected.abs()).abs().max()) < 1e-9
    if kind == "llama":
        require_batched_is_single(reader)
