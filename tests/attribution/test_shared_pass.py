"""One forward pass for all predictions of a pair gives what a pass for each gives, on every architecture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
import torch

from align_eval.attribution.gradients import InputGradient, Saliency, SmoothGrad
from align_eval.attribution.information_flow import HeadFlow
from align_eval.attribution.predictions import Prediction, SharedPass
from align_eval.models.pairs import Layout
from tests.attribution.forced import double
from tests.models import families

ARCHITECTURES = ("marian", "m2m_100", "t5", "bart", "gpt2", "llama", "qwen3", "gemma2")


def alone(steps: Sequence[Prediction]) -> list[Prediction]:
    """The same steps, each with a text of its own."""
    return [replace(step, layout=replace(step.layout)) for step in steps]


def some_steps(reader: Any) -> list[Prediction]:
    """Predictions of two pairs of different length, the second pair's only in part."""
    steps = reader.predictions(reader.lay_out([families.pairs()[k] for k in (3, 0)]))
    return list(steps[:-2])


@pytest.mark.parametrize("kind", ARCHITECTURES)
def test_gradients_at_the_source(kind: str) -> None:
    reader = Saliency(double(kind))
    steps = some_steps(reader)
    shared, apart = reader.gradient(steps), reader.gradient(alone(steps))
    lengths = [len(step.layout.inputs[0]) for step in steps]
    for one, other in zip(shared[:2], apart[:2], strict=True):
        assert one.shape == other.shape
        for values, expected, length in zip(one, other, lengths, strict=True):
            assert float((values[:length] - expected[:length]).abs().max()) < 1e-11
    assert torch.allclose(shared[2], apart[2], atol=1e-12)
    assert float(shared[1].abs().max()) > 1e-4


@pytest.mark.parametrize("kind", ARCHITECTURES)
def test_gradients_at_attention(kind: str) -> None:
    reader = HeadFlow(double(kind))
    steps = some_steps(reader)
    shared, apart = reader.flow(steps, [1, 2]), reader.flow(alone(steps), [1, 2])
    for layer in (1, 2):
        assert shared[layer].shape == apart[layer].shape
        for number, step in enumerate(steps):
            rows, columns = len(step.layout.inputs[-1]), len(step.layout.inputs[0])
            one, other = (found[layer][number, :, :rows, :columns] for found in (shared, apart))
            assert float((one - other).abs().max()) < 1e-11
        assert float(shared[layer].abs().max()) > 1e-4


@pytest.mark.parametrize("smoothed", ["saliency", "input-x-gradient"])
def test_noise_is_that_of_the_text(smoothed: str) -> None:
    reader = SmoothGrad(double("bart"), samples=2, smoothed=smoothed)
    steps = some_steps(reader)
    one, other = reader.attribute(steps), reader.attribute(alone(steps))
    for values, expected, length in zip(one, other, [len(step.layout.inputs[0]) for step in steps], strict=True):
        assert float((values[:length] - expected[:length]).abs().max()) < 1e-11


def test_a_model_whose_output_layer_is_not_known(monkeypatch: pytest.MonkeyPatch) -> None:
    """The backward pass then begins at log p itself."""
    reader = Saliency(double("gpt2"))
    steps = some_steps(reader)
    expected = reader.attribute(steps)
    monkeypatch.setattr(reader.model, "get_output_embeddings", lambda: None)
    assert torch.allclose(reader.attribute(steps), expected, atol=1e-11)


def test_the_forward_pass_is_one_for_a_text(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is counted: rows that go forward through the model."""
    reader = Saliency(families.build("llama", layers=1))
    steps = reader.predictions(reader.lay_out(families.pairs()[:2]))
    rows = []
    forward = type(reader.reader).forward
    monkeypatch.setattr(
        type(reader.reader), "forward", lambda self, layouts: rows.append(len(layouts)) or forward(self, layouts)
    )
    reader.attribute(steps)
    assert rows == [2]


def layout(size: int) -> Layout:
    import numpy as np

    return Layout(families.pairs()[0], (np.zeros(size, dtype=np.int64),), {})


def test_chunks_keep_texts_together() -> None:
    class Reader(InputGradient):
        def __init__(self, budget: int) -> None:
            self.token_budget = budget

        def attribute(self, steps: Sequence[Prediction]) -> Any:
            raise AssertionError

    texts = [layout(10), layout(10), layout(5)]
    steps = [Prediction(place, texts[place], row, 0) for place, count in enumerate((3, 2, 4)) for row in range(count)]

    def sizes(budget: int) -> list[int]:
        chunks = list(Reader(budget).chunks(steps))
        assert [step for chunk in chunks for step in chunk] == steps
        for chunk in chunks:
            shared = SharedPass.of(chunk, "cpu")
            cost = len(shared.layouts) * shared.turns * max(text.size for text in shared.layouts)
            assert cost <= max(budget, 10)
        return [len(chunk) for chunk in chunks]

    assert sizes(1000) == [9]
    assert sizes(60) == [5, 4]  # two texts of three turns of ten; then another
    assert sizes(30) == [3, 2, 4]
    assert sizes(20) == [2, 1, 2, 4]
    assert sizes(1) == [1] * 9
