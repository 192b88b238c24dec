"""Pairs that a model can encode, and pairs that are longer than its window."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from align_eval.errors import SentenceTooLongError

if TYPE_CHECKING:
    from align_eval.corpora import SentencePair
    from align_eval.models.pairs import Layout, PairModel


def lay_out_fitting(reader: PairModel, pairs: Sequence[SentencePair]) -> list[Layout | None]:
    """As :meth:`PairModel.lay_out`, with ``None`` for a pair that is longer than the model's window.

    Pairs are encoded together; halves are tried where one of them does not fit.
    """
    try:
        return list(reader.lay_out(pairs))
    except SentenceTooLongError:
        if len(pairs) == 1:
            return [None]
    middle = len(pairs) // 2
    return [*lay_out_fitting(reader, pairs[:middle]), *lay_out_fitting(reader, pairs[middle:])]
