"""``align-eval agree``: how far annotators agree, and one annotation made of theirs."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING

import typer

from align_eval.cli import _input as inputs
from align_eval.cli import _options as options
from align_eval.shown import shown

if TYPE_CHECKING:
    from align_eval.corpora import SentencePair
    from align_eval.scoring.agreement import Agreement
    from align_eval.tables import TextTable


def agree(
    annotations: list[str] = typer.Argument(..., metavar="A B [C...]", help="Files of links, one an annotator."),
    *,
    text: inputs.Pairs,
    base: inputs.Base = typer.Option("auto", help="What the indices count from; auto proves it or fails, per file."),
    format: str = typer.Option("auto", help="Format of the files; auto tells it by content."),
    merge: str | None = typer.Option(
        None, metavar="FILE", help="Write one annotation: sure where all say sure, possible where at least one links."
    ),
    differences: str | None = typer.Option(
        None, metavar="FILE", help="Write the cells that are labelled differently (TSV), with their words."
    ),
    json_: bool = options.JSON,
    resamples: int = typer.Option(1000, min=0, help="Resamples of the intervals; 0: none."),
    seed: int = typer.Option(12345, min=0, help="Seed of the resamples."),
) -> None:
    """Say how far annotators of the same sentence pairs agree: F1, kappa, alpha, with 95 % intervals.

    Kappa and alpha over all cells need the sentences (--bitext, or files that hold them); the columns "linked" are
    over the cells that at least one annotator links, and need none.
    """
    from align_eval.corpora import read_links, write_links
    from align_eval.corpora.matching import Matching, match_tables
    from align_eval.scoring.agreement import agree as compare
    from align_eval.scoring.agreement import disagreements, merged
    from align_eval.tables import render_text

    if len(annotations) < 2:
        raise typer.BadParameter("give two files or more")
    with inputs.warnings_printed():
        corpus = text.read()
        pairs = list(corpus) if corpus is not None else _sentences(annotations, format)
        read = [read_links(name, format=format, base=_base(base), bitext=pairs) for name in annotations]
        tables = match_tables(read, Matching(annotations, in_order=pairs is not None))
    found = compare(
        tables, annotations, None if pairs is None else [(len(p.source), len(p.target)) for p in pairs],
        resamples=resamples, seed=seed,
    )  # fmt: skip
    if merge is not None:
        write_links(merge, merged(tables), base=0)
    if differences is not None:
        from align_eval.files import atomic_writer

        with atomic_writer(differences) as stream:
            stream.write("\t".join(["pair", "source", "target", "source_word", "target_word", *annotations]) + "\n")
            for k, i, j, labels in disagreements(tables):
                words = ("", "") if pairs is None else (pairs[k].source[i], pairs[k].target[j])
                name = tables[0].ids[k] if tables[0].ids is not None else str(k + 1)
                stream.write("\t".join([name, str(i), str(j), *map(shown, words), *labels]) + "\n")
    if json_:
        options.print_json(found.to_json())
    else:
        typer.echo(render_text(_tables(found)), nl=False)


def _base(base: str) -> int | str:
    return base if base == "auto" else int(base)


def _sentences(files: list[str], format: str) -> list[SentencePair] | None:
    """The sentence pairs that the files themselves hold, if any; an error if two of them hold others."""
    from align_eval.corpora import read_bitext
    from align_eval.corpora.linkio import link_format_of, sentences_of_links
    from align_eval.errors import InputError
    from align_eval.files import read_lines

    held: list[tuple[str, list[SentencePair]]] = []
    for name in files:
        kind = link_format_of(name) if format == "auto" else format
        if kind == "jsonl" and not any('"source"' in line for _, line in islice(read_lines(name), 1)):
            continue  # links alone
        with_text = kind in ("jsonl", "parquet")
        pairs = list(read_bitext(name, format=kind)) if with_text else sentences_of_links(name, format=format)
        if pairs is not None:
            held.append((name, pairs))
    for name, pairs in held[1:]:
        for k, (one, other) in enumerate(zip(held[0][1], pairs, strict=False), 1):
            if (one.source, one.target) != (other.source, other.target):
                raise InputError(
                    f"its sentence pair {k} has other words than in {held[0][0]}", file=name,
                    remedy="Give annotations of the same sentences, tokenised alike, in the same order",
                )  # fmt: skip
    return held[0][1] if held else None


def _tables(found: Agreement) -> list[TextTable]:
    from align_eval.tables import TextTable

    def shown_with(value: float | None, ends: tuple[float, float] | None) -> str:
        if value is None:
            return "-"
        return f"{value:.4f}" + (f" ({ends[0]:.4f} - {ends[1]:.4f})" if ends else "")

    title = f"{found.sentences} sentence pairs, {found.cells if found.cells is not None else 'unknown number of'} cells"
    names = ("f1", "f1_sure", "kappa", "kappa_links", "kappa_linked")
    columns = ["annotators", "F1", "F1, sure", "kappa, 3 labels", "kappa, linked or not", "kappa, linked cells"]
    first = TextTable(title, columns, [
        [f"{p.first}, {p.second}", *(shown_with(getattr(p, name), p.ci.get(name)) for name in names)]
        for p in found.pairs
    ])  # fmt: skip
    second = TextTable("all annotators", ["measure", "all cells", "linked cells"], [
        [label, *(shown_with(getattr(found, n), found.ci.get(n)) for n in (name, f"{name}_linked"))]
        for label, name in (("Fleiss' kappa", "fleiss"), ("Krippendorff's alpha", "alpha"))
    ])  # fmt: skip
    third = [
        TextTable(f"{p.first} (rows) and {p.second}", ["label", "none", "possible", "sure"], [
            [label, *map(str, row)] for label, row in zip(("none", "possible", "sure"), p.confusion, strict=True)
        ])
        for p in found.pairs
    ]  # fmt: skip
    return [first, second, *third]
