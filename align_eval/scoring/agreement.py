"""Agreement between annotators of word alignments, from counts of cells: F1, kappa, alpha, with intervals.

A cell is a source word with a target word of one sentence pair. Each annotator gives it one of three labels: none,
possible or sure. Everything is made of sums over sentence pairs, so intervals come from resampling sentence pairs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from align_eval.errors import InputError, LengthMismatchError, LinkRangeError
from align_eval.links.table import LinkTable
from align_eval.statistics import bootstrap_sums, check_resampling, percentile_interval

LABELS = ("none", "possible", "sure")
Counts = NDArray[np.int64]
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class PairAgreement:
    """Two annotators. Measures are 0..1 (kappa may be below 0), each with the (low, high) ends of its interval.

    Attributes:
        first, second: their names.
        confusion: cells by label of the first and of the second, ``(3, 3)``: none, possible, sure. ``none`` with
            ``none`` is 0 where the numbers of words are not known.
        f1, f1_sure: of all links and of sure links, ``2 n_ab / (n_a + n_b)``.
        kappa: Cohen's (1960), three labels, over all cells; ``kappa_links``: linked or not. ``None``: the numbers of
            words are not known.
        kappa_linked: three labels, over the cells that one of the two links.
        ci: intervals by the names of measures.
    """

    first: str
    second: str
    confusion: list[list[int]]
    f1: float
    f1_sure: float
    kappa: float | None
    kappa_links: float | None
    kappa_linked: float
    ci: dict[str, tuple[float, float]] = field(default_factory=dict)


@dataclass(frozen=True)
class Agreement:
    """Annotators of the same sentence pairs.

    Attributes:
        names, sentences: the annotators, and how many sentence pairs they annotated; ``cells``: all cells, or ``None``.
        pairs: every two annotators.
        fleiss: Fleiss' kappa (1971), three labels, over all cells; ``None``: numbers of words not known.
        fleiss_linked: over the cells that at least one annotator links.
        alpha, alpha_linked: Krippendorff's alpha (2004) for nominal labels, likewise.
        ci: intervals of these four.
        by_sentence: F1 of all links of each sentence pair, the mean over every two annotators; 1 where nobody links.
        links, sure: of each annotator.
    """

    names: tuple[str, ...]
    sentences: int
    cells: int | None
    pairs: list[PairAgreement]
    fleiss: float | None
    fleiss_linked: float
    alpha: float | None
    alpha_linked: float
    links: list[int]
    sure: list[int]
    by_sentence: list[float] = field(default_factory=list)
    ci: dict[str, tuple[float, float]] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Plain data for ``json.dumps``."""
        return asdict(self)


@dataclass(frozen=True)
class Cells:
    """The cells that at least one of m annotators links: sentence, source and target ``(n,)``, and labels ``(n, m)``
    (0 none, 1 possible, 2 sure)."""

    sentence: Counts
    source: Counts
    target: Counts
    labels: NDArray[np.int8]


def linked_cells(tables: Sequence[LinkTable]) -> Cells:
    """Bring the links of several annotators together by cell."""
    keys = [np.stack([t.sentence, t.source, t.target]).astype(np.int64) for t in tables]
    every, where = np.unique(np.concatenate(keys, axis=1), axis=1, return_inverse=True)
    labels = np.zeros((every.shape[1], len(tables)), dtype=np.int8)
    start = 0
    for m, table in enumerate(tables):
        own = where.ravel()[start : start + len(table.sentence)]
        labels[own, m] = 1 + table.sure
        start += len(table.sentence)
    return Cells(every[0], every[1], every[2], labels)


