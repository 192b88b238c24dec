"""The score matrix of a pair that is longer than the model's window, from overlapping windows along the diagonal."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from align_eval.corpora.pair import SentencePair
from align_eval.errors import SentenceTooLongError
from align_eval.signals.collect import layout_word_matrices
from align_eval.signals.matrix import ScoreMatrix, Side, View
from align_eval.signals.windows import owners, window_spans

if TYPE_CHECKING:
    from align_eval.models.pairs import PairModel


def windowed_map(
    reader: PairModel, pair: SentencePair, head: tuple[Any, Any, str], rules: dict[str, Any]
) -> ScoreMatrix | None:
    """The score matrix of one pair from as few windows as fit the model.

    Both sides are cut into the same number of windows, each half over the next one, so that the k-th source window
    goes with the k-th target window. A target word (a source word where the rows are source words) takes its scores
    from the window in which it stands farthest from an edge; source words outside of that window have 0.

    Args:
        reader: the model.
        pair: the pair.
        head: layer, head and alignment mode.
        rules: ``keys``, ``queries`` and ``token_budget`` of :func:`align_eval.signals.collect.layout_word_matrices`.

    Returns:
        the matrix between words; ``None`` if not even single words fit.
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
    by_source = all(block.side == "source" for block in layouts[0].blocks[head[2]])
    owner = owners(m if by_source else n, sides[0 if by_source else 1])
    full = torch.zeros((m, n), dtype=torch.float32, device="cpu")
    present = [torch.full((size,), -1) for size in (m, n)]
    for batch in layout_word_matrices(reader, layouts, [head[0]], [head[1]], head[2], **rules):
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
        full[None, None].to(reader.device), Side(words[0], (m,), (m,)), Side(words[1], (n,), (n,)), (View(*head),),
        reader.quantity, model=reader.name, ids=(pair.id,), indices=(0,),
    )  # fmt: skip
