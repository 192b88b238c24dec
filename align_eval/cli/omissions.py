"""``align-eval omissions``: words without a link against labelled omissions and hallucinations."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from align_eval.cli import _input as inputs
from align_eval.cli import _options as options

if TYPE_CHECKING:
    from align_eval.tables import TextTable
    from align_eval.translation.detection import Detection


def omissions(
    labelled: str = typer.Argument(
        ..., metavar="FILE", help="Translations with marked omissions and hallucinations (TSV in the form of HalOmi)."
    ),
    *,
    aligner: str = typer.Option(
        "offline:e5-small", help="An encoder, or eflomal, fast_align, hmm (with options, as eflomal:train=FILE)."
    ),
    aligner_method: str | None = typer.Option(None, help="Its method. Default: as align-eval align."),
    tokenize: str | None = typer.Option(
        None, help="A tokeniser (13a, zh, whitespace, ...), or two as SOURCE,TRANSLATION. Default: by language."
    ),
    count_punctuation: bool = typer.Option(False, help="Count punctuation as words."),
    perturbed: bool = typer.Option(False, help="Take perturbed translations too."),
    resamples: int = typer.Option(1000, min=0, help="Resamples of the intervals; 0: none."),
    seed: int = typer.Option(12345, min=0, help="Seed of the resamples."),
    json_: bool = options.JSON,
    loading: options.Loading,
    batch_tokens: int | None = options.BATCH_TOKENS,
) -> None:
    """Say how well words without a link tell what translations omit and make up: precision, recall, AUC.

    Source words are scored against marked omissions, words of the translation against marked hallucinations; sentences
    by their share of words without a link. All directions together, and each one where there are several.
    """
    from align_eval.cli._progress import progress_bar
    from align_eval.runs.evaluate import align_pairs
    from align_eval.tables import render_text
    from align_eval.translation.coverage import diagnostic_aligner
    from align_eval.translation.detection import detect
    from align_eval.translation.labelled import read_labelled

    given = inputs.tokenizers_of(tokenize)
    words = given if isinstance(given, tuple) else (given, given)
    found = read_labelled(labelled, words, perturbed=perturbed)
    options.say_count(found.perturbed, "perturbed translation", "left out (--perturbed takes them)")
    options.say_count(found.unmatched, "translation", "left out: its marked text is another than the text")
    maker = diagnostic_aligner(aligner, aligner_method, token_budget=batch_tokens, **loading.options())
    pairs = [one.pair for one in found.pairs]
    with progress_bar("aligning", len(pairs)) as progress:
        links = list(align_pairs(pairs, maker, progress)[maker.systems[0]])
    directions = sorted({one.direction for one in found.pairs})
    rows: list[Detection] = []
    for name in ["all", *directions] if len(directions) > 1 else directions:
        these = [k for k, one in enumerate(found.pairs) if name in ("all", one.direction)]
        rows += detect(
            [found.pairs[k] for k in these], [links[k] for k in these], direction=name, punctuation=count_punctuation,
            resamples=resamples, seed=seed,
        )  # fmt: skip
    if json_:
        options.print_json([row.to_json() for row in rows])
    else:
        typer.echo(render_text([_table(rows)]), nl=False)


def _table(rows: list[Detection]) -> TextTable:
    from align_eval.tables import TextTable, percent

    def area(value: float | None, ends: tuple[float, float] | None) -> str:
        return "-" if value is None else f"{value:.3f}" + (f" ({ends[0]:.3f} - {ends[1]:.3f})" if ends else "")

    table = TextTable(
        "words without a link against labels",
        ["direction", "kind", "pairs", "faulty", "words", "marked", "unlinked", "precision", "recall", "AUC, words",
         "AUC, sentences"], left=2,
    )  # fmt: skip
    table.rows = [
        [
            row.direction, row.kind, *map(str, (row.pairs, row.faulty, row.words, row.marked, row.unlinked)),
            percent(row.precision), percent(row.recall), area(row.auc, row.ci.get("auc")),
            area(row.sentence_auc, row.ci.get("sentence_auc")),
        ]
        for row in rows
    ]  # fmt: skip
    return table
