"""Translation: the same as transformers' own search, whatever the batch; language codes, limits, what is refused."""

from __future__ import annotations

import functools
from typing import Any

import pytest
import torch

from align_eval.errors import InputError, ModelError, SentenceTooLongError
from align_eval.models.translation import Decoding, Translator, decoder_prefix, load_translator, require_translator
from tests.models import families


@functools.cache
def cached(kind: str) -> Any:
    """A tiny model whose words depend much on the source: random weights would repeat one sub-word otherwise."""
    model = families.build(kind)
    with torch.no_grad():
        for name, weight in model.model.named_parameters():
            if ("encoder_attn" in name or "EncDecAttention" in name) and weight.ndim == 2:
                weight.mul_(4)
    return model


TEXTS = [
    "das kleine Haus",
    "",
    "das Haus steht am alten Fluss und der Garten blüht im Sommer .",
    "Unentschieden",
    "ein Haus .",
    "und das kleine Haus !",
]


def translator(kind: str, **options: Any) -> Translator:
    decoding = Decoding(**{"beam": 3, "max_length": 14, **options})
    return Translator(cached(kind), decoding)


def reference(kind: str, text: str, beam: int, length: int) -> str:
    """One sentence by the tokenizer and ``generate`` alone."""
    tokenizer, model = families.tokenizer_of(kind), cached(kind).model
    codes = families.languages(kind)
    forced: dict[str, Any] = {}
    if kind == "marian":
        text = ">>en<< " + text
    elif codes:
        tokenizer.src_lang, tokenizer.tgt_lang = codes["source_language"], codes["target_language"]
        token = "__en__" if kind == "m2m_100" else codes["target_language"]
        code = tokenizer.get_lang_id("en") if kind == "m2m_100" else tokenizer.convert_tokens_to_ids(token)
        forced = {"decoder_start_token_id" if kind == "mbart" else "forced_bos_token_id": code}
    given = tokenizer(" " + text if kind == "bart" else text, return_tensors="pt")
    if kind == "bart":
        forced = {"forced_bos_token_id": 0}
    given.pop("token_type_ids", None)
    found = model.generate(
        **given,
        num_beams=beam,
        max_length=length,
        early_stopping=False,
        do_sample=False,
        forced_eos_token_id=model.config.eos_token_id,
        **forced,
    )
    first = 2 if "forced_bos_token_id" in forced else 1
    return str(tokenizer.decode(found[0, first:], skip_special_tokens=True, clean_up_tokenization_spaces=False)).strip()


@pytest.mark.parametrize("kind", families.SEQ2SEQ)
@pytest.mark.parametrize("beam", [1, 3])
def test_translations_are_those_of_generate(kind: str, beam: int) -> None:
    texts = [text for text in TEXTS if text][:3]
    found = translator(kind, beam=beam).translate(texts)
    assert [one.text for one in found] == [reference(kind, text, beam, 14) for text in texts]
    assert all(one.pieces == 1 and not one.left for one in found)


