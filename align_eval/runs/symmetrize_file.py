"""Two files of links, one a direction, combined: sentence pairs by name, the side order of the reverse file proven."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import zip_longest
from typing import Any

from align_eval.corpora.inputs import Input
from align_eval.corpora.link_reader import LinkReader
from align_eval.corpora.linkio import BLOCK, NotInBlocksError, read_links_report, write_link_blocks, write_links
from align_eval.corpora.matching import Matching, check_missing, match_tables, same_pairs
from align_eval.corpora.pair import SentencePair
from align_eval.corpora.raw_links import LinkReport
from align_eval.corpora.sidecar import read_provenance
from align_eval.errors import AlignEvalWarning, IndexBaseError, InputError, LinkRangeError
from align_eval.files import StrPath
from align_eval.links.symmetrization import ORDER_NAMES, Agreement, agreement, check_names, symmetrize_table
from align_eval.links.table import LinkTable
from align_eval.scoring.checks import reading_notes

REMEDY = (
    "Pass --reverse-order st (the file is source-target, as fast_align -r and eflomal -r write it) or ts "
    "(target-source, as an aligner writes it that was given the sides swapped), or give the sentences"
)


def symmetrize_into(
    output: StrPath, forward: StrPath, reverse: StrPath, method: str, rule: str, *, format_out: str,
    base_out: int | None = None, format: str = "auto", base: int | str = "auto", forward_order: str = "st",
    reverse_order: str = "auto", bitext: Iterable[SentencePair] | None = None, missing_sentences: str = "raise",
) -> tuple[str, str]:  # fmt: skip
    """Combine the links of two directions of alignment into a file, in blocks where nothing needs the files whole.

    That is without sentences, where both files have the same sentence pairs in the same order, without names or named
    1, 2, ... For formats, bases and orders see :mod:`align_eval.corpora.linkio`, for ``missing_sentences``
    :class:`align_eval.corpora.matching.Matching`. An order ``auto`` is the one that the sentences (``bitext``) allow,
    or (of ``reverse``) else the one in which both directions agree. One file may be ``-``, standard input.

    Returns:
        the side order that the reverse file was read in, ``st`` or ``ts``, and why that one.

    Raises:
        IndexBaseError: the order, or a base, is unclear.
        LengthMismatchError: the files have other sentence pairs.
    """
    check_names(method, rule)
    check_missing(missing_sentences)
    if os.fspath(forward) == os.fspath(reverse) == "-":
        raise InputError("standard input can be read once only", remedy="Name a file for one direction")
    inputs = Input(forward), Input(reverse)  # a stream is kept in a temporary file
    orders = forward_order, reverse_order
    out: dict[str, Any] = {"format": format_out, "base": base_out}
    if bitext is None and forward_order != "auto":
        try:
            return _symmetrize_blocks(output, inputs, orders, (method, rule), (format, base), out)
        except NotInBlocksError:
            pass
    pairs = None if bitext is None else list(bitext)

    def read(path: StrPath, order: str) -> tuple[LinkTable, LinkReport]:
        return read_links_report(path, format=format, base=base, order=order, bitext=pairs)

    one, report = read(inputs[0], forward_order)
    readings, reason = _readings(read, inputs[1], reverse_order, pairs is not None)
    order, other, other_report = readings[0]
    reports = [report, other_report]
    skips = [found.format not in ("jsonl", "parquet") for found in reports]
    files, matched = [os.fspath(file) for file in inputs], []
    for _, table, _ in readings:
        how = Matching(files, missing_sentences, pairs is not None, skips)
        matched.append(match_tables([one, table], how))
    notes = how.notes
    found = agreement(*matched[0])
    if len(readings) == 2:
        if found.swap is None:
            raise IndexBaseError(
                f"the side order is unclear: of its {found.links} links off the diagonal, {found.same} are in "
                f"{files[0]} if it is read as source-target and {found.swapped} if as target-source",
                file=files[1],
                remedy=REMEDY,
            )
        order, reason = readings[found.swap][0], _agreed(found, found.swap)
    elif found.swap:
        notes.append(_probably(files[1], order, found))
    _warn(notes, reports)
    forward_table, reverse_table = matched[bool(found.swap) if len(readings) == 2 else 0]
    table = symmetrize_table(forward_table, reverse_table, method, rule)
    table.provenance = combined_provenance(one.provenance, other.provenance, method, rule)
    write_links(output, table, bitext=pairs, **out)
    return order, reason


def _symmetrize_blocks(
    output: StrPath, inputs: tuple[Input, Input], orders: tuple[str, str], how: tuple[str, str],
    form: tuple[str, int | str], out: dict[str, Any],
) -> tuple[str, str]:  # fmt: skip
    """See :func:`symmetrize_into`; whatever is not plain raises :class:`NotInBlocksError`."""
    auto = orders[1] == "auto"
    orders = orders[0], "st" if auto else orders[1]
    readers = [
        LinkReader(file, *form, order, None, "drop", "raise") for file, order in zip(inputs, orders, strict=True)
    ]
    notes: list[str] = []
    swap = False
    reason = "given"

    def blocks() -> Iterator[LinkTable]:
        nonlocal swap, reason
        done = 0
        for one, other in zip_longest(*(reader.tables(BLOCK) for reader in readers)):
            if one is None or other is None or not same_pairs([one, other], done):
                raise NotInBlocksError
            if not done:
                found = agreement(one, other)
                if auto and found.swap is None:
                    raise NotInBlocksError
                if auto:
                    swap, reason = bool(found.swap), _agreed(found, bool(found.swap))
                elif found.swap:
                    notes.append(_probably(inputs[1].path, orders[1], found))
            yield symmetrize_table(one, other.reverse() if swap else other, *how)
            done += one.sentences
        if not done:
            raise NotInBlocksError

    def provenance() -> Mapping[str, str]:
        one, other = map(read_provenance, inputs)
        return combined_provenance(one, other, *how)

    write_link_blocks(output, blocks(), provenance=provenance, **out)
    _warn(notes, [reader.report for reader in readers])
    return ("ts" if swap else orders[1]), reason


def _warn(notes: Iterable[str], reports: Iterable[LinkReport]) -> None:
    for note in [*notes, *(note for report in reports for note in reading_notes(report))]:
        warnings.warn(AlignEvalWarning(note), stacklevel=3)


def _probably(reverse: StrPath, order: str, found: Agreement) -> str:
    other = "ts" if order == "st" else "st"
    probably = f"it is probably {ORDER_NAMES[other]} (--reverse-order {other})"
    return f"{os.fspath(reverse)}: {_agreed(found, True)}: {probably}"


def combined_provenance(
    forward: Mapping[str, str], reverse: Mapping[str, str], method: str, rule: str
) -> dict[str, str]:
    """What is known of combined links: what both directions have in common, and ``sym``."""
    common = {key: value for key, value in forward.items() if reverse.get(key) == value}
    return {**common, "sym": f"{method}/{rule}"}


def _readings(
    read: Callable[[StrPath, str], tuple[LinkTable, LinkReport]], reverse: StrPath, order: str, with_sentences: bool
) -> tuple[list[tuple[str, LinkTable, LinkReport]], str]:
    """The reverse file in each order that is possible, and why if it is one."""
    if order != "auto":
        return [(order, *read(reverse, order))], "given"
    if not with_sentences:
        table, report = read(reverse, "st")
        return [("st", table, report), ("ts", table.reverse(), report)], ""
    if os.fspath(reverse) == "-":
        table, report = read(reverse, "auto")  # a stream is read once
        return [(report.order, table, report)], report.order_from
    out, errors = [], []
    for each in ("st", "ts"):
        try:
            out.append((each, *read(reverse, each)))
        except (LinkRangeError, IndexBaseError) as error:
            errors.append(error)
    if not out:
        raise errors[0]
    return out, f"read in the other order, {errors[0].message}" if errors else ""


def _agreed(found: Agreement, swap: bool) -> str:
    """Why an order is taken."""
    if not found.links:
        return "all its links join words at the same position, so that the order makes no difference"
    readings = [f"{found.same} as they are", f"{found.swapped} with source and target swapped"]
    first, second = reversed(readings) if swap else readings
    return f"of its {found.links} links off the diagonal the other direction has {first}, {second}"
