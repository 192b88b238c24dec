"""``align-eval convert``: links from any format, index base and side order to any other."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Literal

import typer

from align_eval.cli import _input as inputs
from align_eval.shown import shown

if TYPE_CHECKING:
    from align_eval.corpora.link_formats import LinkFormat
    from align_eval.corpora.pair import SentencePair
    from align_eval.corpora.raw_links import LinkReport
    from align_eval.links.table import LinkTable

_FORMATS = "pharaoh, talp, naacl, a3, tsv, pipes, numbered, multimwa, lists, answers, jsonl, parquet"
_NO_SCORES = "scores are not kept by {}"


def convert(
    source_file: str = typer.Argument(..., metavar="IN", help="File of links; '-' is standard input."),
    target_file: str = typer.Argument(..., metavar="OUT", help="File to write; '-' is standard output."),
    from_format: str = typer.Option("auto", "--from", help=f"Format of IN: auto, {_FORMATS}."),
    to_format: str = typer.Option("auto", "--to", help=f"Format of OUT: auto (by its name), {_FORMATS}."),
    base_in: inputs.Base = typer.Option("auto", help="Index base of IN: 0, 1, or auto (proven, never guessed)."),
    base_out: inputs.Base = typer.Option("auto", help="Index base of OUT: 0, 1, or auto (that of the format)."),
    order_in: inputs.Order = typer.Option("st", help="Side order of IN: st, ts, or auto (needs the sentences)."),
    order_out: Literal["st", "ts"] = typer.Option("st", help="Side order of OUT: st or ts."),
    nulls: Literal["drop", "raise"] = typer.Option(
        "drop", help="Null links (a word joined with nothing): drop or raise."
    ),
    out_of_range: Literal["raise", "drop"] = typer.Option(
        "raise", help="Links outside their sentence pair: raise or drop."
    ),
    *,
    text: inputs.Pairs,
) -> None:
    """Convert links between formats, index bases and side orders.

    What was read and left out is told on standard error.
    """
    from align_eval.corpora.inputs import Input
    from align_eval.corpora.link_formats import LINK_FORMATS
    from align_eval.corpora.link_reader import LinkReader
    from align_eval.corpora.linkio import (
        BLOCK,
        NotInBlocksError,
        link_format_of,
        read_links_report,
        sentences_of_links,
        write_link_blocks,
        write_links,
    )
    from align_eval.corpora.sidecar import read_provenance

    name = link_format_of(target_file) if to_format == "auto" else to_format
    written = LINK_FORMATS.get(name)
    pairs: Iterable[SentencePair] | None = text.read()
    with inputs.warnings_printed():
        base = None if base_out == "auto" else int(base_out)
        given = Input(source_file)
        if pairs is None and order_in != "auto" and written.writes_in_blocks:
            reader = LinkReader(given, from_format, base_in, order_in, None, nulls, out_of_range)
            with contextlib.suppress(NotInBlocksError):
                lost = write_link_blocks(
                    target_file, reader.tables(BLOCK), format=name, base=base, order=order_out,
                    provenance=lambda: read_provenance(source_file),
                )  # fmt: skip
                _tell(reader.report, name, [_NO_SCORES.format(name)] if lost else [])
                return
        table, report = read_links_report(
            given, format=from_format, base=base_in, order=order_in, bitext=pairs, nulls=nulls,
            out_of_range=out_of_range,
        )  # fmt: skip
        if pairs is None and written.needs_sentences and os.path.isfile(source_file):
            pairs = sentences_of_links(source_file, format=report.format, order=report.order)
        write_links(target_file, table, format=name, base=base, order=order_out, bitext=pairs)
    _tell(report, name, _lost(table, name, written))


def _lost(table: LinkTable, name: str, written: type[LinkFormat]) -> list[str]:
    """What the written format does not keep."""
    from align_eval.links.table import number_places

    lost = [_NO_SCORES.format(name)] if table.scores is not None and not written.has_scores else []
    by_number = written.names_sentences and name not in ("jsonl", "json", "parquet")
    if table.ids is not None and by_number and number_places(table.ids) is None:
        lost.append(f"the names of the sentence pairs are no numbers and not kept by {name}, which counts them from 1")
    return lost


def _tell(report: LinkReport, name: str, lost: Sequence[str]) -> None:
    """One line about what was read, on which evidence, and what was left out."""
    proof = "" if report.base_from in ("given", "format", "no links") else f" ({report.base_from})"
    parts = [
        f"{report.sentences} sentence pairs, {report.sure} sure and {report.links - report.sure} possible links: "
        f"{report.format}, base {report.base}{proof}, order {report.order} -> {name}"
    ]
    if report.nulls:
        parts.append(f"{report.nulls} null links left out")
    if report.duplicates:
        parts.append(f"{report.duplicates} repeated links")
    if report.out_of_range:
        parts.append(f"{report.out_of_range} links out of range left out (first: {report.first_out_of_range})")
    parts += report.notes
    parts += lost
    typer.echo(shown("; ".join(parts)), err=True)
