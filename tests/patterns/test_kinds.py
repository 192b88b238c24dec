"""Mask kinds: small cases by hand, what holds for all of them, and how they are written."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from align_eval.errors import InputError, UnknownNameError
from align_eval.patterns import MASK_KINDS, Mask, MaskKind, make_mask_kind
from align_eval.patterns.base import Evidence
from align_eval.patterns.detector import measure
from align_eval.patterns.tree import ancestors, depths, grown
from tests.patterns.draws import draw

NAMES = MASK_KINDS.names()


def candidates(kind: MaskKind, evidence: Evidence, causal: bool) -> list[Mask]:
    """The masks that a kind's fit finds in one direction."""
    direction = {"causal": causal} if "causal" in kind.options else {}
    return [kind.mask(given | direction) for given in kind.fit(evidence.directed[causal])]


def rows(spec: str, n: int) -> list[str]:
    """The mask as rows of ``#`` (attends) and ``.``."""
    return ["".join(".#"[int(cell)] for cell in row) for row in make_mask_kind(spec)(n)]


@pytest.mark.parametrize(
    ("spec", "wanted"),
    [
        ("causal", ["#...", "##..", "###.", "####"]),
        ("full", ["###", "###", "###"]),
        ("sliding-window:width=2", ["#...", "##..", ".##.", "..##"]),
        ("sliding-window:width=2,causal=no", ["##..", "###.", ".###", "..##"]),
        ("dilated:dilation=2,width=2", ["#....", ".#...", "#.#..", ".#.#.", "..#.#"]),
        ("block:size=2", ["#....", "##...", "..#..", "..##.", "....#"]),
        ("block:size=2,causal=no", ["##...", "##...", "..##.", "..##.", "....#"]),
        ("segments:starts=1+4", ["#.....", ".#....", ".##...", ".###..", "....#.", "....##"]),
        ("segments:starts=2,causal=no", ["##..", "##..", "..##", "..##"]),
        ("segments:starts=,causal=no", ["##", "##"]),
        # Sparse Transformer, l = 3: the band i - 3 .. i, and i - 6.
        ("strided:stride=3", ["#......", "##.....", "###....", "####...", ".####..", "..####.", "#..####"]),
        ("fixed:size=3,summary=1", ["#.....", "##....", "###...", "..##..", "..###.", "..####"]),
        ("fixed:size=3,summary=2", ["#....", "##...", "###..", ".###.", ".####"]),
        ("sink-window:sinks=1,window=2", ["#....", "##...", "###..", "#.##.", "#..##"]),
        ("sink-window:sinks=1,window=1,causal=no", ["#...", "##..", "#.#.", "#..#"]),
        ("global-window:tokens=1,window=1", ["####", "##..", "#.#.", "#..#"]),
        ("prefix:length=2", ["##..", "##..", "###.", "####"]),
        # Two roots; 0 has the children 2 and 3, 1 has 4.
        ("tree:drafts=5,branching=2", ["#....", ".#...", "#.#..", "#..#.", ".#..#"]),
        ("tree:drafts=3,branching=2+1", ["#.....", "##....", "###...", "####..", "###.#.", "####.#"]),
        ("tree:drafts=4,branching=2+1,order=depth", ["#...", "##..", "..#.", "..##"]),
        ("tree:parents=-1+0+0", ["#....", "##...", "###..", "####.", "###.#"]),
        ("masked-rows:period=3", ["#.....", "##....", "..#...", "####..", "#####.", ".....#"]),
        ("masked-rows:period=2,offset=1,keep=0", ["#...", "....", "###.", "...."]),
        ("masked-rows:rows=1+3,keep=2", ["#....", "##...", "###..", "..##.", "#####"]),
        ("masked-rows:rows=1,causal=no", ["###", ".#.", "###"]),
        ("vertical-slash:columns=1,slashes=0+2", ["#...", ".#..", "###.", ".#.#"]),
        ("vertical-slash:columns=,slashes=1,causal=no", [".#.", "#.#", ".#."]),
    ],
)  # fmt: skip
def test_masks_by_hand(spec: str, wanted: list[str]) -> None:
    assert rows(spec, len(wanted)) == wanted


def test_the_default_tree_has_64_drafts_in_four_levels() -> None:
    tree = make_mask_kind("tree")
    assert np.bincount(depths(grown((4, 3, 2, 1), 64))).tolist() == [0, 4, 12, 24, 24]
    mask = tree(64)
    assert mask.sum() == 4 * 1 + 12 * 2 + 24 * 3 + 24 * 4, "each draft sees its ancestors and itself"
    behind = tree(80)
    assert behind[:, :16].sum() == 16 * 17 // 2 + 64 * 16, "the context is causal, and every draft sees all of it"
    assert np.array_equal(behind[16:, 16:], mask)


@pytest.mark.parametrize("name", NAMES)
def test_each_kind_names_a_paper_and_explains_its_parameters(name: str) -> None:
    kind = MASK_KINDS.get(name)
    assert "arXiv:" in (kind.cells.__doc__ or "")
    assert kind.name == name
    assert all(option.help for option in kind.options.values())


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(NAMES), st.integers(16, 40), st.integers(0, 10_000), st.booleans())
def test_drawn_kinds(name: str, n: int, seed: int, forward: bool) -> None:
    kind = MASK_KINDS.get(name)
    causal = forward if forward in kind.directions else kind.directions[0]
    drawn = draw(kind, np.random.default_rng(seed), n, causal)
    mask = drawn(n)
    assert mask.shape == (n, n)
    assert mask.dtype == bool
    assert make_mask_kind(drawn.spec) == drawn, "a spec says everything"
    assert make_mask_kind(drawn.spec)(n).tolist() == mask.tolist()
    assert drawn.bits(n) >= 0
    assert drawn.describe()
    if causal:
        assert not np.triu(mask, 1).any(), "no query attends to a key after it"
    if name not in ("masked-rows", "dilated"):
        assert mask.diagonal().all(), "every query attends to itself"


