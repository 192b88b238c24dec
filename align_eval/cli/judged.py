"""``align-eval judged``: links against links that people judged right or wrong."""

from __future__ import annotations

from pathlib import Path

import typer

from align_eval.cli import _input as inputs
from align_eval.cli import _options as options


def judged(
    hypotheses: list[str] = typer.Argument(..., metavar="HYP...", help="Files of links, one a system."),
    *,
    judgements: list[str] = typer.Option(
        ...,
        "--judgements",
        "-j",
        metavar="FILE",
        help="Judged links of one annotator: '3 4:4:sure 17:19:wrong' a line; several times for several annotators.",
    ),
    text: inputs.Pairs,
    hyp_base: inputs.Base = typer.Option("auto", help="What the indices of the links count from; auto proves it."),
    hyp_format: str = typer.Option("auto", help="Format of the links; auto tells it by content."),
    json_: bool = options.JSON,
    resamples: int = typer.Option(1000, min=0, help="Resamples of the intervals; 0: none."),
    seed: int = typer.Option(12345, min=0, help="Seed of the resamples."),
) -> None:
    """Say whether a system ranks wrong links last: AUC against judged links (TransRead), with 95 % intervals.

    Labels are sure, contextual, partial, possible (all right) and wrong. Links that a system does not propose are
    ranked last. Of several annotators the majority is scored too.
    """
    from align_eval.corpora import read_links
    from align_eval.corpora.matching import Matching, match_tables
    from align_eval.links import Links
    from align_eval.links.table import LinkTable
    from align_eval.scoring.judged import JUDGEMENTS, MAJORITY, majority, read_judged, score_judged
    from align_eval.tables import TextTable, render_text

    with inputs.warnings_printed():
        corpus = text.read()
        if corpus is None:
            raise typer.BadParameter("give the text that was judged: --bitext, or --source and --target")
        pairs = list(corpus)
        people = [read_judged(name, pairs) for name in judgements]
        base = hyp_base if hyp_base == "auto" else int(hyp_base)
        read = [read_links(name, format=hyp_format, base=base, bitext=pairs) for name in hypotheses]
        own = LinkTable.from_links([Links() for _ in pairs], ids=[pair.id for pair in pairs])
        tables = [
            match_tables([own, table], Matching(["the text", name]))[1]
            for name, table in zip(hypotheses, read, strict=True)
        ]
    for person in people:
        options.say_count(
            person.unaligned, "word", "said to be unaligned, which judges no link", Path(person.name).name
        )
    if len(people) > 1:
        both, left = majority(people)
        people.append(both)
        options.say_count(left, "link", "without a judgement of all or without a majority, left out of the majority")
    found = [
        score_judged(one, table, len(pairs), name, resamples=resamples, seed=seed)
        for name, table in zip(hypotheses, tables, strict=True)
        for one in people
    ]
    if json_:
        options.print_json([one.to_json() for one in found])
        return
    number = "{:.4f}".format
    first = TextTable(
        f"judged links of {len(pairs)} sentence pairs",
        ["system", "judgements", "judged", "wrong", "proposed", "AUC", "95 %", "AUC of proposed"], left=2,
    )  # fmt: skip
    second = TextTable("by label", ["system", "judgements", "label", "judged", "proposed, %", "mean score"], left=3)
    for one in found:
        names = [Path(one.system).name, Path(one.annotator).name]
        ends = "-" if one.ci is None else f"{one.ci[0]:.3f} - {one.ci[1]:.3f}"
        areas = ["-" if value is None else number(value) for value in (one.auc, one.auc_proposed)]
        first.rows.append([*names, *map(str, (one.judged, one.wrong, one.proposed)), areas[0], ends, areas[1]])
        for label in JUDGEMENTS:
            if label in one.labels and one.annotator != MAJORITY:
                count, proposed, mean = one.labels[label]
                share = f"{100 * proposed / count:.1f}"
                second.rows.append([*names, label, str(count), share, "-" if mean is None else number(mean)])
    typer.echo(render_text([first, second]), nl=False)
