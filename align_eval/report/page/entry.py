"""One entry of a page: the maps of a sentence pair or a text under all views, with gold and links beside them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from align_eval.errors import InputError
from align_eval.report.page.packing import pack, quantisation_error, quantise
from align_eval.shown import shown

SIDES = ("source", "target", "text")
COUNTS = ("links", "links_sure", "links_possible")


@dataclass(frozen=True)
class Entry:
    """What the page shows of one pair or text. R x C views: layers down and heads across, or what the page calls them.

    Attributes:
        id: its name on the page.
        values: ``(R, C, Q, K)``, between subwords (special ones included) or between words.
        query_labels, key_labels: of rows and columns.
        query_words, key_words: the word (0-based) of each row and column; -1: no word.
        query_text, key_text: the words of both sides.
        query_side: ``"target"`` or ``"source"``; the keys are of the other one. ``"text"``: both are the same text.
        changed: maps of the same shape from a changed input, such as one with masked words.
        changed_labels: the row labels of ``changed``.
        changed_words: the words (0-based) of the query side that were changed.
        gold: ``(query word, key word, sure)`` of each gold link; ``None``: there is no gold.
        links: ``(R, C, query words, key words)`` bool, the links found under each view; ``None``: none were sought.
        counts: ``(R, C, 3)``, integers as in :data:`COUNTS`; ``None`` without gold or links.
        words_only: the maps are between words, there are no subwords to show.

    Raises:
        InputError: shapes that do not fit, a word outside its side, an unknown side.
    """

    id: str
    values: NDArray[np.floating[Any]]
    query_labels: tuple[str, ...]
    key_labels: tuple[str, ...]
    query_words: NDArray[np.integer[Any]]
    key_words: NDArray[np.integer[Any]]
    query_text: tuple[str, ...]
    key_text: tuple[str, ...]
    query_side: str
    changed: NDArray[np.floating[Any]] | None = None
    changed_labels: tuple[str, ...] | None = None
    changed_words: tuple[int, ...] = ()
    gold: tuple[tuple[int, int, bool], ...] | None = None
    links: NDArray[np.bool_] | None = None
    counts: NDArray[np.integer[Any]] | None = None
    words_only: bool = field(default=False)

    def __post_init__(self) -> None:
        shape = (*self.values.shape[:2], len(self.query_labels), len(self.key_labels))
        if self.values.ndim != 4 or self.values.shape != shape:
            raise InputError(
                f"values {self.values.shape} do not fit {shape[2]} rows and {shape[3]} columns of entry {self.id}"
            )
        for name, array in (("changed maps", self.changed), ("changed labels", self.changed_labels)):
            size = None if array is None else getattr(array, "shape", None) or (len(array),)
            if size is not None and size not in (shape, shape[2:3]):
                raise InputError(f"{name} {size} do not fit the values {shape} of entry {self.id}")
        if (self.changed is None) != (self.changed_labels is None):
            raise InputError(f"entry {self.id} has changed maps or changed labels, but not both")
        if len(self.query_words) != shape[2] or len(self.key_words) != shape[3]:
            raise InputError(f"{len(self.query_words)} and {len(self.key_words)} words for the cells {shape[2:]}")
        if self.query_side not in SIDES:
            raise InputError(f"unknown side {self.query_side!r}", remedy=f"Choose one of {', '.join(SIDES)}")
        words = (len(self.query_text), len(self.key_text))
        outside = max(self.query_words, default=-1) >= words[0] or max(self.key_words, default=-1) >= words[1]
        for q, k, _ in self.gold or ():
            outside |= not (0 <= q < words[0] and 0 <= k < words[1])
        if outside or any(not 0 <= q < words[0] for q in self.changed_words):
            raise InputError(f"a word lies outside of the {words[0]} and {words[1]} words of entry {self.id}")
        if self.links is not None and self.links.shape != (*shape[:2], *words):
            raise InputError(f"links {self.links.shape} do not fit the words of entry {self.id}: {words}")
        if self.counts is not None and self.counts.shape != (*shape[:2], 3):
            raise InputError(f"counts {self.counts.shape} do not fit {shape[:2]} views of entry {self.id}")

    def summary(self) -> dict[str, Any]:
        """What the page knows of the entry before it is opened: texts, and how many gold links it has."""
        query, key = ([shown(word) for word in side] for side in (self.query_text, self.key_text))
        sides: dict[str, Any] = {"text": query}
        if self.query_side != "text":
            source, target = (query, key) if self.query_side == "source" else (key, query)
            sides = {"source": source, "target": target}
        gold = {} if self.gold is None else {"sure": sum(s for *_, s in self.gold), "possible": len(self.gold)}
        return {"id": shown(self.id), **sides, **gold}

    def packed(self, bits: int) -> tuple[str, float]:
        """The entry as :func:`align_eval.report.page.packing.pack` gives it, and the greatest error of a value."""
        header: dict[str, Any] = {
            "side": self.query_side,
            "queries": [shown(label) for label in self.query_labels],
            "keys": [shown(label) for label in self.key_labels],
            "queryWords": [int(word) for word in self.query_words],
            "keyWords": [int(word) for word in self.key_words],
            "wordsOnly": self.words_only,
            "gold": None if self.gold is None else [[q, k, int(sure)] for q, k, sure in self.gold],
        }
        whole, limits = quantise(self.values, bits)
        arrays: dict[str, NDArray[Any]] = {"full": whole, "full.limits": limits}
        error = quantisation_error(limits, bits)
        if self.changed is not None:
            whole, limits = quantise(self.changed, bits)
            arrays |= {"masked": whole, "masked.limits": limits}
            error = max(error, quantisation_error(limits, bits))
            header |= {
                "changedQueries": [shown(label) for label in self.changed_labels or ()],
                "changedWords": list(self.changed_words),
            }
        if self.links is not None:
            views = self.links.shape[0] * self.links.shape[1]
            arrays["links"] = np.packbits(self.links.reshape(views, -1), axis=1)
        return pack(header, arrays), error
