"""Links from the contextual similarity of an encoder's vectors: many layers and methods in one pass."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import product
from typing import Any

import numpy as np
import torch
from torch import Tensor

from align_eval.aligners.base import ALIGNERS, Aligner, AlignerSettings, System, describe_encoder
from align_eval.corpora import SentencePair
from align_eval.errors import InputError, SentenceTooLongError, UnknownNameError
from align_eval.extraction import EXTRACTORS, Extractor, any_subword, make_extractor
from align_eval.links import Links
from align_eval.models.provider import MODELS, PREFIX
from align_eval.signals.similarity import similarity, word_means
from align_eval.signals.windows import encode_in_windows

# Cells (pairs x longest source x longest target) of one batch of soft maps, and vectors kept at one time.
CELL_BUDGET = 1 << 19
VECTOR_BUDGET = 400_000


@ALIGNERS.register("similarity")
class SimilarityAligner(Aligner):
    """Every extraction method at every layer asked for; the model runs once, up to the highest layer.

    Raises:
        UnknownNameError: a method that does not exist.
        InputError: a layer that the model does not have.
    """

    def __init__(self, settings: AlignerSettings) -> None:
        names = [method.partition(":")[0] for method in settings.methods]
        for name in names:
            if name not in EXTRACTORS:
                raise UnknownNameError("method", name, [*EXTRACTORS.names(), *simalign_methods()])
        self.extractors: list[Extractor] = [make_extractor(method) for method in settings.methods]
        from align_eval.models import load_model

        model = settings.model
        self.encoder = load_model(model, **settings.options) if isinstance(model, str) else model
        self.layers = list(dict.fromkeys(settings.layers)) or [default_layer(self.encoder)]
        for layer in self.layers:
            if not 0 <= layer <= self.encoder.layers:
                raise InputError(
                    f"layer {layer} of {self.encoder.name}, which has {self.encoder.layers}",
                    remedy=f"Give a layer from 0 (embeddings) to {self.encoder.layers}",
                )
        self.settings = settings
        self.systems = [System(e.spec, layer) for layer, e in product(self.layers, self.extractors)]

    def describe(self) -> dict[str, str]:
        return describe_encoder(self.encoder, self.settings)

    def align_all(self, pairs: Sequence[SentencePair]) -> dict[System, list[Links]]:
        out: dict[System, list[Links]] = {system: [Links()] * len(pairs) for system in self.systems}
        sentences = [side for pair in pairs for side in (pair.source, pair.target)]
        tokens = self.encoder.tokenize(sentences)
        sizes = [len(ids) for ids in tokens.ids]
        if self.settings.on_long == "raise":
            self._check_lengths(pairs, sizes)
        live = [k for k in range(len(pairs)) if sizes[2 * k] and sizes[2 * k + 1]]
        for part in _parts(live, sizes, VECTOR_BUDGET // len(self.layers)):
            self._align_part(pairs, part, tokens.ids, tokens.words, out)
        return out

    def _check_lengths(self, pairs: Sequence[SentencePair], sizes: Sequence[int]) -> None:
        window = self.encoder.window
        for position, size in enumerate(sizes):
            if size > window:
                side = "target" if position % 2 else "source"
                raise SentenceTooLongError(
                    f"the {side} sentence of pair {pairs[position // 2].id} has {size} sub-words, the model's window "
                    f"is {window}",
                    remedy="Let it be aligned in overlapping windows (--on-long window) or split the sentence",
                )

    def _align_part(
        self,
        pairs: Sequence[SentencePair],
        part: list[int],
        ids: Sequence[np.ndarray],
        words: Sequence[np.ndarray],
        out: dict[System, list[Links]],
    ) -> None:
        """Align the pairs ``part`` and put their links into ``out``."""
        order = [position for k in part for position in (2 * k, 2 * k + 1)]

        def encode(sentences: Sequence[np.ndarray]) -> list[Tensor]:
            encoded: list[Tensor] = self.encoder.encode(sentences, self.layers, token_budget=self.settings.token_budget)
            return encoded

        vectors = encode_in_windows(encode, [ids[p] for p in order], self.encoder.window)
        units = [torch.from_numpy(np.asarray(words[p], dtype=np.int64)) for p in order]
        mean = self.settings.subword == "mean"
        for number, layer in enumerate(self.layers):
            at_layer = [v[number] for v in vectors]
            at_units = units
            if mean:
                pooled = [word_means(v, w) for v, w in zip(at_layer, units, strict=True)]
                at_layer, at_units = [p[0] for p in pooled], [p[1] for p in pooled]
            lengths = [len(w) for w in at_units]
            for group in _groups(lengths):
                self._extract(pairs, part, group, at_layer, at_units, layer, out)

    def _extract(
        self,
        pairs: Sequence[SentencePair],
        part: list[int],
        group: list[int],
        vectors: list[Tensor],
        words: list[Tensor],
        layer: int,
        out: dict[System, list[Links]],
    ) -> None:
        """Extract the links of ``group`` (positions in ``part``) at one layer with every method."""
        members = [pairs[part[g]] for g in group]
        counts = [len(p.source) for p in members], [len(p.target) for p in members]
        maps = {}
        for extractor in self.extractors:
            if extractor.needs not in maps:
                batch = similarity(
                    [vectors[2 * g] for g in group],
                    [vectors[2 * g + 1] for g in group],
                    [words[2 * g] for g in group],
                    [words[2 * g + 1] for g in group],
                    *counts,
                    kind=extractor.needs,
                )
                batch.check_finite([p.id for p in members])
                maps[extractor.needs] = batch
            batch = maps[extractor.needs]
            result = extractor(batch.values, batch.source_lengths, batch.target_lengths)
            result = any_subword(result, batch.source_words, batch.target_words, max(counts[0]), max(counts[1]))
            system = System(extractor.spec, layer)
            for g, links in zip(group, _to_links(result.links, result.scores), strict=True):
                out[system][part[g]] = links


def _to_links(matrix: Tensor, scores: Tensor) -> Iterator[Links]:
    """One :class:`Links` a matrix of the batch ``(B, M, N)``."""
    cells = matrix.nonzero()
    values = scores[matrix].float().cpu().numpy()
    bounds = torch.bincount(cells[:, 0], minlength=len(matrix)).cumsum(0).cpu().numpy()
    pairs = cells[:, 1:].to(torch.int32).cpu().numpy()
    start = 0
    for end in bounds.tolist():
        yield Links.presorted(pairs[start:end], values[start:end])
        start = end


def _parts(live: list[int], sizes: Sequence[int], budget: int) -> Iterator[list[int]]:
    """Cut pairs into consecutive parts of at most ``budget`` vectors (a single longer pair makes its own part)."""
    part: list[int] = []
    total = 0
    for k in live:
        size = sizes[2 * k] + sizes[2 * k + 1]
        if part and total + size > budget:
            yield part
            part, total = [], 0
        part.append(k)
        total += size
    if part:
        yield part


def _groups(lengths: Sequence[int]) -> Iterator[list[int]]:
    """Pairs of like size together: groups whose padded soft maps hold at most ``CELL_BUDGET`` cells."""
    pairs = [(lengths[2 * g], lengths[2 * g + 1]) for g in range(len(lengths) // 2)]
    order = sorted(range(len(pairs)), key=lambda g: (max(pairs[g]), pairs[g]))
    group: list[int] = []
    rows = columns = 0
    for g in order:
        r, c = max(rows, pairs[g][0]), max(columns, pairs[g][1])
        if group and (len(group) + 1) * r * c > CELL_BUDGET:
            yield group
            group, r, c = [], *pairs[g]
        group.append(g)
        rows, columns = r, c
    if group:
        yield group


def default_layer(encoder: Any) -> int:
    """The layer taken when none is named: an offline model's own, else two thirds of the way up (SimAlign: 8 of 12)."""
    name = str(encoder.name)
    if name.startswith(PREFIX) and name[len(PREFIX) :] in MODELS:
        known = MODELS.get(name[len(PREFIX) :]).similarity_layer
        if known is not None:
            return known
    return max(1, round(2 / 3 * int(encoder.layers)))


def simalign_methods() -> list[str]:
    """Names of the methods of the ``simalign`` package as they are asked for here."""
    from align_eval.aligners.simalign import LETTERS

    return [f"simalign:{name}" for name in LETTERS]
