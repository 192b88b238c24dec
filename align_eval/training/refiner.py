"""Train the head and refiner of the method ``refined`` on gold links, over the frozen states of an encoder."""

from __future__ import annotations

import copy
import io
import json
import math
import pickle
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from align_eval.aligners.refined import with_tokens
from align_eval.aligners.refiner import Beliefs, Refiner, Shape
from align_eval.errors import InputError, ModelError, NonFiniteError
from align_eval.files import atomic_writer, parse_json
from align_eval.io.resumable import Key
from align_eval.scoring.calibration import calibration
from align_eval.training.data import Part
from align_eval.training.states import Batch, States, make_batch

CHECKPOINT, KEY = "checkpoint.pt", "checkpoint.json"
# Thresholds that are tried on development data.
THRESHOLDS = np.round(np.arange(0.05, 0.951, 0.01), 2)
# Development and training pairs in a batch of similar size are taken from so many that are near in order.
_POOL = 256


@dataclass(frozen=True)
class TrainingSettings:
    """What decides a training besides its data and encoder.

    Attributes:
        epochs: passes over the data at most; ``None``: as many as 3,000 pairs take, at least 3 and at most 20.
        batch, rate, seed: pairs in a batch, learning rate of AdamW, seed.
        patience: epochs without a lower AER on the development data after which training ends; ``None``: a third of
            all, at least 2.
        null_weight: weight in the loss of a word without a link; of one with links it is 1.
        shape: fields of :class:`~align_eval.aligners.refiner.Shape` that differ from its defaults.
    """

    epochs: int | None = None
    batch: int = 16
    rate: float = 2e-3
    seed: int = 0
    patience: int | None = None
    null_weight: float = 1 / 3
    shape: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name, least in (("epochs", 1), ("batch", 1), ("patience", 1), ("rate", 1e-9), ("null_weight", 0)):
            given = getattr(self, name)
            if given is not None and not given >= least:
                raise InputError(f"{name}={given} is too small", remedy=f"Give at least {least:g}")

    def epochs_of(self, pairs: int) -> int:
        """Passes over so many pairs."""
        return self.epochs or max(3, min(20, math.ceil(3000 / pairs)))


@dataclass(frozen=True)
class DevScore:
    """AER (percent) on development data at the best threshold: mean over groups, of each group, of each corpus."""

    aer: float
    threshold: float
    groups: dict[str, float]
    corpora: dict[str, float]


@dataclass
class Trained:
    """A network with what was measured on the way: one row an epoch."""

    network: Refiner
    epochs: list[dict[str, Any]]
    best: int


def loss_of(beliefs: Beliefs, batch: Batch, rows: Tensor, columns: Tensor, null_weight: float) -> Tensor:
    """The mean cross-entropy of words: between their beliefs and the uniform distribution over their gold links.

    A word without a gold link has NULL as its only one, and ``null_weight``. Words without a token do not count.
    """
    sides = (
        (batch.gold, beliefs.rows, beliefs.source_null, rows, columns),
        (batch.gold.mT, beliefs.columns.mT, beliefs.target_null, columns, rows),
    )
    total = weight = beliefs.rows.new_zeros(())
    for gold, logs, null, present, others in sides:
        seen = gold * others[:, None, :]
        count = seen.sum(dim=2)
        linked = -(seen * logs.clamp(min=-1e4)).sum(dim=2) / count.clamp(min=1)
        weights = torch.where(count > 0, 1.0, null_weight * (gold.sum(dim=2) == 0).float()) * present
        weights = weights * batch.weights[:, None]
        total = total + (torch.where(count > 0, linked, -null) * weights).sum()
        weight = weight + weights.sum()
    return total / weight.clamp(min=1e-6)


def beliefs_of(network: Refiner, batch: Batch) -> tuple[Beliefs, Tensor, Tensor]:
    """The beliefs about a batch, and which of its source and target words have tokens."""
    counts = batch.gold.shape[1], batch.gold.shape[2]
    rows, columns = (with_tokens(words, count) for words, count in zip(batch.words, counts, strict=True))
    source, target = map(network.tokens, batch.states)
    cosines = network.cosines(source, target, *batch.words, counts)
    return network(cosines, *batch.looks, rows, columns), rows, columns


