"""What a user changed in torch or in a model after it was loaded: right numbers, or a typed error."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import align_eval
from align_eval.errors import ModelError
from align_eval.models import Encoder, load_model
from align_eval.models.cpu import unpadded
from align_eval.models.cpu.compiled import digest
from align_eval.models.cpu.unpadded import PackedStates
from align_eval.models.vectors import HiddenStates
from align_eval.native import address, floats
from tests.models.tiny import bert, write_model

IDS = [torch.arange(10, 18).view(2, 4), torch.arange(20, 23)[None]]
CONSTRUCTORS = {"empty", "zeros", "ones", "full", "tensor", "arange", "eye", "linspace", "rand", "randn", "randint"}


@pytest.fixture
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(params=["compiled", "torch"])
def packed(request: pytest.FixtureRequest, functions: Any, one_thread: None, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A model whose blocks go through both kinds of compiled functions."""
    monkeypatch.setenv(unpadded.VARIABLE, request.param)
    found = PackedStates.of(HiddenStates(bert()))
    assert found is not None
    assert found.fused is not None
    return found


def _own(model: Any) -> torch.Tensor:
    with torch.inference_mode():
        return torch.cat([model(ids).last_hidden_state.flatten(0, 1) for ids in IDS])


def _states(packed: Any) -> torch.Tensor:
    with torch.inference_mode():
        return packed(IDS, [3])[0]  # type: ignore[no-any-return]


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_default_number_type(packed: Any, dtype: torch.dtype) -> None:
    expected = _states(packed)
    torch.set_default_dtype(dtype)
    try:
        found = [PackedStates.of(HiddenStates(packed.model)), packed]
        states = [_states(form) for form in found]  # the first with new memory
        assert floats(2).dtype == torch.float32
    finally:
        torch.set_default_dtype(torch.float32)
    assert all(torch.equal(state, expected) for state in states)


def test_default_device(packed: Any) -> None:
    expected = _states(packed)
    with torch.device("meta"):
        found = PackedStates.of(HiddenStates(packed.model))
        assert found is not None
        assert found.fused is not None
        assert torch.equal(_states(found), expected)


def test_no_tensor_is_made_on_a_device_that_is_not_stated() -> None:
    for path in Path(align_eval.__file__).parent.rglob("*.py"):
        for call in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute) and call.func.attr in CONSTRUCTORS:
                stated = {keyword.arg for keyword in call.keywords}
                assert ast.unparse(call.func.value) != "torch" or "device" in stated, f"{path}:{call.lineno}"


@pytest.mark.parametrize(
    ("buffer", "kind", "count", "wrong"),
    [
        (torch.zeros(4, dtype=torch.float64), "float32", 4, "numbers of float64"),
        (torch.zeros(4, dtype=torch.int32), "int64", 4, "numbers of int32"),
        (torch.zeros(4, device="meta"), "float32", 4, "memory of the device meta"),
        (torch.zeros(4, 4).t()[:3], "float32", 9, "gaps"),
        (torch.zeros(4), "float32", 5, "4 numbers of 5"),
        (np.zeros(4, dtype=np.int16), "int32", 4, "numbers of int16"),
        (np.zeros((4, 4), dtype=np.int32)[:, 1], "int32", 4, "gaps"),
        (np.zeros(3, dtype=bool), "bool", 4, "3 numbers of 4"),
    ],
)
def test_the_border(buffer: Any, kind: str, count: int, wrong: str) -> None:
    with pytest.raises(ModelError, match=wrong):
        address(buffer, kind, count)


def _swap_rows(weight: torch.Tensor) -> None:
    weight.data[[0, 1]] = weight.data[[1, 0]]


def _swap_columns(weight: torch.Tensor) -> None:
    weight.data[:] = weight.data.flip(1)


def _same_memory(weight: torch.Tensor) -> None:
    weight.data.copy_(torch.full_like(weight, 0.5))


