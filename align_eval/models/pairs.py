"""How a sentence pair lies in a model's attention: which rows and columns belong to which words, by reading.

The families (encoder, encoder-decoder, decoder-only) differ in this alone. Everything after it is shared.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from align_eval.corpora.pair import size_error
from align_eval.errors import ModelError, SentenceTooLongError
from align_eval.models.attention import AttentionPass
from align_eval.models.batching import padded
from align_eval.models.loaded import Loaded
from align_eval.models.tokens import IdArray

if TYPE_CHECKING:
    import torch
    from torch import nn

    from align_eval.corpora import SentencePair

READINGS = {
    "awo": "row of the step that outputs the target sub-word",
    "awi": "row of the step whose input is the target sub-word",
    "block": "mean of the source-to-target and the target-to-source block",
    "block-st": "source rows over target columns",
    "block-ts": "target rows over source columns",
    "own": "row of the target sub-word itself: the decoder sees both sides and nothing is shifted",
}

MASK_LABEL = "[MASK]"
"""What a masked sub-word is called on an axis, whatever the tokenizer calls it."""


@dataclass(frozen=True)
class Block:
    """A part of an attention matrix: chosen rows, all columns that the model sees.

    Attributes:
        side: ``"target"`` if the rows are target sub-words (the columns source), ``"source"`` if the other way.
        rows, row_words, row_labels: of each row its position in the matrix, its word (0-based, -1 for special
            sub-words), and its sub-word, ``(r,)``.
        column_words, column_labels: the same of each column, -1 for all that is no word of the other side, ``(K,)``.
    """

    side: str
    rows: IdArray
    row_words: IdArray
    row_labels: tuple[str, ...]
    column_words: IdArray
    column_labels: tuple[str, ...]


@dataclass(frozen=True)
class Layout:
    """A sentence pair as a model reads it, of at most :data:`align_eval.corpora.pair.MOST_SUBWORDS` sub-words.

    Attributes:
        inputs: the id arrays that go into the model (encoder and labels, or one sequence).
        blocks: for each reading the block, or the two blocks whose mean is taken.
        extra: what else the model needs (segment ids).
    """

    pair: SentencePair
    inputs: tuple[IdArray, ...]
    blocks: dict[str, tuple[Block, ...]]
    extra: tuple[IdArray, ...] = ()

    def __post_init__(self) -> None:
        error = size_error(f"pair {self.pair.id}", (), self.size)
        if error is not None:
            raise error

    @property
    def size(self) -> int:
        """Sub-words of all inputs, special ones counted."""
        return sum(len(ids) for ids in self.inputs)


class PairModel(Loaded, ABC):
    """A model that looks from one sentence of a pair at the other.

    Attributes: those of :class:`~align_eval.models.loaded.Loaded`, and

    - ``readings``: names of its readings, the default one first; see :data:`READINGS`.
    - ``sites``: the attention modules, first layer first.
    - ``quantity``: what the maps that it hands on are, as a figure would name it.
    - ``distribution``: whether their rows sum to 1.
    - ``headless``: whether there is one map a layer that is of no one head; ``heads`` is 1 then.
    - ``infill_reading``: the reading of the rows that fill masked words; ``""``: the model was not trained to fill.
    - ``both_sides``: whether a target word is predicted at its own place from both sides, so that it must be masked.
    """

    readings: tuple[str, ...]
    sites: list[nn.Module]
    quantity: str = "attention weight"
    distribution: bool = True
    headless: bool = False
    infill_reading: str = ""
    both_sides: bool = False

    @abstractmethod
    def lay_out(self, pairs: Sequence[SentencePair]) -> list[Layout]:
        """Tokenise pairs and say where their words lie; no model is run. A pair that does not fit is refused."""

    @abstractmethod
    def forward(self, layouts: Sequence[Layout]) -> Any:
        """One forward pass over a padded batch of pairs; row ``b`` of the batch is ``layouts[b]``."""

    def forward_variants(self, layouts: Sequence[Layout]) -> Any:
        """As :meth:`forward`, for layouts many of which have the same source; models may read that once."""
        return self.forward(layouts)

    def batch(self, layouts: Sequence[Layout]) -> dict[str, torch.Tensor]:
        """The first inputs of layouts, padded: ids and mask, ``(B, T)`` each, on the device."""
        import torch

        ids, mask = padded([layout.inputs[0] for layout in layouts], self.pad)
        given = {"input_ids": torch.from_numpy(ids), "attention_mask": torch.from_numpy(mask)}
        return {key: value.to(self.device) for key, value in given.items()}

    def require_length(self, size: int, what: str, remedy: str) -> None:
        """Refuse what has more sub-words than fit the model; ``what`` names it and its size."""
        if size > self.max_length:
            raise SentenceTooLongError(f"{what}, the window of {self.name} is {self.max_length}", remedy=remedy)

    def attention(
        self, layouts: Sequence[Layout], layers: Sequence[int] | None = None
    ) -> Iterator[tuple[int, torch.Tensor]]:
        """Run a batch and give the number (1-based) and the weights ``(B, heads, queries, keys)`` of layer by layer.

        Each layer's weights are given while the pass waits, so that those of one layer exist at a time. Row ``b`` of
        them is ``layouts[b]``; what stands in the padding has no meaning. ``layers`` come ascending, each once.

        Raises:
            ModelError: no such layer, or weights are missing.
        """
        wanted = range(1, self.layers + 1) if layers is None else layers
        sites = {layer: self.sites[layer - 1] for layer in self.require_layers(wanted)}
        for layer, weights in AttentionPass(self.model, sites, lambda: self.forward(layouts), self.name):
            if weights.shape[1] != self.heads:
                raise ModelError(
                    f"layer {layer} of {self.name} has {weights.shape[1]} heads, other layers {self.heads}",
                    remedy="Choose a model whose layers have the same number of heads",
                )
            yield layer, weights

    def require_layers(self, layers: Sequence[int]) -> list[int]:
        """``layers`` ascending, each once; one that the model has not is a :class:`ModelError`."""
        for layer in layers:
            if not 1 <= layer <= self.layers:
                raise ModelError(f"{self.name} has no layer {layer}", remedy=f"Choose from 1 to {self.layers}")
        return sorted(set(layers))

    def require_reading(self, reading: str) -> None:
        """Check that the model has a reading; the remedy names those it has."""
        if reading not in self.readings:
            kind = {"seq2seq": "an encoder-decoder model", "decoder": "a decoder-only model"}
            what = "no cross-attention" if reading == "cross" else f"no reading {reading!r}"
            raise ModelError(
                f"{self.name} is {kind.get(self.family, 'an encoder')} and has {what}",
                remedy=f"Choose one of {', '.join(self.readings)}",
            )


def mask_tokens(layout: Layout, rows: IdArray, mask: int) -> Layout:
    """A layout with :data:`MASK_LABEL` and the id ``mask`` in place of sub-words of the target; all else stays.

    ``rows`` are their positions in the last of ``layout.inputs``, which are the rows of the readings ``own``, ``awo``
    and ``block-ts``.
    """
    ids = layout.inputs[-1].copy()
    ids[rows] = mask
    masked = set(rows.tolist())

    def relabelled(reading: str, block: Block) -> Block:
        if block.side != "target":
            return block
        late = 1 if reading == "awi" else 0
        labels = (
            MASK_LABEL if row - late in masked else label
            for row, label in zip(block.rows.tolist(), block.row_labels, strict=True)
        )
        return replace(block, row_labels=tuple(labels))

    blocks = {reading: tuple(relabelled(reading, block) for block in some) for reading, some in layout.blocks.items()}
    return replace(layout, inputs=(*layout.inputs[:-1], ids), blocks=blocks)


def specials(count: int) -> IdArray:
    """``count`` times -1: the words of special sub-words."""
    return np.full(count, -1, dtype=np.int64)
