"""Made-up entries for the tests of the page: known values, awkward texts, no model."""

from __future__ import annotations

import base64
import json
import zlib
from typing import Any

import numpy as np

from align_eval.report.page import Entry, Page, number_axis

LAYERS, HEADS = 3, 4
EVIL = "<script>window.hurt=1</script>"
EVIL_TOO = "</script><img/src=x/onerror=window.hurt=2>"


def rows_that_sum_to_1(seed: int, *shape: int) -> np.ndarray:
    """Random distributions over the last axis, uneven as those of attention."""
    values = np.random.default_rng(seed).gamma(0.4, size=shape) + 1e-6
    return values / values.sum(axis=-1, keepdims=True)


def entry(
    number: int, source: tuple[str, ...], target: tuple[str, ...], *, split: int = 0, changed: tuple[int, ...] = (),
    gold: tuple[tuple[int, int, bool], ...] = (),
) -> Entry:  # fmt: skip
    """A pair with target rows; the first ``split`` words of both sides have two sub-words, and both sides an end."""

    def pieces(words: tuple[str, ...]) -> tuple[tuple[str, ...], np.ndarray]:
        labels, owner = [], []
        for k, word in enumerate(words):
            parts = [f"▁{word[:2]}", word[2:] or "_"] if k < split else [f"▁{word}"]
            labels += parts
            owner += [k] * len(parts)
        return (*labels, "</s>"), np.array([*owner, -1])

    (queries, query_words), (keys, key_words) = pieces(target), pieces(source)
    values = rows_that_sum_to_1(number, LAYERS, HEADS, len(queries), len(keys))
    more: dict[str, Any] = {}
    if changed:
        more["changed"] = rows_that_sum_to_1(number + 100, *values.shape)
        masked = (label if word not in changed else "[MASK]" for label, word in zip(queries, query_words, strict=True))
        more |= {"changed_labels": tuple(masked), "changed_words": changed}
    words = word_values(values, query_words, key_words, len(target), len(source))
    links = words == words.max(axis=-1, keepdims=True)
    cells = [np.ones(links.shape[2:], dtype=bool), *(np.zeros(links.shape[2:], dtype=bool) for _ in range(2))]
    for q, k, sure in gold:
        cells[2][q, k] = True
        cells[1][q, k] = sure
    counts = np.stack([(links & part).sum(axis=(2, 3)) for part in cells], axis=-1)
    return Entry(
        f"s{number}", values, queries, keys, query_words, key_words, target, source, "target", gold=gold, links=links,
        counts=counts, **more,
    )  # fmt: skip


def word_values(values: np.ndarray, query_words: np.ndarray, key_words: np.ndarray, rows: int, columns: int) -> Any:
    """Keys summed, queries averaged, by plain loops."""
    out = np.zeros((*values.shape[:2], rows, columns))
    for q in range(rows):
        for k in range(columns):
            cell = values[:, :, query_words == q][..., key_words == k]
            out[:, :, q, k] = cell.sum(axis=-1).mean(axis=-1)
    return out


ENTRIES = (
    entry(0, ("the", "house", "is", "small"), ("das", "Haus", "ist", "klein", "."), split=2, changed=(1, 3),
          gold=((0, 0, True), (1, 1, True), (2, 2, True), (3, 3, False))),
    entry(1, ("my", EVIL, "&amp;", '"x"'), ("mein", EVIL_TOO, "\u2028", "ende"), gold=((0, 0, True), (1, 1, True))),
    entry(2, ("世界", "の", "基本的な", "物理法則"), ("ما", "هي", "القوانين", "الفيزيائية", "؟"), split=1,
          gold=((0, 0, True), (2, 3, True), (3, 2, True))),
    entry(3, ("A", "pneumonoultramicroscopicsilicovolcanoconiosis", "B"),
          ("Donaudampfschifffahrtsgesellschaftskapitänsmützenabzeichen",), gold=((0, 1, True),)),
    entry(4, ("no", "gold", "here"), ("kein", "Gold")),
)  # fmt: skip


def sample_page(entries: tuple[Entry, ...] = ENTRIES, **options: Any) -> Page:
    """A page of the entries; layers 1-3, heads 1-4."""
    page = Page(
        "A <b>model</b> on samples", "attention weight", number_axis("layer", range(1, LAYERS + 1)),
        number_axis("head", range(1, HEADS + 1)), subject={"model": "none & nothing"}, method="reverse", **options,
    )  # fmt: skip
    for one in entries:
        page.add(one)
    return page


def unpack(text: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """The header and the arrays of what ``pack`` wrote; what ``assets/unpack.js`` does."""
    block = zlib.decompress(base64.b64decode(text))
    start = 4 + int.from_bytes(block[:4], "little")
    header = json.loads(block[4:start])
    arrays: dict[str, Any] = {}
    for item in header.pop("arrays"):
        shape = tuple(item["shape"])
        count = int(np.prod(shape))
        if item["dtype"] == "u2":
            high, low = (np.frombuffer(block, np.uint8, count, start + k * count).astype(np.uint16) for k in (0, 1))
            arrays[item["name"]] = ((high << 8) | low).reshape(shape)
            start += 2 * count
        else:
            dtype = np.dtype(np.uint8 if item["dtype"] == "u1" else "<f4")
            arrays[item["name"]] = np.frombuffer(block, dtype, count, start).reshape(shape)
            start += count * dtype.itemsize
    return header, arrays
