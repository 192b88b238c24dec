"""Resampling: exact sums, the right distribution, the same whichever way it is computed."""

import importlib
import tracemalloc

import numpy as np
import pytest
from numpy.typing import NDArray

from align_eval.scoring import paired_tests
from align_eval.statistics import bootstrap_sums, percentile_interval, swap_sums

module = importlib.import_module("align_eval.statistics")


def corpus(size: int, seed: int = 0) -> NDArray[np.int32]:
    rng = np.random.default_rng(seed)
    length = rng.integers(1, 12, size)
    proposed = rng.binomial(length, 0.9)
    possible = rng.binomial(proposed, 0.8)
    sure = np.minimum(rng.binomial(possible, 0.9), length)
    return np.stack([proposed, length, sure, possible], axis=1).astype(np.int32)


def test_sums_are_those_of_drawn_rows() -> None:
    rows = corpus(50)
    drawn = np.random.default_rng(7).integers(50, size=20 * 50).reshape(20, 50)
    assert bootstrap_sums(rows, 20, 7).tolist() == rows[drawn].sum(axis=1).tolist()


def test_equal_seeds_draw_the_same_sentences_for_other_systems() -> None:
    one, other = corpus(60, 1), corpus(60, 2)
    both = bootstrap_sums(np.concatenate([one, other], axis=1), 30, 5)
    assert both[:, :4].tolist() == bootstrap_sums(one, 30, 5).tolist()
    assert both[:, 4:].tolist() == bootstrap_sums(other, 30, 5).tolist()


def test_small_blocks_draw_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = corpus(50)
    whole = bootstrap_sums(rows, 40, 3)
    monkeypatch.setattr(module, "_CELLS", 120)
    assert bootstrap_sums(rows, 40, 3).tolist() == whole.tolist()


def test_many_resamples_take_little_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    first, other = corpus(20, 1), corpus(20, 2)
    other[:, 1] = first[:, 1]
    whole = paired_tests(first, other, resamples=20_000)
    monkeypatch.setattr(module, "_CELLS", 1 << 15)
    monkeypatch.setattr("align_eval.scoring.paired._PART", 1 << 10)
    tracemalloc.start()
    try:
        assert paired_tests(first, other, resamples=20_000) == whole
        assert tracemalloc.get_traced_memory()[1] < 10 << 20  # all sums and products at once are 7 MB, four times over
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("held", [True, False])
def test_kinds_drawn_again_are_the_same(held: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = corpus(400)
    monkeypatch.setattr(module, "_SMALL_CORPUS", 0)
    whole = bootstrap_sums(rows, 300, 1)
    monkeypatch.setattr(module, "_CELLS", 1200 if held else 800)
    assert bootstrap_sums(rows, 300, 1).tolist() == whole.tolist()


def test_by_kinds_has_the_moments_of_the_plain_bootstrap(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = corpus(1000)
    plain = bootstrap_sums(rows, 2000, 1)
    monkeypatch.setattr(module, "_SMALL_CORPUS", 0)
    monkeypatch.setattr(module, "_KIND", 8)
    kinds = bootstrap_sums(rows, 2000, 1)
    assert (kinds == kinds.round()).all()
    for sample in (plain, kinds):
        error = np.sqrt(1000) * rows.std(axis=0)
        assert np.abs(sample.mean(axis=0) - rows.sum(axis=0)).max() < 5 * error.max() / np.sqrt(2000)
        assert sample.std(axis=0) == pytest.approx(error, rel=0.08)
    assert np.cov(kinds.T) == pytest.approx(np.cov(plain.T), rel=0.15)


@pytest.mark.parametrize("smallest", [1, 10**6])
def test_only_kinds_or_only_single_rows(smallest: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_SMALL_CORPUS", 0)
    monkeypatch.setattr(module, "_KIND", smallest)
    ones = np.ones((500, 4), dtype=np.int32)
    assert (bootstrap_sums(ones, 20, 1) == 500).all()
    rows = corpus(400)
    assert bootstrap_sums(rows, 500, 1).mean(axis=0) == pytest.approx(rows.sum(axis=0), rel=0.02)


def test_swaps_are_fair_and_exact() -> None:
    rows = corpus(500) - corpus(500, 9)
    swapped = swap_sums(rows, 4000, 2)
    assert (swapped == swapped.round()).all()
    assert swapped.std(axis=0) == pytest.approx(np.sqrt((rows.astype(float) ** 2).sum(axis=0)) / 2, rel=0.06)
    spread = np.sqrt((rows.astype(float) ** 2).sum(axis=0)) / 2
    assert (np.abs(swapped.mean(axis=0) - rows.sum(axis=0) / 2) < 5 * spread / np.sqrt(4000)).all()
    assert (swap_sums(np.zeros((5, 4), dtype=np.int32), 10, 1) == 0).all()


def test_numbers_too_wide_for_one_code() -> None:
    rows = np.array([[2**31 - 1] * 4, [0] * 4, [2**31 - 1] * 4, [5, 0, 2**30, 1]])
    kind, kinds, size = module._kinds(rows)
    assert kinds[kind].tolist() == rows.tolist()
    assert sorted(size.tolist()) == [1, 1, 2]


def test_interval_is_numpys_percentile() -> None:
    sample = np.random.default_rng(3).normal(size=997)
    assert percentile_interval(sample, 0.9) == pytest.approx(tuple(np.percentile(sample, [5, 95])))
    assert percentile_interval(np.array([4.0]), 0.95) == (4.0, 4.0)
