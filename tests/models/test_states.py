"""States of encoder-decoder models' encoders and of decoder-only models equal those of ``transformers``."""

from __future__ import annotations

import functools
import warnings
from typing import Any

import numpy as np
import pytest
import torch

from align_eval.errors import AlignEvalWarning, InputError, SentenceTooLongError
from align_eval.models.encoder import Encoder, PairEncoder
from align_eval.models.vectors import vector_models
from tests.models import families

SOURCES = [["das", "kleine", "Haus"], ["Unentschieden"], ["das", "", "Haus", "steht", "am", "alten", "Fluss"], [""], []]
TARGETS = [["the", "small", "house"], ["a", "draw", "!"], ["the", "house"], ["", ""], ["."]]
TAGS = {  # before and after a sentence, of the source and of the target
    "m2m_100": ((["__de__"], ["</s>"]), (["__en__"], ["</s>"])),
    "nllb": ((["deu_Latn"], ["</s>"]), (["eng_Latn"], ["</s>"])),
    "mbart": (([], ["</s>", "de_DE"]), ([], ["</s>", "en_XX"])),
    "mbart50": ((["de_DE"], ["</s>"]), (["en_XX"], ["</s>"])),
    "t5": (([], ["</s>"]), ([], ["</s>"])),
}

views = functools.cache(lambda kind: vector_models(families.build(kind)))


def states(view: Any, row: list[int]) -> torch.Tensor:
    """All layers of one sequence by the stack itself, ``(layers + 1, T, width)``."""
    with torch.inference_mode():
        found = view.model(input_ids=torch.tensor([row]), output_hidden_states=True).hidden_states
    return torch.stack([state[0] for state in found])


@pytest.mark.filterwarnings("ignore:marian translates")
@pytest.mark.parametrize("kind", [*families.SEQ2SEQ, *families.DECODERS])
def test_vectors_are_the_models_own_states(kind: str) -> None:
    for view, sentences in zip(views(kind), (SOURCES, TARGETS), strict=True):
        tokens = view.tokenize(sentences)
        assert (view.layers, view.hidden_size) == (3, 32)
        before, after = (view.tokenizer.convert_ids_to_tokens(part.tolist()) for part in (view.prefix, view.suffix))
        if kind in TAGS:
            assert (before, after) == TAGS[kind][sentences is TARGETS]
        every = view.encode(tokens.ids, range(4), token_budget=40)
        alone = view.encode(tokens.ids, [2], token_budget=1)
        for ids, vectors, one in zip(tokens.ids, every, alone, strict=True):
            assert vectors.shape == (4, len(ids), 32)
            if not len(ids):
                continue
            full = states(view, [*view.prefix, *ids, *view.suffix])
            inside = full[:, len(view.prefix) : full.shape[1] - len(view.suffix)]
            assert float((vectors - inside).abs().max()) < 1e-4
            assert float((one[0] - inside[2]).abs().max()) < 1e-4
            assert float((inside[1] - inside[2]).abs().max()) > 1e-2


@pytest.mark.parametrize("kind", families.DECODERS)
def test_tokens_of_a_decoder_are_those_of_the_text(kind: str) -> None:
    view, _ = views(kind)
    for sentence in (*SOURCES[:2], *TARGETS[:3]):
        tokens = view.tokenize([sentence])
        text = view.tokenizer(" ".join(sentence))["input_ids"]
        assert [*view.prefix, *tokens.ids[0], *view.suffix] == text
        assert np.unique(tokens.words[0]).tolist() == list(range(len(sentence)))
    tokens = view.tokenize(SOURCES)
    assert tokens.silent_words(2).tolist() == [1]
    assert tokens.word_counts.tolist() == [3, 1, 7, 1, 0]
    assert tokens.lengths[3:].tolist() == [0, 0]


def test_a_word_is_read_without_what_follows() -> None:
    view, _ = views("gpt2")
    short, long = view.tokenize([["das", "Haus"], ["das", "Haus", "steht"]]).ids
    one, two = view.encode([short, long], [3])
    assert float((one[0] - two[0, : len(short)]).abs().max()) < 1e-5


def test_encoders_are_themselves() -> None:
    encoder = families.build("bert")
    assert isinstance(encoder, Encoder)
    assert vector_models(encoder) == (encoder, encoder)
    assert vector_models(PairEncoder(encoder)) == (encoder, encoder)
    with pytest.raises(InputError, match="str is no model"):
        vector_models("bert")


def test_what_cannot_be_is_said() -> None:
    marian = families.build("marian")
    for languages, said in (((None, "en"), "known once they are named"), (("fr", "en"), "marian translates one way")):
        with pytest.warns(AlignEvalWarning, match=said):
            vector_models(marian.with_languages(*languages))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        vector_models(marian.with_languages("de", "en"))
    with pytest.raises(InputError, match="target language is not named"):
        vector_models(families.build("nllb", target_language=None))
    view, _ = views("bart")
    with pytest.raises(InputError, match="no layer 4"):
        view.encode([], [4])
    with pytest.raises(SentenceTooLongError, match="window of bart is 94"):
        view.encode([np.full(95, 9)], [1])
    with pytest.raises(InputError, match="sentence 1 is a string"):
        views("llama")[0].tokenize(["das Haus"])  # type: ignore[list-item]
