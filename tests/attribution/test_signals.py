"""What holds of every signal: by name, word maps, links, a known alignment found."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from align_eval.attribution import ATTRIBUTIONS
from align_eval.attribution.collect import attention_maps, word_matrices
from align_eval.corpora import SentencePair
from align_eval.extraction import make_extractor
from align_eval.links import GoldLinks, Links
from align_eval.links.table import LinkTable
from align_eval.scoring import score
from tests.attribution.forced import double
from tests.models import families

NAMES = (
    "attention", "information-flow", "information-flow-heads", "input-x-gradient", "integrated-gradients",
    "prediction-difference", "saliency", "smoothgrad", "value-zeroing",
)  # fmt: skip
FEW: dict[str, dict[str, Any]] = {"integrated-gradients": {"steps": 2}, "smoothgrad": {"samples": 2}}


def test_the_names() -> None:
    assert set(NAMES) <= set(ATTRIBUTIONS.names())


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("kind", ["marian", "gpt2"])
def test_word_maps_and_links(kind: str, name: str) -> None:
    reader = ATTRIBUTIONS.get(name)(double(kind), **FEW.get(name, {}))
    reading = reader.readings[0]
    pairs = families.pairs()[2:]
    maps = attention_maps(reader, pairs, reading=reading)
    found: list[Links | None] = [None] * len(pairs)
    extractor = make_extractor("argmax")
    for batch in word_matrices(reader, pairs, readings=reading):
        assert batch.quantity == reader.quantity == maps[0].quantity
        links = extractor.of(batch).links[0]
        for b, k in enumerate(batch.indices):
            words = maps[k].words()
            m, n = len(pairs[k].source), len(pairs[k].target)
            expected = words.by_head()[0, 0].T
            assert float((batch.values[0, b, :m, :n] - expected).abs().max()) < 1e-9
            found[k] = Links((int(i), int(j)) for i, j in links[b].nonzero().tolist())
    gold = LinkTable.from_links([GoldLinks(Links([(0, 0)])) for _ in pairs])
    hypothesis = LinkTable.from_links([links for links in found if links is not None])
    assert 0 <= float(score(gold, hypothesis).aer) <= 100


COPIES = [SentencePair(str(n), words, words) for n, words in enumerate((("das", "Haus", "und", "."), ("und", "das")))]


@pytest.mark.parametrize("name", NAMES)
def test_a_copier_whose_alignment_we_know(name: str) -> None:
    """Every signal finds that sub-word r of the target is copied from sub-word r of the source."""
    reader = ATTRIBUTIONS.get(name)(copier(), **FEW.get(name, {}))
    links = []
    for maps in attention_maps(reader, COPIES, heads=1, reading="awo"):
        words = maps.words().by_head()[0, 0].abs()
        links.append(Links((int(i), j) for j, i in enumerate(words.argmax(dim=1))))
    gold = LinkTable.from_links([GoldLinks(Links((k, k) for k in range(len(pair.source)))) for pair in COPIES])
    assert float(score(gold, LinkTable.from_links(links)).aer) == 0


def copier() -> Any:
    """A BART made by hand: row r of head 1 looks at source place r, fetches the word there and gives it out.

    Numbers 0 to 7 of a state say the place, 24 to 31 the word; nothing else is computed.
    """
    model = families.build("bart", dtype="float64", layers=1)
    body = model.model.model
    torch.manual_seed(3)
    with torch.no_grad():
        for weight in model.model.parameters():
            weight.zero_()
        words = torch.randn(len(body.shared.weight), 8, dtype=torch.float64)
        body.shared.weight[:, 24:] = words / words.norm(dim=1, keepdim=True)
        for stack in (body.encoder, body.decoder):
            for name, module in stack.named_modules():
                if isinstance(module, torch.nn.LayerNorm) and name.endswith(("layernorm_embedding", "_layer_norm")):
                    module.weight.fill_(1.0)
            for place in range(8):
                stack.embed_positions.weight[place + 2, place] = 1.0  # two rows are kept for padding
        for layer in body.decoder.layers:
            cross = layer.encoder_attn
            for projection in (cross.q_proj, cross.k_proj):
                projection.weight[:8, :8] = torch.eye(8)
            cross.v_proj.weight[:8, 24:] = torch.eye(8)
            cross.out_proj.weight[24:, :8] = 5 * torch.eye(8)
    return model


@pytest.mark.parametrize("kind", [*families.SEQ2SEQ, *families.DECODERS])
def test_every_architecture(kind: str) -> None:
    """Two pairs together are each alone, for one signal of every way of reading: gradients, embeddings, layers."""
    model, pairs = double(kind), families.pairs()[2:]
    for name in ("information-flow", "saliency", "prediction-difference", "value-zeroing"):
        reader = ATTRIBUTIONS.get(name)(model)
        for maps, pair in zip(attention_maps(reader, pairs), pairs, strict=True):
            (alone,) = attention_maps(reader, [pair])
            assert float((maps.by_head() - alone.by_head()).abs().max()) < 1e-9
            assert float(maps.by_head().abs().max()) > 0
