"""The attention maps of one sentence pair, with everything that is needed to read them."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from align_eval.errors import InputError, NonFiniteError
from align_eval.models.attention import check_rows
from align_eval.signals.similarity import at_least_float32
from align_eval.signals.subwords import pool, renormalise

Number = int | str
"""A layer or head, counted from 1; ``"mean"`` or ``"max"`` where several have become one."""


@dataclass(frozen=True)
class AttentionMaps:
    """Weights of chosen layers and heads for one pair and one reading.

    Attributes:
        values: ``(L, H, Q, K)`` float32 or float64; half precision is widened, so that it can be drawn and summed.
        layers, heads: the number (from 1) of each item of the first two axes, or ``"mean"`` / ``"max"``.
        query_labels, key_labels: sub-words (or words, after :meth:`words`) of rows and columns.
        query_words, key_words: ``(Q,)`` and ``(K,)`` int64: the word (0-based) of each row and column; -1 for special
            sub-words, language codes and whatever else is no word of that side.
        query_text, key_text: the words of the two sides.
        query_side: ``"target"`` or ``"source"``; the keys are of the other one.
        reading: see :data:`align_eval.models.pairs.READINGS`.
        quantity: what the values are, as a figure would name it.
        left_out: ``(L, H, Q)``: how much of each row lay on columns that are no word.
        model: name of the model.
    """

    values: Tensor
    layers: tuple[Number, ...]
    heads: tuple[Number, ...]
    query_labels: tuple[str, ...]
    key_labels: tuple[str, ...]
    query_words: Tensor
    key_words: Tensor
    query_text: tuple[str, ...]
    key_text: tuple[str, ...]
    query_side: str
    reading: str
    quantity: str
    left_out: Tensor
    model: str = ""

    def __post_init__(self) -> None:
        for name in ("values", "left_out"):
            object.__setattr__(self, name, at_least_float32(getattr(self, name)))
        shape = (len(self.layers), len(self.heads), len(self.query_labels), len(self.key_labels))
        if tuple(self.values.shape) != shape or self.left_out.shape != self.values.shape[:3]:
            raise InputError(
                f"values {tuple(self.values.shape)} and left_out {tuple(self.left_out.shape)} do not fit {shape[0]} "
                f"layers, {shape[1]} heads, {shape[2]} rows and {shape[3]} columns"
            )
        if len(self.query_words) != shape[2] or len(self.key_words) != shape[3]:
            raise InputError(
                f"{len(self.query_words)} and {len(self.key_words)} words for {shape[2]} x {shape[3]} cells"
            )
        if not bool(torch.isfinite(self.values).all()):
            pair = f"{' '.join(self.query_text)!r} over {' '.join(self.key_text)!r}"
            raise NonFiniteError(
                f"the {self.quantity} of {self.model or 'the model'} has NaN or infinite values: {pair[:120]}",
                remedy="Load the model with --dtype float32, or check its weights",
            )

    @classmethod
    def from_weights(
        cls,
        values: Tensor,
        key_words: Tensor,
        *,
        layers: tuple[Number, ...],
        heads: tuple[Number, ...],
        query_labels: tuple[str, ...],
        key_labels: tuple[str, ...],
        query_words: Tensor,
        query_text: tuple[str, ...],
        key_text: tuple[str, ...],
        query_side: str,
        reading: str,
        model: str = "",
        quantity: str = "attention weight",
    ) -> AttentionMaps:
        """Check raw weights (finite, not negative, rows sum to 1) and note the mass on columns that are no word.

        Raises:
            NonFiniteError, ModelError: see :func:`align_eval.models.attention.check_rows`.
        """
        for number, layer in enumerate(layers):
            check_rows(values[number], int(layer) if isinstance(layer, int) else number + 1, model or "the model")
        left_out = values[..., key_words < 0].sum(dim=-1)
        return cls(
            values, layers, heads, query_labels, key_labels, query_words, key_words, query_text, key_text, query_side,
            reading, quantity, left_out, model,
        )  # fmt: skip

    @property
    def left_out_labels(self) -> tuple[str, ...]:
        """The columns that are no word: special sub-words, language codes, the rest of the context."""
        return tuple(label for label, word in zip(self.key_labels, self.key_words.tolist(), strict=True) if word < 0)

    def select(self, layer: Number, head: Number) -> Tensor:
        """The map ``(Q, K)`` of one layer and head, by their numbers.

        Raises:
            InputError: it is not among those kept.
        """
        if layer not in self.layers or head not in self.heads:
            raise InputError(
                f"layer {layer}, head {head} is not among the maps",
                remedy=f"Kept are the layers {list(self.layers)} and the heads {list(self.heads)}",
            )
        return self.values[self.layers.index(layer), self.heads.index(head)]

    def words(self, keys: str = "sum", queries: str = "mean") -> AttentionMaps:
        """Maps between words: sub-words pooled by rule, what is no word left out.

        Args:
            keys, queries: ``"sum"``, ``"mean"``, ``"max"``, ``"first"`` or ``"last"``.

        Returns:
            maps ``(L, H, words of the query side, words of the key side)``. A word without a sub-word has zeros. Rows
            sum to 1 less ``left_out``, pooled like the rows, if ``keys`` is ``"sum"`` and ``queries`` not ``"max"``.

        Raises:
            UnknownNameError: an unknown rule.
        """
        layers, heads = self.values.shape[:2]
        q, k = len(self.query_text), len(self.key_text)
        flat = self.values.reshape(1, layers * heads, *self.values.shape[2:])
        rows, columns = self.query_words[None], self.key_words[None]
        values = pool(flat, rows, columns, q, k, keys, queries).reshape(layers, heads, q, k)
        rest = self.left_out.reshape(1, layers * heads, -1, 1)
        left = pool(rest, rows, columns.new_zeros((1, 1)), q, 1, "sum", queries).reshape(layers, heads, q)
        device = self.query_words.device
        return replace(
            self,
            values=values,
            query_labels=self.query_text,
            key_labels=self.key_text,
            query_words=torch.arange(q, device=device),
            key_words=torch.arange(k, device=device),
            left_out=left,
        )

    def head_mean(self) -> AttentionMaps:
        """One map a layer: the mean over the heads kept."""
        return self._over_heads("mean", self.values.mean(dim=1, keepdim=True), self.left_out.mean(dim=1, keepdim=True))

    def head_max(self) -> AttentionMaps:
        """One map a layer: the maximum over the heads kept; its rows no longer sum to 1."""
        return self._over_heads("max", self.values.amax(dim=1, keepdim=True), self.left_out.amax(dim=1, keepdim=True))

    def _over_heads(self, name: str, values: Tensor, left_out: Tensor) -> AttentionMaps:
        return replace(
            self, values=values, left_out=left_out, heads=(name,), quantity=f"{self.quantity}, {name} over heads"
        )

    def layer_mean(self) -> AttentionMaps:
        """One map a head: the mean over the layers kept."""
        return replace(
            self,
            values=self.values.mean(dim=0, keepdim=True),
            left_out=self.left_out.mean(dim=0, keepdim=True),
            layers=("mean",),
            quantity=f"{self.quantity}, mean over layers",
        )

    def renormalise(self) -> AttentionMaps:
        """Rows that sum to 1 over words alone: columns that are no word become 0; ``left_out`` stays as it was.

        A row without any mass on words stays 0.
        """
        values = renormalise(self.values.masked_fill(self.key_words < 0, 0))
        return replace(self, values=values, quantity=f"{self.quantity}, renormalised over words")

    def _repr_mimebundle_(self, **_: object) -> dict[str, object]:
        from align_eval.figures.notebook import maps_bundle

        return maps_bundle(self)
