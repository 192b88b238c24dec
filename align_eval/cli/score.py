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
    from align_eval.tables import TextTable


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
        help="Judge the scores of the links, too (JSONL, Parquet, NAACL): average precision, AER by threshold with one "
        "chosen on a fifth of the sentences, calibration.",
    ),
    scores_figure: str | None = typer.Option(
        None, metavar="FILE", help="Draw precision over recall and the reliability diagram (png, svg, pdf)."
    ),
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

    with inputs.warnings_printed():
        systems = score_files(
            gold, hypotheses, pairs=pairs.read(),
            gold_options=ReadOptions(gold_format, gold_base, "st", nulls, out_of_range),
            hypothesis_options=ReadOptions(hyp_format, hyp_base, hyp_order, nulls, out_of_range),
            missing_sentences=missing_sentences, unannotated=unannotated, first=first,
            tests=options.tests_of(paired), with_breakdown=breakdown, **vars(statistics),
        )  # fmt: skip
    if per_sentence is not None:
        write_sentences(per_sentence, systems)
    judged: dict[str, LinkScores] = {}
    if scores or scores_figure:
        found = _judged(gold, hypotheses, pairs, gold_base, hyp_base, statistics)
        judged = {system.name: one for system, one in zip(systems, found, strict=True)}
    if scores_figure is not None:
        from align_eval.figures.link_scores import scores_figure as draw
        from align_eval.figures.style import save

        save(draw(judged), scores_figure)
    parts = [breakdown_tables(system.name, system.breakdown) for system in systems if system.breakdown is not None]
    signatures = [f"{system.name}: {system.score.signature}" for system in systems]
    tables = [
        score_table(systems),
        *chain.from_iterable(parts),
        *chain.from_iterable(map(_scores_tables, judged.items())),
    ]
    if output.json_ and judged:
        rows = [{**system.to_json(), "scores": judged[system.name].to_json()} for system in systems]
        options.print_json(rows)
    else:
        output.print(systems, tables, signatures)


def _judged(
    gold: str, hypotheses: list[str], text: inputs.Pairs, gold_base: str, hyp_base: str, statistics: options.Statistics
) -> list[LinkScores]:
    """What the scores of each file are worth."""
    from align_eval.corpora import read_links
    from align_eval.runs.api import score_links

    def read(name: str, base: str) -> Any:
        if not os.path.isfile(name):
            return name  # a test set
        return read_links(name, base=base if base == "auto" else int(base), bitext=text.read())

    known = {"resamples": statistics.resamples, "seed": statistics.seed, "confidence": statistics.confidence}
    return [score_links(read(gold, gold_base), read(name, hyp_base), **known) for name in hypotheses]


def _scores_tables(item: tuple[str, LinkScores]) -> list[TextTable]:
    from align_eval.tables import TextTable, percent

    name, found = item
    title = (
        f"{name}: scores of links, average precision {found.average_precision:.4f}, calibration error "
        f"{'-' if found.ece is None else f'{found.ece:.4f}'}; threshold chosen on {found.dev} sentence pairs, "
        f"scored on {found.rest}"
    )
    first = TextTable(title, ["links", "threshold", "AER", "precision", "recall", "number"])
    for label, one in (("all", found.before), ("from the threshold on", found.after)):
        cut = "-" if one is found.before else f"{found.threshold:.4f}"
        first.rows.append([label, cut, *map(percent, (one.aer, one.precision, one.recall)), str(one.links)])
    second = TextTable(f"{name}: reliability", ["score", "links", "mean", "right"])
    for row in found.reliability:
        ends = f"{row['from']:.1f} - {row['to']:.1f}"
        second.rows.append([ends, str(row["count"]), f"{row['score']:.4f}", f"{row['right']:.4f}"])
    return [first, second] if second.rows else [first]
