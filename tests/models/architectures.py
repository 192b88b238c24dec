"""A tiny model with random weights of every architecture that people align with, for parity and compatibility.md.

The sizes of a configuration are set by name, whichever of them its class has (:data:`SIZES`); few need more.
"""

from __future__ import annotations

import functools
from typing import Any

from tests.models import families

ENCODERS = (
    "albert", "bert", "camembert", "convbert", "data2vec-text", "deberta", "deberta-v2", "distilbert", "electra",
    "ernie", "eurobert", "flaubert", "gte", "ibert", "jina_embeddings_v3", "luke", "megatron-bert", "mobilebert",
    "modernbert", "mpnet", "nomic_bert", "rembert", "roberta", "roberta-prelayernorm", "roformer", "xlm",
    "xlm-roberta", "xlm-roberta-xl", "longformer", "fnet", "squeezebert",
)  # fmt: skip
SEQ2SEQ = (
    "bart", "blenderbot", "encoder-decoder", "fsmt", "led", "longt5", "m2m_100", "marian", "mbart", "mt5", "mvp",
    "nllb-moe", "pegasus", "prophetnet", "seamless_m4t", "switch_transformers", "t5", "t5gemma", "umt5",
)  # fmt: skip
DECODERS = (
    "apertus", "bloom", "cohere", "cohere2", "ernie4_5", "exaone4", "falcon", "gemma", "gemma2", "gemma3_text", "glm4",
    "gpt2", "gpt_bigcode", "gpt_neo", "gpt_neox", "gpt_oss", "gptj", "granite", "helium", "llama", "mamba", "mistral",
    "mixtral", "mpt", "olmo", "olmo2", "olmo3", "openai-gpt", "opt", "phi", "phi3", "qwen2", "qwen3", "qwen3_moe",
    "qwen3_next", "seed_oss", "smollm3", "stablelm", "starcoder2", "xglm",
)  # fmt: skip

WIDE = ("hidden_size", "d_model", "n_embd", "dim", "emb_dim", "embedding_size")
DEEP = (
    "num_hidden_layers", "num_layers", "n_layers", "n_layer", "encoder_layers", "decoder_layers", "num_encoder_layers",
    "num_decoder_layers",
)  # fmt: skip
HEADS = (
    "num_attention_heads", "n_heads", "n_head", "num_heads", "encoder_attention_heads", "decoder_attention_heads",
    "num_encoder_attention_heads", "num_decoder_attention_heads", "num_local_experts", "num_experts",
)  # fmt: skip
INNER = (
    "intermediate_size", "ffn_dim", "d_ff", "hidden_dim", "encoder_ffn_dim", "decoder_ffn_dim", "n_inner",
    "ffn_hidden_size",
)  # fmt: skip
PLACES = ("max_position_embeddings", "n_positions", "n_ctx")
SIZES = {
    **dict.fromkeys(WIDE, 32), **dict.fromkeys(DEEP, 2), **dict.fromkeys(HEADS, 4), **dict.fromkeys(INNER, 48),
    **dict.fromkeys(PLACES, 160), "num_key_value_heads": 2, "head_dim": 8, "d_kv": 8, "dropout_rate": 0.0,
    "moe_intermediate_size": 16, "num_experts_per_tok": 2, "attention_window": 8, "entity_vocab_size": 20,
    "rotary_dim": 8, "bottleneck_size": 32, "intra_bottleneck_size": 32,
}  # fmt: skip
MORE: dict[str, dict[str, Any]] = {
    "gpt_neo": {"attention_types": [[["global", "local"], 1]]},
    "fsmt": {"langs": ["de", "en"]},
    "mobilebert": {"true_hidden_size": 32, "use_bottleneck": False},
    "luke": {"entity_emb_size": 32},
}


def family_of(kind: str) -> str:
    return "encoder" if kind in ENCODERS else "seq2seq" if kind in SEQ2SEQ else "decoder"


