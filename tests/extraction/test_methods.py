"""Every extraction method on hand-computed cases, against a reference, and for its invariants."""

from __future__ import annotations

import numpy as np
import ot
import pytest
import torch
from entmax import entmax15 as reference_entmax
from hypothesis import given, settings
from hypothesis import strategies as st
from simalign import SentenceAligner

from align_eval.errors import InputError, UnknownNameError
from align_eval.extraction import EXTRACTORS, Extraction, any_subword, make_extractor
from align_eval.extraction.threshold import entmax15
from align_eval.extraction.transport import Transport

METHODS = ["argmax", "entmax", "forward", "itermax", "match", "reverse", "softmax", "threshold", "transport"]
SPECS = [
    *METHODS,
    "threshold:above=0.3,scale=none",
    "transport:kind=partial",
    "transport:kind=unbalanced",
    "transport:kind=xlm-align",
]


def extract(spec: str, matrix: np.ndarray) -> set[tuple[int, int]]:
    """Links of one matrix."""
    m, n = matrix.shape
    result = make_extractor(spec).masked(torch.tensor(matrix)[None], torch.ones((1, m, n), dtype=torch.bool))
    return {(int(i), int(j)) for i, j in result.links[0].nonzero()}


def batch(matrices: list[np.ndarray]) -> tuple[torch.Tensor, torch.Tensor]:
    """Pad matrices into one batch, with its mask; the padding holds values that would win if they counted."""
    rows, columns = max(x.shape[0] for x in matrices), max(x.shape[1] for x in matrices)
    out = torch.full((len(matrices), rows, columns), 99.0)
    mask = torch.zeros_like(out, dtype=torch.bool)
    for k, x in enumerate(matrices):
        out[k, : x.shape[0], : x.shape[1]] = torch.tensor(x)
        mask[k, : x.shape[0], : x.shape[1]] = True
    return out, mask


@st.composite
def matrices(draw: st.DrawFn, smallest: int = 1, largest: int = 7) -> np.ndarray:
    m, n = draw(st.integers(smallest, largest)), draw(st.integers(smallest, largest))
    seed = draw(st.integers(0, 2**31))
    return np.random.default_rng(seed).random((m, n)).astype(np.float32)


def test_names_that_stay() -> None:
    assert EXTRACTORS.names() == METHODS


def test_argmax_forward_reverse_by_hand() -> None:
    matrix = np.array([[0.9, 0.1, 0.2], [0.8, 0.3, 0.1], [0.1, 0.2, 0.7]], dtype=np.float32)
    assert extract("argmax", matrix) == {(0, 0), (2, 2)}
    assert extract("forward", matrix) == {(0, 0), (1, 0), (2, 2)}
    assert extract("reverse", matrix) == {(0, 0), (1, 1), (2, 2)}


def test_of_equal_cells_the_first_counts() -> None:
    assert extract("forward", np.ones((2, 3), dtype=np.float32)) == {(0, 0), (1, 0)}
    assert extract("argmax", np.ones((2, 3), dtype=np.float32)) == {(0, 0)}


def test_itermax_by_hand() -> None:
    # Round 1 links 0-0 and 2-2. Free are row 1 and column 1. Round 2: row 1 sees 0.9 * 0.8 = 0.72 at column 0 (one side
    # free), 1 * 0.3 at column 1 (both free), 0.9 * 0.1 at column 2, so its best is column 0, whose best free partner is
    # row 1 (row 0 has weight 0 there): 1-0 is new. Column 1's best is row 1, whose best is column 0: no link 1-1.
    matrix = np.array([[0.9, 0.1, 0.2], [0.8, 0.3, 0.1], [0.1, 0.2, 0.7]], dtype=np.float32)
    assert extract("itermax", matrix) == {(0, 0), (1, 0), (2, 2)}
    assert extract("itermax:alpha=0.3", matrix) == {(0, 0), (1, 1), (2, 2)}
    assert extract("itermax:passes=1", matrix) == extract("argmax", matrix)
    assert extract("itermax", matrix[:2]) == extract("argmax", matrix[:2]), "two words on a side: mutual argmax"


