"""experiments/train_tiny_deen: an exported model taken up again, a decoder that grows, what is left out of training."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from tests.experiments.modules import modules_of

NAMES = ("precision", "text", "model", "batches", "train", "export")
SHIPPED = Path(__file__).resolve().parents[2] / "data"


@pytest.fixture(scope="module")
def deen() -> Iterator[SimpleNamespace]:
    with modules_of("train_tiny_deen", NAMES) as found:
        yield found


def small(deen: SimpleNamespace, **changes: Any) -> Any:
    """A transformer of three decoder layers, in training without dropout."""
    shape = deen.model.Shape(50, 16, 4, 24, 2, 3, 2, 32)
    torch.manual_seed(1)
    return deen.model.Transformer(dataclasses.replace(shape, **changes), 0.0).train()


def batch(deen: SimpleNamespace) -> Any:
    """Two pairs with hidden rows and wanted attention."""
    torch.manual_seed(2)
    source, inputs = torch.randint(6, 50, (2, 7)), torch.randint(6, 50, (2, 5))
    hidden = torch.zeros(2, 5, dtype=torch.bool)
    hidden[:, 1:3] = True
    guide = torch.zeros(2, 5, 7)
    guide[0, 1, 2] = guide[1, 2, 3] = guide[1, 4, 5] = 1
    zeros, labels = torch.zeros(2, 1, 1, 7), inputs.clone()
    inputs = inputs.masked_fill(hidden, deen.batches.MASK)
    return deen.batches.Batch(
        source, zeros, inputs, torch.zeros(2, 1, 1, 5), labels, torch.ones(2, 5), hidden, guide
    )  # fmt: skip


@pytest.mark.parametrize(("name", "mode"), [("tiny-deen", "translate"), ("tiny-deen-mask", "mask")])
def test_an_exported_model_is_taken_up_again(deen: SimpleNamespace, name: str, mode: str) -> None:
    from transformers import MarianMTModel

    state, shape = deen.model.from_marian(SHIPPED / name)
    module = deen.model.Transformer(shape)
    module.load_state_dict(state)
    model = MarianMTModel.from_pretrained(SHIPPED / name, dtype=torch.float32).eval()
    assert deen.export.largest_difference(model, module.eval(), mode) < 1e-3


def test_names_of_marian_and_back(deen: SimpleNamespace, tmp_path: Path) -> None:
    import json

    from safetensors.torch import save_file

    module = small(deen)
    save_file(deen.model.to_marian(module.state_dict(), module.shape), tmp_path / "model.safetensors")
    config = {**deen.export.configuration(module.shape).to_dict(), "guided_attention": {"layer": 3}}
    (tmp_path / "config.json").write_text(json.dumps(config), "utf-8")
    state, shape = deen.model.from_marian(tmp_path)
    assert shape == module.shape
    assert state.keys() == module.state_dict().keys()
    assert all(torch.equal(state[name], tensor) for name, tensor in module.state_dict().items())


def test_a_decoder_grows_by_copies_of_its_last_layer(deen: SimpleNamespace) -> None:
    module = small(deen)
    state = deen.model.grown(module.state_dict(), 3, 5)
    taller = small(deen, decoder_layers=5)
    taller.load_state_dict(state)
    for name, tensor in module.decoder[2].named_parameters():
        for layer in (2, 3, 4):
            assert torch.equal(dict(taller.decoder[layer].named_parameters())[name], tensor)
    assert deen.model.grown(module.state_dict(), 3, 3).keys() == module.state_dict().keys()


def test_guided_heads(deen: SimpleNamespace) -> None:
    one, several = small(deen), small(deen, refined=2)
    made = batch(deen)
    arguments = (made.source, made.source_mask, made.inputs, made.target_mask)
    (top,), heads = one(*arguments)[1], several(*arguments)[1]
    assert len(heads) == 3
    torch.testing.assert_close(heads[-1], top)
    losses, weight = deen.train.guided_losses(heads, made, 0.5)
    assert float(weight) == 2.5  # two hidden rows, one shown row of weight a half
    logs = torch.log_softmax(top, -1)
    torch.testing.assert_close(losses[-1], -(logs[0, 1, 2] + logs[1, 2, 3] + 0.5 * logs[1, 4, 5]))


def test_what_is_frozen_has_no_gradient_and_the_rest_the_same(deen: SimpleNamespace) -> None:
    gradients = []
    for frozen in (False, True):
        module = small(deen)
        if frozen:
            module.shared.requires_grad_(False)
            module.encoder.requires_grad_(False)
        loss, numbers = deen.train.run_batch(module, batch(deen), 0.1, 1.0)
        loss.backward()
        gradients.append(({name: p.grad for name, p in module.named_parameters()}, numbers))
    (every, first), (some, second) = gradients
    assert first == pytest.approx(second)
    for name, gradient in some.items():
        if name.startswith(("shared", "encoder")):
            assert gradient is None
        else:
            torch.testing.assert_close(gradient, every[name], rtol=1e-4, atol=1e-6)


def test_words_are_predicted_at_a_share_of_the_rows(deen: SimpleNamespace) -> None:
    module, made = small(deen), batch(deen)
    weights = [deen.train.run_batch(module, made, 0.1, 1.0, 1.0, 0.5)[1] for _ in range(40)]
    drawn = [numbers["weight"] for numbers in weights]
    assert 3 < np.mean(drawn) < 7
    assert {numbers["guided_rows"] for numbers in weights} == {3.0}  # attention is guided at all rows


def test_pairs_with_a_short_side_come_less_often(deen: SimpleNamespace, tmp_path: Path) -> None:
    count = 400
    lengths = np.where(np.arange(count) % 2, 20, 5)
    arrays: dict[str, Any] = {"corpus": np.zeros(count, dtype=np.int8)}
    for style in ("raw", "tok"):
        for language in ("de", "en"):
            for part in ("ids", "word"):
                arrays[f"{style}.{language}.{part}.flat"] = np.zeros(lengths.sum(), dtype=np.int16)
                arrays[f"{style}.{language}.{part}.offset"] = np.concatenate([[0], np.cumsum(lengths)])
    np.savez(tmp_path / "train.npz", **arrays)
    corpus = deen.batches.Corpus(tmp_path)
    groups = corpus.epoch("mask", 1, 500, 0, 1, (1.0, 1.0, 1.0, 1.0), 0.25)
    pairs = np.array([item[0] for group in groups for item in group])
    assert (pairs % 2 == 1).sum() == count
    assert 60 < (pairs % 2 == 0).sum() < 140


def test_products(deen: SimpleNamespace) -> None:
    assert deen.precision.product_type("float32") is torch.float32
    assert deen.precision.product_type("bfloat16") is torch.bfloat16
    assert deen.precision.product_type("auto") in (torch.float32, torch.bfloat16)
