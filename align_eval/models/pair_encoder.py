"""An encoder that reads both sentences of a pair at once: ``[CLS] source [SEP] target [SEP]``.

Its self-attention has two cross-lingual blocks: source rows over target columns and target rows over source columns.
The reading ``block`` is their mean. What leaves the block (special sub-words, the own sentence) is reported with it.
"""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from align_eval.corpora.pair import check_sizes
from align_eval.errors import ModelError, SentenceTooLongError
from align_eval.models.attention_sites import attention_sites, head_count
from align_eval.models.labels import readable
from align_eval.models.layout import Block, Layout, PairModel, padded, specials

if TYPE_CHECKING:
    from align_eval.corpora import SentencePair
    from align_eval.models.encoder import Encoder


class PairEncoder(PairModel):
    """BERT, XLM-R and their kin over concatenated pairs.

    Args:
        encoder: a model of :func:`align_eval.models.load_model`; its weights are shared.

    Raises:
        ModelError: no self-attention is found, or the tokenizer has no form for pairs.
    """

    family = "encoder"
    readings = ("block", "block-st", "block-ts")

    def __init__(self, encoder: Encoder) -> None:
        self.encoder = encoder
        self.name, self.revision, self.path, self.licence = (
            encoder.name, encoder.revision, encoder.path, encoder.licence,
        )  # fmt: skip
        self.model, self.tokenizer = encoder.model, encoder.tokenizer
        self.device, self.dtype = encoder.device, encoder.dtype
        self.sites = attention_sites(encoder.model, "self", encoder.name)
        self.layers, self.hidden_size = len(self.sites), encoder.hidden_size
        self.heads = head_count(self.sites[0], self.model.config)
        self.max_length = encoder.max_length
        self._parts = _pair_form(self.tokenizer.backend_tokenizer, self.name)
        self._segments = "token_type_ids" in inspect.signature(self.model.forward).parameters and (
            int(getattr(self.model.config, "type_vocab_size", 0) or 0) > 1
        )

    def __repr__(self) -> str:
        return f"PairEncoder({self.name!r}, layers={self.layers}, heads={self.heads}, device={self.device})"

    def lay_out(self, pairs: Sequence[SentencePair]) -> list[Layout]:
        """See :class:`PairModel`. ``inputs`` is the concatenated pair, ``extra`` its segment ids.

        Raises:
            SentenceTooLongError: both sentences together have more than ``max_length`` sub-words.
        """
        check_sizes(pairs)
        tokens = self.encoder.tokenize([side for pair in pairs for side in (pair.source, pair.target)])
        ((before, s0), (between, s1), (after, s2)) = self._parts[:3]
        own = self._parts[3]
        out = []
        for k, pair in enumerate(pairs):
            source, target = tokens.ids[2 * k], tokens.ids[2 * k + 1]
            m, n = len(source), len(target)
            ids = np.concatenate([before, source, between, target, after])
            if len(ids) > self.max_length:
                raise SentenceTooLongError(
                    f"pair {pair.id} has {m} source and {n} target sub-words, {len(ids)} with the special ones, the "
                    f"window of {self.name} is {self.max_length}",
                    remedy="Split the sentences or leave them out",
                )
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

    def forward(self, layouts: Sequence[Layout]) -> Any:
        import torch

        pad = self.tokenizer.pad_token_id
        ids, mask = padded([layout.inputs[0] for layout in layouts], 0 if pad is None else int(pad))
        given = {"input_ids": ids, "attention_mask": mask}
        if self._segments:
            given["token_type_ids"] = padded([layout.extra[0] for layout in layouts], 0)[0]
        return self.model(**{key: torch.from_numpy(value).to(self.device) for key, value in given.items()})


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
