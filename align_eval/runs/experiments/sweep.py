"""Kind ``sweep``: AER of every layer, head and mode, and what selection gives on sentences it has not seen.

::

    name = "sweep-tiny-deen"
    kind = "sweep"
    model = "offline:tiny-deen"
    signal = "attention"
    testsets = ["deen-rwth", "mini-ende"]
    select = ["best", "greedy", "logistic"]

``NAME:reverse`` is a test set seen from its other side. It writes ``sweep.json`` (every view of every set, and the
selections), a heatmap a set (``TESTSET.png``, ``TESTSET.pdf``) and ``README.md`` with the best layer, head and mode
of each set.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from align_eval.files import atomic_writer
from align_eval.runs.experiments.base import KINDS, Cells, Experiment, Watch
from align_eval.runs.results import file_name

if TYPE_CHECKING:
    from align_eval.corpora import TestSet

COLUMNS = ("layer", "head", "mode", "aer", "precision", "recall", "f1", "links")


@dataclass(frozen=True)
class ViewExperiment(Experiment):
    """What all kinds say that choose a view of a model on a development part.

    Attributes:
        method: extraction method.
        modes: alignment modes; empty: all of the model. ``layers``: as on the command line.
        keys, queries: how sub-words become words.
        development: share of the sentences that views are chosen on.
        batch_tokens: padded sub-words in a batch; it changes speed and memory, not the results.
    """

    method: str = "reverse"
    modes: tuple[str, ...] = ()
    layers: str = "all"
    keys: str = "sum"
    queries: str = "mean"
    development: float = 0.2
    batch_tokens: int = 2048

    def check(self) -> None:
        from align_eval.corpora.testset import REVERSE
        from align_eval.corpora.testset_entries import get_entry
        from align_eval.extraction import make_extractor
        from align_eval.signals.pooling import require_rule

        for name in self.testsets:
            get_entry(name.removesuffix(REVERSE))
        make_extractor(self.method)
        for rule in (self.keys, self.queries):
            require_rule(rule)

    def load(self) -> list[TestSet]:
        """The test sets; those with ``:reverse`` behind their name seen from their other side."""
        from align_eval.corpora import load_testset
        from align_eval.corpora.testset import REVERSE

        found = {name: load_testset(name.removesuffix(REVERSE)) for name in self.testsets}
        return [one.reverse() if name.endswith(REVERSE) else one for name, one in found.items()]

    def swept(self, testset: TestSet, model: Any, signal: str, watch: Watch, what: str, keep: bool) -> tuple[Any, Any]:
        """A sweep of one signal over a test set, and the two parts of it.

        Args:
            model: with the languages of the set.
            what: the name on the progress bar.
            keep: whether the maps of the development part will be asked for.
        """
        from align_eval.runs.sweep import split, sweep_testset

        parts = split(len(testset.pairs), self.development, self.seed)
        with watch.bar(what, len(testset.pairs)) as progress:
            found = sweep_testset(
                testset,
                model,
                layers="all" if self.layers == "all" else watch.parse_layers(self.layers, model.layers),
                modes=self.modes or None,
                signal=signal,
                method=self.method,
                keys=self.keys,
                queries=self.queries,
                token_budget=self.batch_tokens,
                development=parts[0] if keep else None,
                progress=progress,
            )
        return found, parts


@KINDS.register("sweep")
@dataclass(frozen=True)
class SweepExperiment(ViewExperiment):
    """What it says beside the fields of :class:`ViewExperiment`.

    Attributes:
        signal: name of a signal, options after a colon.
        select: ways to select, see :mod:`align_eval.runs.selection`.
        max_heads: views that ``greedy`` takes at most.
    """

    signal: str = "attention"
    select: tuple[str, ...] = ("best",)
    max_heads: int = 8

    def check(self) -> None:
        from align_eval.runs.selection import SELECTORS
        from align_eval.signals.base import attribution_options

        super().check()
        attribution_options(self.signal)
        for name in self.select:
            SELECTORS.get(name)

    def run(self, base: Path, watch: Watch) -> None:
        from align_eval.models import load_model
        from align_eval.models.identity import mark_of
        from align_eval.runs.sweep import for_testset

        cells = Cells(base / "sweep.json")
        loaded = self.load()
        model = load_model(self.model)
        kept: dict[str, dict[str, Any]] = {}
        for testset in loaded:
            mark = self.fingerprint(testset.checksum, mark_of(model), without=("batch_tokens",))
            cell = cells.get(testset.name, mark)
            new = cell is None
            if cell is None:
                cell = cells.put(testset.name, mark, self._cell(testset, for_testset(model, testset), watch))
            self._draw(base, testset.name, cell, new)
            kept[testset.name] = cell
            watch.note(f"{testset.name}: {_told(cell)}")
            with atomic_writer(base / "README.md") as stream:
                stream.write(self.page(self._body(kept)))
        cells.keep_only(self.testsets)

    def _cell(self, testset: TestSet, model: Any, watch: Watch) -> dict[str, Any]:
        from align_eval.runs.selection import Settings, select

        keep = set(self.select) != {"best"}
        found, parts = self.swept(testset, model, self.signal, watch, testset.name, keep)
        settings = Settings(max_heads=self.max_heads, seed=self.seed)
        chosen = [
            select(found, name, parts, settings=settings, resamples=self.resamples, seed=self.seed)
            for name in self.select
        ]
        rows = [{key: row[key] for key in COLUMNS} for row in found.to_json()]
        told = {one.selection.name: one.describe(found, 3) for one in chosen}
        return {
            "testset": testset.name, "model": found.model, "signal": found.signal, "method": found.method,
            "sentences": len(testset.pairs), "described": told,
            "selection": [one.to_json(found) for one in chosen], "views": rows,
        }  # fmt: skip

    def _draw(self, base: Path, name: str, cell: Mapping[str, Any], new: bool) -> None:
        paths = [base / f"{file_name(name)}.{ending}" for ending in ("png", "pdf")]
        if not new and all(path.exists() for path in paths):
            return
        from align_eval.figures.style import save
        from align_eval.figures.sweep import aer_grid

        figure = aer_grid(
            cell["views"], title=f"{cell['model']} on {name}: {cell['signal']}, links by {cell['method']}"
        )
        for path in paths:
            save(figure, path)

    def _body(self, kept: Mapping[str, Mapping[str, Any]]) -> list[str]:
        """A table with a row a set, then a heatmap and its summary a set."""
        from align_eval.report.sweep import summarise_sweep

        share = f"{100 * self.development:g} %"
        lines = [
            f"Signal `{self.signal}`, links by `{self.method}`. AER in percent. The column *whole set* names the best",
            "view of all, chosen and scored on the same sentences; in the other columns views are chosen on",
            f"{share} of the sentences (drawn with seed {self.seed}) and scored on the rest, with the 95 % interval.",
            "",
            "| test set | whole set | " + " | ".join(f"{name} | on the rest" for name in self.select) + " |",
            "|---|---|" + "---|---|" * len(self.select),
        ]
        for name, cell in kept.items():
            top = min(cell["views"], key=lambda row: float(row["aer"]))
            parts = [f"{top['aer']:.1f}: layer {top['layer']}, head {top['head']}, {top['mode']}"]
            for one in cell["selection"]:
                parts += [cell["described"][one["selection"]], interval(one)]
            lines.append(f"| {name} | " + " | ".join(parts) + " |")
        for name, cell in kept.items():
            lines += ["", f"## {name}", "", f"![AER by layer and head on {name}]({file_name(name)}.png)", ""]
            lines += [f"- {sentence}" for sentence in summarise_sweep(cell["views"]).findings]
            lines += ["", *(f"`{one['signature']}`" for one in cell["selection"][:1])]
        return [*lines, "", "Every view and every selection with its weights and signature: `sweep.json`."]


def interval(score: Mapping[str, Any]) -> str:
    """``32.4 (28.1 - 36.7)``; the interval is left out where there is none."""
    if not score["ci"]:
        return f"{score['aer']:.1f}"
    low, high = score["ci"]["aer"]
    return f"{score['aer']:.1f} ({low:.1f} - {high:.1f})"


def _told(cell: Mapping[str, Any]) -> str:
    top = min(cell["views"], key=lambda row: float(row["aer"]))
    best = f"best view {top['aer']:.2f} (layer {top['layer']}, head {top['head']}, {top['mode']})"
    return "; ".join([best, *(f"{one['selection']} on the rest {interval(one)}" for one in cell["selection"])])
