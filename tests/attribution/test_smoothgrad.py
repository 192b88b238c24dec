"""SmoothGrad: without noise the signal itself; with noise the mean over the draws that the seed gives."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from align_eval.attribution.gradients import InputXGradient, Saliency, SmoothGrad
from align_eval.errors import InputError
from tests.attribution.forced import double, forced, jacobian, only_map, require_batched_is_single


@pytest.mark.parametrize("kind", ["bart", "gpt2"])
def test_without_noise(kind: str) -> None:
    model = double(kind)
    plain = only_map(Saliency(model, norm="l1"))
    assert float((only_map(SmoothGrad(model, sigma=0, samples=2, norm="l1")) - plain).abs().max()) < 1e-9
    plain = only_map(InputXGradient(model))
    smooth = only_map(SmoothGrad(model, sigma=0, samples=1, smoothed="input-x-gradient"))
    assert float((smooth - plain).abs().max()) < 1e-9


@pytest.mark.parametrize("kind", ["marian", "llama"])
def test_the_equation(kind: str) -> None:
    model = double(kind)
    _, embeddings, log_p = forced(SmoothGrad(model))
    spread = 0.2 * (embeddings.max() - embeddings.min())
    saliency, product = [], []
    for sample in range(3):
        draws = torch.from_numpy(np.random.default_rng((5, sample)).standard_normal(tuple(embeddings.shape)))
        noisy = embeddings + spread * draws
        gradient = jacobian(log_p, noisy)
        saliency.append(gradient.norm(dim=-1))
        product.append((gradient * noisy).sum(dim=-1))
    options = {"samples": 3, "sigma": 0.2, "seed": 5}
    for smoothed, parts in (("saliency", saliency), ("input-x-gradient", product)):
        found = only_map(SmoothGrad(model, smoothed=smoothed, **options))
        assert float((found - torch.stack(parts).mean(dim=0)).abs().max()) < 1e-9


def test_the_seed_alone_decides() -> None:
    model = double("bart")
    first, again, other = (only_map(SmoothGrad(model, samples=2, seed=seed)) for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert float((first - other).abs().max()) > 1e-3
    for kind in ("marian", "gpt2"):
        require_batched_is_single(SmoothGrad(double(kind), samples=2))


def test_errors() -> None:
    with pytest.raises(InputError, match=r"option samples=0 .* is out of range"):
        SmoothGrad(double("bart"), samples=0)
    with pytest.raises(InputError, match=r"option smoothed=saliensy .*Known: saliency, input-x-gradient"):
        SmoothGrad(double("bart"), smoothed="saliensy")
