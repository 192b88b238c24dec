"""The states of a frozen encoder for the sentences of a corpus, computed once and kept on disk."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from align_eval.aligners.refiner import Looks
from align_eval.attribution.similarity import encode_in_windows
from align_eval.corpora import SentencePair
from align_eval.errors import InputError
from align_eval.files import atomic_writer
from align_eval.models.tokens import IdArray, without_lone_marks
from align_eval.models.vectors import VectorModel, Vectors

# Pairs encoded at a time.
_BLOCK = 256


@dataclass(frozen=True)
class States:
    """Unit states of the tokens of n sentence pairs, and the gold links.

    Attributes:
        values: ``(N, layers, width)`` float16, one sentence after the other, sources and targets by turns.
        words: the word of each token, ``(N,)``.
        bounds: sentence ``k`` has the tokens ``bounds[k]`` to ``bounds[k + 1] - 1``; ``(2n + 1,)``.
        pairs: the sentence pairs.
    """

    values: Tensor
    words: Tensor
    bounds: list[int]
    pairs: list[SentencePair]

    def sizes(self) -> list[tuple[int, int]]:
        """Tokens of source and target of each pair."""
        lengths = [end - start for start, end in pairwise(self.bounds)]
        return list(zip(lengths[::2], lengths[1::2], strict=True))


def encode(
    sides: Sequence[VectorModel], pairs: list[SentencePair], layers: Sequence[int], lone_marks: str,
    cache: Path | None = None, progress: Callable[[int], None] | None = None,
) -> States:  # fmt: skip
    """The states of pairs at ``layers``, read from the folder ``cache`` if they are there, else computed and kept.

    ``sides``: what reads source and target (:func:`align_eval.models.vectors.vector_models`).
    """
    from safetensors.torch import load_file, save

    encoder = sides[0]
    sentences = [side for pair in pairs for side in (pair.source, pair.target)]
    tokens = without_lone_marks(encoder.tokenize(sentences), sentences, encoder.tokenizer, lone_marks)
    bounds = tokens.offsets.tolist()
    words = torch.from_numpy(tokens.flat_words.astype(np.int64))
    key = hashlib.sha256(
        repr((encoder.name, encoder.revision, str(encoder.dtype), encoder.precision, tuple(layers))).encode()
    )
    key.update(tokens.flat_ids.tobytes() + tokens.offsets.tobytes())
    file = None if cache is None else cache / f"{key.hexdigest()[:24]}.safetensors"
    if file is not None and file.is_file():
        values = load_file(file)["states"]
        if values.shape == (len(words), len(layers), encoder.hidden_size):
            if progress:
                progress(len(pairs))
            return States(values, words, bounds, pairs)
    values = torch.empty((len(words), len(layers), encoder.hidden_size), dtype=torch.float16, device="cpu")
    for start in range(0, len(pairs), _BLOCK):
        stop = min(start + _BLOCK, len(pairs))
        apart = sides[0] is not sides[-1]
        for parity, side in enumerate(sides if apart else sides[:1]):
            order = list(range(2 * start + parity, 2 * stop, 2 if apart else 1))
            read = partial(_read, side, layers)
            found, rows = encode_in_windows(read, [tokens.ids[k] for k in order], side.window)
            unit = torch.nn.functional.normalize(found.float(), dim=2)
            for k, own in zip(order, rows, strict=True):
                values[bounds[k] : bounds[k + 1]] = unit[:, own].transpose(0, 1).to("cpu", torch.float16)
        if progress:
            progress(stop - start)
    if file is not None:
        file.parent.mkdir(parents=True, exist_ok=True)
        with atomic_writer(file, "wb") as stream:
            stream.write(save({"states": values}))  # type: ignore[arg-type]
    return States(values, words, bounds, pairs)


def _read(side: VectorModel, layers: Sequence[int], ids: Sequence[IdArray]) -> Vectors:
    return side.vectors(ids, layers)


@dataclass(frozen=True)
class Batch:
    """B sentence pairs, padded; ``gold`` is ``(B, M, N)`` float, 1 where a link is, sure or possible."""

    states: tuple[Tensor, Tensor]  # (B, tokens, layers, width) float32
    words: tuple[Tensor, Tensor]  # (B, tokens), -1 in the padding
    looks: tuple[Looks, Looks]
    gold: Tensor
    sure: Tensor
    weights: Tensor  # (B,)

    def swapped(self) -> Batch:
        """Source and target exchanged."""
        one, other = self.gold.mT, self.sure.mT
        return Batch(self.states[::-1], self.words[::-1], self.looks[::-1], one, other, self.weights)


def make_batch(states: States, chosen: Sequence[int], weights: Sequence[float] | None = None) -> Batch:
    """The pairs ``chosen`` as one batch."""
    numbers: dict[str, int] = {}
    pairs = [states.pairs[k] for k in chosen]
    looks = [Looks.of([getattr(p, side) for p in pairs], numbers) for side in ("source", "target")]
    gold = torch.zeros((len(pairs), looks[0].form.shape[1], looks[1].form.shape[1]), device="cpu")
    sure = torch.zeros_like(gold)
    for b, pair in enumerate(pairs):
        if pair.gold is None:
            raise InputError(f"pair {pair.id} has no gold links", remedy="Give gold links of every pair")
        for cells, links in ((gold, pair.gold.possible), (sure, pair.gold.sure)):
            cells[b, links.pairs[:, 0].tolist(), links.pairs[:, 1].tolist()] = 1.0
    found = []
    for parity in (0, 1):
        spans = [(states.bounds[2 * k + parity], states.bounds[2 * k + parity + 1]) for k in chosen]
        longest = max(end - start for start, end in spans)
        values = torch.zeros((len(chosen), longest, *states.values.shape[1:]), device="cpu")
        words = torch.full((len(chosen), longest), -1, dtype=torch.int64, device="cpu")
        for b, (start, end) in enumerate(spans):
            values[b, : end - start] = states.values[start:end]
            words[b, : end - start] = states.words[start:end]
        found.append((values, words))
    given = torch.tensor([1.0] * len(chosen) if weights is None else list(weights), device="cpu")
    (source, source_words), (target, target_words) = found
    return Batch((source, target), (source_words, target_words), (looks[0], looks[1]), gold, sure, given)
