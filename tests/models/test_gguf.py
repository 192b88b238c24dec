"""Reading of GGUF and the Llama conversion, on small files written here."""

from __future__ import annotations

import contextlib
import struct
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from align_eval.errors import FormatError, ModelError
from align_eval.models.conversion import gguf_file, smollm

TYPES = {bool: (7, "?"), int: (4, "I"), float: (6, "f")}


def text(value: str) -> bytes:
    return struct.pack("<Q", len(value.encode())) + value.encode()


def value(of: Any) -> bytes:
    """Type and content of a metadata value."""
    if isinstance(of, str):
        return struct.pack("<I", 8) + text(of)
    if isinstance(of, list):
        items = [value(item) for item in of]
        return struct.pack("<I", 9) + items[0][:4] + struct.pack("<Q", len(of)) + b"".join(item[4:] for item in items)
    code, form = TYPES[type(of)]
    return struct.pack(f"<I{form}", code, of)


def write(metadata: dict[str, Any], tensors: dict[str, tuple[int, tuple[int, ...], bytes]], version: int = 3) -> bytes:
    """A GGUF file; a tensor is its kind, its shape (rows first) and its bytes."""
    out = b"GGUF" + struct.pack("<IQQ", version, len(tensors), len(metadata))
    out += b"".join(text(key) + value(of) for key, of in metadata.items())
    at = 0
    for name, (kind, shape, content) in tensors.items():
        out += text(name) + struct.pack(f"<I{len(shape)}QIQ", len(shape), *reversed(shape), kind, at)
        at += -(-len(content) // 32) * 32
    out += b"\0" * (-len(out) % int(metadata.get("general.alignment", 32) or 32))
    return out + b"".join(content + b"\0" * (-len(content) % 32) for _, _, content in tensors.values())


def parse(data: bytes) -> gguf_file.Gguf:
    """What is read from a file of these bytes."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.gguf"
        path.write_bytes(data)
        return gguf_file.read(path)


METADATA = {"name": "ä", "flag": True, "size": 7, "share": 0.5, "words": ["a", "bc", ""], "numbers": [1, 2, 3]}
ROWS = np.arange(6, dtype="<f4").reshape(2, 3)
SMALL = write(METADATA, {"x": (0, (2, 3), ROWS.tobytes()), "y": (0, (1,), b"\0\0\x80\x3f")})


@pytest.mark.parametrize("version", [2, 3])
def test_metadata_and_float_tensors(version: int) -> None:
    model = parse(write(METADATA, {"x": (0, (2, 3), ROWS.tobytes()), "y": (0, (1,), b"\0\0\x80\x3f")}, version))
    assert dict(model.metadata) == METADATA
    assert np.array_equal(model.tensor("x", 2, 3), ROWS)
    assert model.tensor("y", 1).tolist() == [1.0]


def test_another_alignment() -> None:
    model = parse(write({"general.alignment": 256}, {"x": (0, (2, 3), ROWS.tobytes())}))
    assert model.tensors["x"].data_offset == 256
    assert np.array_equal(model.tensor("x", 2, 3), ROWS)


def test_a_q4_1_block_by_hand() -> None:
    """Number k is the low half of byte k, number k + 16 the high half: 0.5 * nibble - 2."""
    content = struct.pack("<ee", 0.5, -2.0) + bytes([0xF0, 0x21, *[0x00] * 14])
    row = parse(write({"n": 1}, {"x": (3, (1, 32), content)})).tensor("x", 1, 32)[0]
    assert row[[0, 1, 2, 16, 17, 18]].tolist() == [-2.0, -1.5, -2.0, 5.5, -1.0, -2.0]


def test_a_q8_0_block_by_hand() -> None:
    content = struct.pack("<e32b", 0.25, *range(-16, 16))
    row = parse(write({"n": 1}, {"x": (8, (1, 32), content)})).tensor("x", 1, 32)[0]
    assert row.tolist() == [k / 4 for k in range(-16, 16)]


halves = st.floats(-1e4, 1e4, width=16)


@given(scale=halves, minimum=halves, nibbles=arrays.arrays(np.uint8, 16))
def test_q4_1_is_the_float32_nearest_to_the_exact_value(scale: float, minimum: float, nibbles: Any) -> None:
    content = struct.pack("<ee", scale, minimum) + nibbles.tobytes()
    found = parse(write({"n": 1}, {"x": (3, (1, 32), content)})).tensor("x", 1, 32)
    exact = [scale * (int(b) & 15) + minimum for b in nibbles] + [scale * (int(b) >> 4) + minimum for b in nibbles]
    assert found[0].tolist() == np.array(exact, dtype=np.float32).tolist()


@given(scale=halves, values=arrays.arrays(np.int8, 32))
def test_q8_0_is_exact(scale: float, values: Any) -> None:
    content = struct.pack("<e", scale) + values.tobytes()
    assert parse(write({"n": 1}, {"x": (8, (1, 32), content)})).tensor("x", 1, 32)[0].tolist() == [
        scale * int(v) for v in values
    ]


@given(st.integers(0, len(SMALL) - 29))
def test_a_cut_file_is_an_error(size: int) -> None:
    """The last tensor's 4 bytes are followed by 28 of padding."""
    with pytest.raises(FormatError):
        parse(SMALL[:size]).tensor("y", 1)


@given(st.integers(4, len(SMALL) - 1), st.integers(0, 255))
def test_a_changed_byte_is_read_or_an_error(at: int, byte: int) -> None:
    with contextlib.suppress(FormatError):
        parse(SMALL[:at] + bytes([byte]) + SMALL[at + 1 :]).tensor("x", 2, 3)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "no GGUF file"),
        (b"PK\3\4", r"no GGUF file .*magic invalid"),
        (write({"n": 1}, {}, version=1), "version 1 "),
        (write({"general.alignment": 0}, {}), "Invalid alignment"),
        (
            b"GGUF" + struct.pack("<IQQ", 3, 0, 1) + text("k") + struct.pack("<I", 77),
            r"77\)? is not a valid GGUFValueType",
        ),
        (b"GGUF" + struct.pack("<IQQ", 3, 0, 1) + text("k") + struct.pack("<IIQ", 9, 9, 1), "ends before"),
        (b"GGUF" + struct.pack("<IQQ", 3, 0, 1) + text("k") + struct.pack("<IIQ", 9, 4, 2**60), "ends before"),
        (write({"n": 1}, {"x": (8, (1, 33), b"\0" * 68)}), "multiple of"),
        (write({"n": 1}, {"x": (99, (1, 32), b"\0" * 18)}), r"99\)? is not a valid"),
    ],
)
def test_other_files_are_refused(data: bytes, message: str) -> None:
    with pytest.raises(FormatError, match=message):
        parse(data)


