"""Gold and links in memory made ready to be scored: matched by name, without the sentence pairs that are left out."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from align_eval.corpora.matching import Matching, check_first, match_tables
from align_eval.errors import InputError
from align_eval.link_parts import kept, part_of
from align_eval.link_table import LinkTable
from align_eval.scoring.alternatives import table_warning
from align_eval.scoring.notes import unannotated_notes

#: Policies for sentence pairs without a gold link.
UNANNOTATED = ("count", "skip")


@dataclass(frozen=True)
class Prepared:
    """What :func:`prepare` gives: both tables, what a person should know, and what goes into the signature."""

    gold: LinkTable
    links: LinkTable
    notes: list[str]
    signature: dict[str, str | int] = field(default_factory=dict)


def prepare(
    gold: LinkTable, links: LinkTable, missing: str = "raise", unannotated: str = "count", first: int | None = None
) -> Prepared:
    """Match the sentence pairs of two tables, and leave out those that are not to be scored.

    Args:
        gold, links: 0-based.
        missing: see :class:`align_eval.corpora.matching.Matching`.
        unannotated: one of :data:`UNANNOTATED`.
        first: the first sentence pairs of the gold alone, as many.

    Raises:
        LengthMismatchError: different sentence pairs, or fewer than ``first``.
        InputError: an unknown policy.
    """
    check_policies(unannotated, first)
    if first is not None:
        gold = part_of(gold, 0, min(first, gold.sentences))
        links = links if links.ids is not None else part_of(links, 0, min(first, links.sentences))
        check_first(gold.sentences, first, "the gold")
    notes: list[str] = []
    how = Matching(("the gold", "the hypothesis"), missing, first_only=first is not None, may_cut=True, notes=notes)
    gold, links = match_tables([gold, links], how)
    bare = np.diff(gold.offsets) == 0
    wrong = int(np.diff(links.offsets)[bare].sum())
    if gold.links and (wrong or unannotated == "skip"):
        notes += unannotated_notes(int(bare.sum()), gold.sentences, {"the hypothesis": wrong}, unannotated)
    if unannotated == "skip":
        gold, links = kept(gold, ~bare), kept(links, ~bare)
    doubt = table_warning(gold, links)
    notes += [] if doubt is None else [doubt]
    said = {"missing": missing if missing != "raise" else None, "first": first}
    said["unannotated"] = unannotated if unannotated != "count" else None
    return Prepared(gold, links, notes, {key: value for key, value in said.items() if value is not None})


def check_policies(unannotated: str, first: int | None) -> None:
    """Raise :class:`InputError` for an unknown policy or a number of pairs that is not positive."""
    if unannotated not in UNANNOTATED:
        raise InputError(
            f"unknown policy for sentence pairs without gold {unannotated!r}", remedy=f"Known: {', '.join(UNANNOTATED)}"
        )
    if first is not None and first < 1:
        raise InputError(f"the first {first} sentence pairs cannot be scored", remedy="Give 1 or more")
