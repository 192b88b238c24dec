"""Links from the contextual similarity of a model's hidden states: many layers and methods in one pass.

Encoders and decoder-only models read each sentence by itself; of an encoder-decoder model it is the encoder that reads
both sides, each with the tag of its language (:func:`align_eval.models.vectors.vector_models`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import product
from typing import Any, NamedTuple, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from align_eval.aligners import ALIGNERS, Aligner, AlignerSettings, System, describe_encoder
from align_eval.attribution.matrix import ScoreMatrix
from align_eval.attribution.similarity import encode_in_windows, similarity, word_means
from align_eval.corpora import SentencePair
from align_eval.corpora.pair import MOST_SUBWORDS, check_sizes, pair_size_error
from align_eval.errors import InputError, NonFiniteError, SentenceTooLongError, UnknownNameError
from align_eval.extraction import EXTRACTORS, Extractor, any_subword, make_extractor
from align_eval.links import Links
from align_eval.models.offline import MODELS, PREFIX
from align_eval.models.tokens import IdArray, Tokenized, lone_mark, without_lone_marks
from align_eval.models.vectors import VectorModel, Vectors, vector_models

# Vectors kept at one time.
VECTOR_BUDGET = 400_000
# Cells of the padded score matrices of a group: what a processor's cache holds, or what keeps a GPU busy.
_CELLS, MOST_CELLS = {"cpu": 1 << 19}, 1 << 23


T = TypeVar("T")


class _TokenizedPairs(list[SentencePair]):
    """Pairs of which the sub-words are known: sources and targets by turns."""

    tokens: Tokenized
    large: set[int]


class _Units(NamedTuple):
    """Vectors of all units, ``(layers, N, d)`` or ``(N, d)``; of each sentence its rows among the N and their words."""

    values: Tensor
    rows: list[IdArray]
    words: list[IdArray]


@ALIGNERS.register("similarity")
class SimilarityAligner(Aligner):
    """Every extraction method at every layer asked for; the model runs once, up to the highest layer."""

    def __init__(self, settings: AlignerSettings) -> None:
        self.extractors = make_extractors(settings.methods)
        model = settings.loaded().in_languages(settings.source_language, settings.target_language)
        self._read_by(vector_models(model), settings)
        self.layers = chosen_layers(self.encoder, settings.layers)
        self.systems = [System(e.spec, layer) for layer, e in product(self.layers, self.extractors)]

    def _read_by(self, sides: Sequence[VectorModel], settings: AlignerSettings) -> None:
        self.sides, self.settings = sides, settings
        self.encoder = sides[0]
        self.window = min(side.window for side in sides)
        self.lone_marks = settings.lone_marks or "cjk"

    def describe(self) -> dict[str, str]:
        out = describe_encoder(self.encoder, self.settings)
        marks = self.lone_marks != "keep" and lone_mark(self.encoder.tokenizer) is not None
        return {**out, "lone": self.lone_marks} if marks else out

    def _segment(self, sentences: Sequence[Sequence[str]]) -> Tokenized:
        tokens = self.encoder.tokenize(sentences)
        return without_lone_marks(tokens, sentences, self.encoder.tokenizer, self.lone_marks)

    def ready(self, pairs: list[SentencePair]) -> list[SentencePair]:
        """The pairs and their sub-words."""
        made = _TokenizedPairs(pairs)
        made.tokens, made.large = self._tokenize(pairs)
        return made

    def _tokenize(self, pairs: Sequence[SentencePair]) -> tuple[Tokenized, set[int]]:
        """The sub-words of both sides by turns, and the pairs that are too large (with ``on_long="leave"``)."""
        large = {k: error for k, pair in enumerate(pairs) if (error := pair_size_error(pair)) is not None}
        if not large or self.settings.on_long == "leave":
            sides = [() if k in large else side for k, pair in enumerate(pairs) for side in (pair.source, pair.target)]
            tokens = self._segment(sides)
            sizes = tokens.lengths.reshape(-1, 2)
            for k in np.flatnonzero((sizes > MOST_SUBWORDS[1]).any(axis=1)).tolist():
                error = pair_size_error(pairs[k], sizes[k].tolist())
                if error is not None:
                    large[k] = error
        if large and self.settings.on_long != "leave":
            raise large[min(large)]
        return tokens, set(large)

    def align_all(self, pairs: Sequence[SentencePair]) -> dict[System, list[Links]]:
        out: dict[System, list[Links]] = {system: [Links((), ())] * len(pairs) for system in self.systems}
        ready = isinstance(pairs, _TokenizedPairs)
        tokens, large = (pairs.tokens, pairs.large) if ready else self._tokenize(pairs)  # type: ignore[attr-defined]
        sizes = [len(ids) for ids in tokens.ids]
        if large:
            self.count_long("left_out", len(large))
        live = [k for k in range(len(pairs)) if sizes[2 * k] and sizes[2 * k + 1] and k not in large]
        long = {k for k in live if max(sizes[2 * k], sizes[2 * k + 1]) > self.window}
        if long and self.settings.on_long == "raise":
            position, size = next((p, size) for p, size in enumerate(sizes) if size > self.window)
            raise SentenceTooLongError(
                f"the {'target' if position % 2 else 'source'} sentence of pair {pairs[position // 2].id} has {size} "
                f"sub-words, the model's window is {self.window}",
                remedy="Let it be aligned in overlapping windows (--on-long window) or split the sentence",
            )
        if long and self.settings.on_long == "leave":
            self.count_long("left_out", len(long))
            live = [k for k in live if k not in long]
        elif long:
            self.count_long("windowed", len(long))
        for part in consecutive(live, lambda k: sizes[2 * k] + sizes[2 * k + 1], VECTOR_BUDGET // len(self.layers)):
            self._align_part(pairs, part, tokens, out)
        return out

    def word_map(self, pair: SentencePair, layer: int) -> NDArray[np.float32]:
        """The similarity of every two words of a pair at one of ``self.layers``, ``(source words, target words)``.

        (cosine + 1) / 2 of the best token pair, or of the mean vectors with the subword rule ``mean``; 0 for a word
        without a token.
        """
        check_sizes([pair])
        out = np.zeros((len(pair.source), len(pair.target)), dtype=np.float32)
        units = self._units([pair], self._segment([pair.source, pair.target]), [0, 1])
        values, rows, words = self._pool(units, self.layers.index(layer))
        if not len(words[0]) or not len(words[1]):
            return out
        batch = similarity(values, (rows[:1], rows[1:]), (words[:1], words[1:]), (out.shape[:1], out.shape[1:]))
        np.maximum.at(out, np.ix_(*words), batch.values[0, 0].cpu().numpy())
        return out

    def _units(self, pairs: Sequence[SentencePair], tokens: Any, order: list[int]) -> _Units:
        """The vectors of the sentences ``order`` of ``tokens``."""

        def by(side: VectorModel, positions: list[int]) -> tuple[Tensor, list[IdArray]]:
            def encode(sentences: Sequence[np.ndarray]) -> Vectors:
                return side.vectors(sentences, self.layers, token_budget=self.settings.token_budget)

            return encode_in_windows(encode, [tokens.ids[p] for p in positions], side.window)

        def vectors(positions: list[int]) -> tuple[Tensor, list[IdArray]]:
            source, target = self.sides
            if source is target:
                return by(source, positions)
            parts = [by(side, [p for p in positions if p % 2 == k]) for k, side in enumerate(self.sides)]
            rows = [iter(parts[0][1]), iter([own + parts[0][0].shape[1] for own in parts[1][1]])]
            return torch.cat([values for values, _ in parts], dim=1), [next(rows[p % 2]) for p in positions]

        try:
            values, rows = vectors(order)
        except NonFiniteError as error:
            while len(order) > 1:  # which sentence is it?
                half = order[: len(order) // 2]
                try:
                    vectors(half)
                    order = order[len(half) :]
                except NonFiniteError:
                    order = half
            side, pair = "target" if order[0] % 2 else "source", pairs[order[0] // 2]
            message = f"{self.encoder.name} returned NaN or infinity for the {side} sentence of pair {pair.id}"
            raise NonFiniteError(message, remedy=error.remedy) from error
        return _Units(values, rows, [np.asarray(tokens.words[p], dtype=np.int64) for p in order])

    def _pool(self, units: _Units, layer: int) -> _Units:
        """The units of the subword rule at a layer: tokens for ``any``, mean vectors of words for ``mean``."""
        values, rows, words = units.values[layer], units.rows, units.words
        if self.settings.subword != "mean" or not rows:
            return _Units(values, rows, words)
        numbered = np.concatenate([(k << 32) + own for k, own in enumerate(words)])
        means, present = word_means(values[np.concatenate(rows)], torch.from_numpy(numbered))
        found = present.numpy()
        bounds = np.searchsorted(found >> 32, np.arange(1, len(rows)))
        return _Units(means, np.split(np.arange(len(found)), bounds), np.split(found & (2**32 - 1), bounds))

    def _align_part(
        self, pairs: Sequence[SentencePair], part: list[int], tokens: Any, out: dict[System, list[Links]]
    ) -> None:
        """Align the pairs ``part`` and put their links into ``out``."""
        units = self._units(pairs, tokens, [position for k in part for position in (2 * k, 2 * k + 1)])
        for number, layer in enumerate(self.layers):
            pooled = self._pool(units, number)
            for group in groups_of_like_size(
                [len(own) for own in pooled.words], _CELLS.get(units.values.device.type, MOST_CELLS)
            ):
                self._extract(pairs, part, group, pooled, layer, out)

    def _extract(
        self, pairs: Sequence[SentencePair], part: list[int], group: list[int], units: _Units, layer: int,
        out: dict[System, list[Links]],
    ) -> None:  # fmt: skip
        """Extract the links of ``group`` (positions in ``part``) at one layer with every method."""
        members = [pairs[part[g]] for g in group]
        counts = [len(p.source) for p in members], [len(p.target) for p in members]
        rows, words = (
            ([own[2 * g] for g in group], [own[2 * g + 1] for g in group]) for own in (units.rows, units.words)
        )
        maps: dict[str, ScoreMatrix] = {}
        for extractor in self.extractors:
            kind = extractor.needs
            if kind not in maps:
                ids = [p.id for p in members]
                maps[kind] = similarity(units.values, rows, words, counts, kind, layer=layer, ids=ids)
            result = extractor.masked(maps[kind].values[0], maps[kind].mask)
            sides = maps[kind].source.words, maps[kind].target.words
            result = any_subword(result, *sides, max(counts[0]), max(counts[1]))
            system = System(extractor.spec, layer)
            for g, links in zip(group, to_links(result.links, result.scores), strict=True):
                out[system][part[g]] = links


def to_links(matrix: Tensor, scores: Tensor) -> Iterator[Links]:
    """One :class:`Links` a matrix of the batch ``(B, M, N)``."""
    found = matrix.nonzero()
    values = scores[tuple(found.T)].float().cpu().numpy()  # by place: by the mask, a device would count its cells again
    cells = found.to(torch.int32).cpu().numpy()
    pairs = np.ascontiguousarray(cells[:, 1:])
    start = 0
    for end in np.bincount(cells[:, 0], minlength=len(matrix)).cumsum().tolist():
        yield Links.presorted(pairs[start:end], values[start:end])
        start = end


def consecutive(items: Sequence[T], size: Callable[[T], int], budget: int) -> Iterator[list[T]]:
    """Consecutive parts of at most ``budget`` in all; a single greater item is a part of its own."""
    part: list[T] = []
    total = 0
    for item in items:
        if part and total + size(item) > budget:
            yield part
            part, total = [], 0
        part.append(item)
        total += size(item)
    if part:
        yield part


def groups_of_like_size(lengths: Sequence[int], budget: int) -> Iterator[list[int]]:
    """Pairs of like size together: groups whose padded score matrices hold at most ``budget`` cells."""
    pairs = [(lengths[2 * g], lengths[2 * g + 1]) for g in range(len(lengths) // 2)]
    order = sorted(range(len(pairs)), key=lambda g: (max(pairs[g]), pairs[g]))
    group: list[int] = []
    rows = columns = 0
    for g in order:
        r, c = max(rows, pairs[g][0]), max(columns, pairs[g][1])
        if group and (len(group) + 1) * r * c > budget:
            yield group
            group, r, c = [], *pairs[g]
        group.append(g)
        rows, columns = r, c
    if group:
        yield group


def chosen_layers(encoder: Any, layers: Sequence[int]) -> list[int]:
    """``layers`` without repetitions, or the default layer if none is named; InputError: there is no such layer."""
    for layer in layers:
        if not 0 <= layer <= encoder.layers:
            raise InputError(
                f"layer {layer} of {encoder.name}, which has {encoder.layers}",
                remedy=f"Give a layer from 0 (embeddings) to {encoder.layers}",
            )
    return list(dict.fromkeys(layers)) or [default_layer(encoder)]


def make_extractors(methods: Sequence[str]) -> list[Extractor]:
    """The extraction methods that specs ask for, each once; needs no model.

    Raises:
        UnknownNameError: no such method (all methods, those of other aligners too, are listed) or option.
        InputError: a value of the wrong kind.
    """
    for method in methods:
        if method.partition(":")[0] not in EXTRACTORS:
            raise UnknownNameError("method", method.partition(":")[0], all_methods())
    return list({extractor.spec: extractor for extractor in map(make_extractor, methods)}.values())


def default_layer(encoder: Any) -> int:
    """The layer taken when none is named: an offline model's own, else two thirds of the way up (SimAlign: 8 of 12)."""
    name = str(encoder.name)
    if name.startswith(PREFIX) and name[len(PREFIX) :] in MODELS:
        known = MODELS.get(name[len(PREFIX) :]).similarity_layer
        if known is not None:
            return known
    return max(1, round(2 / 3 * int(encoder.layers)))


def all_methods() -> list[str]:
    """Names of all methods: extraction methods, those of the ``simalign`` package, and aligners without a model."""
    from align_eval.aligners.simalign import LETTERS

    own = [name for name, aligner in ALIGNERS.items() if not aligner.needs_model]
    return [*EXTRACTORS.names(), *(f"simalign:{name}" for name in LETTERS), *own]
