"""Encoder-decoder models: forced decoding, language codes, word spans, what they refuse."""

from __future__ import annotations

import functools
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from align_eval.corpora import SentencePair
from align_eval.errors import InputError, ModelError, SentenceTooLongError
from align_eval.models.adapters import Adapter
from align_eval.models.attention import attention_sites, eager
from align_eval.models.seq2seq import Seq2Seq
from align_eval.models.tokens import Segmenter
from tests.models import families

cached = functools.cache(families.build)


@pytest.mark.parametrize("kind", families.SEQ2SEQ)
def test_ids_are_those_of_the_tokenizer(kind: str) -> None:
    """Source ids and labels equal what the tokenizer makes of the plain text, language codes included."""
    model = cached(kind)
    codes = families.languages(kind)
    for pair in families.pairs():
        (layout,) = model.lay_out([pair])
        tokenizer = families.tokenizer_of(kind)
        if kind != "marian" and codes:
            tokenizer.src_lang, tokenizer.tgt_lang = codes["source_language"], codes["target_language"]
        text = (">>en<< " if kind == "marian" else " " if kind == "bart" else "") + pair.source_text
        target = (" " if kind == "bart" else "") + pair.target_text
        assert layout.inputs[0].tolist() == tokenizer(text)["input_ids"]
        assert layout.inputs[1].tolist() == tokenizer(text_target=target)["input_ids"]


@pytest.mark.parametrize("kind", families.SEQ2SEQ)
def test_rows_are_named_by_output_and_by_input(kind: str) -> None:
    model = cached(kind)
    layouts = model.lay_out(families.pairs())
    inputs, mask = model.decoder_inputs(layouts)
    for b, layout in enumerate(layouts):
        ((awo,), (awi,)) = layout.blocks["awo"], layout.blocks["awi"]
        size = len(layout.inputs[1])
        assert int(mask[b].sum()) == size == len(awo.rows) == len(awi.rows)
        given = inputs[b, :size].tolist()
        # AWI: the row's word is that of the decoder's input; AWO: of the label.
        spans = {label: awo.row_words[k] for k, label in enumerate(layout.inputs[1].tolist()) if awo.row_words[k] >= 0}
        assert [k for k, word in enumerate(awi.row_words) if word >= 0] == [
            k + 1 for k, word in enumerate(awo.row_words) if word >= 0
        ]
        assert awi.row_words[awi.row_words >= 0].tolist() == awo.row_words[awo.row_words >= 0].tolist()
        for row in np.flatnonzero(awi.row_words >= 0):
            assert given[row] == layout.inputs[1][row - 1]
            assert given[row] in spans
        assert awi.row_labels[1:] == awo.row_labels[:-1]
        assert set(awo.row_words[awo.row_words >= 0]) == set(range(len(layout.pair.target)))
        assert set(awo.column_words[awo.column_words >= 0]) == set(range(len(layout.pair.source)))


@pytest.mark.parametrize("kind", families.SEQ2SEQ)
def test_labels_spell_the_words(kind: str) -> None:
    model = cached(kind)
    for layout in model.lay_out(families.pairs()):
        (block,) = layout.blocks["awo"]
        for labels, words, text in (
            (block.row_labels, block.row_words, layout.pair.target),
            (block.column_labels, block.column_words, layout.pair.source),
        ):
            spelt = ["".join(labels[k] for k in np.flatnonzero(words == w)).replace("▁", "") for w in range(len(text))]
            # A letter of several bytes may be cut by byte-level sub-words.
            assert [w for w in spelt if "\ufffd" not in w] == [
                w for w, seen in zip(text, spelt, strict=True) if "\ufffd" not in seen
            ]
            assert sum("\ufffd" in w for w in spelt) <= 1
            left = {labels[k] for k in np.flatnonzero(words < 0)}
            assert left <= {"<s>", "</s>", ">>en<<", "__de__", "__en__", "deu_Latn", "eng_Latn", "de_DE", "en_XX"}
            assert "</s>" in left


def test_several_subwords_a_word() -> None:
    (layout,) = cached("marian").lay_out([SentencePair("1", ("Unentschieden", "das"), ("draw",))])
    (block,) = layout.blocks["awo"]
    assert block.column_labels[0] == ">>en<<"
    assert block.column_labels[-1] == "</s>"
    assert block.column_words[0] == block.column_words[-1] == -1
    assert (block.column_words == 0).sum() > 3


@pytest.mark.parametrize(
    ("kind", "source", "target", "resolved"),
    [
        ("marian", None, "de", (None, "de")),
        ("marian", None, ">>de<<", (None, "de")),
        ("m2m_100", "fr", "__ro__", ("fr", "ro")),
        ("nllb", "deu", "eng_latn", ("deu_Latn", "eng_Latn")),
        ("nllb", "de", "ro", ("deu_Latn", "ron_Latn")),
        ("mbart", "de", "ro", ("de_DE", "ro_RO")),
        ("mbart50", "zh", "en", ("zh_CN", "en_XX")),
    ],
)
def test_language_codes_are_resolved(kind: str, source: str | None, target: str, resolved: tuple[Any, str]) -> None:
    other = cached(kind).with_languages(source, target)
    assert (other.source_language, other.target_language) == resolved
    assert other.lay_out(families.pairs())


