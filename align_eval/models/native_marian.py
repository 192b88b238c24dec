"""Models in Marian's own format: a folder with ``model*.bin`` or ``.npz`` and SentencePiece vocabularies.

Such folders are what Marian trains and what Firefox Translations and Bergamot publish, often as students in 8-bit
integers whose decoder has a simple recurrent unit (SSRU; Kim et al. 2019, arXiv:1910.14075) in place of
self-attention. They become a ``MarianMTModel`` of ``transformers``, weights expanded to float32, so that everything
that this package does with Marian works on them. Nothing in the files is run: ``.bin`` is a flat list of arrays,
``.npz`` is read without pickle, the configuration within (``special:model.yml``) by YAML's safe loader.
"""

from __future__ import annotations

import json
import struct
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from align_eval.errors import FormatError, InputError, ModelError

if TYPE_CHECKING:
    from torch import nn

CONFIG = "special:model.yml"
WINDOW = 512
# Types of arrays in a .bin file; the last two are integers with a factor after them, linear weights transposed.
_INT8, _FLOAT32, _INTGEMM8, _INTGEMM16 = 0x0101, 0x0404, 0x4101, 0x4102
# What a model must say of itself, where it says it: anything else is another architecture.
_REQUIRED: dict[str, tuple[Any, ...]] = {
    "type": ("transformer",), "transformer-preprocess": ("", "n"), "transformer-postprocess": ("dan", "da"),
    "transformer-decoder-autoreg": ("self-attention", "rnn"), "transformer-ffn-depth": (2,), "lemma-dim-emb": (0,),
    "transformer-no-projection": (False,), "transformer-train-position-embeddings": (False,), "skip": (False,),
    "layer-normalization": (False,), "ulr": (False,), "transformer-tied-layers": ([],),
    "transformer-postprocess-emb": ("d", "", "dn", "nd"), "transformer-ffn-activation": ("relu", "swish", "gelu"),
}  # fmt: skip

Arrays = dict[str, NDArray[Any]]


def native_files(folder: Path) -> tuple[Path, tuple[Path, Path]] | None:
    """The weights and the vocabularies of source and target of a folder in Marian's format; ``None``: it is none.

    Raises:
        InputError: there are several models or vocabularies, or no vocabulary.
    """
    if (folder / "config.json").is_file() or not folder.is_dir():
        return None
    weights = sorted(p for p in folder.iterdir() if p.name.startswith("model") and p.suffix in (".bin", ".npz"))
    vocabularies = sorted(p for p in folder.iterdir() if p.suffix == ".spm")
    if not weights or not (vocabularies or any(p.suffix in (".yml", ".vocab") for p in folder.iterdir())):
        return None
    if len(weights) > 1 or not 1 <= len(vocabularies) <= 2:
        found = ", ".join(path.name for path in [*weights, *vocabularies])
        raise InputError(
            f"a model of Marian has one model*.bin or .npz and one vocabulary *.spm or two, here are {found}",
            file=folder, remedy="Keep the files of one model in the folder (unpack those that end in .gz)",
        )  # fmt: skip
    return weights[0], _sides(vocabularies)


def _sides(vocabularies: list[Path]) -> tuple[Path, Path]:
    """Source and target: ``srcvocab.*`` goes first, else a vocabulary is shared."""
    if len(vocabularies) == 1:
        return vocabularies[0], vocabularies[0]
    named = {path.name.split(".")[0]: path for path in vocabularies}
    if set(named) != {"srcvocab", "trgvocab"}:
        raise InputError(
            f"which of {' and '.join(path.name for path in vocabularies)} is the source's?",
            file=vocabularies[0].parent, remedy="Name them srcvocab.*.spm and trgvocab.*.spm",
        )  # fmt: skip
    return named["srcvocab"], named["trgvocab"]


def read_arrays(path: Path) -> Arrays:
    """The arrays of a ``.bin`` or ``.npz`` file; integer weights as float32, linear weights ``(in, out)``.

    Raises:
        FormatError: cut short, damaged, or of a type that only one kind of processor can read.
    """
    if path.suffix == ".npz":
        try:
            with np.load(path, allow_pickle=False) as found:
                return {name: found[name] for name in found.files}
        except (OSError, ValueError, EOFError, KeyError, struct.error) as error:
            raise FormatError(f"is no .npz file of numbers: {error}", file=path, remedy="Fetch it again") from None
        except Exception as error:  # zipfile.BadZipFile
            raise FormatError(f"is no .npz file: {error}", file=path, remedy="Fetch it again") from None
    try:
        return _read_bin(path.read_bytes())
    except (struct.error, ValueError, UnicodeDecodeError, OverflowError, MemoryError) as error:
        raise FormatError(f"is cut short or no model of Marian: {error}", file=path, remedy="Fetch it again") from None


