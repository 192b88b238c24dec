"""Links from one attention head of a model of any family, in one direction or in both, symmetrised."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from align_eval.aligners import Aligner, AlignerSettings, System
from align_eval.aligners.heads import READINGS, checked_head, chosen_mode, require_both_directions
from align_eval.aligners.similarity import consecutive, make_extractors
from align_eval.attribution import make_attribution
from align_eval.attribution.collect import lay_out_fitting, layout_word_matrices
from align_eval.attribution.matrix import ScoreMatrix, Side, View
from align_eval.attribution.similarity import owners, window_spans
from align_eval.corpora.pair import SentencePair, check_sizes
from align_eval.errors import InputError, SentenceTooLongError
from align_eval.links import Links
from align_eval.links.symmetrization import symmetrize_table
from align_eval.links.table import LinkTable
from align_eval.models.loaded import signature_of

if TYPE_CHECKING:
    from align_eval.models.pairs import PairModel

KEYS, QUERIES = "sum", "mean"
# Word pairs whose score matrices are in memory at a time.
CELL_BUDGET = 1 << 23


class _Direction(NamedTuple):
    """What one direction gives for some pairs."""

    #: For each method the columns (pair, source word, target word) of its links.
    links: list[list[NDArray[np.int64]]]
    #: The score matrix of each pair, ``(source words, target words)``; 0 for words without a token.
    maps: dict[int, NDArray[np.float32]]


class AttentionAligner(Aligner):
    """Every extraction method over the attention of one head; the model runs once a direction.

    Tokens become words by the sum over key tokens and the mean over query tokens.
    """

    def __init__(self, settings: AlignerSettings, *, keys: str = KEYS, queries: str = QUERIES) -> None:
        assert settings.attention is not None
        self.settings, self.asked = settings, settings.attention
        self.rules: dict[str, Any] = {"keys": keys, "queries": queries, "token_budget": settings.token_budget}
        self.extractors = make_extractors(settings.methods)
        for extractor in self.extractors:
            if extractor.needs != "similarity":
                raise InputError(
                    f"the method {extractor.spec} is defined on dot products of hidden states, not on attention",
                    remedy="Choose reverse, argmax, itermax, match or threshold",
                )
        if settings.layers:
            raise InputError("the head names its layer", remedy="Leave out the layers (--layer)")
        if settings.subword != "any" or settings.options.get("precision"):
            raise InputError(
                "the sub-word rule and the precision are of hidden states, not of attention",
                remedy="Leave out --subword and --precision",
            )
        model = settings.loaded()
        if getattr(model, "precision", None) is not None:
            raise InputError(
                f"{model.name} was loaded with precision {model.precision}, which is of its hidden states",
                remedy="Load it without a precision to read its attention",
            )
        self.model = model
        languages = (settings.source_language, settings.target_language)
        self.reader = make_attribution(self.asked.attribution, model.in_languages(*languages))
        self.other: PairModel | None = None
        if self.asked.symmetrize is not None:
            require_both_directions(model, languages)
            self.other = make_attribution(self.asked.attribution, model.in_languages(*languages[::-1]))
        self.mode = chosen_mode(self.reader, self.asked.mode)
        self.head = checked_head(self.reader, self.asked)
        self.view = View(*self.head, READINGS.get(self.mode, self.mode))
        self.sym = "" if self.asked.symmetrize is None else "/".join(self.asked.symmetrize)
        self.systems = [System(e.spec, None, str(self.head), self.mode, self.sym) for e in self.extractors]

    def describe(self) -> dict[str, str]:
        out = {
            **signature_of(self.model),
            "signal": f"{self.asked.attribution}-{self.mode}",
            "layer": str(self.head.layer),
            "head": str(self.head.head),
            "subword": f"{self.rules['keys']}/{self.rules['queries']}",
            "long": self.settings.on_long,
            "sym": self.sym or "none",
        }
        if self.asked.chosen_on:
            out["selection"] = f"best/{self.asked.chosen_on}"
        return out

    def align_all(self, pairs: Sequence[SentencePair]) -> dict[System, list[Links]]:
        out: dict[System, list[Links]] = {system: [] for system in self.systems}
        for part in consecutive(pairs, lambda pair: len(pair.source) * len(pair.target), CELL_BUDGET):
            for system, links in zip(self.systems, self._align_part(part), strict=True):
                out[system] += links
        return out

    def _align_part(self, pairs: Sequence[SentencePair]) -> list[list[Links]]:
        there = self._direction(self.reader, pairs, count=True)
        tables = [_table(links, len(pairs)) for links in there.links]
        if self.other is None:
            return [_scored(table, [there.maps]) for table in tables]
        assert self.asked.symmetrize is not None
        back = self._direction(self.other, [pair.reverse() for pair in pairs], count=False)
        turned = {k: values.T for k, values in back.maps.items()}
        others = [_table(links, len(pairs)).reverse() for links in back.links]
        both = [symmetrize_table(*two, *self.asked.symmetrize) for two in zip(tables, others, strict=True)]
        return [_scored(table, [there.maps, turned]) for table in both]

    def _direction(self, reader: PairModel, pairs: Sequence[SentencePair], *, count: bool) -> _Direction:
        found = _Direction([[] for _ in self.extractors], {})
        layouts = reader.lay_out(pairs) if self.settings.on_long == "raise" else lay_out_fitting(reader, pairs)
        for batch in layout_word_matrices(reader, layouts, *_asked(self.view), **self.rules):
            self._take(found, pairs, batch, batch.indices)
        for k, layout in enumerate(layouts):
            if layout is not None:
                continue
            whole = None
            if self.settings.on_long == "window":
                check_sizes([pairs[k]])
                whole = windowed_map(reader, pairs[k], self.view, self.rules)
            if count:
                self.count_long("left_out" if whole is None else "windowed")
            if whole is not None:
                self._take(found, pairs, whole, (k,))
        return found

    def _take(
        self, found: _Direction, pairs: Sequence[SentencePair], matrix: ScoreMatrix, indices: Sequence[int]
    ) -> None:
        """Extract the links of a batch of word matrices of one head, and keep the matrices to score links by."""
        numbers = np.asarray(indices, dtype=np.int64)
        for kept, extractor in zip(found.links, self.extractors, strict=True):
            b, i, j = extractor.of(matrix).links[0].nonzero().cpu().numpy().T
            kept.append(np.stack([numbers[b], i, j]))
        plain = matrix.values[0].float().cpu().numpy()
        for values, k in zip(plain, indices, strict=True):
            found.maps[int(k)] = values[: len(pairs[k].source), : len(pairs[k].target)]


def _table(columns: Sequence[NDArray[np.int64]], sentences: int) -> LinkTable:
    together = np.concatenate([np.zeros((3, 0), dtype=np.int64), *columns], axis=1)
    return LinkTable(together[0], together[1], together[2], sentences)


def _scored(table: LinkTable, maps: Sequence[dict[int, NDArray[np.float32]]]) -> list[Links]:
    """The links of each pair, scored by the mean of the directions' matrices."""
    out = []
    for k in range(table.sentences):
        links = table[k].pairs
        values = [one[k][links[:, 0], links[:, 1]] for one in maps if k in one]
        scores = np.stack(values).mean(axis=0) if values else np.zeros(len(links))
        out.append(Links(links, scores.astype(np.float32)))
    return out


