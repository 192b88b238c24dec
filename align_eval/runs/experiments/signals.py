"""Kind ``signals``: all signals of a model on test sets, beside aligners and given links, all on the same sentences.

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
    links = ["mine=links/{testset}.talp"]

Of each signal the view (layer, head, mode) with the lowest AER on a development part is scored on the rest. Aligners
read the whole test text, links are given for all of it, and both are scored on that same rest. A signal that the model
cannot be read by has the reason in place of a number. It writes ``signals.json`` and ``README.md``.

Files of ``parallel`` are looked for as they are named, then in the folder ``ALIGN_EVAL_PARALLEL``. Files of
``links`` are relative to the experiment file.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from align_eval.aligners.heads import mode_name
from align_eval.errors import FormatError, InputError, MissingFileError, ModelError
from align_eval.files import atomic_writer, sha256_of
from align_eval.runs.experiments.base import KINDS, Cells, Watch
from align_eval.runs.experiments.sweep import ViewExperiment, interval

if TYPE_CHECKING:
    from align_eval.corpora import TestSet

PLUS = "+parallel"
OWN = ("signals", "aligners", "aligner_model", "parallel", "parallel_languages", "parallel_tokenize", "links")


@KINDS.register("signals")
@dataclass(frozen=True)
class SignalsExperiment(ViewExperiment):
    """What it says beside the fields of :class:`ViewExperiment`.

    Attributes:
        signals: names with options after a colon; empty: every signal, with its defaults.
        aligners: methods of :func:`align_eval.aligners.make_aligner`; ``NAME+parallel``: trained on ``parallel`` too.
        aligner_model: the encoder of extraction methods among them.
        parallel: files of parallel text; ``parallel_languages``: what stands first and second in them;
            ``parallel_tokenize``: how they are split into words, empty: at spaces.
        links: ``LABEL=FILE``, ``{testset}`` in the file standing for the name of the set.
    """

    signals: tuple[str, ...] = ()
    aligners: tuple[str, ...] = ()
    aligner_model: str = "offline:e5-small"
    parallel: tuple[str, ...] = ()
    parallel_languages: str = ""
    parallel_tokenize: str = ""
    links: tuple[str, ...] = ()

    def check(self) -> None:
        from align_eval.aligners import ALIGNERS
        from align_eval.aligners.similarity import make_extractors
        from align_eval.signals.base import attribution_options

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
        for item in self.links:
            if not all(item.partition("=")):
                raise FormatError(f"links: {item!r} is not LABEL=FILE", file=self.file, remedy="Mend its value")

    def run(self, base: Path, watch: Watch) -> None:
        from align_eval.models import load_model
        from align_eval.models.identity import mark_of
        from align_eval.signals.base import ATTRIBUTIONS

        cells = Cells(base / "signals.json")
        loaded = self.load()
        model = load_model(self.model)
        signals = list(self.signals or ATTRIBUTIONS.names())
        kept: dict[str, dict[str, Any]] = {}
        for testset in loaded:
            for signal in signals:
                key = f"{testset.name}/{signal}"
                made_from = (testset.checksum, mark_of(model), signal)
                mark = self.fingerprint(*made_from, without=(*OWN, "batch_tokens"))
                cell = cells.get(key, mark)
                if cell is None:
                    cell = cells.put(key, mark, self._signal(testset, model, signal, watch))
                kept[key] = cell
                watch.note(f"{key}: {_told(cell)}")
            for key, mark, make in self._others(testset):
                cell = cells.get(key, mark)
                if cell is None:
                    cell = cells.put(key, mark, make())
                kept[key] = cell
                watch.note(f"{key}: {_told(cell)}")
            with atomic_writer(base / "README.md") as stream:
                stream.write(self.page(self._body(kept)))
        cells.keep_only(list(kept))

    def _signal(self, testset: TestSet, model: Any, signal: str, watch: Watch) -> dict[str, Any]:
        from align_eval.runs.selection import select
        from align_eval.runs.sweep import for_testset

        try:
            what = f"{testset.name} {signal}"
            directed = for_testset(model, testset)
            found, parts = self.swept(testset, directed, signal, watch, what, keep=False)
        except ModelError as error:
            return {"error": str(error)}
        one = select(found, "best", parts, resamples=self.resamples, seed=self.seed)
        row = one.to_json(found)
        best = found.best()
        view = found.views[best]
        whole = {
            "layer": view.layer,
            "head": view.head,
            "mode": mode_name(view.reading),
            "aer": float(found.aer()[best]),
        }
        return {"view": short(row), "best_on_whole_set": whole, "score": row}

    def _others(self, testset: TestSet) -> Iterator[tuple[str, str, Any]]:
        """Aligners and given links: key, fingerprint, and a function that makes the part."""
        same = ("development", "resamples", "seed")
        for method in self.aligners:
            spec = method.removesuffix(PLUS)
            files = self._files() if method.endswith(PLUS) else ()
            needs = [str(getattr(self, name)) for name in same] + [spec, self.aligner_model]
            if files:
                needs += [sha256_of(path) for path in files] + [self.parallel_languages, self.parallel_tokenize]
            mark = _mark(testset.checksum, *needs)
            yield f"{testset.name}/{method}", mark, lambda spec=spec, files=files: self._aligner(testset, spec, files)
        for item in self.links:
            label, _, name = item.partition("=")
            path = Path(self.file).parent / name.replace("{testset}", testset.name)
            if not path.is_file():
                raise MissingFileError("no such file", file=path, remedy=f"Mend links = [{item!r}]")
            mark = _mark(testset.checksum, *(str(getattr(self, name)) for name in same), sha256_of(path))
            yield f"{testset.name}/{label}", mark, lambda path=path: self._given(testset, path)

    def _aligner(self, testset: TestSet, spec: str, files: tuple[Path, ...]) -> dict[str, Any]:
        from align_eval.aligners import AlignerSettings, make_aligner
        from align_eval.runs.evaluate import evaluate_testset

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

    def _given(self, testset: TestSet, path: Path) -> dict[str, Any]:
        from align_eval.corpora import read_links
        from align_eval.scoring import Signature
        from align_eval.scoring.measures import counts

        table = read_links(path, bitext=testset.pairs)
        signature = Signature(
            set=testset.name, sha256=testset.checksum[:8], base=testset.base, nulls="drop", sym="none"
        )  # fmt: skip
        return {"score": self._score(testset, counts(testset.gold, table), signature), "file": path.name}

    def _score(self, testset: TestSet, rows: Any, signature: Any) -> dict[str, Any]:
        """Score of counts ``(sentence pairs, 4)`` on the rest."""
        from align_eval.runs.sweep import split
        from align_eval.scoring import score_counts

        _, rest = split(len(testset.pairs), self.development, self.seed)
        possible = int(np.diff(testset.gold.offsets)[rest].sum())
        score = score_counts(
            rows[rest], possible, resamples=self.resamples, seed=self.seed, signature=signature
        )  # fmt: skip
        return score.to_json()

    def _files(self) -> tuple[Path, ...]:
        """The files of parallel text.

        Raises:
            MissingFileError: one is in none of the places.
        """
        places = [Path()]
        if os.environ.get("ALIGN_EVAL_PARALLEL"):
            places.append(Path(os.environ["ALIGN_EVAL_PARALLEL"]))
        out = []
        for name in self.parallel:
            found = [place / name for place in places if (place / name).is_file()]
            if not found:
                raise MissingFileError(
                    "no such file of parallel text", file=name, remedy="Set ALIGN_EVAL_PARALLEL to the folder it is in"
                )
            out.append(found[0])
        return tuple(out)

    def _body(self, kept: Mapping[str, Mapping[str, Any]]) -> list[str]:
        """A table of signals by test sets, the best first; one of the others; what could not be read, and why."""
        share = f"{100 * self.development:g} %"
        names = list(dict.fromkeys(key.partition("/")[2] for key in kept))
        first = self.testsets[0]

        def error_of(name: str) -> float:
            score = kept.get(f"{first}/{name}", {}).get("score")
            return float(score["aer"]) if score else np.inf

        ordered = sorted(names, key=error_of)
        cells = {name: [kept.get(f"{testset}/{name}", {}) for testset in self.testsets] for name in ordered}
        reads = {name for name in names if any("view" in cell for cell in cells[name])}
        lines = [
            f"Model `{self.model}`, links by `{self.method}`. AER in percent with the 95 % interval. The view of each",
            f"signal is chosen on {share} of the sentences (drawn with seed {self.seed}) and scored on the rest; it",
            "stands behind its number as layer.head mode (head `layer`: one map a layer).",
            "",
            "| signal | " + " | ".join(self.testsets) + " |",
            "|---|" + "---|" * len(self.testsets),
        ]
        shown = [name for name in ordered if name in reads]
        lines += [f"| {name} | " + " | ".join(_cell(cell) for cell in cells[name]) + " |" for name in shown]
        others = [name for name in ordered if name not in reads and any("score" in cell for cell in cells[name])]
        if others:
            lines += ["", "Beside them, on the same sentences:", ""]
            lines += ["| aligner | " + " | ".join(self.testsets) + " |", "|---|" + "---|" * len(self.testsets)]
            lines += [f"| {name} | " + " | ".join(_cell(cell) for cell in cells[name]) + " |" for name in others]
            lines += ["", f"Similarity methods (`argmax` and such) are of `{self.aligner_model}`."]
        if any(name.endswith(PLUS) for name in others):
            lines.append(f"`{PLUS}`: trained on the test text and on {', '.join(self.parallel)}.")
        errors = dict.fromkeys(f"- {name}: {c['error']}" for name in ordered for c in cells[name] if "error" in c)
        lines += ["", "Not read:", "", *errors] if errors else []
        return [*lines, "", "Precision, recall, the best view of the whole set and all signatures: `signals.json`."]


def short(row: Mapping[str, Any]) -> str:
    """A view as ``layer.head mode``."""
    return f"{row['layer']}.{row['head']} {row['mode']}"


def _cell(cell: Mapping[str, Any]) -> str:
    if "score" not in cell:
        return "-"
    return interval(cell["score"]) + (f" {cell['view']}" if "view" in cell else "")


def _told(cell: Mapping[str, Any]) -> str:
    return str(cell["error"]) if "error" in cell else f"AER {_cell(cell)}"


def _mark(*made_from: str) -> str:
    import hashlib
    import json

    from align_eval.version import __version__

    return hashlib.sha256(json.dumps([*made_from, __version__]).encode()).hexdigest()[:16]