@pytest.mark.parametrize("kind", ["marian", "m2m_100", "nllb", "mbart", "mbart50"])
def test_missing_and_unknown_language_codes(kind: str) -> None:
    model = cached(kind)
    with pytest.raises(InputError, match=r"target language is not named.*target_language \(--target-language\)"):
        model.with_languages(model.source_language, None).lay_out(families.pairs())
    with pytest.raises(InputError, match=r"has no language code 'englsh'.*nearest"):
        model.with_languages(model.source_language, "englsh")
    if kind != "marian":
        with pytest.raises(InputError, match="source language is not named"):
            model.with_languages(None, model.target_language).lay_out(families.pairs())


def test_ambiguous_language_code_names_the_choices() -> None:
    with pytest.raises(InputError, match="zho_Hans, zho_Hant"):
        cached("nllb").with_languages("de", "zh")


def test_unknown_code_names_the_nearest() -> None:
    with pytest.raises(InputError, match="eng_Latn"):
        cached("nllb").with_languages("de", "eng_Latin")


def test_languages_of_one_model_do_not_touch_another() -> None:
    model = cached("nllb")
    other = model.with_languages("fra_Latn", "deu_Latn")
    before = model.lay_out(families.pairs())[0].inputs
    other.lay_out(families.pairs())
    after = model.lay_out(families.pairs())[0].inputs
    assert all(np.array_equal(a, b) for a, b in zip(before, after, strict=True))


def test_source_prefix_is_no_word() -> None:
    model = families.build("t5", source_prefix="the house : ")
    (layout,) = model.lay_out([SentencePair("1", ("das", "Haus"), ("house",))])
    (block,) = layout.blocks["awo"]
    assert block.column_labels[:2] == ("▁the", "▁house")
    assert block.column_words[:2].tolist() == [-1, -1]
    assert sorted(set(block.column_words.tolist())) == [-1, 0, 1]
    model.model.config.task_specific_params = {"translation_de_to_en": {"prefix": "and "}}
    other = model.with_languages("de", "en").lay_out([SentencePair("1", ("das",), ("house",))])
    assert other[0].blocks["awo"][0].column_labels[0] == "▁and"


@pytest.mark.parametrize("kind", ["marian", "mbart"])
def test_too_long(kind: str) -> None:
    model = cached(kind)
    long = SentencePair("9", ("das",), ("the",) * 200)
    with pytest.raises(SentenceTooLongError, match=r"target sentence of pair 9 has \d+ sub-words.*window of \w+ is 96"):
        model.lay_out([long])
    with pytest.raises(SentenceTooLongError, match="source sentence of pair 9"):
        model.lay_out([long.reverse()])


def test_one_direction_refuses_another_target() -> None:
    model, tokenizer = families.parts("bart")
    tokenizer.target_lang = "en"
    with pytest.raises(InputError, match="translates into en, not fr"):
        Seq2Seq("bart", model, tokenizer, target_language="fr")


def test_tokenizer_without_word_boundaries() -> None:
    class Characters:
        is_fast = False
        unk_token = "?"

        def tokenize(self, text: str) -> list[str]:
            return list(text.replace(" ", ""))

        def get_vocab(self) -> dict[str, int]:
            return {"?": 0}

    class Joined:
        def encode(self, texts: list[str], out_type: type) -> list[list[str]]:
            return [list(text.replace(" ", "")) for text in texts]

    tokenizer: Any = Characters()
    tokenizer.sp_model, tokenizer.encoder = Joined(), {"?": 0}
    with pytest.raises(ModelError, match=r"keeps no boundaries between words.*fast tokenizer"):
        Segmenter(tokenizer, Adapter(), name="x")
    with pytest.raises(ModelError, match="keeps no boundaries"):
        Segmenter(Characters(), Adapter(), name="x")


def test_words_as_one_string() -> None:
    for kind in ("marian", "t5"):
        with pytest.raises(InputError, match=r"split\(' '\)"):
            cached(kind).tokenize(["das Haus"])


def test_sites_by_kind() -> None:
    model = cached("t5").model
    cross = attention_sites(model, "cross")
    assert len(cross) == len(attention_sites(model, "decoder-self")) == len(attention_sites(model, "encoder-self")) == 3
    assert cross[0] is model.decoder.block[0].layer[1].EncDecAttention
    assert attention_sites(model, "decoder-self")[2] is model.decoder.block[2].layer[0].SelfAttention
    assert attention_sites(model, "encoder-self")[1] is model.encoder.block[1].layer[0].SelfAttention
    bart = cached("bart").model
    assert attention_sites(bart, "cross")[1] is bart.model.decoder.layers[1].encoder_attn
    assert attention_sites(bart, "decoder-self")[1] is bart.model.decoder.layers[1].self_attn
    with pytest.raises(ModelError, match="is an encoder-decoder model"):
        attention_sites(bart, "self")
    with pytest.raises(ModelError, match="unknown kind"):
        attention_sites(bart, "sideways")


