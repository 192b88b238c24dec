"""Information flow of a plain text: what is exact of it, on tiny models in float64 and on the real one."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from align_eval.attribution.information_flow import HeadFlow, attention_times_gradient
from align_eval.attribution.text import read_text, text_matrix
from align_eval.attribution.text_flow import Group, TextFlow, parse_group, text_flow
from align_eval.corpora import SentencePair
from align_eval.errors import InputError, ModelError, UnknownNameError
from align_eval.models.double import keep_double
from tests.attribution.forced import double
from tests.attribution.test_information_flow import masked_model
from tests.infilling.models import load
from tests.models import families

TEXT = "the house and the house"
HORSE = "She painted a picture of a horse. My favorite animal is the"


def gate_gradient(model: Any, text: str, token: int, position: int) -> np.ndarray:
    """The gradient of the loss at a gate on each head's output, before the output projection, ``(L, H)``."""
    plain = read_text(model, text)
    gates, handles = [], []
    for site in model.sites:
        (out,) = (module for name, module in site.named_children() if name in ("out_proj", "o_proj", "c_proj"))
        gate = torch.ones(model.heads, dtype=model.dtype, requires_grad=True)

        def hook(module: Any, given: tuple[Any, ...], gate: Any = gate) -> tuple[Any, ...]:
            return ((given[0].unflatten(-1, (model.heads, -1)) * gate[:, None]).flatten(-2), *given[1:])

        gates.append(gate)
        handles.append(out.register_forward_pre_hook(hook))
    try:
        with torch.enable_grad(), keep_double(model.dtype):
            logits = model.model(input_ids=torch.from_numpy(plain.ids)[None], use_cache=False).logits
            loss = -logits[0, position].log_softmax(dim=-1)[token]
            return torch.stack(torch.autograd.grad(loss, gates)).numpy()
    finally:
        for handle in handles:
            handle.remove()


def require_invariants(flow: TextFlow, gradient: np.ndarray, tolerance: float) -> None:
    """Nothing from the future; the last layer has one row; the sum of a head is its gate's gradient."""
    size = len(flow.keys)
    rows, columns = np.triu_indices(size, 1)
    assert flow.causal
    assert flow.position == size - 1
    assert np.abs(flow.signed[:, :, rows, columns]).max() == 0
    rows = np.abs(flow.signed).sum(axis=(1, 3)) > 0
    assert rows[-1].nonzero()[0].tolist() == [size - 1]
    assert rows[0].all()
    sums = flow.signed.sum(axis=(2, 3), dtype=np.float64)
    assert np.abs(sums - gradient).max() < tolerance
    assert np.abs(gradient).max() > 100 * tolerance
    assert np.array_equal(flow.scalar("gate"), np.abs(flow.signed.sum(axis=(2, 3))))


@pytest.mark.parametrize("kind", ["gpt2", "llama"])
def test_invariants_on_tiny_models(kind: str) -> None:
    model = double(kind)
    flow = text_flow(model, TEXT, " and")
    token = int(read_text(model, TEXT + " and").ids[-1])
    require_invariants(flow, gate_gradient(model, TEXT, token, len(flow.keys) - 1), 1e-9)
    with torch.no_grad(), keep_double(model.dtype):
        ids = torch.from_numpy(read_text(model, TEXT).ids)[None]
        chances = model.model(input_ids=ids).logits[0, -1].softmax(dim=-1)
    assert flow.probability == pytest.approx(float(chances[token]), abs=1e-12)
    assert flow.rank == 1 + int((chances > chances[token]).sum())
    assert [p for _, p in flow.top] == sorted((p for _, p in flow.top), reverse=True)


@pytest.mark.model
def test_invariants_on_the_real_model(smollm2: Any) -> None:
    flow = text_flow(smollm2, HORSE, " horse")
    token = smollm2.tokenizer(" horse")["input_ids"][0]
    require_invariants(flow, gate_gradient(smollm2, HORSE, token, len(flow.keys) - 1), 2e-5)
    assert flow.signed.shape == (30, 9, 13, 13)
    assert (flow.target, flow.rank, flow.top[0][0]) == ("horse", 1, "horse")
    place = np.unravel_index(int(flow.between.argmax()), flow.signed.shape)
    layer, head, query, key = (int(x) for x in place)
    assert (layer + 1, head + 1, flow.queries[query], flow.keys[key]) == (24, 6, "the", "horse")
    assert flow.saliency[layer, head, query, key] == pytest.approx(0.335, abs=0.002)
    assert parse_group("LAN=My favorite animal is the", flow) == Group("LAN", 8, 13)
    assert parse_group("ENV=0:7", flow) == Group("ENV", 0, 7)


def test_the_most_probable_is_predicted_when_none_is_named() -> None:
    model = double("llama")
    free = text_flow(model, TEXT)
    assert free.rank == 1
    assert free.probability == pytest.approx(free.top[0][1])


