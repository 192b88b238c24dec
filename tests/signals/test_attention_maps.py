"""AttentionMaps by hand-made weights: pooling to words, checks, selection."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from align_eval.corpora import SentencePair
from align_eval.errors import InputError, ModelError, NonFiniteError, UnknownNameError
from align_eval.signals.attention import attention_maps, attention_softmap, pair_model
from align_eval.signals.attention_maps import AttentionMaps
from align_eval.signals.subwords import RULES, pool_last_axis
from tests.models import families

QUERY = ("a", "b1", "b2", "</s>")
KEY = ("<de>", "x1", "x2", "y", "</s>")
# Rows: sub-words of the target; columns: language code, two sub-words of word 0, word 1, end of sentence.
WEIGHTS = torch.tensor(
    [[0.1, 0.2, 0.3, 0.3, 0.1], [0.0, 0.1, 0.1, 0.6, 0.2], [0.2, 0.3, 0.0, 0.4, 0.1], [0.5, 0.0, 0.0, 0.0, 0.5]],
    dtype=torch.float64,
)


def maps(values: torch.Tensor = WEIGHTS[None, None], **changes: Any) -> AttentionMaps:
    given: dict[str, Any] = {
        "layers": (2,), "heads": tuple(range(1, values.shape[1] + 1)), "query_labels": QUERY, "key_labels": KEY,
        "query_words": torch.tensor([0, 1, 1, -1]), "query_text": ("a", "b"), "key_text": ("x", "y"),
        "query_side": "target", "reading": "awo", "model": "m",
    }  # fmt: skip
    return AttentionMaps.from_weights(values, torch.tensor([-1, 0, 0, 1, -1]), **{**given, **changes})


def test_left_out() -> None:
    found = maps()
    assert found.left_out_labels == ("<de>", "</s>")
    assert torch.allclose(found.left_out[0, 0], torch.tensor([0.2, 0.2, 0.3, 1.0], dtype=torch.float64))


def test_words_sum_keys_and_average_queries() -> None:
    words = maps().words()
    expected = torch.tensor([[0.5, 0.3], [0.25, 0.5]], dtype=torch.float64)
    assert torch.allclose(words.values[0, 0], expected)
    assert (words.query_labels, words.key_labels) == (("a", "b"), ("x", "y"))
    assert torch.allclose(words.values.sum(-1) + words.left_out, torch.ones(1, 1, 2, dtype=torch.float64))


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
    assert torch.allclose(maps().words(keys, queries).values[0, 0], torch.tensor(expected, dtype=torch.float64))


def test_unknown_rule() -> None:
    with pytest.raises(UnknownNameError, match="'mean'"):
        maps().words(keys="meam")


def test_a_word_without_a_subword_has_zeros() -> None:
    found = maps(key_text=("x", "y", "silent"), query_text=("a", "b", "silent")).words()
    assert found.values.shape == (1, 1, 3, 3)
    assert found.values[0, 0, 2].tolist() == found.values[0, 0, :, 2].tolist() == [0, 0, 0]


def test_heads_and_layers() -> None:
    two = torch.stack([WEIGHTS, WEIGHTS.flip(1)])[None]
    found = maps(two)
    assert found.head_mean().heads == ("mean",)
    assert torch.allclose(found.head_mean().values[0, 0], two[0].mean(0))
    assert torch.allclose(found.head_max().values[0, 0], two[0].amax(0))
    assert torch.allclose(found.layer_mean().values, two)
    assert torch.equal(found.select(2, 2), two[0, 1])
    with pytest.raises(InputError, match=r"layer 1, head 1 is not among.*\[2\].*\[1, 2\]"):
        found.select(1, 1)


def test_renormalise() -> None:
    rows = maps().renormalise()
    assert torch.allclose(rows.values[0, 0, :3].sum(-1), torch.ones(3, dtype=torch.float64))
    assert rows.values[0, 0, :, [0, 4]].abs().sum() == 0
    assert rows.values[0, 0, 3].sum() == 0
    assert torch.equal(rows.left_out, maps().left_out)


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
    with pytest.raises(InputError, match="do not fit 1 layers, 1 heads, 3 rows and 5 columns"):
        maps(query_labels=QUERY[:3])


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
    kept = replace(maps, values=maps.values.to(dtype), left_out=maps.left_out.to(dtype))
    for found in (maps, kept, kept.words(), kept.head_mean()):
        assert found.values.numpy().dtype == found.left_out.numpy().dtype == "float32"
        assert "image/png" in found._repr_mimebundle_() or "text/html" in found._repr_mimebundle_()


@pytest.mark.parametrize("kind", ["bert", "xlm-roberta", "marian"])
def test_a_side_without_tokens_has_an_empty_map(kind: str) -> None:
    model = families.build(kind)
    sides = [((), ("the",)), (("das",), ()), ((), ()), (("",), ("", ""))]
    pairs = [SentencePair(str(k + 1), *both) for k, both in enumerate(sides)]
    for reading in pair_model(model).readings:
        for pair, maps in zip(pairs, attention_maps(model, pairs, [1], reading=reading), strict=True):
            words = maps.words()
            target = maps.query_side == "target"
            size = (len(pair.target), len(pair.source)) if target else (len(pair.source), len(pair.target))
            assert words.values.shape[2:] == size
            assert not words.values.any()
        assert list(attention_softmap(model, pairs, readings=reading)) == []


def test_numbers_that_are_not_finite_name_their_sentence() -> None:
    for kind in ("bart", "bert"):
        model = families.build(kind)
        (letter,) = {int(model.tokenize([["S"]]).ids[0][-1])}
        with torch.no_grad():
            model.model.get_input_embeddings().weight[letter] = torch.nan
        pairs = [
            SentencePair("first", ("das", "Haus"), ("the", "house")), SentencePair("second", ("S",), ("the", "house"))
        ]  # fmt: skip
        for door in (attention_maps, attention_softmap):
            with pytest.raises(NonFiniteError, match="for sentence pair second"):
                list(door(model, pairs, layers=[1]))
