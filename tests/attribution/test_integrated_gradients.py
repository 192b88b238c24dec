"""Integrated gradients: completeness, a hand-made integral, baselines."""

from __future__ import annotations

import math

import pytest
import torch

from align_eval.attribution.gradients import InputXGradient, IntegratedGradients
from align_eval.errors import InputError
from tests.attribution.forced import PAIR, double, forced, jacobian, only_map, require_batched_is_single
from tests.models import families


@pytest.mark.parametrize(
    ("kind", "baseline", "points"),
    [
        ("marian", "zero", 60), ("marian", "pad", 60), ("bart", "pad", 120),
        ("gpt2", "zero", 60), ("llama", "pad", 60),
    ],
)  # fmt: skip
def test_completeness(kind: str, baseline: str, points: int) -> None:
    reader = IntegratedGradients(double(kind, 1), steps=points, baseline=baseline)
    _, embeddings, log_p = forced(reader)
    base = torch.zeros_like(embeddings)
    if baseline == "pad":
        stack = reader.model.get_encoder() if reader.family == "seq2seq" else reader.model
        pad = torch.tensor(reader.tokenizer.pad_token_id)
        base = stack.get_input_embeddings()(pad).detach().expand_as(embeddings)
    with torch.no_grad():
        expected = log_p(embeddings) - log_p(base)
    assert float((only_map(reader).sum(dim=1) - expected).abs().max()) < 1e-9


def test_the_integral() -> None:
    """One point is the middle of the way; two points are those of Gauss."""
    model = double("bart", 1)
    _, embeddings, log_p = forced(IntegratedGradients(model))
    middle = (jacobian(log_p, embeddings / 2) * embeddings).sum(dim=-1)
    assert float((only_map(IntegratedGradients(model, steps=1)) - middle).abs().max()) < 1e-9
    shares = (0.5 - 0.5 / 3**0.5, 0.5 + 0.5 / 3**0.5)
    two = sum((jacobian(log_p, share * embeddings) * embeddings).sum(dim=-1) / 2 for share in shares)
    assert float((only_map(IntegratedGradients(model, steps=2)) - two).abs().max()) < 1e-9


def test_a_linear_model_needs_one_point() -> None:
    """Logits linear in the embeddings: the difference of two log-probabilities is input x gradient, and integrated."""
    model = families.build("gpt2", dtype="float64", layers=1)
    inner = model.model.transformer
    for block in inner.h:
        block.forward = lambda hidden, *args, **kwargs: hidden
    inner.ln_f.forward = lambda hidden: hidden
    with torch.no_grad():
        inner.wpe.weight.zero_()
    logits = model.model.lm_head.weight.detach()
    found = only_map(IntegratedGradients(model, steps=40))
    (layout,) = model.lay_out([PAIR])
    ids = torch.from_numpy(layout.inputs[0])
    for row, values in zip(layout.blocks["awo"][0].rows, found, strict=True):
        # log p depends on the embedding at the predicting row alone, and from zero it starts at -log V.
        expected = (logits @ inner.wte.weight[ids[row]].detach()).log_softmax(0)[ids[row + 1]] + math.log(len(logits))
        assert abs(float(values[row] - expected)) < 1e-9
        assert float(values[:row].abs().sum() + values[row + 1 :].abs().sum()) == 0
    assert found.shape == only_map(InputXGradient(model)).shape


def test_batched_is_single() -> None:
    for kind in ("marian", "llama"):
        require_batched_is_single(IntegratedGradients(double(kind, 1), steps=3))
    found = only_map(IntegratedGradients(double("bart", 1), steps=3))
    assert torch.equal(found.abs(), only_map(IntegratedGradients(double("bart", 1), steps=3, absolute=True)))


def test_errors() -> None:
    with pytest.raises(InputError, match=r"option steps=0 .* is out of range"):
        IntegratedGradients(double("bart", 1), steps=0)
    with pytest.raises(InputError, match=r"option baseline=noise .*Known: zero, pad"):
        IntegratedGradients(double("bart", 1), baseline="noise")
