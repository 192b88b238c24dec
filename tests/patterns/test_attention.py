"""Attention of a text: what is read of each family, and how heads are chosen."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from align_eval.attribution.text import text_matrix
from align_eval.errors import InputError, SentenceTooLongError, UnknownNameError
from align_eval.patterns import binarise, make_mask_kind
from align_eval.patterns.attention import TextAttention, clearest, scan_heads, text_attention
from tests.models import families

TEXT = "the small house stands by the old river"


def of_masks(specs: list[list[str]], n: int = 32) -> TextAttention:
    """Attention that is uniform over the keys of given masks, layers of heads."""
    masks = np.array([[make_mask_kind(spec)(n) for spec in layer] for layer in specs], dtype=float)
    labels = tuple(f"t{k}" for k in range(n))
    values = masks / masks.sum(axis=-1, keepdims=True)
    return TextAttention(text_matrix(values, labels, labels, quantity="weight", model="made"), "self", True, n, n)


def test_a_decoder_over_a_text() -> None:
    model = families.build("llama")
    found = text_attention(model, TEXT)
    assert (found.kind, found.layers, found.causal, found.square) == ("self", (1, 2, 3), True, True)
    assert found.values.shape == (3, 4, len(found.keys), len(found.keys))
    assert found.queries == found.keys
    assert found.keys[0] == "<s>"
    assert found.read == found.of == len(found.keys)
    assert np.allclose(found.values.sum(-1), 1, atol=1e-4)
    assert (np.triu(found.values, 1) == 0).all()
    begun = text_attention(model, TEXT, tokens=10, layers=[2])
    assert (begun.read, begun.of, begun.layers) == (10, found.of, (2,))
    assert np.allclose(begun.head(2, 3), found.head(2, 3)[:10, :10], atol=1e-5), "a causal model reads from the left"
    with pytest.raises(InputError, match="999 of the text's"):
        text_attention(model, TEXT, tokens=999)
    with pytest.raises(InputError, match="no layer 4"):
        text_attention(model, TEXT, layers=[4])
    with pytest.raises(InputError, match="no layer 1 among the matrices"):
        begun.head(1, 1)
    with pytest.raises(InputError, match="no head 5 of layer 2"):
        begun.head(2, 5)
    with pytest.raises(InputError, match="takes no target"):
        text_attention(model, TEXT, target="das")
    with pytest.raises(InputError, match="no sub-word"):
        text_attention(model, "")
    with pytest.raises(SentenceTooLongError, match="--n 96"):
        text_attention(model, TEXT * 20)
    with pytest.raises(UnknownNameError, match="'cross'"):
        text_attention(model, TEXT, part="cross")


def test_an_encoder_over_a_text() -> None:
    model = families.build("bert")
    found = text_attention(model, TEXT)
    assert not found.causal
    assert (found.values > 0).all(), "it looks both ways"
    begun = text_attention(model, TEXT, tokens=8)
    assert begun.read == 8
    assert (begun.keys[0], begun.keys[-1]) == (found.keys[0], found.keys[-1]), "what is special stays"


def test_an_encoder_decoder_over_a_pair() -> None:
    model = families.build("bart")
    cross = text_attention(model, "das kleine Haus", target="the small house")
    assert (cross.kind, cross.square, cross.causal) == ("cross", False, False)
    assert cross.values.shape[2:] == (len(cross.queries), len(cross.keys))
    own = text_attention(model, "das kleine Haus")
    assert (own.kind, own.keys, own.causal) == ("encoder-self", cross.keys, False)
    decoder = text_attention(model, "das kleine Haus", target="the small house", part="decoder-self")
    assert decoder.causal
    assert (np.triu(decoder.values, 1) == 0).all()
    assert len(decoder.keys) == len(cross.queries)
    assert decoder.keys[1:] != decoder.keys[:-1]
    with pytest.raises(InputError, match="needs a target"):
        text_attention(model, "das kleine Haus", part="cross")
    with pytest.raises(InputError, match="whole sentences"):
        text_attention(model, "das kleine Haus", tokens=3)


def test_heads_are_chosen_by_what_a_kind_saves() -> None:
    made = of_masks([["causal", "sliding-window:width=3"], ["sink-window:sinks=2,window=4", "sliding-window:width=9"]])
    found = list(scan_heads(made, mass=0.999))
    assert [(h.layer, h.head) for h in found] == [(1, 1), (1, 2), (2, 1), (2, 2)]
    assert [h.detection.best.name for h in found] == ["causal", "sliding-window", "sink-window", "sliding-window"]
    pick = clearest(made, "sliding-window", mass=0.999)
    of_kind = [h for h in found if h.detection.best.name == "sliding-window"]
    most = max(of_kind, key=lambda h: h.detection.bits_saved)
    assert (pick.layer, pick.head) == (most.layer, most.head)
    assert pick.detection.best.kind == most.detection.best.kind
    assert np.array_equal(pick.pattern, binarise(made.head(pick.layer, pick.head), mass=0.999))
    with pytest.raises(InputError, match="no head of made is best explained by tree"):
        clearest(made, "tree", mass=0.999)
    with pytest.raises(UnknownNameError, match="sliding-window"):
        clearest(made, "sliding", mass=0.999)
    oblong = replace(made, kind="cross", causal=False)
    with pytest.raises(InputError, match="kinds of masks are of square patterns"):
        clearest(oblong, "full", mass=0.9)


@pytest.mark.model
def test_a_real_head_is_a_sink() -> None:
    """Most heads of a language model rest on the first token."""
    from align_eval.models import load_model
    from align_eval.patterns import detect

    text = "The library opens at nine in the morning and closes at six in the evening, but not on Sunday."
    found = text_attention(load_model("offline:smollm2-135m"), text, layers=[18])
    detection = detect(binarise(found.head(18, 9), mass=0.9), causal=True)
    assert 0 in detection.features.sinks
