"""Train an aligner of one's own on gold links: data, states, network, report and card in one folder."""

from __future__ import annotations

import fnmatch
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from align_eval.aligners.refiner import CARD, Shape, TrainedRefiner, save_refiner
from align_eval.corpora import Corpus, load_testset, testset_names
from align_eval.errors import InputError, UnknownNameError
from align_eval.files import StrPath, atomic_writer, cache_folder
from align_eval.io.locks import alone
from align_eval.io.resumable import Key
from align_eval.models import load_model
from align_eval.models.loaded import signature_of
from align_eval.models.vectors import vector_models
from align_eval.runs.results import make_folder, write_json
from align_eval.tables import TextTable, render_markdown
from align_eval.training.data import Part, digest_of, refuse_overlap, split
from align_eval.training.refiner import (
    DevScore,
    TrainingSettings,
    cells_of,
    dev_score,
    drop_checkpoint,
    expected_calibration_error,
    reliability,
    train_network,
)
from align_eval.training.states import States, encode

if TYPE_CHECKING:
    from align_eval.models.vectors import VectorModel

Given = str | Corpus | tuple[str, Corpus]
"""A test set's name or a pattern of names, a corpus, or a corpus with the name of the group it is reported under."""
Progress = Callable[[str, int], Callable[[int], None]]


@dataclass(frozen=True)
class TrainedFolder:
    """What :func:`train` wrote.

    Attributes:
        folder: for ``align --method refined:path=FOLDER``; ``refiner``: what was written there.
        epochs: one row each: loss and AER on development data; ``best``: the epoch that was kept, from 1.
        dev: AER on development data with the weights as they were written.
        reliability: rows of a reliability diagram over the development data; ``ece``: their calibration error.
    """

    folder: Path
    refiner: TrainedRefiner
    epochs: list[dict[str, Any]]
    best: int
    dev: DevScore
    reliability: list[dict[str, float]]
    ece: float


