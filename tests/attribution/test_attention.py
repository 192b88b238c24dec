"""Attention of every architecture: distributions, batches, readings, known alignments, memory."""

from __future__ import annotations

import functools
import weakref
from typing import Any

import pytest
import torch

from align_eval.attribution import pair_model
from align_eval.attribution.collect import attention_maps, word_matrices
from align_eval.attribution.matrix import View
from align_eval.corpora import SentencePair
from align_eval.errors import InputError, ModelError, NonFiniteError, SentenceTooLongError, UnknownNameError
from align_eval.extraction import make_extractor
from align_eval.links import GoldLinks, Links
from align_eval.links.table import LinkTable
from align_eval.models.decoder import PromptTemplate
from align_eval.scoring import score
from tests.models import families

KINDS = (*families.SEQ2SEQ, *families.DECODERS, *families.ENCODERS)
cached = functools.cache(families.build)


@functools.cache
def double(kind: str) -> Any:
    return families.build(kind, dtype="float64")


def by_pair(model: Any, pairs: list[SentencePair], **options: Any) -> dict[tuple[int, View], torch.Tensor]:
    """Each pair's map of each view, unpadded."""
    out = {}
    for batch in word_matrices(model, pairs, **options):
        for v, view in enumerate(batch.views):
            for b, k in enumerate(batch.indices):
                m, n = batch.source.lengths[b], batch.target.lengths[b]
                assert float(batch.values[v, b, m:].abs().sum()) == float(batch.values[v, b, :, n:].abs().sum()) == 0
                out[k, view] = batch.values[v, b, :m, :n]
    return out


@pytest.mark.parametrize("kind", KINDS)
def test_shapes_and_rows(kind: str) -> None:
    model = cached(kind)
    reader = pair_model(model)
    for reading in reader.readings:
        for pair, found in zip(
            families.pairs(), attention_maps(model, families.pairs(), [1, 3], [4, 2], reading), strict=True
        ):
            assert found.by_head().shape == (2, 2, len(found.queries.units(0)), len(found.keys.units(0)))
            assert (found.layers, found.heads, found.reading) == ((1, 3), (4, 2), reading)
            words = found.words()
            sides = {"target": (pair.target, pair.source), "source": (pair.source, pair.target)}[found.attends]
            assert (words.queries.units(0), words.keys.units(0)) == sides
            if reading == "block":
                continue
            assert torch.allclose(found.by_head().sum(-1), torch.ones(found.by_head().shape[:3]), atol=1e-5)
            assert torch.allclose(
                words.by_head().sum(-1) + words.mass_left_out(), torch.ones(words.by_head().shape[:3]), atol=1e-5
            )
            assert float(found.mass_left_out().min()) > 0


@pytest.mark.parametrize("kind", KINDS)
def test_batched_equals_single(kind: str) -> None:
    for model, tolerance in ((cached(kind), 1e-5), (double(kind), 1e-9)):
        together = by_pair(model, families.pairs(), token_budget=4096)
        for k, pair in enumerate(families.pairs()):
            for (_, view), alone in by_pair(model, [pair], token_budget=1).items():
                assert float((together[k, view] - alone).abs().max()) < tolerance
        for maps, pair in zip(attention_maps(model, families.pairs()), families.pairs(), strict=True):
            (alone,) = attention_maps(model, [pair])
            assert maps.queries.units(0) == alone.queries.units(0)
            assert float((maps.by_head() - alone.by_head()).abs().max()) < tolerance


@pytest.mark.parametrize("kind", KINDS)
def test_word_matrices_are_the_pooled_attention_maps(kind: str) -> None:
    model = double(kind)
    found = by_pair(model, families.pairs(), heads=["all", "mean"])
    for reading in pair_model(model).readings:
        for k, maps in enumerate(attention_maps(model, families.pairs(), reading=reading)):
            words = maps.words()
            turn = maps.attends == "target"
            for layer in maps.layers:
                for head in maps.heads:
                    plain = words.select(layer, head).by_head()[0, 0]
                    assert torch.allclose(found[k, View(layer, head, reading)], plain.T if turn else plain, atol=1e-12)
                mean = words.head_mean().select(layer, "mean").by_head()[0, 0]
                assert torch.allclose(found[k, View(layer, "mean", reading)], mean.T if turn else mean, atol=1e-12)


