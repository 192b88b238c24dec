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
    from align_eval.corpora import Corpus
    from align_eval.runs.pair_figures import AlignedSet


def pairs(
    data: str | None = typer.Argument(
        None,
        metavar="[RESULTFOLDER|TESTSET]",
        help="A folder of evaluate -o or demo, or a named test set to align now. Your own: "
        "--bitext, or --source with --target, and --gold if you have gold links.",
    ),
    *,
    text: inputs.GoldPairs,
    system: list[str] | None = typer.Option(
        None,
        "--system",
        "-s",
        help="Of a result folder: only this one, such as mini-ende.argmax.layer7. May be "
        "given several times. Default: all.",
    ),
    model: str | None = typer.Option(
        None, "--model", "-m", help="Of a test set: the encoder (default offline:e5-small)."
    ),
    method: str | None = typer.Option(
        None, "--method", "-x", help="Of a test set: " + options.METHOD_HELP + options.DEFAULT_METHOD
    ),
    layer: int | None = typer.Option(None, min=0, help="Of a test set: the layer. Default: the model's own."),
    strength: bool = typer.Option(
        False,
        "--strength",
        help="Colour the cells by similarity, or by the probability of a link; runs the encoder that found the links.",
    ),
    only: str = typer.Option("all", help="Pairs to draw, by number from 1: 7, 1-20, 1,3,5-8 or all."),
    format: Literal["png", "svg", "pdf"] = typer.Option("png", help="png, svg or pdf."),
    jobs: int | None = typer.Option(None, min=1, help="Processes that draw. Default: one a processor."),
    output: str | None = typer.Option(
        None,
        "--output",
        "-o",
        metavar="FOLDER",
        help="A folder a system is made here. Default: pairs/ in the result folder.",
    ),
    restart: bool = typer.Option(False, "--restart", help="Draw anew what stands there already."),
    loading: options.Loading,
) -> None:
    """Draw all sentence pairs of a test set: words as a grid, links found as dots, gold as frames.

    Interrupted, it goes on where it stopped when started again. Beside the figures, pairs.tsv has counts and AER
    of each pair, so that the worst can be found.
    """
    folder = data is not None and Path(data).is_dir()
    if folder and (model is not None or layer is not None):
        raise typer.BadParameter("a result folder names its own models: leave out --model and --layer")
    if not folder and system:
        raise typer.BadParameter("--system is for result folders; use --method", param_hint="--system")
    if not folder and output is None:
        raise typer.BadParameter("say where the figures go: -o FOLDER", param_hint="--output")
    from align_eval.cli._progress import progress_bar
    from align_eval.runs.pair_figures import draw_pairs, sets_of_folder

    aligner: Any = None
    if folder:
        if text.gold is not None or text.files():
            raise typer.BadParameter(inputs.HELD)
        sets = sets_of_folder(data or "", system or ())
    else:
        loaded = text.testset(data, what="RESULTFOLDER, TESTSET")
        aligner, sets = _align(loaded, model or options.DEFAULT_MODEL, method, layer, loading.options())
    base = Path(output) if output else Path(data or "") / "pairs"
    for item in sets:
        numbers = _numbers(only, len(item.testset.pairs))
        maps, made_by = _maps(item, aligner, loading.options()) if strength else (None, None)
        with progress_bar(item.name, len(numbers), unit="figures") as progress:
            drawn = draw_pairs(
                item, base / item.name, numbers=numbers, format=format, strength=maps, made_by=made_by,
                quantity=_quantity(item), jobs=jobs or os.cpu_count() or 1, restart=restart,
                progress=progress,
            )  # fmt: skip
        sys.stdout.write(f"{len(drawn)} figures: {shown(str(base / item.name))}\n")


def _numbers(text: str, available: int) -> list[int]:
    try:
        return options.parse_layers(text, available)
    except typer.BadParameter:
        raise typer.BadParameter(f"{text!r}: write 7, 1-20, 1,3,5-8 or all", param_hint="--only") from None


def _align(
    testset: Corpus, model: str, method: str | None, layer: int | None, loading: dict[str, Any]
) -> tuple[Any, list[AlignedSet]]:
    """Align a test set now; the aligner is kept for its maps."""
    from align_eval.aligners import AlignerSettings, default_method, make_aligner, needs_model
    from align_eval.cli._progress import progress_bar
    from align_eval.runs.pair_figures import align_set

    layers = () if layer is None else (layer,)
    methods = (method or default_method(model, layers=layers),)
    aligner = make_aligner(
        AlignerSettings(model if needs_model(methods) else None, methods, layers, options=dict(loading))
    )
    with progress_bar(f"aligning {testset.name}", len(testset.pairs)) as progress:
        return aligner, align_set(testset, aligner, progress)


def _quantity(item: AlignedSet) -> str:
    return "probability of a link" if _refined(item) else "similarity, (cosine + 1) / 2"


def _refined(item: AlignedSet) -> bool:
    return item.method.partition(":")[0] == "refined"


def _maps(item: AlignedSet, aligner: Any, loading: dict[str, Any]) -> tuple[Any, dict[str, str]]:
    """What gives the similarity map of a pair, of the encoder that found the links, and the encoder's signature."""
    from align_eval.errors import InputError

    if aligner is None and item.model and (item.layer is not None or _refined(item)):
        from align_eval.aligners import AlignerSettings, make_aligner

        methods, layers = ((item.method,), ()) if item.layer is None else (("argmax",), (item.layer,))
        aligner = make_aligner(AlignerSettings(item.model, methods, layers, options=dict(loading)))
    if not hasattr(aligner, "word_map"):
        raise InputError(f"the links of {item.title} have no similarity behind them", remedy="Leave out --strength")
    return (lambda pair: aligner.word_map(pair, item.layer)), aligner.describe()