def test_what_a_file_lacks_is_named() -> None:
    model = parse(write(METADATA, {"x": (0, (2, 3), ROWS.tobytes()), "q": (26, (1, 2), b"\0" * 8)}))
    with pytest.raises(FormatError, match="no tensor 'z'"):
        model.tensor("z", 1)
    with pytest.raises(FormatError, match=r"shape \(2, 3\), not \(3, 2\)"):
        model.tensor("x", 3, 2)
    with pytest.raises(FormatError, match=r"tensor 'q' cannot be expanded.*I32"):
        model.tensor("q", 1, 2)
    with pytest.raises(FormatError, match="no metadata 'none'"):
        model.value("none", int)
    with pytest.raises(FormatError, match="of type bool, not int"):
        model.value("flag", int)


def test_a_q6_k_block_by_hand() -> None:
    """256 numbers of 6 bits: 128 bytes of low halves, 64 of high bits, 16 scales, a factor; here 2 * 3 * (q - 32)."""
    low, high = bytes([0x21] * 128), bytes([0b00_00_00_01] * 64)
    row = parse(write({"n": 1}, {"x": (14, (1, 256), low + high + bytes([3] * 16) + struct.pack("<e", 2.0))}))
    numbers = row.tensor("x", 1, 256)[0]
    # Low half of a byte with high bits 01: 17; with 00: 1 or 2.
    assert numbers[[0, 32, 64, 96]].tolist() == [2 * 3 * (q - 32) for q in (17, 1, 2, 2)]


def test_the_package_that_reads_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "gguf", None)
    with pytest.raises(ModelError, match=r"gguf, which is not installed\. .*'align-eval\[offline\]'"):
        parse(SMALL)


