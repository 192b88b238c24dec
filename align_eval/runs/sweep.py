"""AER of every layer, head and reading of a model's attention over a test set, in one pass.

The maps of a batch become links for all views at once, and the four counts of each sentence are read off as sums of
booleans; no links are kept. A view that is chosen is chosen on a development part and reported on the disjoint rest.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from align_eval.errors import InputError
from align_eval.extraction import Extractor, make_extractor
from align_eval.links import LinkTable
from align_eval.scoring import Score, Signature, measures, score_counts
from align_eval.signals.attention import attention_softmap
from align_eval.signals.attention_batch import AttentionBatch, View
from align_eval.signals.registry import SIGNALS

if TYPE_CHECKING:
    from align_eval.corpora import TestSet

# Cells (views x pairs x source x target words) that extraction sees at a time.
CELL_BUDGET = 1 << 22


@dataclass(frozen=True)
class Sweep:
    """Counts of every view on every sentence pair.

    Attributes:
        testset: the test set; ``model``: name of the model; ``method``: spec of the extraction method;
            ``signal``: name of the signal.
        views: V views: layer and head (from 1, or ``mean``), reading.
        counts: ``(V, N, 4)`` int32: |A|, |S|, |A∩S|, |A∩P| of each sentence pair.
        description: what goes into signatures: model, revision, number type, sub-word rule.
    """

    testset: TestSet
    model: str
    method: str
    signal: str
    views: tuple[View, ...]
    counts: NDArray[np.int32]
    description: dict[str, str]

    def aer(self, part: Sequence[int] | slice = slice(None)) -> NDArray[np.float64]:
        """Corpus AER in percent of every view, ``(V,)``, over all sentence pairs or a part of them."""
        sums = self.counts[:, part].sum(axis=1, dtype=np.int64)
        return np.asarray(measures(sums)["aer"], dtype=np.float64)

    def best(self, part: Sequence[int] | slice = slice(None)) -> int:
        """The number of the view with the lowest AER over a part; of equal ones the first."""
        return int(self.aer(part).argmin())

    def score(self, view: int, part: Sequence[int] | slice = slice(None), **options: Any) -> Score:
        """Score of one view over a part, with intervals and signature."""
        rows = self.counts[view, part]
        chosen = self.views[view]
        signature = Signature(
            {
                "set": self.testset.name,
                "sha256": self.testset.checksum[:8],
                "base": self.testset.base,
                "sym": "none",
                **self.description,
                "signal": f"{self.signal}-{chosen.reading}",
                "layer": str(chosen.layer),
                "head": str(chosen.head),
                "method": self.method,
            }
        )
        return score_counts(rows, self._possible(part), signature=signature, **options)

    def _possible(self, part: Sequence[int] | slice) -> int:
        gold = self.testset.gold
        sizes = np.diff(gold.offsets)
        return int(sizes[part].sum())

    def to_json(self) -> list[dict[str, Any]]:
        """One row a view: ``layer``, ``head`` (1-based or ``mean``), ``reading``, ``signal``, ``aer`` and the rest."""
        sums = self.counts.sum(axis=1, dtype=np.int64)
        values = measures(sums)
        rows = []
        for number, view in enumerate(self.views):
            row: dict[str, Any] = {
                "testset": self.testset.name, "model": self.model, "layer": view.layer, "head": view.head,
                "reading": view.reading, "signal": self.signal, "method": self.method,
            }  # fmt: skip
            row |= {name: round(float(values[name][number]), 6) for name in ("aer", "precision", "recall", "f1")}
            row |= {"links": int(sums[number, 0]), "sure": int(sums[number, 1]), "sentences": len(self.testset.pairs)}
            rows.append(row)
        return rows


def split(sentences: int, development: float, seed: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Sentence numbers of a development part and of the disjoint rest, both ascending; seeded.

    Raises:
        InputError: one of the parts would be empty.
    """
    size = round(sentences * development)
    if not 0 < size < sentences:
        raise InputError(
            f"a development part of {development:g} of {sentences} sentence pairs leaves one part empty",
            remedy="Give a share between 0 and 1 that leaves sentences on both sides",
        )
    order = np.random.default_rng(seed).permutation(sentences)
    return np.sort(order[:size]), np.sort(order[size:])


