"""``align-eval train``: an aligner of one's own from gold links."""

from __future__ import annotations

import os
import sys
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import typer

from align_eval.cli import _input as inputs
from align_eval.cli import _options as options
from align_eval.shown import shown

if TYPE_CHECKING:
    from align_eval.corpora import Corpus


def train(
    testsets: list[str] = typer.Argument(
        None,
        metavar="[GOLD...]",
        help="Gold to learn from: named sets (mini-ende-train), quoted patterns of names ('mini-*-train'), or files of "
        "sentence pairs with links. Links in a file of their own: --bitext with --gold.",
    ),
    *,
    data: inputs.GoldPairs,
    dev: list[str] | None = typer.Option(
        None,
        metavar="GOLD",
        help="Gold to choose epoch and threshold by, as GOLD; may be given several times. Default: every tenth pair of "
        "each GOLD is held out.",
    ),
    output: str = typer.Option(..., "--output", "-o", metavar="FOLDER", help="The trained aligner goes here."),
    model: str = options.MODEL,
    layers: str | None = typer.Option(
        None, "--layers", help="Layers whose states are read: 6-8, 5,7. Default: the default layer and its neighbours."
    ),
    weight: list[str] | None = typer.Option(
        None, metavar="NAME=NUMBER", help="Weight of the pairs of one GOLD in the loss; 1 by default."
    ),
    epochs: int | None = typer.Option(
        None, min=1, help="Passes over the data, at most. Default: as many as 3,000 pairs take, from 3 to 20."
    ),
    rate: float = typer.Option(2e-3, min=1e-9, help="Learning rate."),
    seed: int = typer.Option(0, min=0, help="Seed of order and weights."),
    null_weight: float = typer.Option(1 / 3, min=0, help="Weight in the loss of a word without a gold link."),
    lone_marks: options.LoneMarks = typer.Option("cjk", help="As of align; the aligner then does the same."),
    allow_overlap: bool = typer.Option(False, help="Learn from sentences of named test sets, too."),
    source_language: str | None = typer.Option(None, help="Language code of the sources of files."),
    target_language: str | None = typer.Option(None, help="Language code of the targets of files."),
    states: str | None = typer.Option(
        None, metavar="FOLDER", help="Keep the model's states here, for further trainings. Default: the cache folder."
    ),
    restart: bool = typer.Option(False, help="Start over instead of going on with an interrupted training."),
    loading: options.Loading,
) -> None:
    """Train an aligner on gold links: a small head and refiner over the frozen states of a model.

    Use it with align --method refined:path=FOLDER, or evaluate. FOLDER also gets a card (README.md) and a report
    (report.json): AER by epoch and corpus on held-out pairs, calibration of the probabilities, data, licences.
    """
    languages = (source_language, target_language)
    learn: list[Any] = [_corpus(data, name, languages) for name in testsets or ()]
    if data.files():
        learn.append(data.testset(None, languages))
    elif not learn:
        raise typer.BadParameter("give GOLD, --bitext, or --source with --target")
    plain = inputs.GoldPairs(None, None, None, "auto", None, "auto", "auto")
    choose: list[Any] = [_corpus(plain, name, languages) for name in dev or ()]
    weights = dict(_weight(text) for text in weight or ())
    chosen = () if layers is None else tuple(options.parse_layers(layers, 0))
    if layers is not None and not chosen:
        raise typer.BadParameter("name the layers, such as 6-8", param_hint="--layers")

    from align_eval.cli._progress import progress_bar
    from align_eval.runs.train import train as train_aligner
    from align_eval.training.refiner import TrainingSettings

    with ExitStack() as stack:

        def progress(what: str, total: int):  # type: ignore[no-untyped-def]
            stack.close()
            return stack.enter_context(progress_bar(what, total))

        found = train_aligner(
            learn, output, model, dev=choose, layers=chosen, weights=weights, lone_marks=lone_marks,
            settings=TrainingSettings(epochs, rate=rate, seed=seed, null_weight=null_weight),
            allow_overlap=allow_overlap, states=states, restart=restart, progress=progress, said=options.say,
            **loading.options(),
        )  # fmt: skip
    sys.stdout.write(
        f"AER {found.dev.aer:.2f} on held-out pairs at threshold {found.refiner.threshold:.2f} (epoch {found.best} of "
        f"{len(found.epochs)}), calibration error {found.ece:.3f}\n"
        f"Use it: align-eval align --model {shown(model)} --method refined:path={shown(output)}\n"
    )


def _corpus(data: inputs.GoldPairs, name: str, languages: inputs.Languages) -> str | Corpus:
    """A file of pairs with links; or the name of a set, or a pattern, as it is."""
    return data.testset(name, languages) if os.path.exists(name) else name


def _weight(text: str) -> tuple[str, float]:
    name, equals, number = text.rpartition("=")
    try:
        value = float(number)
    except ValueError:
        value = -1.0
    if not equals or not 0 <= value < float("inf"):
        raise typer.BadParameter(f"{text!r}: write NAME=NUMBER, such as mini-enzh-train=2", param_hint="--weight")
    return name, value
