"""Experiment files: what is to be run, in TOML; running one writes ``results/NAME``.

An experiment of the kind ``evaluate`` names a model, test sets, methods and layers::

    name = "layers-methods"
    kind = "evaluate"
    title = "Layers and methods of multilingual-e5-small"
    model = "offline:e5-small"
    testsets = ["mini-ende", "deen-rwth"]
    methods = ["argmax", "itermax"]
    layers = "1-12"

It writes one table a test set (``TESTSET.tsv``) and ``README.md`` with the best of each, the environment and the
command. A table that is there already and was made with the same settings is kept, so an interrupted run goes on.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING

from align_eval.corpora.testset_entries import parse_toml
from align_eval.errors import FormatError, MissingFileError, UnknownNameError
from align_eval.files import StrPath, atomic_writer
from align_eval.runs.results import environment, make_folder
from align_eval.version import __version__

if TYPE_CHECKING:
    from align_eval.runs.evaluate import Evaluation

COLUMNS = ("layer", "method", "aer", "aer_low", "aer_high", "precision", "recall", "f1", "links")
KINDS = ("evaluate",)

Row = dict[str, str]


@dataclass(frozen=True)
class Experiment:
    """What an experiment file says.

    Attributes:
        name: of the experiment and of its folder in ``results/``.
        kind: ``evaluate``.
        title, text: what the results page says above its tables.
        model: name of a model.
        testsets, methods: names; ``layers``: as on the command line.
        subword, on_long: see :class:`align_eval.aligners.AlignerSettings`.
        resamples, seed: of the intervals.
        file: where it was read from.
    """

    name: str
    testsets: tuple[str, ...]
    kind: str = "evaluate"
    title: str = ""
    text: str = ""
    model: str = "offline:e5-small"
    methods: tuple[str, ...] = ("argmax",)
    layers: str = "all"
    subword: str = "any"
    on_long: str = "window"
    resamples: int = 1000
    seed: int = 12345
    file: str = field(default="", compare=False)

    def fingerprint(self, testset_checksum: str, revision: str) -> str:
        """Identifies what a table was made from: settings, test set, model and version."""
        parts = {
            f.name: getattr(self, f.name)
            for f in fields(self)
            if f.name not in ("name", "title", "text", "file", "testsets")
        }
        text = json.dumps([parts, testset_checksum, revision, __version__], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]


def read_experiment(path: StrPath) -> Experiment:
    """Read an experiment file.

    Raises:
        MissingFileError: no such file.
        FormatError: not TOML, a key missing, unknown or of the wrong type.
        UnknownNameError: an unknown kind.
    """
    try:
        data = parse_toml(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise MissingFileError("no such file", file=path, remedy="Name a file of experiments/") from None
    except ValueError as error:
        raise FormatError(f"is not TOML: {error}", file=path, remedy="Mend that line") from None
    known = {f.name: f for f in fields(Experiment) if f.name != "file"}
    for key, value in data.items():
        if key not in known:
            raise UnknownNameError(f"key of an experiment ({path})", key, known)
        kind = known[key].type
        if kind == "tuple[str, ...]":
            good = isinstance(value, list) and all(isinstance(item, str) for item in value)
            data[key] = tuple(value) if good else value
        else:
            good = type(value).__name__ == kind
        if not good:
            raise FormatError(f"{key} = {value!r} is not of the type {kind}", file=path, remedy="Mend its value")
    for key in ("name", "testsets"):
        if not data.get(key):
            raise FormatError(f"the key {key} is missing or empty", file=path, remedy=f"Add {key} = ...")
    experiment = Experiment(**data, file=Path(path).as_posix())
    if experiment.kind not in KINDS:
        raise UnknownNameError("kind of experiment", experiment.kind, KINDS)
    return experiment


def run_experiment(
    experiment: Experiment,
    folder: StrPath,
    *,
    parse_layers: Callable[[str, int], list[int]],
    note: Callable[[str], None] = lambda text: None,
    progress: Callable[[int], None] | None = None,
) -> Path:
    """Run an experiment into ``folder``/NAME and return that folder.

    Args:
        experiment: of :func:`read_experiment`.
        folder: usually ``results``.
        parse_layers: reads the text of ``layers``, given the model's number of layers.
        note: told a sentence as each test set is done.
        progress: called with the number of pairs done since the last call.
    """
    from align_eval.aligners import AlignerSettings, make_aligner
    from align_eval.corpora import load_testset
    from align_eval.models import load_model
    from align_eval.runs.evaluate import evaluate_testset

    base = make_folder(Path(folder) / experiment.name)
    loaded = [load_testset(name) for name in experiment.testsets]
    encoder = load_model(experiment.model, family="encoder")
    layers = tuple(parse_layers(experiment.layers, encoder.layers))
    aligner = make_aligner(AlignerSettings(encoder, experiment.methods, layers, experiment.subword, experiment.on_long))
    tables: dict[str, list[Row]] = {}
    signatures: dict[str, str] = {}
    for testset in loaded:
        path = base / f"{testset.name}.tsv"
        mark = experiment.fingerprint(testset.checksum, encoder.revision)
        kept = _read_table(path, mark)
        if kept is None:
            found = evaluate_testset(
                testset, aligner, resamples=experiment.resamples, seed=experiment.seed, tests=(), progress=progress
            )
            _write_table(path, mark, found)
            kept = _read_table(path, mark)
            assert kept is not None
        rows, signature = kept
        tables[testset.name], signatures[testset.name] = rows, signature
        best = min(rows, key=lambda row: float(row["aer"]))
        note(f"{testset.name}: best AER {best['aer']} ({best['method']}, layer {best['layer']})")
    with atomic_writer(base / "README.md") as stream:
        stream.write(_page(experiment, tables, signatures))
    return base


def _write_table(path: Path, mark: str, found: list[Evaluation]) -> None:
    best = min(found, key=lambda e: e.score.aer)
    with atomic_writer(path) as stream:
        stream.write(f"# fingerprint {mark}\n# best {best.score.signature}\n")
        stream.write("\t".join(COLUMNS) + "\n")
        for e in found:
            s = e.score
            low, high = s.ci.get("aer", (s.aer, s.aer))
            numbers = (s.aer, low, high, s.precision, s.recall, s.f1)
            row = [str(e.system.layer), e.system.method, *(f"{x:.2f}" for x in numbers), str(s.links)]
            stream.write("\t".join(row) + "\n")


def _read_table(path: Path, mark: str) -> tuple[list[Row], str] | None:
    """The rows and the best signature of a finished table with this fingerprint, or ``None``."""
    if not path.exists():
        return None
    lines = path.read_text(encoding="utf-8").splitlines()
    if len(lines) < 4 or lines[0] != f"# fingerprint {mark}":
        return None
    rows = [dict(zip(COLUMNS, line.split("\t"), strict=True)) for line in lines[3:]]
    return rows, lines[1].removeprefix("# best ")


def _page(experiment: Experiment, tables: dict[str, list[Row]], signatures: dict[str, str]) -> str:
    """The results as Markdown: the best layer of every method on every test set."""
    methods = list(dict.fromkeys(row["method"] for rows in tables.values() for row in rows))
    lines = [f"# {experiment.title or experiment.name}", "", experiment.text.strip(), ""]
    lines += ["Made by", "", f"    align-eval run {experiment.file}", ""]
    lines += ["AER in percent of the best layer (in brackets) of each method; the best method of a set is bold.", ""]
    lines += ["| test set | " + " | ".join(methods) + " |", "|---|" + "---|" * len(methods)]
    for name, rows in tables.items():
        best = {m: min((r for r in rows if r["method"] == m), key=lambda r: float(r["aer"])) for m in methods}
        least = min(float(r["aer"]) for r in best.values())
        cells = []
        for method in methods:
            row = best[method]
            text = f"{float(row['aer']):.1f} ({row['layer']})"
            cells.append(f"**{text}**" if float(row["aer"]) == least else text)
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    example = next(iter(signatures.values()))
    lines += [
        "",
        "All layers, with intervals, precision and recall: the `.tsv` file of each set. Its second line is the",
    ]
    lines += ["signature of its best system, such as", "", f"`{example}`"]
    versions = ", ".join(f"{name} {version}" for name, version in environment().items())
    lines += ["", f"Environment: {versions}.", ""]
    return "\n".join(lines)