def test_match_by_hand() -> None:
    # The greedy 0-0 (0.9) would leave 1-1 (0.1): 1.0. The best sum is 0-1 + 1-0 = 1.6.
    matrix = np.array([[0.9, 0.8], [0.8, 0.1]], dtype=np.float32)
    assert extract("match", matrix) == {(0, 1), (1, 0)}


def test_threshold_by_hand() -> None:
    # Scaled by the least and the greatest cell: (0.2 - 0.1) / 0.8 = 0.125, (0.48 - 0.1) / 0.8 = 0.475, 0.9 becomes 1.
    matrix = np.array([[0.9, 0.1], [0.48, 0.2]], dtype=np.float32)
    assert extract("threshold", matrix) == {(0, 0)}
    assert extract("threshold:above=0.47", matrix) == {(0, 0), (1, 0)}
    assert extract("threshold:above=0.1", matrix) == {(0, 0), (1, 0), (1, 1)}
    assert extract("threshold:above=0.4,scale=none", matrix) == {(0, 0), (1, 0)}
    assert extract("threshold:above=0.15,scale=none", matrix) == {(0, 0), (1, 0), (1, 1)}
    assert extract("threshold", np.full((2, 3), 0.7, dtype=np.float32)) == set(), "nothing stands out"


def test_threshold_needs_a_known_scale() -> None:
    with pytest.raises(InputError, match=r"minmaxx.*minmax"):
        make_extractor("threshold:scale=minmaxx")


@given(matrices(), st.floats(0.1, 50), st.floats(-5, 5), st.floats(0, 1))
@settings(max_examples=50, deadline=None)
def test_scaled_threshold_does_not_see_the_range(matrix: np.ndarray, factor: float, shift: float, cut: float) -> None:
    moved = matrix.astype(np.float64) * factor + shift
    span = np.ptp(matrix.astype(np.float64)) or 1.0
    scaled = (matrix.astype(np.float64) - matrix.min()) / span
    if np.abs(scaled - cut).min() > 1e-6:  # no cell on the edge, where rounding decides
        assert extract(f"threshold:above={cut}", moved) == extract(f"threshold:above={cut}", matrix.astype(np.float64))


def test_softmax_by_hand() -> None:
    # Rows: softmax of (ln 3, 0) is (0.75, 0.25), of (0, 0) is (0.5, 0.5); columns: (ln 3, 0) -> (0.75, 0.25), and 0.5.
    matrix = np.array([[np.log(3), 0.0], [0.0, 0.0]], dtype=np.float32)
    assert extract("softmax:threshold=0.6", matrix) == {(0, 0)}
    assert extract("softmax:threshold=0.49", matrix) == {(0, 0), (1, 1)}
    assert extract("softmax:threshold=0.2", matrix) == {(0, 0), (0, 1), (1, 0), (1, 1)}


@given(matrices())
@settings(max_examples=50, deadline=None)
def test_softmax_is_the_rule_of_awesome_align(matrix: np.ndarray) -> None:
    """The published rule, in numpy: both softmax directions of the raw dot products above 1e-3."""
    scores = (matrix.astype(np.float64) - 0.5) * 40
    p = np.exp(scores) / np.exp(scores).sum(1, keepdims=True)
    q = np.exp(scores) / np.exp(scores).sum(0, keepdims=True)
    expected = set(zip(*(x.tolist() for x in np.nonzero((p > 1e-3) & (q > 1e-3))), strict=True))
    assert extract("softmax", scores) == expected


@given(matrices(), st.sampled_from([1.0, 10.0, 300.0]))
@settings(max_examples=60, deadline=None)
def test_entmax_equals_the_reference_package(matrix: np.ndarray, scale: float) -> None:
    scores = torch.tensor(matrix).double()[None] * scale
    mask = torch.ones_like(scores, dtype=torch.bool)
    for dim in (1, 2):
        ours, theirs = entmax15(scores, mask, dim), reference_entmax(scores, dim=dim)
        assert torch.allclose(ours, theirs, atol=1e-9)
        assert torch.allclose(ours.sum(dim), torch.ones(()).double())


