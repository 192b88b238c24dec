"""Every family, attribution and extraction method keeps its tensors on the device, and gives the links of a CPU."""

from __future__ import annotations

import functools

import pytest
import torch

import align_eval as ae
from align_eval.extraction import EXTRACTORS
from tests.device import Device

PAIRS = ae.load_testset("mini-ende").pairs[:4]
FAMILIES = {
    "offline:e5-small": ("similarity", "attention", "norms", "rollout", "alti", "value-zeroing"),
    "offline:tiny-deen": ("similarity", "attention", "norms", "alti", "saliency", "integrated-gradients"),
    "offline:smollm2-135m": ("similarity", "attention", "norms"),
}


@functools.cache
def loaded(model: str, kind: str) -> object:
    """The model on a device; within ``with Device(kind)`` unless that is the CPU."""
    languages = {"source_language": "en", "target_language": "de"} if "tiny" in model else {}
    return ae.load_model(model, device=kind, **languages)  # type: ignore[arg-type]


def check(monkeypatch: pytest.MonkeyPatch, model: str, kind: str, **options: object) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda *of: (2**34, 2**34))
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    expected = ae.align(PAIRS, loaded(model, "cpu"), **options)  # type: ignore[arg-type]
    with Device(kind):
        assert list(ae.align(PAIRS, loaded(model, kind), **options)) == list(expected)  # type: ignore[arg-type]


@pytest.mark.model
@pytest.mark.parametrize("kind", ["cuda", "mps"])
@pytest.mark.parametrize(("model", "method"), [(m, method) for m, methods in FAMILIES.items() for method in methods])
def test_attribution(model: str, method: str, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    head = {"attention": "L2H1", "norms": "L2H1", "saliency": "L1", "integrated-gradients": "L1"}.get(method, "L2")
    read = {} if method == "similarity" else {"attention": head, "attribution": method}
    check(monkeypatch, model, kind, **read)


@pytest.mark.model
@pytest.mark.parametrize("method", EXTRACTORS.names())
def test_extraction(method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    check(monkeypatch, "offline:e5-small", "cuda", method=method)