CHANGES: list[Callable[[torch.Tensor], Any]] = [
    lambda weight: weight.data.zero_(),
    lambda weight: weight.data.mul_(1.5),
    lambda weight: weight.data[5, 7].add_(3.0),
    lambda weight: setattr(weight, "data", weight.data * 2),
    lambda weight: weight.detach().numpy().__imul__(0.25),
    _swap_rows,
    _swap_columns,
    _same_memory,
]


@pytest.mark.parametrize("change", CHANGES)
def test_weights_changed_behind_the_back_of_torch(packed: Any, change: Callable[[torch.Tensor], Any]) -> None:
    before = _states(packed)
    weight = packed.model.encoder.layer[1].output.dense.weight
    now = digest(weight)
    change(weight)
    assert digest(weight) != now
    assert packed.current()
    after = _states(packed)
    assert not torch.equal(after, before)
    torch.testing.assert_close(after, _own(packed.model), rtol=0, atol=5e-5)


class _Doubled(nn.Module):
    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.inner(x) * 2
        return out


def _replace(model: Any) -> None:
    model.encoder.layer[0].output.dense = _Doubled(model.encoder.layer[0].output.dense)


def _hook(model: Any) -> None:
    model.encoder.layer[1].attention.register_forward_hook(lambda module, given, out: (out[0] * 0, *out[1:]))


def _patch(model: Any) -> None:
    dense = model.encoder.layer[2].intermediate.dense
    dense.forward = lambda x: nn.Linear.forward(dense, x) * 0.5


def _drop(model: Any) -> None:
    model.encoder.layer[1] = model.encoder.layer[0]


@pytest.mark.parametrize("change", [_replace, _hook, _patch, _drop])
def test_modules_that_were_replaced_or_hooked_are_noticed(packed: Any, change: Callable[[Any], None]) -> None:
    assert packed.current()
    change(packed.model)
    assert not packed.current()


@pytest.mark.model
def test_an_encoder_with_a_hook_computes_with_it() -> None:
    encoder = align_eval.load_model("offline:e5-small")
    ids = encoder.tokenize([["a", "house"]]).ids
    plain = encoder.encode(ids, [7])[0]
    handle = encoder.model.encoder.layer[2].attention.register_forward_hook(
        lambda m, given, out: (out[0] * 0, *out[1:])
    )
    with torch.inference_mode():
        row = torch.tensor([[*encoder.prefix, *ids[0], *encoder.suffix]])
        expected = encoder.model(row, output_hidden_states=True).hidden_states[7][:, 1:-1]
    torch.testing.assert_close(encoder.encode(ids, [7])[0], expected, rtol=0, atol=1e-5)
    handle.remove()
    assert torch.equal(encoder.encode(ids, [7])[0], plain)


def test_products_in_integers_refuse_a_model_whose_modules_were_changed(functions: Any, tmp_path: Path) -> None:
    path = write_model(tmp_path, "bert", hidden_size=64, num_attention_heads=2, intermediate_size=96)
    for change in (_replace, _hook, _patch, _drop):
        encoder = load_model(str(path), family="encoder", precision="int16")
        encoder.encode([np.array([7, 9])], [4])
        change(encoder.model)
        with pytest.raises(ModelError, match="changed after its blocks were read for the precision int16"):
            encoder.encode([np.array([7, 9])], [4])


def test_products_in_integers_follow_weights_that_were_changed(functions: Any, tmp_path: Path) -> None:
    path = write_model(tmp_path, "bert", hidden_size=64, num_attention_heads=2, intermediate_size=96)
    encoder = load_model(str(path), family="encoder", precision="int16")
    encoder.encode([np.array([7, 9])], [4])
    encoder.model.encoder.layer[0].output.dense.weight.data.mul_(3)
    fresh = Encoder(encoder.name, encoder.model, encoder.tokenizer, precision="int16")
    for found, expected in zip(*(one.encode([np.array([7, 9])], [1, 4]) for one in (encoder, fresh)), strict=True):
        assert torch.equal(found, expected)