def _read_bin(data: bytes) -> Arrays:
    """Version, number of arrays, a header for each, names, shapes, and the contents at a boundary of 256 bytes."""
    version, count = struct.unpack_from("<QQ", data, 0)
    if version != 1 or count > 100_000:
        raise ValueError(f"version {version}, {count} arrays")
    place = 16 + 32 * count
    headers = [struct.unpack_from("<QQQQ", data, 16 + 32 * k) for k in range(count)]
    names, shapes = [], []
    for length, *_ in headers:
        names.append(_part(data, place, length).rstrip(b"\0").decode())
        place += length
    for _, _, axes, _ in headers:
        shapes.append(struct.unpack_from(f"<{axes}i", data, place))
        place += 4 * axes
    place += 8 + struct.unpack_from("<Q", data, place)[0]
    out: Arrays = {}
    for name, shape, (_, kind, _, length) in zip(names, shapes, headers, strict=True):
        out[name] = _array(name, kind, shape, _part(data, place, length))
        place += length
    return out


def _part(data: bytes, start: int, length: int) -> bytes:
    if start + length > len(data):
        raise ValueError(f"it ends before byte {start + length:,}")
    return data[start : start + length]


def _array(name: str, kind: int, shape: tuple[int, ...], content: bytes) -> NDArray[Any]:
    size = int(np.prod(shape, dtype=np.int64))
    if kind == _INT8:
        return np.frombuffer(content, np.int8, size).reshape(shape)
    if kind == _FLOAT32:
        return np.frombuffer(content, "<f4", size).reshape(shape)
    if kind in (_INTGEMM8, _INTGEMM16):
        numbers = np.frombuffer(content, np.int8 if kind == _INTGEMM8 else "<i2", size)
        (factor,) = struct.unpack_from("<f", content, numbers.nbytes)
        if not factor > 0:
            raise ValueError(f"{name} has the factor {factor}")
        values = numbers.astype(np.float32) / np.float32(factor)
        return values.reshape(shape) if "Wemb" in name else values.reshape(shape[::-1]).T
    raise ValueError(f"{name} is of type {kind:#06x}, which only one kind of processor reads: take the float32 or "
                     "intgemm8 file")  # fmt: skip


def read_config(arrays: Arrays, path: Path) -> dict[str, Any]:
    """The configuration within the weights.

    Raises:
        FormatError: there is none.
        ModelError: it names another architecture.
    """
    import yaml  # type: ignore[import-untyped]

    try:
        found = yaml.safe_load(arrays.pop(CONFIG).astype(np.uint8).tobytes().rstrip(b"\0").decode())
        if not isinstance(found, dict):
            raise ValueError
    except (KeyError, ValueError, UnicodeDecodeError, yaml.YAMLError):
        raise FormatError(
            f"has no configuration {CONFIG}", file=path, remedy="Name a model that Marian saved"
        ) from None
    for key, known in _REQUIRED.items():
        if found.get(key, known[0]) not in known:
            raise ModelError(
                f"{path.name} has {key}: {found[key]}, which is not read", remedy=f"Choose a model with {known[0]}"
            )
    if found.get("transformer-preprocess") or "n" not in str(found.get("transformer-postprocess", "dan")):
        raise ModelError(f"{path.name} is a pre-norm transformer, which is not read", remedy="Choose a post-norm one")
    if found.get("transformer-decoder-autoreg") == "rnn" and found.get("dec-cell") != "ssru":
        raise ModelError(
            f"{path.name} has a decoder of the kind {found.get('dec-cell')}", remedy="Choose one with ssru or attention"
        )
    return found


