"""One entry of a page: the maps of a sentence pair or a text in all views, with gold and links, and how it is packed.

A packed block is, before compression: 4 bytes with the length n of its header (little-endian), n bytes of header (JSON,
UTF-8), then the arrays one after another in the order of the header's list ``arrays`` (name, dtype, shape). dtypes:
``u1``; ``u2`` as two planes, all high bytes and then all low bytes, which compresses better than pairs of bytes;
``f4`` little-endian. It is a zlib stream in base64; ``assets/unpack.js`` unpacks it.
"""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from align_eval.errors import InputError, NonFiniteError
from align_eval.shown import shown


@dataclass(frozen=True)
class Entry:
    """What the page shows of one pair or text, in R x C views: layers down and heads across as a rule."""

    id: str  # its name on the page
    values: NDArray[np.floating[Any]]  # (R, C, Q, K), between subwords (special ones included) or between words
    query_labels: tuple[str, ...]  # of the rows
    key_labels: tuple[str, ...]
    query_words: NDArray[np.integer[Any]]  # the word (0-based) of each row; -1: no word
    key_words: NDArray[np.integer[Any]]
    query_text: tuple[str, ...]  # its words
    key_text: tuple[str, ...]
    query_side: str  # "target" or "source", the keys are of the other one; "text": both are the same text
    changed: NDArray[np.floating[Any]] | None = None  # as values, from a changed input, such as one with masked words
    changed_labels: tuple[str, ...] | None = None  # its row labels
    changed_words: tuple[int, ...] = ()  # the words (0-based) of the query side that were changed
    gold: tuple[tuple[int, int, bool], ...] | None = None  # (query word, key word, sure) of each link; None: no gold
    links: NDArray[np.bool_] | None = None  # (R, C, query words, key words), found in each view; None: not sought
    counts: NDArray[np.integer[Any]] | None = None  # (R, C, 3): links, sure ones, possible ones; None: no gold
    words_only: bool = False  # there are no subwords to show

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
        """The entry as :func:`pack` gives it, and the greatest error of a value."""
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


def quantise(values: NDArray[np.floating[Any]], bits: int) -> tuple[NDArray[Any], NDArray[np.float32]]:
    """Maps ``(..., Q, K)`` as integers of 8 or 16 bits: each from the lesser of its minimum and 0 to its maximum.

    With the integers come limits ``(..., 2)``: the value of 0 and of the highest integer. A value comes back as
    ``low + integer / (2 ** bits - 1) * (high - low)``, off by at most :func:`quantisation_error`.
    """
    if bits not in (8, 16):
        raise InputError(f"{bits} bits a value", remedy="Choose 8 or 16")
    if not np.isfinite(values).all():
        raise NonFiniteError("a map has NaN or infinite values", remedy="Load the model with --dtype float32")
    top = 2**bits - 1
    flat = values.reshape(*values.shape[:-2], -1)
    if flat.shape[-1] == 0:
        limits = np.zeros((*values.shape[:-2], 2), dtype=np.float32)
    else:
        # Limits are kept as float32: widen them so that no value lies outside.
        low = np.minimum(flat.min(axis=-1), 0).astype(np.float32)
        high = flat.max(axis=-1).astype(np.float32)
        low = np.where(low > flat.min(axis=-1), np.nextafter(low, np.float32(-np.inf)), low)
        high = np.where(high < flat.max(axis=-1), np.nextafter(high, np.float32(np.inf)), high)
        limits = np.stack([low, high], axis=-1)
    wide = limits.astype(np.float64)
    span = wide[..., 1] - wide[..., 0]
    scaled = (values - wide[..., 0, None, None]) * (top / np.where(span > 0, span, 1))[..., None, None]
    whole = np.clip(np.rint(scaled), 0, top)
    return whole.astype(np.uint8 if bits == 8 else np.uint16), limits


def quantisation_error(limits: NDArray[np.float32], bits: int) -> float:
    """The most that a value of maps with these ``limits`` ``(..., 2)`` can be off, in the unit of the maps."""
    if not limits.size:
        return 0.0
    span = (limits[..., 1].astype(np.float64) - limits[..., 0]).max()
    return float(span) / (2**bits - 1) / 2 * (1 + 1e-6)


def pack(header: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> str:
    """Pack a header and named arrays of dtype uint8, uint16 or float32 as one base64 text; see the module."""
    listed, parts = [], []
    for name, array in arrays.items():
        if array.dtype == np.uint8:
            kind, data = "u1", np.ascontiguousarray(array).tobytes()
        elif array.dtype == np.uint16:
            kind = "u2"
            data = (array >> 8).astype(np.uint8).tobytes() + (array & 255).astype(np.uint8).tobytes()
        elif array.dtype == np.float32:
            kind, data = "f4", array.astype("<f4").tobytes()
        else:
            raise InputError(f"array {name} of {array.dtype} cannot be packed")
        listed.append({"name": name, "dtype": kind, "shape": list(array.shape)})
        parts.append(data)
    head = json.dumps({**header, "arrays": listed}, ensure_ascii=False, separators=(",", ":")).encode()
    block = b"".join([len(head).to_bytes(4, "little"), head, *parts])
    return base64.b64encode(zlib.compress(block, 6)).decode("ascii")
