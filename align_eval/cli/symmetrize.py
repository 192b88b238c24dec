"""``align-eval symmetrize``: two directions of alignment into one."""

from __future__ import annotations

from typing import Literal

import typer

from align_eval.cli._input import (
    BITEXT,
    BITEXT_FORMAT,
    MISSING_SENTENCES,
    SOURCE,
    TARGET,
    Base,
    Missing,
    Order,
    read_pairs,
    warnings_printed,
)
from align_eval.shown import shown

Method = Literal["intersection", "grow", "grow-diag", "grow-diag-final-and", "grow-diag-final", "union"]
"""Methods, from fewest links to most."""


def add_to(app: typer.Typer) -> None:
    """Register the command."""

    @app.command()
    def symmetrize(
        forward: str = typer.Argument(..., metavar="FORWARD", help="Links of one direction; - is standard input."),
        reverse: str = typer.Argument(..., metavar="REVERSE", help="Links of the other direction, of the same text."),
        method: Method = typer.Option("grow-diag-final-and", help="How the two directions are combined."),
        rule: Literal["both", "either"] = typer.Option(
            "both",
            help="When growing, add a link only if both of its words are still free (lilt, Mask-Align), "
            "or if one of them is (Koehn, fast_align's atools). The two give different results.",
        ),
        output: str = typer.Option("-", "-o", "--output", help="Write to this file instead of standard output."),
        base: Base = typer.Option("auto", help="What the indices of the input count from; auto proves it or fails."),
        base_out: Base = typer.Option(
            "auto", help="What the indices of the output count from; auto: that of the format."
        ),
        forward_order: Order = typer.Option("st", help="Side order of FORWARD: source-target or target-source."),
        reverse_order: Order = typer.Option(
            "auto",
            help="Side order of REVERSE: st (source-target: fast_align -r, eflomal -r, align --method reverse), ts "
            "(target-source: an aligner that was given the sides swapped, *.reverse.talp), or auto: the order that the "
            "sentences allow, else the one in which both directions agree; it is told, and asked for if unclear.",
        ),
        bitext: str | None = BITEXT,
        source: str | None = SOURCE,
        target: str | None = TARGET,
        bitext_format: str = BITEXT_FORMAT,
        format: str = typer.Option("auto", help="Format of both files; auto tells it by content."),
        missing_sentences: Missing = MISSING_SENTENCES,
        format_out: str = typer.Option(
            "auto", help="Format of the output; auto goes by its name: .naacl, .jsonl, ..., else pharaoh."
        ),
    ) -> None:
        """Combine the links of two directions: intersection, union, or one of the grow methods.

        The output is source-target. Files that name their sentence pairs are matched by name, others line by line.
        """
        from align_eval.corpora.linkio import link_format_of
        from align_eval.links.symmetrization import ORDER_NAMES
        from align_eval.runs.symmetrize_file import symmetrize_into

        with warnings_printed():
            pairs = read_pairs(bitext, source, target, bitext_format)
            number = None if base_out == "auto" else int(base_out)
            name = link_format_of(output) if format_out == "auto" else format_out
            taken, reason = symmetrize_into(
                output,
                forward,
                reverse,
                method,
                rule,
                format=format,
                base=base,
                forward_order=forward_order,
                reverse_order=reverse_order,
                bitext=pairs,
                missing_sentences=missing_sentences,
                format_out=name,
                base_out=number,
            )
        if reverse_order == "auto":
            order = ORDER_NAMES[taken]
            typer.echo(shown(f"align-eval: {reverse}: taken as {order}: {reason}"), err=True)