def sweep_testset(
    testset: TestSet,
    model: Any,
    *,
    layers: Any = "all",
    heads: Any = ("all", "mean"),
    readings: Sequence[str] | None = None,
    signal: str = "attention",
    method: str = "reverse",
    keys: str = "sum",
    queries: str = "mean",
    token_budget: int = 2048,
    progress: Callable[[int], None] | None = None,
) -> Sweep:
    """Align a test set with every view of a model's attention and count against gold.

    Args:
        testset: of :func:`align_eval.load_testset`.
        model: of :func:`align_eval.load_model`, of any family.
        layers, heads, readings, keys, queries, token_budget: see
            :func:`align_eval.signals.attention.attention_softmap`.
        signal: a name of :data:`align_eval.signals.registry.SIGNALS`; signals of whole layers have one head, ``layer``.
        method: extraction method; ``reverse``, each target word to the source word it looks at most, is the usual one.
        progress: called with the number of pairs done since the last call.
    """
    extractor = make_extractor(method)
    reader = SIGNALS.get(signal)(model)
    gold = testset.gold
    lengths = [(len(p.source), len(p.target)) for p in testset.pairs]
    views: tuple[View, ...] = ()
    counts = np.zeros((0, len(lengths), 4), dtype=np.int32)
    sure = np.bincount(gold.sentence[gold.sure], minlength=gold.sentences)
    batches = attention_softmap(
        reader, testset.pairs, layers, heads, readings, keys=keys, queries=queries, token_budget=token_budget
    )
    for batch in batches:
        if not views:
            views = batch.views
            counts = np.zeros((len(views), len(lengths), 4), dtype=np.int32)
        counts[:, list(batch.indices)] = _count(batch, extractor, gold)
        if progress:
            progress(len(batch))
    if not views:
        raise InputError(f"the test set {testset.name} has no sentence pair that the model can read")
    counts[:, :, 1] = sure
    description = {
        "model": reader.name,
        "dtype": str(reader.dtype).removeprefix("torch."),
        "subword": f"{keys}/{queries}",
    }
    revision = getattr(model, "revision", "")
    if revision:
        description["revision"] = str(revision)
    return Sweep(testset, reader.name, extractor.spec, signal, views, counts, description)


def _count(batch: AttentionBatch, extractor: Extractor, gold: LinkTable) -> NDArray[np.int32]:
    """|A|, 0, |A∩S|, |A∩P| of each view and pair of a batch, ``(V, B, 4)``."""
    number, pairs, rows, columns = batch.values.shape
    sure, possible = _gold_cells(batch, gold)
    out = torch.zeros((number, pairs, 4), dtype=torch.int32)
    step = max(1, CELL_BUDGET // max(pairs * rows * columns, 1))
    for start in range(0, number, step):
        part = batch.values[start : start + step]
        views = len(part)
        links = extractor(
            part.flatten(0, 1), batch.source_lengths.repeat(views), batch.target_lengths.repeat(views)
        ).links.view(views, pairs, rows, columns)
        found = [links, links & sure, links & possible]
        for column, cells in zip((0, 2, 3), found, strict=True):
            out[start : start + step, :, column] = cells.sum(dim=(2, 3)).to("cpu", torch.int32)
    return out.numpy()


def _gold_cells(batch: AttentionBatch, gold: LinkTable) -> tuple[Tensor, Tensor]:
    """Sure and possible cells on the axes of a batch, ``(B, M, N)`` bool."""
    size = (int(batch.source_counts.max()), int(batch.target_counts.max()))
    found = []
    for only_sure in (True, False):
        cells = torch.zeros((len(batch), *size), dtype=torch.bool)
        for b, k in enumerate(batch.indices):
            part = slice(int(gold.offsets[k]), int(gold.offsets[k + 1]))
            keep = gold.sure[part] if only_sure else slice(None)
            cells[b, gold.source[part][keep].astype(np.int64), gold.target[part][keep].astype(np.int64)] = True
        rows = cells.gather(1, batch.source_words.cpu()[:, :, None].expand(-1, -1, size[1]))
        width = batch.target_words.shape[1]
        found.append(
            rows.gather(2, batch.target_words.cpu()[:, None, :].expand(-1, rows.shape[1], width)).to(
                batch.values.device
            )
        )
    return found[0], found[1]
