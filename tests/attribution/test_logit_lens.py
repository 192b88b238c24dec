"""Logit lens depth: the divergence by hand, the last layer, and where a token settles."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from align_eval.attribution.text import read_text
from align_eval.attribution.text_layers import _states, lens_depth, settling_depth
from align_eval.errors import InputError, ModelError
from align_eval.models.double import keep_double
from align_eval.statistics import jensen_shannon
from tests.attribution.forced import double

TEXT = "the house and the small house"


def test_divergence_by_hand() -> None:
    # m = (5/8, 3/8): H(m) = 0.954434, H(p) = 0.811278, H(q) = 1: 0.954434 - 0.905639
    assert jensen_shannon(np.array([0.75, 0.25]), np.array([0.5, 0.5])) == pytest.approx(0.0487949, abs=1e-7)
    assert jensen_shannon(np.array([1.0, 0.0]), np.array([0.0, 1.0])) == 1
    assert jensen_shannon(np.array([1.0, 0.0]), np.array([0.5, 0.5])) == pytest.approx(0.3112781, abs=1e-7)


@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=2, max_size=6))
def test_divergence_is_symmetric_and_between_0_and_1(cells: list[tuple[float, float]]) -> None:
    p, q = (np.array(side) + 1e-12 for side in zip(*cells, strict=True))
    p, q = p / p.sum(), q / q.sum()
    value = float(jensen_shannon(p, q))
    assert 0 <= value <= 1
    assert value == pytest.approx(float(jensen_shannon(q, p)), abs=1e-12)
    assert float(jensen_shannon(p, p)) == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("kind", ["llama", "gpt2", "gemma2", "qwen3"])
def test_lens_against_a_second_way(kind: str) -> None:
    """The states from the blocks themselves, and the divergence from probabilities."""
    model = double(kind)
    text = read_text(model, TEXT)
    base = model.model.get_decoder()
    blocks = next(m for m in base.children() if isinstance(m, torch.nn.ModuleList) and len(m) == model.layers)
    after: list[torch.Tensor] = []
    handles = [
        block.register_forward_hook(lambda m, i, o: after.append(o[0] if isinstance(o, tuple) else o))
        for block in blocks
    ]
    with torch.no_grad(), keep_double(model.dtype):
        logits = model.model(input_ids=torch.from_numpy(text.ids)[None], use_cache=False).logits[0]
        for handle in handles:
            handle.remove()
        last = logits.softmax(dim=-1).numpy()[:-1]
        norm = base.norm if hasattr(base, "norm") else base.ln_f
        head = model.model.get_output_embeddings()
        cap = getattr(model.model.config, "final_logit_softcapping", None)

        def read(state: torch.Tensor) -> np.ndarray:
            found = head(state)
            return (found if cap is None else cap * (found / cap).tanh()).softmax(dim=-1).numpy()[:-1]

        for taken in (True, False):
            depth = lens_depth(model, text, norm=taken)
            assert depth.divergence.shape == (model.layers, len(text.ids) - 1)
            assert depth.divergence[-1].max() < 1e-12
            assert depth.agrees[-1].all()
            for layer, state in enumerate(after[:-1]):
                expected = jensen_shannon(read(norm(state[0]) if taken else state[0]), last)
                assert np.abs(depth.divergence[layer] - expected).max() < 1e-9
        # column t is what the state at t - 1 gives to token t
        assert np.abs(depth.probability[-1] - last[np.arange(len(last)), text.ids[1:]]).max() < 1e-12
        states, final, own = _states(model, text, slice(0, len(text.ids)))
        assert float((own - logits).abs().max()) == 0
        assert np.abs(read(final(states[-1])) - last).max() < 1e-12  # the last layer's lens is the model's output


@pytest.mark.model
def test_lens_of_the_real_model(smollm2: Any) -> None:
    text = read_text(smollm2, "The capital of France is", " Paris.")
    depth = lens_depth(smollm2, text)
    assert depth.tokens == ("Paris", ".")
    assert depth.divergence.shape == (30, 2)
    assert depth.divergence.min() >= 0
    assert depth.divergence.max() <= 1
    assert depth.divergence[-1].max() < 1e-6
    assert depth.divergence[:10].mean() > depth.divergence[20:].mean()
    bare = lens_depth(smollm2, text, norm=False)
    assert bare.divergence[-1].max() < 1e-6
    assert np.array_equal(bare.probability[-1], depth.probability[-1])


def test_settling() -> None:
    values = np.array([[0.9, 0.1, 0.9, 0.0], [0.4, 0.8, 0.6, 0.0], [0.3, 0.2, 0.51, 0.0], [0.0, 0.0, 0.0, 0.0]])
    assert settling_depth(values).tolist() == [2, 3, 4, 1]
    assert settling_depth(values, 0.95).tolist() == [1, 1, 1, 1]
    assert settling_depth(np.array([[0.9], [0.9]])).tolist() == [3]


def test_errors() -> None:
    with pytest.raises(ModelError, match="logit lens is read from decoder-only models"):
        lens_depth(double("bert"), None)  # type: ignore[arg-type]
    model = double("gpt2")
    text = read_text(model, "a")
    if len(text.ids) == 1:
        with pytest.raises(InputError, match="nothing produced the only token"):
            lens_depth(model, text)
