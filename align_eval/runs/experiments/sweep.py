"""Kind ``sweep``: AER of every layer, head and mode, and what selection gives on sentences it has not seen.

::

    name = "sweep-tiny-deen"
    kind = "sweep"
    model = "offline:tiny-deen"
    signal = "attention"
    testsets = ["deen-rwth", "mini-ende"]
    select = ["best", "greedy", "logistic"]

``NAME:reverse`` is a test set with source and target swapped. It writes ``sweep.json`` (every head and mode of every
set, and the selections), a heatmap a set (``TESTSET.png``, ``TESTSET.pdf``) and ``README.md`` with the best layer, head
and mode of each set.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from align_eval.attribution import attribution_options
from align_eval.attribution.matrix import require_rule
from align_eval.corpora import Corpus
from align_eval.extraction import make_extractor
from align_eval.figures.sweep import aer_grid, summarise_sweep
from align_eval.models import load_model
from align_eval.models.loaded import mark_of
from align_eval.registry import numbers_of
from align_eval.runs.experiments import KINDS, Experiment, Kept, Make, Watch, table
from align_eval.runs.results import file_name, write_figure
from align_eval.runs.selection import SELECTORS, select
from align_eval.runs.sweep import for_testset, split, sweep_testset

COLUMNS = ("layer", "head", "mode", "aer", "precision", "recall", "f1", "links")
ENDINGS = ("png", "pdf")


@dataclass(frozen=True)
class ViewExperiment(Experiment):
    """What all kinds say that choose a head and mode of a model on the dev split."""

    method: str = "reverse"  # of extraction
    modes: tuple[str, ...] = ()  # empty: all of the model
    layers: str = "all"  # as on the command line
    keys: str = "sum"  # how subwords become words
    queries: str = "mean"
    development: float = 0.2  # ratio of the sentences in the dev split
    batch_tokens: int = 2048  # padded subwords in a batch; it changes speed and memory, not the results

    def check(self) -> None:
        self.check_testsets()
        make_extractor(self.method)
        for rule in (self.keys, self.queries):
            require_rule(rule)

    def swept(self, testset: Corpus, model: Any, signal: str, watch: Watch, what: str, keep: bool) -> tuple[Any, Any]:
        """A sweep of one attribution method over a test set, and the two parts of it.

        ``what`` stands on the progress bar; ``keep``: the matrices of the dev split will be asked for.
        """
        model = for_testset(model, testset)
        parts = split(len(testset.pairs), self.development, self.seed)
        with watch.bar(what, len(testset.pairs)) as progress:
            found = sweep_testset(
                testset, model, modes=self.modes or None, attribution=signal, method=self.method, keys=self.keys,
                layers="all" if self.layers == "all" else numbers_of(self.layers, 1, model.layers),
                queries=self.queries, token_budget=self.batch_tokens, development=parts[0] if keep else None,
                progress=progress,
            )  # fmt: skip
        return found, parts


@KINDS.register("sweep")
@dataclass(frozen=True)
class SweepExperiment(ViewExperiment):
    """What it says beside the fields of :class:`ViewExperiment`."""

    signal: str = "attention"  # an attribution method, options after a colon
    select: tuple[str, ...] = ("best",)  # see :mod:`align_eval.runs.selection`
    max_heads: int = 8  # that greedy takes at most

    def check(self) -> None:
        super().check()
        attribution_options(self.signal)
        for name in self.select:
            SELECTORS.get(name)

    def parts(self, base: Path, watch: Watch, kept: Kept) -> Iterator[tuple[str, str, Make]]:
        loaded = self.load()
        model = load_model(self.model)
        for testset in loaded:
            mark = self.fingerprint(testset.checksum, mark_of(model), without=("batch_tokens",))
            yield testset.name, mark, partial(self._part, testset, model, watch, base)

    def _part(self, testset: Corpus, model: Any, watch: Watch, base: Path) -> dict[str, Any]:
        for path in _figures(base, testset.name):
            path.unlink(missing_ok=True)
        found, parts = self.swept(testset, model, self.signal, watch, testset.name, set(self.select) != {"best"})
        chosen = [
            select(found, name, parts, max_heads=self.max_heads, resamples=self.resamples, seed=self.seed)
            for name in self.select
        ]
        return {
            "testset": testset.name, "model": found.model, "signal": found.attribution, "method": found.method,
            "sentences": len(testset.pairs),
            "described": {one.selection.name: one.describe(found, 3) for one in chosen},
            "selection": [one.to_json(found) for one in chosen],
            "views": [{key: row[key] for key in COLUMNS} for row in found.to_json()],
        }  # fmt: skip

    def said(self, cell: Mapping[str, Any]) -> str:
        top = _top(cell)
        best = f"best view {top['aer']:.2f} (layer {top['layer']}, head {top['head']}, {top['mode']})"
        return "; ".join([best, *(f"{one['selection']} on the rest {interval(one)}" for one in cell["selection"])])

    def body(self, base: Path, kept: Kept) -> list[str]:
        """A table with a row a set, then a heatmap (drawn if it is not there) and its summary a set."""
        rows: list[list[str]] = []
        sections: list[str] = []
        for name, cell in kept.items():
            _draw(base, name, cell)
            top = _top(cell)
            rows.append([name, f"{top['aer']:.1f}: layer {top['layer']}, head {top['head']}, {top['mode']}"])
            for one in cell["selection"]:
                rows[-1] += [cell["described"][one["selection"]], interval(one)]
            sections += ["", f"## {name}", "", f"![AER by layer and head on {name}]({file_name(name)}.png)", ""]
            sections += [f"- {sentence}" for sentence in summarise_sweep(cell["views"]).findings]
            sections += ["", *(f"`{one['signature']}`" for one in cell["selection"][:1])]
        return [
            f"Signal `{self.signal}`, links by `{self.method}`. AER in percent. The column *whole set* names the best",
            "view of all, chosen and scored on the same sentences; in the other columns views are chosen on",
            f"{100 * self.development:g} % of the sentences (drawn with seed {self.seed}) and scored on the rest, "
            "with the 95 % interval.",
            "",
            *table(["test set", "whole set", *(c for name in self.select for c in (name, "on the rest"))], rows),
            *sections,
            "",
            "Every view and every selection with its weights and signature: `sweep.json`.",
        ]


def _figures(base: Path, name: str) -> list[Path]:
    return [base / f"{file_name(name)}.{ending}" for ending in ENDINGS]


def _draw(base: Path, name: str, cell: Mapping[str, Any]) -> None:
    if all(path.exists() for path in _figures(base, name)):
        return
    figure = aer_grid(cell["views"], title=f"{cell['model']} on {name}: {cell['signal']}, links by {cell['method']}")
    write_figure(figure, base, file_name(name), ENDINGS)


def interval(score: Mapping[str, Any]) -> str:
    """``32.4 (28.1 - 36.7)``; the interval is left out where there is none."""
    if not score["ci"]:
        return f"{score['aer']:.1f}"
    low, high = score["ci"]["aer"]
    return f"{score['aer']:.1f} ({low:.1f} - {high:.1f})"


def _top(cell: Mapping[str, Any]) -> Mapping[str, Any]:
    return min(cell["views"], key=lambda row: float(row["aer"]))