def train_network(
    train: Sequence[tuple[Part, States]], dev: Sequence[tuple[Part, States]], shape: Shape, settings: TrainingSettings,
    *, checkpoint: Path | None = None, key: Key | None = None, restart: bool = False,
    progress: Callable[[int], None] | None = None, said: Callable[[dict[str, Any]], None] | None = None,
) -> Trained:  # fmt: skip
    """Train by AdamW with warm-up and linear decay; keep the epoch with the lowest AER on ``dev``.

    Args:
        train, dev: parts with their states.
        checkpoint: a folder in which the state after each epoch is kept, with ``key``; a training with the same key
            goes on from there, with another one it is refused unless ``restart``.
        progress: called with the number of pairs learnt from; ``said`` with the row of each epoch.

    Raises:
        NonFiniteError: the loss became NaN or infinite.
        InputError: the checkpoint is of other settings.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(settings.seed)
        network = Refiner(shape)
        slow = [p for name, p in network.named_parameters() if name in ("scale", "threshold")]
        rest = [p for name, p in network.named_parameters() if name not in ("scale", "threshold")]
        groups = [{"params": rest, "lr": settings.rate}, {"params": slow, "lr": 5 * settings.rate}]
        optimizer = torch.optim.AdamW(groups, weight_decay=0.0)
        pairs = sum(len(states.pairs) for _, states in train)
        epochs = settings.epochs_of(pairs)
        patience = settings.patience or max(2, epochs // 3)
        steps = math.ceil(pairs / settings.batch) * epochs
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: _rate(step, steps))
        state: dict[str, Any] = {"epochs": [], "best": 0, "kept": copy.deepcopy(network.state_dict())}
        found = None if checkpoint is None or key is None else _resumed(checkpoint, key, restart)
        if found is not None:
            state = found["state"]
            network.load_state_dict(found["network"])
            optimizer.load_state_dict(found["optimizer"])
            schedule.load_state_dict(found["schedule"])
            if progress:
                progress(pairs * len(state["epochs"]))
        while len(state["epochs"]) < epochs:
            epoch = len(state["epochs"]) + 1
            if state["epochs"] and epoch - state["best"] > patience:
                break
            loss = _epoch(network, optimizer, schedule, train, settings, epoch, progress)
            score = dev_score(network, dev)
            row = {"epoch": epoch, "loss": round(loss, 4), **asdict(score)}
            if not state["epochs"] or score.aer < min(one["aer"] for one in state["epochs"]):
                state["best"], state["kept"] = epoch, copy.deepcopy(network.state_dict())
            state["epochs"].append(row)
            if said:
                said(row)
            if checkpoint is not None and key is not None:
                _keep(checkpoint, key, state, network, optimizer, schedule)
    network.load_state_dict(state["kept"])
    return Trained(network.eval().requires_grad_(False), state["epochs"], state["best"])


def _rate(step: int, steps: int) -> float:
    """Ten per cent warm-up, then linear to two per cent."""
    warm = max(1, steps // 10)
    return (step + 1) / warm if step < warm else max(0.02, 1 - 0.98 * (step - warm) / max(1, steps - warm))


def _epoch(
    network: Refiner, optimizer: Any, schedule: Any, train: Sequence[tuple[Part, States]], settings: TrainingSettings,
    epoch: int, progress: Callable[[int], None] | None,
) -> float:  # fmt: skip
    """One pass over the data; the mean loss."""
    network.train()
    order = random.Random(f"{settings.seed}/{epoch}")
    total = seen = 0.0
    for number, chosen in batches([states.sizes() for _, states in train], settings.batch, order):
        part, states = train[number]
        batch = make_batch(states, chosen, [part.weight] * len(chosen))
        if order.random() < 0.5:
            batch = batch.swapped()
        beliefs, rows, columns = beliefs_of(network, batch)
        loss = loss_of(beliefs, batch, rows, columns, settings.null_weight)
        if not math.isfinite(float(loss.detach())):
            raise NonFiniteError(
                f"the loss became {float(loss.detach())} in epoch {epoch}",
                remedy="Check that the encoder gives finite states, or lower the learning rate (--rate)",
            )
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        total += float(loss.detach()) * len(chosen)
        seen += len(chosen)
        if progress:
            progress(len(chosen))
    network.eval()
    return total / max(seen, 1.0)


def batches(
    sizes: Sequence[Sequence[tuple[int, int]]], batch: int, order: random.Random | None = None
) -> Iterator[tuple[int, list[int]]]:
    """Batches of pairs of like size, each of one part: number of the part and positions. In ``order``'s order, or as
    they stand."""
    made: list[tuple[int, list[int]]] = []
    for number, own in enumerate(sizes):
        places = list(range(len(own)))
        if order is not None:
            order.shuffle(places)
        for start in range(0, len(places), _POOL):
            pool = sorted(places[start : start + _POOL], key=lambda k: (sum(own[k]), own[k]))
            made += [(number, pool[k : k + batch]) for k in range(0, len(pool), batch)]
    if order is not None:
        order.shuffle(made)
    yield from made


@dataclass(frozen=True)
class Cells:
    """All cells of a part's pairs: probabilities, and which are sure and possible links."""

    scores: NDArray[np.float32]
    sure: NDArray[np.bool_]
    possible: NDArray[np.bool_]

    def counts(self, thresholds: NDArray[np.float64] = THRESHOLDS) -> NDArray[np.int64]:
        """|A|, |A and S|, |A and P|, |S| at each threshold, ``(thresholds, 4)``."""
        out = np.empty((len(thresholds), 4), dtype=np.int64)
        values = [np.sort(self.scores[mask]) for mask in (np.ones_like(self.sure), self.sure, self.possible)]
        for k, own in enumerate(values):
            out[:, k] = len(own) - np.searchsorted(own, thresholds.astype(np.float32), side="right")
        out[:, 3] = int(self.sure.sum())
        return out


