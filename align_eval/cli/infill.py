"""``align-eval infill``: mask words of the target and see where the attention goes."""

from __future__ import annotations

import sys
from contextlib import closing
from dataclasses import replace
from functools import partial
from typing import Any, Literal

import typer

from align_eval.cli import _input as inputs
from align_eval.cli import _options as options
from align_eval.shown import shown

DEFAULT_MODEL = "offline:tiny-deen-mask"
DEFAULT_STRATEGY = "span:ratio=0.5"


def infill(
    testset: str | None = inputs.TESTSET,
    *,
    data: inputs.GoldPairsOrOne,
    pair: int | None = typer.Option(
        None, min=1, metavar="N", help="Take the N-th pair of the test set or bitext, counted from 1, alone."
    ),
    mask: str | None = typer.Option(
        None,
        metavar="WORDS",
        help="Which target words of one pair are masked: numbers from 1 (5-8 or 1,3,5-8), the words themselves "
        "(laws,of: everywhere they occur), or a strategy that gives one set (suffix:5, span:ratio=0.5, content).",
    ),
    strategy: list[str] = typer.Option(
        [],
        metavar="SPEC",
        help="Which target words of a corpus are masked; may be given several times. positions:5-8, each, "
        "span:ratio=0.5, suffix:5, nth:n=3,offset=0, random:ratio=0.3,draws=2, content, function, aligned, "
        f"unaligned. ratio or count, draws for span and random, each=yes for one word at a time. "
        f"Default: {DEFAULT_STRATEGY}.",
    ),
    silver: bool = typer.Option(False, help="The links of --gold were made by a model: call them silver."),
    reverse: bool = typer.Option(False, help="Swap the sides: mask words of what is the source of the test set."),
    limit: int | None = options.LIMIT,
    model: str = typer.Option(
        DEFAULT_MODEL, "--model", "-m", help="A model that fills masked words: offline:NAME, a hub name, a folder."
    ),
    layer: str | None = typer.Option(None, help="Layer, from 1, or mean. Default: by a rule that is reported."),
    head: str | None = typer.Option(None, help="Head, from 1, or mean (the default if a layer is given)."),
    words: bool = typer.Option(False, "--words/--subwords", help="Of one pair: rows and columns of the figure."),
    difference: bool = typer.Option(False, "--difference", help="Of one pair: a third map, masked less unmasked."),
    side_by_side: bool = typer.Option(False, "--side-by-side", help="Of one pair: maps beside each other."),
    languages: inputs.CorpusLanguages,
    development: float = typer.Option(
        0.2, help="Ratio of pairs in the dev split, which layer and head are chosen on; the others are reported."
    ),
    choose_by: Literal["masked", "full", "model"] = typer.Option(
        "masked", help="Rows whose accuracy on gold chooses them: masked (half of the words masked) or full. "
        "model: nothing is chosen; the head guided in training, or the model's default, and all pairs count."
    ),
    resamples: int = typer.Option(2000, min=0, help="Resamples of intervals and tests, over sentences; 0: none."),
    seed: int = typer.Option(12345, min=0, help="Seed of the split, of the strategies, and of the resamples."),
    json_: bool = typer.Option(
        False, "--json", help="Print JSON: of a corpus a list, one object a strategy; of one pair the summary."
    ),
    output: str | None = typer.Option(
        None, "--output", "-o", metavar="FOLDER",
        help="Write here: of one pair the figure (PNG, SVG, PDF) and its summary (JSON, Markdown); of a corpus "
        "infill.json, README.md, the summary, and curves where a strategy is given with three ratios or more.",
    ),
    loading: options.Loading,
    batch_tokens: int | None = options.BATCH_TOKENS,
    on_long: options.OnLongPair = options.ON_LONG_PAIR,
    spread: options.Spread,
) -> None:  # fmt: skip
    """Mask words of the target and compare: where each row attends, and what the model predicts.

    One pair (--source with --target, or --pair) with --mask: two heatmaps on one scale and their summary. A test
    set or a bitext with --strategy: accuracy and mass on gold, entropy and divergence of masked and visible rows,
    against three baselines, with intervals and tests over sentences.
    """
    given = data.testset(testset, languages.both, sentences=True)
    one = pair is not None or not given.files
    if one and strategy:
        raise typer.BadParameter("--strategy is for a corpus; say which words of one pair are masked with --mask")
    if one and mask is None:
        raise typer.BadParameter("say which words are masked with --mask, such as --mask 5-8")
    if mask is not None and not one:
        raise typer.BadParameter("--mask is for one pair (--source with --target, or --pair); use --strategy")
    if head is not None and layer is None:
        raise typer.BadParameter("--head needs --layer")
    if one and spread.engine != "local":
        raise typer.BadParameter("--engine ray is for a corpus: one pair is done in this process")
    runner, loading.device = spread.make(loading.device)

    from align_eval.cli._progress import progress_bar
    from align_eval.models import load_model
    from align_eval.report.infilling_corpus import LEGEND, infill_table
    from align_eval.runs.infill import check_words, findings, infill_testset, write_infilling
    from align_eval.runs.infill_pair import run_pair
    from align_eval.runs.results import write_figure
    from align_eval.tables import render_text

    corpus = given.reverse() if reverse else given
    if limit is not None:
        corpus = corpus.part(range(min(limit, len(corpus))))
    if silver:
        corpus = replace(corpus, silver=True)
    check_words(corpus)
    named = testset is not None and not inputs.is_file(testset)  # own data hands its languages to the model itself
    chosen = None
    if layer is not None:
        chosen = options.parse_number("--layer", layer), options.parse_number("--head", head or "mean")
    settings: dict[str, Any] = {
        "head": chosen, "development": development, "choose_by": choose_by, "seed": seed,
        "token_budget": batch_tokens,
    }  # fmt: skip
    load = partial(load_model, model, **loading.options(**(vars(languages) if named else {})))
    if one:
        found = run_pair(corpus, (pair or 1) - 1, mask or "", load(), **settings)
        summary = found.summary()
        if output is not None:
            arrangement = "side by side" if side_by_side else "stacked"
            figure = found.figure(words=words, difference=difference, arrangement=arrangement)
            write_figure(figure, output, "infill")
            summary.write(output, "infill")
            options.say(f"figure and summary in {shown(output)}")
        options.print_summary(summary, json_)
        return
    with closing(runner), progress_bar(corpus.base_name, len(corpus)) as progress:
        masked = infill_testset(
            corpus, load, strategy or [DEFAULT_STRATEGY], progress=progress, engine=runner, resamples=resamples,
            on_long=on_long, **settings,
        )  # fmt: skip
    options.say_count(masked.left_out, "pair", "empty on a side or longer than the model's window: left out")
    if output is not None:
        options.say(f"written to {shown(output)}: {', '.join(write_infilling(masked, output))}")
    rows = masked.to_json()
    if json_:
        options.print_json(rows)
        return
    table = render_text([infill_table(rows)]).rstrip("\n")
    lines = [table, "", LEGEND, "", *(f"- {shown(text)}" for text in findings(rows))]
    sys.stdout.write("\n".join(lines) + "\n")
