"""The data of a training: gold corpora, what is held out of them, and that no sentence of a test set is among them."""

from __future__ import annotations

import hashlib
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from align_eval.corpora import Corpus, SentencePair, load_testset
from align_eval.corpora.testset_entries import all_entries
from align_eval.corpora.testsets import locate_testset
from align_eval.errors import AlignEvalError, InputError

# Of a corpus without development data of its own every so manyth pair is held out.
HELD_OUT = 10
# Sets with these endings are made to learn from and to choose by.
LEARNABLE = ("-train", "-dev")


@dataclass(frozen=True)
class Part:
    """Sentence pairs of one corpus with gold links.

    Attributes:
        name: of the corpus; ``group``: what it is reported under, such as the pattern that named it.
        pairs: with gold; those with an empty side or without a link are not in it.
        weight: of each of its pairs in the loss.
    """

    name: str
    group: str
    corpus: Corpus
    pairs: list[SentencePair]
    weight: float = 1.0

    def row(self) -> dict[str, Any]:
        """What is said of it on the card."""
        licence = self.corpus.licence or "not stated"
        return {"name": self.name, "pairs": len(self.pairs), "sha256": digest_of(self.pairs), "licence": licence}


def digest_of(pairs: Iterable[SentencePair]) -> str:
    """The sha256 of words and gold links, 16 hex digits."""
    found = hashlib.sha256()
    for pair in pairs:
        found.update(repr((pair.source, pair.target, str(pair.gold))).encode())
    return found.hexdigest()[:16]


def usable(corpus: Corpus, name: str) -> list[SentencePair]:
    """The pairs that can be learnt from: two sides and at least one link.

    Raises:
        InputError: there is none, or the corpus has no gold.
    """
    corpus.gold  # noqa: B018 - raises where there is none
    pairs = [p for p in corpus.pairs if p.source and p.target and p.gold is not None and len(p.gold.possible)]
    if not pairs:
        raise InputError(
            f"{name} has no sentence pair with two sides and a link", remedy="Give gold links of these sentences"
        )
    return pairs


def split(
    corpora: Sequence[tuple[str, Corpus, float]], dev: Sequence[tuple[str, Corpus]]
) -> tuple[list[Part], list[Part]]:
    """Parts to learn from and parts to choose by; without ``dev`` every tenth pair of each corpus is held out.

    Args:
        corpora: group, corpus and weight; ``dev``: group and corpus.
    """
    train = [Part(c.name, group, c, usable(c, c.name), weight) for group, c, weight in corpora]
    if dev:
        return train, [Part(c.name, group, c, usable(c, c.name)) for group, c in dev]
    return held_out(train)


def held_out(parts: Sequence[Part]) -> tuple[list[Part], list[Part]]:
    """The parts without every tenth of their pairs, and these.

    Raises:
        InputError: so few pairs that none would be held out.
    """
    if sum(len(part.pairs) for part in parts) < HELD_OUT:
        raise InputError(
            f"{sum(len(part.pairs) for part in parts)} sentence pairs are too few to hold some out to choose by",
            remedy="Give other pairs with gold links: --dev",
        )
    rest, dev = [], []
    for part in parts:
        kept = [p for k, p in enumerate(part.pairs) if k % HELD_OUT != HELD_OUT - 1]
        rest.append(Part(part.name, part.group, part.corpus, kept, part.weight))
        if every := part.pairs[HELD_OUT - 1 :: HELD_OUT]:
            dev.append(Part(f"{part.name} (every tenth pair)", part.group, part.corpus, every))
    return rest, dev


def refuse_overlap(parts: Sequence[Part]) -> tuple[list[str], list[str]]:
    """Refuse to learn from a sentence of a named test set; sides are compared as letters and digits, lower-cased.

    Returns:
        the names of the test sets that were compared, and of those that are not on this machine.

    Raises:
        InputError: a sentence of either side is one of a test set; names both and how many there are.
    """
    mine: dict[str, tuple[Part, SentencePair]] = {}
    for part in parts:
        for pair in part.pairs:
            for side in (pair.source, pair.target):
                mine.setdefault(normalised(side), (part, pair))
    mine.pop("", None)
    compared, absent = [], []
    for name, entry in all_entries().items():
        if entry.own or name.endswith(LEARNABLE):
            continue
        if locate_testset(name) is None:
            absent.append(name)
            continue
        try:
            pairs = load_testset(name).pairs
        except AlignEvalError:
            absent.append(name)
            continue
        compared.append(name)
        met = [
            (pair, mine[key])
            for pair in pairs
            for side in (pair.source, pair.target)
            if (key := normalised(side)) in mine
        ]
        if met:
            theirs, (part, pair) = met[0]
            raise InputError(
                f"{len({id(one) for one, _ in met})} sentence pairs of the test set {name} share a sentence with the "
                f"training data: pair {pair.id} of {part.name} and pair {theirs.id}, {' '.join(theirs.source)[:60]!r}",
                remedy=f"Leave them out, or pass --allow-overlap and do not report scores on {name}",
            )
    return compared, absent


def normalised(words: Sequence[str]) -> str:
    """A sentence as letters and digits alone, lower-cased, compatible forms made one."""
    return "".join(c for c in unicodedata.normalize("NFKC", "".join(words)).casefold() if c.isalnum())
