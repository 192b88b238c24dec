"""AER of every layer, head and alignment mode of a model's attention over a test set, in one pass.

The score matrices of a batch become links for all heads at once, and the four counts of each sentence are sums of
booleans; no links are kept. A head, or a combination of heads (:mod:`align_eval.runs.selection`), is chosen on the dev
split and reported on the disjoint test split.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from align_eval.aligners.heads import mode_name
from align_eval.attribution import make_attribution
from align_eval.attribution.collect import lay_out_fitting, layout_word_matrices, word_matrices
from align_eval.attribution.matrix import ScoreMatrix, View
from align_eval.corpora import Corpus, SentencePair
from align_eval.errors import InputError, UnknownNameError
from align_eval.extraction import Extractor, make_extractor
from align_eval.links.table import LinkTable
from align_eval.models.loaded import signature_of
from align_eval.scoring import Score, Signature, measures, score_counts
from align_eval.scoring.measures import known
from align_eval.scoring.score import rounded
from align_eval.statistics import split as split
from align_eval.tables import frame

if TYPE_CHECKING:
    import pandas


CELL_BUDGET = 1 << 22
"""Cells (heads x pairs x source x target words) that extraction sees at a time."""
BOUND = 1 << 27
"""Numbers that are kept of the word matrices of a test set, padding not counted: 512 MiB in float32."""

Part = Sequence[int] | NDArray[np.int64] | slice
"""Sentence numbers of a test set, or a slice of them."""


@dataclass(frozen=True)
class WordMaps:
    """Score matrices between the words of B pairs under V views, and the gold of their cells."""

    matrix: ScoreMatrix  # its indices are numbers of the test set
    sure: Tensor  # (B, M, N) bool: sure gold links between words that have a token
    possible: Tensor  # all gold links

    @classmethod
    def of(cls, matrix: ScoreMatrix, gold: LinkTable) -> WordMaps:
        """The matrices of a batch with the gold of the whole test set."""
        cells = np.zeros((2, len(matrix), *matrix.values.shape[2:]), dtype=bool)
        for b, k in enumerate(matrix.indices):
            part = slice(int(gold.offsets[k]), int(gold.offsets[k + 1]))
            source, target, sure = gold.source[part], gold.target[part], gold.sure[part]
            cells[0, b, source[sure], target[sure]] = True
            cells[1, b, source, target] = True
        return cls(matrix, *(torch.from_numpy(cells).to(matrix.values.device) & matrix.mask))

    def pick(self, pairs: Sequence[int], views: Sequence[int] | None = None) -> WordMaps:
        """Copies of some of the pairs (by position), and of some of the views (by position; ``None``: all)."""
        rows = torch.tensor(list(pairs), dtype=torch.int64, device=self.sure.device)
        matrix = self.matrix if views is None else self.matrix.with_views(views)
        return WordMaps(matrix.pick(pairs), self.sure[rows], self.possible[rows])

    def count(self, extractor: Extractor, values: Tensor | None = None) -> NDArray[np.int32]:
        """|A|, 0, |A∩S|, |A∩P| of each matrix and pair, ``(V, B, 4)``, of ``values`` in place of these if given.

        |S| is not here: words without a token may have links too.
        """
        values = self.matrix.values if values is None else values
        number, *shape = values.shape
        mask = self.matrix.mask
        out = torch.zeros((number, len(mask), 4), dtype=torch.int32, device="cpu")
        step = max(1, CELL_BUDGET // max(mask.numel(), 1))
        for start in range(0, number, step):
            part = values[start : start + step]
            links = extractor.masked(part.flatten(0, 1), mask.repeat(len(part), 1, 1)).links.view(-1, *shape)
            for column, cells in zip((0, 2, 3), (links, links & self.sure, links & self.possible), strict=True):
                out[start : start + step, :, column] = cells.sum(dim=(2, 3)).to("cpu", torch.int32)
        return out.numpy()


class MapSource:
    """The word matrices of a test set by pairs and views: kept from the first pass where they fit, else computed again.

    What is kept is decided when the first batch comes: all pairs if all views of them are within :data:`BOUND` numbers,
    else the dev split if that is, else (and with ``development=None``) nothing. The model is not kept: what must be
    computed again needs it to be in memory still. ``rules``: ``keys``, ``queries`` and ``token_budget`` of
    :func:`align_eval.attribution.collect.word_matrices`.
    """

    def __init__(
        self, model: Any, attribution: str, pairs: Sequence[SentencePair], gold: LinkTable,
        development: Sequence[int] | None, rules: dict[str, Any],
    ) -> None:  # fmt: skip
        self._model = None if model is None else weakref.ref(model)
        self.attribution, self.pairs, self.gold, self.rules = attribution, pairs, gold, rules
        self.development = development
        self.views: tuple[View, ...] = ()
        self._kept: list[WordMaps] = []
        self._members: frozenset[int] = frozenset()

    def begin(self, views: Sequence[View]) -> None:
        """State the views of the first pass, in order."""
        self.views = tuple(views)
        if self.development is not None:
            for part in (range(len(self.pairs)), self.development):
                if len(views) * self.cells(part) <= BOUND:
                    self._members = frozenset(int(k) for k in part)
                    return

    def cells(self, part: Sequence[int] | NDArray[np.int64]) -> int:
        """Pairs of words of some sentence pairs."""
        return sum(len(self.pairs[int(k)].source) * len(self.pairs[int(k)].target) for k in part)

    def keep(self, maps: WordMaps) -> None:
        """Take what is to be kept of a batch of the first pass."""
        if some := [b for b, k in enumerate(maps.matrix.indices) if k in self._members]:
            self._kept.append(maps.pick(some))

    def batches(self, part: Sequence[int] | NDArray[np.int64], views: Sequence[int]) -> Iterator[WordMaps]:
        """The matrices of some sentence pairs under some views (both by number), batch by batch.

        Pairs with a side without any token, or longer than the model's window, are in no batch.
        """
        wanted = {int(k) for k in part}
        if wanted <= self._members:
            everything = list(views) == list(range(len(self.views)))
            for maps in self._kept:
                some = [b for b, k in enumerate(maps.matrix.indices) if k in wanted]
                if everything and len(some) == len(maps.matrix.indices):
                    yield maps
                elif some:
                    yield maps.pick(some, views)
            return
        model = None if self._model is None else self._model()
        if model is None:
            raise InputError(
                "the maps of these sentence pairs were not kept, and the model is no longer in memory",
                remedy="Keep the model until views are selected, or sweep with the dev split given",
            )
        chosen = [self.views[v] for v in views]
        numbers = sorted(wanted)
        axes = ([getattr(view, axis) for view in chosen] for axis in ("layer", "head", "reading"))
        for batch in word_matrices(
            make_attribution(self.attribution, model), [self.pairs[k] for k in numbers],
            *(list(dict.fromkeys(axis)) for axis in axes), on_long="leave", **self.rules,
        ):  # fmt: skip
            picked = batch.with_views([batch.views.index(view) for view in chosen])
            yield WordMaps.of(replace(picked, indices=tuple(numbers[k] for k in picked.indices)), self.gold)


@dataclass(frozen=True)
class Sweep:
    """Counts of every view on every sentence pair."""

    testset: Corpus
    model: str
    method: str  # spec of the extraction method
    attribution: str
    views: tuple[View, ...]  # V: layer and head (from 1, or "mean"), reading (the model's name of the alignment mode)
    counts: NDArray[np.int32]  # (V, N, 4): |A|, |S|, |A∩S|, |A∩P| of each sentence pair
    description: dict[str, str]  # what goes into signatures: model, revision, number type, subword rule
    maps: MapSource = field(repr=False, compare=False)  # the word matrices of a part, for combinations of views
    fits: NDArray[np.bool_] = field(repr=False, compare=False)  # (N,) within the window; scores leave out others

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
        self, rows: NDArray[np.int32], views: Sequence[int], part: Part = slice(None),
        more: dict[str, str] | None = None, **options: Any,
    ) -> Score:  # fmt: skip
        """Score of counts that were made from some views over a part of n sentence pairs.

        Args:
            rows: ``(n, 4)``: |A|, |S|, |A∩S|, |A∩P| of each sentence pair.
            views: their numbers; in the signature layers, heads and modes stand in this order, joined by commas.
            part: the sentence pairs.
            more: keys of the signature beside or in place of these.
            options: ``resamples``, ``seed``, ``confidence``, see :func:`align_eval.scoring.score`.
        """
        kept = self.fits[part]
        numbers = np.arange(len(self.fits))[part][kept]
        chosen = [self.views[v] for v in views]
        named = [view.reading for view in chosen]
        named = named[:1] if len(set(named)) == 1 else named
        signature = Signature(
            {
                "set": self.testset.name,
                "sha256": self.testset.checksum[:8],
                "base": self.testset.base,
                "sym": "none",
                **self.description,
                "signal": f"{self.attribution}-{','.join(named)}",
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
        return [
            {
                "testset": self.testset.name, "model": self.model, "layer": view.layer, "head": view.head,
                "mode": mode_name(view.reading), "signal": self.attribution, "method": self.method, "selection": None,
                "part": "all",
                **{name: rounded(known(values[name][number])) for name in ("aer", "precision", "recall", "f1")},
                "links": int(sums[number, 0]), "sure": int(sums[number, 1]), "sentences": int(self.fits.sum()),
                **({"left_out": self.left_out} if self.left_out else {}),
            }
            for number, view in enumerate(self.views)
        ]  # fmt: skip

    def to_frame(self) -> pandas.DataFrame:
        """A row a view, with the keys of :meth:`to_json` as columns."""
        return frame(self.to_json())


def sweep_testset(
    testset: Corpus,
    model: Any,
    *,
    layers: Any = "all",
    heads: Any = ("all", "mean"),
    modes: Sequence[str] | None = None,
    attribution: str = "attention",
    method: str = "reverse",
    keys: str = "sum",
    queries: str = "mean",
    token_budget: int | None = None,
    development: Sequence[int] | NDArray[np.int64] | None = None,
    on_long: str = "leave",
    progress: Callable[[int], None] | None = None,
) -> Sweep:
    """Align a test set with every layer, head and mode of a model's attention and count against gold.

    Args:
        testset: of :func:`align_eval.load_testset`.
        model: of :func:`align_eval.load_model`, of any family.
        modes: alignment modes of :data:`align_eval.aligners.heads.MODES`; ``None``: all of the model.
        layers, heads, keys, queries, token_budget: see :func:`align_eval.attribution.collect.word_matrices`.
        attribution: an attribution method of :data:`align_eval.attribution.ATTRIBUTIONS`, options after a colon
            (``smoothgrad:samples=8``); those of whole layers have one head, ``layer``.
        method: extraction method; ``reverse``: each target word to the source word it attends to most.
        development: sentence numbers whose matrices :func:`align_eval.runs.selection.select` will ask for; ``None``:
            none.
        on_long: ``leave`` (pairs over the model's window are left out of all scores and counted) or ``raise``.
        progress: called with the number of pairs done since the last call.
    """
    extractor = make_extractor(method)
    reader = make_attribution(attribution, model)
    gold, pairs = testset.gold, testset.pairs
    layouts = lay_out_fitting(reader, pairs) if on_long == "leave" else reader.lay_out(pairs)
    fits = np.array([layout is not None for layout in layouts])
    rules: dict[str, Any] = {"keys": keys, "queries": queries, "token_budget": token_budget}
    kept = None if development is None else [int(k) for k in development]
    source = MapSource(model, attribution, pairs, gold, kept, rules)
    counts = np.zeros((0, len(pairs), 4), dtype=np.int32)
    for batch in layout_word_matrices(reader, layouts, layers, heads, _readings(reader, modes), **rules):
        if not source.views:
            source.begin(batch.views)
            counts = np.zeros((len(batch.views), len(pairs), 4), dtype=np.int32)
        maps = WordMaps.of(batch, gold)
        counts[:, list(batch.indices)] = maps.count(extractor)
        source.keep(maps)
        if progress:
            progress(len(batch))
    if not source.views:
        if not fits.any():
            reader.lay_out(pairs[:1])  # says how long it is
        raise InputError(
            f"no sentence pair of {testset.name} has a token on both sides and fits the window of {reader.name}",
            remedy="Give pairs that have words",
        )
    counts[:, :, 1] = np.bincount(gold.sentence[gold.sure], minlength=gold.sentences) * fits
    description = {**signature_of(reader), "subword": f"{keys}/{queries}", **({} if fits.all() else {"long": "leave"})}
    return Sweep(testset, reader.name, extractor.spec, attribution, source.views, counts, description, source, fits)


def _readings(reader: Any, modes: Sequence[str] | None) -> list[str] | None:
    """The model's own names of alignment modes."""
    known = {mode_name(reading): reading for reading in reader.readings}
    for mode in modes or ():
        if mode not in known:
            raise UnknownNameError(f"alignment mode of {reader.name}", mode, known)
    return None if modes is None else [known[mode] for mode in modes]


def for_testset(model: Any, testset: Corpus) -> Any:
    """The model with the languages of a test set, where the set has them and the model has none chosen yet."""
    return model.in_languages(testset.source_language or None, testset.target_language or None)
