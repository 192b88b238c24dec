"""Tiny models of the three families with random weights and small tokenizers, built on the spot."""

from __future__ import annotations

import functools
import io
import json
import tempfile
from pathlib import Path
from typing import Any

from align_eval.corpora import SentencePair

SOURCE = "das kleine Haus steht am alten Fluss und der Garten blüht im Sommer . ein Unentschieden !".split()  # noqa: SIM905
TARGET = "the small house stands by the old river and the garden blooms in summer . a draw !".split()  # noqa: SIM905
WORDS = sorted({*SOURCE, *TARGET})
# Few whole words, so that many words have several sub-words.
WHOLE = ["das", "Haus", "the", "house", "und", "and", "small", "."]
LETTERS = sorted(set("".join(WORDS)) | set("abcdefghijklmnopqrstuvwxyzäöüABCDEFGHIJKLMNOPQRSTUVWXYZ:>,?-0123456789"))

SEQ2SEQ = ("marian", "m2m_100", "nllb", "mbart", "mbart50", "t5", "mt5", "bart")
DECODERS = ("llama", "qwen2", "qwen3", "gemma", "gemma2", "gpt2")
ENCODERS = ("bert", "xlm-roberta")


def pairs() -> list[SentencePair]:
    """Pairs of several lengths, among them single words and a word that no tokenizer here keeps whole."""
    texts = [
        ("das kleine Haus", "the small house"),
        ("das Haus steht am alten Fluss und der Garten blüht", "the house stands by the old river"),
        ("Unentschieden", "a draw !"),
        ("ein Haus .", "a house ."),
    ]
    return [SentencePair(str(k + 1), tuple(s.split(" ")), tuple(t.split(" "))) for k, (s, t) in enumerate(texts)]


def build(kind: str, **options: Any) -> Any:
    """A model of the package (Seq2Seq, Decoder or Encoder) of architecture ``kind``; float32 on the CPU."""
    import torch

    from align_eval.models.decoder import Decoder
    from align_eval.models.encoder import Encoder
    from align_eval.models.seq2seq import Seq2Seq

    model, tokenizer = parts(kind, **{k: options.pop(k) for k in ("layers", "length") if k in options})
    if options.pop("dtype", None) == "float64":
        model = model.to(torch.float64)
    if kind in SEQ2SEQ:
        options = {**languages(kind), **options}
        return Seq2Seq(kind, model, tokenizer, **options)
    return (Decoder if kind in DECODERS else Encoder)(kind, model, tokenizer, **options)


def languages(kind: str) -> dict[str, str]:
    """The language codes that a model needs."""
    codes = {
        "marian": ("", "en"),
        "m2m_100": ("de", "en"),
        "nllb": ("deu_Latn", "eng_Latn"),
        "mbart": ("de_DE", "en_XX"),
        "mbart50": ("de_DE", "en_XX"),
    }.get(kind)
    return (
        {} if codes is None else {k: c for k, c in zip(("source_language", "target_language"), codes, strict=True) if c}
    )


def parts(kind: str, layers: int = 3, length: int = 96) -> tuple[Any, Any]:
    """Model and tokenizer of ``transformers``."""
    import torch

    tokenizer = tokenizer_of(kind)
    torch.manual_seed(11)
    model = model_class(kind)(config_of(kind, tokenizer, layers, length))
    with torch.no_grad():  # away from a uniform distribution, so that a slip shows
        for name, weight in model.named_parameters():
            if weight.ndim == 2 and "norm" not in name.lower() and "embed_positions" not in name:
                weight.copy_(torch.randn_like(weight) * 0.25)
    return model.eval(), tokenizer


def model_class(kind: str) -> Any:
    import transformers as t

    return {
        "marian": t.MarianMTModel,
        "m2m_100": t.M2M100ForConditionalGeneration,
        "nllb": t.M2M100ForConditionalGeneration,
        "mbart": t.MBartForConditionalGeneration,
        "mbart50": t.MBartForConditionalGeneration,
        "bart": t.BartForConditionalGeneration,
        "t5": t.T5ForConditionalGeneration,
        "mt5": t.MT5ForConditionalGeneration,
        "llama": t.LlamaForCausalLM,
        "qwen2": t.Qwen2ForCausalLM,
        "qwen3": t.Qwen3ForCausalLM,
        "gemma": t.GemmaForCausalLM,
        "gemma2": t.Gemma2ForCausalLM,
        "gpt2": t.GPT2LMHeadModel,
        "bert": t.BertModel,
        "xlm-roberta": t.XLMRobertaModel,
    }[kind]


