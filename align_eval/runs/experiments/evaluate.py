"""Kind ``evaluate``: every method at every layer of a model, by the similarity of its hidden states.

::

    name = "layers-methods"
    kind = "evaluate"
    title = "Layers and methods of multilingual-e5-small"
    model = "offline:e5-small"
    testsets = ["mini-ende", "deen-rwth"]
    methods = ["argmax", "itermax"]
    layers = "1-12"

It writes ``evaluate.json`` (all scores, with intervals and signatures) and ``README.md`` with the best of each.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from align_eval.aligners import Aligner, AlignerSettings
from align_eval.aligners.similarity import make_extractors
from align_eval.corpora import Corpus
from align_eval.models import load_model
from align_eval.models.loaded import mark_of
from align_eval.models.vectors import vector_models
from align_eval.registry import numbers_of
from align_eval.runs.evaluate import aligners_for, evaluate_testset
from align_eval.runs.experiments import KINDS, Experiment, Kept, Make, Watch, table


@KINDS.register("evaluate")
@dataclass(frozen=True)
class EvaluateExperiment(Experiment):
    """``layers``: as on the command line; what else: of :class:`align_eval.aligners.AlignerSettings`."""

    methods: tuple[str, ...] = ("argmax",)
    layers: str = "all"
    subword: str = "any"
    lone_marks: str = ""
    on_long: str = "window"

    def check(self) -> None:
        self.check_testsets()
        make_extractors(self.methods)

    def parts(self, base: Path, watch: Watch, kept: Kept) -> Iterator[tuple[str, str, Make]]:
        loaded = self.load()
        model = load_model(self.model)
        states, _ = vector_models(model.in_languages(loaded[0].source_language, loaded[0].target_language))
        layers = tuple(numbers_of(self.layers, 0, states.layers))
        settings = AlignerSettings(
            model, self.methods, layers, self.subword, self.on_long, lone_marks=self.lone_marks or None
        )
        for testset, aligner, _ in aligners_for(settings, loaded):
            mark = self.fingerprint(testset.checksum, mark_of(model))
            yield testset.name, mark, partial(self._part, testset, aligner, watch)

    def _part(self, testset: Corpus, aligner: Aligner, watch: Watch) -> dict[str, Any]:
        with watch.bar(testset.name, len(testset.pairs)) as progress:
            found = evaluate_testset(
                testset, aligner, resamples=self.resamples, seed=self.seed, tests=(), progress=progress
            )
        return {"systems": [e.to_json() for e in found]}

    def said(self, cell: Mapping[str, Any]) -> str:
        best = _best(cell["systems"])
        return f"best AER {best['aer']:.2f} ({best['method']}, layer {best['layer']})"

    def body(self, base: Path, kept: Kept) -> list[str]:
        """The best layer of every method on every test set, as Markdown."""
        methods = list(dict.fromkeys(row["method"] for cell in kept.values() for row in cell["systems"]))
        lines = []
        for name, cell in kept.items():
            best = [_best([row for row in cell["systems"] if row["method"] == method]) for method in methods]
            least = f"{_best(best)['aer']:.2f}"
            cells = [(f"{row['aer']:.1f} ({row['layer']})", f"{row['aer']:.2f}" == least) for row in best]
            lines.append([name, *(f"**{text}**" if lowest else text for text, lowest in cells)])
        first = next(iter(kept.values()))
        return [
            "AER in percent of the best layer (in brackets) of each method; the best method of a set is bold.",
            "",
            *table(["test set", *methods], lines),
            "",
            "All layers, with intervals, precision, recall and signatures: `evaluate.json`. The best system of the",
            "first set has the signature",
            "",
            f"`{_best(first['systems'])['signature']}`",
        ]


def _best(rows: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
    return min(rows, key=lambda row: float(row["aer"]))
