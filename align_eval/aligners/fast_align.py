"""fast_align as an aligner, through the ``systran-align`` package: trained on the whole text that it aligns."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from align_eval.aligners.base import ALIGNERS
from align_eval.corpora import SentencePair
from align_eval.statistical.aligner import StatisticalAligner
from align_eval.statistical.fast_align import FastAlignOptions, check_fast_align, fast_align_directions
from align_eval.statistical.text import Directions


@ALIGNERS.register("fast_align")
class FastAlign(StatisticalAligner):
    """Dyer, Chahuneau & Smith 2013: ``fast_align``, ``fast_align:train=FILE,sym=grow-diag-final-and``.

    Options: :class:`align_eval.statistical.fast_align.FastAlignOptions`. The same text gives the same links.
    """

    name = "fast_align"
    package = "systran-align"
    kind = FastAlignOptions
    seedless = "nothing in it is random"
    check = staticmethod(check_fast_align)

    def directions(
        self, pairs: Sequence[SentencePair], extra: Iterable[SentencePair], options: FastAlignOptions
    ) -> Directions:
        return fast_align_directions(pairs, extra, options)
