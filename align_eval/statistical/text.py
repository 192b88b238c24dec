"""The training text of a statistical aligner: every word a number, empty sides and too long sentences kept out."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from align_eval.corpora import SentencePair
from align_eval.corpora.pair import check_sizes, pair_size_error
from align_eval.errors import AlignEvalWarning, InputError, ModelError, SentenceTooLongError
from align_eval.link_table import LinkTable
from align_eval.links import Links


class Directions(NamedTuple):
    """Both directions of an alignment, one row of links a sentence pair, 0-based, source index first in both.

    Attributes:
        forward: every target word has at most one link (the source generates the target).
        reverse: every source word has at most one link.
    """

    forward: LinkTable
    reverse: LinkTable


class NumberedPair(NamedTuple):
    """The words of a sentence pair as numbers from 1, those of each side counted on their own."""

    source: list[int]
    target: list[int]


@dataclass
class TrainingText:
    """The text that an aligner is trained on: ``extra`` pairs, then those to align that have two sides.

    Words become numbers, so that nothing in a word (a no-break space, ``|||``, ``<eps>``) can mean anything to the
    aligner's own reader. One pass through :meth:`pairs` fills ``extra_count`` and ``sizes``.

    Args:
        test: the pairs to align.
        extra: more pairs to train on.
        lowercase: whether words are lowercased before they are numbered.
        limit: the most words that the aligner takes in a sentence.
        aligner: its name, for messages.

    Attributes:
        live: positions in ``test`` of the pairs with two non-empty sides.
        extra_count: pairs of ``extra`` that were trained on.
    """

    test: Sequence[SentencePair]
    extra: Iterable[SentencePair]
    lowercase: bool
    limit: int
    aligner: str
    extra_count: int = 0
    live: list[int] = field(init=False)

    def __post_init__(self) -> None:
        self.live = [k for k, pair in enumerate(self.test) if pair.source and pair.target]
        self._numbers: tuple[dict[str, int], dict[str, int]] = ({}, {})
        for k in self.live:
            pair = self.test[k]
            if self._too_many(pair):
                raise SentenceTooLongError(
                    f"pair {pair.id} has {len(pair.source)} and {len(pair.target)} words, {self.aligner} takes "
                    f"{self.limit} in a sentence",
                    remedy="Split the sentence, or align it with a model",
                )
        check_sizes(self.test[k] for k in self.live)

    def pairs(self) -> Iterator[NumberedPair]:
        """All pairs to train on, in order. Warns of extra pairs that are too long and left out."""
        self.extra_count = 0
        left_out = 0
        for pair in self.extra:
            if not pair.source or not pair.target:
                continue
            if self._too_many(pair) or pair_size_error(pair) is not None:
                left_out += 1
                continue
            self.extra_count += 1
            yield self.numbered(pair)
        if left_out:
            warnings.warn(
                f"{left_out} training pairs have a sentence of more than {self.limit} words or are over the limits of "
                "a pair, and are left out",
                AlignEvalWarning,
                stacklevel=2,
            )
        for k in self.live:
            yield self.numbered(self.test[k])

    def numbered(self, pair: SentencePair) -> NumberedPair:
        """The words of a pair as numbers; a word not seen before gets the next number."""
        sides = []
        for words, numbers in zip((pair.source, pair.target), self._numbers, strict=True):
            folded = map(str.lower, words) if self.lowercase else words
            sides.append([numbers.setdefault(word, len(numbers) + 1) for word in folded])
        return NumberedPair(*sides)

    def _too_many(self, pair: SentencePair) -> bool:
        return max(len(pair.source), len(pair.target)) > self.limit

    def table(self, links: Iterable[Links]) -> LinkTable:
        """A table over all of ``test`` from the links of the live pairs; the others have none.

        Raises:
            ModelError: the aligner gave another number of lines than it got.
            LinkRangeError: a link lies outside its sentence pair.
        """
        found = list(links)
        if len(found) != len(self.live):
            raise ModelError(
                f"{self.aligner} gave links of {len(found)} sentence pairs for {len(self.live)}",
                remedy="Check the installed version of its package",
            )
        rows = [Links()] * len(self.test)
        for k, item in zip(self.live, found, strict=True):
            rows[k] = item
        table = LinkTable.from_links(rows)
        table.check_range([len(p.source) for p in self.test], [len(p.target) for p in self.test])
        return table


def missing_package(aligner: str, package: str, detail: str = "") -> InputError:
    """The error for a package that is not installed."""
    return InputError(
        f"the method {aligner} needs the package {package}",
        remedy=f"Install it: pip install 'align-eval[statistical]'{detail}",
    )