def build(folder: Path, dtype: Any) -> tuple[Any, Any]:
    """The model (``MarianMTModel``) and the tokenizer (``MarianTokenizer``) of a folder in Marian's format.

    Raises:
        FormatError, ModelError: as :func:`read_arrays` and :func:`read_config`; weights missing or left over, or a
            vocabulary of another size than the embeddings.
    """
    from transformers import MarianConfig, MarianMTModel

    from align_eval.models.ssru import SSRU

    found = native_files(folder)
    assert found is not None
    path, vocabularies = found
    arrays = read_arrays(path)
    options = read_config(arrays, path)
    ssru = options.get("transformer-decoder-autoreg") == "rnn"
    tokenizer, sizes = _tokenizer(vocabularies)
    embeddings = [arrays.get("Wemb", arrays.get(f"{side}_Wemb")) for side in ("encoder", "decoder")]
    for table, size, vocabulary in zip(embeddings, sizes, vocabularies, strict=True):
        if table is None or len(table) != size:
            raise ModelError(
                f"{vocabulary.name} has {size} pieces, {path.name} embeddings for {0 if table is None else len(table)}",
                remedy="Copy the vocabulary of this very model",
            )
    assert embeddings[0] is not None
    shared = "Wemb" in arrays
    if not shared and sizes[0] != sizes[1]:
        raise ModelError(f"{path.name} has vocabularies of {sizes[0]} and {sizes[1]} pieces", remedy="Choose another")
    size, width = embeddings[0].shape
    activation = {"relu": "relu", "swish": "silu", "gelu": "gelu"}[options.get("transformer-ffn-activation", "relu")]
    depths = int(options.get("enc-depth", 6)), int(options.get("dec-depth", 6))
    heads, inner = int(options.get("transformer-heads", 8)), int(options.get("transformer-dim-ffn", 2048))
    config = MarianConfig(
        vocab_size=size + 1, d_model=width, encoder_layers=depths[0], decoder_layers=depths[1],
        encoder_attention_heads=heads, decoder_attention_heads=heads, encoder_ffn_dim=inner, decoder_ffn_dim=inner,
        activation_function=activation, scale_embedding=True, max_position_embeddings=WINDOW, eos_token_id=0,
        pad_token_id=size, decoder_start_token_id=size, forced_eos_token_id=None, bos_token_id=None,
        share_encoder_decoder_embeddings=shared, decoder_vocab_size=size + 1, tie_word_embeddings=shared,
        num_hidden_layers=depths[0], dropout=0.0, attn_implementation="sdpa",
    )  # fmt: skip
    model = MarianMTModel(config).eval()
    if ssru:
        for k, layer in enumerate(model.model.decoder.layers):
            layer.self_attn = SSRU(width, k)
    _fill(model, _named(arrays, depths, ssru, shared), path)
    for module in model.modules():
        if type(module).__name__ == "LayerNorm":
            module.eps = 1e-9  # type: ignore[assignment]
    generation = model.generation_config
    generation.bad_words_ids = [[size], [tokenizer.unk_token_id]]  # Marian gives out no unknown word
    generation.length_penalty = 1.0
    return model.to(dtype), tokenizer


def _named(arrays: Arrays, depths: tuple[int, int], ssru: bool, shared: bool) -> dict[str, NDArray[Any]]:
    """The weights by the names that ``MarianMTModel`` gives them; those used are taken out of ``arrays``."""
    out: dict[str, NDArray[Any]] = {}

    def take(name: str) -> NDArray[Any]:
        if name not in arrays:
            raise ModelError(f"the model has no weights {name}", remedy="Choose another model")
        return arrays.pop(name)

    def linear(place: str, weight: str, bias: str | None) -> None:
        out[f"{place}.weight"] = take(weight).T
        if bias is not None:
            out[f"{place}.bias"] = take(bias).reshape(-1)

    def norm(place: str, name: str) -> None:
        out[f"{place}.weight"] = take(f"{name}_ln_scale").reshape(-1)
        out[f"{place}.bias"] = take(f"{name}_ln_bias").reshape(-1)

    def attention(place: str, name: str, after: str) -> None:
        for letter in "qkv":
            linear(f"{place}.{letter}_proj", f"{name}_W{letter}", f"{name}_b{letter}")
        linear(f"{place}.out_proj", f"{name}_Wo", f"{name}_bo")
        norm(after, f"{name}_Wo")

    for side, depth in zip(("encoder", "decoder"), depths, strict=True):
        for k in range(depth):
            place, name = f"model.{side}.layers.{k}", f"{side}_l{k + 1}"
            if side == "decoder" and ssru:
                linear(f"{place}.self_attn.value", f"{name}_rnn_W", None)
                linear(f"{place}.self_attn.forget", f"{name}_rnn_Wf", f"{name}_rnn_bf")
                norm(f"{place}.self_attn_layer_norm", f"{name}_rnn_ffn")
            else:
                attention(f"{place}.self_attn", f"{name}_self", f"{place}.self_attn_layer_norm")
            if side == "decoder":
                attention(f"{place}.encoder_attn", f"{name}_context", f"{place}.encoder_attn_layer_norm")
            linear(f"{place}.fc1", f"{name}_ffn_W1", f"{name}_ffn_b1")
            linear(f"{place}.fc2", f"{name}_ffn_W2", f"{name}_ffn_b2")
            norm(f"{place}.final_layer_norm", f"{name}_ffn_ffn")
    bias = arrays.pop("decoder_ff_logit_out_b", None)
    tables = {"encoder": take("Wemb")} if shared else {s: take(f"{s}_Wemb") for s in ("encoder", "decoder")}
    tables.setdefault("decoder", tables["encoder"])
    output = arrays.pop("decoder_ff_logit_out_W", None)
    tables["output"] = tables["decoder"] if output is None else output.T
    padded = {key: np.concatenate([table, np.zeros((1, table.shape[1]), np.float32)]) for key, table in tables.items()}
    if shared:
        out["model.shared.weight"] = padded["encoder"]
    for side in ("encoder", "decoder"):
        out[f"model.{side}.embed_tokens.weight"] = padded[side]
        out[f"model.{side}.embed_positions.weight"] = positions(WINDOW, padded[side].shape[1])
    out["lm_head.weight"] = padded["output"]
    size = len(tables["output"])
    out["final_logits_bias"] = np.zeros((1, size + 1), np.float32)
    if bias is not None:
        out["final_logits_bias"][0, :size] = bias.reshape(-1)
    return out


