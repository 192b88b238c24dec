"""``align-eval score``: links against gold."""

from __future__ import annotations

import os
from itertools import chain
from typing import TYPE_CHECKING, Any, Literal

import typer

from align_eval.cli import _input as inputs
from align_eval.cli import _options as options

if TYPE_CHECKING:
    from align_eval.scoring.link_scores import LinkScores


def score(
    *,
    gold: str = typer.Argument(
        ...,
        metavar="GOLD",
        help="A file of gold links, or the name of a test set (align-eval testsets list). A file goes first.",
    ),
    hypotheses: list[str] = typer.Argument(
        ...,
        metavar="HYP...",
        help="Files of links, one a system; - is standard input. What align-eval wrote beside one when it made it "
        "(FILE.meta.json: model, method, symmetrisation) goes into its signature, unless it has changed since.",
    ),
    pairs: inputs.Pairs,
    gold_base: inputs.Base = inputs.GOLD_BASE,
    hyp_base: inputs.Base = typer.Option(
        "auto", help="What the indices of the system files count from; auto proves it or fails, for each file."
    ),
    hyp_order: inputs.Order = typer.Option(
        "st", help="Side order of the system files: source-target, target-source, or proven from the sentences."
    ),
    gold_format: str = inputs.GOLD_FORMAT,
    hyp_format: str = typer.Option("auto", help="Format of the system files; auto tells it by content."),
    nulls: Literal["drop", "count", "raise"] = typer.Option(
        "drop",
        help="Links of a word with nothing (0 in a 1-based file, -1, a side left out): drop them and say how many, "
        "count them as links on both sides, or fail.",
    ),
    out_of_range: Literal["drop", "raise"] = typer.Option(
        "raise", help="Links outside of their sentence pair: fail, or drop them and say how many."
    ),
    missing_sentences: inputs.Missing = inputs.MISSING_SENTENCES,
    unannotated: Literal["count", "skip"] = typer.Option(
        "count", help="Sentence pairs without any gold link: count them (links there are wrong), or skip them."
    ),
    first: int | None = typer.Option(
        None, min=1, metavar="N", help="Score the first N sentence pairs of the gold alone."
    ),
    output: options.ScoreOutput,
    breakdown: bool = typer.Option(
        False, help="Also score parts: by length, distance, kind of link, null words, word pairs."
    ),
    per_sentence: str | None = typer.Option(
        None, metavar="FILE", help="Write counts and AER of every sentence pair to this file (TSV)."
    ),
    scores: bool = typer.Option(
        False,
        "--scores",
        help="Judge the scores of the links, too (JSONL, Parquet, NAACL): average precision, AUC, calibration, AER by "
        "threshold with one chosen on a dev split.",
    ),
    scores_figure: str | None = typer.Option(
        None, metavar="FILE", help="Draw reliability, precision over recall, and AER by threshold (png, svg, pdf)."
    ),
    development: float = typer.Option(
        0.2, help="With --scores: share of the sentence pairs that a threshold is chosen on; 0: none is."
    ),
    bins: int = typer.Option(10, min=1, max=100, help="With --scores: bins of calibration, and thresholds shown."),
    statistics: options.Statistics,
    paired: options.Paired = typer.Option(
        "randomisation",
        help="Test of later systems against the first. The bootstrap is slow from 100 000 sentence pairs on.",
    ),
) -> None:
    """Score the links of one or more systems against gold: AER, precision, recall, F1, with intervals.

    Scores are those of the corpus, in percent. Several systems are tested against the first one. Files that name
    their sentence pairs are matched by name, others line by line. A measure with nothing to divide by is "-"; AER
    is 0 where nothing is proposed and the gold has no sure link.
    """
    # Starting the threads of numpy's linear algebra takes longer than all of its work here.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    from align_eval.scoring.systems import ReadOptions, score_files
    from align_eval.scoring.tables import breakdown_tables, score_table, write_sentences

    how: dict[str, Any] = {
        "gold_options": ReadOptions(gold_format, gold_base, "st", nulls, out_of_range),
        "hypothesis_options": ReadOptions(hyp_format, hyp_base, hyp_order, nulls, out_of_range),
        "missing_sentences": missing_sentences, "unannotated": unannotated, "first": first,
    }  # fmt: skip
    judged: list[LinkScores] = []
    if scores_figure is not None:
        options.FigureFiles([scores_figure]).check("--scores-figure")
    with inputs.warnings_printed():
        systems = score_files(
            gold, hypotheses, pairs=pairs.read(), **how,
            tests=options.tests_of(paired), with_breakdown=breakdown, **vars(statistics),
        )  # fmt: skip
    if per_sentence is not None:
        write_sentences(per_sentence, systems)
    if scores or scores_figure is not None:
        from align_eval.scoring.scored_files import score_scored_files

        how |= {key: value for key, value in vars(statistics).items() if key != "alpha"}
        how |= {"bins": bins, "development": development or None}
        judged = score_scored_files(gold, hypotheses, pairs=pairs.read(), **how)
    if scores_figure is not None:
        from align_eval.figures.link_scores import scores_figure as draw
        from align_eval.figures.style import save

        save(draw(judged), scores_figure)
    parts = [breakdown_tables(system.name, system.breakdown) for system in systems if system.breakdown is not None]
    signatures = [f"{system.name}: {system.score.signature}" for system in systems]
    tables = [score_table(systems), *chain.from_iterable(parts)]
    if judged:
        from align_eval.scoring.scored_files import link_score_tables

        tables += link_score_tables(judged)
    if output.json_ and judged:
        options.print_json(
            [{**system.to_json(), "scores": one.to_json()} for system, one in zip(systems, judged, strict=True)]
        )
    else:
        output.print(systems, tables, signatures)
