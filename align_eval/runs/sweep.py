"""AER of every layer, head and alignment mode of a model's attention over a test set, in one pass.

The maps of a batch become links for all views at once, and the four counts of each sentence are read off as sums of
booleans; no links are kept. A view, or a combination of views (:mod:`align_eval.runs.selection`), is chosen on a
development part and reported on the disjoint rest.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from align_eval.aligners.heads import mode_name
from align_eval.errors import InputError, UnknownNameError
from align_eval.extraction import make_extractor
from align_eval.frames import frame
from align_eval.models.identity import signature_of
from align_eval.runs.word_maps import MapSource, WordMaps
from align_eval.scoring import Score, Signature, measures, score_counts
from align_eval.scoring.measures import known
from align_eval.scoring.score import rounded
from align_eval.signals.base import make_attribution
from align_eval.signals.collect import lay_out_fitting, layout_word_matrices
from align_eval.signals.matrix import View

if TYPE_CHECKING:
    import pandas

    from align_eval.corpora import TestSet

Part = Sequence[int] | NDArray[np.int64] | slice
"""Sentence numbers of a test set, or a slice of them."""


@dataclass(frozen=True)
class Sweep:
    """Counts of every view on every sentence pair.

    Attributes:
        testset: the test set; ``model``: name of the model; ``method``: spec of the extraction method;
            ``signal``: name of the signal.
        views: V views: layer and head (from 1, or ``mean``), reading (the model's name of the alignment mode).
        counts: ``(V, N, 4)`` int32: |A|, |S|, |A∩S|, |A∩P| of each sentence pair.
        description: what goes into signatures: model, revision, number type, sub-word rule.
        maps: where the word maps of a part can be had again, for combinations of views.
        fits: whether each pair fits the model's window, ``(N,)``; counts of the others are 0; scores leave them out.
    """

    testset: TestSet
    model: str
    method: str
    signal: str
    views: tuple[View, ...]
    counts: NDArray[np.int32]
    description: dict[str, str]
    maps: MapSource = field(repr=False, compare=False)
    fits: NDArray[np.bool_] = field(repr=False, compare=False)

    @property
    def left_out(self) -> int:
        """How many pairs are longer than the model's window."""
        return int((~self.fits).sum())

    def aer(self, part: Part = slice(None)) -> NDArray[np.float64]:
        """Corpus AER in percent of every view, ``(V,)``, over all sentence pairs or a part of them."""
        sums = self.counts[:, part].sum(axis=1, dtype=np.int64)
        return np.asarray(measures(sums)["aer"], dtype=np.float64)

    def best(self, part: Part = slice(None)) -> int:
        """The number of the view with the lowest AER over a part; of equal ones the first."""
        return int(self.aer(part).argmin())

    def score(self, view: int, part: Part = slice(None), **options: Any) -> Score:
        """Score of one view over a part, with intervals and signature."""
        return self.score_counts(self.counts[view, part], [view], part, **options)

    def score_counts(
        self,
        rows: NDArray[np.int32],
        views: Sequence[int],
        part: Part = slice(None),
        more: dict[str, str] | None = None,
        **options: Any,
    ) -> Score:
        """Score of counts ``(n, 4)`` that were made from some views over a part of n sentence pairs.

        Args:
            rows: |A|, |S|, |A∩S|, |A∩P| of each sentence pair.
            views: their numbers; in the signature layers, heads and modes stand in this order, joined by commas.
            part: the sentence pairs.
            more: keys of the signature beside or in place of these.
            options: ``resamples``, ``seed``, ``confidence``, see :func:`align_eval.scoring.score`.
        """
        kept = self.fits[part]
        numbers = np.arange(len(self.fits))[part][kept]
        chosen = [self.views[v] for v in views]
        readings = list(dict.fromkeys(view.reading for view in chosen))
        named = readings if len(readings) == 1 else [view.reading for view in chosen]
        signature = Signature(
            {
                "set": self.testset.name,
                "sha256": self.testset.checksum[:8],
                "base": self.testset.base,
                "sym": "none",
                **self.description,
                "signal": f"{self.signal}-{','.join(named)}",
                "layer": ",".join(str(view.layer) for view in chosen),
                "head": ",".join(str(view.head) for view in chosen),
                "method": self.method,
                **(more or {}),
            }
        )
        possible = int(np.diff(self.testset.gold.offsets)[numbers].sum())
        return score_counts(rows[kept], possible, signature=signature, **options)

    def sure(self) -> NDArray[np.int32]:
        """|S| of each sentence pair, ``(N,)``."""
        return np.asarray(self.counts[0, :, 1])

    def to_json(self) -> list[dict[str, Any]]:
        """One row a view: ``layer``, ``head`` (1-based or ``mean``), ``mode``, ``signal``, ``aer`` and the rest.

        ``selection`` is ``None`` and ``part`` is ``all``: nothing was chosen, and all sentence pairs count.
        """
        sums = self.counts.sum(axis=1, dtype=np.int64)
        values = measures(sums)
        rows = []
        for number, view in enumerate(self.views):
            row: dict[str, Any] = {
                "testset": self.testset.name, "model": self.model, "layer": view.layer, "head": view.head,
                "mode": mode_name(view.reading), "signal": self.signal, "method": self.method, "selection": None,
                "part": "all",
            }  # fmt: skip
            row |= {name: rounded(known(values[name][number])) for name in ("aer", "precision", "recall", "f1")}
            row |= {"links": int(sums[number, 0]), "sure": int(sums[number, 1]), "sentences": int(self.fits.sum())}
            row |= {"left_out": self.left_out} if self.left_out else {}
            rows.append(row)
        return rows

    def to_frame(self) -> pandas.DataFrame:
        """A row a view, with the keys of :meth:`to_json` as columns."""
        return frame(self.to_json())


def split(sentences: int, development: float, seed: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Sentence numbers of a development part and of the disjoint rest, both ascending; seeded.

    Raises:
        InputError: one of the parts would be empty.
    """
    size = round(sentences * development)
    if not 0 < size < sentences:
        raise InputError(
            f"a development part of {development:g} of {sentences} sentence pairs leaves one part empty",
            remedy="Give more sentence pairs, or another share: --development 0.5 (development=0.5 in Python)",
        )
    order = np.random.default_rng(seed).permutation(sentences)
    return np.sort(order[:size]), np.sort(order[size:])


def sweep_testset(
    testset: TestSet,
    model: Any,
    *,
    layers: Any = "all",
    heads: Any = ("all", "mean"),
    modes: Sequence[str] | None = None,
    signal: str = "attention",
    method: str = "reverse",
    keys: str = "sum",
    queries: str = "mean",
    token_budget: int | None = None,
    development: Sequence[int] | NDArray[np.int64] | None = None,
    on_long: str = "leave",
    progress: Callable[[int], None] | None = None,
) -> Sweep:
    """Align a test set with every view of a model's attention and count against gold.

    Args:
        testset: of :func:`align_eval.load_testset`.
        model: of :func:`align_eval.load_model`, of any family.
        modes: alignment modes of :data:`align_eval.aligners.heads.MODES`; ``None``: all of the model.
        layers, heads, keys, queries, token_budget: see
            :func:`align_eval.signals.collect.word_matrices`.
        signal: an attribution method of :data:`align_eval.signals.base.ATTRIBUTIONS`, options after a colon
            (``smoothgrad:samples=8``); those of whole layers have one head, ``layer``.
        method: extraction method; ``reverse``, each target word to the source word it looks at most, is the usual one.
        development: sentence numbers whose maps :func:`align_eval.runs.selection.select` will ask for; see
            :class:`align_eval.runs.word_maps.MapSource` for how much is kept. ``None``: nothing.
        on_long: ``leave`` (pairs over the model's window are left out of all scores and counted) or ``raise``.
        progress: called with the number of pairs done since the last call.
    """
    extractor = make_extractor(method)
    reader = make_attribution(signal, model)
    gold, pairs = testset.gold, testset.pairs
    layouts = lay_out_fitting(reader, pairs) if on_long == "leave" else reader.lay_out(pairs)
    fits = np.array([layout is not None for layout in layouts])
    rules: dict[str, Any] = {"keys": keys, "queries": queries, "token_budget": token_budget}
    kept = None if development is None else [int(k) for k in development]
    source = MapSource(model, signal, pairs, gold, kept, rules)
    views: tuple[View, ...] = ()
    counts = np.zeros((0, len(pairs), 4), dtype=np.int32)
    for batch in layout_word_matrices(reader, layouts, layers, heads, _readings(reader, modes), **rules):
        if not views:
            views = batch.views
            source.begin(views)
            counts = np.zeros((len(views), len(pairs), 4), dtype=np.int32)
        maps = WordMaps.of(batch, gold)
        counts[:, list(batch.indices)] = maps.count(extractor)
        source.keep(maps)
        if progress:
            progress(len(batch))
    if not views:
        if not fits.any():
            reader.lay_out(pairs[:1])  # says how long it is
        raise InputError(
            f"no sentence pair of {testset.name} has a token on both sides and fits the window of {reader.name}",
            remedy="Give pairs that have words",
        )
    counts[:, :, 1] = np.bincount(gold.sentence[gold.sure], minlength=gold.sentences) * fits
    description = {**signature_of(reader), "subword": f"{keys}/{queries}"}
    if not fits.all():
        description["long"] = "leave"
    return Sweep(testset, reader.name, extractor.spec, signal, views, counts, description, source, fits)


def _readings(reader: Any, modes: Sequence[str] | None) -> list[str] | None:
    """The model's own names of alignment modes.

    Raises:
        UnknownNameError: a mode that it does not have.
    """
    known = {mode_name(reading): reading for reading in reader.readings}
    for mode in modes or ():
        if mode not in known:
            raise UnknownNameError(f"alignment mode of {reader.name}", mode, known)
    return None if modes is None else [known[mode] for mode in modes]


def for_testset(model: Any, testset: TestSet) -> Any:
    """The model with the languages of a test set, as far as the set has them and the model has none chosen yet.

    An encoder-decoder model of several languages translates from the source to the target language of the set; a
    decoder-only model's prompt names them. Other models are given back as they are.

    Raises:
        InputError: an encoder-decoder model that does not have these languages, or translates into another one.
    """

    return model.in_languages(testset.source_language or None, testset.target_language or None)