def test_entmax_by_hand() -> None:
    # Peters et al. 2019: z = (1, 0) / 2, both in the support: (0.5 - t)^2 + t^2 = 1, so t = (0.5 - sqrt(1.75)) / 2.
    t = (0.5 - np.sqrt(1.75)) / 2
    scores = torch.tensor([[[1.0, 0.0]]]).double()
    ours = entmax15(scores, torch.ones_like(scores, dtype=torch.bool), 2)
    assert np.allclose(ours[0, 0].numpy(), [(0.5 - t) ** 2, t**2])


@given(matrices(1, 9))
@settings(max_examples=150, deadline=None)
def test_simalign_methods_equal_the_package(matrix: np.ndarray) -> None:
    forward, reverse = SentenceAligner.get_alignment_matrix(matrix)
    theirs = {
        "forward": forward,
        "reverse": reverse,
        "argmax": forward * reverse,
        "itermax": SentenceAligner.iter_max(matrix),
        "match": SentenceAligner.get_max_weight_match(matrix),
    }
    for method, links in theirs.items():
        assert extract(method, matrix) == {(int(i), int(j)) for i, j in np.argwhere(links > 0)}, method


@given(matrices(1, 9), st.integers(2, 4))
@settings(max_examples=50, deadline=None)
def test_itermax_with_more_passes_equals_the_package(matrix: np.ndarray, passes: int) -> None:
    theirs = SentenceAligner.iter_max(matrix, max_count=passes)
    assert extract(f"itermax:passes={passes}", matrix) == {(int(i), int(j)) for i, j in np.argwhere(theirs > 0)}


def cost_of(matrix: np.ndarray) -> np.ndarray:
    x = matrix.astype(np.float64)
    return 1 - (x - x.min()) / (x.max() - x.min())


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.filterwarnings("ignore:If reg_type = entropy")
def test_transport_plans_equal_the_reference_package(seed: int) -> None:
    random = np.random.default_rng(seed)
    m, n = random.integers(2, 9, 2)
    matrix = random.random((m, n)).astype(np.float32)
    a, b, cost = np.full(m, 1 / m), np.full(n, 1 / n), cost_of(matrix)
    mask = torch.ones((1, m, n), dtype=torch.bool)

    def ours(**options: object) -> np.ndarray:
        plan = Transport(**options).plan(torch.tensor(matrix)[None], mask)  # type: ignore[arg-type]
        return plan[0].numpy()

    balanced = ot.bregman.sinkhorn_log(a, b, cost, reg=0.1, stopThr=1e-9, numItermax=20000)
    assert np.allclose(ours(kind="balanced"), balanced, atol=1e-5)
    unbalanced = ot.unbalanced.sinkhorn_knopp_unbalanced(
        a, b, cost, reg=0.1, reg_m=0.5, reg_type="entropy", stopThr=1e-12, numItermax=5000
    )
    assert np.allclose(ours(kind="unbalanced"), unbalanced, atol=1e-5)
    partial = ot.partial.entropic_partial_wasserstein(a, b, cost, reg=0.1, m=0.8, stopThr=1e-9, numItermax=5000)
    plan = ours(kind="partial")
    assert np.allclose(plan, partial, atol=1e-4)
    assert np.isclose(plan.sum(), 0.8)
    assert (plan.sum(1) <= a + 1e-4).all()
    assert (plan.sum(0) <= b + 1e-4).all()


def test_xlm_align_by_hand() -> None:
    # K = [[4, 1], [2, 2]]: columns to 1 -> [[2/3, 1/3], [1/3, 2/3]], rows to 1 -> the same. Mutual maxima: 0-0, 1-1.
    assert extract("transport:kind=xlm-align", np.array([[4.0, 1.0], [2.0, 2.0]])) == {(0, 0), (1, 1)}
    # Mutual argmax of K itself has 0-0 only: what the scaling adds is 1-1.
    assert extract("argmax", np.array([[4.0, 1.0], [2.0, 2.0]])) == {(0, 0)}


