"""``align-eval symmetrize``: two directions of alignment into one."""

from __future__ import annotations

from typing import Literal

import typer

from align_eval.cli import _input as inputs
from align_eval.cli import _options as options
from align_eval.shown import shown

Method = Literal["intersection", "grow", "grow-diag", "grow-diag-final-and", "grow-diag-final", "union"]


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
    base: inputs.Base = typer.Option("auto", help="What the indices of the input count from; auto proves it or fails."),
    base_out: inputs.Base = typer.Option(
        "auto", help="What the indices of the output count from; auto: that of the format."
    ),
    forward_order: inputs.Order = typer.Option("st", help="Side order of FORWARD: source-target or target-source."),
    reverse_order: inputs.Order = typer.Option(
        "auto",
        help="Side order of REVERSE: st (source-target: fast_align -r, eflomal -r, align --method reverse), ts "
        "(target-source: an aligner that was given the sides swapped, *.reverse.talp), or auto: the order that the "
        "sentences allow, else the one in which both directions agree; it is told, and asked for if unclear.",
    ),
    *,
    text: inputs.Pairs,
    format: str = typer.Option("auto", help="Format of both files; auto tells it by content."),
    missing_sentences: inputs.Missing = inputs.MISSING_SENTENCES,
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

    with inputs.warnings_printed():
        pairs = text.read()
        number = None if base_out == "auto" else int(base_out)
        name = link_format_of(output) if format_out == "auto" else format_out
        taken, reason = symmetrize_into(
            output, forward, reverse, method, rule, format=format, base=base, forward_order=forward_order,
            reverse_order=reverse_order, bitext=pairs, missing_sentences=missing_sentences, format_out=name,
            base_out=number,
        )  # fmt: skip
    if reverse_order == "auto":
        order = ORDER_NAMES[taken]
        options.say(shown(f"{reverse}: taken as {order}: {reason}"))