@pytest.mark.parametrize(("kind", "beam"), [("marian", 1), ("nllb", 2), ("t5", 3)])
def test_batches_change_nothing(kind: str, beam: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """One batch, one sentence at a time, another order in batches of few; each sentence has its own greatest length."""
    monkeypatch.setattr("align_eval.models.translation.FACTOR", 0.25)
    monkeypatch.setattr("align_eval.models.translation.EXTRA", 4)
    whole = translator(kind, beam=beam, max_length=None).translate(TEXTS)
    single = [translator(kind, beam=beam, max_length=None).translate([text])[0] for text in TEXTS]
    turned = translator(kind, beam=beam, max_length=None, token_budget=40 * beam).translate(TEXTS[::-1])
    assert whole == single == turned[::-1]
    assert whole[1].text == ""
    assert whole[1].pieces == 0
    assert len({one.subwords for one in whole}) >= 3, "limits that follow the source, or ends of their own"


def test_the_limit_is_said() -> None:
    """Random weights never end a sentence in time: every translation meets the limit and says so."""
    found = translator("marian", max_length=6).translate(TEXTS)
    for one in found:
        assert one.at_limit == (one.subwords == 4)  # start, four sub-words, end
    assert any(one.at_limit for one in found)
    with pytest.raises(InputError, match="exceeds the window"):
        translator("marian", max_length=97)


def test_progress_counts_every_sentence() -> None:
    seen: list[int] = []
    translator("marian", token_budget=60).translate(TEXTS, progress=seen.append)
    assert sum(seen) == len(TEXTS)


def test_the_decoder_starts_with_the_language() -> None:
    starts = {kind: decoder_prefix(cached(kind)) for kind in families.SEQ2SEQ}
    for kind, length in (
        ("marian", 1),
        ("t5", 1),
        ("mt5", 1),
        ("m2m_100", 2),
        ("nllb", 2),
        ("mbart50", 2),
        ("mbart", 1),
    ):
        assert len(starts[kind]) == length, kind
    assert starts["m2m_100"][1] == families.tokenizer_of("m2m_100").get_lang_id("en")
    assert starts["nllb"][1] == families.tokenizer_of("nllb").convert_tokens_to_ids("eng_Latn")
    assert starts["mbart"][0] == families.tokenizer_of("mbart").convert_tokens_to_ids("en_XX")


def test_another_language_gives_another_text() -> None:
    english = Translator(cached("m2m_100"), Decoding(2, 14))
    german = Translator(cached("m2m_100").with_languages("en", "de"), Decoding(2, 14))
    assert english.before[0] != german.before[0]
    assert english.prefix[1] == german.before[0]
    assert german.prefix[1] == english.before[0]
    assert [t.text for t in english.translate(TEXTS)] != [t.text for t in german.translate(TEXTS)]
    assert german.describe()["target_language"] == "de"


def test_a_missing_language_lists_codes() -> None:
    for kind, side in (("marian", "target"), ("m2m_100", "source"), ("nllb", "source")):
        model = families.build(kind, source_language=None, target_language=None)
        with pytest.raises(InputError, match=rf"{side} language is not named.*--{side}-language.*in all"):
            Translator(model)
    with pytest.raises(InputError, match="no language code 'xx'"):
        families.build("marian", target_language="xx")


def test_long_sentences_raise_or_are_cut_or_left() -> None:
    long = " ".join(["das kleine Haus steht am alten Fluss ,", "und der Garten blüht im Sommer ."] * 6)
    texts = ["ein Haus", long, "und"]
    with pytest.raises(SentenceTooLongError, match=r"sentence p2 has \d+ sub-words.*--on-long window"):
        translator("marian").translate(texts, ["p1", "p2", "p3"])
    left = translator("marian", on_long="leave").translate(texts)
    assert [one.left for one in left] == [False, True, False]
    assert left[1].text == ""
    cutter = translator("marian", on_long="window")
    ((pieces, *_), _) = cutter._pieces([long], ["1"])
    whole = cutter.model.tokenize([long.split(" ")])
    assert len(pieces) > 1
    assert [t for piece in pieces for t in piece.tolist()] == whole.ids[0].tolist()
    assert all(len(piece) <= cutter.room for piece in pieces)
    comma, stop = (cutter.model.tokenize([[mark]]).ids[0][-1] for mark in (",", "."))
    assert all(piece[-1] in (comma, stop) for piece in pieces)
    cut = cutter.translate(texts)
    assert cut[1].pieces == len(pieces)
    assert [cut[0], cut[2]] == [left[0], left[2]]
    with pytest.raises(SentenceTooLongError, match="a word of source sentence 1 alone"):
        cutter.translate(["x" * 200])


def test_only_translation_models(tmp_path: Any) -> None:
    for kind, what in (("bert", "an encoder"), ("llama", "a decoder-only model")):
        model, tokenizer = families.parts(kind)
        model.save_pretrained(tmp_path / kind)
        tokenizer.save_pretrained(tmp_path / kind)
        with pytest.raises(ModelError, match=f"{what}.*needs an encoder-decoder model.*offline:tiny-deen"):
            load_translator(str(tmp_path / kind))
        with pytest.raises(ModelError, match="needs an encoder-decoder model"):
            require_translator(cached(kind))
    masked = families.build("marian")
    masked.tokenizer.add_special_tokens({"mask_token": "<unk>"})
    stated = families.build("marian")
    stated.model.config.decoder_mode = "masked"
    for model in (masked, stated):
        with pytest.raises(ModelError, match="masked language model"):
            Translator(model)


def test_wrong_settings() -> None:
    for options in ({"beam": 0}, {"max_length": 0}, {"on_long": "cut"}):
        with pytest.raises(InputError):
            Decoding(**options)


def test_nan_is_an_error() -> None:
    model = families.build("marian")
    with torch.no_grad():
        model.model.final_logits_bias.fill_(float("nan"))
    with pytest.raises(ModelError, match="NaN"):
        Translator(model).translate(["das Haus"])


def test_another_default_number_type_is_refused() -> None:
    given = translator("marian")
    torch.set_default_dtype(torch.float64)
    try:
        with pytest.raises(InputError, match=r"set to torch\.float64.*set_default_dtype\(torch\.float32\)"):
            given.translate(TEXTS)
    finally:
        torch.set_default_dtype(torch.float32)
