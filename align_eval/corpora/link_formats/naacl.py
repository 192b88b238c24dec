"""NAACL/WPT (Mihalcea & Pedersen 2003): one link a line, ``sentence source target [S|P] [probability]``, 1-based."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from typing import IO, ClassVar

import numpy as np

from align_eval.corpora.inputs import Input
from align_eval.corpora.link_formats import LINK_FORMATS, LinkFormat, written_names
from align_eval.corpora.link_text import MAX_INDEX, NULL
from align_eval.corpora.pair import SentencePair
from align_eval.corpora.raw_links import RawLinks
from align_eval.corpora.sidecar import sidecar_names
from align_eval.links.table import LinkTable

_NUMBER = re.compile(r"[0-9]{1,10}")
_INDEX = re.compile(r"-1|[0-9]{1,10}")
_FORM = "A line is 'sentence source target', then perhaps S or P, then perhaps a probability"


@LINK_FORMATS.register("naacl", "wpt")
class Naacl(LinkFormat):
    """Sentence numbers are the names of the sentence pairs; they need not be consecutive.

    The numbers, as first written, become :attr:`LinkTable.ids`, in ascending order. A sentence pair without links has
    no line; with the sentences at hand, or the list that :func:`~align_eval.corpora.linkio.write_links` writes beside
    the file, it is one without links. Links without a mark are sure. A link with one index 0
    or -1, or with one index only, is a null link; ``0 0`` proves that indices count from 0. Columns are separated by
    spaces or tabs; empty lines are skipped.
    """

    suffixes: ClassVar[tuple[str, ...]] = (".naacl", ".wpt")
    own_base: ClassVar[int | None] = 1
    base_is_default: ClassVar[bool] = True
    names_sentences: ClassVar[bool] = True
    names_by_number: ClassVar[bool] = True
    skips_empty: ClassVar[bool] = True
    has_scores: ClassVar[bool] = True
    shown: ClassVar[tuple[str, str]] = ("'{} {}'", "'{} {} P'")

    def read(self, file: Input) -> Iterator[RawLinks]:
        """Yield one block: the order of the sentences is known at the end only."""
        rows: list[tuple[int, int, int, int, bool]] = []  # sentence number, first, second, line, sure
        scores: list[float] = []
        names: dict[int, str] = {}
        for line, text in file.lines():
            words = [word for word in re.split("[ \t]+", text) if word]
            if not words:
                continue
            row, score = _parse(file, line, words)
            rows.append(row)
            names.setdefault(row[0], words[0])
            if score is not None:
                scores.append(score)
            if scores and len(scores) != len(rows):
                raise file.malformed("some links have a probability and others have not", line, "Give all or none")
        for name in sidecar_names(file.path) or ():
            if _NUMBER.fullmatch(name):
                names.setdefault(int(name), name)
        numbers = sorted(names)
        place = {number: k for k, number in enumerate(numbers)}
        sentence = np.array([place[row[0]] for row in rows], dtype=np.int32)
        order = np.argsort(sentence, kind="stable")
        flat = np.array(rows, dtype=np.int64).reshape(-1, 5)[order]
        yield RawLinks(
            sentence=sentence[order],
            first=flat[:, 1].astype(np.int32),
            second=flat[:, 2].astype(np.int32),
            sentences=len(numbers),
            sure=flat[:, 4] != 0,
            scores=np.array(scores, dtype=np.float32)[order] if scores else None,
            lines=flat[:, 3].copy(),
            ids=[names[number] for number in numbers],
        )

    def write(self, stream: IO[bytes], table: LinkTable, base: int, pairs: Sequence[SentencePair] = ()) -> None:
        """Write one line a link, with its mark and, if there are scores, its probability.

        Sentences are numbered by the table's ids where those are increasing numbers, else from 1.
        """
        names = written_names(table)
        for row, k in enumerate(table.sentence.tolist()):
            i, j = int(table.source[row]) + base, int(table.target[row]) + base
            score = "" if table.scores is None else f" {table.scores[row]!s}"
            stream.write(f"{names[k]} {i} {j} {'S' if table.sure[row] else 'P'}{score}\n".encode())


def _parse(file: Input, line: int, words: list[str]) -> tuple[tuple[int, int, int, int, bool], float | None]:
    number, *rest = words
    indices = rest[:1] if rest[1:2] in (["S"], ["P"]) else rest[:2]  # one index only: a side is missing
    if not _NUMBER.fullmatch(number):
        raise file.malformed(f"{number[:40]!r} is not a sentence number", line, _FORM)
    if not indices or not all(_INDEX.fullmatch(word) and int(word) <= MAX_INDEX for word in indices):
        raise file.malformed(f"{' '.join(words)[:40]!r} is not a link", line, _FORM)
    extra = rest[len(indices) :]
    mark = extra.pop(0) if extra and extra[0] in ("S", "P") else "S"
    score = None
    if extra:
        try:
            score = float(extra.pop(0))
        except ValueError:
            score = math.nan
        if extra or not math.isfinite(score):
            raise file.malformed(f"{' '.join(words)[:60]!r} is not a link", line, _FORM)
    second = int(indices[1]) if len(indices) > 1 else NULL
    return (int(number), int(indices[0]), second, line, mark == "S"), score
