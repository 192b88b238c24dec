"""Options of methods, attribution methods, masking strategies, mask kinds and aligners: what cannot be is an error."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from align_eval.aligners import AlignerSettings, make_aligner
from align_eval.attribution import ATTRIBUTIONS, attribution_options
from align_eval.errors import AlignEvalError, InputError, UnknownNameError
from align_eval.extraction import EXTRACTORS, make_extractor
from align_eval.infilling.strategies import make_strategy
from align_eval.patterns.base import make_mask_kind
from align_eval.registry import options_of


def fast_align(spec: str) -> Any:
    return make_aligner(AlignerSettings(None, (spec,)))


RANGES = {
    make_extractor: [
        *(f"{name}:threshold={value}" for name in ("softmax", "entmax", "transport") for value in ("nan", "-1", "2")),
        "softmax:threshold=inf", "itermax:passes=0", "itermax:alpha=7", "itermax:alpha=-0.1", "itermax:passes=-3",
        "threshold:above=nan", "threshold:above=7", "threshold:above=-inf,scale=none", "transport:eps=0",
        "transport:mass=0", "transport:mass=1.5", "transport:tau=0", "transport:tau=nan", "transport:kind=partiall",
    ],
    attribution_options: [
        "smoothgrad:samples=0", "smoothgrad:sigma=-1", "smoothgrad:sigma=nan", "smoothgrad:seed=-1",
        "smoothgrad:smoothed=norms", "saliency:norm=l3", "integrated-gradients:steps=0", "saliency:token_budget=0",
        "integrated-gradients:baseline=one", "information-flow:rows=some", "value-zeroing:token_budget=-5",
    ],
    make_strategy: [
        "random:ratio=nan", "random:ratio=2", "random:count=0", "span:draws=0", "nth:n=0", "suffix:ratio=-1",
    ],
    make_mask_kind: ["sink-window:window=-1", "sink-window:sinks=-2"],
    fast_align: ["fast_align:iterations=0", "fast_align:null=nan", "fast_align:null=inf", "eflomal:seed=-1"],
}  # fmt: skip
WRONG = {
    make_extractor: ["softmax:threshold", "softmax:threshold=", "softmax:threshold=a", "itermax:passes=1.5",
                     "itermax:passes=1_0", "softmax:threshold=0.1,threshold=0.2", "softmax:", "", ":", ":threshold=1",
                     "softmax:,threshold=0.1", "softmax:=0.1"],
    attribution_options: ["smoothgrad:samples", "smoothgrad:samples=2,samples=3", "value-zeroing:normalised=maybe",
                     "saliency:", "", ":norm=l2", "smoothgrad:samples=1e2"],
    make_strategy: [
        "random:ratio=0.5,ratio=0.6", "random:count=1.5", "random:", "", ":ratio=1", "aligned:each=perhaps",
    ],
    make_mask_kind: ["sink-window:sinks=1,sinks=2", "sink-window:sinks=x", "sink-window:", "", "sink-window:sinks"],
    fast_align: ["fast_align:iterations=5,iterations=6", "fast_align:iterations=x", "fast_align:bayes=2"],
}  # fmt: skip
UNKNOWN = {
    make_extractor: ["softmx", "softmax:treshold=1", "argmax:threshold=1"],
    attribution_options: ["saliencey", "saliency:norms=l2", "attention:samples=1", "norms:reader=1"],
    make_strategy: ["randm", "random:share=0.5", "each:ratio=1"],
    make_mask_kind: ["sink", "sink-window:windows=3"],
    fast_align: ["fast_align:iteration=5"],
}


def cases(table: dict[Any, list[str]]) -> list[tuple[Any, str]]:
    return [(make, spec) for make, specs in table.items() for spec in specs]


@pytest.mark.parametrize(("make", "spec"), cases(RANGES))
def test_values_out_of_range(make: Callable[[str], Any], spec: str) -> None:
    with pytest.raises(InputError):
        make(spec)


@pytest.mark.parametrize(("make", "spec"), cases(WRONG))
def test_what_is_no_option(make: Callable[[str], Any], spec: str) -> None:
    with pytest.raises(AlignEvalError) as told:
        make(spec)
    assert spec.partition(":")[0] in str(told.value)


@pytest.mark.parametrize(("make", "spec"), cases(UNKNOWN))
def test_names_that_are_not_known(make: Callable[[str], Any], spec: str) -> None:
    with pytest.raises(UnknownNameError):
        make(spec)


def test_what_can_be_is_read() -> None:
    assert make_extractor("softmax:threshold=0.01").spec == "softmax:threshold=0.01"
    assert make_extractor("threshold:scale=none,above=7").spec == "threshold:above=7.0,scale=none"
    assert attribution_options("smoothgrad:samples=8,smoothed=input-x-gradient") == {
        "samples": 8,
        "smoothed": "input-x-gradient",
    }
    assert attribution_options("value-zeroing:normalised=yes") == {"normalised": True}
    for name in EXTRACTORS.names():
        assert make_extractor(name).spec == name
    for name in ATTRIBUTIONS.names():
        assert attribution_options(name) == {}


def test_methods_made_in_python_are_checked_too() -> None:
    for options in ({"threshold": float("nan")}, {"threshold": -1}):
        with pytest.raises(InputError, match="the method softmax is out of range"):
            EXTRACTORS.get("softmax")(**options)
    with pytest.raises(InputError, match=r"passes=0 of the method itermax is out of range\. Give a number at least 1"):
        EXTRACTORS.get("itermax")(passes=0)


def test_the_table_of_attribution_methods_is_their_docstrings() -> None:
    text = (Path(__file__).parents[1] / "docs" / "heads.md").read_text(encoding="utf-8")
    for name, method in ATTRIBUTIONS.items():
        options = ", ".join(f"`{key}={kind.shown()}`" for key, kind in options_of(method).items())
        first = " ".join(inspect.cleandoc(method.__doc__ or "").partition("\n\n")[0].split())
        assert f"| `{name}` | {first.replace('``', '`').replace('|', chr(92) + '|')} | {options} |" in text