def agree(
    tables: Sequence[LinkTable], names: Sequence[str] = (), lengths: Sequence[tuple[int, int]] | None = None, *,
    resamples: int = 1000, seed: int = 12345, confidence: float = 0.95,
) -> Agreement:  # fmt: skip
    """How far annotators of the same sentence pairs agree.

    Args:
        tables: the links of each annotator, 0-based, source first, sentence pairs in the same order.
        names: of the annotators; none: their numbers from 1.
        lengths: (source words, target words) of each sentence pair; ``None``: measures over all cells are not made.
        resamples, seed, confidence: of percentile intervals over sentence pairs; 0: none.

    Raises:
        InputError: fewer than two annotators, or no sentence pair.
        LengthMismatchError: they annotated different numbers of sentence pairs.
        LinkRangeError: a link outside its sentence pair.
    """
    check_resampling(resamples, seed, confidence)
    named = tuple(names) or tuple(str(k) for k in range(1, len(tables) + 1))
    if len(tables) < 2:
        raise InputError(f"{len(tables)} annotators", remedy="Give two or more")
    sentences = tables[0].sentences
    for name, table in zip(named, tables, strict=True):
        if table.sentences != sentences or (lengths is not None and len(lengths) != sentences):
            other = sentences if table.sentences != sentences else len(lengths or ())
            raise LengthMismatchError(
                f"{table.sentences} sentence pairs, but {other} in {named[0] if other == sentences else 'the text'}",
                file=name, remedy="Give annotations of the same sentence pairs",
            )  # fmt: skip
    if not sentences:
        raise InputError("there is no sentence pair", remedy="Give annotations of at least one")
    cells = linked_cells(tables)
    sizes = None if lengths is None else np.array(lengths, dtype=np.int64).reshape(-1, 2)
    if sizes is not None and len(cells.sentence):
        bad = (cells.source >= sizes[cells.sentence, 0]) | (cells.target >= sizes[cells.sentence, 1])
        if bad.any():
            k = int(bad.argmax())
            who = named[int(cells.labels[k].argmax())]
            raise LinkRangeError(
                f"link {cells.source[k]}-{cells.target[k]} (0-based) is outside its pair of "
                f"{sizes[cells.sentence[k], 0]} and {sizes[cells.sentence[k], 1]} words",
                file=who, line=int(cells.sentence[k]) + 1,
                remedy="Check the index base, and that both annotations have these sentences and words",
            )  # fmt: skip
    whole = None if sizes is None else sizes.prod(axis=1)
    resampling = (resamples, seed, confidence)
    found = [_pair(cells, a, b, named, sentences, whole, *resampling) for a, b in combinations(range(len(tables)), 2)]
    rows = _raters(cells, sentences, whole)
    m = len(tables)
    measures: dict[str, Callable[[Floats], Floats]] = {
        "fleiss_linked": lambda s: fleiss(s[:, :3], s[:, 3], m), "alpha_linked": lambda s: alpha(s[:, :3], s[:, 3], m),
    }  # fmt: skip
    if whole is not None:
        measures |= {
            "fleiss": lambda s: fleiss(s[:, 4:7], s[:, 7], m), "alpha": lambda s: alpha(s[:, 4:7], s[:, 7], m),
        }  # fmt: skip
    values, ci = _measured(rows, measures, *resampling)
    f1 = np.mean([_f1(_confusions(cells, a, b, sentences), 1) for a, b in combinations(range(m), 2)], axis=0)
    return Agreement(
        named, sentences, None if whole is None else int(whole.sum()), found, values.get("fleiss"),
        values["fleiss_linked"], values.get("alpha"), values["alpha_linked"], [len(t.sentence) for t in tables],
        [int(t.sure.sum()) for t in tables], [round(float(x), 6) for x in f1], ci,
    )  # fmt: skip


def merged(tables: Sequence[LinkTable]) -> LinkTable:
    """One annotation of several: sure where all say sure, possible where at least one links."""
    cells = linked_cells(tables)
    sure = (cells.labels == 2).all(axis=1)
    return LinkTable(cells.sentence, cells.source, cells.target, tables[0].sentences, sure, ids=tables[0].ids)


def disagreements(tables: Sequence[LinkTable]) -> list[tuple[int, int, int, tuple[str, ...]]]:
    """The cells that the annotators label differently: sentence, source, target (0-based), and each one's label."""
    cells = linked_cells(tables)
    other = np.flatnonzero((cells.labels != cells.labels[:, :1]).any(axis=1)).tolist()
    columns = cells.sentence.tolist(), cells.source.tolist(), cells.target.tolist()
    return [(*(c[k] for c in columns), tuple(LABELS[x] for x in cells.labels[k])) for k in other]  # type: ignore[misc]


def _confusions(cells: Cells, a: int, b: int, sentences: int) -> Counts:
    """Counts of linked cells of each sentence pair by the labels of two annotators, ``(sentences, 3, 3)``."""
    index = cells.sentence * 9 + cells.labels[:, a] * 3 + cells.labels[:, b]
    out = np.bincount(index, minlength=9 * sentences).reshape(sentences, 3, 3)
    out[:, 0, 0] = 0  # linked by a third annotator alone
    return out


def _pair(
    cells: Cells, a: int, b: int, names: tuple[str, ...], sentences: int, whole: Counts | None, *resampling: Any
) -> PairAgreement:
    tables = _confusions(cells, a, b, sentences)
    linked = tables.copy()
    if whole is not None:
        tables[:, 0, 0] = whole - linked.sum(axis=(1, 2))
    measures: dict[str, Callable[[Floats], Floats]] = {
        "f1": lambda s: _f1(s[:, :9].reshape(-1, 3, 3), 1), "f1_sure": lambda s: _f1(s[:, :9].reshape(-1, 3, 3), 2),
        "kappa_linked": lambda s: cohen(s[:, 9:].reshape(-1, 3, 3)),
    }  # fmt: skip
    if whole is not None:
        measures["kappa"] = lambda s: cohen(s[:, :9].reshape(-1, 3, 3))
        measures["kappa_links"] = lambda s: cohen(_two(s[:, :9].reshape(-1, 3, 3)))
    rows = np.concatenate([tables.reshape(-1, 9), linked.reshape(-1, 9)], axis=1)
    values, ci = _measured(rows, measures, *resampling)
    return PairAgreement(
        names[a], names[b], tables.sum(axis=0).tolist(), values["f1"], values["f1_sure"], values.get("kappa"),
        values.get("kappa_links"), values["kappa_linked"], ci,
    )  # fmt: skip


