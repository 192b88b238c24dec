"""Seeded batches out of train.npz: length buckets, token budgets, both directions, both styles, masks."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

EOS, UNK, PAD, TO_DE, TO_EN, MASK = range(6)
SHARES = (1.0, 2.0, 0.35, 0.2)  # passes over a corpus in one epoch (order of prepare.CORPORA)
PLANS = (0.50, 0.25, 0.20, 0.03)  # share of targets hidden by random share, span, suffix, whole; the rest stays shown
RAW_SHARE = {  # share of raw (untokenised) text: translations are judged raw, hidden words are words between spaces
    "translate": {0: 0.7, 1: 0.7, 2: 0.3, 3: 0.3},
    "mask": {0: 0.2, 1: 0.2, 2: 0.2, 3: 0.2},
}
SHORT = 12
IGNORE = -100


@dataclass
class Batch:
    source: Tensor  # (B, S) language code, pieces, </s>, padding
    source_mask: Tensor  # (B, 1, 1, S) additive
    inputs: Tensor  # (B, T)
    target_mask: Tensor  # additive, (1, 1, T, T) causal or (B, 1, 1, T) padding
    labels: Tensor  # (B, T), IGNORE on padding
    weights: Tensor  # (B, T) loss weight of a row
    hidden: Tensor  # (B, T) bool: row is masked (mask model)
    guide: Tensor | None  # (B, T, S) wanted attention, rows sum to 1 or 0


class Corpus:
    def __init__(self, folder: Path) -> None:
        data = np.load(folder / "train.npz")
        self.corpus = data["corpus"]
        self.data = {name: data[name] for name in data.files}
        self.folder = folder
        self.links: tuple[np.ndarray, np.ndarray] | None = None

    def load_links(self) -> bool:
        path = self.folder / "links.npz"
        if self.links is None and path.exists():
            links = np.load(path)
            self.links = (links["flat"], links["offset"])
        return self.links is not None

    def row(self, name: str, index: int) -> np.ndarray:
        offset = self.data[f"{name}.offset"]
        return self.data[f"{name}.flat"][offset[index] : offset[index + 1]]

    def lengths(self, name: str) -> np.ndarray:
        return np.diff(self.data[f"{name}.offset"])

    def epoch(
        self, mode: str, seed: int, budget: int, rank: int, ranks: int,
        shares: tuple[float, ...] = SHARES, short: float = 1.0,
    ) -> Iterator[list[tuple[int, int, int]]]:  # fmt: skip
        """Groups of (pair, direction, style): direction 0 de->en, 1 en->de; style 0 raw, 1 tokenised.

        `short`: the passes over pairs a side of which has under SHORT sub-words, as a share of those over the others.
        """
        rng = np.random.default_rng(seed)
        wanted = np.asarray([shares[int(c)] for c in self.corpus])
        if short != 1.0:
            few = np.minimum(self.lengths("tok.de.ids"), self.lengths("tok.en.ids")) < SHORT
            wanted = np.where(few, wanted * short, wanted)
        copies = np.floor(wanted).astype(int) + (rng.random(len(wanted)) < wanted % 1)
        pair = np.repeat(np.arange(len(wanted)), copies)
        pair = np.concatenate([pair, pair])
        direction = np.repeat([0, 1], len(pair) // 2)
        raw = np.asarray([RAW_SHARE[mode][int(c)] for c in self.corpus])[pair]
        style = (rng.random(len(pair)) >= raw).astype(int)
        de = np.where(style == 0, self.lengths("raw.de.ids")[pair], self.lengths("tok.de.ids")[pair])
        en = np.where(style == 0, self.lengths("raw.en.ids")[pair], self.lengths("tok.en.ids")[pair])
        source, target = np.where(direction == 0, de, en) + 2, np.where(direction == 0, en, de) + 1
        order = np.lexsort((rng.random(len(pair)), source + (rng.random(len(pair)) - 0.5), target))
        groups: list[np.ndarray] = []
        start = 0
        longest = 0
        for here, item in enumerate(order):
            longest = max(longest, int(source[item]) + int(target[item]))
            if here > start and (here + 1 - start) * longest > budget:
                groups.append(order[start:here])
                start, longest = here, int(source[item]) + int(target[item])
        groups.append(order[start:])
        while len(groups) % ranks:
            groups.append(groups[0])
        for block in rng.permutation(len(groups) // ranks):
            chosen = groups[block * ranks + rank]
            yield [(int(pair[i]), int(direction[i]), int(style[i])) for i in chosen]


def pad(rows: list[np.ndarray], value: int) -> np.ndarray:
    out = np.full((len(rows), max(map(len, rows))), value, dtype=np.int64)
    for i, row in enumerate(rows):
        out[i, : len(row)] = row
    return out


def hide(words: np.ndarray, rng: np.random.Generator, plans: tuple[float, ...] = PLANS) -> np.ndarray:
    """Which sub-words are hidden, by word: a random share, a span, a suffix, all or none, drawn by `plans`."""
    count = int(words.max()) + 1
    share, span, suffix, everything = np.cumsum(plans)
    kind = rng.random()
    hidden = np.zeros(count, dtype=bool)
    if kind < share:
        hidden = rng.random(count) < rng.uniform(0.1, 1.0)
    elif kind < span:
        size = max(1, round(rng.uniform(0.05, 0.8) * count))
        start = int(rng.integers(0, count - size + 1))
        hidden[start : start + size] = True
    elif kind < suffix:
        hidden[int(rng.integers(0, count)) :] = True
    elif kind < everything:
        hidden[:] = True
    return hidden[words]


def make(
    corpus: Corpus,
    items: list[tuple[int, int, int]],
    mode: str,
    rng: np.random.Generator,
    dtype: torch.dtype,
    visible_weight: float,
    corrupt: float,
    vocabulary: int,
    plans: tuple[float, ...] = PLANS,
) -> Batch:
    sources, targets, source_words, target_words = [], [], [], []
    for pair, direction, style in items:
        kind = "tok" if style else "raw"
        names = ("de", "en") if direction == 0 else ("en", "de")
        sources.append(corpus.row(f"{kind}.{names[0]}.ids", pair))
        targets.append(corpus.row(f"{kind}.{names[1]}.ids", pair))
        source_words.append(corpus.row(f"{kind}.{names[0]}.word", pair))
        target_words.append(corpus.row(f"{kind}.{names[1]}.word", pair))
    codes = [TO_EN if direction == 0 else TO_DE for _, direction, _ in items]
    source = pad([np.concatenate([[c], s, [EOS]]) for c, s in zip(codes, sources, strict=True)], PAD)
    ended = mode == "translate" or rng.random() < 0.75  # the mask model also sees targets without </s>
    labels = pad([np.concatenate([t, [EOS]]) if ended else t for t in targets], IGNORE)
    real = labels != IGNORE
    rows, width = labels.shape
    hidden = np.zeros_like(real)
    weights = real.astype(np.float32)
    if mode == "translate":
        inputs = np.full_like(labels, PAD)
        inputs[:, 1:] = np.where(real[:, :-1], labels[:, :-1], PAD)
    else:
        inputs = np.where(real, labels, PAD)
        for i, words in enumerate(target_words):
            if (words < 0).any():
                words = np.arange(len(words))
            hidden[i, : len(words)] = hide(words, rng, plans)
        noisy = real & ~hidden & (inputs != EOS) & (rng.random(inputs.shape) < corrupt)
        pool = inputs[real]
        inputs = np.where(noisy, rng.choice(pool, inputs.shape), inputs)
        inputs = np.where(hidden, MASK, inputs)
        weights = np.where(real & ~hidden & ~noisy, visible_weight, weights).astype(np.float32)
    guide = None
    if corpus.links is not None:
        flat, offset = corpus.links
        dense = np.zeros((rows, width, source.shape[1]), dtype=np.float32)
        shift = 1 if mode == "translate" else 0  # AWI: the row whose input is the word
        for i, (pair, direction, _) in enumerate(items):
            links = flat[offset[pair] : offset[pair + 1]]
            if direction == 1:
                links = links[:, ::-1]
            s, t = source_words[i], target_words[i]
            if len(links) == 0 or (s < 0).any() or (t < 0).any():
                continue
            table = np.zeros((int(t.max()) + 1, int(s.max()) + 1), dtype=np.float32)
            inside = (links[:, 0] < table.shape[1]) & (links[:, 1] < table.shape[0])
            table[links[inside, 1], links[inside, 0]] = 1
            block = table[t][:, s]
            end = min(width, len(t) + shift)
            dense[i, shift:end, 1 : 1 + len(s)] = block[: end - shift]
        total = dense.sum(2, keepdims=True)
        guide = torch.from_numpy(dense / np.maximum(total, 1))
    low = -1e4
    source_mask = torch.from_numpy(np.where(source == PAD, low, 0.0)[:, None, None, :]).to(dtype)
    if mode == "translate":
        target_mask = torch.full((width, width), low).triu(1)[None, None].to(dtype)
    else:
        target_mask = torch.from_numpy(np.where(real, 0.0, low)[:, None, None, :]).to(dtype)
    return Batch(
        torch.from_numpy(source),
        source_mask,
        torch.from_numpy(inputs),
        target_mask,
        torch.from_numpy(labels),
        torch.from_numpy(weights),
        torch.from_numpy(hidden),
        guide,
    )
