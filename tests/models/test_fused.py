"""The compiled parts of a block against float64, and blocks on one thread against the model itself."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional

from align_eval.errors import NonFiniteError, UnknownNameError
from align_eval.models.cpu import fused, unpadded
from align_eval.models.cpu.compiled import CompiledBlocks, Floats
from align_eval.models.cpu.fused import FusedBlocks
from align_eval.models.cpu.unpadded import PackedStates
from align_eval.models.vectors import HiddenStates
from tests.models.tiny import bert

LENGTHS = [1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 24, 31, 32, 33, 40, 47, 57, 130]


@pytest.fixture
def one_torch_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def _packed(model: Any) -> PackedStates:
    found = PackedStates.of(HiddenStates(model))
    assert found is not None
    return found


@pytest.mark.parametrize("low", [-3.0, -12.0, -200.0])
def test_gelu(functions: Any, low: float) -> None:
    x, bias = torch.linspace(low, -low, 4000).view(500, 8).contiguous(), torch.linspace(-0.5, 0.5, 8)
    expected = functional.gelu((x + bias).double())
    functions.align_eval_gelu(x.data_ptr(), bias.data_ptr(), 500, 8)
    assert float((x - expected).abs().max()) <= max(1e-6, -low * 2**-23)


def test_gelu_keeps_what_is_not_finite(functions: Any) -> None:
    x = torch.tensor([[torch.nan, torch.inf, -torch.inf, 0.0, -0.0, 1e-30, -1e-30, 3e38]])
    bias = torch.zeros(8)  # named, so that it is there until the function has returned
    functions.align_eval_gelu(x.data_ptr(), bias.data_ptr(), 1, 8)
    assert x[0].isnan().tolist() == [True, False, True, *[False] * 5]
    assert float(x[0, 1]) == torch.inf
    assert x[0, 3:].tolist() == pytest.approx([0, 0, 5e-31, -5e-31, 3e38])


@pytest.mark.parametrize("width", [8, 64, 384, 1024])
def test_norm(functions: Any, width: int) -> None:
    x, before = torch.randn(7, width) * 5, torch.randn(7, width)
    bias, weight, shift = torch.randn(3, width)
    expected = functional.layer_norm((x + bias + before).double(), (width,), weight.double(), shift.double(), 1e-12)
    out = torch.empty(7, width)
    pointers = (t.data_ptr() for t in (x, bias, before, weight, shift))
    functions.align_eval_norm(*pointers, 1e-12, 7, width, out.data_ptr())
    torch.testing.assert_close(out.double(), expected, rtol=1e-5, atol=5e-6)


def _attention(functions: Any, parts: list[Tensor], biases: Tensor, shape: tuple[int, int, int, int]) -> Tensor:
    _, length, _, width = shape
    out = torch.full(parts[0].shape, torch.nan)
    scratch = np.full((width + 4) * (length + 8) + 4 * width, np.nan, dtype=np.float32)
    functions.align_eval_attention(
        *(p.data_ptr() for p in parts), biases[0].data_ptr(), biases[2].data_ptr(), *shape,
        parts[0].stride(0), scratch.ctypes.data, out.data_ptr(),
    )  # fmt: skip
    return out


@pytest.mark.parametrize("width", [32, 64])
@pytest.mark.parametrize("length", LENGTHS)
def test_attention(functions: Any, length: int, width: int) -> None:
    """With biases of keys too: they fall away."""
    torch.manual_seed(length)
    sentences, heads = 3, 2
    parts, biases = (
        [torch.randn(sentences * length, heads * width) * 2 for _ in range(3)],
        torch.randn(3, heads * width),
    )
    split = [
        (p + b).double().view(sentences, length, heads, width).transpose(1, 2)
        for p, b in zip(parts, biases, strict=True)
    ]
    expected = functional.scaled_dot_product_attention(*split).transpose(1, 2).reshape(sentences * length, -1)
    out = _attention(functions, parts, biases, (sentences, length, heads, width))
    torch.testing.assert_close(out.double(), expected, rtol=0, atol=3e-5)
    side_by_side = list(torch.cat(parts, dim=1).split(heads * width, dim=1))  # further from row to row
    assert torch.equal(_attention(functions, side_by_side, biases, (sentences, length, heads, width)), out)


def test_attention_with_scores_far_apart_and_with_nan(functions: Any) -> None:
    parts, biases = [torch.randn(10, 32) * 40 for _ in range(3)], torch.zeros(3, 32)
    split = [p.double().view(1, 10, 1, 32).transpose(1, 2) for p in parts]
    expected = functional.scaled_dot_product_attention(*split).transpose(1, 2).reshape(10, 32)
    torch.testing.assert_close(
        _attention(functions, parts, biases, (1, 10, 1, 32)).double(), expected, rtol=1e-3, atol=1e-3
    )
    parts[0][3, 5] = torch.nan
    out = _attention(functions, parts, biases, (2, 5, 1, 32))
    assert out.isnan().any(dim=1).tolist() == [k == 3 for k in range(10)]


@pytest.mark.parametrize("kind", ["torch", "compiled"])
@pytest.mark.usefixtures("functions", "one_torch_thread")
def test_blocks_give_the_states_of_the_model(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(unpadded.VARIABLE, kind)
    model = bert()
    packed = _packed(model)
    assert isinstance(packed.fused, {"torch": FusedBlocks, "compiled": CompiledBlocks}[kind])
    torch.manual_seed(1)
    runs = [torch.randint(0, 50, (b, t)) for b, t in ((3, 5), (1, 130), (2, 24), (4, 1))]
    with torch.inference_mode():
        found = packed(runs, [3, 0, 1, 1])
        for k, layer in enumerate((3, 0, 1, 1)):
            states = [model(ids, output_hidden_states=True).hidden_states[layer].flatten(0, 1) for ids in runs]
            torch.testing.assert_close(found[k], torch.cat(states), rtol=0, atol=2e-5)


@pytest.mark.usefixtures("functions", "one_torch_thread")
def test_what_was_given_out_stays_when_the_room_is_used_again() -> None:
    packed = _packed(bert())
    with torch.inference_mode():
        first = packed([torch.arange(6).view(2, 3)], [2])
        kept = first.clone()
        packed([torch.arange(40).view(2, 20)], [3])
        packed([torch.arange(9, 15).view(2, 3)], [2])
    assert torch.equal(first, kept)


@pytest.mark.usefixtures("functions", "one_torch_thread")
def test_threads_do_not_share_room() -> None:
    packed = _packed(bert())
    runs = [[torch.randint(0, 50, (4, 9), generator=torch.Generator().manual_seed(k))] for k in range(8)]
    with torch.inference_mode():
        alone = [packed(run, [3]) for run in runs]
    found: dict[int, Tensor] = {}

    def work(k: int) -> None:
        torch.get_num_threads()
        torch.set_num_threads(1)
        with torch.inference_mode():
            for _ in range(20):
                found[k] = packed(runs[k], [3])

    threads = [threading.Thread(target=work, args=(k,)) for k in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(torch.equal(found[k], alone[k]) for k in range(8))


@pytest.mark.parametrize(
    "options", [{"num_attention_heads": 4}, {"intermediate_size": 90}, {"hidden_act": "relu"}, {"dtype": torch.float64}]
)
def test_other_shapes_go_through_torch(options: dict[str, Any]) -> None:
    dtype = options.pop("dtype", torch.float32)
    assert _packed(bert(**options).to(dtype)).fused is None


def test_blocks_that_compute_something_else_go_through_torch() -> None:
    model = bert()
    dense = model.encoder.layer[1].output.dense
    dense.register_forward_hook(lambda module, given, out: 1.5 * out)  # fused blocks do not call it
    assert _packed(model).fused is None


def test_nothing_is_fused_where_nothing_is_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fused, "library", lambda: None)
    blocks = list(bert().encoder.layer)
    assert FusedBlocks.of(blocks, 2) is None
    assert CompiledBlocks.of(blocks, 2, Floats()) is None


@pytest.mark.model
@pytest.mark.usefixtures("functions", "one_torch_thread")
def test_vectors_of_a_real_model_are_those_of_its_padded_form(e5: Any) -> None:
    sentences = [f"this is sentence number {'one ' * k}".split() for k in range(1, 30)]
    ids = e5.tokenize(sentences).ids
    assert e5._packed.fused is not None
    found = e5.encode(ids, [7, 12])
    kept, e5._packed = e5._packed, None
    try:
        expected = e5.encode(ids, [7, 12])
    finally:
        e5._packed = kept
    for a, b in zip(found, expected, strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-5)


@pytest.mark.model
@pytest.mark.usefixtures("functions", "one_torch_thread")
def test_a_sentence_that_is_not_finite_is_named(e5: Any) -> None:
    row = e5.model.embeddings.word_embeddings.weight[9]
    kept = row.clone()
    with torch.no_grad():
        row[3] = torch.nan
    try:
        with pytest.raises(NonFiniteError, match="for sentence 2"):
            e5.encode([np.array([50, 60]), np.array([9, 80]), np.array([70, 80])], [3])
    finally:
        with torch.no_grad():
            row.copy_(kept)


class TestChoice:
    @pytest.fixture(autouse=True)
    def plain(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv(unpadded.VARIABLE, raising=False)

    @pytest.mark.parametrize(("capability", "expected"), [("AVX2", True), ("AVX512", False), ("DEFAULT", False)])
    def test_by_processor(self, capability: str, expected: bool, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: capability)
        assert unpadded.by_compiled() is expected

    def test_by_name(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv(unpadded.VARIABLE, "torch")
        assert unpadded.by_compiled() is False
        monkeypatch.setenv(unpadded.VARIABLE, "compiled")
        assert unpadded.by_compiled() is True

    def test_unknown_name(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv(unpadded.VARIABLE, "compilde")
        with pytest.raises(UnknownNameError, match="compiled"):
            unpadded.by_compiled()

    def test_other_widths_go_through_torch(self, functions: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv(unpadded.VARIABLE, "compiled")
        assert isinstance(_packed(bert(intermediate_size=88)).fused, FusedBlocks)  # no multiple of 16
        assert isinstance(_packed(bert()).fused, CompiledBlocks)
