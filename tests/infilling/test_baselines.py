"""Baselines on made-up maps, where what they must give is known."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from align_eval.corpora.pair import SentencePair
from align_eval.infilling.estimates import BASELINES, DONORS, expected, permuted, position, stretch, uniform
from align_eval.infilling.measures import MaskedRows
from tests.infilling.synthetic import corpus, gold_map


def masked_rows(pairs: list[SentencePair], sharp: float = 1.0) -> list[MaskedRows]:
    """All words masked, rows on their gold word."""
    out = []
    for k, pair in enumerate(pairs):
        gold = gold_map(pair, 1.0) > 0
        out.append(MaskedRows(k, pair, np.arange(len(pair.target)), gold_map(pair, sharp), gold))
    return out


@settings(deadline=None)
@given(st.integers(1, 30), st.integers(1, 30))
def test_stretching_keeps_weight(length: int, to: int) -> None:
    matrix = stretch(length, to)
    assert matrix.shape == (length, to)
    assert matrix.sum(axis=1) == pytest.approx(np.ones(length))
    assert matrix.sum(axis=0) == pytest.approx(np.full(to, length / to))
    assert stretch(length, length) == pytest.approx(np.eye(length))


def test_uniform_gives_one_in_k() -> None:
    masked = masked_rows(corpus(12, 1))
    peaks, masses = expected(uniform(masked), masked)
    shares = np.concatenate([np.full(len(h.word), 1 / len(h.pair.source)) for h in masked])
    assert peaks == pytest.approx(shares)
    assert masses == pytest.approx(shares)


def test_position_and_permutation_explain_a_diagonal_of_one_length() -> None:
    masked = masked_rows(corpus(9, 2, low=7, high=7, shuffled=False))
    for name in ("position", "permuted"):
        peaks, masses = expected(BASELINES[name](masked, 3), masked)
        assert peaks == pytest.approx(np.ones(9 * 7)), name
        assert masses == pytest.approx(np.ones(9 * 7)), name


def test_position_and_permutation_explain_a_diagonal_of_several_lengths_in_part() -> None:
    masked = masked_rows(corpus(60, 2, low=5, high=11, shuffled=False))
    uniform_peaks = expected(uniform(masked), masked)[0].mean()
    for name in ("position", "permuted"):
        peaks = expected(BASELINES[name](masked, 3), masked)[0].mean()
        assert peaks > 3 * uniform_peaks, name


def test_none_explains_links_at_random_places() -> None:
    masked = masked_rows(corpus(150, 4, low=8, high=8))
    for name, baseline in BASELINES.items():
        peaks, masses = expected(baseline(masked, 3), masked)
        assert peaks.mean() == pytest.approx(1 / 8, abs=0.035), name
        assert masses.mean() == pytest.approx(1 / 8, abs=0.035), name


def test_a_sentence_is_not_its_own_baseline() -> None:
    pairs = corpus(6, 5, low=6, high=6)
    alone = SentencePair("odd", tuple("uvwxyz"), pairs[0].target, pairs[0].gold)
    masked = masked_rows([alone, *pairs[1:]])
    flat = [MaskedRows(h.sentence, h.pair, h.word, np.full_like(h.values, 1 / 6), h.gold) for h in masked[1:]]
    for baseline in (position, permuted):
        rows = baseline([masked[0], *flat], 1)
        assert rows[0] == pytest.approx(np.full_like(rows[0], 1 / 6))
        assert not np.allclose(rows[1], 1 / 6)
        # the same source twice is the same sentence
        twice = baseline([masked[0], masked[0], *flat], 1)
        assert twice[0] == pytest.approx(np.full_like(twice[0], 1 / 6))


def test_a_lone_sentence_has_uniform_baselines() -> None:
    masked = masked_rows(corpus(1, 6))
    for baseline in (position, permuted):
        assert baseline(masked, 1)[0] == pytest.approx(uniform(masked)[0])


def test_position_takes_the_nearest_part_that_others_have() -> None:
    pairs = corpus(2, 7, low=4, high=4, shuffled=False)
    first, second = masked_rows(pairs)
    last = MaskedRows(1, pairs[1], np.array([3]), second.values[3:], None)
    rows = position([first, last])[0]
    assert rows[:, 0, :] == pytest.approx(np.tile([0, 0, 0, 1.0], (4, 1)))


def test_permutation_takes_donors_of_the_nearest_length() -> None:
    short, long = corpus(DONORS, 8, low=4, high=4, shuffled=False), corpus(DONORS, 9, low=9, high=9)
    wanted = SentencePair("w", tuple("abcd"), tuple("efgh"), short[0].gold)
    masked = masked_rows([wanted, *short, *[SentencePair(p.id, p.source[::-1], p.target, p.gold) for p in long]])
    rows = permuted(masked, 1)[0]
    assert rows.shape == (4, DONORS, 4)
    assert rows == pytest.approx(np.broadcast_to(np.eye(4)[:, None, :], rows.shape))
    assert not np.array_equal(permuted(masked, 1)[-1], permuted(masked, 2)[-1]) or len(masked) <= DONORS
    assert all(np.array_equal(a, b) for a, b in zip(permuted(masked, 1), permuted(masked, 1), strict=True))


def test_rows_without_gold_or_numbers() -> None:
    first, second = masked_rows(corpus(2, 10, low=5, high=5))
    gold = first.gold.copy()  # type: ignore[union-attr]
    gold[2] = False
    values = second.values.copy()
    values[1] = np.nan
    masked = [
        MaskedRows(0, first.pair, first.word, first.values, gold),
        MaskedRows(1, second.pair, second.word, values, None),
    ]
    for baseline in BASELINES.values():
        rows = baseline(masked, 1)
        assert all(np.isfinite(r).all() for r in rows)
        peaks, masses = expected(rows, masked)
        assert np.isnan(peaks).tolist() == [False, False, True, False, False, *[True] * 5]
        assert np.isnan(masses).tolist() == np.isnan(peaks).tolist()
