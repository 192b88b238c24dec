"""``align-eval symmetrize``: two directions of alignment into one."""

from __future__ import annotations

from enum import Enum

import typer

from align_eval.cli._input import Base
from align_eval.cli.score import Order


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


def add_to(app: typer.Typer) -> None:
    """Register the command."""

    @app.command()
    def symmetrize(
        forward: str = typer.Argument(..., metavar="FORWARD", help="Links of one direction; - is standard input."),
        reverse: str = typer.Argument(..., metavar="REVERSE", help="Links of the other direction, line for line."),
        method: Method = typer.Option(Method.grow_diag_final_and, help="How the two directions are combined."),
        rule: Rule = typer.Option(
            Rule.both,
            help="When growing, add a link only if both of its words are still free (lilt, Mask-Align), "
            "or if one of them is (Koehn, fast_align's atools). The two give different results.",
        ),
        output: str = typer.Option("-", "-o", "--output", help="Write to this file instead of standard output."),
        base: Base = typer.Option(Base.auto, help="What the indices of the input count from; auto proves it or fails."),
        base_out: OutputBase = typer.Option(OutputBase.zero, help="What the indices of the output count from."),
        forward_order: Order = typer.Option(Order.st, help="Side order of FORWARD: source-target or target-source."),
        reverse_order: Order = typer.Option(
            Order.ts,
            help="Side order of REVERSE: target-source, as aligners run in that direction write it "
            "(files named *.reverse.talp), or source-target (st).",
        ),
        bitext: str | None = typer.Option(None, help="The sentences in one file. They prove base and order."),
        source: str | None = typer.Option(None, help="The source sentences, one a line (with --target)."),
        target: str | None = typer.Option(None, help="The target sentences, one a line (with --source)."),
        format: str = typer.Option("auto", help="Format of both files; auto tells it by content."),
        format_out: str = typer.Option("pharaoh", help="Format of the output."),
    ) -> None:
        """Combine the links of two directions: intersection, union, or one of the grow methods."""
        if (source is None) != (target is None):
            raise typer.BadParameter("--source and --target go together")
        if bitext is not None and source is not None:
            raise typer.BadParameter("--bitext and --source/--target exclude each other")

        from align_eval.corpora.linkio import read_links, write_links
        from align_eval.corpora.readers import read_bitext
        from align_eval.errors import InputError
        from align_eval.symmetrization import symmetrize_table

        if forward == reverse == "-":
            raise InputError("standard input can be read once only", remedy="Name a file for one direction")
        text = bitext if bitext is not None else source
        pairs = None if text is None else read_bitext(text, target)
        one, other = (
            read_links(path, format=format, base=base.value, order=order.value, bitext=pairs)
            for path, order in ((forward, forward_order), (reverse, reverse_order))
        )
        combined = symmetrize_table(one, other, method.value, rule.value)
        write_links(output, combined, format=format_out, base=int(base_out.value), bitext=pairs)