@pytest.mark.parametrize("kind", [*families.SEQ2SEQ, *families.DECODERS])
def test_awi_is_awo_shifted_by_one(kind: str) -> None:
    model = cached(kind)
    one_each = [SentencePair("1", ("das", "Haus", "und"), ("the", "house", "and", "."))]
    awo, awi = (attention_maps(model, one_each, reading=reading)[0] for reading in ("awo", "awi"))
    rows = {name: (maps.queries.words[0] >= 0).nonzero()[:, 0] for name, maps in (("awo", awo), ("awi", awi))}
    assert len(rows["awo"]) == len(rows["awi"]) >= 4
    if kind in families.SEQ2SEQ:
        assert torch.equal(awo.by_head(), awi.by_head())
        assert torch.equal(rows["awi"], rows["awo"] + 1)
    # The row of one word by AWI is the row of the next word by AWO.
    assert torch.allclose(awi.by_head()[:, :, rows["awi"][:-1]], awo.by_head()[:, :, rows["awo"][1:]], atol=1e-7)
    assert awo.words().by_head().shape == awi.words().by_head().shape == (3, 4, 4, 3)


@pytest.mark.parametrize("kind", families.ENCODERS)
def test_block_is_the_mean_of_both(kind: str) -> None:
    model = cached(kind)
    found = by_pair(model, families.pairs())
    for (k, view), values in found.items():
        if view.reading == "block":
            both = [found[k, view._replace(reading=name)] for name in ("block-st", "block-ts")]
            assert torch.allclose(values, (both[0] + both[1]) / 2, atol=1e-7)


def test_mass_outside_is_reported() -> None:
    for kind, sides in (("t5", {"target"}), ("llama", {"target"}), ("bert", {"source", "target"})):
        for batch in word_matrices(cached(kind), families.pairs()):
            outside = {"source": batch.source.left_out, "target": batch.target.left_out}
            for v, view in enumerate(batch.views):
                queries = {"block-st": {"source"}, "block-ts": {"target"}}.get(view.reading, sides)
                assert {side for side in outside if not bool(outside[side][v].isnan().any())} == queries
                if len(queries) == 1:
                    (side,) = queries
                    inside = batch.values[v].sum(dim=1 if side == "target" else 2)
                    for b, size in enumerate(getattr(batch, side).lengths):
                        total = (inside + outside[side][v])[b, :size]
                        assert torch.allclose(total, torch.ones(size), atol=1e-5)


def test_aggregates() -> None:
    found = by_pair(
        cached("bart"), families.pairs(), layers=["all", "mean"], heads=["all", "mean", "max"], readings="awi"
    )
    for k in range(4):
        heads = torch.stack([found[k, View(2, head, "awi")] for head in range(1, 5)])
        assert torch.allclose(found[k, View(2, "mean", "awi")], heads.mean(0), atol=1e-6)
        assert torch.allclose(found[k, View(2, "max", "awi")], heads.amax(0))
        layers = torch.stack([found[k, View(layer, 3, "awi")] for layer in (1, 2, 3)])
        assert torch.allclose(found[k, View("mean", 3, "awi")], layers.mean(0), atol=1e-6)


def test_one_layer_mean_alone_equals_all() -> None:
    alone = by_pair(cached("bart"), families.pairs(), layers="mean", heads="mean")
    every = by_pair(cached("bart"), families.pairs(), layers=["all", "mean"], heads="mean")
    for key, values in alone.items():
        assert torch.allclose(values, every[key], atol=1e-6)


def test_one_head_and_one_pair_of_a_matrix() -> None:
    batch = next(iter(word_matrices(cached("t5"), families.pairs(), heads="all")))
    assert batch.values.shape[:2] == (len(batch.views), len(batch))
    one = batch.select(2, 3, "awi")
    place = batch.views.index(View(2, 3, "awi"))
    assert torch.equal(batch.values[place], one.values[0])
    assert torch.equal(batch.source.words, one.source.words)
    for extractor in map(make_extractor, ("argmax", "itermax", "match")):
        assert torch.equal(extractor.of(batch).links[place], extractor.of(one).links[0])
    alone = one[len(batch) - 1]
    m, n = one.source.lengths[-1], one.target.lengths[-1]
    assert torch.equal(alone.values, one.values[:, -1:, :m, :n])
    assert alone.source.text == one.source.text[-1:]
    assert alone.indices == one.indices[-1:]
    one.check_finite()