def config_of(kind: str, tokenizer: Any, layers: int, length: int) -> Any:
    import transformers as t

    size = max(len(tokenizer), 1 + max(tokenizer.get_vocab().values()))
    if kind == "m2m_100":  # its language codes come after the pieces
        size = max(tokenizer.lang_token_to_id.values()) + 1
    pad = tokenizer.pad_token_id
    if kind in ("t5", "mt5"):
        config = t.T5Config if kind == "t5" else t.MT5Config
        return config(
            vocab_size=size, d_model=32, d_kv=8, d_ff=48, num_layers=layers, num_heads=4, pad_token_id=pad,
            eos_token_id=tokenizer.eos_token_id, decoder_start_token_id=pad, dropout_rate=0.0,
        )  # fmt: skip
    if kind in SEQ2SEQ:
        start = {"marian": pad, "bart": tokenizer.eos_token_id}.get(kind, tokenizer.eos_token_id)
        config = {"marian": t.MarianConfig, "m2m_100": t.M2M100Config, "nllb": t.M2M100Config, "bart": t.BartConfig}
        return config.get(kind, t.MBartConfig)(
            vocab_size=size, d_model=32, encoder_layers=layers, decoder_layers=layers, encoder_attention_heads=4,
            decoder_attention_heads=4, encoder_ffn_dim=48, decoder_ffn_dim=48, max_position_embeddings=length,
            pad_token_id=pad, eos_token_id=tokenizer.eos_token_id, decoder_start_token_id=start,
            bos_token_id=tokenizer.bos_token_id, forced_eos_token_id=tokenizer.eos_token_id,
        )  # fmt: skip
    common = {"vocab_size": size, "pad_token_id": pad, "bos_token_id": tokenizer.bos_token_id}
    shape = {"hidden_size": 32, "num_hidden_layers": layers, "num_attention_heads": 4, "intermediate_size": 48}
    if kind == "gpt2":
        return t.GPT2Config(n_embd=32, n_layer=layers, n_head=4, n_positions=length, **common, eos_token_id=1)
    if kind in DECODERS:
        config = {
            "llama": t.LlamaConfig, "qwen2": t.Qwen2Config, "qwen3": t.Qwen3Config, "gemma": t.GemmaConfig,
            "gemma2": t.Gemma2Config,
        }[kind]  # fmt: skip
        more = {} if kind == "qwen2" else {"head_dim": 8}
        return config(**shape, **common, **more, num_key_value_heads=2, max_position_embeddings=length, eos_token_id=1)
    config = {"bert": t.BertConfig, "xlm-roberta": t.XLMRobertaConfig}[kind]
    return config(**shape, **common, max_position_embeddings=length + 2, type_vocab_size=2 if kind == "bert" else 1)


def tokenizer_of(kind: str) -> Any:
    """A fresh copy of a small tokenizer of the class that the architecture uses."""
    import transformers as t

    if kind == "marian":
        return t.MarianTokenizer.from_pretrained(_marian())
    if kind == "m2m_100":
        return t.M2M100Tokenizer.from_pretrained(_m2m())
    pieces = ["▁", *("▁" + word for word in WHOLE), *LETTERS]
    scores = [(piece, -2.0 - 0.01 * k) for k, piece in enumerate(pieces)]
    if kind == "nllb":
        singles = dict.fromkeys(["<s>", "<pad>", "</s>", "<unk>", "▁", *LETTERS])
        merges, whole = _merges(["▁" + word for word in WHOLE])
        vocabulary = {piece: k for k, piece in enumerate(dict.fromkeys([*singles, *whole]))}
        return t.NllbTokenizer(vocab=vocabulary, merges=merges)
    if kind in ("mbart", "mbart50"):
        specials = [(token, 0.0) for token in ("<s>", "<pad>", "</s>", "<unk>")]
        return {"mbart": t.MBartTokenizer, "mbart50": t.MBart50Tokenizer}[kind](vocab=[*specials, *scores])
    if kind in ("t5", "mt5"):
        specials = [(token, 0.0) for token in ("<pad>", "</s>", "<unk>")]
        return t.T5Tokenizer(vocab=[*specials, *scores], extra_ids=3)
    if kind in ("bart", "gpt2", "llama", "qwen2", "qwen3", "gemma", "gemma2"):
        return _byte_level(bos=kind not in ("gpt2", "qwen2", "qwen3"), eos=kind == "bart")
    return _encoder_tokenizer(kind)