@settings(max_examples=100, deadline=None)
@given(st.sampled_from(NAMES), st.integers(16, 40), st.integers(0, 10_000))
def test_a_fit_finds_what_was_drawn(name: str, n: int, seed: int) -> None:
    """Without noise the best candidate of the kind itself has no error."""
    kind = MASK_KINDS.get(name)
    for causal in kind.directions:
        truth = draw(kind, np.random.default_rng(seed), n, causal)(n)
        evidence = Evidence(truth)
        assert min(measure(mask, evidence).errors for mask in candidates(kind, evidence, causal)) == 0


@settings(max_examples=60, deadline=None)
@given(st.integers(2, 12), st.integers(0, 10_000), st.booleans())
def test_fits_of_windows_and_sinks_are_the_best_there_are(n: int, seed: int, causal: bool) -> None:
    """Against all parameters, on patterns of pure chance."""
    pattern = np.random.default_rng(seed).random((n, n)) < 0.5
    if causal:
        pattern = np.tril(pattern)
    evidence = Evidence(pattern)
    causal = evidence.causal
    every = range(1, n + 1)
    direction = f"causal={'yes' if causal else 'no'}"
    specs = {
        "sliding-window": [f"sliding-window:width={w},{direction}" for w in every],
        "sink-window": [f"sink-window:sinks={s},window={w},{direction}" for s in every for w in every],
        "block": [f"block:size={s},{direction}" for s in every],
        "strided": [f"strided:stride={s},{direction}" for s in range(1, n)],
        "dilated": [f"dilated:dilation={d},width={w},{direction}" for d in range(2, n) for w in every],
        "masked-rows": [
            f"masked-rows:period={p},offset={o},keep={k},{direction}"
            for p in range(2, n // 2 + 1)
            for o in range(p)
            for k in range(n + 1)
        ],
    }
    if n <= 8:
        cuts = [[k for k in range(1, n) if chosen >> k & 1] for chosen in range(0, 2**n, 2)]
        specs["segments"] = [f"segments:starts={'+'.join(map(str, cut))},{direction}" for cut in cuts]
    if causal:
        specs["fixed"] = [f"fixed:size={s},summary={c}" for s in range(2, n) for c in range(1, s)]
    else:
        specs["prefix"] = [f"prefix:length={k}" for k in every]
        specs["global-window"] = [f"global-window:tokens={t},window={w}" for t in every for w in every]
    for name, all_of_them in specs.items():
        if all_of_them:
            least = min(measure(make_mask_kind(spec), evidence).errors for spec in all_of_them)
            found = [k for k in candidates(MASK_KINDS.get(name), evidence, causal) if not k.parameters.get("rows")]
            assert min(measure(mask, evidence).errors for mask in found) == least, name


def test_trees() -> None:
    assert ancestors([-1, 0, 1, 0]).astype(int).tolist() == [[1, 0, 0, 0], [1, 1, 0, 0], [1, 1, 1, 0], [1, 0, 0, 1]]
    assert grown((3, 1), 7) == [-1, -1, -1, 0, 1, 2, 3]
    assert grown((1,), 3) == grown((1,), 3, "depth") == [-1, 0, 1]
    for order in ("breadth", "depth"):
        parents = grown((2, 3, 1), 20, order)
        assert all(parent < node for node, parent in enumerate(parents))
        assert np.bincount(depths(parents)).tolist() == [0, 2, 6, 6, 6]


@pytest.mark.parametrize(
    ("spec", "error", "words"),
    [
        ("sink-windw", UnknownNameError, "Did you mean 'sink-window'"),
        ("sink-window:sink=4", UnknownNameError, "unknown option of the mask sink-window 'sink'"),
        ("sink-window:sinks=four", InputError, "sinks=<whole number>"),
        ("sink-window:sinks", InputError, "Write for example sink-window:sinks=4"),
        (
            "sink-window:sinks=0",
            InputError,
            "sinks=0 of the mask sink-window is out of range. Give a number at least 1",
        ),
        ("block:causal=maybe", InputError, "causal=yes\\|no"),
        ("tree:branching=2+x", InputError, "branching=<whole number>\\+<whole number>"),
        ("tree:branching=", InputError, "without a branching"),
        ("tree:branching=2+0", InputError, "branching=2\\+0"),
        ("tree:order=random", InputError, "Known: breadth, depth"),
        ("tree:parents=-1+1", InputError, "node 1 of a draft tree has the parent 1"),
        ("masked-rows:period=1", InputError, "period=1"),
    ],
)
def test_bad_specs(spec: str, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        make_mask_kind(spec)(80)


@pytest.mark.parametrize(
    ("spec", "n", "words"),
    [
        ("causal", 0, "0 tokens"),
        ("tree", 63, "64 drafts does not fit 63 tokens"),
        ("masked-rows:rows=8", 8, "row 8 of 8"),
        ("vertical-slash:columns=9", 8, "line 9 of 8"),
        ("segments:starts=8", 8, "begins at 8 of 8"),
    ],
)
def test_lengths_that_do_not_fit(spec: str, n: int, words: str) -> None:
    with pytest.raises(InputError, match=words):
        make_mask_kind(spec)(n)