def test_cross_attention_is_that_of_forced_decoding() -> None:
    """The row that predicts a word, with only what stands before it, against the whole translation forced."""
    model = double("marian")
    size = len(model.tokenize([("a",)], target=True).ids[0])
    word = next(w for w in families.WORDS if len(model.tokenize([("a", w)], target=True).ids[0]) == size + 1)
    pair = SentencePair("1", ("das", "Haus", "und"), ("a", word))
    reader = HeadFlow(model)
    (layout,) = reader.lay_out([pair])
    (block,) = layout.blocks["awo"]
    row = int(block.rows[block.row_words.tolist().index(1)])
    step = next(s for s in reader.predictions([layout]) if s.row == row)
    expected = reader.flow([step], [1, 2])
    flow = text_flow(model, "a", f" {word}", source="das Haus und")
    assert (flow.kind, flow.position, flow.causal, flow.square) == ("cross", row, False, False)
    for layer in (1, 2):
        wanted = expected[layer][0, :, : row + 1].numpy()
        assert np.abs(flow.signed[layer - 1] - wanted).max() < 1e-9
    assert np.abs(flow.signed[-1, :, :row]).max() == 0
    assert flow.keys[-1] == "</s>"
    assert parse_group("X=Haus", flow).start >= 1
    inner = text_flow(model, "a", f" {word}", source="das Haus und", kind="decoder-self")
    assert np.abs(np.triu(inner.signed, 1)).max() == 0
    encoder = text_flow(model, "", None, source="das Haus und", kind="encoder-self")
    assert encoder.position is None
    assert encoder.queries == encoder.keys
    assert np.abs(np.triu(encoder.signed, 1)).max() > 0
    with pytest.raises(InputError, match="is of the row that predicts"):
        encoder.scalar("flow")


def test_a_masked_language_model() -> None:
    model = masked_model()
    mask = model.tokenizer.mask_token
    flow = text_flow(model, f"the {mask} and the house", "the")
    assert flow.queries[flow.position or 0] == mask
    assert not flow.causal
    rows = np.abs(flow.signed[-1]).sum(axis=(0, 2)) > 0
    assert rows.nonzero()[0].tolist() == [flow.position]
    assert np.abs(np.triu(flow.signed[0], 1)).max() > 0
    with pytest.raises(InputError, match="has 0 masks"):
        text_flow(model, "the house")


def test_models_loaded_with_a_head_and_with_a_decoder_of_both_sides() -> None:
    encoder = load("bert")
    flow = text_flow(encoder, "the [MASK] and the house")
    assert flow.signed.shape[:2] == (2, 4)
    decoder = load("masked")
    flow = text_flow(decoder, "the [MASK] and the house", source="das Haus und")
    assert (flow.kind, flow.causal) == ("cross", False)
    rows = np.abs(flow.signed[-1]).sum(axis=(0, 2)) > 0
    assert rows.nonzero()[0].tolist() == [flow.position]
    assert flow.queries[flow.position or 0] == decoder.tokenizer.mask_token


def test_numbers_of_a_head() -> None:
    signed = np.array([[[[-3.0, 0.0], [1.0, -2.0]], [[0.0, 0.0], [0.0, 0.0]]]])
    matrix = text_matrix(signed, ("a", "b"), ("a", "b"), quantity="flow", model="m")
    flow = TextFlow(matrix, "self", True, "a b", np.array([[0, 1], [1, 3]]), 1, "c", 0.5, 1, (("c", 0.5),))
    numbers = {name: flow.scalar(name).tolist() for name in ("max", "max-all", "sum", "flow", "share", "gate")}
    assert numbers == {
        "max": [[1, 0]], "max-all": [[3, 0]], "sum": [[6, 0]], "flow": [[3, 0]], "share": [[0.5, 0]], "gate": [[4, 0]],
    }  # fmt: skip
    with pytest.raises(UnknownNameError, match="unknown number of a head 'most'"):
        flow.scalar("most")
    for bad in ("A", "A=", "=0:1", "A=1:1", "A=0:3", "A=zebra"):
        with pytest.raises(InputError, match="Write NAME=FIRST:END"):
            parse_group(bad, flow)
    assert parse_group("A=b", flow) == Group("A", 1, 2)


def test_errors() -> None:
    model = double("llama")
    with pytest.raises(InputError, match=r"is \d+ sub-words of llama .* one is predicted. Predict the first"):
        text_flow(model, TEXT, " small river")
    with pytest.raises(InputError, match="takes no source sentence"):
        text_flow(model, TEXT, source="das")
    with pytest.raises(InputError, match="no sub-word of its own"):
        text_flow(model, TEXT, "")
    with pytest.raises(UnknownNameError, match="cross"):
        text_flow(model, TEXT, kind="cross")
    with pytest.raises(ModelError, match="returns no attention weights"):
        attention_times_gradient(
            model.model, {1: torch.nn.Linear(1, 1)}, lambda: torch.ones(1, requires_grad=True).sum()
        )