@pytest.mark.parametrize("spec", SPECS)
@given(data=st.data())
@settings(max_examples=15, deadline=None)
def test_batched_equals_one_by_one(spec: str, data: st.DataObject) -> None:
    several = data.draw(st.lists(matrices(), min_size=1, max_size=5))
    extractor = make_extractor(spec)
    scale = 8.0 if extractor.needs == "dot" else 1.0
    several = [x * scale for x in several]
    links = extractor.masked(*batch(several)).links
    for k, x in enumerate(several):
        assert {(int(i), int(j)) for i, j in links[k].nonzero()} == extract(spec, x)


@pytest.mark.parametrize("spec", SPECS)
@given(matrix=matrices())
@settings(max_examples=15, deadline=None)
def test_transposed_scores_give_transposed_links(spec: str, matrix: np.ndarray) -> None:
    if "itermax" in spec or "xlm" in spec:
        return  # Both go over one side first.
    swap = {"forward": "reverse", "reverse": "forward"}
    there = extract(spec, matrix)
    assert {(j, i) for i, j in there} == extract(swap.get(spec, spec), np.ascontiguousarray(matrix.T))


@pytest.mark.parametrize("spec", SPECS)
def test_scores_of_links_are_finite_and_within_0_and_1(spec: str) -> None:
    several = [np.random.default_rng(k).random((3 + k, 7 - k)).astype(np.float32) for k in range(4)]
    result = make_extractor(spec).masked(*batch(several))
    scores = result.scores[result.links]
    assert len(scores) > 0
    assert torch.isfinite(scores).all()
    assert scores.min() >= 0
    assert scores.max() <= 1


@pytest.mark.parametrize("spec", SPECS)
@pytest.mark.parametrize("shape", [(0, 3), (3, 0), (0, 0)])
def test_an_empty_side_has_no_links(spec: str, shape: tuple[int, int]) -> None:
    assert extract(spec, np.zeros(shape, dtype=np.float32)) == set()
    mixed = batch([np.ones((2, 2), dtype=np.float32), np.zeros(shape, dtype=np.float32)])
    assert not make_extractor(spec).masked(*mixed).links[1].any()


def test_any_subword_by_hand() -> None:
    # Source words: sub-words 0 | 1 2; target words: sub-words 0 1 | 2. Links 1-2 (0.5) and 2-2 (0.7) join word 1 and 1.
    links = torch.zeros((1, 3, 3), dtype=torch.bool)
    links[0, 1, 2] = links[0, 2, 2] = True
    scores = torch.zeros((1, 3, 3))
    scores[0, 1, 2], scores[0, 2, 2], scores[0, 0, 0] = 0.5, 0.7, 0.9
    words = any_subword(Extraction(links, scores), torch.tensor([[0, 1, 1]]), torch.tensor([[0, 0, 1]]), 2, 2)
    assert words.links.tolist() == [[[False, False], [False, True]]]
    assert words.scores[0, 1, 1] == pytest.approx(0.7)


def test_unknown_names_and_bad_options() -> None:
    with pytest.raises(UnknownNameError, match="itermax"):
        make_extractor("itermx")
    with pytest.raises(UnknownNameError, match="threshold"):
        make_extractor("softmax:treshold=1")
    with pytest.raises(InputError, match="threshold=<number>"):
        make_extractor("softmax:threshold=high")
    with pytest.raises(InputError, match="partial"):
        make_extractor("transport:kind=partail")
    with pytest.raises(InputError, match="Give a number at least"):
        make_extractor("transport:eps=0")


def test_the_spec_names_what_was_changed() -> None:
    assert make_extractor("softmax").spec == "softmax"
    assert make_extractor("softmax:threshold=0.001").spec == "softmax"
    assert make_extractor("transport:kind=partial,mass=0.5").spec == "transport:kind=partial,mass=0.5"
