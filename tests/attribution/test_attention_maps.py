"""ScoreMatrix by hand-made weights: pooling to words, checks, selection."""

from __future__ import annotations

import pickle
from dataclasses import replace
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from align_eval.attribution import pair_model
from align_eval.attribution.collect import attention_maps, word_matrices
from align_eval.attribution.matrix import RULES, ScoreMatrix, Side, View, pool_last_axis
from align_eval.corpora import SentencePair
from align_eval.errors import InputError, ModelError, NonFiniteError, UnknownNameError
from align_eval.models.attention import check_rows
from tests.models import families

QUERY = ("a", "b1", "b2", "</s>")
KEY = ("<de>", "x1", "x2", "y", "</s>")
# Rows: sub-words of the target; columns: language code, two sub-words of word 0, word 1, end of sentence.
WEIGHTS = torch.tensor(
    [[0.1, 0.2, 0.3, 0.3, 0.1], [0.0, 0.1, 0.1, 0.6, 0.2], [0.2, 0.3, 0.0, 0.4, 0.1], [0.5, 0.0, 0.0, 0.0, 0.5]],
    dtype=torch.float64,
)


def maps(values: torch.Tensor = WEIGHTS[None, None], **changes: Any) -> ScoreMatrix:
    """Layer 2 of weights ``(1, heads, queries, keys)``, checked."""
    check_rows(values[0], 2, "m")
    keys = torch.tensor([[-1, 0, 0, 1, -1]])
    text = changes.pop("text", (("x", "y"), ("a", "b")))
    left = values[0][:, None, :, keys[0] < 0].sum(-1)
    source = Side(keys, (5,), (len(text[0]),), text[:1], (KEY,))
    target = Side(torch.tensor([[0, 1, 1, -1]]), (4,), (len(text[1]),), text[1:], (changes.pop("labels", QUERY),), left)
    views = tuple(View(2, head, "awo") for head in range(1, values.shape[1] + 1))
    return ScoreMatrix(values[0][:, None].transpose(-1, -2), source, target, views, "attention weight", True, "m")


def test_left_out() -> None:
    found = maps()
    assert torch.allclose(found.mass_left_out()[0, 0], torch.tensor([0.2, 0.2, 0.3, 1.0], dtype=torch.float64))


def test_words_sum_keys_and_average_queries() -> None:
    words = maps().words()
    expected = torch.tensor([[0.5, 0.3], [0.25, 0.5]], dtype=torch.float64)
    assert torch.allclose(words.by_head()[0, 0], expected)
    assert torch.equal(words.values[0, 0], words.by_head()[0, 0].T)
    assert (words.queries.units(0), words.keys.units(0)) == (("a", "b"), ("x", "y"))
    assert torch.allclose(words.by_head().sum(-1) + words.mass_left_out(), torch.ones(1, 1, 2, dtype=torch.float64))


@pytest.mark.parametrize(
    ("keys", "queries", "expected"),
    [
        ("mean", "sum", [[0.25, 0.3], [0.25, 1.0]]),
        ("max", "max", [[0.3, 0.3], [0.3, 0.6]]),
        ("first", "last", [[0.2, 0.3], [0.3, 0.4]]),
        ("last", "first", [[0.3, 0.3], [0.1, 0.6]]),
    ],
)
def test_other_rules(keys: str, queries: str, expected: list[list[float]]) -> None:
    assert torch.allclose(maps().words(keys, queries).by_head()[0, 0], torch.tensor(expected, dtype=torch.float64))


def test_unknown_rule() -> None:
    with pytest.raises(UnknownNameError, match="'mean'"):
        maps().words(keys="meam")


def test_a_word_without_a_subword_has_zeros() -> None:
    found = maps(text=(("x", "y", "silent"), ("a", "b", "silent"))).words()
    assert found.by_head().shape == (1, 1, 3, 3)
    assert found.values[0, 0, 2].tolist() == found.values[0, 0, :, 2].tolist() == [0, 0, 0]
    assert found.mask[0].tolist() == [[True, True, False], [True, True, False], [False, False, False]]


def test_heads_and_layers() -> None:
    two = torch.stack([WEIGHTS, WEIGHTS.flip(1)])[None]
    found = maps(two)
    assert found.head_mean().heads == ("mean",)
    assert torch.allclose(found.head_mean().by_head()[0, 0], two[0].mean(0))
    assert torch.allclose(found.head_max().by_head()[0, 0], two[0].amax(0))
    assert torch.allclose(found.layer_mean().by_head(), two)
    assert torch.equal(found.select(2, 2).by_head()[0, 0], two[0, 1])
    with pytest.raises(InputError, match=r"no layer 1 among.*\[2\].*\[1, 2\]"):
        found.select(1, 1)
    with pytest.raises(InputError, match=r"the matrix has 2 heads.*\[1, 2\]"):
        found.select(2)


