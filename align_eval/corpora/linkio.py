"""Files of links in and out, in any of the link formats, with the index base proven rather than guessed.

What counts as a null link, and is dealt with by the policy ``nulls`` (``"drop"``, the default, or ``"raise"``): an
index 0 in a file whose indices count from 1, an index -1, a missing side (``3-``, or two columns in NAACL), and what
GIZA++ aligns to ``NULL``. Null links never enter a table.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import tempfile
import warnings
from collections.abc import Callable, Iterable, Mapping
from typing import IO, Any

import numpy as np

from align_eval.corpora.index_base import parse_base, parse_order
from align_eval.corpora.inputs import Input
from align_eval.corpora.link_formats import LINK_FORMATS, written_names
from align_eval.corpora.link_formats._detect import detect
from align_eval.corpora.link_reader import LinkReader
from align_eval.corpora.matching import listing
from align_eval.corpora.pair import SentencePair
from align_eval.corpora.raw_links import LinkReport
from align_eval.corpora.sidecar import read_provenance, write_sidecar
from align_eval.errors import AlignEvalWarning, InputError, LengthMismatchError
from align_eval.files import StrPath, output_stream
from align_eval.links import Links
from align_eval.links.table import LinkTable, number_places

#: Sentence pairs that are held where links are read, changed and written in blocks.
BLOCK = 1 << 14


def read_links(
    path: StrPath,
    *,
    format: str = "auto",
    base: int | str = "auto",
    order: str = "st",
    bitext: Iterable[SentencePair] | None = None,
    nulls: str = "drop",
    out_of_range: str = "raise",
) -> LinkTable:
    """Read the links of a file.

    Args:
        path: a file (``.gz``, ``.xz``, ``.zst`` read transparently), a pipe, or ``-`` for standard input.
        format: a name (``pharaoh``, ``talp``, ``naacl``, ``a3``, ``tsv``, ``pipes``, ``numbered``, ``multimwa``,
            ``lists``, ``answers``, ``jsonl``, ``parquet``) or ``"auto"``: told by the first lines.
        base: 0, 1, or ``"auto"``: proven from the whole file (see :mod:`align_eval.corpora.index_base`) unless the
            format fixes it (GIZA++ A3: 1; JSONL, Parquet, ``pipes``, MultiMWA and XL-WA TSV: 0). NAACL counts from 1
            unless a link ``0 0`` proves the other. A link ``0-0`` under base 1 is an error.
        order: ``"st"`` (first index is the source's), ``"ts"``, or ``"auto"``: proven, which needs the sentences.
        bitext: the sentence pairs, to check the number of lines and the range of every link, and as evidence.
            Formats that hold their sentences are checked against those where no bitext is given. Where the file names
            its sentence pairs (NAACL, A3, ``numbered``, JSONL, Parquet) they are matched by name with those of the
            bitext, or by number with its positions; NAACL leaves out sentence pairs without links.
            Needed by ``answers``.
        nulls: ``"drop"`` or ``"raise"`` (a null link is an error).
        out_of_range: ``"raise"``, or ``"drop"``: links outside their sentence pair are left out and their number is
            told by an :class:`~align_eval.errors.AlignEvalWarning`; :func:`read_links_report` gives it as a value.

    Returns:
        A table of 0-based, source-target links, sorted and unique, with S a subset of P (a link given both as sure and
        as possible is sure; of the scores of a link given twice the highest is kept). Scores and ids where the file has
        them; ``provenance`` where a note lies beside the file (:mod:`align_eval.corpora.sidecar`).

    Raises:
        MissingFileError, EncodingError: the file cannot be read.
        FormatError: malformed content (file, line, what is accepted), or a null link under ``nulls="raise"``.
        UnknownNameError: no such format.
        IndexBaseError: base or order cannot be proven, or the evidence contradicts itself.
        LengthMismatchError: the file has another number of sentence pairs than ``bitext``.
        LinkRangeError: a link is outside its sentence pair.
    """
    table, report = read_links_report(
        path, format=format, base=base, order=order, bitext=bitext, nulls=nulls, out_of_range=out_of_range
    )
    warn_of(report)
    return table


def read_links_report(path: StrPath, **options: Any) -> tuple[LinkTable, LinkReport]:
    """As :func:`read_links`, and with it what was found and left out. Gives no warnings."""
    reader = LinkReader(path, **options)
    table = reader.read()
    table.provenance = read_provenance(path)
    return table, reader.report


def write_links(
    path: StrPath,
    table: LinkTable | Iterable[Links],
    *,
    format: str = "pharaoh",
    base: int | None = None,
    order: str = "st",
    bitext: Iterable[SentencePair] | None = None,
) -> None:
    """Write links to a file that appears only when it is whole; ``-`` is standard output.

    Args:
        path: the file; a name in ``.gz``, ``.xz`` or ``.zst`` is compressed.
        table: 0-based, source-target; or one :class:`~align_eval.links.Links` a sentence pair.
        format: a name, as for :func:`read_links`.
        base: 0 or 1; ``None``: what the format fixes (NAACL and GIZA++ A3: 1), else 0.
        order: ``"st"``, or ``"ts"``: the file is written as seen from the other side (and the sentences swapped in
            formats that hold them).
        bitext: the sentence pairs; needed by GIZA++ A3 and XL-WA TSV.

    What the format does to the names of the sentence pairs (``table.ids``):

    - JSONL and Parquet keep them. NAACL, GIZA++ A3 and ``numbered`` keep numbers; other names are told by an
      :class:`~align_eval.errors.AlignEvalWarning` and lost. NAACL has no line for a sentence pair without links; the
      names of all pairs are then written beside it.
    - Pharaoh and TALP hold none. If the names are ascending numbers with gaps (1, 3) and no ``bitext`` says which
      sentence pairs there are, a line without links is written for each number that is missing, up to the last, and an
      :class:`~align_eval.errors.AlignEvalWarning` tells how many. So no line moves up.

    Scores are kept by JSONL, Parquet and NAACL, possible links by all but GIZA++ A3. What is known of how the links
    came about (``table.provenance``) is written beside the file, see :mod:`align_eval.corpora.sidecar`.

    Raises:
        UnknownNameError: no such format.
        InputError: the format needs the sentences, or cannot express the table or the base.
        LengthMismatchError: the table and ``bitext`` differ in their number of sentence pairs.
        OutputError: the file cannot be written.
    """
    if not isinstance(table, LinkTable):
        table = LinkTable.from_links(table)
    link_format = LINK_FORMATS.get(format)()
    own = link_format.own_base
    number = parse_base(own or 0 if base is None else base)
    if number is None or parse_order(order) is None:
        raise InputError("base and order of output cannot be 'auto'", remedy="Pass base 0 or 1 and order st or ts")
    link_format.check_base(format, number)
    if link_format.needs_sentences and bitext is None:
        raise InputError(
            f"the format {format!r} holds the sentences, and there are none", file=path,
            remedy="Give them: --bitext FILE, or --source FILE --target FILE (bitext= in Python)",
        )  # fmt: skip
    if not link_format.has_possible and not bool(table.sure.all()):
        raise InputError(
            f"the format {format!r} cannot mark possible links, and {table.links - table.sure_links} are possible only",
            file=path, remedy="Write talp, pharaoh, naacl, tsv, pipes, jsonl or parquet",
        )  # fmt: skip
    sentences = None
    if bitext is not None and link_format.needs_sentences:
        sentences = list(bitext)
        if len(sentences) != table.sentences:
            raise LengthMismatchError(
                f"links of {table.sentences} sentence pairs but {len(sentences)} sentence pairs of text", file=path
            )
    if table.scores is not None and link_format.has_scores and not bool(np.isfinite(table.scores).all()):
        raise InputError("a score that is not a finite number cannot be written", remedy="Repair the scores")
    provenance = table.provenance
    if order == "ts":
        table = table.reverse()
        sentences = None if sentences is None else [pair.reverse() for pair in sentences]
    if bitext is None and not link_format.names_sentences:
        table = _with_empty_lines(table, format, path)
    elif link_format.names_by_number and table.ids is not None and written_names(table) != list(table.ids):
        _tell(path, f"the sentence pairs are named {listing(list(table.ids))}, and {format} holds numbers: 1, 2, ...")
    with output_stream(path) as stream:
        link_format.write(stream, table, number, sentences or ())
    whole = not link_format.skips_empty or bool((np.diff(table.offsets) > 0).all())
    write_sidecar(path, provenance, table.sentences, None if whole else written_names(table), number)


class NotInBlocksError(Exception):
    """The links can only be written once all of them are known."""


def write_link_blocks(
    path: StrPath,
    blocks: Iterable[LinkTable],
    *,
    format: str,
    base: int | None = None,
    order: str = "st",
    provenance: Callable[[], Mapping[str, str]],
) -> bool:
    """As :func:`write_links` without sentences, from consecutive tables; the bytes are those of all tables joined.

    Gives whether the links have scores that the format does not keep. The provenance is asked for at the end.
    Raises :class:`NotInBlocksError`, with nothing written, where the format, names or scores need the whole table.
    """
    link_format = LINK_FORMATS.get(format)()
    number = parse_base(link_format.own_base or 0 if base is None else base)
    if not link_format.writes_in_blocks or number is None:
        raise NotInBlocksError
    link_format.check_base(format, number)
    done, scores = 0, set()
    with contextlib.ExitStack() as stack:
        whole = tempfile.TemporaryFile() if os.fspath(path) == "-" else output_stream(path)  # noqa: SIM115
        out: IO[bytes] = stack.enter_context(whole)
        for table in blocks:
            names = [str(k) for k in range(done + 1, done + 1 + table.sentences)]
            if table.links:
                scores.add(table.scores is not None)
            named = table.ids is not None and list(table.ids) != names
            if named or (table.scores is not None and link_format.has_scores):
                raise NotInBlocksError
            table.ids = names
            link_format.write(out, table if order == "st" else table.reverse(), number)
            done += table.sentences
        if os.fspath(path) == "-":
            out.seek(0)
            with output_stream(path) as stream:
                shutil.copyfileobj(out, stream)
    write_sidecar(path, provenance(), done, None, number)
    return scores == {True}


def _with_empty_lines(table: LinkTable, format: str, path: StrPath) -> LinkTable:
    """``table`` with a sentence pair for each number that is missing among its names, as far as they are numbers."""
    names = list(table.ids or ())
    if not names:
        return table
    places = number_places(names)
    if places is None:
        return table
    if bool((places[1:] < places[:-1]).any()):
        _tell(path, f"its lines are in the order of the numbers that name the pairs: {listing(names)}")
    whole = table.by_number(table.sentences)
    if whole is not None:
        return whole
    missing = int(places.max()) + 1 - len(names)
    if missing > 10 * len(names) + 1000:
        raise InputError(
            f"the format {format!r} holds no names: the sentence pairs named {listing(names)} would need {missing} "
            "lines without links",
            file=path,
            remedy="Give the sentences, --bitext FILE or --source FILE --target FILE (bitext= in Python), "
            "or write jsonl",
        )
    _tell(
        path,
        f"the sentence pairs are named {listing(names)}, and {format} holds no names: "
        f"{missing} {'line' if missing == 1 else 'lines'} without links stand for the numbers that are missing. "
        "Give the sentences (--bitext, or --source and --target) if those are not in the text",
    )
    return table.by_number() or table


def _tell(path: StrPath, text: str) -> None:
    warnings.warn(AlignEvalWarning(f"{os.fspath(path)}: {text}"), stacklevel=4)


def link_format_of(path: StrPath) -> str:
    """The format that a file name says (``links.talp``, ``links.jsonl.gz``), or ``"pharaoh"`` where it says none."""
    name = re.sub(r"\.(gz|xz|zst)$", "", os.fspath(path)).lower()
    named = (key for key, link_format in LINK_FORMATS.items() if name.endswith(link_format.suffixes))
    return next(named, "pharaoh")


def sentences_of_links(path: StrPath, *, format: str = "auto", order: str = "st") -> list[SentencePair] | None:
    """The sentence pairs that a file of links holds itself (GIZA++ A3, TSV), or ``None`` if its format holds none.

    ``order="ts"`` swaps the sides.
    """
    file = Input(path)
    sides = LINK_FORMATS.get(detect(file) if format == "auto" else format)().sentences(file)
    if sides is None:
        return None
    pairs = [SentencePair(str(k), tuple(a), tuple(b)) for k, (a, b) in enumerate(sides, 1)]
    return [pair.reverse() for pair in pairs] if order == "ts" else pairs


def warn_of(report: LinkReport) -> None:
    """Warn of what reading left out: null links of a stated base 1, links out of range, and the notes of the report."""
    if (
        report.nulls
        and report.base == 1
        and report.base_from == "given"
        and LINK_FORMATS.get(report.format).own_base != 1
    ):
        text = f"{report.file}: {report.nulls} null links left out (an index 0 is one, for base 1 was passed)"
        warnings.warn(AlignEvalWarning(text), stacklevel=3)
    for text in report.notes:
        warnings.warn(AlignEvalWarning(f"{report.file}: {text}"), stacklevel=3)
    if report.out_of_range:
        warnings.warn(
            AlignEvalWarning(f"{report.out_of_range} links out of range left out: {report.first_out_of_range}"),
            stacklevel=3,
        )