def _merges(words: list[str]) -> tuple[list[tuple[str, str]], list[str]]:
    merges: list[tuple[str, str]] = []
    for word in words:
        for end in range(1, len(word)):
            merges.append((word[:end], word[end]))
    merges = list(dict.fromkeys(merges))
    return merges, [a + b for a, b in merges]


def _byte_level(bos: bool, eos: bool) -> Any:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    merges, whole = _merges(["Ġ" + word for word in WHOLE])
    vocabulary = {p: k for k, p in enumerate(dict.fromkeys(["<s>", "</s>", "<pad>", "<unk>", *alphabet, *whole]))}
    backend = Tokenizer(models.BPE(vocabulary, merges))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    single = f"{'<s> ' if bos else ''}$A{' </s>' if eos else ''}"
    if bos or eos:
        backend.post_processor = processors.TemplateProcessing(
            single=single, pair=None, special_tokens=[("<s>", 0), ("</s>", 1)]
        )
    return PreTrainedTokenizerFast(
        tokenizer_object=backend, bos_token="<s>", eos_token="</s>", pad_token="<pad>", unk_token="<unk>"
    )


def _encoder_tokenizer(kind: str) -> Any:
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    if kind == "bert":
        vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *WHOLE, *LETTERS, *("##" + c for c in LETTERS)]
        backend = Tokenizer(
            models.WordPiece({w: k for k, w in enumerate(dict.fromkeys(vocabulary))}, unk_token="[UNK]")
        )
        backend.normalizer = normalizers.BertNormalizer(lowercase=False)
        backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
        form = {"single": "[CLS] $A [SEP]", "pair": "[CLS] $A [SEP] $B:1 [SEP]:1"}
        backend.post_processor = processors.TemplateProcessing(**form, special_tokens=[("[CLS]", 2), ("[SEP]", 3)])
        return PreTrainedTokenizerFast(
            tokenizer_object=backend, pad_token="[PAD]", unk_token="[UNK]", cls_token="[CLS]", sep_token="[SEP]"
        )
    pieces = ["<s>", "<pad>", "</s>", "<unk>", "▁", *("▁" + w for w in WHOLE), *LETTERS]
    backend = Tokenizer(models.Unigram([(p, 0.0 if k < 4 else -2.0 - 0.01 * k) for k, p in enumerate(pieces)], 3))
    backend.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always")
    form = {"single": "<s> $A </s>", "pair": "<s> $A </s> </s> $B </s>"}
    backend.post_processor = processors.TemplateProcessing(**form, special_tokens=[("<s>", 0), ("</s>", 2)])
    return PreTrainedTokenizerFast(
        tokenizer_object=backend, bos_token="<s>", pad_token="<pad>", unk_token="<unk>", eos_token="</s>"
    )


@functools.cache
def _pieces() -> bytes:
    """A SentencePiece model over the words of the tests."""
    import sentencepiece

    out = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter([" ".join(WHOLE)] * 30 + [" ".join(SOURCE), " ".join(TARGET), " ".join(LETTERS)]),
        model_writer=out, vocab_size=len(LETTERS) + 22, model_type="bpe", character_coverage=1.0,
        hard_vocab_limit=False, minloglevel=2, num_threads=1,
    )  # fmt: skip
    return out.getvalue()


def _vocabulary(*specials: str) -> dict[str, int]:
    import sentencepiece

    processor = sentencepiece.SentencePieceProcessor(model_proto=_pieces())
    known = [processor.id_to_piece(k) for k in range(processor.get_piece_size())]
    return {piece: k for k, piece in enumerate(dict.fromkeys([*specials, *known]))}


@functools.cache
def _marian() -> str:
    folder = Path(tempfile.mkdtemp(prefix="align-eval-marian-"))
    for side in ("source", "target"):
        (folder / f"{side}.spm").write_bytes(_pieces())
    vocabulary = _vocabulary("</s>", "<unk>", ">>de<<", ">>en<<") | {}
    vocabulary["<pad>"] = len(vocabulary)
    (folder / "vocab.json").write_text(json.dumps(vocabulary), "utf-8")
    (folder / "tokenizer_config.json").write_text("{}", "utf-8")
    return str(folder)


@functools.cache
def _m2m() -> str:
    folder = Path(tempfile.mkdtemp(prefix="align-eval-m2m-"))
    (folder / "sentencepiece.bpe.model").write_bytes(_pieces())
    (folder / "vocab.json").write_text(json.dumps(_vocabulary("<s>", "<pad>", "</s>", "<unk>")), "utf-8")
    (folder / "tokenizer_config.json").write_text("{}", "utf-8")
    return str(folder)
