"""Kind ``signals``: all attribution methods of a model on test sets, beside aligners.

::

    name = "signals-tiny-deen"
    kind = "signals"
    model = "offline:tiny-deen"
    testsets = ["deen-rwth", "mini-ende"]
    signals = ["attention", "saliency", "smoothgrad:samples=8"]    # left out: all that there are
    aligners = ["argmax", "eflomal", "eflomal+parallel"]           # methods of align-eval evaluate
    aligner_model = "offline:e5-small"
    parallel = ["multi30k-train.de-en.tsv.gz"]                     # what +parallel trains on, beside the test text
    parallel_languages = "de-en"

Of each attribution method the view (layer, head, mode) with the lowest AER on the dev split is scored on the test
split. Aligners see the whole test text and are scored on that same test split. A method that the model does not have
has the reason in place of a number. It writes ``signals.json`` and ``README.md``.

Files of ``parallel`` are looked for as they are named, then in the folder ``ALIGN_EVAL_PARALLEL``.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from align_eval.aligners import ALIGNERS, AlignerSettings, make_aligner
from align_eval.aligners.heads import mode_name
from align_eval.aligners.similarity import make_extractors
from align_eval.attribution import ATTRIBUTIONS, attribution_options
from align_eval.corpora import Corpus
from align_eval.errors import InputError, MissingFileError, ModelError
from align_eval.files import sha256_of
from align_eval.models import load_model
from align_eval.models.loaded import mark_of
from align_eval.runs.evaluate import evaluate_testset
from align_eval.runs.experiments import KINDS, Kept, Make, Watch, digest, table
from align_eval.runs.experiments.sweep import ViewExperiment, interval
from align_eval.runs.selection import select
from align_eval.runs.sweep import split
from align_eval.scoring import score_counts
from align_eval.version import __version__

PLUS = "+parallel"
OWN = ("signals", "aligners", "aligner_model", "parallel", "parallel_languages", "parallel_tokenize")


@KINDS.register("signals")
@dataclass(frozen=True)
class SignalsExperiment(ViewExperiment):
    """What it says beside the fields of :class:`ViewExperiment`."""

    signals: tuple[str, ...] = ()  # attribution methods with options after a colon; empty: every one
    aligners: tuple[str, ...] = ()  # methods of make_aligner; NAME+parallel: trained on parallel text too
    aligner_model: str = "offline:e5-small"  # the encoder of extraction methods among them
    parallel: tuple[str, ...] = ()  # files of parallel text
    parallel_languages: str = ""  # what stands first and second in them
    parallel_tokenize: str = ""  # how they are split into words, empty: at spaces

    def check(self) -> None:
        super().check()
        for signal in self.signals:
            attribution_options(signal)
        plain = [method.removesuffix(PLUS) for method in self.aligners]
        make_extractors([method for method in plain if method.partition(":")[0] not in ALIGNERS])
        if len(self.parallel_languages.split("-")) != 2 and any(m.endswith(PLUS) for m in self.aligners):
            raise InputError(
                f"parallel_languages = {self.parallel_languages!r} does not say what the parallel text is",
                file=self.file,
                remedy='Write for example parallel_languages = "de-en": German first, English second',
            )

    def parts(self, base: Path, watch: Watch, kept: Kept) -> Iterator[tuple[str, str, Make]]:
        loaded = self.load()
        model = load_model(self.model)
        for testset in loaded:
            for signal in self.signals or ATTRIBUTIONS.names():
                made_from = (testset.checksum, mark_of(model), signal)
                mark = self.fingerprint(*made_from, without=(*OWN, "batch_tokens"))
                yield f"{testset.name}/{signal}", mark, partial(self._signal, testset, model, signal, watch)
            yield from self._others(testset)

    def _signal(self, testset: Corpus, model: Any, signal: str, watch: Watch) -> dict[str, Any]:
        try:
            found, parts = self.swept(testset, model, signal, watch, f"{testset.name} {signal}", keep=False)
        except ModelError as error:
            return {"error": str(error)}
        row = select(found, "best", parts, resamples=self.resamples, seed=self.seed).to_json(found)
        best = found.best()
        view = found.views[best]
        whole = {"layer": view.layer, "head": view.head, "mode": mode_name(view.reading)}
        return {
            "view": f"{row['layer']}.{row['head']} {row['mode']}",
            "best_on_whole_set": {**whole, "aer": float(found.aer()[best])},
            "score": row,
        }

    def _others(self, testset: Corpus) -> Iterator[tuple[str, str, Make]]:
        """The parts of aligners."""

        def mark(*made_from: str) -> str:
            same = (str(getattr(self, name)) for name in ("development", "resamples", "seed"))
            return digest([testset.checksum, *same, *made_from, __version__])

        for method in self.aligners:
            spec = method.removesuffix(PLUS)
            files = self._files() if method.endswith(PLUS) else ()
            text = [*map(sha256_of, files), self.parallel_languages, self.parallel_tokenize] if files else []
            part = partial(self._aligner, testset, spec, files)
            yield f"{testset.name}/{method}", mark(spec, self.aligner_model, *text), part

    def _aligner(self, testset: Corpus, spec: str, files: tuple[Path, ...]) -> dict[str, Any]:
        if files:
            spec += ("," if ":" in spec else ":") + ",".join(f"train={path}" for path in files)
            pair = f"{testset.source_language}-{testset.target_language}"
            if pair != self.parallel_languages:
                if pair.split("-")[::-1] != self.parallel_languages.split("-"):
                    return {"error": f"the parallel text is {self.parallel_languages}, the test set {pair}"}
                spec += ",train_order=ts"
            spec += f",train_tokenize={self.parallel_tokenize}" if self.parallel_tokenize else ""
        aligner = make_aligner(AlignerSettings(self.aligner_model, (spec,)))
        (found,) = evaluate_testset(testset, aligner, resamples=0, tests=())
        return {"score": self._score(testset, found.result.counts, found.score.signature)}

    def _score(self, testset: Corpus, rows: Any, signature: Any) -> dict[str, Any]:
        """Score of counts ``(sentence pairs, 4)`` on the test split."""
        _, rest = split(len(testset.pairs), self.development, self.seed)
        possible = int(np.diff(testset.gold.offsets)[rest].sum())
        options: dict[str, Any] = {"resamples": self.resamples, "seed": self.seed, "signature": signature}
        return score_counts(rows[rest], possible, **options).to_json()

    def _files(self) -> tuple[Path, ...]:
        """The files of parallel text."""
        places = [Path(), *map(Path, filter(None, [os.environ.get("ALIGN_EVAL_PARALLEL")]))]
        out = []
        for name in self.parallel:
            found = [place / name for place in places if (place / name).is_file()]
            if not found:
                raise MissingFileError(
                    "no such file of parallel text", file=name, remedy="Set ALIGN_EVAL_PARALLEL to the folder it is in"
                )
            out.append(found[0])
        return tuple(out)

    def said(self, cell: Mapping[str, Any]) -> str:
        return str(cell["error"]) if "error" in cell else f"AER {_cell(cell)}"

    def body(self, base: Path, kept: Kept) -> list[str]:
        """A table of methods by test sets, the best first; one of the others; what could not be computed, and why."""
        names = list(dict.fromkeys(key.partition("/")[2] for key in kept))
        cells = {name: [kept.get(f"{testset}/{name}", {}) for testset in self.testsets] for name in names}

        def error_of(name: str) -> float:
            return float(cells[name][0].get("score", {}).get("aer", np.inf))

        def rows(shown: list[str]) -> list[list[str]]:
            return [[name, *map(_cell, cells[name])] for name in shown]

        names.sort(key=error_of)
        shown = [name for name in names if any("view" in cell for cell in cells[name])]
        others = [name for name in names if name not in shown and any("score" in cell for cell in cells[name])]
        lines = [
            f"Model `{self.model}`, links by `{self.method}`. AER in percent with the 95 % interval. The view of each",
            f"signal is chosen on {100 * self.development:g} % of the sentences (drawn with seed {self.seed}) and "
            "scored on the rest; it",
            "stands behind its number as layer.head mode (head `layer`: one map a layer).",
            "",
            *table(["signal", *self.testsets], rows(shown)),
        ]
        if others:
            lines += ["", "Beside them, on the same sentences:", "", *table(["aligner", *self.testsets], rows(others))]
            lines += ["", f"Similarity methods (`argmax` and such) are of `{self.aligner_model}`."]
        if any(name.endswith(PLUS) for name in others):
            lines.append(f"`{PLUS}`: trained on the test text and on {', '.join(self.parallel)}.")
        errors = dict.fromkeys(f"- {name}: {c['error']}" for name in names for c in cells[name] if "error" in c)
        lines += ["", "Not read:", "", *errors] if errors else []
        return [*lines, "", "Precision, recall, the best view of the whole set and all signatures: `signals.json`."]


def _cell(cell: Mapping[str, Any]) -> str:
    if "score" not in cell:
        return "-"
    return interval(cell["score"]) + (f" {cell['view']}" if "view" in cell else "")
