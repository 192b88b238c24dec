"""``align-eval sweep``: AER of every layer, head and reading of a model's attention."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

import typer

from align_eval.cli import _options as options

if TYPE_CHECKING:
    from align_eval.runs.sweep import Sweep


def add_to(app: typer.Typer) -> None:
    """Register the command."""

    @app.command()
    def sweep(
        testset: str = typer.Argument(..., metavar="TESTSET", help="A named test set (align-eval testsets list)."),
        model: str = options.MODEL,
        method: str = typer.Option(
            "reverse",
            "--method",
            "-x",
            help="How maps become links; reverse: each target word to its best source word.",
        ),
        signal: str = typer.Option(
            "attention",
            help="What is read: attention, norms, norms-layer, rollout, alti, alti-layer, or a gradient signal.",
        ),
        layers: str = typer.Option("all", "--layers", "--layer", help="7, 5-8, 1,3,5-8 or all."),
        readings: str | None = typer.Option(
            None, help="awo, awi (encoder-decoder, decoder-only), block, block-st, block-ts (encoder). Default: all."
        ),
        keys: str = typer.Option(
            "sum", help="How the sub-words of a key word become one: sum, mean, max, first, last."
        ),
        queries: str = typer.Option("mean", help="How the sub-words of a query word become one."),
        development: float = typer.Option(
            0.2, help="Share of the sentences that the best view is chosen on; it is scored on the rest."
        ),
        seed: int = typer.Option(12345, min=0, help="Seed of that split and of the resamples."),
        json_: bool = typer.Option(False, "--json", help="Print a JSON list, one object a layer, head and reading."),
        output: str | None = typer.Option(
            None, "--output", "-o", metavar="FOLDER", help="Also write sweep.json and heatmaps (PNG, PDF) here."
        ),
        device: str = options.DEVICE,
        dtype: options.Dtype = options.DTYPE,
        batch_tokens: int = options.BATCH_TOKENS,
    ) -> None:
        """Read alignments out of a model's attention: AER of every layer x head, in one pass over a test set.

        Layers and heads count from 1; head "mean" is the mean over heads. Rows are over the whole set and show where
        alignment lives; the view named best is chosen on a development part and scored on the disjoint rest.
        """
        from align_eval.cli._progress import progress_bar
        from align_eval.corpora import load_testset
        from align_eval.models import load_model
        from align_eval.runs.sweep import split, sweep_testset

        loaded = load_testset(testset)
        parts = split(len(loaded.pairs), development, seed)
        encoder = load_model(model, device=device, dtype=dtype.value)
        with progress_bar(testset, len(loaded.pairs)) as progress:
            found = sweep_testset(
                loaded,
                encoder,
                layers="all" if layers == "all" else options.parse_layers(layers, encoder.layers),
                readings=None if readings is None else readings.split(","),
                signal=signal,
                method=method,
                keys=keys,
                queries=queries,
                token_budget=batch_tokens,
                progress=progress,
            )
        held = _held_out(found, parts, seed)
        if output is not None:
            _write(found, held, output)
        if json_:
            sys.stdout.write(json.dumps(found.to_json(), indent=2) + "\n")
            return
        rows = sorted(found.to_json(), key=lambda row: float(row["aer"]))
        what = f"{found.model}, {found.signal}, method {found.method}"
        lines = [f"{testset}: {len(rows)} views of {what}; the ten best on the whole set"]
        lines += ["layer  head  reading     AER  precision  recall"]
        lines += [
            f"{row['layer']!s:>5}  {row['head']!s:>4}  {row['reading']:<8}{row['aer']:>7.2f}{row['precision']:>11.2f}"
            f"{row['recall']:>8.2f}"
            for row in rows[:10]
        ]
        low, high = held["ci"]["aer"]
        lines += [
            "",
            f"Chosen on {held['development_sentences']} sentences: layer {held['layer']}, head {held['head']}, "
            f"{held['reading']}. On the other {held['sentences']}: AER {held['aer']:.2f} ({low:.2f} - {high:.2f})",
            str(held["signature"]),
        ]
        sys.stdout.write("\n".join(lines) + "\n")


def _held_out(found: Sweep, parts: tuple[Any, Any], seed: int) -> dict[str, Any]:
    """The view that is best on the development part, scored on the rest."""
    development, rest = parts
    best = found.best(development)
    view = found.views[best]
    score = found.score(best, rest, seed=seed)
    chosen = {"layer": view.layer, "head": view.head, "reading": view.reading}
    return {**chosen, "development_sentences": len(development), **score.to_json()}


def _write(found: Sweep, held: dict[str, Any], folder: str) -> None:
    from align_eval.figures.style import save
    from align_eval.figures.sweep import aer_grid
    from align_eval.runs.results import environment, make_folder, write_json

    base = make_folder(folder)
    write_json(base / "sweep.json", {"environment": environment(), "held_out": held, "views": found.to_json()})
    figure = aer_grid(found.to_json(), title=f"{found.model} on {found.testset.name}, {found.signal}, {found.method}")
    for ending in ("png", "pdf"):
        save(figure, base / f"sweep.{ending}")
