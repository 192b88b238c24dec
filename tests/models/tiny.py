"""Tiny models with random weights, written as folders that ``transformers`` loads."""

from __future__ import annotations

from pathlib import Path
from typing import Any

WORDS = "the a house is small das haus ist klein nicht big words alignment of and".split()  # noqa: SIM905
CHARACTERS = sorted(set("".join(WORDS)) | set("xyzäöü.,?!0123456789"))
SHAPE = {"hidden_size": 32, "num_hidden_layers": 4, "num_attention_heads": 4, "intermediate_size": 48}


def wordpiece() -> tuple[Any, dict[str, str]]:
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS, *CHARACTERS, *("##" + c for c in CHARACTERS)]
    vocabulary = list(dict.fromkeys(vocabulary))
    backend = Tokenizer(models.WordPiece({w: k for k, w in enumerate(vocabulary)}, unk_token="[UNK]"))
    backend.normalizer = normalizers.BertNormalizer(lowercase=True)
    backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    backend.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair=None, special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    names = {"pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]"}
    return backend, {**names, "mask_token": "[MASK]"}


def unigram() -> tuple[Any, dict[str, str]]:
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

    pieces = ["<s>", "<pad>", "</s>", "<unk>", "\u2581", *("\u2581" + w for w in WORDS), *CHARACTERS]
    scores = [0.0] * 4 + [-float(k) for k in range(1, len(pieces) - 3)]
    backend = Tokenizer(models.Unigram([*zip(pieces, scores, strict=True)], 3))
    backend.normalizer = normalizers.NFKC()
    backend.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always")
    backend.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", pair=None, special_tokens=[("<s>", 0), ("</s>", 2)]
    )
    return backend, {"pad_token": "<pad>", "unk_token": "<unk>", "cls_token": "<s>", "sep_token": "</s>"}


def byte_level() -> tuple[Any, dict[str, str]]:
    from tokenizers import Tokenizer, models, pre_tokenizers, processors

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = ["<s>", "<pad>", "</s>", "<unk>", *alphabet, "Ġa", "th", "the"]
    merges = [("Ġ", "a"), ("t", "h"), ("th", "e")]
    backend = Tokenizer(models.BPE({w: k for k, w in enumerate(vocabulary)}, merges))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", pair=None, special_tokens=[("<s>", 0), ("</s>", 2)]
    )
    return backend, {"pad_token": "<pad>", "unk_token": "<unk>", "cls_token": "<s>", "sep_token": "</s>"}


def config_of(kind: str, size: int, pad: int) -> Any:
    import transformers as t

    common = {"vocab_size": size, "pad_token_id": pad}
    if kind == "bert":
        return t.BertConfig(**SHAPE, **common, max_position_embeddings=80)
    if kind == "electra":
        return t.ElectraConfig(**SHAPE, **common, embedding_size=16, max_position_embeddings=80)
    if kind == "distilbert":
        return t.DistilBertConfig(
            dim=32, n_layers=4, n_heads=4, hidden_dim=48, max_position_embeddings=80, **common
        )  # fmt: skip
    if kind == "albert":  # one block used four times: no list of four blocks
        return t.AlbertConfig(**SHAPE, **common, embedding_size=16, max_position_embeddings=80)
    if kind == "roberta":
        return t.RobertaConfig(**SHAPE, **common, max_position_embeddings=82, bos_token_id=0, eos_token_id=2)
    if kind == "xlm-roberta":
        return t.XLMRobertaConfig(**SHAPE, **common, max_position_embeddings=82, bos_token_id=0, eos_token_id=2)
    if kind == "deberta-v2":
        return t.DebertaV2Config(
            **SHAPE, **common, max_position_embeddings=80, relative_attention=True, pos_att_type=["p2c", "c2p"],
            conv_kernel_size=3,
        )  # fmt: skip
    if kind == "modernbert":  # normalises before each block, and once more at the end
        return t.ModernBertConfig(
            **SHAPE,
            **common,
            max_position_embeddings=80,
            cls_token_id=0,
            sep_token_id=2,
            bos_token_id=0,
            eos_token_id=2,
        )
    raise ValueError(kind)


TOKENIZERS = {"roberta": byte_level, "modernbert": byte_level, "xlm-roberta": unigram}
KINDS = ("bert", "electra", "distilbert", "albert", "roberta", "xlm-roberta", "deberta-v2", "modernbert")


def write_tokenizer(folder: Path, kind: str, length: int = 10**30) -> Any:
    from transformers import PreTrainedTokenizerFast

    backend, names = TOKENIZERS.get(kind, wordpiece)()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend, model_max_length=length, **names)
    tokenizer.save_pretrained(folder)
    return tokenizer


def write_model(folder: Path, kind: str, **shape: int) -> Path:
    """A model of ``kind`` (a ``model_type``) with four layers, 32 wide, 40 sub-words long, but for ``shape``."""
    import torch
    from transformers import AutoModel

    tokenizer = write_tokenizer(folder, kind)
    torch.manual_seed(7)
    config = config_of(kind, len(tokenizer), tokenizer.pad_token_id)
    for name, size in shape.items():
        setattr(config, name, size)
    config.initializer_range = 0.2  # large enough that every layer changes something
    model = AutoModel.from_config(config)
    model.save_pretrained(folder)
    return folder


def bert(**options: Any) -> Any:
    """A model of three blocks with heads of 32 and random weights, its biases not zero."""
    import torch
    from transformers import BertConfig, BertModel

    torch.manual_seed(4)
    small = {
        "vocab_size": 50, "hidden_size": 64, "num_hidden_layers": 3, "num_attention_heads": 2, "intermediate_size": 80,
        "max_position_embeddings": 260,
    }  # fmt: skip
    model = BertModel(BertConfig(**(small | options)), add_pooling_layer=False).eval()
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(torch.randn_like(weight) * 0.1)
    return model