def train(
    gold: Sequence[Given] | str | Corpus,
    output: StrPath,
    model: str | VectorModel = "offline:e5-small",
    *,
    dev: Sequence[Given] | str | Corpus = (),
    layers: Sequence[int] = (),
    weights: Mapping[str, float] | None = None,
    lone_marks: str = "cjk",
    settings: TrainingSettings | None = None,
    allow_overlap: bool = False,
    states: StrPath | None = None,
    restart: bool = False,
    progress: Progress | None = None,
    said: Callable[[str], None] | None = None,
    **options: Any,
) -> TrainedFolder:
    """Train the head and refiner of the method ``refined`` for an encoder, on gold links.

    Args:
        gold: names of test sets made to learn from, patterns of them (``mini-*-train``), or corpora with gold links
            (:func:`align_eval.make_testset`), also with a group:
            ``(group, corpus)``. Sure and possible links are learnt alike.
        output: the folder to write; ``align(..., method="refined:path=FOLDER")`` uses it.
        model: an encoder, or another model with states of sentences, of :func:`align_eval.load_model`, or its name.
        dev: as ``gold``, to choose epoch and threshold by; none: every tenth pair of each corpus is held out.
        layers: none: the default layer for similarity and those below and above it.
        weights: of the pairs of a corpus in the loss, by its name; 1 where none is given.
        lone_marks: see :class:`align_eval.aligners.AlignerSettings`.
        allow_overlap: learn from sentences of named test sets, which is refused otherwise.
        states: the folder in which states of the encoder are kept; ``None``: in the cache folder.
        restart: begin again, where an interrupted training with the same settings would be continued.
        progress: makes a function that is told of advances from a text and a number; ``said`` is told of each epoch.
        options: passed to :func:`align_eval.load_model`.

    Raises:
        UnknownNameError: no such test set.
        InputError: gold without links, too little of it, a sentence of a named test set in it, no such layer, or an
            unfinished training with other settings in the folder.
        NonFiniteError: the encoder or the training gave NaN or infinity.
    """
    how = settings or TrainingSettings()
    learn, choose = corpora_of(gold), corpora_of(dev)
    unknown = set(weights or {}) - {corpus.name for _, corpus in learn}
    if unknown:
        raise UnknownNameError("corpus of a weight", sorted(unknown)[0], [corpus.name for _, corpus in learn])
    given = [(group, corpus, (weights or {}).get(corpus.name, 1.0)) for group, corpus in learn]
    parts, held = split(given, choose)
    compared, absent = ([], []) if allow_overlap else refuse_overlap(parts)
    loaded = load_model(model, **options) if isinstance(model, str) else model
    reader = vector_models(loaded)[0]
    chosen = _layers(reader, layers)
    shape = Shape(**{"width": reader.hidden_size, "layers": chosen, **how.shape})
    folder = make_folder(output)
    key = Key.of(
        **signature_of(reader), layers=list(chosen), lone=lone_marks, settings=asdict(how),
        gold=[[p.name, digest_of(p.pairs), p.weight] for p in parts], dev=[[p.name, digest_of(p.pairs)] for p in held],
    )  # fmt: skip
    cache = Path(states) if states is not None else cache_folder() / "states"
    with ExitStack() as stack:
        stack.enter_context(alone(folder / CARD))
        encoded = _encode(loaded, [*parts, *held], chosen, lone_marks, cache, progress)
        train_with = list(zip(parts, encoded, strict=False))
        dev_with = list(zip(held, encoded[len(parts) :], strict=True))
        learnt = sum(len(part.pairs) for part in parts)
        bar = None if progress is None else progress("training", learnt * how.epochs_of(learnt))
        start = time.monotonic()
        found = train_network(
            train_with, dev_with, shape, how, checkpoint=folder, key=key, restart=restart, progress=bar,
            said=None if said is None else lambda row: said(_sentence(row)),
        )  # fmt: skip
        seconds = time.monotonic() - start
        names = "+".join(dict.fromkeys(part.group for part in parts))
        made = TrainedRefiner(
            folder.resolve().name, found.network, found.epochs[found.best - 1]["threshold"], str(reader.name),
            str(reader.revision), lone_marks, tuple(part.row() for part in parts), names,
        )  # fmt: skip
        made = save_refiner(made, folder)
        # What is reported is what the written weights give: they are rounded.
        score = dev_score(made.network, dev_with)
        if score.threshold != made.threshold:
            made = save_refiner(TrainedRefiner(**{**vars(made), "threshold": score.threshold}), folder)
        rows = reliability([cells_of(made.network, s) for _, s in dev_with])
        out = TrainedFolder(folder, made, found.epochs, found.best, score, rows, expected_calibration_error(rows))
        report = {
            "refiner": made.name, "encoder": made.encoder, "revision": made.revision, "layers": list(chosen),
            "settings": asdict(how), "lone_marks": lone_marks, "best": found.best, "epochs": found.epochs,
            "dev": asdict(score), "ece": round(out.ece, 4), "reliability": rows,
            "gold": [{**part.row(), "group": part.group, "weight": part.weight} for part in parts],
            "held_out": [{**part.row(), "group": part.group} for part in held],
            "not_in": compared, "not_compared": absent, "key": key.digest,
        }  # fmt: skip
        write_json(folder / "report.json", report)
        with atomic_writer(folder / CARD) as stream:
            stream.write(card(out, report))
        drop_checkpoint(folder)
    if said:
        said(f"{seconds:.0f} s of training")
    return out


def corpora_of(given: Sequence[Given] | str | Corpus) -> list[tuple[str, Corpus]]:
    """The corpora that names, patterns and corpora ask for, each with what it was asked for by.

    Raises:
        UnknownNameError: neither a test set nor a pattern that fits one.
        InputError: the same corpus twice.
    """
    out: list[tuple[str, Corpus]] = []
    for item in [given] if isinstance(given, str | Corpus) else given:
        if not isinstance(item, str):
            out.append((item.name, item) if isinstance(item, Corpus) else item)
            continue
        names = testset_names()
        fit = [name for name in names if fnmatch.fnmatchcase(name, item)] if set(item) & set("*?[") else [item]
        if not fit:
            raise UnknownNameError("test set", item, names)
        out += [(item, load_testset(name)) for name in fit]
    seen: set[str] = set()
    for _, corpus in out:
        if corpus.name in seen:
            raise InputError(f"{corpus.name} is given twice", remedy="Give each corpus once")
        seen.add(corpus.name)
    return out


