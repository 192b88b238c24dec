"""Kind ``evaluate``: every method at every layer of a model, by the similarity of its hidden states.

::

    name = "layers-methods"
    kind = "evaluate"
    title = "Layers and methods of multilingual-e5-small"
    model = "offline:e5-small"
    testsets = ["mini-ende", "deen-rwth"]
    methods = ["argmax", "itermax"]
    layers = "1-12"

It writes one table a test set (``TESTSET.tsv``) and ``README.md`` with the best of each.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from align_eval.files import atomic_writer
from align_eval.runs.experiments import KINDS, Experiment, Watch, table
from align_eval.tables import percent

if TYPE_CHECKING:
    from align_eval.runs.evaluate import Evaluation

COLUMNS = ("layer", "method", "aer", "aer_low", "aer_high", "precision", "recall", "f1", "links")

Row = dict[str, str]


@KINDS.register("evaluate")
@dataclass(frozen=True)
class EvaluateExperiment(Experiment):
    """``layers``: as on the command line; what else: of :class:`align_eval.aligners.AlignerSettings`."""

    methods: tuple[str, ...] = ("argmax",)
    layers: str = "all"
    subword: str = "any"
    lone_marks: str | None = None
    on_long: str = "window"

    def check(self) -> None:
        from align_eval.aligners.similarity import make_extractors

        self.check_testsets()
        make_extractors(self.methods)

    def run(self, base: Path, watch: Watch) -> None:
        from align_eval.aligners import AlignerSettings
        from align_eval.models import load_model
        from align_eval.models.loaded import mark_of
        from align_eval.models.vectors import vector_models
        from align_eval.runs.evaluate import aligners_for, evaluate_testset

        loaded = self.load()
        model = load_model(self.model)
        states, _ = vector_models(model.in_languages(loaded[0].source_language, loaded[0].target_language))
        layers = tuple(watch.parse_layers(self.layers, states.layers))
        settings = AlignerSettings(model, self.methods, layers, self.subword, self.on_long, lone_marks=self.lone_marks)
        tables: dict[str, list[Row]] = {}
        signatures: list[str] = []
        for testset, aligner, _ in aligners_for(settings, loaded):
            path = base / f"{testset.name}.tsv"
            mark = self.fingerprint(testset.checksum, mark_of(model))
            kept = _read_table(path, mark)
            if kept is None:
                with watch.bar(testset.name, len(testset.pairs)) as progress:
                    found = evaluate_testset(
                        testset, aligner, resamples=self.resamples, seed=self.seed, tests=(), progress=progress
                    )
                _write_table(path, mark, found)
                kept = _read_table(path, mark)
                assert kept is not None
            rows, signature = kept
            tables[testset.name] = rows
            signatures.append(signature)
            best = _best(rows)
            watch.note(f"{testset.name}: best AER {best['aer']} ({best['method']}, layer {best['layer']})")
        self.write_page(base, _body(tables, signatures[0]))


def _write_table(path: Path, mark: str, found: list[Evaluation]) -> None:
    best = min(found, key=lambda e: e.score.aer)
    lines = [f"# best {best.score.signature}", "\t".join(COLUMNS)]
    for e in found:
        s = e.score
        low, high = s.ci.get("aer", (s.aer, s.aer))
        numbers = (s.aer, low, high, s.precision, s.recall, s.f1)
        lines.append("\t".join([str(e.system.layer), e.system.method, *map(percent, numbers), str(s.links)]))
    with atomic_writer(path) as stream:
        stream.writelines(f"{line}\n" for line in [f"# fingerprint {mark} digest {_digest(lines)}", *lines])


def _digest(lines: list[str]) -> str:
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16]


def _read_table(path: Path, mark: str) -> tuple[list[Row], str] | None:
    """The rows and the best signature of a finished table with this fingerprint, or ``None``."""
    try:
        first, *lines = path.read_text(encoding="utf-8").splitlines()
    except (FileNotFoundError, ValueError):
        return None
    if first != f"# fingerprint {mark} digest {_digest(lines)}":  # another run's, damaged or edited: made anew
        return None
    rows = [dict(zip(COLUMNS, line.split("\t"), strict=True)) for line in lines[2:]]
    return rows, lines[0].removeprefix("# best ")


def _best(rows: list[Row]) -> Row:
    return min(rows, key=lambda row: float(row["aer"]))


def _body(tables: dict[str, list[Row]], example: str) -> list[str]:
    """The results as Markdown: the best layer of every method on every test set."""
    methods = list(dict.fromkeys(row["method"] for rows in tables.values() for row in rows))
    lines = []
    for name, rows in tables.items():
        best = [_best([row for row in rows if row["method"] == method]) for method in methods]
        least = _best(best)["aer"]
        cells = [(f"{float(row['aer']):.1f} ({row['layer']})", row["aer"] == least) for row in best]
        lines.append([name, *(f"**{text}**" if lowest else text for text, lowest in cells)])
    return [
        "AER in percent of the best layer (in brackets) of each method; the best method of a set is bold.",
        "",
        *table(["test set", *methods], lines),
        "",
        "All layers, with intervals, precision and recall: the `.tsv` file of each set. Its second line is the",
        "signature of its best system, such as",
        "",
        f"`{example}`",
    ]
