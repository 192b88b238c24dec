"""Agreement between the two annotation passes of the mini corpora, before adjudication (``align-eval agree``).

Reads ``sentences.txt``, ``pass-a.talp`` and ``pass-b.talp`` of every language pair in ``data/mini`` and
``data/mini-train``, prints tables and writes JSON files.
"""

from __future__ import annotations

import argparse
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import align_eval as ae

ROOT = Path(__file__).resolve().parents[2]
PAIRS = "ende enfr enes enzh enja enru enar enhi encs entr enfi enko".split()  # noqa: SIM905
FILES = ("sentences.txt", "pass-a.talp", "pass-b.talp")


def count(table: ae.LinkTable) -> dict[str, int]:
    """Numbers of sure and of possible-only links."""
    return {"possible_only": int((~table.sure).sum()), "sure": int(table.sure.sum())}


def measures(tables: list[ae.LinkTable], pairs: list[ae.SentencePair]) -> dict[str, Any]:
    """The agreement of two annotations, rounded to six decimals, with its counts."""
    (found,) = ae.agree(tables, pairs, resamples=0).pairs
    confusion = found.confusion
    return {
        "cells": sum(map(sum, confusion)), "cells_by_label": confusion, "f1_links": round(found.f1, 6),
        "f1_sure": round(found.f1_sure, 6), "kappa_three_labels": round(found.kappa or 0.0, 6),
        "kappa_two_labels": round(found.kappa_links or 0.0, 6),
        "links_differing": sum(confusion[x][y] for x in range(3) for y in range(3) if x != y),
    }  # fmt: skip


def compute(data: Path) -> dict[str, Any]:
    """The report on every language pair of ``data`` that has both passes, and on all of them pooled.

    Raises:
        AlignEvalError: no language pair has both passes.
    """
    ready = [name for name in PAIRS if all((data / name / f"pass-{x}.talp").exists() for x in "ab")]
    if not ready:
        raise ae.AlignEvalError("no language pair has both passes", file=data, remedy="Give the folder data/mini")
    reports: dict[str, Any] = {}
    text: list[ae.SentencePair] = []
    links: tuple[list[ae.GoldLinks], list[ae.GoldLinks]] = ([], [])
    for name in ready:
        folder = data / name
        pairs = list(ae.read_bitext(str(folder / "sentences.txt")))
        passes = {x: ae.read_links(str(folder / f"{x}.talp"), base=0, bitext=pairs) for x in ("pass-a", "pass-b")}
        reports[name] = {
            "sentences": len(pairs),
            "source_words": sum(len(p.source) for p in pairs),
            "target_words": sum(len(p.target) for p in pairs),
            "links": {x: count(table) for x, table in passes.items()},
            "sha256": {file: hashlib.sha256((folder / file).read_bytes()).hexdigest() for file in FILES},
            **measures(list(passes.values()), pairs),
        }
        if (folder / "gold.talp").exists():
            reports[name]["gold"] = count(ae.read_links(str(folder / "gold.talp"), base=0, bitext=pairs))
        text += pairs
        for own, table in zip(links, passes.values(), strict=True):
            own += [table.gold(k) for k in range(len(table))]
    pooled = measures([ae.LinkTable.from_links(own) for own in links], text)
    return {"labels": ["none", "possible", "sure"], "pairs": reports, "pooled": pooled}


def show(report: Mapping[str, Any]) -> str:
    """The report as a plain table, one line a language pair."""
    lines = [f"{'pair':<8}{'cells':>8}{'differ':>8}{'F1 links':>10}{'F1 sure':>10}{'kappa 3':>10}{'kappa 2':>10}"]
    for name, part in [*report["pairs"].items(), ("pooled", report["pooled"])]:
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
        except ae.AlignEvalError as error:
            raise SystemExit(f"error: {error}") from None
        (options.output / name).write_text(json.dumps(report, indent=2, sort_keys=True) + "\n", encoding="utf-8")
        print(f"{corpus}\n{show(report)}\n")


if __name__ == "__main__":
    main()
