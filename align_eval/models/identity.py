"""What identifies a model: one digest over all files that decide what it does, and its part of signatures."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from typing import Any

from align_eval.files import digest_of
from align_eval.models.weights import Weights

SMALL_FILES = (".json", ".txt", ".model", ".spm", ".py", ".jinja", ".bpe", ".codes", ".vocab", ".tiktoken")
"""Endings of the files of configuration and tokenizer, and of code that a model may bring along."""

# What training programs leave beside a model: nothing of it is loaded.
_LEFT = re.compile(
    r"(all|train|eval|predict|test)_results\.json|trainer_state\.json|README\..*|LICEN[CS]E.*|requirements\.txt"
)


def deciding_files(folder: Path) -> list[Path]:
    """The files of configuration, tokenizer and code of a model folder, by name."""
    found = (path for path in folder.iterdir() if path.suffix in SMALL_FILES and not _LEFT.fullmatch(path.name))
    return sorted((path for path in found if path.is_file()), key=lambda path: path.name)


def revision_of(folder: Path, weights: Weights | None) -> str:
    """12 hex digits over the names and the sha256 of the weights and of :func:`deciding_files`."""
    files = {path.name: path for path in (*deciding_files(folder), *(weights.files if weights else ()))}
    lines = [f"{name} {digest_of(path)}\n" for name, path in sorted(files.items())]
    return hashlib.sha256("".join(lines).encode("utf-8", "surrogateescape")).hexdigest()[:12]


def signature_of(model: Any) -> dict[str, str]:
    """A loaded model's part of a signature: name, revision, number type, and the kind of device but for the CPU.

    Numbers of another kind of device differ in their last digits, so that a run is not resumed on one.
    """
    out = {
        "model": str(model.name),
        "dtype": getattr(model, "precision", None) or str(model.dtype).removeprefix("torch."),
    }
    if revision := getattr(model, "revision", ""):
        out["revision"] = str(revision)
    kind = getattr(getattr(model, "device", None), "type", "cpu")
    return out if kind == "cpu" else {**out, "device": str(kind)}


def mark_of(model: Any) -> str:
    """The revision of a loaded model, with the kind of device but for the CPU: what kept results were made from."""
    known = signature_of(model)
    return " ".join(known[key] for key in ("revision", "device") if key in known)
