"""The probe: what masking changes and what it must not, batches, rows that are distributions, and errors."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from align_eval.attribution.collect import word_matrices
from align_eval.corpora import SentencePair
from align_eval.errors import InputError
from align_eval.infilling.measures import InfillResult
from align_eval.infilling.probe import infill, require_infiller
from align_eval.models.pairs import MASK_LABEL, mask_tokens
from align_eval.runs.infill_pair import infill_pair
from tests.infilling.models import load
from tests.models.families import pairs

KINDS = ("masked", "causal-masked", "bert", "xlm-roberta")
MASKS: list[list[tuple[int, ...]]] = [[(0,), (1, 2), ()], [(3,), (0, 1, 2, 3, 4, 5, 6)], [(1,)], []]
HEADS = [(1, 2), (2, "mean"), ("mean", 1)]


@pytest.fixture(scope="module", params=KINDS)
def model(request: pytest.FixtureRequest) -> Any:
    return load(request.param, dtype="float64")


def run(model: Any, **options: Any) -> dict[int, InfillResult]:
    return {r.index: r for r in infill(model, pairs(), MASKS, heads=HEADS, **options)}


def test_shapes_and_sums(model: Any) -> None:
    found = run(model)
    assert sorted(found) == [0, 1, 2, 3]
    for k, result in found.items():
        pair = pairs()[k]
        assert result.pair.target == pair.target
        assert [v.masked for v in result.variants] == MASKS[k]
        assert [view[:2] for view in result.heads] == HEADS
        for rows in (result.full, *(v.rows for v in result.variants)):
            shape = (len(HEADS), len(pair.target))
            assert rows.values.shape == (*shape, len(pair.source))
            assert rows.end.shape == rows.rest.shape == rows.outside.shape == shape
            assert np.allclose(rows.values.sum(-1) + rows.end + rows.rest, 1, atol=1e-9)
            if model.family == "encoder":
                assert not rows.end.any()
                assert not rows.rest.any()
                assert (rows.outside > 0.01).all()
            else:
                assert not rows.outside.any()
                assert (rows.end > 0).all()
                assert (rows.rest > 0).all()
        for variant in result.variants:
            assert tuple(f.word for f in variant.filled) == variant.masked
            assert [f.text for f in variant.filled] == [pair.target[w] for w in variant.masked]


def test_masking_nothing_is_the_full_map(model: Any) -> None:
    result = run(model)[0]
    for a, b in zip(vars(result.full).values(), vars(result.variants[2].rows).values(), strict=True):
        assert np.abs(a - b).max() < 1e-6
    assert result.variants[2].filled == ()


def test_full_rows_are_those_of_attention_softmap(model: Any) -> None:
    found = run(model)
    reader = require_infiller(model)
    for batch in word_matrices(
        reader, pairs(), layers=("all", "mean"), heads=("all", "mean"), readings=reader.infill_reading
    ):
        for b, k in enumerate(batch.indices):
            for v, view in enumerate(found[k].heads):
                values = batch.values[batch.views.index(view), b].T.numpy()
                values = values[: len(pairs()[k].target), : len(pairs()[k].source)]
                ours = found[k].full.values[v]
                if model.family != "encoder":
                    assert np.abs(ours - values).max() < 1e-9
                elif len(pairs()[k].target) == 1:  # one word of one sub-word: dividing before or after pooling is one
                    assert np.abs(ours - values / values.sum(-1, keepdims=True)).max() < 1e-9


def test_a_row_may_change_and_the_masked_word_does_not_matter(model: Any) -> None:
    """Rows move when a word is hidden; and what stood there is not seen: another word gives the same numbers."""
    first, second = pairs()[0], SentencePair("x", pairs()[0].source, ("the", "s", "house"))
    other = SentencePair("y", first.source, ("the", "a", "house"))
    a, b = (r.variants[0] for r in infill(model, [second, other], [[(1,)], [(1,)]], heads=HEADS, top=3))
    same = len(model.lay_out([second])[0].inputs[-1]) == len(model.lay_out([other])[0].inputs[-1])
    assert same
    assert np.abs(a.rows.values - b.rows.values).max() < 1e-12
    assert a.filled[0].top == b.filled[0].top
    assert a.filled[0].log_probability != b.filled[0].log_probability
    found = run(model)[0]
    assert np.abs(found.full.values - found.variants[0].rows.values).max() > 1e-6


def test_masking_changes_only_what_it_may(model: Any) -> None:
    (layout,) = model.lay_out(pairs()[1:2])
    (block,) = layout.blocks[model.infill_reading]
    rows = block.rows[block.row_words == 3]
    hidden = mask_tokens(layout, rows, model.tokenizer.mask_token_id)
    (after,) = hidden.blocks[model.infill_reading]
    assert len(rows) > 1
    for a, b in zip(layout.inputs[:-1], hidden.inputs[:-1], strict=True):
        assert np.array_equal(a, b)
    changed = np.flatnonzero(layout.inputs[-1] != hidden.inputs[-1])
    assert np.array_equal(changed, rows)
    assert (hidden.inputs[-1][rows] == model.tokenizer.mask_token_id).all()
    for field in ("rows", "row_words", "column_words"):
        assert np.array_equal(getattr(block, field), getattr(after, field))
    assert block.column_labels == after.column_labels
    for row, old, new in zip(block.rows, block.row_labels, after.row_labels, strict=True):
        assert new == (MASK_LABEL if row in rows else old)
    assert all(np.array_equal(a, b) for a, b in zip(layout.extra, hidden.extra, strict=True))


def test_batched_is_single(model: Any) -> None:
    together, alone = run(model), run(model, token_budget=1)
    for k in together:
        for a, b in zip(
            (together[k].full, *(v.rows for v in together[k].variants)),
            (alone[k].full, *(v.rows for v in alone[k].variants)),
            strict=True,
        ):
            for x, y in zip(vars(a).values(), vars(b).values(), strict=True):
                assert np.abs(x - y).max() < 1e-9
        for v, w in zip(together[k].variants, alone[k].variants, strict=True):
            for f, g in zip(v.filled, w.filled, strict=True):
                assert (f.word, f.text, f.rank) == (g.word, g.text, g.rank)
                assert abs(f.log_probability - g.log_probability) < 1e-9
                assert np.allclose([p for _, p in f.top], [p for _, p in g.top], atol=1e-12)


def test_predictions_are_those_of_the_plain_model(model: Any) -> None:
    """Log-probability, rank and best fillings of a masked word against a pass over the whole vocabulary."""
    pair = pairs()[1]
    (result,) = infill(model, [pair], [[(1, 3)]], top=4)
    (layout,) = model.lay_out([pair])
    (block,) = layout.blocks[model.infill_reading]
    rows = block.rows[np.isin(block.row_words, (1, 3))]
    with torch.no_grad():
        logits = model.forward([mask_tokens(layout, rows, model.tokenizer.mask_token_id)]).logits[0].double()
    log_p = logits - torch.logsumexp(logits, dim=-1, keepdim=True)
    for filled in result.variants[0].filled:
        own = block.rows[block.row_words == filled.word]
        tokens = layout.inputs[-1][own]
        scores = log_p[own].numpy()
        assert filled.log_probability == pytest.approx(scores[np.arange(len(own)), tokens].sum(), abs=1e-9)
        ranks = [(row > row[token]).sum() + 1 for row, token in zip(scores, tokens, strict=True)]
        assert filled.rank == max(ranks)
        assert len(filled.top) == 4
        best = np.exp(scores.max(axis=1).sum())
        assert filled.top[0][1] == pytest.approx(best, abs=1e-12)
        assert [p for _, p in filled.top] == sorted((p for _, p in filled.top), reverse=True)


def test_maps_for_figures(model: Any) -> None:
    pair = pairs()[1]
    for layer, head in HEADS:
        one = infill_pair(model, pair, [3], head=(layer, head))
        full, masked = one.full, one.masked
        assert full.keys.units(0) == masked.keys.units(0)
        assert (
            full.by_head().shape
            == masked.by_head().shape
            == (1, 1, len(full.queries.units(0)), len(full.keys.units(0)))
        )
        assert torch.allclose(full.by_head().sum(-1), torch.ones((), dtype=torch.float64), atol=1e-9)
        differ = [
            k for k, (a, b) in enumerate(zip(full.queries.units(0), masked.queries.units(0), strict=True)) if a != b
        ]
        assert differ == torch.nonzero(full.queries.words[0] == 3).flatten().tolist()
        assert {masked.queries.units(0)[k] for k in differ} == {MASK_LABEL}
        assert masked.queries.text[0] == ("the", "house", "stands", MASK_LABEL, "the", "old", "river")
        (result,) = infill(model, [pair], [[(3,)]], heads=[(layer, head)])
        for maps, rows in ((full, result.full), (masked, result.variants[0].rows)):
            assert np.abs(maps.words().by_head()[0, 0].numpy() - rows.values[0]).max() < 1e-9
            if model.family == "encoder":
                assert np.abs(maps.words().mass_left_out()[0, 0].numpy() - rows.outside[0]).max() < 1e-9


def test_only_the_layers_of_the_heads_are_read(model: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []
    from align_eval.infilling import word_rows

    take = word_rows.RowKeeper.take
    monkeypatch.setattr(
        word_rows.RowKeeper, "take", lambda self, layer, w: (seen.append(layer), take(self, layer, w))[1]
    )
    list(infill(model, pairs()[:1], [[(0,)]], heads=[(2, 1)]))
    assert seen == [2]


def test_each_source_is_encoded_once() -> None:
    model = load("masked")
    sizes: list[int] = []
    handle = model.model.get_encoder().register_forward_pre_hook(
        lambda module, args, given: sizes.append(len(given["input_ids"])), with_kwargs=True
    )
    try:
        list(infill(model, pairs()[:1], [[(0,), (1,), (2,)]]))
    finally:
        handle.remove()
    assert sizes == [1]


def test_a_pair_and_its_masked_variant_are_one_forward_pass(model: Any) -> None:
    calls: list[int] = []
    handle = model.model.register_forward_hook(lambda *_: calls.append(1))
    try:
        found = infill_pair(model, pairs()[1], [3])
        assert len(calls) == 1
    finally:
        handle.remove()
    assert found.result.variants[0].filled
    assert found.full.keys.units(0) == found.masked.keys.units(0)


def test_a_word_without_a_sub_word() -> None:
    model = load("bert")
    pair = SentencePair("z", ("das", "Haus"), ("the", "", "house"))
    (result,) = infill(model, [pair], [[(0,)]])
    assert np.isnan(result.full.values[:, 1]).all()
    assert np.isfinite(result.full.values[:, [0, 2]]).all()
    with pytest.raises(InputError, match="no token"):
        infill(model, [pair], [[(1,)]])


@pytest.mark.parametrize(
    ("masks", "views", "message"),
    [
        ([[(3,)]], None, "outside of its 3 target words"),
        ([[(-1,)]], None, "counted from 0"),
        ([], None, "0 lists of masks for 1 pairs"),
        ([[]], [(3, 1)], "no layer 3"),
        ([[]], [(1, "max")], "no head 'max'"),
        ([[]], [], "no head is asked"),
        ([[]], [(1,)], "is no head"),
    ],
)
def test_bad_input_is_known_at_once(masks: Any, views: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        infill(load("masked"), pairs()[:1], masks, heads=views)
