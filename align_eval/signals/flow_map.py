"""The information flow of one prediction as a value: all heads, one number a head, and named spans of sub-words."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from align_eval.errors import InputError, UnknownNameError
from align_eval.models.tokens import IdArray
from align_eval.signals.text import TextScores

SCALARS = {
    "max": "greatest saliency from one sub-word to another",
    "max-all": "greatest saliency, a sub-word's to itself counted",
    "sum": "saliency summed over the head's map",
    "flow": "saliency of the row that predicts, summed",
    "share": "share of the head's saliency that is in the row that predicts",
    "gate": "| sum of A * dL/dA |, the gradient of the head's gate",
}
"""What one number can stand for a head; Michel et al. 2019 (arXiv:1905.10650) for the gate."""


@dataclass(frozen=True)
class TextFlow(TextScores):
    """A * dL/dA of one prediction, in every head; below 0 where more weight would make it more probable. 1 nat of loss.

    Attributes:
        key_text, key_spans: the text of the columns and where each stands in it, ``(K, 2)``; -1 for special ones.
        position: the row that predicts, 0-based; ``None`` if no row does (the encoder of an encoder-decoder model).
        target: the token that is predicted.
        probability, rank: what the model gives it; rank 1 is the most probable.
        top: the most probable tokens with their probabilities, descending.
    """

    key_text: str
    key_spans: IdArray
    position: int | None
    target: str
    probability: float
    rank: int
    top: tuple[tuple[str, float], ...]

    @property
    def signed(self) -> NDArray[np.floating]:
        """A * dL/dA, ``(L, H, Q, K)``."""
        return self.values

    @property
    def saliency(self) -> NDArray[np.floating]:
        """| A * dL/dA |, ``(L, H, Q, K)``."""
        return np.abs(self.signed)

    @property
    def between(self) -> NDArray[np.floating]:
        """The saliency from one sub-word to another, ``(L, H, Q, K)``: the diagonal is 0 if rows and columns are the
        same sub-words. What a sub-word has from itself moves nothing from one place to another."""
        values = self.saliency
        if self.square:
            places = np.arange(len(self.keys))
            values[:, :, places, places] = 0
        return values

    def scalar(self, name: str) -> NDArray[np.floating]:
        """One number a head, ``(L, H)``; see :data:`SCALARS`. A head without any flow has share 0.

        Raises:
            UnknownNameError: no such number.
            InputError: it needs the row that predicts, and no row does.
        """
        if name not in SCALARS:
            raise UnknownNameError("number of a head", name, SCALARS)
        if name == "max":
            return self.between.max(axis=(2, 3))
        if name == "max-all":
            return self.saliency.max(axis=(2, 3))
        if name == "sum":
            return self.saliency.sum(axis=(2, 3))
        if name == "gate":
            return np.abs(self.signed.sum(axis=(2, 3)))
        if self.position is None:
            raise InputError(f"{name!r} is of the row that predicts, which the encoder has not", remedy="Choose max")
        row = self.saliency[:, :, self.position].sum(axis=-1)
        if name == "flow":
            return row
        total = self.saliency.sum(axis=(2, 3))
        return np.divide(row, total, out=np.zeros_like(row), where=total > 0)


@dataclass(frozen=True)
class Group:
    """A span of sub-words with a name: ``start`` to ``end`` - 1, 0-based."""

    name: str
    start: int
    end: int


def parse_group(text: str, flow: TextFlow) -> Group:
    """A span of columns from ``NAME=3:7`` (sub-words 3 to 6, 0-based) or ``NAME=words as they stand in the text``.

    Raises:
        InputError: no name, an empty span, one outside of the text, or words that do not stand in it.
    """
    name, equals, where = text.partition("=")
    remedy = "Write NAME=FIRST:END (sub-words from 0, END left out) or NAME=words of the text"
    if not equals or not name or not where:
        raise InputError(f"{text!r} is no group", remedy=remedy)
    first, colon, end = where.partition(":")
    size = len(flow.keys)
    if colon and first.strip().isdecimal() and end.strip().isdecimal():
        group = Group(name, int(first), int(end))
        if not group.start < group.end <= size:
            raise InputError(f"group {name!r} is {where}; the text has {size} sub-words", remedy=remedy)
        return group
    place = flow.key_text.find(where.strip())
    inside = (flow.key_spans[:, 1] > place) & (flow.key_spans[:, 0] < place + len(where.strip()))
    found = np.flatnonzero(inside & (flow.key_spans[:, 1] > flow.key_spans[:, 0]))
    if place < 0 or not len(found):
        raise InputError(f"group {name!r}: {where!r} does not stand in the text", remedy=remedy)
    return Group(name, int(found[0]), int(found[-1]) + 1)
