"""``align-eval symmetrize``: two directions of alignment into one."""

from __future__ import annotations

from enum import Enum

import typer

from align_eval.cli._input import (
    BITEXT,
    BITEXT_FORMAT,
    MISSING_SENTENCES,
    SOURCE,
    TARGET,
    Base,
    Missing,
    read_pairs,
    warnings_printed,
)
from align_eval.cli.score import Order
from align_eval.shown import shown


class Method(str, Enum):
    """Methods, from fewest links to most."""

    intersection = "intersection"
    grow = "grow"
    grow_diag = "grow-diag"
    grow_diag_final_and = "grow-diag-final-and"
    grow_diag_final = "grow-diag-final"
    union = "union"


class Rule(str, Enum):
    """When a link may be added."""

    both = "both"
    either = "either"


class OutputBase(str, Enum):
    """What indices of the output count from."""

    zero = "0"
    one = "1"
    auto = "auto"


def add_to(app: typer.Typer) -> None:
    """Register the command."""

    @app.command()
    def symmetrize(
        forward: str = typer.Argument(..., metavar="FORWARD", help="Links of one direction; - is standard input."),
        reverse: str = typer.Argument(..., metavar="REVERSE", help="Links of the other direction, of the same text."),
        method: Method = typer.Option(Method.grow_diag_final_and, help="How the two directions are combined."),
        rule: Rule = typer.Option(
            Rule.both,
            help="When growing, add a link only if both of its words are still free (lilt, Mask-Align), "
            "or if one of them is (Koehn, fast_align's atools). The two give different results.",
        ),
        output: str = typer.Option("-", "-o", "--output", help="Write to this file instead of standard output."),
        base: Base = typer.Option(Base.auto, help="What the indices of the input count from; auto proves it or fails."),
        base_out: OutputBase = typer.Option(
            OutputBase.auto, help="What the indices of the output count from; auto: that of the format."
        ),
        forward_order: Order = typer.Option(Order.st, help="Side order of FORWARD: source-target or target-source."),
        reverse_order: Order = typer.Option(
            Order.auto,
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
        from align_eval.runs.symmetrize_file import symmetrize_into
        from align_eval.side_order import ORDER_NAMES

        with warnings_printed():
            pairs = read_pairs(bitext, source, target, bitext_format)
            number = None if base_out is OutputBase.auto else int(base_out.value)
            name = link_format_of(output) if format_out == "auto" else format_out
            taken, reason = symmetrize_into(
                output,
                forward,
                reverse,
                method.value,
                rule.value,
                format=format,
                base=base.value,
                forward_order=forward_order.value,
                reverse_order=reverse_order.value,
                bitext=pairs,
                missing_sentences=missing_sentences.value,
                format_out=name,
                base_out=number,
            )
        if reverse_order is Order.auto:
            order = ORDER_NAMES[taken]
            typer.echo(shown(f"align-eval: {reverse}: taken as {order}: {reason}"), err=True)