def _measured(
    rows: Counts, measures: dict[str, Callable[[Floats], Floats]], resamples: int, seed: int, confidence: float
) -> tuple[dict[str, float], dict[str, tuple[float, float]]]:
    """Each measure of the sums of all rows, and its percentile interval over resampled rows."""
    total = rows.sum(axis=0)[None].astype(np.float64)
    values = {name: float(measure(total)[0]) for name, measure in measures.items()}
    if not resamples:
        return values, {}
    sums = bootstrap_sums(rows, resamples, seed)
    return values, {name: percentile_interval(measure(sums), confidence) for name, measure in measures.items()}


def _f1(tables: NDArray[Any], least: int) -> Floats:
    """F1 of the cells with a label of at least ``least``, of tables ``(n, 3, 3)``; 1 where there are none."""
    both = tables[:, least:, least:].sum(axis=(1, 2))
    each = tables[:, least:].sum(axis=(1, 2)) + tables[:, :, least:].sum(axis=(1, 2))
    return np.where(each > 0, 2 * both / np.maximum(each, 1), 1.0)


def _two(tables: Floats) -> Floats:
    """Three labels to two: none, and linked."""
    linked = [[tables[:, 0, 0], tables[:, 0, 1:].sum(axis=1)], [tables[:, 1:, 0].sum(axis=1),
              tables[:, 1:, 1:].sum(axis=(1, 2))]]  # fmt: skip
    return np.moveaxis(np.array(linked), 2, 0)


def cohen(tables: NDArray[Any]) -> Floats:
    """Cohen's kappa ``(p_o - p_e) / (1 - p_e)`` of square tables of counts ``(n, k, k)`` (Cohen 1960, equation 1).

    1 where both give every cell one and the same label, and where there is no cell.
    """
    total = tables.sum(axis=(1, 2)).astype(np.float64)
    observed = np.trace(tables, axis1=1, axis2=2) * total
    expected = (tables.sum(axis=2) * tables.sum(axis=1)).sum(axis=1).astype(np.float64)
    return _ratio(observed - expected, total * total - expected)


def _raters(cells: Cells, sentences: int, whole: Counts | None) -> Counts:
    """Of each sentence pair, over linked cells and over all: how often each label is given, and the sum over cells of
    squared numbers of annotators by label, ``(sentences, 8)``."""
    raters = cells.labels.shape[1]
    by_label = np.stack([(cells.labels == k).sum(axis=1) for k in range(3)], axis=1)
    columns = np.concatenate([by_label, (by_label**2).sum(axis=1, keepdims=True)], axis=1).astype(np.int64)
    linked = np.zeros((sentences, 4), dtype=np.int64)
    np.add.at(linked, cells.sentence, columns)
    every = linked.copy()
    if whole is not None:
        empty = whole - np.bincount(cells.sentence, minlength=sentences)
        every[:, 0] += empty * raters
        every[:, 3] += empty * raters**2
    return np.concatenate([linked, every], axis=1)


def fleiss(labels: Floats, squares: Floats, raters: int) -> Floats:
    """Fleiss' kappa (1971) of n data sets: how often each label is given ``(n, 3)``, and the sum over cells of squared
    numbers of annotators by label ``(n,)``."""
    cells = labels.sum(axis=1) / raters
    observed = (squares - cells * raters) / (raters * (raters - 1))
    expected = (labels**2).sum(axis=1) / np.maximum(cells * raters**2, 1)
    return _ratio(observed - expected, cells - expected)


def alpha(labels: Floats, squares: Floats, raters: int) -> Floats:
    """Krippendorff's alpha for nominal labels without missing ones: ``1 - D_o / D_e``; arguments of :func:`fleiss`."""
    n = labels.sum(axis=1)
    observed = (n * raters - squares) / (raters - 1)
    expected = (n**2 - (labels**2).sum(axis=1)) / np.maximum(n - 1, 1)
    return 1 - _ratio(observed, expected, 0.0)


def _ratio(above: Floats, below: Floats, otherwise: float = 1.0) -> Floats:
    safe = np.abs(below) > 1e-12
    return np.where(safe, above / np.where(safe, below, 1.0), otherwise)
