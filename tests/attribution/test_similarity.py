"""Similarity against numpy by hand, padding, means of words, and the check for NaN."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from align_eval.attribution.matrix import ScoreMatrix, at_least_float32
from align_eval.attribution.similarity import similarity, word_means
from align_eval.errors import NonFiniteError

SIZES = st.lists(st.tuples(st.integers(1, 6), st.integers(1, 6)), min_size=1, max_size=4)


def vectors(sizes: list[tuple[int, int]], seed: int) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Random vectors of each pair, 5 wide."""
    random = np.random.default_rng(seed)
    return [random.normal(size=(m, 5)) for m, _ in sizes], [random.normal(size=(n, 5)) for _, n in sizes]


def matrix_of(source: list[np.ndarray], target: list[np.ndarray], kind: str, dtype: torch.dtype) -> ScoreMatrix:
    """The batch of these vectors, each unit a word of its own."""
    values = torch.cat([torch.tensor(v).to(dtype) for v in (*source, *target)])
    counts = [len(v) for v in source], [len(v) for v in target]
    starts = np.cumsum([0, *counts[0], *counts[1]])
    rows = [np.arange(a, b) for a, b in itertools.pairwise(starts)]
    units = ([np.arange(n) for n in side] for side in counts)
    names = ["a", "b", "c", "d"][: len(source)]
    return similarity(values, (rows[: len(source)], rows[len(source) :]), units, counts, kind=kind, ids=names)


@given(SIZES, st.integers(0, 10**6), st.sampled_from([torch.float32, torch.float64]))
@settings(max_examples=60, deadline=None)
def test_dot_and_cosine_by_hand(sizes: list[tuple[int, int]], seed: int, dtype: torch.dtype) -> None:
    source, target = vectors(sizes, seed)
    dot, cosine = (matrix_of(source, target, kind, dtype) for kind in ("dot", "similarity"))
    assert dot.values.dtype == cosine.values.dtype == dtype
    assert dot.values.shape == (1, len(sizes), max(m for m, _ in sizes), max(n for _, n in sizes))
    tolerance = 1e-5 if dtype == torch.float32 else 1e-12
    for k, (x, y) in enumerate(zip(source, target, strict=True)):
        m, n = sizes[k]
        products = np.array([[sum(a * b for a, b in zip(row, column, strict=True)) for column in y] for row in x])
        norms = np.sqrt((x**2).sum(axis=1))[:, None] * np.sqrt((y**2).sum(axis=1))
        np.testing.assert_allclose(dot.values[0, k, :m, :n], products, atol=tolerance)
        np.testing.assert_allclose(cosine.values[0, k, :m, :n], (products / norms + 1) / 2, atol=tolerance)


@given(SIZES, st.integers(0, 10**6))
@settings(max_examples=40, deadline=None)
def test_shapes_and_mask(sizes: list[tuple[int, int]], seed: int) -> None:
    batch = matrix_of(*vectors(sizes, seed), "similarity", torch.float32)
    assert batch.source.lengths == batch.source.counts == tuple(m for m, _ in sizes)
    assert batch.target.lengths == batch.target.counts == tuple(n for _, n in sizes)
    assert batch.mask.flatten(1).sum(dim=1).tolist() == [m * n for m, n in sizes]
    for k, (m, n) in enumerate(sizes):
        assert batch.mask[k, :m, :n].all()
        assert batch.source.words[k, :m].tolist() == list(range(m))
        assert (batch.source.words[k, m:] == -1).all()


def test_one_pair_does_not_change_another() -> None:
    source, target = vectors([(2, 5), (6, 1), (3, 3)], 4)
    together = matrix_of(source, target, "similarity", torch.float32)
    for k in range(3):
        alone = matrix_of(source[k : k + 1], target[k : k + 1], "similarity", torch.float32)
        m, n = alone.values.shape[2:]
        torch.testing.assert_close(together.values[0, k, :m, :n], alone.values[0, 0], atol=1e-6, rtol=0)


def test_equal_vectors_have_similarity_one_and_opposite_ones_zero() -> None:
    batch = matrix_of([np.array([[3.0, 4.0]])], [np.array([[6.0, 8.0], [-3.0, -4.0]])], "similarity", torch.float32)
    np.testing.assert_allclose(batch.values[0, 0, 0], [1.0, 0.0], atol=1e-6)
    assert batch.quantity == "similarity, (cosine + 1) / 2"


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_vectors_are_multiplied_in_float32(dtype: torch.dtype) -> None:
    source, target = vectors([(4, 3)], 1)
    rounded = [[torch.tensor(v).to(dtype).float().numpy() for v in side] for side in (source, target)]
    for kind in ("dot", "similarity"):
        batch = matrix_of(source, target, kind, dtype)
        assert batch.values.dtype == torch.float32
        expected = matrix_of(rounded[0], rounded[1], kind, torch.float32)
        assert torch.equal(batch.values, expected.values)


def test_at_least_float32_keeps_float64() -> None:
    kinds = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
    assert [at_least_float32(torch.ones(1, dtype=k)).dtype for k in kinds] == [torch.float32] * 3 + [torch.float64]


@given(st.lists(st.integers(0, 3), min_size=1, max_size=6).filter(any), st.integers(0, 10**6))
@settings(max_examples=60, deadline=None)
def test_word_means_leave_out_words_without_units(units: list[int], seed: int) -> None:
    """``units``: number of units of each word."""
    words = torch.tensor([w for w, count in enumerate(units) for _ in range(count)])
    x = torch.tensor(np.random.default_rng(seed).normal(size=(len(words), 4)), dtype=torch.float32)
    means, present = word_means(x, words)
    assert present.tolist() == [w for w, count in enumerate(units) if count]
    for row, word in enumerate(present.tolist()):
        torch.testing.assert_close(means[row], x[words == word].mean(dim=0))


def test_means_of_half_precision_do_not_lose_digits() -> None:
    # 300 units of one word: a running sum in bfloat16 would stop growing at 256.
    means, _ = word_means(torch.ones(300, 2, dtype=torch.bfloat16), torch.zeros(300, dtype=torch.int64))
    assert means.tolist() == [[1.0, 1.0]]


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), float("-inf")])
def test_check_finite_names_the_pair_and_ignores_padding(bad: float) -> None:
    batch = matrix_of(*vectors([(2, 2), (3, 3), (3, 2)], 0), "dot", torch.float32)
    batch.values[0, 0, 2, 2] = bad  # padding
    batch.check_finite()
    batch.values[0, 1, 2, 0] = bad
    batch.values[0, 2, 0, 0] = bad
    with pytest.raises(NonFiniteError, match="dot product of sentence pair b has NaN or infinite"):
        batch.check_finite()


def test_infinities_of_both_signs_do_not_cancel() -> None:
    batch = matrix_of(*vectors([(1, 2)], 0), "dot", torch.float32)
    batch.values[0, 0, 0] = torch.tensor([float("inf"), float("-inf")])
    with pytest.raises(NonFiniteError):
        batch.check_finite()


def test_large_finite_values_are_finite() -> None:
    batch = matrix_of(*vectors([(2, 2)], 0), "dot", torch.float32)
    batch.values[:] = 3e38
    batch.check_finite()
