"""A Llama model with SmolLM's vocabulary in a GGUF file, turned into what ``transformers`` loads.

Three things differ between the two sides:

* llama.cpp rotates neighbouring numbers of a query or key (0 with 1, 2 with 3, ...), ``transformers`` the two halves
  (0 with ``d/2``, ...): the rows of the query and key weights are put back in order, head by head (:func:`halves`).
* A GGUF file names its pre-tokeniser and does not spell it out. ``smollm``: every digit is split off, then GPT-2's
  expression splits the text (``LLAMA_VOCAB_PRE_TYPE_SMOLLM`` in llama.cpp). GPT-2's alone, which the GGUF reader of
  ``transformers`` takes, gives the same for 0 to 9 and another split of a space before other digits (" ²", " ٢").
* The output layer is left out where it is the embedding.

The vocabulary lacks the bytes of six control characters and of the unassigned U+40000 to U+BFFFF: they get no
sub-words. Nothing is put before a text: the file says so (``add_bos_token``), and ``<|im_start|>``, its
beginning-of-sequence token, opens a turn of the chat format.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from align_eval.errors import FormatError
from align_eval.models.conversion import special_tokens, write_model
from align_eval.models.conversion.gguf_file import CONTROL, Float32Array, Gguf, read

if TYPE_CHECKING:
    from tokenizers import Tokenizer

_NAMED = {"bos_token": "bos", "eos_token": "eos", "pad_token": "padding", "unk_token": "unknown"}


def convert(data: bytes, folder: Path) -> None:
    """Write what ``transformers`` loads of a GGUF file: configurations, weights and the tokenizer.

    Raises:
        FormatError: ``data`` is not a GGUF file of this kind of model.
        ModelError: the package ``gguf`` is not installed.
    """
    file = folder / "source.gguf"  # the package maps a file
    file.write_bytes(data)
    model = read(file)
    first = config(model)
    generation = {key: first[key] for key in ("bos_token_id", "eos_token_id", "pad_token_id")}
    write_model(folder, weights(model), build_tokenizer(model), first, tokenizer_config(model), generation)
    del model  # which holds the file
    file.unlink()


def config(model: Gguf) -> dict[str, Any]:
    """The content of ``config.json`` for ``transformers.LlamaForCausalLM``.

    Raises:
        FormatError: not a Llama model, or one with rotations of another size than its heads or an output layer.
    """
    if (kind := model.value("general.architecture", str)) != "llama":
        raise FormatError(f"the GGUF file holds a {kind!r} model, not a llama one")
    width, heads = model.size("embedding_length"), model.size("attention.head_count")
    if "output.weight" in model.tensors or model.size("rope.dimension_count") * heads != width:
        raise FormatError("the GGUF file holds a llama model with an output layer or partial rotations")
    ids = {name: model.value(f"tokenizer.ggml.{key}_token_id", int) for name, key in _NAMED.items() if key != "unknown"}
    return {
        "architectures": ["LlamaForCausalLM"], "model_type": "llama", "attention_bias": False,
        "attention_dropout": 0.0, **{f"{name}_id": number for name, number in ids.items()},
        "head_dim": width // heads, "hidden_act": "silu", "hidden_size": width, "initializer_range": 0.02,
        "intermediate_size": model.size("feed_forward_length"),
        "max_position_embeddings": model.size("context_length"), "mlp_bias": False, "num_attention_heads": heads,
        "num_hidden_layers": model.size("block_count"),
        "num_key_value_heads": model.size("attention.head_count_kv"),
        "rms_norm_eps": model.decimal("attention.layer_norm_rms_epsilon"),
        "rope_theta": model.decimal("rope.freq_base"), "tie_word_embeddings": True,
        "vocab_size": model.size("vocab_size"), "torch_dtype": "float32", "use_cache": True,
    }  # fmt: skip


def weights(model: Gguf) -> dict[str, Float32Array]:
    """The weights under the names of ``transformers.LlamaForCausalLM``, float32; linear weights are ``(out, in)``.

    Raises:
        FormatError: as :func:`config`; a tensor is missing, left over, or of another shape than the metadata says.
    """
    shape = config(model)
    width, inner, size = shape["hidden_size"], shape["intermediate_size"], shape["head_dim"]
    queries, keys = shape["num_attention_heads"], shape["num_key_value_heads"]
    out = {
        "model.embed_tokens.weight": model.tensor("token_embd.weight", shape["vocab_size"], width),
        "model.norm.weight": model.tensor("output_norm.weight", width),
    }
    parts = {
        "attn_norm": ("input_layernorm", (width,)),
        "attn_q": ("self_attn.q_proj", (queries * size, width)),
        "attn_k": ("self_attn.k_proj", (keys * size, width)),
        "attn_v": ("self_attn.v_proj", (keys * size, width)),
        "attn_output": ("self_attn.o_proj", (width, queries * size)),
        "ffn_norm": ("post_attention_layernorm", (width,)),
        "ffn_gate": ("mlp.gate_proj", (inner, width)),
        "ffn_up": ("mlp.up_proj", (inner, width)),
        "ffn_down": ("mlp.down_proj", (width, inner)),
    }
    rotated = {"attn_q": queries, "attn_k": keys}
    for k in range(shape["num_hidden_layers"]):
        for short, (name, form) in parts.items():
            tensor = model.tensor(f"blk.{k}.{short}.weight", *form)
            out[f"model.layers.{k}.{name}.weight"] = halves(tensor, rotated[short]) if short in rotated else tensor
    if len(out) != len(model.tensors):
        raise FormatError(f"the GGUF file has {len(model.tensors)} tensors, a model of its shape {len(out)}")
    return out


def halves(weight: Float32Array, heads: int) -> Float32Array:
    """Reorder the rows of a query or key weight ``(heads * d, in)`` from rotated neighbours to rotated halves.

    Row ``2 i + s`` of a head becomes row ``s d/2 + i``.
    """
    rows, columns = weight.shape
    return np.ascontiguousarray(
        weight.reshape(heads, rows // heads // 2, 2, columns).transpose(0, 2, 1, 3).reshape(rows, columns)
    )


def build_tokenizer(model: Gguf) -> Tokenizer:
    """The byte-level BPE ``tokenizers.Tokenizer`` of the file.

    Raises:
        FormatError: another kind of vocabulary than GPT-2's with the pre-tokeniser ``smollm``.
    """
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

    kinds = (model.value("tokenizer.ggml.model", str), model.value("tokenizer.ggml.pre", str))
    adds = [key for key in ("add_bos_token", "add_space_prefix") if model.metadata.get(f"tokenizer.ggml.{key}", False)]
    if kinds != ("gpt2", "smollm") or adds:
        raise FormatError(f"the vocabulary is of the kind {kinds} {' '.join(adds)}".rstrip() + ", not gpt2 with smollm")
    tokens, merges = model.value("tokenizer.ggml.tokens", list), model.value("tokenizer.ggml.merges", list)
    pairs = [(left, right) for left, _, right in (merge.partition(" ") for merge in merges)]
    tokenizer = Tokenizer(models.BPE({token: k for k, token in enumerate(tokens)}, pairs))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(
        [AddedToken(tokens[k], special=True, normalized=False) for k in model.tokens_of(CONTROL)]
    )
    return tokenizer


def tokenizer_config(model: Gguf) -> dict[str, Any]:
    """The content of ``tokenizer_config.json``, with the chat template."""
    tokens = model.value("tokenizer.ggml.tokens", list)
    named = {name: tokens[model.value(f"tokenizer.ggml.{key}_token_id", int)] for name, key in _NAMED.items()}
    return {
        "added_tokens_decoder": special_tokens({k: tokens[k] for k in model.tokens_of(CONTROL)}),
        "additional_special_tokens": [named["bos_token"], named["eos_token"]],
        # Loads tokenizer.json as it is. GPT2Tokenizer would build one of its own, without the split of digits.
        "tokenizer_class": "PreTrainedTokenizerFast",
        "model_max_length": model.size("context_length"),
        "model_input_names": ["input_ids", "attention_mask"],
        "clean_up_tokenization_spaces": False,
        "chat_template": model.value("tokenizer.chat_template", str),
        **named,
    }
