"""Tiny models with random weights that fill masked words, saved as folders and loaded as a user would."""

from __future__ import annotations

import functools
import json
import shutil
import tempfile
from pathlib import Path
from typing import Any

from tests.models.families import config_of, tokenizer_of


def _folder(kind: str) -> Path:
    return Path(tempfile.mkdtemp(prefix=f"align-eval-{kind}-"))


def scrambled(model: Any, seed: int = 5) -> Any:
    """Weights away from a uniform distribution, so that a slip shows."""
    import torch

    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if weight.ndim == 2 and "norm" not in name.lower() and "embed_positions" not in name:
                weight.copy_(torch.randn(weight.shape, generator=generator) * 0.25)
    model.tie_weights()
    return model.eval()


@functools.cache
def marian_folder(mask: bool = True, **settings: Any) -> Path:
    """A MarianMTModel; ``settings`` go into its ``config.json`` (``decoder_mode``)."""
    import transformers

    folder = _folder("marian")
    shutil.copytree(tokenizer_of("marian").name_or_path, folder, dirs_exist_ok=True)
    vocabulary = json.loads((folder / "vocab.json").read_text("utf-8"))
    vocabulary["<mask>"] = len(vocabulary)
    (folder / "vocab.json").write_text(json.dumps(vocabulary), "utf-8")
    named = {"tokenizer_class": "MarianTokenizer", **({"mask_token": "<mask>"} if mask else {})}
    (folder / "tokenizer_config.json").write_text(json.dumps(named), "utf-8")
    tokenizer = transformers.MarianTokenizer.from_pretrained(folder)
    config = config_of("marian", tokenizer, 2, 96)
    scrambled(transformers.MarianMTModel(config)).save_pretrained(folder)
    stored = json.loads((folder / "config.json").read_text("utf-8"))
    (folder / "config.json").write_text(json.dumps({**stored, **settings}), "utf-8")
    return folder


@functools.cache
def bert_folder(head: bool = True, kind: str = "bert") -> Path:
    """A BertForMaskedLM (or XLM-R), or one without its head."""
    import transformers

    folder = _folder(kind)
    tokenizer = tokenizer_of(kind)
    tokenizer.add_special_tokens({"mask_token": "[MASK]" if kind == "bert" else "<mask>"})
    tokenizer.save_pretrained(folder)
    names = {"bert": "Bert", "xlm-roberta": "XLMRoberta"}
    model = getattr(transformers, names[kind] + ("ForMaskedLM" if head else "Model"))
    scrambled(model(config_of(kind, tokenizer, 2, 96))).save_pretrained(folder)
    return folder


def load(which: str, **options: Any) -> Any:
    """``masked``, ``causal-masked``, ``causal`` (Marian), ``bert``, ``xlm-roberta`` (with its head), float32."""
    from align_eval.models import load_model

    if which in ("bert", "xlm-roberta"):
        return load_model(str(bert_folder(kind=which)), head="mlm", **options)
    settings = {} if which == "causal" else {"decoder_mode": which}
    return load_model(str(marian_folder(**settings)), target_language="en", **options)
