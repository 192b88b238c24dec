"""An encoder: sentences of words in, vectors of their sub-words at chosen layers out."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from align_eval.errors import InputError, ModelError, NonFiniteError, SentenceTooLongError
from align_eval.models.batches import buckets
from align_eval.models.layers import HiddenStates
from align_eval.models.packed import PackedStates, pack, runs_of
from align_eval.models.side_by_side import MOST, in_order, share_of
from align_eval.models.tokenized import IdArray, Tokenized, start_words_with_space, tokenize_words

if TYPE_CHECKING:
    import torch

    from align_eval.models.reduced import ReducedStates

# Indices of the sentences of a batch, a tensor (layers, T, width) for each, and whether all numbers are finite.
_Batch = tuple[Sequence[int], "Sequence[torch.Tensor]", bool]

TOKEN_BUDGET = 2048
# What one more batch costs, in sub-words: measured on a CPU; a GPU computes many sub-words in the time of a launch.
_BATCH_COST = {"cpu": 50}
_BATCH_COST_ELSEWHERE = 1024


class Encoder:
    """A bidirectional transformer that gives a vector for each sub-word of a sentence, at each layer.

    Made by :func:`align_eval.models.load_model`. Attributes:

    - ``name``: what it was loaded by; ``revision``: what identifies the weights; ``path``: folder of its files;
      ``licence``: as stated, or ``"unknown"``; ``family``: ``"encoder"``.
    - ``layers``, ``heads``, ``hidden_size``: its shape. Layer 0 is the embeddings, layer ``k`` block ``k``'s output.
    - ``max_length``: sub-words that fit, the special ones counted; ``window``: without them.
    - ``prefix``, ``suffix``: ids of the special sub-words around a sentence.
    - ``tokenizer``, ``model``: of ``transformers``; ``device``, ``dtype``: of torch.
    - ``masked_lm``: the same weights with their trained head that predicts hidden words, or ``None``.
    - ``precision``: the reduced form that vectors are computed in (:mod:`align_eval.models.reduced`), or ``None``:
      ``dtype`` throughout. ``model`` itself stays in ``dtype``.
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
        self.layers = int(model.config.num_hidden_layers)
        self.heads = int(model.config.num_attention_heads)
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
        self._states: HiddenStates | ReducedStates
        self._packed: Callable[[Sequence[torch.Tensor], Sequence[int]], torch.Tensor] | None
        if precision is None:
            self._states = HiddenStates(model)
            self._packed = PackedStates.of(self._states)
        else:
            from align_eval.models.reduced import PRECISIONS

            reduced = PRECISIONS.get(precision)(self)
            self._states, self._packed = reduced, reduced.end_to_end if reduced.unpadded else None

    def __repr__(self) -> str:
        return f"Encoder({self.name!r}, layers={self.layers}, hidden_size={self.hidden_size}, device={self.device})"

    def tokenize(self, sentences: Sequence[Sequence[str]]) -> Tokenized:
        """The sub-words of sentences of words, special ones left out, and the word each belongs to; see `Tokenized`.

        Raises:
            InputError: a sentence is a string instead of a sequence of words, or a word is no string.
        """
        return tokenize_words(self._backend, sentences)

    def encode(
        self, ids: Sequence[IdArray], layers: Sequence[int], *, token_budget: int = TOKEN_BUDGET
    ) -> list[torch.Tensor]:
        """The vectors of sentences, in the order given.

        Args:
            ids: sub-word ids of each sentence without special ones (``Tokenized.ids``); those are added here.
            layers: 0 (embeddings) to ``self.layers``; negative ones count from the last. No block beyond the deepest
                is computed.
            token_budget: sub-words computed at one time, padding (where there is any) counted. Without padding they are
                divided among torch's threads, down to 512 for each. It changes speed and memory, as the number of
                threads does; the vectors agree within the rounding of the products (below 1e-5 in float32).

        Returns:
            For each sentence a tensor ``(len(layers), sub-words, hidden_size)`` on ``self.device`` without the special
            sub-words. It is a view of its batch; equal sentences, computed once, share one.

        Raises:
            InputError: no such layer.
            SentenceTooLongError: a sentence has more than ``self.window`` sub-words.
            NonFiniteError: the model returned NaN or infinity for a sentence.
        """
        found: list[Any] = [None] * len(ids)
        for members, spans in self.encode_batches(ids, layers, token_budget=token_budget):
            for k, span in zip(members, spans, strict=True):
                found[k] = span
        return found

    def encode_batches(
        self, ids: Sequence[IdArray], layers: Sequence[int], *, token_budget: int = TOKEN_BUDGET
    ) -> Iterator[tuple[list[int], list[torch.Tensor]]]:
        """As :meth:`encode`, batch by batch, longest sentences first: ``(indices into ids, a tensor for each)``."""
        wanted = self._layers(layers)
        same: dict[bytes, list[int]] = {}
        for k, sentence in enumerate(ids):
            if len(sentence) > self.window:
                raise SentenceTooLongError(
                    f"sentence {k + 1} has {len(sentence)} sub-words, the window of {self.name} is {self.window}",
                    remedy="Align it in overlapping windows (--on-long window) or split it",
                )
            same.setdefault(np.asarray(sentence, dtype=np.int64).tobytes(), []).append(k)
        groups = list(same.values())
        first, last = len(self.prefix), len(self.suffix)
        sentences = [np.concatenate((self.prefix, ids[group[0]], self.suffix)) for group in groups]
        compute = self._padded if self._packed is None else self._end_to_end
        for batch, states, finite in compute(sentences, wanted, token_budget):
            members: list[int] = []
            spans: list[torch.Tensor] = []
            for k, state in zip(batch, states, strict=True):
                span = state[:, first : state.shape[1] - last]
                if not finite:
                    self._check_finite(span, groups[k][0], ids, layers)
                members += groups[k]
                spans += [span] * len(groups[k])
            yield members, spans

    def _end_to_end(self, sentences: Sequence[IdArray], layers: Sequence[int], budget: int) -> Iterator[_Batch]:
        """Batches without padding: members, their states ``(layers, T, width)``, whether all numbers are finite."""
        import torch

        packed = self._packed
        assert packed is not None
        lengths = [len(sentence) for sentence in sentences]
        workers = min(torch.get_num_threads(), MOST)
        share = share_of(sum(lengths), max(lengths, default=0), budget, workers)

        def compute(batch: Sequence[int]) -> _Batch:
            runs = [torch.from_numpy(np.stack([sentences[k] for k in run])) for run in runs_of(batch, lengths)]
            with torch.inference_mode():
                hidden = packed(runs, layers)  # (layers, sum of T, width)
                finite = _finite(hidden)
            return batch, hidden.split([lengths[k] for k in batch], dim=1), finite

        yield from in_order(compute, pack(lengths, share), workers)

    def _padded(self, sentences: Sequence[IdArray], layers: Sequence[int], budget: int) -> Iterator[_Batch]:
        """As :meth:`_end_to_end`, sentences of like length padded to the longest of their batch."""
        import torch

        lengths = [len(sentence) for sentence in sentences]
        for batch in buckets(lengths, budget, _BATCH_COST.get(self.device.type, _BATCH_COST_ELSEWHERE)):
            longest = lengths[batch[0]]
            rows = np.full((len(batch), longest), self._pad, dtype=np.int64)
            for row, k in enumerate(batch):
                rows[row, : lengths[k]] = sentences[k]
            counts = torch.tensor([lengths[k] for k in batch], device=self.device)
            mask = None
            if lengths[batch[-1]] != longest:
                mask = (torch.arange(longest, device=self.device) < counts[:, None]).long()
            with torch.inference_mode():
                states = self._states(torch.from_numpy(rows).to(self.device), mask, layers)
                hidden = torch.stack(states) if len(states) > 1 else states[0][None]  # (layers, B, T, width)
                finite = _finite(hidden)
            yield batch, [hidden[:, row, : lengths[k]] for row, k in enumerate(batch)], finite

    @property
    def _pad(self) -> int:
        pad = self.tokenizer.pad_token_id
        return 0 if pad is None else int(pad)

    def _layers(self, layers: Sequence[int]) -> list[int]:
        wanted = [layer + self.layers + 1 if layer < 0 else layer for layer in layers]
        for given, layer in zip(layers, wanted, strict=True):
            if not 0 <= layer <= self.layers:
                raise InputError(
                    f"{self.name} has no layer {given}", remedy=f"Choose 0 (embeddings) to {self.layers} (last block)"
                )
        if not wanted:
            raise InputError("no layer is asked for", remedy=f"Choose from 0 to {self.layers}")
        return wanted

    def _check_finite(self, span: torch.Tensor, k: int, ids: Sequence[IdArray], layers: Sequence[int]) -> None:
        import torch

        bad = (~torch.isfinite(span)).any(dim=-1).any(dim=-1)
        if bool(bad.any()):
            layer = layers[int(bad.nonzero()[0, 0])]
            text = self.tokenizer.decode(np.asarray(ids[k]).tolist())
            raise NonFiniteError(
                f"{self.name} returned NaN or infinity at layer {layer} for sentence {k + 1}: {text[:80]!r}",
                remedy="Load the model with --dtype float32, or check its weights",
            )


def _finite(hidden: torch.Tensor) -> bool:
    """Whether the sum of numbers is finite: never if one of them is not; one pass, where a look at each takes three."""
    import torch

    return bool(torch.isfinite(hidden.sum(dtype=torch.promote_types(hidden.dtype, torch.float32))))


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
