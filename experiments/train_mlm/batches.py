"""Seeded batches of concatenated pairs out of train.npz: length buckets, position budgets, both directions, masks.

A pair lies as `align_eval.models.encoder` lays it out: <s> source </s> </s> target </s>, all of it segment 0.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

BOS, PAD, EOS, UNK = range(4)
AROUND = 4  # special sub-words of a pair
SHARES = (1.0, 1.5, 1.0, 0.5)  # passes over a corpus in one epoch (order of prepare's corpora)
BOTH = 0.15  # share of pairs of which words of the source are hidden too
LOW = -1e4


@dataclass
class Batch:
    """Attributes:
    ids: (B, T) with masks in it.
    mask: (B, 1, 1, T) additive, or None if there is no padding.
    rows: (R,) flat places of the rows that have a label.
    labels: (R,) what is to be predicted there.
    hidden: (R,) bool: the row is a mask (the others show their own sub-word, or another one).
    """

    ids: Tensor
    mask: Tensor | None
    rows: Tensor
    labels: Tensor
    hidden: Tensor


class Corpus:
    def __init__(self, folder: Path) -> None:
        data = np.load(folder / "train.npz")
        self.data = {name: data[name] for name in data.files}
        self.corpus = self.data["corpus"]

    def row(self, name: str, index: int) -> np.ndarray:
        offset = self.data[f"{name}.offset"]
        return self.data[f"{name}.flat"][offset[index] : offset[index + 1]]

    def lengths(self) -> np.ndarray:
        """Positions of each pair, special ones counted."""
        return np.diff(self.data["de.ids.offset"]) + np.diff(self.data["en.ids.offset"]) + AROUND

    def frequencies(self, size: int) -> np.ndarray:
        """How often each sub-word stands in the text, `SHARES` counted."""
        out = np.zeros(size)
        for language in ("de", "en"):
            times = np.repeat(np.asarray(SHARES)[self.corpus], np.diff(self.data[f"{language}.ids.offset"]))
            out += np.bincount(self.data[f"{language}.ids.flat"], weights=times, minlength=size)
        return out

    def epoch(self, seed: int, budget: int, rank: int, ranks: int) -> Iterator[list[tuple[int, int]]]:
        """Groups of (pair, direction) of like length; direction 0: German first, English masked; 1: the reverse."""
        rng = np.random.default_rng(seed)
        wanted = np.asarray(SHARES)[self.corpus]
        copies = np.floor(wanted).astype(int) + (rng.random(len(wanted)) < wanted % 1)
        pair = np.repeat(np.arange(len(wanted)), copies)
        pair = np.concatenate([pair, pair])
        direction = np.repeat([0, 1], len(pair) // 2)
        length = self.lengths()[pair]
        order = np.lexsort((rng.random(len(pair)), length))
        groups: list[np.ndarray] = []
        start = 0
        for here, longest in enumerate(length[order].tolist()):
            if here > start and (here + 1 - start) * longest > budget:
                groups.append(order[start:here])
                start = here
        groups.append(order[start:])
        while len(groups) % ranks:
            groups.append(groups[0])
        for block in rng.permutation(len(groups) // ranks):
            chosen = groups[block * ranks + rank]
            yield [(int(pair[i]), int(direction[i])) for i in chosen]


def hide(words: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Which sub-words are hidden, all of a word together and one word at least.

    By chance a random share of the words of 15 to 60 % (9 of 20), a span of such a share (5), a suffix of 15 to 75 %
    (4), or a random share of 60 to 100 % (2).
    """
    there = np.unique(words)
    count = len(there)
    kind = rng.random()
    low, high = (0.6, 1.0) if kind >= 0.9 else (0.15, 0.75 if kind >= 0.7 else 0.6)
    size = max(1, round(rng.uniform(low, high) * count))
    if kind < 0.45 or kind >= 0.9:
        chosen = rng.choice(there, size, replace=False)
    elif kind < 0.7:
        start = int(rng.integers(0, count - size + 1))
        chosen = there[start : start + size]
    else:
        chosen = there[count - size :]
    return np.isin(words, chosen)


def make(
    corpus: Corpus,
    items: list[tuple[int, int]],
    rng: np.random.Generator,
    dtype: torch.dtype,
    mask_id: int,
    keep: float = 0.05,
    replace: float = 0.05,
) -> Batch:
    """A batch of pairs with words hidden.

    Args:
        mask_id: the id of the mask.
        keep, replace: share of chosen words that are shown as they are, or as other sub-words of the batch (BERT has
            0.1 of each); the others are masked.
    """
    sides = [(("de", "en"), ("en", "de"))[direction] for _, direction in items]
    sources = [corpus.row(f"{s}.ids", pair) for (pair, _), (s, _) in zip(items, sides, strict=True)]
    targets = [corpus.row(f"{t}.ids", pair) for (pair, _), (_, t) in zip(items, sides, strict=True)]
    lengths = [len(s) + len(t) + AROUND for s, t in zip(sources, targets, strict=True)]
    width = max(lengths)
    ids = np.full((len(items), width), PAD, dtype=np.int64)
    state = np.zeros(ids.shape, dtype=np.int8)  # 1 masked, 2 shown as it is, 3 replaced
    for i, ((pair, _), (s, t)) in enumerate(zip(items, sides, strict=True)):
        m, n = len(sources[i]), len(targets[i])
        ids[i, : lengths[i]] = np.concatenate([[BOS], sources[i], [EOS, EOS], targets[i], [EOS]])
        words = corpus.row(f"{t}.words", pair)
        _choose(state[i, m + 3 : m + 3 + n], words, hide(words, rng), rng, keep, replace)
        if rng.random() < BOTH:
            words = corpus.row(f"{s}.words", pair)
            there = np.unique(words)
            few = rng.choice(there, max(1, round(0.15 * len(there))), replace=False)
            _choose(state[i, 1 : 1 + m], words, np.isin(words, few), rng, keep, replace)
    rows = np.flatnonzero(state)
    kinds = state.reshape(-1)[rows]
    labels = ids.reshape(-1)[rows]
    shown = np.where(kinds == 1, mask_id, labels)
    shown = np.where(kinds == 3, rng.choice(labels, len(labels)), shown)
    ids.reshape(-1)[rows] = shown
    mask = None
    if min(lengths) < width:
        padding = np.arange(width) >= np.asarray(lengths)[:, None]
        mask = torch.from_numpy(np.where(padding, LOW, 0.0)[:, None, None, :]).to(dtype)
    return Batch(*map(torch.from_numpy, (ids,)), mask, *map(torch.from_numpy, (rows, labels, kinds == 1)))


def _choose(
    state: np.ndarray, words: np.ndarray, hidden: np.ndarray, rng: np.random.Generator, keep: float, replace: float
) -> None:
    """Set what becomes of hidden sub-words: the same for all of a word."""
    draw = rng.random(int(words.max()) + 1)[words]
    state[hidden] = np.where(draw < keep, 2, np.where(draw < keep + replace, 3, 1))[hidden]
