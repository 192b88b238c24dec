"""Links from a trained head and refiner over the frozen states of an encoder (``refined``)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from align_eval.aligners import ALIGNERS, AlignerSettings, System
from align_eval.aligners.refiner import Beliefs, Looks, Refiner, TrainedRefiner, find_refiner
from align_eval.aligners.similarity import SimilarityAligner, groups_of_like_size, to_links
from align_eval.attribution.matrix import padded_tensor
from align_eval.corpora import SentencePair
from align_eval.corpora.pair import check_sizes
from align_eval.errors import InputError
from align_eval.extraction import column_maxima, row_maxima
from align_eval.links import Links
from align_eval.models.vectors import vector_models
from align_eval.registry import check_fields, option, options_of, parse_options, split_spec

# Cells of a group of padded score matrices: the channels of the convolutions stay in a processor's cache.
_CELLS, _CELLS_ELSEWHERE = {"cpu": 1 << 14}, 1 << 21


@dataclass(frozen=True)
class RefinedOptions:
    """The options of the method ``refined``."""

    #: A refiner of the package: ``free``, ``cc0``.
    name: str = option("free")
    #: Folder of a refiner of one's own, in place of the package's (``align-eval train``).
    path: str = option("")
    #: ``threshold``: every pair of words above it; ``mutual``: those that are each other's best, too; ``source`` or
    #: ``target``: for each word of that side its best one at most.
    links: str = option("threshold", choices=("threshold", "mutual", "source", "target"))
    #: The probability above which words are linked; ``None``: the one that was chosen in training.
    threshold: float | None = option(None, kind=float, low=0, high=1)

    def __post_init__(self) -> None:
        check_fields(self, "the method refined")

    @classmethod
    def parse(cls, spec: str) -> RefinedOptions:
        """Read ``refined:option=value,...``."""
        return cls(**parse_options("the method refined", split_spec(spec)[1], options_of(cls)))

    @property
    def changed(self) -> dict[str, Any]:
        """The options that differ from their defaults."""
        return {f.name: value for f in fields(self) if (value := getattr(self, f.name)) != f.default}

    @property
    def spec(self) -> str:
        """The method with the options that differ from their defaults."""
        return ":".join(filter(None, ("refined", ",".join(f"{key}={value}" for key, value in self.changed.items()))))


class LinksWithNull(Links):
    """Links of a pair with ``nulls``: for each source and each target word the probability that it has no link."""

    __slots__ = ("nulls",)

    nulls: tuple[NDArray[np.float32], NDArray[np.float32]]

    def __reduce__(self) -> tuple[object, ...]:
        return (_with_null, (self.pairs, self.scores, self.nulls))


def _with_null(pairs: Any, scores: Any, nulls: Any) -> LinksWithNull:
    made = LinksWithNull.__new__(LinksWithNull)
    made.pairs, made.scores, made.nulls = pairs, scores, nulls
    return made


@ALIGNERS.register("refined")
class RefinedAligner(SimilarityAligner):
    """The probabilities of links by :mod:`align_eval.aligners.refiner`; the model runs once, up to its layers.

    Several refiners in one aligner read the same states: they need one rule for lone marks.
    """

    def __init__(self, settings: AlignerSettings) -> None:
        if settings.layers:
            raise InputError(
                "refined reads the layers that it was trained on", remedy="Leave out --layer (layer= in Python)"
            )
        if settings.subword != "any":
            raise InputError("refined pools subwords to words itself", remedy="Leave out --subword")
        chosen = {asked.spec: asked for asked in map(RefinedOptions.parse, settings.methods)}
        model = settings.loaded().in_languages(settings.source_language, settings.target_language)
        self._read_by(vector_models(model), settings)
        self.refiners = {spec: find_refiner(o.name, o.path, self.encoder) for spec, o in chosen.items()}
        rules = {refiner.lone_marks for refiner in self.refiners.values()}
        if len(rules) > 1 and settings.lone_marks is None:
            raise InputError("these refiners were trained with different --lone-marks", remedy="Run them apart")
        self.lone_marks = settings.lone_marks or rules.pop()
        self.layers = sorted({layer for r in self.refiners.values() for layer in r.network.shape.layers})
        for refiner in self.refiners.values():
            refiner.network.to(self.encoder.device)
        self.options = chosen
        self.systems = [System(spec) for spec in chosen]

    def signature(self, system: System) -> dict[str, str]:
        refiner, asked = self.refiners[system.method], self.options[system.method]
        changed = {key: value for key, value in asked.changed.items() if key not in ("name", "path")}
        out = {
            **self.describe(), "layer": "+".join(map(str, refiner.network.shape.layers)),
            "method": f"refined/{refiner.name}@{refiner.sha256[:8]}", "trained": refiner.trained_on,
        }  # fmt: skip
        return {**out, "params": ",".join(f"{k}={v}" for k, v in changed.items())} if changed else out

    def probabilities(self, pair: SentencePair, system: System | None = None) -> NDArray[np.float32]:
        """The probability of every link of a pair, ``(source words, target words)``; 0 for a word without a token."""
        check_sizes([pair])
        refiner = self.refiners[(system or self.systems[0]).method]
        out = np.zeros((len(pair.source), len(pair.target)), dtype=np.float32)
        tokens = self._segment([pair.source, pair.target])
        if not len(tokens.ids[0]) or not len(tokens.ids[1]):
            return out
        units = self._units([pair], tokens, [0, 1])
        vectors = self._vectors(refiner, units.values)
        return _beliefs_of(refiner.network, [pair], vectors, units.rows, units.words).links[0].cpu().numpy()

    def word_map(self, pair: SentencePair, layer: int | None = None) -> NDArray[np.float32]:
        """:meth:`probabilities`, for figures; ``layer`` says nothing here."""
        return self.probabilities(pair)

    def _vectors(self, refiner: TrainedRefiner, states: Tensor) -> Tensor:
        wanted = [self.layers.index(layer) for layer in refiner.network.shape.layers]
        with torch.inference_mode():
            chosen = states if wanted == [*range(len(states))] else states[wanted]
            return refiner.network.tokens(chosen.transpose(0, 1))

    def _align_part(
        self, pairs: Sequence[SentencePair], part: list[int], tokens: Any, out: dict[System, list[Links]]
    ) -> None:
        units = self._units(pairs, tokens, [position for k in part for position in (2 * k, 2 * k + 1)])
        sizes = [len(side) for k in part for side in (pairs[k].source, pairs[k].target)]
        for system in self.systems:
            refiner, asked = self.refiners[system.method], self.options[system.method]
            vectors = self._vectors(refiner, units.values)
            budget = _CELLS.get(vectors.device.type, _CELLS_ELSEWHERE)
            for group in groups_of_like_size(sizes, budget):
                places = [position for g in group for position in (2 * g, 2 * g + 1)]
                beliefs = _beliefs_of(
                    refiner.network, [pairs[part[g]] for g in group], vectors, [units.rows[p] for p in places],
                    [units.words[p] for p in places],
                )  # fmt: skip
                threshold = refiner.threshold if asked.threshold is None else asked.threshold
                scores = beliefs.links
                found = to_links(_chosen(scores, beliefs, threshold, asked.links), scores)
                nulls = [side.exp().cpu().numpy() for side in (beliefs.source_null, beliefs.target_null)]
                for b, (g, links) in enumerate(zip(group, found, strict=True)):
                    pair = pairs[part[g]]
                    own = nulls[0][b, : len(pair.source)], nulls[1][b, : len(pair.target)]
                    out[system][part[g]] = _with_null(links.pairs, links.scores, own)


def _beliefs_of(
    network: Refiner, pairs: Sequence[SentencePair], vectors: Tensor, rows: Sequence[Any], words: Sequence[Any]
) -> Beliefs:
    """The beliefs about pairs; ``rows`` and ``words`` of their sentences, sources and targets by turns."""
    numbers: dict[str, int] = {}
    device = vectors.device
    looks = [
        Looks(*(part.to(device) for part in Looks.of([getattr(p, side) for p in pairs], numbers)))
        for side in ("source", "target")
    ]
    counts = looks[0].form.shape[1], looks[1].form.shape[1]
    places = [padded_tensor([*map(np.asarray, rows[k::2])], 0, device) for k in (0, 1)]
    owners = [padded_tensor([*map(np.asarray, words[k::2])], -1, device) for k in (0, 1)]
    with torch.inference_mode():
        tokens = [vectors[place] for place in places]
        cosines = network.cosines(tokens[0], tokens[1], owners[0], owners[1], counts)
        present = [with_tokens(owner, count) for owner, count in zip(owners, counts, strict=True)]
        return network(cosines, *looks, *present)


def with_tokens(words: Tensor, count: int) -> Tensor:
    """Which of ``count`` words have a token: ``(B, count)`` bool; ``words`` ``(B, tokens)``, -1 in the padding."""
    found = torch.zeros((len(words), count + 1), dtype=torch.bool, device=words.device)
    return found.scatter_(1, words % (count + 1), True)[:, :count]


def _chosen(scores: Tensor, beliefs: Beliefs, threshold: float, rule: str) -> Tensor:
    """The cells that are links, ``(B, M, N)`` bool."""
    above = links = scores > threshold
    if rule in ("mutual", "source"):
        links = links & row_maxima(scores, above)
    if rule in ("mutual", "target"):
        links = links & column_maxima(scores, above)
    return links