def positions(length: int, width: int) -> NDArray[np.float32]:
    """Marian's sinusoidal positions ``(length, width)``: sines, then cosines; the lowest frequency is 1e-4 exactly.

    ``transformers`` divides by ``width / 2`` where Marian divides by one less, so its frequencies differ a little.
    """
    half = width // 2
    angles = np.arange(length)[:, None] * np.exp(-np.arange(half) * np.log(10_000.0) / (half - 1))
    return np.concatenate([np.sin(angles), np.cos(angles)], axis=1).astype(np.float32)


def _fill(model: nn.Module, weights: Mapping[str, NDArray[Any]], path: Path) -> None:
    import torch

    own = model.state_dict()
    wrong = [key for key, value in weights.items() if key in own and tuple(own[key].shape) != value.shape]
    lacking = sorted(set(own) - set(weights))
    if wrong or lacking:
        which = ", ".join([*wrong, *lacking][:3])
        raise ModelError(f"{path.name} has no weights that fit {which}", remedy="Fetch the model again")
    tensors = {key: torch.from_numpy(np.array(value, np.float32)) for key, value in weights.items() if key in own}
    model.load_state_dict(tensors)


def _tokenizer(vocabularies: tuple[Path, Path]) -> tuple[Any, list[int]]:
    """The tokenizer of two SentencePiece files, and how many pieces each has; ids are those of the files."""
    try:
        import sentencepiece
    except ImportError as error:
        raise ModelError(
            "vocabularies of Marian are read by the package sentencepiece, which is not installed",
            remedy="Install it: pip install sentencepiece",
        ) from error
    from transformers import MarianTokenizer

    pieces = []
    for path in vocabularies:
        processor = sentencepiece.SentencePieceProcessor()
        try:
            processor.Load(str(path))
        except (OSError, RuntimeError) as error:
            raise FormatError(f"is no SentencePiece vocabulary: {error}", file=path, remedy="Copy it again") from None
        pieces.append({processor.IdToPiece(k): k for k in range(processor.GetPieceSize())})
    for path, known in zip(vocabularies, pieces, strict=True):
        if known.get("</s>") != 0 or "<unk>" not in known:
            raise FormatError("has no </s> as its first piece, or no <unk>", file=path, remedy="Copy it again")
        known["<pad>"] = len(known)
    separate = vocabularies[0] != vocabularies[1]
    with tempfile.TemporaryDirectory(prefix="align-eval-") as scratch:
        files = [Path(scratch) / name for name in ("source.json", "target.json")]
        for file, known in zip(files, pieces, strict=True):
            file.write_text(json.dumps(known), encoding="utf-8")
        other: dict[str, Any] = {"target_vocab_file": str(files[1]), "separate_vocabs": True} if separate else {}
        tokenizer = MarianTokenizer(
            str(vocabularies[0]), str(vocabularies[1]), str(files[0]), model_max_length=WINDOW, **other
        )
    return tokenizer, [len(known) - 1 for known in pieces]
