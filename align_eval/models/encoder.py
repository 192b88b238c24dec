"""Encoders: vectors of single sentences, and attention over both sentences of a pair.

A pair is read as ``[CLS] source [SEP] target [SEP]``. The self-attention then has two cross-lingual blocks: source rows
over target columns and target rows over source columns. The reading ``block`` is their mean. What leaves the block
(special tokens, the own sentence) is reported with it.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from align_eval.corpora.pair import check_sizes
from align_eval.errors import ModelError
from align_eval.models.attention import attention_sites
from align_eval.models.batching import padded
from align_eval.models.cpu.unpadded import MOST, PackedStates, in_order, pack, runs_of, share_of
from align_eval.models.loading_errors import forward_errors
from align_eval.models.pairs import Block, Layout, PairModel, specials
from align_eval.models.tokens import IdArray, Tokenized, readable, start_words_with_space, surroundings, tokenize_words
from align_eval.models.vectors import Batch, HiddenStates, VectorModel, all_finite

if TYPE_CHECKING:
    from align_eval.corpora import SentencePair
    from align_eval.models.cpu.int16 import Int16States


class Encoder(VectorModel):
    """A bidirectional transformer that gives a vector for each sub-word of a sentence, at each layer.

    Made by :func:`align_eval.models.load_model`. Attributes besides those of
    :class:`~align_eval.models.vectors.VectorModel`:

    - ``masked_lm``: the same weights with their trained head that predicts masked words, or ``None``.
    - ``precision``: ``"int16"``: vectors are computed with products in integers (:mod:`align_eval.models.cpu.int16`);
      ``None``: ``dtype`` throughout. ``model`` itself stays in ``dtype``.
    """

    family = "encoder"

    def __init__(
        self, name: str, model: Any, tokenizer: Any, *, masked_lm: Any = None, precision: str | None = None,
        **known: Any,
    ) -> None:  # fmt: skip
        self._take(name, model, tokenizer, **known)
        self.masked_lm = None if masked_lm is None else masked_lm.eval()
        self.heads = int(getattr(model.config, "num_attention_heads", 0))
        self.hidden_size = int(model.config.hidden_size)
        start_words_with_space(tokenizer.backend_tokenizer)
        self.max_length = self.adapter.max_length(tokenizer, model)
        self.precision = precision
        self._read(HiddenStates(model), surroundings(tokenizer))
        self._packed: PackedStates | Int16States | None
        if precision is None:
            self._packed = PackedStates.of(self._states)
        else:
            from align_eval.models.cpu.int16 import Int16States

            self._packed = Int16States(self)

    def __repr__(self) -> str:
        return f"Encoder({self.name!r}, layers={self.layers}, hidden_size={self.hidden_size}, device={self.device})"

    def tokenize(self, sentences: Sequence[Sequence[str]]) -> Tokenized:
        return tokenize_words(self.tokenizer.backend_tokenizer, sentences)

    def _batches(self, sentences: Sequence[IdArray], layers: Sequence[int], budget: int) -> Iterator[Batch]:
        """Batches without padding, where the model has a form for them."""
        packed = self._packed
        # What was read from modules knows nothing of hooks and of modules that were replaced: then the model runs.
        if packed is None or not packed.current():
            yield from super()._batches(sentences, layers, budget)
            return
        lengths = [len(sentence) for sentence in sentences]
        workers = min(torch.get_num_threads(), MOST)
        share = share_of(sum(lengths), max(lengths, default=0), budget, workers)

        def compute(batch: Sequence[int]) -> Batch:
            runs = [torch.from_numpy(np.stack([sentences[k] for k in run])) for run in runs_of(batch, lengths)]
            sizes = np.array([lengths[k] for k in batch], dtype=np.int64)
            with torch.inference_mode():
                hidden = packed(runs, layers)  # (layers, sum of T, width)
                return batch, hidden, np.cumsum(sizes) - sizes, all_finite(hidden)

        yield from in_order(compute, pack(lengths, share), workers)


class PairEncoder(PairModel):
    """BERT, XLM-R and their kin over concatenated pairs; the weights of ``encoder`` are shared."""

    family = "encoder"
    readings = ("block", "block-st", "block-ts")

    def __init__(self, encoder: Encoder) -> None:
        self.encoder = encoder
        self._share(encoder)
        self.sites = attention_sites(encoder.model, "self", encoder.name)
        self.layers = len(self.sites)
        self.heads = self.adapter.heads(self.sites[0], self.model.config)
        self._parts = _pair_form(self.tokenizer.backend_tokenizer, self.name)
        self._segments = "token_type_ids" in inspect.signature(self.model.forward).parameters and (
            int(getattr(self.model.config, "type_vocab_size", 0) or 0) > 1
        )

    def lay_out(self, pairs: Sequence[SentencePair]) -> list[Layout]:
        """See :class:`PairModel`. ``inputs`` is the concatenated pair, ``extra`` its segment ids."""
        check_sizes(pairs)
        tokens = self.encoder.tokenize([side for pair in pairs for side in (pair.source, pair.target)])
        (before, s0), (between, s1), (after, s2), own = self._parts
        out = []
        for k, pair in enumerate(pairs):
            source, target = tokens.ids[2 * k], tokens.ids[2 * k + 1]
            m, n = len(source), len(target)
            ids = np.concatenate([before, source, between, target, after])
            self.require_length(
                len(ids), f"pair {pair.id} has {m} source and {n} target sub-words, {len(ids)} with the special ones",
                "Split the sentences or leave them out",
            )  # fmt: skip
            segments = np.concatenate([s0, np.full(m, own[0]), s1, np.full(n, own[1]), s2]).astype(np.int64)
            places = np.arange(len(ids), dtype=np.int64)
            s_rows = places[len(before) : len(before) + m]
            t_rows = places[len(before) + m + len(between) :][:n]
            s_words, t_words = specials(len(ids)), specials(len(ids))
            s_words[s_rows], t_words[t_rows] = tokens.words[2 * k], tokens.words[2 * k + 1]
            labels = readable(self.tokenizer, ids)
            st = Block("source", s_rows, s_words[s_rows], tuple(labels[r] for r in s_rows), t_words, labels)
            ts = Block("target", t_rows, t_words[t_rows], tuple(labels[r] for r in t_rows), s_words, labels)
            out.append(Layout(pair, (ids,), {"block": (ts, st), "block-st": (st,), "block-ts": (ts,)}, (segments,)))
        return out

    @forward_errors()
    def forward(self, layouts: Sequence[Layout]) -> Any:
        given = self.batch(layouts)
        if self._segments:
            segments = padded([layout.extra[0] for layout in layouts], 0)[0]
            given["token_type_ids"] = torch.from_numpy(segments).to(self.device)
        return self.model(**given)


def _pair_form(backend: Any, name: str) -> Any:
    """The special ids with their segments before, between and after a pair, and the segments of its two sides."""
    encoding = backend.encode(["a"], ["a"], is_pretokenized=True, add_special_tokens=True)
    sides = np.array([-1 if side is None else side for side in encoding.sequence_ids])
    first, second = np.flatnonzero(sides == 0), np.flatnonzero(sides == 1)
    if not len(first) or not len(second) or second[0] - first[-1] < 2:
        raise ModelError(
            f"the tokenizer of {name} puts nothing between two sentences",
            remedy="Choose an encoder whose tokenizer reads pairs ([CLS] source [SEP] target [SEP])",
        )
    ids, types = np.array(encoding.ids, dtype=np.int64), np.array(encoding.type_ids, dtype=np.int64)
    cuts = (slice(0, first[0]), slice(first[-1] + 1, second[0]), slice(second[-1] + 1, len(ids)))
    return (*((ids[cut], types[cut]) for cut in cuts), (int(types[first[0]]), int(types[second[0]])))
