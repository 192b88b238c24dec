"""Published weights turned into what ``transformers`` loads: a reader a format, and the writer of the files."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def write_model(folder: Path, weights: Mapping[str, Any], tokenizer: Any, **contents: Mapping[str, Any]) -> None:
    """Write ``model.safetensors``, ``tokenizer.json`` and each of ``contents`` as ``NAME.json`` into a folder.

    Args:
        weights: float32 arrays by the names that ``transformers`` gives them.
        tokenizer: of the package ``tokenizers``.
    """
    from safetensors.numpy import save_file

    save_file(dict(weights), folder / "model.safetensors", metadata={"format": "pt"})
    tokenizer.save(str(folder / "tokenizer.json"), pretty=False)
    for name, content in contents.items():
        (folder / f"{name}.json").write_text(json.dumps(content, indent=2) + "\n", "utf-8")


def special_tokens(texts: Mapping[int, str]) -> dict[str, dict[str, Any]]:
    """``added_tokens_decoder`` of ``tokenizer_config.json`` for special tokens by their ids."""
    flags = {"lstrip": False, "normalized": False, "rstrip": False, "single_word": False, "special": True}
    return {str(number): {"content": text, **flags} for number, text in texts.items()}
