"""The links of the published programs on the same model: ``simalign`` by running it, awesome-align by its rule."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from align_eval.aligners import AlignerSettings, System, make_aligner
from align_eval.corpora import SentencePair, load_testset
from align_eval.errors import InputError, SentenceTooLongError, UnknownNameError
from align_eval.links.table import LinkTable
from align_eval.scoring import score
from tests.aligners.compare import LAYER, Reference, compare, explained, mutual, tied

pytestmark = [pytest.mark.model]

SETS = {
    "deen-rwth": 100, "enfr-wpt": 100, "roen-wpt": 100, "jaen-kftt": 100, "zhen-tsinghua": 100,
    "mini-ende": 20, "mini-enfr": 20, "mini-enes": 20, "mini-enzh": 20,
}  # fmt: skip
# The package's matching takes seconds for a long pair, four minutes in all: pairs of more cells than these are compared
# by argmax and itermax alone, unless ALIGN_EVAL_FULL=1. The part `equal` of `make bench` compares all of two sets.
MATCH_CELLS = None if os.environ.get("ALIGN_EVAL_FULL") == "1" else 1000


@pytest.fixture(scope="module")
def reference(e5: Any) -> Reference:
    return Reference(str(e5.path))


@pytest.fixture
def pairs_of(request: pytest.FixtureRequest) -> Callable[[str, int], list[SentencePair]]:
    def load(name: str, count: int) -> list[SentencePair]:
        if not name.startswith("mini"):
            request.getfixturevalue("gold_folder")
        return load_testset(name).pairs[:count]

    return load


@pytest.mark.parametrize("name", [pytest.param(s, marks=pytest.mark.xdist_group(f"parity-{s}")) for s in SETS])
def test_simalign_gives_the_same_links(
    e5: Any, reference: Reference, pairs_of: Any, name: str, record_property: Callable[[str, object], None]
) -> None:
    """All 580 pairs and all methods (ALIGN_EVAL_FULL=1) were equal, without a single tie, when this was written."""
    found = compare(e5, reference, pairs_of(name, SETS[name]), MATCH_CELLS)
    record_property("comparison", str(found))
    print(f"{name}: {found}")  # noqa: T201 - shown with pytest -rP
    assert not found.wrong, f"{name}: {found}"
    assert sum(found.ties.values()) <= 3, f"too many ties to be ties; {name}: {found}"
    assert found.compared["argmax"] == found.compared["itermax"] == SETS[name]
    assert found.compared["match"] >= (SETS[name] if MATCH_CELLS is None else SETS[name] // 10)


def test_the_comparison_tells_ties_from_errors() -> None:
    values = np.array([[0.9, 0.2, 0.3], [0.1, 0.8, 0.7], [0.2, 0.8 - 1e-7, 0.3]])
    ours = mutual(values)
    assert np.argwhere(ours).tolist() == [[0, 0], [1, 1]]
    other = ours.copy()
    other[1, 1], other[2, 1] = False, True
    assert explained("argmax", values, other)
    other[0, 2] = True
    assert not explained("argmax", values, other)
    assert not tied(values, np.array([[True, False, False]] + [[False] * 3] * 2))
    matching = np.eye(3, dtype=bool)
    assert not explained("match", values, matching)  # 0.9 + 0.8 + 0.3 < 0.9 + 0.7 + 0.8
    assert explained("match", values, matching[[0, 2, 1]])
    assert not explained("match", values, np.diag([True, False, False]))


@pytest.mark.parametrize("subword", ["any", "mean"])
def test_simalign_as_an_aligner_gives_what_the_package_gives(e5: Any, pairs_of: Any, subword: str) -> None:
    from simalign import SentenceAligner

    pairs = sorted(pairs_of("mini-ende", 20) + pairs_of("mini-enzh", 20), key=lambda p: len(p.source))[:8]
    aligner = make_aligner(AlignerSettings(e5, ("simalign:itermax", "simalign"), (6, 7), subword=subword))
    assert aligner.systems == [System("simalign:itermax", 6), System("simalign:itermax", 7)]
    found = aligner.align_all(pairs)
    for layer in (6, 7):
        package = SentenceAligner(str(e5.path), {"any": "bpe", "mean": "word"}[subword], 0.0, "i", layer=layer)
        for pair, links in zip(pairs, found[System("simalign:itermax", layer)], strict=True):
            assert list(links) == package.get_word_aligns(list(pair.source), list(pair.target))["itermax"]
    own = make_aligner(AlignerSettings(e5, ("itermax",), (6, 7), subword=subword, lone_marks="keep")).align_all(pairs)
    for layer in (6, 7):
        assert own[System("itermax", layer)] == found[System("simalign:itermax", layer)]


def test_all_methods_of_simalign(e5: Any, pairs_of: Any) -> None:
    pairs = pairs_of("mini-enfr", 6)
    names = ("argmax", "itermax", "match", "forward", "reverse")
    theirs = make_aligner(AlignerSettings(e5, tuple(f"simalign:{n}" for n in names))).align_all(pairs)
    ours = make_aligner(AlignerSettings(e5, names)).align_all(pairs)
    for name in names:
        assert ours[System(name, 7)] == theirs[System(f"simalign:{name}", 7)]


def test_simalign_refuses_what_the_package_would_cut_or_cannot_do(e5: Any) -> None:
    aligner = make_aligner(AlignerSettings(e5, ("simalign:argmax",)))
    system = aligner.systems[0]
    assert aligner.signature(system)["long"] == "raise"
    with pytest.raises(SentenceTooLongError, match=r"pair long has 5.. sub-words, the model's window is 510"):
        aligner.align_all([SentencePair("ok", ("a",), ("b",)), SentencePair("long", ("house",) * 550, ("Haus",))])
    empty = [SentencePair("1", (), ("a",)), SentencePair("2", ("a",), ()), SentencePair("3", ("",), ("a",))]
    assert [len(x) for x in aligner.align_all(empty)[system]] == [0, 0, 0]
    with pytest.raises(UnknownNameError, match=r"unknown method of simalign 'itermx'.*Did you mean 'itermax'"):
        make_aligner(AlignerSettings(e5, ("simalign:itermx",)))
    with pytest.raises(InputError, match="layer 13"):
        make_aligner(AlignerSettings(e5, ("simalign:argmax",), (13,)))
    silent = [SentencePair("9", ("the", "", "house"), ("das", "Haus"))]
    with pytest.raises(InputError, match="a word of pair 9 has no sub-word"):
        make_aligner(AlignerSettings(e5, ("simalign:argmax",), subword="mean")).align_all(silent)
    assert list(aligner.align_all(silent)[system][0]) == [(0, 0), (2, 1)]


def softmax(values: np.ndarray, axis: int) -> np.ndarray:
    powers = np.exp(values - values.max(axis=axis, keepdims=True))
    return powers / powers.sum(axis=axis, keepdims=True)


def test_softmax_gives_awesome_aligns_links(e5: Any, pairs_of: Any) -> None:
    """Dou & Neubig 2021, section 2.2, in numpy: both softmaxes of the dot products above 1e-3, any sub-word."""
    pairs = [p for name in ("deen-rwth", "enfr-wpt", "zhen-tsinghua") for p in pairs_of(name, 15)]
    pairs += pairs_of("mini-enes", 10)
    threshold, near = 1e-3, 0
    aligner = make_aligner(AlignerSettings(e5, ("softmax",), (LAYER,), lone_marks="keep"))
    found = aligner.align_all(pairs)[System("softmax", LAYER)]
    for pair, links in zip(pairs, found, strict=True):
        tokens = e5.tokenize([pair.source, pair.target])
        source, target = (v[0].numpy().astype(np.float64) for v in e5.encode(tokens.ids, [LAYER]))
        products = source @ target.T
        both = np.minimum(softmax(products, 1), softmax(products, 0))
        words = [tuple(int(tokens.words[s][c]) for s, c in enumerate(cell)) for cell in np.argwhere(both > threshold)]
        different = set(words) ^ set(links)
        ties = [tuple(int(tokens.words[s][c]) for s, c in enumerate(cell))
                for cell in np.argwhere(abs(both / threshold - 1) < 1e-3)]  # fmt: skip
        assert different <= set(ties), f"{pair.id}: {sorted(different - set(ties))}"
        near += bool(different)
    assert near <= 1
    assert sum(map(len, found)) > 5 * len(pairs)


def test_error_rate_of_the_first_hundred_pairs(e5: Any, pairs_of: Any) -> None:
    """A cheap guard against a silent change for the worse; the figures of whole sets stand in ``results/``."""
    pairs = pairs_of("enfr-wpt", 100)
    found = make_aligner(AlignerSettings(e5, ("argmax",), (LAYER,))).align_all(pairs)[System("argmax", LAYER)]
    aer = score(LinkTable.from_links([p.gold for p in pairs]), LinkTable.from_links(found), resamples=0).aer
    assert aer == pytest.approx(8.45, abs=0.3)
