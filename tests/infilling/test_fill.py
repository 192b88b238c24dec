"""Probability, rank and fillings of masked words by hand."""

from __future__ import annotations

import math
from itertools import product

import numpy as np
import pytest
import torch

from align_eval.errors import NonFiniteError
from align_eval.infilling import fill
from align_eval.infilling.fill import best_sequences, fill_words, predictions, text_of
from tests.models.families import tokenizer_of

P = torch.tensor([[0.4, 0.3, 0.2, 0.1], [0.05, 0.05, 0.8, 0.1]], dtype=torch.float64)


def test_by_hand() -> None:
    found = predictions(P.log() + 3, torch.tensor([2, 0]), 3)
    assert np.exp(found.log_probability) == pytest.approx([0.2, 0.05], abs=1e-12)
    assert found.rank.tolist() == [3, 3]  # of equal ones none is better
    assert found.best.tolist()[0] == [0, 1, 2]
    assert np.exp(found.best_log_probability[1]) == pytest.approx([0.8, 0.1, 0.05], abs=1e-12)


def test_sequences_by_hand() -> None:
    """0.4 * 0.8 = 0.32, 0.3 * 0.8 = 0.24, 0.2 * 0.8 = 0.16."""
    found = predictions(P.log(), torch.tensor([0, 2]), 3)
    best = best_sequences(found.best, found.best_log_probability, 3)
    assert [ids for _, ids in best] == [(0, 2), (1, 2), (2, 2)]
    assert [math.exp(score) for score, _ in best] == pytest.approx([0.32, 0.24, 0.16], abs=1e-12)


def test_sequences_against_all_products() -> None:
    rng = np.random.default_rng(3)
    scores = np.sort(rng.normal(size=(3, 6)))[:, ::-1]
    ids = np.tile(np.arange(6), (3, 1))
    every = sorted((sum(scores[k, i] for k, i in enumerate(c)) for c in product(range(6), repeat=3)), reverse=True)
    for count in (1, 4, 6):
        best = best_sequences(ids[:, :count], scores[:, :count], count)
        assert [score for score, _ in best] == pytest.approx(every[:count], abs=1e-12)


def test_slices_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    logits = torch.randn(17, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    tokens = torch.arange(17) % 5
    whole = predictions(logits, tokens, 2)
    monkeypatch.setattr(fill, "SLICE", 10)
    for a, b in zip(vars(whole).values(), vars(predictions(logits, tokens, 2)).values(), strict=True):
        assert np.array_equal(a, b)


def test_no_rows_and_more_than_there_are() -> None:
    none = predictions(torch.zeros(0, 4), torch.zeros(0, dtype=torch.int64), 9)
    assert none.best.shape == (0, 4)
    assert none.rank.shape == (0,)


def test_not_finite() -> None:
    with pytest.raises(NonFiniteError, match="float32"):
        predictions(torch.tensor([[1.0, torch.nan]]), torch.tensor([0]), 1)


def test_words() -> None:
    tokenizer = tokenizer_of("bert")
    ids = tokenizer.convert_tokens_to_ids
    logits = torch.full((3, len(tokenizer)), -20.0, dtype=torch.float64)
    for row, (piece, value) in enumerate([("house", 5.0), ("s", 4.0), ("##t", 3.0)]):
        logits[row, ids(piece)] = value
    tokens = torch.tensor([ids("house"), ids("s"), ids("##h")])
    found = predictions(logits, tokens, 2)
    house, stands = fill_words(tokenizer, found, np.array([1, 3, 3]), ["a", "house", "b", "sh"], (1, 3), 1)
    assert (house.word, house.text, house.rank, house.top[0][0]) == (1, "house", 1, "house")
    assert house.top[0][1] == pytest.approx(1, abs=1e-6)
    assert (stands.word, stands.text, stands.top[0][0]) == (3, "sh", "st")
    assert stands.rank == 2  # of s 1, of ##h 2: all the others are equal
    assert stands.log_probability == pytest.approx(-23, abs=1e-6)


@pytest.mark.parametrize(
    ("kind", "pieces", "text"),
    [
        ("bert", ["house", "##s", "the"], "houses the"),
        ("xlm-roberta", ["▁house", "s", "▁the"], "houses the"),
        ("marian", ["▁", "h", "a", "▁", "s"], "ha s"),
        ("bart", ["Ġhouse", "s", "Ġthe"], "houses the"),
    ],
)
def test_text(kind: str, pieces: list[str], text: str) -> None:
    tokenizer = tokenizer_of(kind)
    assert text_of(tokenizer, tokenizer.convert_tokens_to_ids(pieces)) == text
