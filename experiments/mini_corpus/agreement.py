"""Agreement between the two annotation passes of the mini corpora, before adjudication.

Reads ``sentences.txt``, ``pass-a.talp`` and ``pass-b.talp`` of every language pair in ``data/mini`` and
``data/mini-train``, prints tables and writes JSON files. The measures are defined in ``README.md`` beside this file.
Indices are 0-based; a word is what single spaces separate.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from align_eval import AlignEvalError

ROOT = Path(__file__).resolve().parents[2]
PAIRS = "ende enfr enes enzh enja enru enar enhi encs entr enfi enko".split()  # noqa: SIM905
FILES = ("sentences.txt", "pass-a.talp", "pass-b.talp")
NONE, POSSIBLE, SURE = 0, 1, 2
_LINK = re.compile(r"([0-9]+)([-p])([0-9]+)", re.ASCII)

Cell = tuple[int, int]
Marks = dict[Cell, int]
Table = list[list[int]]


def read_sentences(path: Path) -> list[tuple[list[str], list[str]]]:
    """The sentence pairs of a ``source ||| target`` file, each side as its words.

    Raises:
        AlignEvalError: a line without exactly one ``|||`` between spaces, or with an empty side or word.
    """
    pairs = []
    for number, line in enumerate(path.read_text(encoding="utf-8").removesuffix("\n").split("\n"), 1):
        sides = [side.split(" ") for side in line.split(" ||| ")]
        if len(sides) != 2 or not all(all(side) for side in sides):
            raise AlignEvalError(
                "not two sides of words joined by ' ||| '", file=path, line=number, remedy="Correct the line"
            )
        pairs.append((sides[0], sides[1]))
    return pairs


def read_talp(path: Path) -> list[Marks]:
    """The links of a 0-based TALP file: per line a mapping ``(source, target) -> SURE or POSSIBLE``.

    Raises:
        AlignEvalError: a word that is no link, or a link that stands twice in its line.
    """
    lines = []
    for number, line in enumerate(path.read_text(encoding="utf-8").removesuffix("\n").split("\n"), 1):
        marks: Marks = {}
        for token in line.split(" ") if line else []:
            match = _LINK.fullmatch(token)
            if match is None:
                raise AlignEvalError(f"{token!r} is no link", file=path, line=number, remedy="Write 3-4 or 3p4")
            cell = (int(match[1]), int(match[3]))
            if cell in marks:
                raise AlignEvalError(f"{token} repeats a link", file=path, line=number, remedy="Keep one of the two")
            marks[cell] = SURE if match[2] == "-" else POSSIBLE
        lines.append(marks)
    return lines


def confusion(a: Sequence[Marks], b: Sequence[Marks], lengths: Sequence[tuple[int, int]]) -> Table:
    """Counts of cells by label: ``table[label in a][label in b]``, labels NONE, POSSIBLE, SURE.

    Args:
        a, b: the links of the two passes, one mapping a sentence pair.
        lengths: (source words, target words) of each sentence pair; all their products together are the cells.

    Raises:
        AlignEvalError: the three arguments differ in length.
        AlignEvalError: a link outside its sentence pair.
    """
    if not len(a) == len(b) == len(lengths):
        raise AlignEvalError(f"{len(lengths)} sentence pairs, {len(a)} and {len(b)} lines of links")
    table = [[0] * 3 for _ in range(3)]
    for number, (left, right, (rows, columns)) in enumerate(zip(a, b, lengths, strict=True), 1):
        linked = left.keys() | right.keys()
        for cell in linked:
            if cell[0] >= rows or cell[1] >= columns:
                raise AlignEvalError(f"link {cell} is outside {rows} x {columns} words", line=number)
            table[left.get(cell, NONE)][right.get(cell, NONE)] += 1
        table[NONE][NONE] += rows * columns - len(linked)
    return table


def f1(table: Table, lowest: int) -> float:
    """F1 between the cells with a label of at least ``lowest`` in one pass and in the other: ``2 n_ab / (n_a + n_b)``.

    1.0 where neither pass has such a cell.
    """
    labels = range(lowest, 3)
    both = sum(table[x][y] for x in labels for y in labels)
    first = sum(table[x][y] for x in labels for y in range(3))
    second = sum(table[x][y] for x in range(3) for y in labels)
    return 2 * both / (first + second) if first + second else 1.0


def kappa(table: Sequence[Sequence[int]]) -> float:
    """Cohen's kappa ``(p_o - p_e) / (1 - p_e)`` of a square table of counts (Cohen 1960, equation 1).

    1.0 where both passes give every cell one and the same label.

    Raises:
        AlignEvalError: a table without counts.
    """
    size = len(table)
    total = sum(map(sum, table))
    if not total:
        raise AlignEvalError("kappa of no cells", remedy="Give at least one sentence pair")
    observed = sum(table[k][k] for k in range(size))
    expected = sum(sum(table[k]) * sum(row[k] for row in table) for k in range(size))
    if expected == total * total:
        return 1.0
    return (observed * total - expected) / (total * total - expected)


def two_labels(table: Table) -> Table:
    """The same counts with the labels not linked and linked (possible or sure)."""
    return [
        [table[0][0], table[0][1] + table[0][2]],
        [table[1][0] + table[2][0], sum(table[x][y] for x in (1, 2) for y in (1, 2))],
    ]


def measures(table: Table) -> dict[str, object]:
    """The agreement measures of a table of :func:`confusion`, rounded to six decimals, with its counts."""
    return {
        "cells": sum(map(sum, table)),
        "cells_by_label": table,
        "f1_links": round(f1(table, POSSIBLE), 6),
        "f1_sure": round(f1(table, SURE), 6),
        "kappa_three_labels": round(kappa(table), 6),
        "kappa_two_labels": round(kappa(two_labels(table)), 6),
        "links_differing": sum(table[x][y] for x in range(3) for y in range(3) if x != y),
    }


def count(lines: Sequence[Mapping[Cell, int]]) -> dict[str, int]:
    """Numbers of sure and of possible-only links."""
    labels = [label for marks in lines for label in marks.values()]
    return {"possible_only": labels.count(POSSIBLE), "sure": labels.count(SURE)}


def compare(folder: Path) -> tuple[dict[str, object], Table]:
    """The report on one language pair and its table of counts; the gold links are counted where they exist."""
    sentences = read_sentences(folder / "sentences.txt")
    lengths = [(len(source), len(target)) for source, target in sentences]
    passes = {name: read_talp(folder / f"{name}.talp") for name in ("pass-a", "pass-b")}
    table = confusion(passes["pass-a"], passes["pass-b"], lengths)
    report = {
        "sentences": len(sentences),
        "source_words": sum(source for source, _ in lengths),
        "target_words": sum(target for _, target in lengths),
        "links": {name: count(lines) for name, lines in passes.items()},
        "sha256": {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in FILES},
        **measures(table),
    }
    if (folder / "gold.talp").exists():
        report["gold"] = count(read_talp(folder / "gold.talp"))
    return report, table


def compute(data: Path) -> dict[str, object]:
    """The report on every language pair of ``data`` that has both passes, and on all of them pooled.

    Raises:
        AlignEvalError: no language pair has both passes.
    """
    ready = [name for name in PAIRS if all((data / name / f"pass-{x}.talp").exists() for x in "ab")]
    if not ready:
        raise AlignEvalError("no language pair has both passes", file=data, remedy="Give the folder data/mini")
    reports, pooled = {}, [[0] * 3 for _ in range(3)]
    for name in ready:
        reports[name], table = compare(data / name)
        pooled = [[x + y for x, y in zip(*rows, strict=True)] for rows in zip(pooled, table, strict=True)]
    return {"labels": ["none", "possible", "sure"], "pairs": reports, "pooled": measures(pooled)}


def show(report: Mapping[str, object]) -> str:
    """The report as a plain table, one line a language pair."""
    lines = [f"{'pair':<8}{'cells':>8}{'differ':>8}{'F1 links':>10}{'F1 sure':>10}{'kappa 3':>10}{'kappa 2':>10}"]
    pairs = report["pairs"]
    assert isinstance(pairs, dict)
    for name, part in [*pairs.items(), ("pooled", report["pooled"])]:
        numbers = [part[key] for key in ("f1_links", "f1_sure", "kappa_three_labels", "kappa_two_labels")]
        shown = "".join(f"{number:>10.4f}" for number in numbers)
        lines.append(f"{name:<8}{part['cells']:>8}{part['links_differing']:>8}{shown}")
    return "\n".join(lines)


def main() -> None:
    """Compute, print and write the agreement."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--output", type=Path, default=ROOT / "results" / "mini_corpus", help="folder of the JSON files"
    )
    options = parser.parse_args()
    options.output.mkdir(parents=True, exist_ok=True)
    for corpus, name in (("mini", "agreement.json"), ("mini-train", "agreement-train.json")):
        try:
            report = compute(ROOT / "data" / corpus)
        except AlignEvalError as error:
            raise SystemExit(f"error: {error}") from None
        (options.output / name).write_text(json.dumps(report, indent=2, sort_keys=True) + "\n", encoding="utf-8")
        print(f"{corpus}\n{show(report)}\n")


if __name__ == "__main__":
    main()
