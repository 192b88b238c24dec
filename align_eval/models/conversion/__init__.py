"""Published weights turned into what ``transformers`` loads: a module a format, and the writer of the files."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def write_model(
    folder: Path, weights: Mapping[str, Any], tokenizer: Any, config: Mapping[str, Any],
    tokenizer_config: Mapping[str, Any], generation_config: Mapping[str, Any] | None = None,
) -> None:  # fmt: skip
    """Write a model's files into a folder.

    ``weights`` are float32 arrays by the names that ``transformers`` gives them, ``tokenizer`` is one of the package
    ``tokenizers``.
    """
    from safetensors.numpy import save_file

    save_file(dict(weights), folder / "model.safetensors", metadata={"format": "pt"})
    tokenizer.save(str(folder / "tokenizer.json"), pretty=False)
    contents = {"config": config, "tokenizer_config": tokenizer_config, "generation_config": generation_config}
    for name, content in contents.items():
        if content is not None:
            (folder / f"{name}.json").write_text(json.dumps(content, indent=2) + "\n", "utf-8")


def special_tokens(texts: Mapping[int, str]) -> dict[str, dict[str, Any]]:
    """``added_tokens_decoder`` of ``tokenizer_config.json`` for special tokens by their ids."""
    flags = {"lstrip": False, "normalized": False, "rstrip": False, "single_word": False, "special": True}
    return {str(number): {"content": text, **flags} for number, text in texts.items()}
