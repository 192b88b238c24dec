"""The ``eflomal`` package as an aligner: trained on the whole text that it aligns."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from align_eval.aligners.base import ALIGNERS
from align_eval.corpora import SentencePair
from align_eval.statistical.aligner import StatisticalAligner
from align_eval.statistical.eflomal import EflomalOptions, check_eflomal, eflomal_directions
from align_eval.statistical.text import Directions


@ALIGNERS.register("eflomal")
class Eflomal(StatisticalAligner):
    """Östling & Tiedemann 2016 by its own package: ``eflomal``, ``eflomal:train=FILE,sym=grow-diag,model=2``.

    Options: :class:`align_eval.statistical.eflomal.EflomalOptions`. Two runs differ in some links: the package takes no
    seed. Sentences of more than 1,023 words raise.
    """

    name = "eflomal"
    package = "eflomal"
    kind = EflomalOptions
    seedless = "its package draws one from the system, so two runs differ in some links"
    check = staticmethod(check_eflomal)

    def directions(
        self, pairs: Sequence[SentencePair], extra: Iterable[SentencePair], options: EflomalOptions
    ) -> Directions:
        return eflomal_directions(pairs, extra, options)
