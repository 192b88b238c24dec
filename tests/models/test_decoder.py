"""Decoder-only models: prompts, the spans of their words, causal blocks, what they refuse."""

from __future__ import annotations

import functools

import numpy as np
import pytest
import torch

from align_eval.corpora import SentencePair
from align_eval.errors import InputError, ModelError, SentenceTooLongError, UnknownNameError
from align_eval.models.attention import attention_sites
from align_eval.models.decoder import Decoder, PromptTemplate
from tests.models import families

cached = functools.cache(families.build)
PAIR = SentencePair("1", ("das", "kleine", "Haus"), ("the", "small", "house"))


def test_zero_shot_prompt() -> None:
    prompt = PromptTemplate(source_language="de", target_language="English").render(PAIR)
    assert prompt.text == "German: das kleine Haus\nEnglish: the small house\n"
    assert [prompt.text[a:b] for a, b in prompt.source_spans] == list(PAIR.source)
    assert [prompt.text[a:b] for a, b in prompt.target_spans] == list(PAIR.target)


def test_few_shot_prompt() -> None:
    shot = SentencePair("s", ("das", "Haus"), ("the", "house"))
    template = PromptTemplate("{source} = {target}", shots=(shot, shot), separator=" ; ")
    prompt = template.render(PAIR)
    assert prompt.text == "das Haus = the house ; das Haus = the house ; das kleine Haus = the small house"
    assert prompt.source_spans[0] == (prompt.text.rindex("das"), prompt.text.rindex("das") + 3)
    assert [prompt.text[a:b] for a, b in prompt.target_spans] == list(PAIR.target)


def test_braces_in_the_text_are_text() -> None:
    pair = SentencePair("1", ("{target}", "{x}"), ("{source}",))
    prompt = PromptTemplate("{ } {source} => {target}").render(pair)
    assert prompt.text == "{ } {target} {x} => {source}"
    assert [prompt.text[a:b] for a, b in prompt.target_spans] == ["{source}"]


@pytest.mark.parametrize(
    ("text", "error", "message"),
    [
        ("{source}", InputError, "0 {target}"),
        ("{source} {target} {target}", InputError, "2 {target}"),
        ("{target} {source}", InputError, "before"),
        ("{source} {targt}", UnknownNameError, "'target'"),
    ],
)
def test_bad_templates(text: str, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        PromptTemplate(text)


@pytest.mark.parametrize("kind", families.DECODERS)
def test_rows_and_columns_spell_the_words(kind: str) -> None:
    model = cached(kind)
    for layout in model.lay_out(families.pairs()):
        (awi,), (awo,) = layout.blocks["awi"], layout.blocks["awo"]
        for labels, words, text in (
            (awi.row_labels, awi.row_words, layout.pair.target),
            (awi.column_labels, awi.column_words, layout.pair.source),
        ):
            spelt = ["".join(labels[k] for k in np.flatnonzero(words == w)).replace("▁", "") for w in range(len(text))]
            # A letter of several bytes may be cut by byte-level sub-words.
            assert [w for w in spelt if "\ufffd" not in w] == [
                w for w, seen in zip(text, spelt, strict=True) if "\ufffd" not in seen
            ]
            assert sum("\ufffd" in w for w in spelt) <= 1
        assert (awi.rows - 1 == awo.rows).all()
        assert [awi.column_labels[row] for row in awi.rows] == list(awi.row_labels)
        assert (awi.row_words == awo.row_words).all()
        assert awi.rows.min() > np.flatnonzero(awi.column_words >= 0).max()


@pytest.mark.parametrize("kind", families.DECODERS)
def test_causal_zeros(kind: str) -> None:
    model = cached(kind)
    layouts = model.lay_out(families.pairs())
    found = dict(model.attention(layouts, [1, 2, 3]))
    for weights in found.values():
        size = weights.shape[-1]
        above = torch.ones(size, size, dtype=torch.bool).triu(1)
        for b, layout in enumerate(layouts):
            n = len(layout.inputs[0])
            own = weights[b, :, :n]
            assert float(own[..., above[:n]].abs().max()) == 0.0
            assert torch.allclose(own.sum(dim=-1), torch.ones(own.shape[:2]), atol=1e-5)


def test_nothing_outside_the_target_is_a_row() -> None:
    shot = SentencePair("s", ("das", "Haus"), ("the", "house"))
    model = cached("llama").with_template(PromptTemplate(shots=(shot,)))
    (layout,) = model.lay_out([PAIR])
    (block,) = layout.blocks["awi"]
    text = "".join(block.column_labels)
    assert text.count("the") == 2
    assert len(block.rows) == 3
    assert block.rows.min() > len(block.column_labels) // 2


def test_a_word_whose_space_is_a_subword_of_its_own() -> None:
    (layout,) = cached("gpt2").lay_out([PAIR])
    (block,) = layout.blocks["awi"]
    first = int(np.flatnonzero(block.column_words == 1)[0])
    assert block.column_labels[first] == "▁"
    assert block.column_words[first - 1] == 0


def test_too_long() -> None:
    long = SentencePair("7", ("Haus",) * 60, ("house",) * 60)
    with pytest.raises(SentenceTooLongError, match=r"pair 7 \(60 source and 60 target words\) has \d+ .* is 96"):
        cached("llama").lay_out([long])


def test_no_cross_attention() -> None:
    model = cached("llama")
    with pytest.raises(ModelError, match=r"no encoder-decoder model and has no cross attention.*awi and awo"):
        attention_sites(model.model, "cross", "llama")
    with pytest.raises(ModelError, match=r"decoder-only model and has no cross-attention.*awi, awo"):
        model.require_reading("cross")
    with pytest.raises(ModelError, match="no reading 'block'"):
        model.require_reading("block")


def test_tokenizer_without_offsets() -> None:
    model, _ = families.parts("llama")
    with pytest.raises(ModelError, match=r"does not say where its sub-words stand.*fast tokenizer"):
        Decoder("llama", model, families.tokenizer_of("m2m_100"))


def test_tokenizer_that_joins_words() -> None:
    from tokenizers import Tokenizer, models
    from transformers import PreTrainedTokenizerFast

    letters = {c: k for k, c in enumerate(["?", *families.LETTERS, " ", "\n", "e ", "e h"])}
    backend = Tokenizer(models.BPE(letters, [("e", " "), ("e ", "h")], unk_token="?"))
    model, _ = families.parts("llama")
    decoder = Decoder("joined", model, PreTrainedTokenizerFast(tokenizer_object=backend, unk_token="?"))
    with pytest.raises(ModelError, match="one sub-word of several words of pair 1: 'e h'"):
        decoder.lay_out([SentencePair("1", ("das",), ("the", "house"))])


def test_target_at_the_very_beginning() -> None:
    model = cached("gpt2").with_template(PromptTemplate("{source}{target}"))
    with pytest.raises(ModelError, match="begins with its target"):
        model.lay_out([SentencePair("1", (), ("the",))])
