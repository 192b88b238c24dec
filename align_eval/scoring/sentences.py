"""Counts and AER of every sentence pair as a file."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np

from align_eval.files import StrPath, atomic_writer
from align_eval.scoring.counts import COLUMNS
from align_eval.scoring.measures import known, measures
from align_eval.scoring.tables import percent
from align_eval.shown import cell

if TYPE_CHECKING:
    from align_eval.scoring.systems import SystemScore


def write_sentences(path: StrPath, systems: Iterable[SystemScore]) -> None:
    """Write tab-separated lines: system, sentence pair, |A|, |S|, |A∩S|, |A∩P|, AER in percent.

    A sentence pair goes by its name where a file names it, else by its number from 1. The first line names the columns.
    Scores of a corpus come from the sums of the counts; the mean of the AERs is another number. AER is ``-`` where
    there is neither a proposed nor a sure link: it says nothing of such a pair.

    Raises:
        OutputError: the file cannot be written.
    """
    with atomic_writer(path) as stream:
        stream.write("\t".join(("system", "sentence", *COLUMNS, "aer")) + "\n")
        for system in systems:
            name = cell(system.name)
            aer = measures(system.counts, nothing=np.nan)["aer"].tolist()
            labels = system.sentences or range(1, 1 + len(aer))
            for label, row, value in zip(labels, system.counts.tolist(), aer, strict=True):
                sentence = " ".join(str(label).split())
                stream.write("\t".join(map(str, (name, sentence, *row, percent(known(value), 4)))) + "\n")