def test_words_without_a_subword_are_no_units() -> None:
    pair = SentencePair("1", ("das", "", "Haus"), ("the", "house", ""))
    empty = SentencePair("2", ("",), ("the",))
    for kind in ("t5", "gpt2", "bert", "marian", "nllb", "xlm-roberta"):
        batches = list(word_matrices(cached(kind), [pair, empty]))
        assert [batch.indices for batch in batches] == [(0,)], kind
        (batch,) = batches
        assert batch.source.words.tolist() == [[0, -1, 2]]
        assert batch.target.words.tolist() == [[0, 1, -1]]
        assert batch.mask.sum().tolist() == 4
        assert not batch.values[:, ~batch.mask].any()
        assert (batch.source.counts, batch.target.counts) == ((3,), (3,))
        assert attention_maps(cached(kind), [pair])[0].words().by_head().shape[2:] == (3, 3)


def aer(model: Any, pairs: list[SentencePair], shift: int = 0) -> dict[str, float]:
    """AER of each reading (layer 1, head 1): the greatest source word of each target word."""
    extractor = make_extractor("reverse")
    gold = LinkTable.from_links([GoldLinks(Links((i, i) for i in range(len(p.source)))) for p in pairs])
    links: dict[str, list[Links]] = {}
    for reading in pair_model(model).readings:
        found: list[Links] = [Links()] * len(pairs)
        for batch in word_matrices(model, pairs, 1, 1, reading):
            best = batch.values[0].argmax(dim=1)
            for b, k in enumerate(batch.indices):
                found[k] = Links((int(best[b, j]), j) for j in range(batch.target.lengths[b]))
            assert extractor.of(batch).links.any()
        links[reading] = found
    return {reading: float(score(gold, LinkTable.from_links(found)).aer) for reading, found in links.items()}


MONOTONE = [SentencePair(str(n), ("das", "Haus", "und", ".")[:n], ("the", "house", "and", ".")[:n]) for n in (2, 3, 4)]


@pytest.mark.parametrize(("by", "right", "wrong"), [(0, "awo", "awi"), (1, "awi", "awo")])
def test_a_translator_that_looks_where_we_know(by: int, right: str, wrong: str) -> None:
    """A BART whose row r looks at the source sub-word r - by: AER 0 by one reading, not by the other."""
    model = families.build("bart")
    body = model.model.model
    with torch.no_grad():
        for weight in model.model.parameters():
            weight.zero_()
        size = 32
        for stack, moved in ((body.encoder, by), (body.decoder, 0)):
            for name, module in stack.named_modules():
                if isinstance(module, torch.nn.LayerNorm) and name.endswith(("layernorm_embedding", "_layer_norm")):
                    module.weight.fill_(1.0)
            table = stack.embed_positions.weight
            for place in range(size - 4):
                table[place + 2, (place + moved) % size] = 1.0  # two rows are kept for padding
        for layer in body.decoder.layers:
            for projection in (layer.encoder_attn.q_proj, layer.encoder_attn.k_proj):
                projection.weight[:8, :8] = 3.0 * torch.eye(8)  # head 1 sees the places 0 to 7
    found = aer(model, MONOTONE)
    assert found[right] == 0
    assert found[wrong] > 0.5


@pytest.mark.parametrize(("by", "right", "wrong"), [(0, "awi", "awo"), (-1, "awo", "awi")])
def test_a_continuer_that_looks_where_we_know(by: int, right: str, wrong: str) -> None:
    """A GPT-2 whose row p looks a fixed distance back: AER 0 by one reading, not by the other."""
    model = families.build("gpt2").with_template(PromptTemplate("{source} |{target}"))
    pairs = [SentencePair("1", ("und", "das", "Haus", "and"), ("and", "the", "house", "."))]
    (layout,) = model.lay_out(pairs)
    (block,) = layout.blocks["awi"]
    first = int((torch.from_numpy(block.column_words) == 0).nonzero()[0, 0])
    distance = int(block.rows[0]) - first + by
    inner = model.model.transformer
    with torch.no_grad():
        for weight in model.model.parameters():
            weight.zero_()
        for place in range(32):
            inner.wpe.weight[place, place] = 1.0
        for layer in inner.h:
            layer.ln_1.weight.fill_(1.0)
            query, key = layer.attn.c_attn.weight[:, :8], layer.attn.c_attn.weight[:, 32:40]
            for place in range(first, first + 8):
                key[place, place - first] = 4.0
                query[place + distance, place - first] = 4.0
    found = aer(model, pairs)
    assert found[right] == 0
    assert found[wrong] > 0.5


