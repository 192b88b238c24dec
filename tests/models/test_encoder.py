"""Vectors of sub-words by layer, for every kind of encoder, with tiny random models."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from align_eval.errors import InputError, NonFiniteError, SentenceTooLongError
from align_eval.models import Encoder, load_model
from align_eval.models.batching import buckets
from tests.models.tiny import KINDS, WORDS, write_model

SENTENCES = [
    ["the", "house", "is", "small"],
    ["das", "haus", "ist", "nicht", "klein", "."],
    ["a"],
    ["alignment", "of", "words", "and", "words", "of", "alignment", ",", "xyz", "123", "äöü", "?"],
    ["the", "house", "is", "small"],
    [],
]


@pytest.fixture(scope="module", params=KINDS)
def encoder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Encoder:
    return load_model(str(write_model(tmp_path_factory.mktemp(request.param), request.param)))


@pytest.fixture(scope="module")
def bert(tmp_path_factory: pytest.TempPathFactory) -> Encoder:
    return load_model(str(write_model(tmp_path_factory.mktemp("bert"), "bert")))


def reference(encoder: Encoder, ids: np.ndarray) -> list[torch.Tensor]:
    """Every layer of one sentence as ``transformers`` gives it, special sub-words removed."""
    row = torch.tensor([[*encoder.prefix, *ids, *encoder.suffix]])
    with torch.inference_mode():
        states = encoder.model(input_ids=row, output_hidden_states=True).hidden_states
    return [state[0, len(encoder.prefix) : row.shape[1] - len(encoder.suffix)] for state in states]


def test_attributes(encoder: Encoder) -> None:
    assert (encoder.family, encoder.layers, encoder.heads, encoder.hidden_size) == ("encoder", 4, 4, 32)
    assert (encoder.max_length, encoder.window) == (80, 78)
    assert (len(encoder.prefix), len(encoder.suffix)) == (1, 1)
    assert encoder.path is not None
    assert encoder.path.is_dir()
    assert len(encoder.revision) == 12
    assert encoder.licence == "unknown"


@pytest.mark.parametrize("layer", range(5))
def test_each_layer_alone_equals_the_full_model(encoder: Encoder, layer: int) -> None:
    tokens = encoder.tokenize(SENTENCES)
    found = encoder.encode(tokens.ids, [layer])
    for ids, vectors in zip(tokens.ids, found, strict=True):
        assert vectors.shape == (1, len(ids), 32)
        torch.testing.assert_close(vectors[0], reference(encoder, ids)[layer], rtol=0, atol=1e-5)


def test_layers_in_the_order_asked_for(encoder: Encoder) -> None:
    ids = encoder.tokenize(SENTENCES[:2]).ids
    wanted = [3, 0, -1, 3]
    for k, vectors in enumerate(encoder.encode(ids, wanted)):
        full = reference(encoder, ids[k])
        torch.testing.assert_close(vectors, torch.stack([full[layer] for layer in wanted]), rtol=0, atol=1e-5)


@pytest.mark.parametrize("budget", [1, 30, 2048])
def test_batched_equals_one_by_one(encoder: Encoder, budget: int) -> None:
    ids = encoder.tokenize(SENTENCES).ids
    together = encoder.encode(ids, [1, 4], token_budget=budget)
    for k, sentence in enumerate(ids):
        (alone,) = encoder.encode([sentence], [1, 4])
        torch.testing.assert_close(together[k], alone, rtol=0, atol=1e-5)


def test_no_block_beyond_the_deepest_is_run(bert: Encoder) -> None:
    ran: list[int] = []
    hooks = [
        block.output.dense.register_forward_hook(lambda *_, k=k: ran.append(k))
        for k, block in enumerate(bert.model.encoder.layer)
    ]
    bert.encode(bert.tokenize(SENTENCES[:1]).ids, [2, 1])
    for hook in hooks:
        hook.remove()
    assert ran == [0, 1]


def test_blocks_are_found_where_they_can_be(encoder: Encoder) -> None:
    assert encoder._states.blocks is not None


def test_hooks_are_removed(bert: Encoder) -> None:
    bert.encode(bert.tokenize(SENTENCES[:1]).ids, [1])
    assert not any(module._forward_pre_hooks for module in bert.model.modules())


def test_equal_sentences_share_one_tensor(bert: Encoder) -> None:
    found = bert.encode(bert.tokenize(SENTENCES).ids, [2])
    assert found[0].data_ptr() == found[4].data_ptr()
    assert found[0].shape == found[4].shape


def test_batches_cover_all(bert: Encoder) -> None:
    ids = bert.tokenize(SENTENCES).ids
    whole = bert.encode(ids, [2])
    found = bert.vectors(ids, [2], token_budget=12)
    assert found.lengths.tolist() == [len(sentence) for sentence in ids]
    assert found.values.shape[1] == sum(len(sentence) for sentence in ids[:4])  # the last equals the first
    for k, vectors in enumerate(whole):
        torch.testing.assert_close(found[k], vectors)


def test_sdpa_is_used(bert: Encoder) -> None:
    assert bert.model.config._attn_implementation == "sdpa"
    assert not bert.model.training


def test_no_sentences(bert: Encoder) -> None:
    assert bert.encode([], [1]) == []
    assert len(bert.tokenize([])) == 0


def test_too_long(bert: Encoder) -> None:
    fits = np.full(78, 7)
    assert bert.encode([fits], [1])[0].shape == (1, 78, 32)
    with pytest.raises(SentenceTooLongError, match=r"sentence 2 has 79 sub-words, the window .* is 78"):
        bert.encode([fits, np.full(79, 7)], [1])


@pytest.mark.parametrize("layers", [[5], [-6], []])
def test_no_such_layer(bert: Encoder, layers: list[int]) -> None:
    with pytest.raises(InputError, match="layer"):
        bert.encode([np.array([7])], layers)


def test_not_finite_names_the_sentence(tmp_path: Path) -> None:
    encoder = load_model(str(write_model(tmp_path, "bert")))
    ids = encoder.tokenize([["the"], ["house", "the"], ["a"]]).ids
    with torch.no_grad():
        encoder.model.embeddings.word_embeddings.weight[int(ids[1][0])] = float("nan")
    with pytest.raises(NonFiniteError, match=r"at layer 2 for sentence 2: 'house the'"):
        encoder.encode(ids, [2])


@pytest.mark.parametrize("dtype", ["bfloat16", "float64"])
def test_dtypes(tmp_path: Path, bert: Encoder, dtype: str) -> None:
    encoder = load_model(str(write_model(tmp_path, "bert")), dtype=dtype)
    ids = encoder.tokenize(SENTENCES).ids
    found = encoder.encode(ids, [4])
    assert found[0].dtype == getattr(torch, dtype)
    tolerance = 0.2 if dtype == "bfloat16" else 1e-5
    torch.testing.assert_close(found[3].float(), bert.encode(ids, [4])[3], rtol=0, atol=tolerance)


def test_threads_do_not_disturb_each_other(bert: Encoder) -> None:
    from concurrent.futures import ThreadPoolExecutor

    ids = bert.tokenize([WORDS[k : k + 5] for k in range(10)]).ids
    expected = [bert.encode(ids, [layer]) for layer in range(5)]

    def work(k: int) -> Any:
        return k % 5, bert.encode(ids, [k % 5])

    with ThreadPoolExecutor(4) as pool:
        for layer, found in pool.map(work, range(40)):
            for a, b in zip(found, expected[layer], strict=True):
                torch.testing.assert_close(a, b)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.integers(1, 60), max_size=60), st.integers(1, 200), st.sampled_from([0, 20, 10**6]))
def test_buckets(lengths: list[int], budget: int, overhead: int) -> None:
    groups = buckets(lengths, budget, overhead)
    assert sorted(k for group in groups for k in group) == list(range(len(lengths)))
    flat = [lengths[k] for group in groups for k in group]
    assert flat == sorted(flat, reverse=True)
    for group in groups:
        assert len(group) == 1 or len(group) * max(lengths[k] for k in group) <= budget
        if overhead == 0:
            assert len({lengths[k] for k in group}) == 1


def test_buckets_are_cut_where_it_costs_least() -> None:
    assert buckets([10, 9, 2, 2], 1000, 5) == [[0, 1], [2, 3]]
    assert buckets([10, 9, 2, 2], 1000, 100) == [[0, 1, 2, 3]]
    with pytest.raises(InputError, match="budget"):
        buckets([1], 0)
