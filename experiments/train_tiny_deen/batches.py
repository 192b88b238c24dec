"""Seeded batches out of train.npz: length buckets, token budgets, both directions, both styles, masks."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

EOS, UNK, PAD, TO_DE, TO_EN, MASK = range(6)
SHARES = (1.0, 2.0, 0.35, 0.2)  # passes over a corpus in one epoch (order of prepare.CORPORA)
STRATEGIES = (
    0.50,
    0.25,
    0.20,
    0.03,
)  # share of targets hidden by random share, span, suffix, whole; the rest stays shown
RAW_SHARE = {  # share of raw (untokenised) text: translations are judged raw, hidden words are words between spaces
    "translate": {0: 0.7, 1: 0.7, 2: 0.3, 3: 0.3},
    "mask": {0: 0.2, 1: 0.2, 2: 0.2, 3: 0.2},
}
SHORT = 12
Item = tuple[tuple[int, ...], int, int]  # pairs (several: one after the other), direction, style
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
        known = json.loads((folder / "vocab.json").read_text(encoding="utf-8"))
        self.commas = {known[f"{begin}."]: known[f"{begin},"] for begin in ("", "▁") if f"{begin}," in known}
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

    def text(self, name: str, pairs: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Sub-words of pairs one after the other, their words, and the first word of each pair; NAME is style.language.

        The full stop of every second pair that another follows becomes a comma. A word is -1 where it is not known.
        """
        ids = [self.row(f"{name}.ids", pair) for pair in pairs]
        for i, pair in enumerate(pairs[:-1]):
            comma = self.commas.get(int(ids[i][-1]))
            if comma is not None and pair % 2:
                ids[i] = np.append(ids[i][:-1], ids[i].dtype.type(comma))
        words = [self.row(f"{name}.word", pair) for pair in pairs]
        starts = np.cumsum([0, *(int(w.max()) + 1 for w in words)])[:-1]
        moved = [np.where(w < 0, -1, w + start) for w, start in zip(words, starts, strict=True)]
        return np.concatenate(ids), np.concatenate(moved), starts

    def lengths(self, name: str) -> np.ndarray:
        return np.diff(self.data[f"{name}.offset"])

    def epoch(
        self, mode: str, seed: int, budget: int, rank: int, ranks: int,
        shares: tuple[float, ...] = SHARES, short: float = 1.0, join: float = 0.0,
    ) -> Iterator[list[Item]]:  # fmt: skip
        """Groups of (pairs, direction, style): direction 0 de->en, 1 en->de; style 0 raw, 1 tokenised.

        `short`: the passes over pairs a side of which has under SHORT sub-words, as a share of those over the others.
        `join`: passes over those of the first corpus in texts of two or three of them, one after the other.
        """
        rng = np.random.default_rng(seed)
        wanted = np.asarray([shares[int(c)] for c in self.corpus])
        few = np.minimum(self.lengths("tok.de.ids"), self.lengths("tok.en.ids")) < SHORT
        if short != 1.0:
            wanted = np.where(few, wanted * short, wanted)
        copies = np.floor(wanted).astype(int) + (rng.random(len(wanted)) < wanted % 1)
        first = np.repeat(np.arange(len(wanted)), copies)
        pairs = np.full((len(first), 3), -1)
        pairs[:, 0] = first
        if join:
            brief = np.flatnonzero(few & (self.corpus == 0))
            joined = rng.choice(brief, (round(join * len(brief) / 2.5), 3))
            joined[rng.random(len(joined)) < 0.5, 2] = -1
            pairs = np.concatenate([pairs, joined])
        pairs = np.concatenate([pairs, pairs])
        direction = np.repeat([0, 1], len(pairs) // 2)
        raw = np.asarray([RAW_SHARE[mode][int(c)] for c in self.corpus])[pairs[:, 0]]
        style = (rng.random(len(pairs)) >= raw).astype(int)

        def length(language: str) -> np.ndarray:
            both = np.stack([np.append(self.lengths(f"{kind}.{language}.ids"), 0) for kind in ("raw", "tok")])
            return np.asarray(both[style[:, None], pairs].sum(1))

        de, en = length("de"), length("en")
        source, target = np.where(direction == 0, de, en) + 2, np.where(direction == 0, en, de) + 1
        order = np.lexsort((rng.random(len(pairs)), source + (rng.random(len(pairs)) - 0.5), target))
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
            yield [
                (tuple(int(pair) for pair in pairs[i] if pair >= 0), int(direction[i]), int(style[i])) for i in chosen
            ]


def pad(rows: list[np.ndarray], value: int) -> np.ndarray:
    out = np.full((len(rows), max(map(len, rows))), value, dtype=np.int64)
    for i, row in enumerate(rows):
        out[i, : len(row)] = row
    return out


def hide(words: np.ndarray, rng: np.random.Generator, plans: tuple[float, ...] = STRATEGIES) -> np.ndarray:
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
    items: list[Item],
    mode: str,
    rng: np.random.Generator,
    dtype: torch.dtype,
    visible_weight: float,
    corrupt: float,
    vocabulary: int,
    plans: tuple[float, ...] = STRATEGIES,
) -> Batch:
    sources, targets, source_words, target_words, starts = [], [], [], [], []
    for pairs, direction, style in items:
        kind = "tok" if style else "raw"
        names = ("de", "en") if direction == 0 else ("en", "de")
        (s, s_words, s_starts), (t, t_words, t_starts) = (corpus.text(f"{kind}.{name}", pairs) for name in names)
        sources.append(s)
        targets.append(t)
        source_words.append(s_words)
        target_words.append(t_words)
        starts.append(list(zip(pairs, s_starts, t_starts, strict=True)))
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
        for i, (_, direction, _) in enumerate(items):
            links = np.concatenate(
                [
                    flat[offset[pair] : offset[pair + 1]][:, :: -1 if direction == 1 else 1] + (s_start, t_start)
                    for pair, s_start, t_start in starts[i]
                ]
            )
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