def test_renormalise() -> None:
    rows = maps().renormalise()
    assert torch.allclose(rows.by_head()[0, 0, :3].sum(-1), torch.ones(3, dtype=torch.float64))
    assert rows.by_head()[0, 0, :, [0, 4]].abs().sum() == 0
    assert rows.by_head()[0, 0, 3].sum() == 0
    assert torch.equal(rows.mass_left_out(), maps().mass_left_out())
    assert rows.word_keys().keys.units(0) == ("x1", "x2", "y")
    assert torch.equal(rows.word_keys().by_head(), rows.by_head()[..., 1:4])


def test_a_matrix_says_what_it_is_and_goes_elsewhere() -> None:
    found = maps()
    assert repr(found) == "ScoreMatrix(attention weight of m, awo: 1 heads, 1 sentence pairs, 5 x 4 units)"
    assert found.numpy().shape == (1, 1, 5, 4)
    frame = found.to_frame()
    assert len(frame) == 20
    assert frame[(frame.source == "x2") & (frame.target == "b1")].score.tolist() == [0.1]
    assert frame[frame.source == "</s>"].source_word.unique().tolist() == [-1]
    again = pickle.loads(pickle.dumps(found))
    assert torch.equal(again.values, found.values)
    assert again.views == found.views


@pytest.mark.parametrize(("bad", "error", "message"), [
    (float("nan"), NonFiniteError, "layer 2 of m has NaN"),
    (0.9, ModelError, "layer 2 of m is no distribution: a row's sum is 0.8 away from 1"),
])  # fmt: skip
def test_weights_are_checked(bad: float, error: type[Exception], message: str) -> None:
    values = WEIGHTS.clone()
    values[0, 0] = bad
    with pytest.raises(error, match=message):
        maps(values[None, None])


def test_negative_weights_are_no_distribution() -> None:
    values = WEIGHTS.clone()
    values[0, :2] = torch.tensor([-0.1, 0.4])
    with pytest.raises(ModelError, match="negative weights"):
        maps(values[None, None])


def test_half_precision_is_tolerated() -> None:
    assert maps(WEIGHTS.to(torch.bfloat16)[None, None]).values.dtype == torch.float32


def test_shapes_are_checked() -> None:
    with pytest.raises(InputError, match=r"do not fit 1 heads, 1 pairs, 5 source and 4 target units with \[5, 3\]"):
        maps(labels=QUERY[:3])


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(-1, 4), min_size=1, max_size=9), st.sampled_from(RULES), st.integers(0, 2**16))
def test_pooling_equals_a_plain_loop(words: list[int], rule: str, seed: int) -> None:
    words = sorted(words)
    values = torch.rand(1, 3, len(words), generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    found = pool_last_axis(values, torch.tensor([words]), 5, rule)[0]
    for row in range(3):
        for word in range(5):
            members = [float(values[0, row, k]) for k, w in enumerate(words) if w == word]
            plain = {
                "sum": sum(members),
                "mean": sum(members) / max(len(members), 1),
                "max": max(members, default=0.0),
                "first": members[0] if members else 0.0,
                "last": members[-1] if members else 0.0,
            }[rule]
            assert float(found[row, word]) == pytest.approx(plain, abs=1e-12)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_maps_of_half_precision_can_be_drawn(dtype: torch.dtype) -> None:
    model = families.build("bart")
    model.model.to(dtype)
    model.dtype = dtype
    (maps,) = attention_maps(model, families.pairs()[:1], layers=1)
    kept = replace(maps, values=maps.values.to(dtype))
    for found in (maps, kept, kept.words(), kept.head_mean()):
        assert found.numpy().dtype == found.mass_left_out().numpy().dtype == "float32"
        assert "image/png" in found._repr_mimebundle_() or "text/html" in found._repr_mimebundle_()


@pytest.mark.parametrize("kind", ["bert", "xlm-roberta", "marian"])
def test_a_side_without_tokens_has_an_empty_map(kind: str) -> None:
    model = families.build(kind)
    sides = [((), ("the",)), (("das",), ()), ((), ()), (("",), ("", ""))]
    pairs = [SentencePair(str(k + 1), *both) for k, both in enumerate(sides)]
    for reading in pair_model(model).readings:
        for pair, maps in zip(pairs, attention_maps(model, pairs, [1], reading=reading), strict=True):
            words = maps.words()
            target = maps.attends == "target"
            size = (len(pair.target), len(pair.source)) if target else (len(pair.source), len(pair.target))
            assert words.by_head().shape[2:] == size
            assert not words.values.any()
        assert list(word_matrices(model, pairs, readings=reading)) == []


def test_numbers_that_are_not_finite_name_their_sentence() -> None:
    for kind in ("bart", "bert"):
        model = families.build(kind)
        (letter,) = {int(model.tokenize([["S"]]).ids[0][-1])}
        with torch.no_grad():
            model.model.get_input_embeddings().weight[letter] = torch.nan
        pairs = [
            SentencePair("first", ("das", "Haus"), ("the", "house")), SentencePair("second", ("S",), ("the", "house"))
        ]  # fmt: skip
        for door in (attention_maps, word_matrices):
            with pytest.raises(NonFiniteError, match="for sentence pair second"):
                list(door(model, pairs, layers=[1]))
