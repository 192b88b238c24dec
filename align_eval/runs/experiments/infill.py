"""Kind ``infill``: words of test sets masked by strategies, against the unmasked run and three baselines.

::

    name = "infill-tiny-deen-mask"
    kind = "infill"
    model = "offline:tiny-deen-mask"
    testsets = ["mini-ende", "mini-ende:reverse", "deen-rwth"]
    optional = ["tatoeba-silver"]
    strategies = ["span:ratio=0.5", "each", "content", "function"]
    pairs = ["mini-ende:reverse 1 6-9", "mini-ende:reverse 1 suffix:5"]

``NAME:reverse`` swaps source and target. Sets of ``optional`` are left out, with a note, where they are not on this
machine. The head is chosen for each set and direction on its dev split. ``pairs`` are drawn: test set, number of the
pair from 1, and which words are masked (as ``--mask`` takes them).

A model that has no name but a place is given by ``folder``, in which variables of the environment are filled in;
``model`` is then what the results call it::

    model = "tlm-e5-small"
    folder = "$ALIGN_EVAL_MLM"

It writes ``infill.json`` (all numbers), a folder a set and direction with its table, summary and curves, a figure with
its summary a pair, and ``README.md``.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from align_eval.corpora import Corpus, load_testset
from align_eval.corpora.corpus import REVERSE
from align_eval.errors import FormatError, MissingFileError, UnknownNameError
from align_eval.infilling.strategies import make_strategy
from align_eval.models import load_model
from align_eval.models.loaded import mark_of
from align_eval.report.infilling_corpus import subject_line
from align_eval.runs.experiments import KINDS, Experiment, Kept, Make, Watch
from align_eval.runs.infill import CHOICES, infill_testset, page_lines, write_summary
from align_eval.runs.infill_pair import run_pair
from align_eval.runs.results import file_name, write_figure


@KINDS.register("infill")
@dataclass(frozen=True)
class InfillExperiment(Experiment):
    """What it says beside the fields of :class:`Experiment`."""

    model: str = "offline:tiny-deen-mask"
    resamples: int = 2000
    strategies: tuple[str, ...] = ("span:ratio=0.5",)
    optional: tuple[str, ...] = ()  # test sets that are left out where they are not on this machine
    pairs: tuple[str, ...] = ()  # SET NUMBER MASK: pairs that are drawn
    layer: str = ""  # of all sets, from 1 or mean; empty: chosen on the dev split of each
    head: str = ""
    development: float = 0.2  # ratio of the sentences that the head is chosen on
    choose_by: str = "masked"  # rows whose accuracy chooses it, or full; or model: the model's own head
    batch_tokens: int = 2048  # padded tokens in a batch; it changes speed and memory, not the results
    folder: str = ""  # where the model is, from the experiment's file on or absolute, with variables ($NAME)

    def check(self) -> None:
        if self.choose_by not in CHOICES:
            raise FormatError(f"choose_by = {self.choose_by!r} is not one of {', '.join(CHOICES)}", file=self.file)
        self.check_testsets()
        for spec in self.strategies:
            make_strategy(spec)
        for pair in self.pairs:
            name, number, _ = self._drawn(pair)
            if name not in (*self.testsets, *self.optional) or number < 1:
                raise FormatError(f"pairs: {pair!r} is not of one of the test sets", file=self.file)

    def parts(self, base: Path, watch: Watch, kept: Kept) -> Iterator[tuple[str, str, Make]]:
        model = load_model(str(self._folder()) if self.folder else self.model)
        if self.folder:
            model.name = self.model
        corpora = dict(self._corpora(watch))

        def mark(corpus: Corpus, *more: str) -> str:
            made_from = (corpus.checksum, corpus.direction, mark_of(model), *more)
            return self.fingerprint(*made_from, without=("pairs", "optional", "batch_tokens", "folder"))

        for name, corpus in corpora.items():
            yield name, mark(corpus), partial(self._measured, corpus, model, watch, name, base)
        for pair in self.pairs:
            name = pair.split()[0]
            if name in corpora:
                subject = kept[name]["subject"]
                drawn = partial(self._draw, pair, corpora[name], model, subject, base)
                yield pair, mark(corpora[name], pair, str(subject["view_rule"])), drawn

    def _folder(self) -> Path:
        """The folder of the model; an error if a variable in its name is not set, or it is not there."""
        path = Path(self.file).parent / os.path.expandvars(self.folder)
        unset = "$" in os.path.expandvars(self.folder)
        if unset or not path.is_dir():
            raise MissingFileError(
                f"folder = {self.folder!r}: {'the variable is not set' if unset else f'{path} is no folder'}",
                file=self.file, remedy=f"{'Set it to' if unset else 'Name'} the folder of the model {self.model}",
            )  # fmt: skip
        return path

    def _corpora(self, watch: Watch) -> Iterator[tuple[str, Corpus]]:
        for name in (*self.testsets, *self.optional):
            try:
                found = load_testset(name.removesuffix(REVERSE))
            except (UnknownNameError, MissingFileError):
                if name not in self.optional:
                    raise
                watch.note(f"{name}: left out, not on this machine")
                continue
            yield name, found.reverse() if name.endswith(REVERSE) else found

    def _measured(self, corpus: Corpus, model: Any, watch: Watch, name: str, base: Path) -> dict[str, Any]:
        head = None
        if self.layer:
            head = tuple(int(n) if n.isdecimal() else n for n in (self.layer, self.head or "mean"))
        with watch.bar(name, len(corpus.pairs)) as progress:
            found = infill_testset(
                corpus, model, self.strategies, head=head, development=self.development, seed=self.seed,
                resamples=self.resamples, token_budget=self.batch_tokens, progress=progress, choose_by=self.choose_by,
            )  # fmt: skip
        folder = file_name(name.replace(":", "-"))
        curves = "curves.png" in write_summary(found.to_json(), base / folder)
        return {**found.summary(), "curves": f"{folder}/curves.png" if curves else None}

    def _drawn(self, text: str) -> tuple[str, int, str]:
        parts = text.split(maxsplit=2)
        if len(parts) != 3 or not parts[1].isdecimal():
            raise FormatError(
                f"pairs: {text!r} is not SET NUMBER MASK", file=self.file,
                remedy='Write for example pairs = ["mini-ende:reverse 1 6-9"]',
            )  # fmt: skip
        return parts[0], int(parts[1]), parts[2]

    def _draw(self, text: str, corpus: Corpus, model: Any, subject: Mapping[str, Any], base: Path) -> dict[str, Any]:
        """Draw and summarise one pair with the head that its corpus was read with."""
        name, number, mask = self._drawn(text)
        head = (subject["layer"], subject["head"])
        found = run_pair(corpus, number - 1, mask, model, head=head, seed=self.seed, rule=subject["view_rule"])
        stem = file_name("pair", name.replace(":", "-"), number, mask.replace(":", "-").replace(",", "_"))
        write_figure(found.figure(), base, stem)
        found.summary().write(base, stem)
        return {"figure": f"{stem}.png", "findings": found.summary().findings}

    def said(self, cell: Mapping[str, Any]) -> str:
        if "findings" in cell:
            return str(cell["findings"][0])
        subject, first = cell["subject"], cell["strategies"][0]
        accuracy = first["accuracy_masked"]
        found = "no row with a link" if accuracy is None else f"{100 * accuracy:.1f} % of masked rows peak on gold"
        return f"layer {subject['layer']}, head {subject['head']}; {first['strategy']}: {found}"

    def body(self, base: Path, kept: Kept) -> list[str]:
        lines: list[str] = []
        for name, cell in kept.items():
            if "findings" in cell:
                testset, number, mask = self._drawn(name)
                lines += [
                    f"## {testset}, pair {number}, masked: {mask}",
                    "",
                    f"![paired heatmaps]({cell['figure']})",
                    "",
                ]
                lines += [*(f"- {sentence}" for sentence in cell["findings"]), ""]
                continue
            rows = [{**cell["subject"], **found} for found in cell["strategies"]]
            lines += [f"## {name}", "", f"{subject_line(rows[0])}.", "", *page_lines(rows), ""]
            lines += [f"![curves]({cell['curves']})", ""] if cell["curves"] else []
            lines += _pooled(cell)
        return lines


def _pooled(cell: Mapping[str, Any]) -> list[str]:
    """The correlation over all strategies together, by ratio of masked words."""
    found = cell["correlation_all_strategies"]
    if not found or found["ci"] is None:
        return []

    def one(part: dict[str, Any]) -> str:
        ends = "" if part["ci"] is None else f" ({part['ci'][0]:.2f} to {part['ci'][1]:.2f})"
        return "-" if part["spearman"] is None else f"{part['spearman']:.2f}{ends}"

    bands = "; ".join(
        f"over {100 * part['above']:.0f} up to {100 * part['to']:.0f} % masked: {one(part)}"
        for part in found["by_mask_share"]
    )
    return [
        "Spearman's correlation of mass on linked words and log-probability of the masked word, over the rows of all "
        f"strategies: {one(found)}; without punctuation {one(found['without_punctuation'])}; {bands}.",
        "",
    ]