def test_eager_is_for_the_time_of_the_pass() -> None:
    model = cached("t5").model
    assert model.config._attn_implementation == "sdpa"
    with eager(model):
        assert {m.config._attn_implementation for m in model.modules() if hasattr(m, "config")} == {"eager"}
    assert {m.config._attn_implementation for m in model.modules() if hasattr(m, "config")} == {"sdpa"}


def test_a_model_that_cannot_be_switched() -> None:
    model, tokenizer = families.parts("bart")
    wrapped = Seq2Seq("bart", model, tokenizer)
    model.set_attn_implementation = lambda name: None  # type: ignore[method-assign]
    with pytest.raises(ModelError, match="computes its attention by sdpa, cannot be switched"):
        list(wrapped.attention(wrapped.lay_out(families.pairs()), [1]))


def test_a_kernel_that_returns_no_weights() -> None:
    model, tokenizer = families.parts("bart")
    wrapped = Seq2Seq("bart", model, tokenizer)
    wrapped.sites[0].register_forward_hook(lambda module, given, output: (output[0], None))
    with pytest.raises(ModelError, match=r"layer 1 of bart \(bart\) returns no attention weights"):
        list(wrapped.attention(wrapped.lay_out(families.pairs()), [1]))
    assert model.config._attn_implementation == "sdpa"


def test_weights_equal_those_of_transformers() -> None:
    for kind in ("marian", "t5", "mbart"):
        model = cached(kind)
        layouts = model.lay_out(families.pairs()[:1])
        found = dict(model.attention(layouts, [1, 3]))
        inputs, _ = model.decoder_inputs(layouts)
        with eager(model.model), torch.no_grad():
            full = model.model(
                input_ids=torch.from_numpy(layouts[0].inputs[0])[None], decoder_input_ids=inputs, output_attentions=True
            )
        assert sorted(found) == [1, 3]
        for layer, weights in found.items():
            assert torch.allclose(weights, full.cross_attentions[layer - 1], atol=1e-6)


def test_the_tokenizer_of_fsmt_with_two_vocabularies(tmp_path: Path) -> None:
    """Not a fast one: words are segmented one by one; source and target have numbers of their own."""
    pytest.importorskip("sacremoses")
    from transformers import FSMTConfig, FSMTForConditionalGeneration, FSMTTokenizer

    merges = ["h o", "ho u", "hou s", "hous e</w>", "d a", "da s</w>"]
    letters = [letter + end for letter in "abdehostuABH." for end in ("", "</w>")]
    pieces = ["<s>", "<pad>", "</s>", "<unk>", *letters, *(m.replace(" ", "") for m in merges)]
    sides = {"src": pieces, "tgt": [*pieces[:4], *reversed(pieces[4:])]}
    for side, some in sides.items():
        (tmp_path / f"{side}.json").write_text(json.dumps({piece: k for k, piece in enumerate(some)}), "utf-8")
    (tmp_path / "merges.txt").write_text("\n".join(f"{merge} 1" for merge in merges) + "\n", "utf-8")
    tokenizer = FSMTTokenizer(
        langs=["de", "en"], src_vocab_file=str(tmp_path / "src.json"), tgt_vocab_file=str(tmp_path / "tgt.json"),
        merges_file=str(tmp_path / "merges.txt"),
    )  # fmt: skip
    config = FSMTConfig(
        langs=["de", "en"], src_vocab_size=len(pieces), tgt_vocab_size=len(pieces), d_model=32, encoder_layers=1,
        decoder_layers=1, encoder_attention_heads=4, decoder_attention_heads=4, encoder_ffn_dim=48, decoder_ffn_dim=48,
        max_position_embeddings=64,
    )  # fmt: skip
    model = Seq2Seq("fsmt", FSMTForConditionalGeneration(config), tokenizer)
    (layout,) = model.lay_out([SentencePair("1", ("das", "Haus", "."), ("the", "house"))])
    (block,) = layout.blocks["awo"]
    assert block.column_labels == ("das</w>", "H", "a", "u", "s</w>", ".</w>", "</s>")
    assert block.column_words.tolist() == [0, 1, 1, 1, 1, 2, -1]
    assert block.row_labels == ("t", "h", "e</w>", "house</w>", "</s>")
    assert layout.inputs[0].tolist() == [sides["src"].index(label) for label in block.column_labels]
    assert layout.inputs[1].tolist() == [sides["tgt"].index(label) for label in block.row_labels]
    assert layout.inputs[0].tolist() == tokenizer("das Haus.")["input_ids"]
    assert [layer for layer, _ in model.attention([layout], [1])] == [1]
