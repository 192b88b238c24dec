"""The device that is not there finds what it must find."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from tests.device import Device, OnDevice


def here() -> torch.Tensor:
    return torch.arange(4.0)


def there(kind: str = "cuda") -> torch.Tensor:
    return torch.arange(4.0).to(kind)


MIXES: dict[str, Callable[[], object]] = {
    "sum": lambda: there() + here(),
    "matmul": lambda: there() @ here(),
    "cat": lambda: torch.cat([there(), here()]),
    "gather": lambda: there().gather(0, torch.tensor([1])),
    "index of the host's tensor": lambda: here()[torch.tensor([1]).to("cuda")],
    "mask": lambda: there().masked_fill(here() > 1, 0.0),
    "where": lambda: torch.where(here() > 1, there(), 0.0),
    "value": lambda: there().__setitem__(slice(0, 4), here()),
    "repeats": lambda: there().repeat_interleave(torch.tensor([1, 2, 1, 1])),
    "layer": lambda: torch.nn.Linear(4, 4)(there()),
}


@pytest.mark.parametrize("name", MIXES)
def test_a_mix_is_found(name: str) -> None:
    with Device("cuda"), pytest.raises(RuntimeError, match="same device"):
        MIXES[name]()


def test_numpy_of_a_device_tensor() -> None:
    with Device("cuda"), pytest.raises(TypeError, match=r"Tensor.cpu\(\)"):
        there().numpy()


@pytest.mark.parametrize(
    "make", [lambda: there("mps").double(), lambda: torch.zeros(2, dtype=torch.float64, device="mps")]
)
def test_float64_on_mps(make: Callable[[], object]) -> None:
    with Device("mps"), pytest.raises(TypeError, match="float64"):
        make()


def test_what_is_allowed_gives_the_real_numbers() -> None:
    with Device("cuda") as device:
        moved = there()
        made = torch.zeros(4, device=moved.device) + moved * torch.tensor(2.0)
        picked = made[torch.tensor([1, 3])]
        assert isinstance(picked, OnDevice)
        assert picked.device == torch.device("cuda:0")
        assert picked.is_cuda
        assert not device.waits
        assert picked.cpu().numpy().tolist() == [2.0, 6.0]
        assert moved.sum().item() == 6.0
        assert device.waits == 2
        assert torch.nn.Linear(4, 2).to("cuda")(moved).device.type == "cuda"
    assert not isinstance(here(), OnDevice)