def test_the_other_layers_are_not_held() -> None:
    """One layer of twelve over 512 x 512: no more than the layer that is being computed lives beside the one kept."""
    model = families.build("bert", layers=12, length=600)
    reader = pair_model(model)
    pair = SentencePair("1", ("das", "Haus") * 127, ("the", "house") * 127)
    (layout,) = reader.lay_out([pair])
    assert layout.size >= 511
    alive: list[int] = []
    seen: list[weakref.ref[torch.Tensor]] = []

    def watch(module: Any, given: Any, output: Any) -> None:
        weights = output[-1]
        assert weights.shape[-2:] == (layout.size, layout.size)
        seen.append(weakref.ref(weights))
        alive.append(sum(reference() is not None for reference in seen))

    handles = [site.register_forward_hook(watch) for site in reader.sites]
    (found,) = attention_maps(reader, [pair], layers=12, heads=2, reading="block-ts")
    assert found.by_head().shape == (1, 1, 254, layout.size)
    assert len(seen) == 12
    assert max(alive) <= 2
    assert sum(reference() is not None for reference in seen) == 0
    # Nothing after the deepest layer asked for is computed.
    seen.clear()
    attention_maps(reader, [pair], layers=[3], heads=1)
    assert len(seen) == 3
    # Word maps of every layer: still one layer's sub-word maps at a time.
    seen.clear()
    alive.clear()
    (batch,) = word_matrices(reader, [pair], heads="mean")
    assert len(batch.views) == 36
    assert max(alive) <= 2
    for handle in handles:
        handle.remove()


def test_what_is_not_there() -> None:
    pairs = families.pairs()
    with pytest.raises(ModelError, match=r"decoder-only model and has no cross-attention. Choose one of awi, awo"):
        attention_maps(cached("llama"), pairs, reading="cross")
    with pytest.raises(ModelError, match="is an encoder and has no reading 'awi'"):
        word_matrices(cached("bert"), pairs, readings=["awi"])
    with pytest.raises(InputError, match=r"t5 has no layer 4\. Choose from 1 to 3"):
        attention_maps(cached("t5"), pairs, layers=4)
    with pytest.raises(InputError, match="t5 has no head 0"):
        word_matrices(cached("t5"), pairs, heads=[0])
    with pytest.raises(UnknownNameError, match="'mean'"):
        word_matrices(cached("t5"), pairs, heads="meen")
    with pytest.raises(UnknownNameError, match="sub-words"):
        word_matrices(cached("t5"), pairs, keys="most")
    with pytest.raises(InputError, match="head_mean"):
        attention_maps(cached("t5"), pairs, heads="mean")
    with pytest.raises(InputError, match="no layer is asked for"):
        attention_maps(cached("t5"), pairs, layers=[])
    with pytest.raises(InputError, match="str is no model"):
        attention_maps("t5", pairs)


def test_pair_too_long_for_an_encoder() -> None:
    long = SentencePair("5", ("Haus",) * 60, ("house",) * 60)
    with pytest.raises(
        SentenceTooLongError, match="pair 5 has 60 source and 60 target sub-words, 123 with the special"
    ):
        attention_maps(cached("bert"), [long])


@pytest.mark.parametrize("door", [attention_maps, word_matrices])
def test_weights_that_are_no_distribution(door: Any) -> None:
    for value, error, message in ((torch.nan, NonFiniteError, "NaN"), (2.0, ModelError, "no distribution")):
        model = families.build("bart")

        def spoil(module: Any, given: Any, output: Any, value: float = value) -> Any:
            return (output[0], output[1] * value)

        model.sites[1].register_forward_hook(spoil)
        with pytest.raises(error, match=f"layer 2 of bart.*{message}"):
            list(door(model, families.pairs()))


def test_half_precision_model() -> None:
    model = families.build("marian")
    model.model.to(torch.bfloat16)
    model.dtype = torch.bfloat16
    exact = by_pair(cached("marian"), families.pairs(), heads="mean")
    for key, values in by_pair(model, families.pairs(), heads="mean").items():
        assert values.dtype == torch.float32
        assert torch.allclose(values, exact[key], atol=0.05)
