"""The device that is chosen, and what of a model stands in signatures and decides whether a run is resumed."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from align_eval.errors import InputError, ModelError
from align_eval.models.loaded import mark_of, signature_of
from align_eval.models.loading import torch_device
from align_eval.runs.align_file import align_file
from align_eval.scoring import Signature
from tests.runs.stub import Stub, make_pairs


def model(device: str, dtype: Any = torch.float32, precision: str | None = None, revision: str = "abc") -> Any:
    return SimpleNamespace(name="m", device=torch.device(device), dtype=dtype, precision=precision, revision=revision)


@pytest.mark.parametrize(
    ("given", "signature", "mark"),
    [
        (model("cpu"), "model:m|revision:abc|dtype:float32", "abc"),
        (model("cuda"), "model:m|revision:abc|dtype:float32|device:cuda", "abc cuda"),
        (model("cuda:1", torch.bfloat16), "model:m|revision:abc|dtype:bfloat16|device:cuda", "abc cuda"),
        (model("mps", revision=""), "model:m|dtype:float32|device:mps", "mps"),
        (model("cpu", precision="int16"), "model:m|revision:abc|dtype:int16", "abc"),
    ],
)
def test_signatures_name_another_device_than_the_cpu(given: Any, signature: str, mark: str) -> None:
    assert str(Signature(signature_of(given))) == signature
    assert mark_of(given) == mark


class Placed(Stub):
    """An aligner on a device."""

    def __init__(self, device: str, stop: str | None = None) -> None:
        super().__init__(stop)
        self.device = device

    def describe(self) -> dict[str, str]:
        return signature_of(model(self.device))


@pytest.mark.parametrize(("first", "then"), [("cpu", "cuda"), ("cuda", "cpu"), ("mps", "cuda"), ("cuda:0", "mps")])
def test_a_run_is_not_resumed_on_another_kind_of_device(tmp_path: Path, first: str, then: str) -> None:
    out = tmp_path / "out"
    with pytest.raises(ModelError):
        align_file(Placed(first, stop="p1100"), make_pairs(1200), out)
    with pytest.raises(InputError, match=r"other settings stands there \(different: device\)"):
        align_file(Placed(then), make_pairs(1200), out)
    assert align_file(Placed(first), make_pairs(1200), out) == 1200


@pytest.mark.parametrize(
    ("cuda", "mps", "asked", "dtype", "found"),
    [
        (False, False, "auto", "float32", "cpu"),
        (True, False, "auto", "float32", "cuda"),
        (True, True, "auto", "bfloat16", "cuda"),
        (False, True, "auto", "float16", "mps"),
        (False, True, "auto", "float64", "cpu"),
        (True, True, "auto", "float64", "cuda"),
        (True, True, "cpu", "float32", "cpu"),
        (False, True, "mps", "float64", "has no float64"),
        (False, False, "mps", "float32", "sees no device mps"),
        (False, False, "cuda", "float32", "sees no device cuda"),
    ],
)
def test_the_device(monkeypatch: pytest.MonkeyPatch, cuda: bool, mps: bool, asked: str, dtype: str, found: str) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: int(cuda))
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)
    if " " in found:
        with pytest.raises((InputError, ModelError), match=f"{found}.*--device cpu"):
            torch_device(asked, dtype)
    else:
        assert torch_device(asked, dtype).type == found
