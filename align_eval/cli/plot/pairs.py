"""``align-eval plot pairs``: a picture of every pair of a test set, with the links found and gold."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import typer

from align_eval.cli import _input as inputs
from align_eval.cli import _options as options
from align_eval.shown import shown

if TYPE_CHECKING:
    from align_eval.runs.pair_figures import AlignedSet


def pairs(
    data: str | None = inputs.TESTSET,
    *,
    text: inputs.GoldPairs,
    links: list[str] | None = typer.Option(
        None, metavar="FILE", help="Draw these links, a file a system; may be given several times. Default: align now."
    ),
    model: str = options.MODEL,
    method: str | None = typer.Option(None, "--method", "-x", help=options.METHOD_HELP + options.DEFAULT_METHOD),
    layer: int | None = typer.Option(None, min=0, help="Of the model. Default: the model's own."),
    strength: bool = typer.Option(
        False,
        "--strength",
        help="Colour the cells by similarity, or by the probability of a link: of what finds the links, or of --model.",
    ),
    only: str = typer.Option("all", help="Pairs to draw, by number from 1: 7, 1-20, 1,3,5-8 or all."),
    format: Literal["png", "svg", "pdf"] = typer.Option("png", help="png, svg or pdf."),
    jobs: int | None = typer.Option(None, min=1, help="Processes that draw. Default: one a processor."),
    output: str = typer.Option(..., "--output", "-o", metavar="FOLDER", help="A folder a system is made here."),
    restart: bool = typer.Option(False, "--restart", help="Draw anew what stands there already."),
    loading: options.Loading,
) -> None:
    """Draw all sentence pairs of a test set: words as a grid, links found as dots, gold as frames.

    Interrupted, it goes on where it stopped when started again. The pairs with the highest AER are found by
    align-eval score --per-sentence.
    """
    from align_eval.aligners import AlignerSettings, default_method, make_aligner, needs_model
    from align_eval.cli._progress import progress_bar
    from align_eval.runs.pair_figures import align_set, draw_pairs, read_set

    loaded = text.testset(data)
    layers = () if layer is None else (layer,)
    methods = (method or default_method(model, layers=layers),)
    settings = AlignerSettings(model if needs_model(methods) else None, methods, layers, options=loading.options())
    aligner = make_aligner(settings) if strength or not links else None
    if links:
        sets = [read_set(loaded, file) for file in links]
    else:
        with progress_bar(f"aligning {loaded.name}", len(loaded.pairs)) as progress:
            sets = align_set(loaded, aligner, progress)
    quantity = "probability of a link" if methods[0].startswith("refined") else "similarity, (cosine + 1) / 2"
    for item in sets:
        numbers = options.parse_layers(only, len(item.testset.pairs), "--only")
        maps, made_by = _maps(item, aligner) if strength else (None, None)
        with progress_bar(item.name, len(numbers), unit="figures") as progress:
            drawn = draw_pairs(
                item, Path(output) / item.name, numbers=numbers, format=format, strength=maps, made_by=made_by,
                quantity=quantity, jobs=jobs or os.cpu_count() or 1, restart=restart,
                progress=progress,
            )  # fmt: skip
        sys.stdout.write(f"{len(drawn)} figures: {shown(str(Path(output) / item.name))}\n")


def _maps(item: AlignedSet, aligner: Any) -> tuple[Any, dict[str, str]]:
    """What gives the similarity map of a pair, and the signature of its encoder."""
    from align_eval.errors import InputError

    if not hasattr(aligner, "word_map"):
        raise InputError(f"the links of {item.title} have no similarity behind them", remedy="Leave out --strength")
    layer = aligner.systems[0].layer if item.layer is None else item.layer
    return (lambda pair: aligner.word_map(pair, layer)), aligner.describe()
