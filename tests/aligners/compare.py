"""Our links beside those of the ``simalign`` package: equal, or different only where two choices are a tie."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from align_eval.aligners import AlignerSettings, System, make_aligner
from align_eval.attribution.similarity import similarity
from align_eval.corpora import SentencePair

Matrix = NDArray[np.float64]
METHODS = {"argmax": "inter", "itermax": "itermax", "match": "mwmf"}
LAYER = 7
CELL_TIE = 1e-5  # two cells whose similarities differ by less are a tie
SUM_TIE = 1e-4  # and so are two matchings whose sums do


class Reference:
    """The package's aligner on the same model, its similarity matrix and matchings kept for the last pair."""

    def __init__(self, path: str) -> None:
        from simalign import SentenceAligner

        self.aligner = SentenceAligner(model=path, token_type="bpe", matching_methods="mai", layer=LAYER)
        self.kept: dict[str, Any] = {}
        for name in ("get_similarity", "get_max_weight_match", "iter_max"):
            setattr(self.aligner, name, self._keeping(name, getattr(self.aligner, name)))

    def _keeping(self, name: str, function: Any) -> Any:
        def call(*arguments: Any) -> Any:
            self.kept[name] = function(*arguments)
            return self.kept[name]

        return call

    def links(self, pair: SentencePair, methods: Iterable[str] = METHODS) -> dict[str, set[tuple[int, int]]]:
        self.aligner.matching_methods = [METHODS[method] for method in methods]
        found = self.aligner.get_word_aligns(list(pair.source), list(pair.target))
        return {method: set(found[METHODS[method]]) for method in methods}

    def subword_links(self, method: str) -> Matrix:
        """The package's links between sub-words for the last pair, ``(m, n)`` of 0 and 1."""
        if method == "match":
            return np.asarray(self.kept["get_max_weight_match"]) > 0
        if method == "itermax":
            return np.asarray(self.kept["iter_max"]) > 0
        forward, reverse = self.aligner.get_alignment_matrix(self.kept["get_similarity"])
        return forward * reverse > 0


def subword_similarity(encoder: Any, pair: SentencePair) -> Matrix:
    """(cosine + 1) / 2 of every two sub-words, as our aligner computes it."""
    tokens = encoder.tokenize([pair.source, pair.target])
    import torch

    left, right = (v[0] for v in encoder.encode(tokens.ids, [LAYER]))
    units = [np.zeros(len(w), dtype=np.int64) for w in tokens.words]
    rows = [np.arange(len(left)), len(left) + np.arange(len(right))]
    batch = similarity(torch.cat([left, right]), (rows[:1], rows[1:]), ([units[0]], [units[1]]), ([1], [1]))
    return batch.values[0, 0].double().numpy()


def mutual(values: Matrix) -> NDArray[np.bool_]:
    """Mutual argmax by its definition; of equal cells the first."""
    out = np.zeros(values.shape, dtype=bool)
    for i, j in enumerate(values.argmax(axis=1)):
        out[i, j] = values[:, j].argmax() == i
    return out


def tied(values: Matrix, cells: NDArray[np.bool_]) -> bool:
    """Whether each of ``cells`` is within a tie of being, and of not being, a mutual maximum of ``values``."""
    for i, j in np.argwhere(cells):
        rivals = np.concatenate([np.delete(values[i], j), np.delete(values[:, j], i)])
        if not len(rivals) or abs(values[i, j] - rivals.max()) >= CELL_TIE:
            return False
    return True


def explained(method: str, values: Matrix, theirs: NDArray[np.bool_]) -> bool:
    """Whether the package's links between sub-words are ours but for ties in the similarities ``values``."""
    if method == "match":
        from scipy.optimize import linear_sum_assignment

        best = values[linear_sum_assignment(values, maximize=True)].sum()
        full = theirs.sum() == min(values.shape) and theirs.sum(0).max() == theirs.sum(1).max() == 1
        return bool(full and abs(values[theirs].sum() - best) < SUM_TIE)
    first = mutual(values)
    if method == "argmax":
        return tied(values, first != theirs)
    # Itermax: the first round's links are part of theirs, but for ties; after such a tie the rounds go separate ways.
    if not (first <= theirs).all():
        return tied(values, first & ~theirs)
    if min(values.shape) <= 2 or not (~first.any(axis=0)).any() or not (~first.any(axis=1)).any():
        return tied(values, first != theirs)
    free_row, free_column = ~first.any(axis=1)[:, None], ~first.any(axis=0)[None, :]
    weighted = values * np.where(free_row & free_column, 1.0, np.where(free_row | free_column, 0.9, 0.0))
    second = first | (mutual(weighted) & (free_row | free_column))
    return tied(weighted, second != theirs) or tied(values, (theirs & ~first))


@dataclass
class Comparison:
    """Pairs compared and pairs that differ by ties, by method; and the differences that no tie explains."""

    compared: Counter[str] = field(default_factory=Counter)
    ties: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        counts = [f"{method}: {self.compared[method]} pairs, {self.ties[method]} with ties" for method in METHODS]
        return "; ".join([*counts, *self.wrong])


def compare(encoder: Any, reference: Reference, pairs: list[SentencePair], match_cells: int | None) -> Comparison:
    """Compare both aligners on ``pairs``; ``match`` only where a pair has at most ``match_cells`` sub-word pairs.

    The package solves ``match`` in plain Python, which takes seconds for a long pair.
    """
    found = Comparison()
    ours = make_aligner(AlignerSettings(encoder, tuple(METHODS), (LAYER,), lone_marks="keep")).align_all(pairs)
    for k, pair in enumerate(pairs):
        m, n = encoder.tokenize([pair.source, pair.target]).lengths.tolist()
        methods = [name for name in METHODS if name != "match" or match_cells is None or m * n <= match_cells]
        found.compared.update(methods)
        for method, theirs in reference.links(pair, methods).items():
            own = set(ours[System(method, LAYER)][k])
            if own == theirs:
                continue
            if explained(method, subword_similarity(encoder, pair), reference.subword_links(method)):
                found.ties[method] += 1
            else:
                found.wrong.append(
                    f"{method} of {pair.id}: ours alone {sorted(own - theirs)}, theirs alone {sorted(theirs - own)}"
                )
    return found
