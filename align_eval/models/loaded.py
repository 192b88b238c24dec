"""What every loaded model has: a model of ``transformers`` with its tokenizer, where they came from, its signature."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from align_eval.models.adapters import Adapter, adapter_of

if TYPE_CHECKING:
    import torch


class Loaded:
    """The base of the families.

    Attributes:
        name: what it was loaded by; ``revision``: what identifies the weights; ``path``: folder of its files;
            ``licence``: as stated.
        model, tokenizer: of ``transformers``; ``device``, ``dtype``: of torch.
        adapter: what is known of the architecture.
        layers, heads, hidden_size: its shape; attention layers and heads are counted from 1.
        max_length: tokens that fit (of one side, of an encoder-decoder model), special ones counted.
    """

    name: str
    revision: str
    path: Path | None
    licence: str
    model: Any
    tokenizer: Any
    device: torch.device
    dtype: torch.dtype
    adapter: Adapter
    family: str
    layers: int
    heads: int
    hidden_size: int
    max_length: int

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name!r}, layers={self.layers}, heads={self.heads}, device={self.device})"

    def in_languages(self, source: str | None, target: str | None) -> Any:
        """The model for a direction, where it takes languages; those that it was loaded with go first.

        An encoder-decoder model of several languages translates from ``source`` to ``target`` (codes; ``None``: not
        known), a decoder-only model's prompt names them, an encoder stays as it is. :class:`InputError` for a model
        that does not have these languages, or translates into another one.
        """
        return self

    def _take(
        self, name: str, model: Any, tokenizer: Any, *, revision: str = "", path: Path | None = None,
        licence: str = "unknown",
    ) -> None:  # fmt: skip
        """Set the attributes that need no look into the modules, and let the adapter prepare the model."""
        self.name, self.revision, self.path, self.licence = name, revision, path, licence
        self.model, self.tokenizer = model.eval(), tokenizer
        self.adapter = adapter_of(model.config)
        self.adapter.prepare(model)
        weight = next(model.parameters())
        self.device, self.dtype = weight.device, weight.dtype
        if getattr(tokenizer, "is_fast", False):
            tokenizer.backend_tokenizer.no_truncation()
            tokenizer.backend_tokenizer.no_padding()

    def _share(self, other: Loaded) -> None:
        """Be another look at the weights of ``other``."""
        for name in Loaded.__annotations__:
            if name != "family" and hasattr(other, name):
                setattr(self, name, getattr(other, name))

    @property
    def pad(self) -> int:
        """The id of padding."""
        pad = self.tokenizer.pad_token_id
        return 0 if pad is None else int(pad)


def signature_of(model: Any) -> dict[str, str]:
    """A loaded model's part of a signature: name, revision, number type, and the kind of device but for the CPU.

    Numbers of another kind of device differ in their last digits, so that a run is not resumed on one.
    """
    dtype = getattr(model, "precision", None) or str(model.dtype).removeprefix("torch.")
    out = {"model": str(model.name), "dtype": dtype}
    if revision := getattr(model, "revision", ""):
        out["revision"] = str(revision)
    kind = getattr(getattr(model, "device", None), "type", "cpu")
    return out if kind == "cpu" else {**out, "device": str(kind)}


def mark_of(model: Any) -> str:
    """The revision of a loaded model, with the kind of device but for the CPU: what kept results were made from."""
    known = signature_of(model)
    return " ".join(known[key] for key in ("revision", "device") if key in known)
