"""A Gemma 3 text model in a GGUF file, turned into what ``transformers`` loads.

Three things differ between the two sides:

* llama.cpp keeps the factor of a norm, ``transformers`` what is added to 1.
* The vocabulary is SentencePiece's with a score for each piece; ``tokenizers`` wants the merges that lead to the
  pieces: every split of a piece into two others, the best piece first (:func:`merges`).
* Which layers see the whole text and the base of the rotations in the others are not in the file: every sixth layer,
  and 10,000, as in all models of this architecture.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from align_eval.errors import FormatError
from align_eval.models.conversion import special_tokens, write_model
from align_eval.models.conversion.gguf_file import BYTE, CONTROL, USER_DEFINED, Float32Array, Gguf, read

if TYPE_CHECKING:
    from tokenizers import Tokenizer

# One layer in so many sees the whole text.
_PERIOD = 6
_LOCAL_BASE = 10_000.0
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
    """The content of ``config.json`` for ``transformers.Gemma3ForCausalLM``.

    Raises:
        FormatError: not a Gemma 3 model, or one with an output layer.
    """
    if (kind := model.value("general.architecture", str)) != "gemma3":
        raise FormatError(f"the GGUF file holds a {kind!r} model, not a gemma3 one")
    if "output.weight" in model.tensors:
        raise FormatError("the GGUF file holds a gemma3 model with an output layer")
    ids = {name: model.value(f"tokenizer.ggml.{key}_token_id", int) for name, key in _NAMED.items() if key != "unknown"}
    layers = model.size("block_count")
    kinds = ["sliding_attention" if (k + 1) % _PERIOD else "full_attention" for k in range(layers)]
    size = model.size("attention.key_length")
    return {
        "architectures": ["Gemma3ForCausalLM"], "model_type": "gemma3_text", "attention_bias": False,
        "attention_dropout": 0.0, "attn_logit_softcapping": None, "final_logit_softcapping": None,
        **{f"{name}_id": number for name, number in ids.items()},
        "head_dim": size, "hidden_activation": "gelu_pytorch_tanh", "hidden_size": model.size("embedding_length"),
        "initializer_range": 0.02, "intermediate_size": model.size("feed_forward_length"), "layer_types": kinds,
        "max_position_embeddings": model.size("context_length"),
        "num_attention_heads": model.size("attention.head_count"), "num_hidden_layers": layers,
        "num_key_value_heads": model.size("attention.head_count_kv"), "query_pre_attn_scalar": size,
        "rms_norm_eps": model.decimal("attention.layer_norm_rms_epsilon"),
        "rope_parameters": {
            "full_attention": {"rope_theta": model.decimal("rope.freq_base"), "rope_type": "default"},
            "sliding_attention": {"rope_theta": _LOCAL_BASE, "rope_type": "default"},
        },
        "sliding_window": model.size("attention.sliding_window"), "tie_word_embeddings": True,
        "vocab_size": len(model.value("tokenizer.ggml.tokens", list)), "torch_dtype": "float32", "use_cache": True,
    }  # fmt: skip


def weights(model: Gguf) -> dict[str, Float32Array]:
    """The weights under the names of ``transformers.Gemma3ForCausalLM``, float32; linear weights are ``(out, in)``.

    Raises:
        FormatError: as :func:`config`; a tensor is missing, left over, or of another shape than the metadata says.
    """
    shape = config(model)
    width, inner, size = shape["hidden_size"], shape["intermediate_size"], shape["head_dim"]
    queries, keys = shape["num_attention_heads"] * size, shape["num_key_value_heads"] * size
    out = {
        "model.embed_tokens.weight": model.tensor("token_embd.weight", shape["vocab_size"], width),
        "model.norm.weight": model.tensor("output_norm.weight", width) - 1,
    }
    norms = {
        "attn_norm": ("input_layernorm", width),
        "attn_q_norm": ("self_attn.q_norm", size),
        "attn_k_norm": ("self_attn.k_norm", size),
        "post_attention_norm": ("post_attention_layernorm", width),
        "ffn_norm": ("pre_feedforward_layernorm", width),
        "post_ffw_norm": ("post_feedforward_layernorm", width),
    }
    linear = {
        "attn_q": ("self_attn.q_proj", (queries, width)),
        "attn_k": ("self_attn.k_proj", (keys, width)),
        "attn_v": ("self_attn.v_proj", (keys, width)),
        "attn_output": ("self_attn.o_proj", (width, queries)),
        "ffn_gate": ("mlp.gate_proj", (inner, width)),
        "ffn_up": ("mlp.up_proj", (inner, width)),
        "ffn_down": ("mlp.down_proj", (width, inner)),
    }
    for k in range(shape["num_hidden_layers"]):
        for short, (name, count) in norms.items():
            out[f"model.layers.{k}.{name}.weight"] = model.tensor(f"blk.{k}.{short}.weight", count) - 1
        for short, (name, form) in linear.items():
            out[f"model.layers.{k}.{name}.weight"] = model.tensor(f"blk.{k}.{short}.weight", *form)
    if len(out) != len(model.tensors):
        raise FormatError(f"the GGUF file has {len(model.tensors)} tensors, a model of its shape {len(out)}")
    return out


def merges(tokens: Sequence[str], scores: Sequence[float], skipped: set[int]) -> list[tuple[str, str]]:
    """The merges of a SentencePiece vocabulary: each split of a piece into two others, by the score of the piece.

    SentencePiece merges the neighbours whose joined piece has the highest score, wherever it is cut.

    >>> merges(["a", "b", "c", "bc", "abc"], [0, 0, 0, -1, -2], set())
    [('b', 'c'), ('a', 'bc')]
    """
    known = {token: k for k, token in enumerate(tokens) if k not in skipped}
    order = sorted(known.values(), key=lambda k: -scores[k])
    out = []
    for k in order:
        piece = tokens[k]
        cuts = ((piece[:cut], piece[cut:]) for cut in range(1, len(piece)))
        fit = [(left, right) for left, right in cuts if left in known and right in known]
        out += sorted(fit, key=lambda pair: (known[pair[0]], known[pair[1]]))
    return out


def build_tokenizer(model: Gguf) -> Tokenizer:
    """The BPE ``tokenizers.Tokenizer`` of the file: spaces are ``▁``, unknown characters bytes, ``<bos>`` comes first.

    Raises:
        FormatError: another kind of vocabulary than SentencePiece's.
    """
    from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors

    kind = model.value("tokenizer.ggml.model", str)
    if kind != "llama" or not model.value("tokenizer.ggml.add_bos_token", bool):
        raise FormatError(f"the vocabulary is of the kind {kind}, not SentencePiece's with a beginning of sequence")
    tokens, scores = model.value("tokenizer.ggml.tokens", list), model.value("tokenizer.ggml.scores", list)
    if len(tokens) != len(scores) or not np.isfinite(scores).all():
        raise FormatError(f"the vocabulary has {len(tokens)} pieces and {len(scores)} finite scores")
    special, split = model.tokens_of(CONTROL), model.tokens_of(USER_DEFINED)
    pairs = merges(tokens, scores, {*special, *split, *model.tokens_of(BYTE)})
    unknown, first = (tokens[model.value(f"tokenizer.ggml.{key}_token_id", int)] for key in ("unknown", "bos"))
    vocabulary = {token: k for k, token in enumerate(tokens)}
    tokenizer = Tokenizer(models.BPE(vocabulary, pairs, unk_token=unknown, byte_fallback=True, fuse_unk=True))
    tokenizer.normalizer = normalizers.Replace(" ", "▁")
    tokenizer.pre_tokenizer = pre_tokenizers.Split(" ", "merged_with_previous")
    tokenizer.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()])
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{first} $A", pair=f"{first} $A {first} $B", special_tokens=[(first, vocabulary[first])]
    )
    tokenizer.add_special_tokens([AddedToken(tokens[k], special=True, normalized=False) for k in special])
    tokenizer.add_tokens([AddedToken(tokens[k], special=False, normalized=False) for k in split])
    return tokenizer


def tokenizer_config(model: Gguf) -> dict[str, Any]:
    """The content of ``tokenizer_config.json``."""
    tokens = model.value("tokenizer.ggml.tokens", list)
    named = {name: tokens[model.value(f"tokenizer.ggml.{key}_token_id", int)] for name, key in _NAMED.items()}
    shown = {k: tokens[k] for k in model.tokens_of(CONTROL) if not tokens[k].startswith("<unused")}
    return {
        "added_tokens_decoder": special_tokens(shown),
        "tokenizer_class": "PreTrainedTokenizerFast",
        "model_max_length": model.size("context_length"),
        "model_input_names": ["input_ids", "attention_mask"],
        "clean_up_tokenization_spaces": False,
        **named,
    }
