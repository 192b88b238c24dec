"""What each part of the refiner brings: trainings with one thing changed, measured on development data alone.

    python experiments/aligner/ablations.py --gold FOLDER -o results/aligner/ablations.json
    python experiments/aligner/ablations.py --gold FOLDER -o results/aligner/ablations.json --only no-refiner,seed-1

Each row of the JSON is one training; a row that stands there is kept. ``--gold`` as of train.py. ``curve-N`` learns
from the project's own corpora and N Swedish pairs, ``alone-N`` from N Swedish pairs alone; both are measured on the
Swedish pairs held out, with bootstrap intervals.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from train import OWN, data_of

import align_eval as ae
from align_eval.aligners.refiner import Shape
from align_eval.models import load_model
from align_eval.runs.results import write_json
from align_eval.training.data import Part, usable
from align_eval.training.refiner import (
    Cells,
    TrainingSettings,
    aer,
    cells_of,
    dev_score,
    expected_calibration_error,
    reliability,
    train_network,
)
from align_eval.training.states import States, encode

MODEL = "offline:e5-small"
LAYERS = (6, 7, 8)
SWEDISH = "en-sv.ges"
SIZES = (0, 20, 50, 100, 300, 1000)
# Name -> what is changed: fields of the settings, of the shape, layers, or which data.
RUNS: dict[str, dict[str, Any]] = {
    "base": {},
    "no-refiner": {"shape": {"channels": 0}},
    "no-null": {"shape": {"null": False}, "settings": {"null_weight": 0.0}},
    "no-spelling": {"shape": {"lexical": False}},
    "no-place": {"shape": {"place": False}},
    "null-whole": {"settings": {"null_weight": 1.0}},
    "null-tenth": {"settings": {"null_weight": 0.1}},
    "one-layer": {"layers": (7,)},
    "dimensions-128": {"shape": {"dimensions": 128}},
    "one-layer-128": {"layers": (7,), "shape": {"dimensions": 128}},
    "channels-32": {"shape": {"channels": 32}},
    "kernel-3": {"shape": {"kernel": 3}},
    "kernel-7": {"shape": {"kernel": 7}},
    "steps-1": {"shape": {"steps": 1}},
    "steps-3": {"shape": {"steps": 3}},
    "seed-1": {"settings": {"seed": 1}},
    "seed-2": {"settings": {"seed": 2}},
    "epochs-2": {"settings": {"epochs": 2}},
    "epochs-6": {"settings": {"epochs": 6, "patience": 6}},
    "own-twice": {"weight": 2.0},
    "cc0": {"data": "cc0"},
    "cc0-epochs-6": {"data": "cc0", "settings": {"epochs": 6, "patience": 6}},
    "others-alone": {"without": "mini-"},
    "marks-kept": {"lone": "keep"},
    "marks-dropped": {"lone": "drop"},
    **{f"without-{code}": {"without": f"mini-en{code}-"} for code in ("de", "fr", "es", "zh", "ru", "hi")},
    "without-ja": {"without": ("mini-enja-", "en-ja.")},
    **{f"curve-{n}": {"swedish": n, "own": True} for n in SIZES},
    **{f"alone-{n}": {"swedish": n, "own": False} for n in SIZES if n},
}  # fmt: skip


class Data:
    """Parts with their states, encoded when they are first asked for."""

    def __init__(self, gold: Path, states: Path | None) -> None:
        self.gold, self.cache, self.model = gold, states, load_model(MODEL)
        self.known: dict[tuple[str, str, tuple[int, ...]], tuple[Part, States]] = {}

    def of(self, grouped: list[tuple[str, ae.Corpus]], lone: str, layers: tuple[int, ...]) -> list[tuple[Part, States]]:
        out = []
        for group, corpus in grouped:
            key = (corpus.name, lone, layers)
            if key not in self.known:
                part = Part(corpus.name, group, corpus, usable(corpus, corpus.name))
                states = encode([self.model], part.pairs, LAYERS, lone, self.cache)
                places = [LAYERS.index(layer) for layer in layers]
                if len(places) < len(LAYERS):
                    states = replace(states, values=states.values[:, places])
                self.known[key] = part, states
            out.append(self.known[key])
        return out


def first(states: States, count: int) -> States:
    """The states of the first pairs."""
    end = states.bounds[2 * count]
    return States(states.values[:end], states.words[:end], states.bounds[: 2 * count + 1], states.pairs[:count])


def run(data: Data, changed: dict[str, Any]) -> dict[str, Any]:
    learn, dev = data_of(changed.get("data", "free"), data.gold)
    lone, layers = changed.get("lone", "cjk"), changed.get("layers", LAYERS)
    left_out = changed.get("without", ())
    learn = [(group, c) for group, c in learn if not c.name.startswith(left_out or ("-",))]
    parts = data.of(learn, lone, layers)
    if "swedish" in changed:
        count = changed["swedish"]
        swedish = [(p, s) for p, s in parts if p.name == SWEDISH]
        parts = [(p, s) for p, s in parts if p.group == OWN and changed["own"]]
        parts += [(p, first(s, count)) for p, s in swedish if count]
    if "weight" in changed:
        parts = [(replace(p, weight=changed["weight"] if p.group == OWN else 1.0), s) for p, s in parts]
    held = data.of(dev, lone, layers)
    shape = Shape(width=data.model.hidden_size, layers=layers, **changed.get("shape", {}))
    settings = TrainingSettings(**changed.get("settings", {}))
    if "swedish" in changed:
        held = [(p, s) for p, s in held if p.name.startswith(SWEDISH)]
    start = time.monotonic()
    found = train_network(parts, held, shape, settings)
    seconds = time.monotonic() - start
    score = dev_score(found.network, held)
    cells = {part.name: cells_of(found.network, states) for part, states in held}
    row = {
        "aer": score.aer, "threshold": score.threshold, "groups": score.groups, "corpora": score.corpora,
        "best": found.best, "ece": round(expected_calibration_error(reliability(list(cells.values()))), 4),
        "weights": sum(p.numel() for p in found.network.parameters()), "seconds": round(seconds),
        "pairs": sum(len(s.pairs) for _, s in parts),
    }  # fmt: skip
    if "swedish" in changed:
        row["interval"] = interval(found.network, held, score.threshold)
    return row


def interval(network: Any, held: list[tuple[Part, States]], threshold: float, resamples: int = 1000) -> list[float]:
    """The 95 % percentile bootstrap interval of AER over sentence pairs."""
    counts = []
    for _, states in held:
        for k in range(len(states.pairs)):
            start, end = states.bounds[2 * k], states.bounds[2 * k + 2]
            bounds = [b - start for b in states.bounds[2 * k : 2 * k + 3]]
            one = States(states.values[start:end], states.words[start:end], bounds, states.pairs[k : k + 1])
            found: Cells = cells_of(network, one)
            counts.append(found.counts(np.array([threshold]))[0])
    table = np.array(counts)
    draws = np.random.default_rng(12345).integers(0, len(table), (resamples, len(table)))
    values = aer(table[draws].sum(axis=1))
    return [round(float(x), 2) for x in np.percentile(values, [2.5, 97.5])]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gold", type=Path, required=True)
    parser.add_argument("--states", type=Path, help="folder in which states of the encoder are kept")
    parser.add_argument("--only", help="names of runs, joined by commas")
    parser.add_argument("-o", "--output", type=Path, required=True)
    args = parser.parse_args()
    torch.set_num_threads(1)
    rows = json.loads(args.output.read_text()) if args.output.exists() else {}
    args.output.parent.mkdir(parents=True, exist_ok=True)
    data = Data(args.gold, args.states)
    for name in args.only.split(",") if args.only else RUNS:
        if name in rows:
            continue
        rows[name] = run(data, RUNS[name])
        write_json(args.output, rows)
        sys.stderr.write(f"{name}: {rows[name]['aer']} {rows[name]['groups']} at {rows[name]['threshold']}\n")


if __name__ == "__main__":
    main()
