"""An encoder: sentences of words in, vectors of their sub-words at chosen layers out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from align_eval.errors import ModelError
from align_eval.models.adapters import prepare
from align_eval.models.layers import HiddenStates
from align_eval.models.packed import PackedStates, pack, runs_of
from align_eval.models.side_by_side import MOST, in_order, share_of
from align_eval.models.tokenized import IdArray, Tokenized, start_words_with_space, tokenize_words
from align_eval.models.vectors import Batch, VectorModel, all_finite

if TYPE_CHECKING:
    import torch

    from align_eval.models.int16 import Int16States


class Encoder(VectorModel):
    """A bidirectional transformer that gives a vector for each sub-word of a sentence, at each layer.

    Made by :func:`align_eval.models.load_model`. Attributes besides those of
    :class:`~align_eval.models.vectors.VectorModel`:

    - ``masked_lm``: the same weights with their trained head that predicts hidden words, or ``None``.
    - ``precision``: ``"int16"``: vectors are computed with products in integers (:mod:`align_eval.models.int16`);
      ``None``: ``dtype`` throughout. ``model`` itself stays in ``dtype``.
    """

    family = "encoder"

    def __init__(
        self, name: str, model: Any, tokenizer: Any, *, revision: str = "", path: Path | None = None,
        licence: str = "unknown", masked_lm: Any = None, precision: str | None = None,
    ) -> None:  # fmt: skip
        self.name = name
        self.revision = revision
        self.path = path
        self.licence = licence
        self.model = model.eval()
        self.masked_lm = None if masked_lm is None else masked_lm.eval()
        self.tokenizer = tokenizer
        prepare(self.model)
        self.layers = int(getattr(model.config, "num_hidden_layers", 0))
        self.heads = int(getattr(model.config, "num_attention_heads", 0))
        self.hidden_size = int(model.config.hidden_size)
        weight = next(model.parameters())
        self.device: torch.device = weight.device
        self.dtype: torch.dtype = weight.dtype
        self._backend = tokenizer.backend_tokenizer
        self._backend.no_truncation()
        self._backend.no_padding()
        start_words_with_space(self._backend)
        self.prefix, self.suffix = _specials(self._backend)
        self.max_length = _max_length(model, tokenizer)
        self.window = self.max_length - len(self.prefix) - len(self.suffix)
        self.precision = precision
        self._states = HiddenStates(model)
        self.layers = self._states.layers
        self._packed: PackedStates | Int16States | None
        if precision is None:
            self._packed = PackedStates.of(self._states)
        else:
            from align_eval.models.int16 import Int16States

            self._packed = Int16States(self)

    def __repr__(self) -> str:
        return f"Encoder({self.name!r}, layers={self.layers}, hidden_size={self.hidden_size}, device={self.device})"

    def tokenize(self, sentences: Sequence[Sequence[str]]) -> Tokenized:
        return tokenize_words(self._backend, sentences)

    def _batches(self, sentences: Sequence[IdArray], layers: Sequence[int], budget: int) -> Iterator[Batch]:
        # What was read from modules knows nothing of hooks and of modules that were replaced: then the model runs.
        if self._packed is None or not self._packed.current():
            return super()._batches(sentences, layers, budget)
        return self._end_to_end(sentences, layers, budget)

    def _end_to_end(self, sentences: Sequence[IdArray], layers: Sequence[int], budget: int) -> Iterator[Batch]:
        """Batches without padding: members, their states ``(layers, T, width)``, whether all numbers are finite."""
        import torch

        packed = self._packed
        assert packed is not None
        lengths = [len(sentence) for sentence in sentences]
        workers = min(torch.get_num_threads(), MOST)
        share = share_of(sum(lengths), max(lengths, default=0), budget, workers)

        def compute(batch: Sequence[int]) -> Batch:
            runs = [torch.from_numpy(np.stack([sentences[k] for k in run])) for run in runs_of(batch, lengths)]
            with torch.inference_mode():
                hidden = packed(runs, layers)  # (layers, sum of T, width)
                finite = all_finite(hidden)
            return batch, hidden.split([lengths[k] for k in batch], dim=1), finite

        yield from in_order(compute, pack(lengths, share), workers)


def _specials(backend: Any) -> tuple[IdArray, IdArray]:
    """The ids that the tokenizer puts before and after one sentence."""
    encoding = backend.encode(["a"], is_pretokenized=True, add_special_tokens=True)
    special = np.array(encoding.special_tokens_mask, dtype=bool)
    ids = np.array(encoding.ids, dtype=np.int64)
    text = np.flatnonzero(~special)
    if not len(text):
        raise ModelError("the tokenizer gives no sub-word for the letter a", remedy="Check its vocabulary")
    return ids[: text[0]], ids[text[-1] + 1 :]


def _max_length(model: Any, tokenizer: Any) -> int:
    """The sub-words that fit, special ones counted: the smaller of the tokenizer's and the position table's number."""
    from torch import nn

    limits = [int(tokenizer.model_max_length)]
    positions = getattr(model.config, "max_position_embeddings", None)
    if isinstance(positions, int) and positions > 0:
        for name, module in model.named_modules():
            if name.endswith("position_embeddings") and isinstance(module, nn.Embedding):
                # RoBERTa and XLM-R number positions from padding_idx + 1: 514 rows hold 512 sub-words.
                positions = module.num_embeddings - (0 if module.padding_idx is None else module.padding_idx + 1)
        limits.append(positions)
    return min(limits)