def _layers(encoder: Any, layers: Sequence[int]) -> tuple[int, ...]:
    from align_eval.aligners.similarity import chosen_layers, default_layer

    if layers:
        return tuple(chosen_layers(encoder, layers))
    middle = default_layer(encoder)
    return tuple(layer for layer in (middle - 1, middle, middle + 1) if 0 <= layer <= encoder.layers)


def _encode(
    model: Any, parts: Sequence[Part], layers: Sequence[int], lone_marks: str, cache: Path, progress: Progress | None
) -> list[States]:
    bar = None if progress is None else progress("encoding", sum(len(part.pairs) for part in parts))
    out = []
    for part in parts:
        languages = part.corpus.source_language or None, part.corpus.target_language or None
        sides = vector_models(model.in_languages(*languages))
        out.append(encode(sides, part.pairs, layers, lone_marks, cache, bar))
    return out


def _sentence(row: dict[str, Any]) -> str:
    groups = ", ".join(f"{name} {aer:.2f}" for name, aer in row["groups"].items())
    return f"epoch {row['epoch']}: loss {row['loss']:.3f}, AER {row['aer']:.2f} at {row['threshold']} ({groups})"


def card(found: TrainedFolder, report: dict[str, Any]) -> str:
    """The card of a trained aligner, Markdown: what it is, what it learnt from, how good it is, how to use it."""
    refiner = found.refiner
    size = sum(value.numel() for value in refiner.network.state_dict().values())
    gold = TextTable("", ("corpus", "licence", "sha256 of words and links", "pairs", "weight"), [
        [row["name"], row["licence"], row["sha256"], str(row["pairs"]), f"{row['weight']:g}"] for row in report["gold"]
    ], 3)  # fmt: skip
    epochs = TextTable("", ("epoch", "loss", "AER", "threshold"), [
        [str(row["epoch"]), f"{row['loss']:.3f}", f"{row['aer']:.2f}", f"{row['threshold']:.2f}"]
        for row in found.epochs
    ])  # fmt: skip
    corpora = TextTable("", ("development data", "AER"), [[k, f"{v:.2f}"] for k, v in found.dev.corpora.items()])
    steps = TextTable("", ("probability", "cells", "mean", "links"), [
        [f"{row['from']:.1f} to {row['to']:.1f}", str(row["cells"]), f"{row['probability']:.3f}", f"{row['links']:.3f}"]
        for row in found.reliability
    ])  # fmt: skip
    licences = sorted({row["licence"] for row in report["gold"]})
    overlap = (
        "No sentence of these test sets is among the training data: " + ", ".join(report["not_in"]) + "."
        if report["not_in"] else "The training data were not compared with test sets."
    )  # fmt: skip
    if report["not_compared"]:
        overlap += " Not on this machine, so not compared: " + ", ".join(report["not_compared"]) + "."
    parts = [
        f"# {refiner.name}",
        f"An aligner for `{refiner.encoder}` (revision {refiner.revision or 'none'}), {size:,} weights over its frozen "
        f"states of layers {', '.join(map(str, refiner.network.shape.layers))}. Use it with "
        f"`align-eval align --model {refiner.encoder} --method refined:path=FOLDER`.",
        "## What it learnt from", "\n".join(render_markdown(gold)),
        "The weights are made from these data, under: " + "; ".join(licences) + ".", overlap,
        "## How it was chosen",
        f"Epoch {found.best} of {len(found.epochs)} and the threshold {refiner.threshold:.2f} have the lowest mean AER "
        "over the groups of development data.",
        "\n".join(render_markdown(epochs)),
        "With the weights as written (8 bits a weight of the head, 16 of the rest), AER in percent; the mean over "
        f"groups is {found.dev.aer:.2f}.",
        "\n".join(render_markdown(corpora)),
        "## How far a probability can be trusted",
        "Cells of the development data by their probability, and the share that are links (sure or possible). Expected "
        f"calibration error: {found.ece:.3f}.",
        "\n".join(render_markdown(steps)),
    ]  # fmt: skip
    return "\n\n".join(part.strip() for part in parts) + "\n"