def tokenizer_of(kind: str) -> Any:
    """The tokenizer of the shared families for theirs, else one whose sub-words can be traced to words."""
    if kind in (*families.SEQ2SEQ, *families.ENCODERS):
        tokenizer = families.tokenizer_of(kind)
    elif kind in ENCODERS:
        tokenizer = families.tokenizer_of("xlm-roberta")
    else:
        tokenizer = families.tokenizer_of("t5" if kind in SEQ2SEQ else "llama")
    if kind != "marian" and tokenizer.mask_token is None:
        tokenizer.mask_token = tokenizer.unk_token
    return tokenizer


def config_of(kind: str, size: int, pad: int) -> Any:
    from transformers import BertConfig, EncoderDecoderConfig, T5GemmaConfig, T5GemmaModuleConfig
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING

    special = {"pad_token_id": pad, "bos_token_id": 0, "eos_token_id": 2, "decoder_start_token_id": 2}
    if kind in ("encoder-decoder", "t5gemma"):
        part = BertConfig if kind == "encoder-decoder" else T5GemmaModuleConfig
        names = part().to_dict()
        sizes = {key: value for key, value in SIZES.items() if key in names} | {"vocab_size": size, "pad_token_id": pad}
        both = (part(**sizes), part(**sizes, is_decoder=True, add_cross_attention=True))
        if kind == "t5gemma":
            return T5GemmaConfig(encoder=both[0], decoder=both[1], vocab_size=size, **special)
        config = EncoderDecoderConfig.from_encoder_decoder_configs(*both)
        config.decoder_start_token_id, config.pad_token_id = 2, pad
        return config
    known = CONFIG_MAPPING[kind]
    base = known()
    named = base.to_dict().keys() | known.attribute_map.keys()
    every = SIZES | dict.fromkeys(("vocab_size", "src_vocab_size", "tgt_vocab_size"), size) | special
    given = {key: value for key, value in every.items() if key in named}
    for key, same in known.attribute_map.items():
        if key in given and same in given:
            del given[key]
    config = known(**given, **MORE.get(kind, {}))
    if base.is_encoder_decoder:
        config.decoder_start_token_id = special["decoder_start_token_id"]
    return config


@functools.cache
def parts(kind: str, head: bool = False) -> tuple[Any, Any]:
    """Model (of an encoder with its head, if asked for) and tokenizer of ``transformers``, in float32 on the CPU."""
    import torch
    import transformers as t

    tokenizer = tokenizer_of(kind)
    size = max(len(tokenizer), 1 + max(tokenizer.get_vocab().values())) + 8
    if kind == "m2m_100":
        size = max(tokenizer.lang_token_to_id.values()) + 1
    auto = {"encoder": t.AutoModel, "seq2seq": t.AutoModelForSeq2SeqLM, "decoder": t.AutoModelForCausalLM}
    torch.manual_seed(3)
    made = t.AutoModelForMaskedLM if head else auto[family_of(kind)]
    model = made.from_config(config_of(kind, size, tokenizer.pad_token_id)).eval()
    generator = torch.Generator().manual_seed(5)
    with torch.no_grad():  # away from a uniform distribution and from neutral norms and biases, so that a slip shows
        for name, weight in model.named_parameters():
            if weight.ndim == 2 and "norm" not in name.lower() and "embed_positions" not in name:
                weight.copy_(torch.randn(weight.shape, generator=generator) * 0.25)
            elif weight.ndim == 1 and weight.is_floating_point():
                weight.add_(torch.randn(weight.shape, generator=generator) * 0.1)
    return model, tokenizer


@functools.cache
def build(kind: str) -> Any:
    """The model of the package."""
    from align_eval.models.decoder import Decoder
    from align_eval.models.encoder import Encoder
    from align_eval.models.seq2seq import Seq2Seq

    model, tokenizer = parts(kind)
    made = {"encoder": Encoder, "seq2seq": Seq2Seq, "decoder": Decoder}[family_of(kind)]
    return made(kind, model, tokenizer, **families.languages(kind))
