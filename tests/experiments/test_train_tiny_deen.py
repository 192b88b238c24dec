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

NAMES = ("precision", "memory", "silver_encoder", "text", "model", "batches", "train", "export")
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


def test_links_of_an_encoder_are_completed_where_a_word_has_none(deen: SimpleNamespace) -> None:
    sure = {(0, 0), (2, 1)}
    assert deen.silver_encoder.completed(sure, [(0, 0), (0, 1), (1, 1), (2, 3)]) == {*sure, (1, 1), (2, 3)}
    assert deen.silver_encoder.completed(set(), [(4, 5)]) == {(4, 5)}


def test_numbered_links_without_the_end_of_a_line_are_left_out(deen: SimpleNamespace, tmp_path: Path) -> None:
    path = tmp_path / "encoder.links"
    assert deen.silver_encoder.read_numbered(path) == {}
    path.write_text("7 0-0 2-1\n3\n12 1-")
    assert deen.silver_encoder.read_numbered(path) == {7: [(0, 0), (2, 1)], 3: []}


def test_freed_memory_is_kept_where_the_library_can(deen: SimpleNamespace) -> None:
    import ctypes

    assert deen.memory.keep_freed_memory() == hasattr(ctypes.CDLL(None), "mallopt")


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


@pytest.fixture
def corpus(deen: SimpleNamespace, tmp_path: Path) -> Any:
    """400 pairs of 5 and of 20 sub-words by turns, a word each, the last a full stop; word i is linked to word i."""
    import json

    count = 400
    lengths = np.where(np.arange(count) % 2, 20, 5)
    offset = np.concatenate([[0], np.cumsum(lengths)])
    word = np.concatenate([np.arange(n) for n in lengths]).astype(np.int16)
    ids = (10 + word).astype(np.int16)
    ids[offset[1:] - 1] = 7
    arrays: dict[str, Any] = {"corpus": np.zeros(count, dtype=np.int8)}
    for name in ("raw.de", "raw.en", "tok.de", "tok.en"):
        for part, flat in (("ids", ids), ("word", word)):
            arrays |= {f"{name}.{part}.flat": flat, f"{name}.{part}.offset": offset}
    np.savez(tmp_path / "train.npz", **arrays)
    np.savez(tmp_path / "links.npz", flat=np.stack([word, word], axis=1), offset=offset)
    (tmp_path / "vocab.json").write_text(json.dumps({"▁.": 7, "▁,": 8, ".": 9}), "utf-8")
    made = deen.batches.Corpus(tmp_path)
    made.load_links()
    return made


EVEN = (1.0, 1.0, 1.0, 1.0)


def test_pairs_with_a_short_side_come_less_often(corpus: Any) -> None:
    groups = corpus.epoch("mask", 1, 500, 0, 1, EVEN, 0.25)
    pairs = np.array([pair for group in groups for (pair,), _, _ in group])
    assert (pairs % 2 == 1).sum() == 400
    assert 60 < (pairs % 2 == 0).sum() < 140


def test_joined_pairs(deen: SimpleNamespace, corpus: Any) -> None:
    items = [item for group in corpus.epoch("mask", 1, 500, 0, 1, EVEN, 0.25, 0.5) for item in group]
    joined = [item for item in items if len(item[0]) > 1]
    assert len(joined) == 2 * round(0.5 * 200 / 2.5)
    assert {len(pairs) for pairs, _, _ in joined} == {2, 3}
    assert all(pair % 2 == 0 for pairs, _, _ in joined for pair in pairs)  # those with a short side
    made = deen.batches.make(
        corpus, joined[:6], "mask", np.random.default_rng(1), torch.float32, 0.3, 0.0, 50, (0.0, 0.0, 0.0, 0.0)
    )
    for row, (pairs, _, _) in enumerate(joined[:6]):
        long = 5 * len(pairs)
        assert made.labels[row, :long].tolist() == [10, 11, 12, 13, 7] * len(pairs)
        wanted = torch.zeros_like(made.guide[row])
        wanted[torch.arange(long), 1 + torch.arange(long)] = 1  # behind the language of the target
        assert torch.equal(made.guide[row], wanted)


def test_full_stops_within_a_joined_text(corpus: Any) -> None:
    ids, words, starts = corpus.text("tok.de", (2, 3, 4))
    assert ids[[4, 24, 29]].tolist() == [7, 8, 7]  # that of the pair with an odd number became a comma
    assert starts.tolist() == [0, 5, 25]
    assert words.tolist() == list(range(30))


def test_products(deen: SimpleNamespace) -> None:
    assert deen.precision.product_type("float32") is torch.float32
    assert deen.precision.product_type("bfloat16") is torch.bfloat16
    assert deen.precision.product_type("auto") in (torch.float32, torch.bfloat16)