def cells_of(network: Refiner, states: States, batch: int = 32) -> Cells:
    """The probabilities of all cells of all pairs, with the gold."""
    found: list[tuple[NDArray[Any], ...]] = []
    outside = sum(len(p.gold.sure) for p in states.pairs if p.gold is not None)
    with torch.inference_mode():
        for _, chosen in batches([states.sizes()], batch):
            part = make_batch(states, chosen)
            beliefs, _, _ = beliefs_of(network, part)
            inside = (part.looks[0].form >= 0)[:, :, None] & (part.looks[1].form >= 0)[:, None, :]
            found.append(tuple(x[inside].numpy() for x in (beliefs.links, part.sure > 0, part.gold > 0)))
    scores, sure, possible = (np.concatenate(column) for column in zip(*found, strict=True))
    assert int(sure.sum()) == outside
    return Cells(scores, sure, possible)


def dev_score(network: Refiner, dev: Sequence[tuple[Part, States]]) -> DevScore:
    """AER at the threshold that is best for the mean over groups; the counts of a group are summed over its corpora."""
    counts = {part.name: cells_of(network, states).counts() for part, states in dev}
    groups: dict[str, Any] = {}
    for part, _ in dev:
        groups[part.group] = groups.get(part.group, 0) + counts[part.name]
    mean = np.mean([aer(own) for own in groups.values()], axis=0)
    best = int(mean.argmin())
    return DevScore(
        round(float(mean[best]), 3), float(THRESHOLDS[best]),
        {name: round(float(aer(own)[best]), 3) for name, own in groups.items()},
        {name: round(float(aer(own)[best]), 3) for name, own in counts.items()},
    )  # fmt: skip


def aer(counts: NDArray[np.int64]) -> NDArray[np.float64]:
    """AER in percent from the columns |A|, |A and S|, |A and P|, |S| (Och and Ney 2003)."""
    links, sure, possible, gold = counts.T
    return 100 * (1 - (sure + possible) / np.maximum(links + gold, 1))


def _keep(folder: Path, key: Key, state: dict[str, Any], network: Refiner, optimizer: Any, schedule: Any) -> None:
    """Write the state after an epoch: first what it is of, then the tensors, each whole or not at all."""
    held = io.BytesIO()
    parts = {"state": state, "network": network.state_dict(), "optimizer": optimizer.state_dict(),
             "schedule": schedule.state_dict()}  # fmt: skip
    torch.save({**parts, "digest": key.digest}, held)
    with atomic_writer(folder / KEY) as stream:
        json.dump(key.parts, stream)
    with atomic_writer(folder / CHECKPOINT, "wb") as stream:
        stream.write(held.getvalue())  # type: ignore[arg-type]


def _resumed(folder: Path, key: Key, restart: bool) -> dict[str, Any] | None:
    """The state of an interrupted training with this key."""
    if restart:
        drop_checkpoint(folder)
    if not (folder / KEY).is_file() or not (folder / CHECKPOINT).is_file():
        return None
    key.require(parse_json((folder / KEY).read_bytes()), "an unfinished training", folder)
    try:
        found: dict[str, Any] = torch.load(folder / CHECKPOINT, weights_only=True)
        if found["digest"] != key.digest:
            raise ValueError
    except (RuntimeError, ValueError, KeyError, EOFError, OSError, pickle.UnpicklingError) as error:
        raise ModelError(f"{folder / CHECKPOINT} is damaged", remedy="Start over with --restart") from error
    return found


def drop_checkpoint(folder: Path) -> None:
    """Take the state of a training away."""
    for name in (CHECKPOINT, KEY):
        (folder / name).unlink(missing_ok=True)


def reliability(cells: Sequence[Cells], bins: int = 10, least: float = 0.05) -> list[dict[str, float]]:
    """How often cells of a probability are links (possible ones count): one row a bin of those of at least ``least``.

    Keys: ``from``, ``to``, ``cells``, ``probability`` (their mean) and ``links`` (the share that are).
    """
    scores = np.concatenate([one.scores for one in cells])
    right = np.concatenate([one.possible for one in cells])
    return [
        {"from": b.low, "to": b.high, "cells": b.count, "probability": round(b.score, 4), "links": round(b.accuracy, 4)}
        for b in calibration(scores[scores >= least], right[scores >= least], bins).bins
        if b.score is not None and b.accuracy is not None
    ]


def expected_calibration_error(rows: Sequence[dict[str, float]]) -> float:
    """The mean distance between probability and share of links, weighted by the number of cells (Guo et al. 2017)."""
    total = sum(row["cells"] for row in rows)
    return sum(row["cells"] * abs(row["probability"] - row["links"]) for row in rows) / max(total, 1)