def test_reordered_rows_rotate_alike() -> None:
    """Neighbours rotated (llama.cpp) on the file's rows, halves rotated (transformers) on ours: the same scores."""
    from transformers.models.llama.modeling_llama import apply_rotary_pos_emb

    heads, size, width, length = 3, 8, 5, 6
    random = np.random.default_rng(3)
    query, key = random.normal(size=(2, heads * size, width))
    states = random.normal(size=(length, width))
    angle = np.arange(length)[:, None] / 100.0 ** (np.arange(0, size, 2) / size)

    def neighbours(rows: Any) -> Any:
        pairs = (states @ rows.T).reshape(length, heads, size // 2, 2)
        turned = (pairs[..., 0] + 1j * pairs[..., 1]) * np.exp(1j * angle)[:, None]
        return np.stack([turned.real, turned.imag], -1).reshape(length, heads, size)

    expected = np.einsum("ihd,jhd->hij", neighbours(query), neighbours(key))
    both = [
        torch.from_numpy(states @ smollm.halves(rows, heads).T).view(1, length, heads, size).transpose(1, 2)
        for rows in (query, key)
    ]
    double = torch.from_numpy(np.concatenate([angle, angle], -1))[None]
    q, k = apply_rotary_pos_emb(*both, double.cos(), double.sin())
    assert np.allclose((q @ k.transpose(-1, -2))[0].numpy(), expected, rtol=0, atol=1e-12)
    wrong = [torch.from_numpy(states @ rows.T).view(1, length, heads, size).transpose(1, 2) for rows in (query, key)]
    q, k = apply_rotary_pos_emb(*wrong, double.cos(), double.sin())
    assert not np.allclose((q @ k.transpose(-1, -2))[0].numpy(), expected, atol=1e-3)


LLAMA = {
    "general.architecture": "llama",
    "llama.block_count": 1,
    "llama.context_length": 64,
    "llama.embedding_length": 8,
    "llama.feed_forward_length": 12,
    "llama.attention.head_count": 2,
    "llama.attention.head_count_kv": 1,
    "llama.attention.layer_norm_rms_epsilon": 1e-5,
    "llama.rope.dimension_count": 4,
    "llama.rope.freq_base": 1e5,
    "llama.vocab_size": 5,
    "tokenizer.ggml.model": "gpt2",
    "tokenizer.ggml.pre": "smollm",
    "tokenizer.ggml.tokens": ["<e>", "a", "b", "ab", "<x>"],
    "tokenizer.ggml.token_type": [3, 1, 1, 1, 3],
    "tokenizer.ggml.merges": ["a b"],
    "tokenizer.ggml.bos_token_id": 0,
    "tokenizer.ggml.eos_token_id": 4,
    "tokenizer.ggml.padding_token_id": 4,
    "tokenizer.ggml.unknown_token_id": 0,
    "tokenizer.chat_template": "{{ messages }}",
}
BLOCK = {
    "attn_norm": (8,), "attn_q": (8, 8), "attn_k": (4, 8), "attn_v": (4, 8), "attn_output": (8, 8),
    "ffn_norm": (8,), "ffn_gate": (12, 8), "ffn_up": (12, 8), "ffn_down": (8, 12),
}  # fmt: skip
SHAPES = {
    "token_embd.weight": (5, 8),
    "output_norm.weight": (8,),
    **{f"blk.0.{name}.weight": shape for name, shape in BLOCK.items()},
}
TENSORS = {name: (0, shape, np.zeros(shape, "<f4").tobytes()) for name, shape in SHAPES.items()}


def llama(**changed: Any) -> gguf_file.Gguf:
    return parse(write({**LLAMA, **{key.replace("__", "."): of for key, of in changed.items()}}, TENSORS))


def test_a_small_llama() -> None:
    model = llama()
    config = smollm.config(model)
    assert (config["rms_norm_eps"], config["rope_theta"], config["num_key_value_heads"]) == (1e-5, 1e5, 1)
    names = set(smollm.weights(model))
    assert len(names) == 11
    assert "model.layers.0.self_attn.k_proj.weight" in names
    assert smollm.build_tokenizer(model).encode("aab<x>").ids == [1, 3, 4]
    assert set(smollm.tokenizer_config(model)["added_tokens_decoder"]) == {"0", "4"}


def test_other_models_are_refused() -> None:
    with pytest.raises(FormatError, match="'qwen2' model"):
        smollm.config(llama(general__architecture="qwen2"))
    with pytest.raises(FormatError, match="partial rotations"):
        smollm.config(llama(llama__rope__dimension_count=2))
    with pytest.raises(FormatError, match=r"'gpt2', 'default'"):
        smollm.build_tokenizer(llama(tokenizer__ggml__pre="default"))
    with pytest.raises(FormatError, match="add_bos_token"):
        smollm.build_tokenizer(llama(tokenizer__ggml__add_bos_token=True))
    with pytest.raises(FormatError, match=r"has no tensor 'blk\.1\.attn_norm\.weight'"):
        smollm.weights(llama(llama__block_count=2))
    extra = parse(write(LLAMA, {**TENSORS, "blk.0.attn_q.bias": (0, (8,), b"\0" * 32)}))
    with pytest.raises(FormatError, match="has 12 tensors, a model of its shape 11"):
        smollm.weights(extra)