def _asked(view: View) -> tuple[list[Any], list[Any], str]:
    return [view.layer], [view.head], view.reading


def windowed_map(reader: PairModel, pair: SentencePair, view: View, rules: dict[str, Any]) -> ScoreMatrix | None:
    """The score matrix of one pair between words, from as few windows as fit the model; ``None``: no two words fit.

    Both sides are cut into the same number of windows, each half over the next one, so that the k-th source window
    goes with the k-th target window. A target word (a source word where the rows are source words) takes its scores
    from the window in which it stands farthest from an edge; source words outside of that window have 0.
    ``rules``: of :func:`align_eval.attribution.collect.layout_word_matrices`.
    """
    m, n = len(pair.source), len(pair.target)
    count = 2
    while True:
        sides = window_spans(m, count), window_spans(n, count)
        parts = [
            SentencePair(pair.id, pair.source[a:b], pair.target[c:d]) for (a, b), (c, d) in zip(*sides, strict=True)
        ]
        try:
            layouts = reader.lay_out(parts)
            break
        except SentenceTooLongError:
            if count >= max(m, n):
                return None
            count = min(max(count + 1, count * 3 // 2), max(m, n))
    by_source = all(block.side == "source" for block in layouts[0].blocks[view.reading])
    owner = owners(m if by_source else n, sides[0 if by_source else 1])
    full = torch.zeros((m, n), dtype=torch.float32, device="cpu")
    present = [torch.full((size,), -1, device="cpu") for size in (m, n)]
    for batch in layout_word_matrices(reader, layouts, *_asked(view), **rules):
        for b, k in enumerate(batch.indices):
            part = batch[b].cpu()
            (i, i_end), (j, j_end) = sides[0][k], sides[1][k]
            for place, start, words in ((0, i, part.source.words[0]), (1, j, part.target.words[0])):
                present[place][start + words[words >= 0]] = start + words[words >= 0]
            own = torch.from_numpy(owner[i:i_end] == k)[:, None] if by_source else torch.from_numpy(owner[j:j_end] == k)
            full[i:i_end, j:j_end] = torch.where(own, part.values[0, 0].float(), full[i:i_end, j:j_end])
    if any(bool((words < 0).all()) for words in present):
        return None
    words = [side[None].to(reader.device) for side in present]
    return ScoreMatrix(
        full[None, None].to(reader.device), Side(words[0], (m,), (m,)), Side(words[1], (n,), (n,)), (view,),
        reader.quantity, model=reader.name, ids=(pair.id,), indices=(0,),
    )  # fmt: skip
